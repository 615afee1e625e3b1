package domain

import (
	"crypto/sha256"
	_ "embed" // the documents
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/dlai-sd/plant/shared/domain/canonical"
	"github.com/go-json-experiment/json"
)

// Constitution is a rule set in one version, as this binary can judge by it: only
// ReadConstitution makes one. Which one is in force is the ledger's to say; it is
// handed to whoever judges.
type Constitution struct {
	Name     string   `json:"name"`
	Version  int      `json:"version"`
	Rules    []Rule   `json:"rules"`
	Policies Policies `json:"policies"`

	document []byte // canonical form
	hash     string
	byID     map[string]int // where a rule stands
	checks   []compiled     // of the rules that have one, in their order
}

// Rule is one sentence of the constitution. Kinds lists whom it binds, "*" for
// everybody.
type Rule struct {
	ID          string   `json:"id"`
	Kinds       []string `json:"kinds"`
	Text        string   `json:"text"`
	Remediation string   `json:"remediation"`
	Check       *Check   `json:"check,omitzero"` // what decides it; none: code does, by the rule's id
}

// Policies are the constitution's choices that are numbers or lists.
type Policies struct {
	AutomaticCertification []Kind `json:"automatic_certification"` // kinds certified without a person
	RecertifyAfterDays     int    `json:"recertify_after_days"`
	DriftStabilityPPM      int64  `json:"drift_stability_ppm"` // at or below: drifted
}

// Limits of a document.
const (
	MaxConstitution = 64 << 10 // bytes of canonical JSON
	MaxLawRules     = 300
)

// ErrUninterpretable says that a document is no constitution that this binary can
// judge by: it is malformed, leaves out what nothing can do without, or has a rule
// that a later build decides.
var ErrUninterpretable = errors.New("not a constitution that this build can judge by")

//go:embed constitution/1.json
var constitution1 []byte

// documents are the ones that this repository ever wrote, oldest first; each
// stays. The newest is what a new deployment begins with.
var documents = sync.OnceValue(func() []Constitution {
	first, err := parseConstitution(constitution1)
	if err != nil {
		panic(err) // a build that cannot run: every test fails on it
	}
	return []Constitution{first}
})

// ReadConstitution reads a document that a ledger holds or somebody proposes. What
// it returns judges as the document says; an error is ErrUninterpretable and says
// what is wrong.
func ReadConstitution(document []byte) (Constitution, error) {
	c, err := parseConstitution(document)
	if err == nil {
		err = c.sound()
	}
	if err != nil {
		return Constitution{}, fmt.Errorf("%w: %w", ErrUninterpretable, err)
	}
	return c, nil
}

func parseConstitution(document []byte) (Constitution, error) {
	c, form, err := parseDocument[Constitution](document)
	if err != nil {
		return Constitution{}, fmt.Errorf("constitution: %w", err)
	}
	sum := sha256.Sum256(form)
	c.document, c.hash = form, hex.EncodeToString(sum[:])
	return c, c.compile()
}

// parseDocument reads one of the written rule sets strictly, and returns its
// canonical form, which its hash is of.
func parseDocument[T any](document []byte) (parsed T, form []byte, err error) {
	if form, err = canonical.Form(document); err != nil {
		return parsed, nil, err
	}
	return parsed, form, json.Unmarshal(form, &parsed, json.RejectUnknownMembers(true))
}

// Constitutions returns every document that this repository ever wrote, oldest
// first.
func Constitutions() []Constitution { return slices.Clone(documents()) }

// Founding returns the newest of them: what a new deployment begins with.
func Founding() Constitution {
	all := documents()
	return all[len(all)-1]
}

// Document returns the version's canonical JSON (RFC 8785): what Hash is the
// SHA-256 of.
func (c Constitution) Document() []byte { return slices.Clone(c.document) }

// Hash returns the version's SHA-256 as 64 lower-case hex digits.
func (c Constitution) Hash() string { return c.hash }

// Sum returns the version's SHA-256 as bytes.
func (c Constitution) Sum() [32]byte { return sha256.Sum256(c.document) }

// IsZero reports whether this is no constitution at all.
func (c Constitution) IsZero() bool { return c.hash == "" }

// Advised returns violations with what the constitution advises about the rules
// that were broken, where they do not say so themselves.
func (c Constitution) Advised(list []Violation) []Violation {
	for i, v := range list {
		if v.Remediation == "" {
			list[i].Remediation = c.rule(v.Rule).Remediation
		}
	}
	return list
}

// rule returns a rule by its id; the zero Rule where there is none.
func (c Constitution) rule(id string) Rule {
	at, ok := c.byID[id]
	if !ok {
		return Rule{}
	}
	return c.Rules[at]
}

// binds reports whether a rule of the document is about a kind.
func (r Rule) binds(k Kind) bool {
	return slices.Contains(r.Kinds, "*") || slices.Contains(r.Kinds, string(k))
}

// asks reports whether the document wants a coded rule of a kind.
func (c Constitution) asks(id string, k Kind) bool {
	r := c.rule(id)
	return r.ID != "" && (r.binds(k) || !slices.Contains(dispensable(), id))
}

// coded are the rules that code decides.
var coded = sync.OnceValue(func() map[string]bool {
	known := map[string]bool{}
	for _, c := range documents() {
		for _, r := range c.Rules {
			if r.Check == nil {
				known[r.ID] = true
			}
		}
	}
	return known
})

// dispensable are the coded rules that a constitution may leave out: what they
// hold, nothing else rests on. Of every other one the tables, the lifecycle or the
// chain do.
func dispensable() []string {
	return []string{RuleTags}
}

// sound reports what keeps a document that can be read from being judged by.
func (c Constitution) sound() error {
	switch {
	case len(c.document) > MaxConstitution:
		return fmt.Errorf("larger than %d bytes", MaxConstitution)
	case len(c.Rules) > MaxLawRules:
		return fmt.Errorf("more than %d rules", MaxLawRules)
	case !filled(c.Name) || c.Version < 1:
		return errors.New("it has no name, or no version from 1 on")
	}
	for _, r := range c.Rules {
		if err := r.sound(); err != nil {
			return fmt.Errorf("rule %q: %w", r.ID, err)
		}
	}
	for id := range coded() {
		founding := Founding().rule(id)
		switch r := c.rule(id); {
		case slices.Contains(dispensable(), id):
		case r.ID == "":
			return fmt.Errorf("rule %s is left out, and cannot be", id)
		case !slices.Equal(r.Kinds, founding.Kinds):
			return fmt.Errorf("rule %s is about %s, which cannot be changed", id, strings.Join(founding.Kinds, ", "))
		}
	}
	return c.Policies.sound()
}

func (r Rule) sound() error {
	switch {
	case !filled(r.Text) || !filled(r.Remediation):
		return errors.New("it has no text, or no remediation")
	case len(r.Kinds) == 0:
		return errors.New("it is about no kind")
	case r.Check == nil && !coded()[r.ID]:
		return errors.New("it has no check, and this build decides no rule of that id")
	case r.Check != nil && (coded()[r.ID] || !slices.ContainsFunc(lawPrefixes(), func(p string) bool { return strings.HasPrefix(r.ID, p) })):
		return fmt.Errorf("its id is the code's, or does not begin with %s", strings.Join(lawPrefixes(), " or "))
	}
	for _, k := range r.Kinds {
		if k != "*" && !slices.Contains(Kinds(), Kind(k)) && (r.Check != nil || Kind(k) != KindSigningKey) {
			return fmt.Errorf("there is no kind %q", k)
		}
	}
	return nil
}

// lawPrefixes are how the ids of rules begin that a document decides by a check.
func lawPrefixes() []string { return []string{"L1-", "L2-"} }

func (p Policies) sound() error {
	for _, k := range p.AutomaticCertification {
		if !slices.Contains(Kinds(), k) {
			return fmt.Errorf("automatic_certification: there is no kind %q", k)
		}
	}
	if p.RecertifyAfterDays < 1 || p.RecertifyAfterDays > 3650 {
		return errors.New("recertify_after_days is not between 1 and 3650")
	}
	if p.DriftStabilityPPM < 0 || p.DriftStabilityPPM > 1_000_000 {
		return errors.New("drift_stability_ppm is not between 0 and 1000000")
	}
	return nil
}
