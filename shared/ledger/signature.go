package ledger

import (
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
)

const (
	keyBits  = 4096
	saltSize = 32
)

// errSignature is what Verify answers: a signature is right or it is not.
var errSignature = errors.New("the signature does not verify")

// Sign signs message with RSA-4096 PSS, SHA-256, MGF1-SHA-256, salt 32
// (RFC 8017). The signer may be used by several goroutines at once if it says so
// of itself, as *rsa.PrivateKey does.
func Sign(signer crypto.Signer, message []byte) ([]byte, error) {
	if err := checkRSA(signer.Public()); err != nil {
		return nil, err
	}
	digest := sha256.Sum256(message)
	signature, err := signer.Sign(rand.Reader, digest[:], &rsa.PSSOptions{SaltLength: saltSize, Hash: crypto.SHA256})
	if err != nil {
		return nil, fmt.Errorf("sign: %w", err)
	}
	return signature, nil
}

// Verify checks what Sign makes; a salt of any other length, another hash or
// padding do not verify.
func Verify(pub *rsa.PublicKey, message, signature []byte) error {
	if err := checkRSA(pub); err != nil {
		return err
	}
	digest := sha256.Sum256(message)
	if rsa.VerifyPSS(pub, crypto.SHA256, digest[:], signature, &rsa.PSSOptions{SaltLength: saltSize}) != nil {
		return errSignature
	}
	return nil
}

func checkRSA(pub crypto.PublicKey) error {
	key, ok := pub.(*rsa.PublicKey)
	if !ok || key == nil || key.N == nil || key.N.BitLen() != keyBits {
		return fmt.Errorf("not an RSA key of %d bits", keyBits)
	}
	return nil
}

// KeyID returns the id of a public key: the SHA-256 of its SubjectPublicKeyInfo
// (RFC 5280, DER) in lower-case hex.
func KeyID(pub crypto.PublicKey) (string, error) {
	der, err := x509.MarshalPKIXPublicKey(pub)
	if err != nil {
		return "", fmt.Errorf("key id: %w", err)
	}
	return keyIDOf(der), nil
}

func keyIDOf(der []byte) string {
	sum := sha256.Sum256(der)
	return hex.EncodeToString(sum[:])
}

// fitsUse reports whether a public key is of the kind that its use demands.
func fitsUse(pub crypto.PublicKey, use Use) bool {
	switch use {
	case UseRoot, UseAmendment, UseCertification, UseHeads:
		return checkRSA(pub) == nil
	case UseCheckpoint:
		_, ok := pub.(ed25519.PublicKey)
		return ok
	}
	return false
}
