package keys

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log/slog"

	"github.com/dlai-sd/plant/shared/ledger"
)

// RSABits is the only size of RSA key there is.
const RSABits = 4096

const pemType = "PRIVATE KEY" // PKCS#8, RFC 5208

// Key is a private key that signs and does not show itself: it prints as its
// id, in every format.
type Key struct {
	id      string
	version string
	private func() crypto.Signer // a function, because fmt reads unexported fields but not closures
}

// ID is the lower-case hex SHA-256 of the public key's SPKI DER.
func (k Key) ID() string { return k.id }

// Version is the secret version that the key was read from.
func (k Key) Version() string { return k.version }

// Public returns the public key: *rsa.PublicKey or ed25519.PublicKey.
func (k Key) Public() crypto.PublicKey { return k.private().Public() }

// Sign signs as crypto.Signer says.
func (k Key) Sign(rand io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	signature, err := k.private().Sign(rand, digest, opts)
	if err != nil {
		return nil, fmt.Errorf("sign with key %s: %w", k.id, err)
	}
	return signature, nil
}

// Format writes the key's id, whatever the verb.
func (k Key) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "key "+k.id) }

// LogValue is the key's id.
func (k Key) LogValue() slog.Value { return slog.StringValue("key " + k.id) }

// MarshalText is the key's id, so that no encoder looks deeper.
func (k Key) MarshalText() ([]byte, error) { return []byte("key " + k.id), nil }

// Key reads a pinned version and parses it: one PEM block PRIVATE KEY (PKCS#8)
// with an RSA key of exactly 4096 bits or an Ed25519 key. It reads every time;
// functions use a Holder.
func (s *Source) Key(ctx context.Context, version string) (Key, error) {
	payload, err := s.Payload(ctx, version)
	if err != nil {
		return Key{}, err
	}
	private, err := parse(payload)
	if err != nil {
		return Key{}, fmt.Errorf("key in %s: %w", version, err)
	}
	id, err := ledger.KeyID(private.Public())
	if err != nil {
		return Key{}, fmt.Errorf("key in %s: %w", version, err)
	}
	return Key{id: id, version: version, private: func() crypto.Signer { return private }}, nil
}

// parse reads a PKCS#8 PEM. Its errors never hold what it read; x509's could.
func parse(payload []byte) (crypto.Signer, error) {
	block, rest := pem.Decode(payload)
	if block == nil || block.Type != pemType || len(block.Headers) > 0 || len(bytes.TrimSpace(rest)) > 0 || !bytes.HasPrefix(payload, []byte("-----BEGIN")) {
		return nil, errors.New("the secret is not exactly one PEM block " + pemType)
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, errors.New("the secret is not a PKCS#8 key")
	}
	switch private := parsed.(type) {
	case *rsa.PrivateKey:
		return checkRSA(private)
	case ed25519.PrivateKey:
		return private, nil
	}
	return nil, fmt.Errorf("the key is neither RSA-%d nor Ed25519", RSABits)
}

func checkRSA(private *rsa.PrivateKey) (crypto.Signer, error) {
	switch {
	case private.N.BitLen() != RSABits:
		return nil, fmt.Errorf("the RSA key has %d bits and needs %d", private.N.BitLen(), RSABits)
	case private.E != 65537 || len(private.Primes) != 2:
		return nil, errors.New("the RSA key must have two primes and the exponent 65537")
	case private.Validate() != nil:
		return nil, errors.New("the RSA key does not hold together")
	}
	private.Precompute()
	return private, nil
}
