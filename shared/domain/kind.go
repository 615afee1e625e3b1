package domain

import (
	"regexp"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/uuid"
)

// Kind is the type of an entity, spelled as in records, rows and responses.
type Kind string

// The five kinds that callers create, the signing key, which only the command line
// writes, and the proposed constitution.
const (
	KindSkill        Kind = "skill"
	KindJobRole      Kind = "job_role"
	KindTeam         Kind = "team"
	KindAgent        Kind = "agent"
	KindIndustry     Kind = "industry"
	KindSigningKey   Kind = "signing_key"
	KindConstitution Kind = "constitution"
)

// Kinds lists the five kinds that have routes.
func Kinds() []Kind {
	return []Kind{KindSkill, KindJobRole, KindTeam, KindAgent, KindIndustry}
}

// KeyringAgent is the governance agent that owns the signing keys and nothing
// else.
const KeyringAgent = "keyring"

// ID is an entity's identity: a UUIDv7 (RFC 9562) in lower case.
type ID string

// NewID returns a fresh ID. It fails only where the system has no randomness.
func NewID() (ID, error) {
	u, err := uuid.NewV7()
	if err != nil {
		return "", err
	}
	return ID(u.String()), nil
}

// BeforeAll stands before every ID: who reads entities in the order of their ids begins
// behind it.
const BeforeAll ID = "00000000-0000-0000-0000-000000000000"

var idPattern = regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`)

// MarshalJSON spells the absent ID as null.
func (id ID) MarshalJSON() ([]byte, error) {
	if id == "" {
		return []byte("null"), nil
	}
	return jsontext.AppendQuote(nil, string(id))
}

// Valid reports whether the ID is a lower-case UUIDv7.
func (id ID) Valid() bool { return idPattern.MatchString(string(id)) }

var slugPattern = regexp.MustCompile(`^[a-z0-9-]{1,63}$`)

// ValidGovernanceAgent reports whether s is a slug that can own entities.
func ValidGovernanceAgent(s string) bool { return slugPattern.MatchString(s) }
