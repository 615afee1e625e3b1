package domain

import "slices"

// KeyUse is what a signing key is for.
type KeyUse string

// The five uses. All are RSA-4096 but the checkpoint key, which is Ed25519.
const (
	UseRoot          KeyUse = "root"
	UseAmendment     KeyUse = "amendment"
	UseCertification KeyUse = "certification"
	UseHeads         KeyUse = "heads"
	UseCheckpoint    KeyUse = "checkpoint"
)

// Statuses of a signing key; they stand beside the lifecycle of the five kinds.
const (
	KeyRetired Status = "retired"
	KeyRevoked Status = "revoked"
)

// SigningKey is the public half of a key that signs records: an entity of the
// governance agent `keyring`, whose amendments a root signs.
type SigningKey struct {
	KeyID       string   `json:"key_id"` // lower-case hex SHA-256 of the SPKI's DER
	SPKI        string   `json:"spki"`   // SubjectPublicKeyInfo, DER, base64
	Use         KeyUse   `json:"use"`
	MaySign     []string `json:"may_sign"`     // changes, sorted
	InvalidFrom *int64   `json:"invalid_from"` // log index, set by a revocation
}

// Kind implements Facts.
func (SigningKey) Kind() Kind { return KindSigningKey }

// Label implements Facts: keys go by their key_id alone.
func (SigningKey) Label() string { return "" }

// Text implements Facts: keys are not searched.
func (SigningKey) Text() string { return "" }

// Refs implements Facts: a key stands alone.
func (SigningKey) Refs() []Ref { return nil }

// Check implements Facts: which changes a use allows.
func (k SigningKey) Check(Known) []Violation {
	var v violations
	allowed := MaySign(k.Use)
	for _, change := range k.MaySign {
		v.unless(slices.Contains(allowed, change), RuleKeyUse, "/may_sign", "a "+string(k.Use)+" key may not sign "+change)
	}
	v.unless(len(k.KeyID) == 64, RuleKeyUse, "/key_id", "key_id is not 64 hex digits")
	return v
}

// RuleKeyUse is the rule that a key signs only what its use allows.
const RuleKeyUse = "KEY-USE"

func (k SigningKey) sorted() Facts {
	k.MaySign = sortedSet(k.MaySign)
	return k
}

// MaySign lists every change that a key of this use may be allowed to sign,
// sorted; its own may_sign narrows the list. Erasure is in no default list: it
// is a governor's, by a key introduced for it.
func MaySign(use KeyUse) []string {
	switch use {
	case UseRoot:
		return []string{ChangeIntroduced, ChangeReattested, ChangeRetired, ChangeRevoked}
	case UseCertification:
		return []string{ChangeCertified, ChangeDecertified, ChangeReaffirmed, ChangeRejected}
	case UseAmendment:
		return []string{
			ChangeAssigned, ChangeCreated, ChangeDrifted, ChangeEmbedded, ChangeEnacted, ChangeErased,
			ChangeEvolved, ChangeJudged, ChangeMoved, ChangeProposed, ChangeReattested,
		}
	default:
		return nil
	}
}

// DefaultMaySign is what a new key of this use is given: all it may be, but
// not erasure.
func DefaultMaySign(use KeyUse) []string {
	return slices.DeleteFunc(slices.Clone(MaySign(use)), func(c string) bool { return c == ChangeErased })
}

// Introduced makes the first state of a signing key: public and active.
func Introduced(id ID, k SigningKey) Entity {
	e := Entity{ID: id, GovernanceAgentID: KeyringAgent, Governed: Governed{Status: Active}}
	return e.with(k, Settable{Visibility: Public})
}

// EndKey retires a key, or revokes it from a log index on.
type EndKey struct {
	Revoked     bool
	InvalidFrom int64 // log index; read only for a revocation
	Reason      string
}

// Name implements Change.
func (c EndKey) Name() string {
	if c.Revoked {
		return ChangeRevoked
	}
	return ChangeRetired
}

// Needs implements Change: an operator, who holds the root's secret.
func (EndKey) Needs(Entity) []Authority { return []Authority{Operator} }

// Apply implements Change. A revoked key stays revoked; a retired one can still
// be revoked.
func (c EndKey) Apply(e Entity) (Entity, error) {
	key, ok := e.Facts.(SigningKey)
	if !ok {
		return Entity{}, Refuse(CodeMalformed, "a %s is not a signing key", e.Kind())
	}
	if e.Governed.Status == KeyRevoked || (e.Governed.Status == KeyRetired && !c.Revoked) {
		return Entity{}, Refuse(CodeIllegalMove, "the key is %s", e.Governed.Status)
	}
	next := e
	next.Governed.Status = KeyRetired
	next.Governed.StatusReason = c.Reason
	if c.Revoked {
		next.Governed.Status = KeyRevoked
		key.InvalidFrom = &c.InvalidFrom
		next.Facts = key
	}
	return next, nil
}

// Reattest says again, under a key in force, what amendments of this entity said
// whose key was revoked: it lists their hashes.
type Reattest struct{ Hashes []string }

// Name implements Change.
func (Reattest) Name() string { return ChangeReattested }

// Needs implements Change: an operator.
func (Reattest) Needs(Entity) []Authority { return []Authority{Operator} }

// Apply implements Change.
func (c Reattest) Apply(e Entity) (Entity, error) {
	if len(c.Hashes) == 0 {
		return Entity{}, Refuse(CodeMalformed, "there is nothing to reattest")
	}
	next := e
	next.Governed.Reattests = sortedSet(c.Hashes)
	return next, nil
}

// Settled returns the state after a change without what only the amendment of
// another change says: lists of earlier amendments stand in one state alone, and what
// passed the rules in force falls short of none.
func (e Entity) Settled(change string) Entity {
	if change != ChangeReattested {
		e.Governed.Reattests = nil
	}
	if change != ChangeErased {
		e.Governed.ErasedSeqs = nil
	}
	if !slices.Contains(Notes(), change) {
		return e.judged()
	}
	return e
}
