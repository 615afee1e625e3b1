package auth

import (
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"strings"
	"unicode/utf8"

	"golang.org/x/crypto/bcrypt"
)

const (
	// ClientSecretCost is bcrypt's cost for a principal's secret. Every hash has
	// it, so that each comparison takes as long as any other.
	ClientSecretCost = 12
	// MaxClientSecret is how many bytes bcrypt looks at; longer secrets are
	// refused before they are compared, not cut.
	MaxClientSecret = 72
)

// ClientID is how a principal names itself when it asks for a token:
// "<governance agent>/<name>". A slug holds no slash, so the first one parts
// the two.
func (p Principal) ClientID() string { return p.GovernanceAgent + "/" + p.Name }

// ParseClientID is the reverse of Principal.ClientID; ok is false for what no
// principal can be called.
func ParseClientID(id string) (governanceAgent, name string, ok bool) {
	governanceAgent, name, ok = strings.Cut(id, "/")
	ok = ok && slug.MatchString(governanceAgent) && name != "" && len(name) <= maxName &&
		utf8.ValidString(name) && !strings.ContainsRune(name, 0)
	return governanceAgent, name, ok
}

// NewClientSecret draws a secret, 32 random bytes in base64url without padding,
// and returns it with the bcrypt hash that is kept of it. Nobody chooses one.
func NewClientSecret() (secret, hash string, err error) {
	random := make([]byte, secretBytes)
	if _, err := rand.Read(random); err != nil {
		return "", "", fmt.Errorf("client secret: %w", err)
	}
	secret = base64.RawURLEncoding.EncodeToString(random)
	kept, err := bcrypt.GenerateFromPassword([]byte(secret), ClientSecretCost)
	if err != nil {
		return "", "", fmt.Errorf("client secret: %w", err)
	}
	return secret, string(kept), nil
}

// Scope lists the principal's authorities as RFC 6749 §3.3 writes scopes: words
// with a space between; those held on the whole platform begin with "platform:".
func (p Principal) Scope() string {
	var words []string
	for _, a := range p.Authorities {
		words = append(words, string(a))
	}
	for _, a := range p.Platform {
		words = append(words, "platform:"+string(a))
	}
	return strings.Join(words, " ")
}
