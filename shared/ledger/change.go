package ledger

import "slices"

// Use is what a signing key is for.
type Use string

// The uses of keys. All are RSA-4096 but checkpoint, which is Ed25519. Heads and
// checkpoint keys sign no amendments.
const (
	UseRoot          Use = "root"
	UseAmendment     Use = "amendment"
	UseCertification Use = "certification"
	UseHeads         Use = "heads"
	UseCheckpoint    Use = "checkpoint"
)

// Entity types that have a part in the rules of the ledger itself.
const (
	typeSigningKey   = "signing_key"
	typeConstitution = "constitution"
)

// keyringAgent is the governance agent that owns the signing keys and nothing else.
const keyringAgent = "keyring"

// Changes that the ledger itself acts on.
const (
	changeIntroduced = "introduced"
	changeRetired    = "retired"
	changeRevoked    = "revoked"
	changeReattested = "reattested"
	changeErased     = "erased"
)

// rule says where a change may stand and what a key must be for to sign it.
type rule struct {
	change string
	types  []string
	first  bool // stands at seq 1, and only there
	use    Use
}

var (
	kinds    = []string{"skill", "job_role", "team", "agent", "industry"}
	governed = append(slices.Clone(kinds), typeConstitution)
	laws     = []string{typeConstitution}
	keys     = []string{typeSigningKey}
)

// rules is the whole table of changes: which types of entity know a change,
// whether it is their first, and the use of the keys that sign it.
var rules = []rule{
	{change: "created", types: kinds, first: true, use: UseAmendment},
	{change: "evolved", types: kinds, use: UseAmendment},
	{change: "embedded", types: kinds, use: UseAmendment},
	{change: "moved", types: kinds, use: UseAmendment},
	{change: "assigned", types: kinds, use: UseAmendment},
	{change: "drifted", types: kinds, use: UseAmendment},
	{change: "certified", types: kinds, use: UseCertification},
	{change: "rejected", types: kinds, use: UseCertification},
	{change: "decertified", types: kinds, use: UseCertification},
	{change: "reaffirmed", types: kinds, use: UseCertification},
	{change: "proposed", types: laws, first: true, use: UseAmendment},
	{change: "judged", types: laws, use: UseAmendment},
	{change: "enacted", types: laws, use: UseAmendment},
	{change: changeReattested, types: governed, use: UseAmendment},
	{change: changeErased, types: governed, use: UseAmendment},
	{change: changeIntroduced, types: keys, first: true, use: UseRoot},
	{change: changeRetired, types: keys, use: UseRoot},
	{change: changeRevoked, types: keys, use: UseRoot},
	{change: changeReattested, types: keys, use: UseRoot},
}

// findRule returns the row of a change of a type of entity.
func findRule(change, entityType string) (rule, bool) {
	for _, r := range rules {
		if r.change == change && slices.Contains(r.types, entityType) {
			return r, true
		}
	}
	return rule{}, false
}

// UseFor returns the use of the keys that may sign a change of a type of entity;
// false where that type does not know the change.
func UseFor(change, entityType string) (Use, bool) {
	r, ok := findRule(change, entityType)
	return r.use, ok
}

// ChangeFits reports whether a change of a type of entity may stand at seq: the
// first change of its type at 1 and only there, and only a change the type knows.
func ChangeFits(change, entityType string, seq int64) bool {
	r, ok := findRule(change, entityType)
	return ok && r.first == (seq == 1)
}

func isChange(s string) bool {
	return slices.ContainsFunc(rules, func(r rule) bool { return r.change == s })
}

func isEntityType(s string) bool {
	return s == typeSigningKey || slices.Contains(governed, s)
}
