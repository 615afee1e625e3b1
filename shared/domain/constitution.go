package domain

import (
	"crypto/sha256"
	_ "embed" // the documents
	"encoding/hex"
	"fmt"
	"slices"
	"sync"

	"github.com/dlai-sd/plant/shared/domain/canonical"
	"github.com/go-json-experiment/json"
)

// Constitution is a rule set in one version. Every version ever in force stays
// in this package, so that a past decision can be replayed under its rules.
type Constitution struct {
	Name     string   `json:"name"`
	Version  int      `json:"version"`
	Rules    []Rule   `json:"rules"`
	Policies Policies `json:"policies"`

	document []byte // canonical form
	hash     string
}

// Rule is one sentence of the constitution. Kinds lists whom it binds, "*" for
// everybody.
type Rule struct {
	ID          string   `json:"id"`
	Kinds       []string `json:"kinds"`
	Text        string   `json:"text"`
	Remediation string   `json:"remediation"`
}

// Policies are the constitution's choices that are numbers or lists.
type Policies struct {
	AutomaticCertification []Kind `json:"automatic_certification"` // kinds certified without a person
	RecertifyAfterDays     int    `json:"recertify_after_days"`
	DriftStabilityPPM      int64  `json:"drift_stability_ppm"` // at or below: drifted
}

//go:embed constitution/1.json
var constitution1 []byte

// versions parses the documents once. They are part of the binary: one that
// does not parse is a build that cannot run, and every test fails on it.
var versions = sync.OnceValue(func() []Constitution {
	parsed, err := parseConstitution(constitution1)
	if err != nil {
		panic(err)
	}
	return []Constitution{parsed}
})

func parseConstitution(document []byte) (Constitution, error) {
	c, form, err := parseDocument[Constitution](document)
	if err != nil {
		return Constitution{}, fmt.Errorf("constitution: %w", err)
	}
	sum := sha256.Sum256(form)
	c.document, c.hash = form, hex.EncodeToString(sum[:])
	return c, nil
}

// parseDocument reads one of the written rule sets strictly, and returns its
// canonical form, which its hash is of.
func parseDocument[T any](document []byte) (parsed T, form []byte, err error) {
	if form, err = canonical.Form(document); err != nil {
		return parsed, nil, err
	}
	return parsed, form, json.Unmarshal(form, &parsed, json.RejectUnknownMembers(true))
}

// Constitutions returns every version that this binary knows, oldest first.
func Constitutions() []Constitution { return slices.Clone(versions()) }

// InForce returns the newest version that this binary knows.
func InForce() Constitution {
	all := versions()
	return all[len(all)-1]
}

// Document returns the version's canonical JSON (RFC 8785): what Hash is the
// SHA-256 of.
func (c Constitution) Document() []byte { return slices.Clone(c.document) }

// Hash returns the version's SHA-256 as 64 lower-case hex digits.
func (c Constitution) Hash() string { return c.hash }

// Sum returns the version's SHA-256 as bytes.
func (c Constitution) Sum() [32]byte { return sha256.Sum256(c.document) }

// remediation returns what the constitution in force advises when a rule is
// broken.
func remediation(rule string) string {
	for _, r := range InForce().Rules {
		if r.ID == rule {
			return r.Remediation
		}
	}
	return ""
}
