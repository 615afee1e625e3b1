package keys

import (
	"context"
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"

	"cloud.google.com/go/secretmanager/apiv1/secretmanagerpb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Algorithm is a kind of key that can be created.
type Algorithm string

// The two kinds: what signs records, and what signs checkpoints.
const (
	RSA4096 Algorithm = "RSA4096"
	Ed25519 Algorithm = "Ed25519"
)

// Create generates a key, stores it as a new version of a secret
// (projects/P/secrets/S, created where it is missing) and returns that version
// and the public key. Generating RSA-4096 takes seconds.
func (s *Source) Create(ctx context.Context, secret string, algorithm Algorithm) (version string, public crypto.PublicKey, err error) {
	private, err := generate(algorithm)
	if err != nil {
		return "", nil, err
	}
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return "", nil, errors.New("create key: it cannot be encoded")
	}
	version, err = s.Add(ctx, secret, pem.EncodeToMemory(&pem.Block{Type: pemType, Bytes: der}))
	if err != nil {
		return "", nil, err
	}
	return version, private.Public(), nil
}

// Add stores a payload as a new version of a secret (projects/P/secrets/S,
// created where it is missing) and returns that version's name.
func (s *Source) Add(ctx context.Context, secret string, payload []byte) (version string, err error) {
	m := secretName.FindStringSubmatch(secret)
	if m == nil {
		return "", errors.New("secret: name it as projects/P/secrets/S")
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	_, err = s.client.CreateSecret(ctx, &secretmanagerpb.CreateSecretRequest{
		Parent: m[1], SecretId: m[2],
		Secret: &secretmanagerpb.Secret{Replication: &secretmanagerpb.Replication{
			Replication: &secretmanagerpb.Replication_Automatic_{Automatic: &secretmanagerpb.Replication_Automatic{}},
		}},
	})
	// Whoever may add a version to this secret need not be allowed to make secrets;
	// whether it is there, adding the version will tell.
	if code := status.Code(err); err != nil && code != codes.AlreadyExists && code != codes.PermissionDenied {
		return "", callFailed("create "+secret, err)
	}
	sum := checksum(payload)
	added, err := s.client.AddSecretVersion(ctx, &secretmanagerpb.AddSecretVersionRequest{
		Parent: secret, Payload: &secretmanagerpb.SecretPayload{Data: payload, DataCrc32C: &sum},
	})
	if err != nil {
		return "", callFailed("add a version to "+secret, err)
	}
	if !pinned.MatchString(added.GetName()) {
		return "", fmt.Errorf("add a version to %s: the answer does not name one", secret)
	}
	return added.GetName(), nil
}

func generate(algorithm Algorithm) (crypto.Signer, error) {
	switch algorithm {
	case RSA4096:
		private, err := rsa.GenerateKey(rand.Reader, RSABits)
		if err != nil {
			return nil, fmt.Errorf("create key: %w", err)
		}
		return private, nil
	case Ed25519:
		_, private, err := ed25519.GenerateKey(rand.Reader)
		if err != nil {
			return nil, fmt.Errorf("create key: %w", err)
		}
		return private, nil
	}
	return nil, errors.New("create key: the algorithm must be RSA4096 or Ed25519")
}
