package ledger

import (
	"crypto"
	"fmt"
	"time"
)

// Draft is a change that is decided but not yet signed.
type Draft struct {
	EntityID, EntityType, GovernanceAgentID, Author, Change string

	Breaking bool
	Seq      int64     // 1, 2, …
	PrevHash Hash      // the predecessor's; zero at Seq 1
	After    time.Time // the predecessor's RecordedAt; zero at Seq 1
	State    []byte    // canonical, after the change
}

// Sealer makes amendments of drafts. It is a value that several goroutines may
// use at once, if Signer and Now can be.
type Sealer struct {
	Origin       string           // the deployment
	Constitution Hash             // the rules in force
	KeyID        string           // of Signer
	Signer       crypto.Signer    // RSA-4096
	Now          func() time.Time // nil: time.Now
}

// Seal records and signs drafts: one by a direct signature, 2 to MaxBatch by one
// batch signature. RecordedAt is the clock's time or the predecessor's, whichever
// is later. A draft of Seq over 1 with a zero PrevHash follows the draft of the
// same entity that stands before it in drafts. Nothing is sealed if one of the
// drafts is not sound: the error is then a Break that says which, and why.
func (s Sealer) Seal(drafts []Draft) ([]Amendment, error) {
	if err := s.check(len(drafts)); err != nil {
		return nil, fmt.Errorf("seal: %w", err)
	}
	algorithm := AlgorithmDirect
	if len(drafts) > 1 {
		algorithm = AlgorithmBatch
	}
	sealed, err := s.records(drafts, algorithm)
	if err != nil {
		return nil, fmt.Errorf("seal: %w", err)
	}
	if algorithm == AlgorithmBatch {
		err = s.signBatch(sealed)
	} else {
		sealed[0].Signature, err = Sign(s.Signer, sealed[0].Bytes)
	}
	if err != nil {
		return nil, fmt.Errorf("seal: %w", err)
	}
	return sealed, nil
}

// check reports a sealer that must not sign, or a number of drafts that cannot
// be signed together.
func (s Sealer) check(drafts int) error {
	if drafts < 1 || drafts > MaxBatch {
		return fmt.Errorf("%d drafts: one signature covers 1 to %d", drafts, MaxBatch)
	}
	if err := CheckOrigin(s.Origin); err != nil {
		return err
	}
	if s.Constitution.IsZero() {
		return fmt.Errorf("no constitution")
	}
	if s.Signer == nil {
		return fmt.Errorf("no signer")
	}
	id, err := KeyID(s.Signer.Public())
	if err != nil {
		return err
	}
	if id != s.KeyID {
		return fmt.Errorf("the signer's key is %s, not %s", id, s.KeyID)
	}
	return nil
}

// records makes the amendments, all but their signatures.
func (s Sealer) records(drafts []Draft, algorithm string) ([]Amendment, error) {
	now := time.Now
	if s.Now != nil {
		now = s.Now
	}
	clock := now()
	sealed := make([]Amendment, len(drafts))
	heads := make(map[string]Record, len(drafts)) // the newest record of each entity
	hashes := make(map[string]Hash, len(drafts))
	for i, d := range drafts {
		if head, ok := heads[d.EntityID]; ok {
			if f := d.follow(head, hashes[d.EntityID]); f != nil {
				return nil, Break{Index: i, Fault: f}
			}
		}
		a, err := s.record(d, algorithm, clock)
		if err != nil {
			return nil, Break{Index: i, Fault: err}
		}
		sealed[i] = a
		heads[d.EntityID], hashes[d.EntityID] = a.Record, a.Hash
	}
	return sealed, nil
}

// follow links a draft to the record before it in the same call.
func (d *Draft) follow(head Record, hash Hash) *Fault {
	if d.Seq != head.Seq+1 || !d.PrevHash.IsZero() {
		return fault(ReasonSeqDuplicate, "an earlier draft of the same entity is not its predecessor")
	}
	if d.EntityType != head.EntityType {
		return fault(ReasonTypeChanged, "")
	}
	if d.GovernanceAgentID != head.GovernanceAgentID {
		return fault(ReasonOwnerChanged, "")
	}
	d.PrevHash, d.After = hash, head.RecordedAt
	return nil
}

// record makes one amendment without its signature.
func (s Sealer) record(d Draft, algorithm string, clock time.Time) (Amendment, *Fault) {
	opening, f := openState(d.State)
	if f != nil {
		return Amendment{}, f
	}
	if d.After.After(clock) {
		clock = d.After
	}
	r := Record{
		Algorithm: algorithm, Author: d.Author, Breaking: d.Breaking, Change: d.Change,
		Constitution: s.Constitution, Context: ContextAmendment,
		EntityID: d.EntityID, EntityType: d.EntityType, GovernanceAgentID: d.GovernanceAgentID,
		KeyID: s.KeyID, Origin: s.Origin, PrevHash: d.PrevHash,
		RecordedAt: clock.UTC().Truncate(time.Microsecond), Seq: d.Seq, StateHash: opening.Hash(),
	}
	if f := r.check(); f != nil {
		return Amendment{}, f
	}
	if !fits(r) {
		return Amendment{}, fault(ReasonChangeInvalid, "%s of a %s at seq %d", r.Change, r.EntityType, r.Seq)
	}
	if (r.Seq == 1) != r.PrevHash.IsZero() {
		return Amendment{}, fault(ReasonPrevHashMismatch, "a first amendment has no predecessor, every other one has")
	}
	b := r.Bytes()
	return Amendment{Record: r, Bytes: b, Hash: HashOf(b), Opening: &opening}, nil
}

// fits reports whether the record's change may stand where it stands, and only
// keys belong to the keyring.
func fits(r Record) bool {
	return ChangeFits(r.Change, r.EntityType, r.Seq) &&
		(r.EntityType == typeSigningKey) == (r.GovernanceAgentID == keyringAgent)
}

// signBatch signs all amendments with one signature.
func (s Sealer) signBatch(sealed []Amendment) error {
	hashes := make([]Hash, len(sealed))
	var latest time.Time
	for i, a := range sealed {
		hashes[i] = a.Hash
		if a.Record.RecordedAt.After(latest) {
			latest = a.Record.RecordedAt
		}
	}
	root, paths := batchTree(hashes)
	signed := statement{
		context: ContextBatch, keyID: s.KeyID, origin: s.Origin,
		recordedAt: latest, root: root, size: int64(len(sealed)),
	}.bytes()
	signature, err := Sign(s.Signer, signed)
	if err != nil {
		return err
	}
	for i := range sealed {
		sealed[i].Signature = signature
		sealed[i].Batch = &Batch{Statement: signed, Index: i, Path: paths[i]}
	}
	return nil
}
