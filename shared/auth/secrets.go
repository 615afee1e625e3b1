package auth

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"regexp"

	"github.com/go-json-experiment/json"
)

// secretBytes is the least length of a secret: that of the hash (RFC 7518 §3.2).
const secretBytes = 32

// maxSecrets bounds how many keys there are: one that signs and those that
// tokens still in use were signed with.
const maxSecrets = 16

var kidShape = regexp.MustCompile(`^[A-Za-z0-9._-]{1,64}$`)

// Secrets are the HS256 secrets: the first signs, all verify. They print as
// nothing but their number.
type Secrets struct{ list []secret }

type secret struct {
	kid string
	key func() []byte // a function, because fmt reads unexported fields but not closures
}

type secretsDocument struct {
	Keys []secretDocument `json:"keys"`
}

type secretDocument struct {
	Kid    string `json:"kid"`
	Secret []byte `json:"secret"` // base64
}

// ParseSecrets reads {"keys":[{"kid":"…","secret":"<base64>"}]}. It refuses,
// without repeating any of it, secrets of less than 32 bytes and those that do
// not look random: typed text, repetitions, sequences.
func ParseSecrets(payload []byte) (*Secrets, error) {
	var doc secretsDocument
	if err := json.Unmarshal(payload, &doc, json.RejectUnknownMembers(true)); err != nil {
		return nil, errors.New(`token secrets: not {"keys":[{"kid":"…","secret":"<base64>"}]}`)
	}
	if len(doc.Keys) == 0 || len(doc.Keys) > maxSecrets {
		return nil, fmt.Errorf("token secrets: there must be 1 to %d keys", maxSecrets)
	}
	s := &Secrets{}
	for i, k := range doc.Keys {
		if !kidShape.MatchString(k.Kid) {
			return nil, fmt.Errorf("token secrets: key %d: the kid must be 1 to 64 of A-Z a-z 0-9 . _ -", i)
		}
		if _, taken := s.find(k.Kid); taken {
			return nil, fmt.Errorf("token secrets: key %d: its kid comes twice", i)
		}
		if err := checkSecret(k.Secret); err != nil {
			return nil, fmt.Errorf("token secrets: key %d: %w; make one with: openssl rand -base64 32", i, err)
		}
		s.list = append(s.list, secret{k.Kid, func() []byte { return k.Secret }})
	}
	return s, nil
}

// NewSecrets makes the payload for one fresh random secret.
func NewSecrets(kid string) ([]byte, error) {
	key := make([]byte, secretBytes)
	if _, err := rand.Read(key); err != nil {
		return nil, fmt.Errorf("token secrets: %w", err)
	}
	return json.Marshal(secretsDocument{Keys: []secretDocument{{Kid: kid, Secret: key}}})
}

// String and GoString keep the secrets out of every log.
func (s *Secrets) String() string { return fmt.Sprintf("%d token secrets", len(s.list)) }

// GoString is String.
func (s *Secrets) GoString() string { return s.String() }

func (s *Secrets) find(kid string) ([]byte, bool) {
	for _, k := range s.list {
		if k.kid == kid {
			return k.key(), true
		}
	}
	return nil, false
}

// checkSecret refuses what nobody drew at random. Of 32 random bytes fewer than
// 16 are different, or all are printable, less than once in 10^13 times.
func checkSecret(key []byte) error {
	different := map[byte]bool{}
	steps := map[byte]int{}
	printable := true
	for i, b := range key {
		different[b] = true
		printable = printable && b >= ' ' && b <= '~'
		if i > 0 {
			steps[b-key[i-1]]++
		}
	}
	switch {
	case len(key) < secretBytes:
		return fmt.Errorf("the secret has %d bytes and needs at least %d", len(key), secretBytes)
	case printable:
		return errors.New("the secret is text that somebody typed or encoded, not random bytes")
	case len(different) < 16 || bytes.Equal(key[:len(key)/2], key[len(key)-len(key)/2:]):
		return errors.New("the secret repeats itself; it is not random")
	}
	for _, n := range steps {
		if n > len(key)/2 {
			return errors.New("the secret is a sequence; it is not random")
		}
	}
	return nil
}
