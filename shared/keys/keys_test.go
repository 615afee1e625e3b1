package keys_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"strings"
	"sync"
	"testing"
	"time"

	"cloud.google.com/go/secretmanager/apiv1/secretmanagerpb"
	"github.com/go-json-experiment/json"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/dlai-sd/plant/shared/domain"
	"github.com/dlai-sd/plant/shared/keys"
)

const (
	secret = "projects/plant-local/secrets/plant-amendment-key"
	first  = secret + "/versions/1"
	second = secret + "/versions/2"
)

// rsa4096 is generated once: it takes seconds.
var rsa4096 = sync.OnceValues(func() (*rsa.PrivateKey, error) { return rsa.GenerateKey(rand.Reader, 4096) })

func pkcs8(t *testing.T, private any) []byte {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(private)
	require.NoError(t, err)
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
}

func ed(t *testing.T) ed25519.PrivateKey {
	t.Helper()
	_, private, err := ed25519.GenerateKey(rand.Reader)
	require.NoError(t, err)
	return private
}

func codeOf(err error) domain.Code {
	var refusal *domain.Error
	if errors.As(err, &refusal) {
		return refusal.Code
	}
	return ""
}

func TestPayload(t *testing.T) {
	t.Parallel()
	s, f := newSource(t)
	version, err := s.Add(t.Context(), secret, []byte("one"))
	require.NoError(t, err)
	require.Equal(t, first, version)
	version, err = s.Add(t.Context(), secret, []byte("two"))
	require.NoError(t, err)
	require.Equal(t, second, version)
	got, err := s.Payload(t.Context(), first)
	require.NoError(t, err)
	require.Equal(t, "one", string(got))

	before := f.readCount()
	for _, bad := range []string{"", secret, secret + "/versions/latest", secret + "/versions/current", secret + "/versions/0", secret + "/versions/01", secret + "/versions/-1", secret + "/versions/1/x", "secrets/x/versions/1", first + "\n", "projects/p/locations/l/secrets/s/versions/1"} {
		_, err := s.Payload(t.Context(), bad)
		require.ErrorContains(t, err, "with a number", bad)
	}
	require.Equal(t, before, f.readCount(), "refused before anything is read")
}

// Where a deployment made the secrets, an operator may only add versions.
func TestAddNeedsNoRightToMakeSecrets(t *testing.T) {
	t.Parallel()
	s, f := newSource(t)
	_, err := s.Add(t.Context(), secret, []byte("one"))
	require.NoError(t, err)
	f.set(func(f *fake) { f.noMaking = true })
	version, err := s.Add(t.Context(), secret, []byte("two"))
	require.NoError(t, err)
	require.Equal(t, second, version)
	f.set(func(f *fake) { f.addName = "fail" })
	_, err = s.Add(t.Context(), secret, []byte("three"))
	require.ErrorContains(t, err, "add a version")
}

func TestPayloadIsChecked(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]func(*secretmanagerpb.AccessSecretVersionResponse){
		"no payload":         func(r *secretmanagerpb.AccessSecretVersionResponse) { r.Payload = nil },
		"no checksum":        func(r *secretmanagerpb.AccessSecretVersionResponse) { r.Payload.DataCrc32C = nil },
		"empty, no checksum": func(r *secretmanagerpb.AccessSecretVersionResponse) { r.Payload = &secretmanagerpb.SecretPayload{} },
		"a bit flipped":      func(r *secretmanagerpb.AccessSecretVersionResponse) { r.Payload.Data = []byte("tOpsecret") },
		"another version":    func(r *secretmanagerpb.AccessSecretVersionResponse) { r.Name = second },
		"another secret":     func(r *secretmanagerpb.AccessSecretVersionResponse) { r.Name = "projects/p/secrets/other/versions/1" },
		"no name":            func(r *secretmanagerpb.AccessSecretVersionResponse) { r.Name = "" },
	} {
		s, f := newSource(t)
		_, err := s.Add(t.Context(), secret, []byte("topsecret"))
		require.NoError(t, err)
		f.set(func(f *fake) { f.spoil = spoil })
		_, err = s.Payload(t.Context(), first)
		require.Error(t, err, name)
		require.NotContains(t, err.Error(), "psecret", name)
	}
}

func TestPayloadErrors(t *testing.T) {
	t.Parallel()
	for code, transient := range map[codes.Code]bool{
		codes.NotFound: false, codes.PermissionDenied: false, codes.FailedPrecondition: false, codes.InvalidArgument: false,
		codes.Internal: true, codes.Aborted: true,
	} {
		s, f := newSource(t)
		f.set(func(f *fake) { f.fail = status.Error(code, "topsecret") })
		_, err := s.Payload(t.Context(), first)
		require.Error(t, err)
		require.Equal(t, transient, codeOf(err) == domain.CodeUnavailable, code)
		require.NotContains(t, err.Error(), "topsecret")
		require.Contains(t, err.Error(), code.String())
	}
	s, _ := newSource(t)
	ctx, cancel := context.WithDeadline(t.Context(), time.Unix(0, 0))
	defer cancel()
	_, err := s.Payload(ctx, first)
	require.Equal(t, domain.CodeUnavailable, codeOf(err))
}

func TestKeyRSA(t *testing.T) {
	t.Parallel()
	private, err := rsa4096()
	require.NoError(t, err)
	s, _ := newSource(t)
	_, err = s.Add(t.Context(), secret, pkcs8(t, private))
	require.NoError(t, err)
	k, err := s.Key(t.Context(), first)
	require.NoError(t, err)

	spki, err := x509.MarshalPKIXPublicKey(&private.PublicKey)
	require.NoError(t, err)
	id := sha256.Sum256(spki)
	require.Equal(t, hex.EncodeToString(id[:]), k.ID())
	require.Equal(t, first, k.Version())
	require.True(t, private.PublicKey.Equal(k.Public()))

	var signer crypto.Signer = k
	digest := sha256.Sum256([]byte("record"))
	signature, err := signer.Sign(rand.Reader, digest[:], &rsa.PSSOptions{SaltLength: 32, Hash: crypto.SHA256})
	require.NoError(t, err)
	require.NoError(t, rsa.VerifyPSS(&private.PublicKey, crypto.SHA256, digest[:], signature, &rsa.PSSOptions{SaltLength: 32}))

	_, err = signer.Sign(rand.Reader, []byte("short"), crypto.SHA256)
	require.ErrorContains(t, err, k.ID())
}

func TestKeyEd25519(t *testing.T) {
	t.Parallel()
	s, _ := newSource(t)
	version, public, err := s.Create(t.Context(), secret, keys.Ed25519)
	require.NoError(t, err)
	require.Equal(t, first, version)
	k, err := s.Key(t.Context(), version)
	require.NoError(t, err)
	require.Equal(t, public, k.Public())
	signature, err := k.Sign(rand.Reader, []byte("checkpoint"), crypto.Hash(0))
	require.NoError(t, err)
	require.True(t, ed25519.Verify(public.(ed25519.PublicKey), []byte("checkpoint"), signature))
}

func TestKeyRefuses(t *testing.T) {
	t.Parallel()
	private, err := rsa4096()
	require.NoError(t, err)
	good := pkcs8(t, private)
	small, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	curve, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	der, _ := pem.Decode(good)
	public, err := x509.MarshalPKIXPublicKey(&private.PublicKey)
	require.NoError(t, err)
	block := func(kind string, bytes []byte) []byte {
		return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: bytes})
	}
	exponent3 := &rsa.PrivateKey{PublicKey: rsa.PublicKey{N: private.N, E: 3}, D: private.D, Primes: private.Primes}
	_, checkErr := x509.MarshalPKCS8PrivateKey(exponent3)

	cases := map[string][]byte{
		"empty":        {},
		"not PEM":      []byte("topsecret"),
		"bare DER":     der.Bytes,
		"two keys":     append(append([]byte{}, good...), good...),
		"text before":  append([]byte("topsecret\n"), good...),
		"text after":   append(append([]byte{}, good...), "topsecret"...),
		"PKCS#1":       block("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(private)),
		"public":       block("PUBLIC KEY", public),
		"garbage":      block("PRIVATE KEY", []byte("topsecret")),
		"cut off":      block("PRIVATE KEY", der.Bytes[:len(der.Bytes)-9]),
		"headers":      pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Headers: map[string]string{"Proc-Type": "4,ENCRYPTED"}, Bytes: der.Bytes}),
		"RSA-2048":     pkcs8(t, small),
		"P-256":        pkcs8(t, curve),
		"wrong secret": block("PRIVATE KEY", spoilt(t, private)),
	}
	if checkErr == nil {
		cases["exponent 3"] = pkcs8(t, exponent3)
	}
	s, _ := newSource(t)
	n := 0
	for name, payload := range cases {
		n++
		version, err := s.Add(t.Context(), secret, payload)
		require.NoError(t, err)
		k, err := s.Key(t.Context(), version)
		require.Error(t, err, name)
		require.Zero(t, k.ID(), name)
		require.NotContains(t, err.Error(), "topsecret", name)
		require.Contains(t, err.Error(), version, "it names the version")
	}
	_, err = s.Key(t.Context(), fmt.Sprintf("%s/versions/%d", secret, n+1))
	require.Error(t, err)
}

// spoilt is a key whose private exponent belongs to another one.
func spoilt(t *testing.T, private *rsa.PrivateKey) []byte {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(private)
	require.NoError(t, err)
	d := private.D.Bytes()
	other := new(big.Int).Xor(private.D, big.NewInt(6)).Bytes()
	return []byte(strings.Replace(string(der), string(d), string(other), 1))
}

func TestKeyDoesNotShowItself(t *testing.T) {
	t.Parallel()
	s, _ := newSource(t)
	version, err := s.Add(t.Context(), secret, pkcs8(t, ed(t)))
	require.NoError(t, err)
	payload, err := s.Payload(t.Context(), version)
	require.NoError(t, err)
	block, _ := pem.Decode(payload)
	seed := block.Bytes[len(block.Bytes)-32:]
	k, err := s.Key(t.Context(), version)
	require.NoError(t, err)

	type exported struct{ Signer crypto.Signer }
	type hidden struct{ k keys.Key }
	for _, value := range []any{k, &k, exported{k}, hidden{k}, []keys.Key{k}} {
		for _, format := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
			text := fmt.Sprintf(format, value)
			require.NotContains(t, text, hex.EncodeToString(seed[:4]), format)
			require.NotContains(t, text, strings.Trim(fmt.Sprint(seed[:4]), "[]"), format)
			require.NotContains(t, text, strings.TrimSuffix(strings.TrimPrefix(fmt.Sprintf("%#v", seed[:4]), "[]byte{"), "}"), format)
		}
	}
	require.Equal(t, "key "+k.ID(), fmt.Sprint(k))
	require.Equal(t, "key "+k.ID(), slog.AnyValue(k).Resolve().String())
	encoded, err := json.Marshal(exported{k})
	require.NoError(t, err)
	require.Equal(t, `{"Signer":"key `+k.ID()+`"}`, string(encoded))
}

func TestCreateAndAddRefuse(t *testing.T) {
	t.Parallel()
	s, f := newSource(t)
	_, _, err := s.Create(t.Context(), secret, "RSA2048")
	require.ErrorContains(t, err, "RSA4096 or Ed25519")
	_, _, err = s.Create(t.Context(), "plant-amendment-key", keys.Ed25519)
	require.ErrorContains(t, err, "projects/P/secrets/S")
	_, err = s.Add(t.Context(), first, []byte("x"))
	require.ErrorContains(t, err, "projects/P/secrets/S")

	f.set(func(f *fake) { f.addName = secret + "/versions/latest" })
	_, err = s.Add(t.Context(), secret, []byte("x"))
	require.ErrorContains(t, err, "does not name one")
	f.set(func(f *fake) { f.addName = "fail" })
	_, err = s.Add(t.Context(), secret, []byte("x"))
	require.ErrorContains(t, err, "PermissionDenied")
	f.set(func(f *fake) { f.fail = status.Error(codes.PermissionDenied, "no") })
	_, err = s.Add(t.Context(), secret, []byte("x"))
	require.ErrorContains(t, err, "PermissionDenied")
}

func TestCreateRSA(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("generating RSA-4096 takes seconds")
	}
	s, _ := newSource(t)
	version, public, err := s.Create(t.Context(), secret, keys.RSA4096)
	require.NoError(t, err)
	k, err := s.Key(t.Context(), version)
	require.NoError(t, err)
	require.True(t, public.(*rsa.PublicKey).Equal(k.Public()))
	require.Equal(t, 4096, public.(*rsa.PublicKey).N.BitLen())
}
