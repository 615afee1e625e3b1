// Package bundle is what an auditor holds: a zip or a folder that shows, with
// nothing else but a root key pinned beforehand, what was recorded, by which
// keys, under which rules, that nothing of its scope is missing and how old it
// is. Verification is pure but for reading the files. FORMAT.md in this folder
// specifies them.
package bundle

import (
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/dlai-sd/plant/shared/ledger"
)

// DefaultMaxAge is how old the heads record may be: they are made daily.
const DefaultMaxAge = 26 * time.Hour

// The types of scopes.
const (
	ScopeAll             = "all"
	ScopeGovernanceAgent = "governance_agent"
	ScopeEntity          = "entity"
	ScopeAgent           = "agent"
)

// Scope is what a bundle says it holds all of.
type Scope struct {
	Type string `json:"type"`
	ID   string `json:"id,omitzero"` // of the governance agent or the entity; "" for all
	At   string `json:"at,omitzero"` // of an agent alone: the date, in ledger.TimeLayout
}

// AgentAt returns the scope of an agent at a date, cut to microseconds.
func AgentAt(id string, at time.Time) Scope {
	return Scope{Type: ScopeAgent, ID: id, At: at.UTC().Format(ledger.TimeLayout)}
}

// String returns "all", or the type, a colon and the id, and of an agent an @
// and the date.
func (s Scope) String() string {
	switch s.Type {
	case ScopeAll:
		return s.Type
	case ScopeAgent:
		return s.Type + ":" + s.ID + "@" + s.At
	}
	return s.Type + ":" + s.ID
}

// ParseScope reads what Scope.String returns, and of a date also a day
// (2026-01-31, its first instant) and any other RFC 3339 time.
func ParseScope(text string) (Scope, error) {
	kind, id, _ := strings.Cut(text, ":")
	s := Scope{Type: kind, ID: id}
	if kind == ScopeAgent {
		s.ID, s.At, _ = strings.Cut(id, "@")
		for _, layout := range []string{time.DateOnly, time.RFC3339Nano} {
			if at, err := time.Parse(layout, s.At); err == nil {
				s = AgentAt(s.ID, at)
			}
		}
	}
	if !s.valid() || (kind != ScopeAgent && s.String() != text) {
		return Scope{}, errors.New("a scope is all, governance_agent:ID, entity:ID or agent:ID@DATE")
	}
	return s, nil
}

func (s Scope) valid() bool {
	switch s.Type {
	case ScopeAll:
		return s.ID == "" && s.At == ""
	case ScopeGovernanceAgent, ScopeEntity:
		return s.ID != "" && s.At == ""
	case ScopeAgent:
		_, err := s.at()
		return s.ID != "" && err == nil
	}
	return false
}

// at returns the date of an agent's scope.
func (s Scope) at() (time.Time, error) {
	at, err := time.Parse(ledger.TimeLayout, s.At)
	if err == nil && at.Format(ledger.TimeLayout) != s.At {
		return at, errors.New("not a time in its one form")
	}
	return at, err
}

// Options are what a verifier knows beforehand and never takes from the bundle.
type Options struct {
	Trust  *rsa.PublicKey // the pinned root, see ParseTrust
	Origin string         // the deployment
	Now    time.Time      // the verifier's clock
	MaxAge time.Duration  // of the heads record; 0: DefaultMaxAge
	Seen   []byte         // the last checkpoint seen, or nil
	Scope  *Scope         // required, or nil: the manifest, which is not signed, says it

	// WithoutRules judges as a verifier does that has no rules, which verify.py is:
	// of the rule results only that they are of what is there.
	WithoutRules bool

	// Progress, or nil, hears how far the work is, in bytes of the lines to go
	// through. It is called from one goroutine at a time.
	Progress func(done, total int64)
}

// ParseTrust reads the pinned root: one PEM block, PUBLIC KEY, of an RSA key of
// 4096 bits.
func ParseTrust(text []byte) (*rsa.PublicKey, error) {
	block, rest := pem.Decode(text)
	if block == nil || block.Type != "PUBLIC KEY" || len(strings.TrimSpace(string(rest))) > 0 {
		return nil, errors.New("trust: not one PEM block of a PUBLIC KEY")
	}
	pub, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("trust: %w", err)
	}
	key, ok := pub.(*rsa.PublicKey)
	if !ok || key.N.BitLen() != 4096 {
		return nil, errors.New("trust: not an RSA key of 4096 bits")
	}
	return key, nil
}

// Offender is the first thing that makes a verdict fail.
type Offender struct {
	Reason   ledger.Reason `json:"reason"`
	File     string        `json:"file"`
	LogIndex *int64        `json:"log_index,omitzero"` // nil where the whole file is meant
	EntityID string        `json:"entity_id,omitzero"`
	Detail   string        `json:"detail,omitzero"`
}

// String describes the offender in one line.
func (o Offender) String() string {
	b := strings.Builder{}
	b.WriteString(string(o.Reason) + " in " + o.File)
	if o.LogIndex != nil {
		fmt.Fprintf(&b, ", log index %d", *o.LogIndex)
	}
	if o.EntityID != "" {
		b.WriteString(", entity " + o.EntityID)
	}
	if o.Detail != "" {
		b.WriteString(": " + o.Detail)
	}
	return b.String()
}

// Verdict is one of the four answers.
type Verdict struct {
	Name     string    `json:"name"`
	Passed   bool      `json:"passed"`
	Offender *Offender `json:"offender,omitzero"` // nil where it passed
}

// Report is what a verifier found. Below scope all, completeness is the heads
// signer's claim, which an audit of the whole log can prove wrong.
type Report struct {
	Origin     string    `json:"origin"` // the one that was expected
	Scope      Scope     `json:"scope"`  // the one that was judged
	LogSize    int64     `json:"log_size"`
	HeadsAt    time.Time `json:"heads_at,omitzero"` // the heads record's time; zero if it cannot be read
	Amendments int64     `json:"amendments"`        // records read, those of keys included
	Entities   int64     `json:"entities"`

	Signature    Verdict `json:"signature"`
	Integrity    Verdict `json:"integrity"`
	Completeness Verdict `json:"completeness"`
	Freshness    Verdict `json:"freshness"`

	// Agent is what the bundle says of the scope's agent; nil in other scopes.
	Agent *AgentReport `json:"agent,omitzero"`

	// Rules is what this build's own run of the rules said; no verdict fails for it.
	Rules RulesReport `json:"rules"`

	// Unjudged are the bundle's files that no verdict speaks of, sorted.
	Unjudged []string `json:"unjudged"`
}

// RulesReport counts the entities whose newest state was judged by the rules of its
// constitution: those whose state is in the bundle, under rules that this build has.
type RulesReport struct {
	Judged    int64 `json:"judged"`
	Violating int64 `json:"violating"` // those of them that break a rule
}

// Verdicts returns the four in their order.
func (r Report) Verdicts() []Verdict {
	return []Verdict{r.Signature, r.Integrity, r.Completeness, r.Freshness}
}

// Passed reports whether all four verdicts do.
func (r Report) Passed() bool {
	for _, v := range r.Verdicts() {
		if !v.Passed {
			return false
		}
	}
	return true
}

// NotBundleError says that what was given is no bundle that could be judged:
// a file is missing, is not of the form that FORMAT.md describes, or is larger
// than a verifier reads.
type NotBundleError struct {
	File   string
	Line   int // from 1; 0 where the whole file is meant
	Detail string
	Err    error // what reading said, or nil
}

// Error describes what is wrong. It repeats nothing of the file's content.
func (e *NotBundleError) Error() string {
	b := strings.Builder{}
	b.WriteString("not a bundle: " + e.File)
	if e.Line > 0 {
		fmt.Fprintf(&b, ":%d", e.Line)
	}
	b.WriteString(": " + e.Detail)
	if e.Err != nil {
		b.WriteString(": " + e.Err.Error())
	}
	return b.String()
}

// Unwrap returns what reading said.
func (e *NotBundleError) Unwrap() error { return e.Err }
