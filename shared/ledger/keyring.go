package ledger

import (
	"cmp"
	"crypto/rsa"
	"maps"
	"slices"
)

// Entry is an amendment at its place in the log.
type Entry struct {
	Amendment
	LogIndex int64
}

// Keyring knows which key could sign what at which place of the log. It is built
// once from every signing_key chain and its answers do not change; any number of
// goroutines may ask it.
type Keyring struct {
	origin  string
	earlier []Earlier
	root    string            // the pinned root's key id
	keys    map[string]*Key   // by key id
	chains  map[string]*Key   // by entity id
	lifted  map[Hash]struct{} // voided key records that a later one reattests
	rooted  bool

	reattestations []reattestation
	positions      map[Hash]position // of sound key records

	statements proven // batch statements whose signature held
}

// Earlier is the part of a log that was written under another origin, before a fork
// began it anew: every entry below an index.
type Earlier struct {
	Origin string
	Below  int64
}

// position is where a record stands.
type position struct {
	entity string
	index  int64
}

// reattestation is a sound record by which later trust repairs what a revocation
// voided.
type reattestation struct {
	hash   Hash
	signer string
	at     position
	lists  []Hash
}

// NewKeyring builds the keyring of a deployment from all records of signing_key
// entities. root is the id of the key that the caller trusts beforehand; the
// log's entry 0 must introduce it and be signed by it. earlier are the origins of a
// log that was forked, ascending; who signed the forks, their caller judges.
//
// Introductions, retirements and revocations count in log order, each only if
// its signer was in force when it was logged. A revocation voids what the key
// signed from its invalid_from on, introductions included, and so what the keys
// signed that those introduced; earlier revocations and retirements stay.
//
// The faults are those of the entries, in the order in which they were given:
// nil where a record is sound, otherwise the first reason of FORMAT.md's order.
func NewKeyring(origin, root string, entries []Entry, earlier ...Earlier) (*Keyring, []*Fault) {
	k := &Keyring{
		origin: origin, earlier: earlier, root: root,
		keys: map[string]*Key{}, chains: map[string]*Key{},
		lifted: map[Hash]struct{}{}, positions: map[Hash]position{},
	}
	order := make([]int, len(entries))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(entries[a].LogIndex, entries[b].LogIndex) })

	faults := make([]*Fault, len(entries))
	signers := make([]string, len(entries))
	for _, i := range order {
		signers[i], faults[i] = k.log(entries[i])
	}
	for i, e := range entries {
		if faults[i] == nil && k.voids(signers[i], e.LogIndex, HashOf(e.Bytes)) {
			faults[i] = revoked()
		}
	}
	return k, faults
}

func revoked() *Fault {
	return fault(ReasonKeyRevoked, "the key's revocation reaches back to this record, and none reattests it")
}

// log takes one key record in its turn. It returns the signer and a fault that no
// later record can lift.
func (k *Keyring) log(e Entry) (signer string, f *Fault) {
	r, f := k.open(e)
	if f != nil {
		return "", f
	}
	var state keyState
	var unread *Fault
	if r.EntityType == typeSigningKey {
		state, unread = readKeyState(r, e.Opening)
	}
	if e.LogIndex == 0 {
		if f := k.plant(r, state, unread); f != nil {
			return "", f
		}
		defer k.uproot()
	}
	if f := k.checkSigned(r, e); f != nil {
		return "", f
	}
	if unread != nil || r.EntityType != typeSigningKey {
		return r.KeyID, unread
	}
	return r.KeyID, k.apply(r, state, HashOf(e.Bytes), e.LogIndex)
}

// plant takes the pinned root from the log's entry 0.
func (k *Keyring) plant(r Record, state keyState, unread *Fault) *Fault {
	untrusted := fault(ReasonRootUntrusted, "entry 0 is not the pinned root, introduced by itself")
	if unread != nil || k.rooted || r.Change != changeIntroduced || r.EntityType != typeSigningKey ||
		r.KeyID != k.root || state.KeyID != k.root || state.Use != UseRoot {
		return untrusted
	}
	key, f := state.key()
	if f != nil {
		return untrusted
	}
	k.keys[k.root] = key
	return nil
}

// uproot forgets the root again if its own record did not hold.
func (k *Keyring) uproot() {
	if !k.rooted {
		delete(k.keys, k.root)
	}
}

// apply lets a validly signed key record count. It returns ReasonKeyMalformed
// where the record's content cannot be.
func (k *Keyring) apply(r Record, state keyState, hash Hash, at int64) *Fault {
	if r.GovernanceAgentID != keyringAgent {
		return fault(ReasonKeyMalformed, "a key of another owner than the keyring")
	}
	if r.Change == changeIntroduced {
		return k.introduce(r, state, hash, at)
	}
	key := k.chains[r.EntityID]
	if key == nil || !state.same(key) {
		return fault(ReasonKeyMalformed, "no such key, or its facts changed")
	}
	if r.Change == changeRevoked && (state.InvalidFrom == nil || *state.InvalidFrom < 0 || *state.InvalidFrom > at) {
		return fault(ReasonKeyMalformed, "invalid_from is absent, or beyond the record's own index")
	}
	k.positions[hash] = position{r.EntityID, at}
	if r.Change == changeReattested {
		k.reattestations = append(k.reattestations,
			reattestation{hash, r.KeyID, position{r.EntityID, at}, state.Reattests})
		k.lift()
		return nil
	}
	if k.revokedAt(r.KeyID, at) {
		return nil // its signer was out of force when it was logged: it counts for nothing
	}
	if r.Change == changeRetired && key.Retired < 0 {
		key.Retired = at
	}
	if r.Change == changeRevoked && r.KeyID != key.ID && (key.InvalidFrom < 0 || *state.InvalidFrom < key.InvalidFrom) {
		key.InvalidFrom = *state.InvalidFrom
		k.lift()
	}
	return nil
}

func (k *Keyring) introduce(r Record, state keyState, hash Hash, at int64) *Fault {
	root := at == 0 && !k.rooted
	if k.chains[r.EntityID] != nil || (k.keys[state.KeyID] != nil && !root) {
		return fault(ReasonKeyMalformed, "introduced twice")
	}
	key, f := state.key()
	if f != nil {
		return f
	}
	k.positions[hash] = position{r.EntityID, at}
	if !root && k.revokedAt(r.KeyID, at) {
		return nil
	}
	key.EntityID, key.Introduced = r.EntityID, at
	key.introduction, key.introducer = hash, r.KeyID
	k.keys[key.ID], k.chains[r.EntityID] = key, key
	k.rooted = k.rooted || root
	return nil
}

// lift finds the key records that stand although a revocation reaches back to
// them: those that a sound reattestation of their own chain lists, later in the
// log. A reattestation may itself need one, so it goes on until nothing changes.
func (k *Keyring) lift() {
	k.lifted = map[Hash]struct{}{}
	for again := true; again; {
		again = false
		for _, r := range k.reattestations {
			if k.voids(r.signer, r.at.index, r.hash) {
				continue
			}
			for _, h := range r.lists {
				p, ok := k.positions[h]
				if _, done := k.lifted[h]; ok && !done && p.entity == r.at.entity && p.index < r.at.index {
					k.lifted[h] = struct{}{}
					again = true
				}
			}
		}
	}
}

// voids reports whether a record that keyID signed at a log index is void: a
// revocation reaches back to it and nothing lifts it.
func (k *Keyring) voids(keyID string, at int64, hash Hash) bool {
	_, lifted := k.lifted[hash]
	return !lifted && k.revokedAt(keyID, at)
}

// revokedAt reports whether a revocation takes the key out of force at a log
// index, its own or that of the key that introduced it.
func (k *Keyring) revokedAt(keyID string, at int64) bool {
	key := k.keys[keyID]
	if key == nil || key.ID == k.root {
		return false
	}
	if key.InvalidFrom >= 0 && key.InvalidFrom <= at {
		return true
	}
	return k.voids(key.introducer, key.Introduced, key.introduction)
}

// Rooted reports whether the log's entry 0 is the pinned root. Without it no key
// is known.
func (k *Keyring) Rooted() bool { return k.rooted }

// Origin returns the deployment whose keys these are.
func (k *Keyring) Origin() string { return k.origin }

// OriginAt returns the deployment that an entry at a log index names: Origin, or
// before a fork the one that it began anew.
func (k *Keyring) OriginAt(index int64) string {
	for _, e := range k.earlier {
		if index < e.Below {
			return e.Origin
		}
	}
	return k.origin
}

// Origins returns all of them, the newest last.
func (k *Keyring) Origins() []string {
	var all []string
	for _, e := range k.earlier {
		all = append(all, e.Origin)
	}
	return append(all, k.origin)
}

// Keys returns every key that was introduced, by log index. The caller must not
// change what they point to.
func (k *Keyring) Keys() []Key {
	all := make([]Key, 0, len(k.chains))
	for key := range maps.Values(k.chains) {
		all = append(all, *key)
	}
	slices.SortFunc(all, func(a, b Key) int { return cmp.Compare(a.Introduced, b.Introduced) })
	return all
}

// Key returns a key by its id.
func (k *Keyring) Key(keyID string) (Key, bool) {
	key := k.keys[keyID]
	if key == nil {
		return Key{}, false
	}
	return *key, true
}

// InForce reports whether a key was in force at a log index: introduced before
// it, not retired before it, not revoked from it or an earlier one on.
func (k *Keyring) InForce(keyID string, at int64) bool {
	return k.present(keyID, at) == nil && !k.Revoked(keyID, at)
}

// MaySign reports whether a key's use and its may_sign both allow a change of a
// type of entity.
func (k *Keyring) MaySign(keyID, change, entityType string) bool {
	key := k.keys[keyID]
	return key != nil && key.maySign(change, entityType)
}

// Revoked reports whether a revocation takes the key out of force at a log
// index. What it signed there is void unless a later record reattests it.
func (k *Keyring) Revoked(keyID string, at int64) bool { return k.revokedAt(keyID, at) }

// Admit returns the key of this id if it was there at a log index and is of this
// use; otherwise a *Fault: ReasonKeyUnknown, ReasonKeyNotInForce,
// ReasonKeyRetired or ReasonKeyMayNotSign. Whether a revocation reaches the index
// is for Revoked to say, after the signature: the order is FORMAT.md's.
func (k *Keyring) Admit(keyID string, at int64, use Use) (Key, error) {
	if f := k.present(keyID, at); f != nil {
		return Key{}, f
	}
	key := k.keys[keyID]
	if key.Use != use {
		return Key{}, fault(ReasonKeyMayNotSign, "a key of another use")
	}
	return *key, nil
}

// present reports why a key was not there at a log index, revocations aside.
func (k *Keyring) present(keyID string, at int64) *Fault {
	key := k.keys[keyID]
	switch {
	case key == nil:
		return fault(ReasonKeyUnknown, "no key of this id was introduced")
	case at < key.Introduced || (at == key.Introduced && key.ID != k.root):
		return fault(ReasonKeyNotInForce, "introduced only later in the log")
	case key.Retired >= 0 && key.Retired < at:
		return fault(ReasonKeyRetired, "retired earlier in the log")
	}
	return nil
}

// open reads a record and reports what is wrong before its key is looked at.
func (k *Keyring) open(e Entry) (Record, *Fault) {
	r, f := readRecord(e.Bytes)
	switch {
	case f != nil:
		return Record{}, f
	case r.Context != ContextAmendment:
		return Record{}, checkContext(r)
	case r.Origin != k.OriginAt(e.LogIndex):
		return Record{}, fault(ReasonOriginWrong, "a record of another deployment")
	}
	return r, checkAlgorithm(r, e.Amendment)
}

// checkSigned reports what is wrong with the key and the signature of a record,
// revocations aside.
func (k *Keyring) checkSigned(r Record, e Entry) *Fault {
	if f := k.present(r.KeyID, e.LogIndex); f != nil {
		return f
	}
	key := k.keys[r.KeyID]
	pub, isRSA := key.Public.(*rsa.PublicKey)
	if !isRSA || !key.maySign(r.Change, r.EntityType) {
		return fault(ReasonKeyMayNotSign, "%s of a %s", r.Change, r.EntityType)
	}
	return k.statements.check(pub, r, e.Amendment)
}

func asFault(err error) *Fault {
	if err != nil {
		return badSignature()
	}
	return nil
}
