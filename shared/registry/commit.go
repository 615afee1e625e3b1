package registry

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/dlai-sd/plant/shared/domain"
	"github.com/dlai-sd/plant/shared/event"
	"github.com/dlai-sd/plant/shared/keys"
	"github.com/dlai-sd/plant/shared/ledger"
	"github.com/dlai-sd/plant/shared/store"
	"github.com/dlai-sd/plant/shared/web"
	"github.com/go-json-experiment/json"
	"github.com/google/uuid"
)

// commit judges, signs and writes a change and what must happen with it in the
// same transaction, and announces all of it.
func (s *Service) commit(ctx context.Context, req Request, p plan, also ...plan) (Written, error) {
	plans := append([]plan{p}, also...)
	w := store.Write{
		Tenant: p.after.GovernanceAgentID, Principal: req.principal(), Receipt: req.Receipt,
		Authorities: authorities(p.needs, p.after.GovernanceAgentID),
	}
	for _, one := range plans {
		if broken := judged(req.law, one); len(broken) > 0 {
			return Written{}, &domain.Error{Code: domain.CodeRuleViolated, Detail: "the entity would break a rule", Violations: broken}
		}
		w.References = append(w.References, newRefs(one)...)
	}
	w.References = slices.DeleteFunc(w.References, func(r domain.Ref) bool { return r.ID == p.after.ID })
	joined, err := s.foreignTeams(ctx, w.Tenant, w.References)
	if err != nil {
		return Written{}, err
	}
	if v := unknown(w.References, joined); len(v) > 0 {
		return Written{}, noSuchReference(v)
	}
	if req.ValidateOnly {
		return s.wouldWrite(ctx, req, p, w)
	}
	relate(&w, plans)
	amendments, err := s.append(ctx, req, w, plans, nil)
	if errors.Is(err, store.ErrKeyUsed) {
		w, err := s.recall(ctx, req)
		if isUnknownKey(err) {
			// The key was used for what another governance agent owns.
			return Written{}, domain.Refuse(domain.CodeIdempotencyReused, "this Idempotency-Key was used for another request")
		}
		return w, err
	}
	if err != nil {
		return Written{}, refusal(err, func() []domain.Violation { return s.invisible(ctx, w.Tenant, w.References) })
	}
	if p.before == nil && len(also) == 0 {
		return Written{Snapshot: firstSnapshot(plans[0].after, amendments[0])}, nil
	}
	snapshot, err := s.readBack(ctx, w.Tenant, amendments[0])
	return Written{Snapshot: snapshot}, refusal(err, nil)
}

// judged is what the constitution says against a change. What only takes note of
// an entity, or takes it out of use, is not refused for a rule that it breaks
// already.
func judged(law domain.Constitution, p plan) []domain.Violation {
	if slices.Contains(domain.Notes(), p.change) || !p.after.Living() {
		return nil
	}
	return law.Validate(p.after, domain.Known{})
}

// relate asks the database to hold what only it can: no cycle among parents
// that change, and an agent in every team that is born or left.
func relate(w *store.Write, plans []plan) {
	for _, p := range plans {
		if parent := p.after.Governed.ParentID; parent != "" && (p.before == nil || p.before.Governed.ParentID != parent) {
			if w.Children == nil {
				w.Children = map[domain.Kind][]domain.ID{}
			}
			w.Children[p.after.Kind()] = append(w.Children[p.after.Kind()], p.after.ID)
		}
		if p.before == nil && p.after.Kind() == domain.KindTeam {
			w.Teams = append(w.Teams, p.after.ID)
		}
		if team := leaves(p); team != "" {
			w.Teams = append(w.Teams, team)
		}
	}
}

// leaves returns the team that an agent leaves by a change, if it leaves one.
func leaves(p plan) domain.ID {
	if p.before == nil {
		return ""
	}
	before, ok := p.before.Facts.(domain.Agent)
	if !ok || before.TeamID == "" {
		return ""
	}
	if after := p.after.Facts.(domain.Agent); after.TeamID != before.TeamID || !p.after.Living() {
		return before.TeamID
	}
	return ""
}

// answer is what a bulk request's key remembers, made between signing and
// writing because it holds the hashes. It is nil for a single entity.
type answer func([]ledger.Amendment) ([]byte, error)

// append signs plans and writes them with w in one transaction. A head that does not
// hold is an *UnsignedError, and nothing is written. Where the
// database says that the key is out of force, it reloads the key once and signs
// again.
func (s *Service) append(ctx context.Context, req Request, w store.Write, plans []plan, items answer) ([]ledger.Amendment, error) {
	key, err := s.keys.Key(ctx)
	if err != nil {
		return nil, fmt.Errorf("signing key: %w", err)
	}
	if req.law.IsZero() { // nothing was judged by it
		return underLaw(ctx, s, req, func(req Request) ([]ledger.Amendment, error) { return s.append(ctx, req, w, plans, items) })
	}
	if err := s.proveAll(ctx, w.Tenant, plans); err != nil {
		return nil, err
	}
	amendments, err := s.signAndWrite(ctx, req, w, key, plans, items)
	if errors.Is(err, store.ErrKeyOutOfForce) {
		if key, err = s.keys.Reload(ctx, key.ID()); err != nil {
			return nil, err
		}
		amendments, err = s.signAndWrite(ctx, req, w, key, plans, items)
	}
	return amendments, err
}

func (s *Service) signAndWrite(ctx context.Context, req Request, w store.Write, key keys.Key, plans []plan, items answer) ([]ledger.Amendment, error) {
	amendments, err := s.seal(req, key, plans)
	if err != nil {
		return nil, err
	}
	if err := fill(&w, req, plans, amendments, items); err != nil {
		return nil, err
	}
	for range writeTries {
		if err = s.db.Append(ctx, w); !errors.Is(err, store.ErrDeadlock) { // the line that writes
			break
		}
	}
	if err != nil {
		return nil, err
	}
	s.announce(ctx, w)
	return amendments, nil
}

// writeTries bounds how often a write that gave way to another is tried: nothing
// of it was written, and what it signed still stands.
const writeTries = 3

// seal signs plans: one directly, several as a batch, and judges L0 on each new
// head before anything is written.
func (s *Service) seal(req Request, key keys.Key, plans []plan) ([]ledger.Amendment, error) {
	if len(plans) == 0 {
		return nil, nil
	}
	drafts := make([]ledger.Draft, len(plans))
	for i := range plans {
		plans[i].after = plans[i].after.Settled(plans[i].change)
		var err error
		if drafts[i], err = draft(req, plans[i]); err != nil {
			return nil, err
		}
	}
	sealer := ledger.Sealer{
		Origin: s.origin, Constitution: req.law.Sum(), KeyID: key.ID(), Signer: key, Now: time.Now,
	}
	amendments, err := sealer.Seal(drafts) // the line that signs
	if err != nil {
		return nil, fmt.Errorf("sign: %w", err)
	}
	for i := range plans {
		plans[i].after.Head = nextHead(plans[i], amendments[i])
		if r := req.law.L0(evidence(plans[i], amendments[i])); !r.Passed() {
			return nil, fmt.Errorf("a new amendment breaks L0: %+v", r.Outcomes)
		}
	}
	return amendments, nil
}

func draft(req Request, p plan) (ledger.Draft, error) {
	state, err := stateOf(p)
	if err != nil {
		return ledger.Draft{}, err
	}
	d := ledger.Draft{
		EntityID: string(p.after.ID), EntityType: string(p.after.Kind()), GovernanceAgentID: p.after.GovernanceAgentID,
		Author: p.author(req), Change: p.change, Breaking: p.breaking, Seq: 1, State: state,
	}
	if p.before != nil {
		d.Seq = p.before.Head.Version + 1
		d.PrevHash = ledger.Hash(p.before.Head.Hash)
		d.After = p.before.Head.UpdatedAt
	}
	return d, nil
}

// stateOf is the canonical state after a change.
func stateOf(p plan) ([]byte, error) {
	if p.state != nil {
		return p.state, nil
	}
	state, err := p.after.State()
	if err != nil {
		return nil, &domain.Error{Code: domain.CodeMalformed, Detail: "the state cannot be written as canonical JSON", Err: err}
	}
	return state, nil
}

func nextHead(p plan, a ledger.Amendment) domain.Head {
	h := domain.Head{
		Version: a.Record.Seq, Hash: a.Hash, ETag: a.Hash, Constitution: a.Record.Constitution,
		CreatedAt: a.Record.RecordedAt, UpdatedAt: a.Record.RecordedAt,
	}
	if p.before != nil {
		h.CreatedAt = p.before.Head.CreatedAt
		if p.change == domain.ChangeEmbedded {
			h.ETag = p.before.Head.ETag
		}
	}
	return h
}

// evidence is what L0 needs of a write: the predecessor, where there is one,
// and the new amendment.
func evidence(p plan, a ledger.Amendment) domain.Evidence {
	ev := domain.Evidence{Entity: p.after, Complete: p.before == nil}
	if b := p.before; b != nil {
		if b.Governed.SupersededBy == p.after.Governed.SupersededBy {
			ev.Successor = &domain.Entity{Governed: domain.Governed{Status: domain.Certified}} // it was when it was named
		} else {
			ev.Successor = p.successor
		}
		ev.Links = append(ev.Links, domain.Link{
			Seq: b.Head.Version, GovernanceAgentID: b.GovernanceAgentID, Author: "system/registry",
			Hash: b.Head.Hash, Recomputes: p.proven,
		})
	}
	ev.Links = append(ev.Links, domain.Link{
		Seq: a.Record.Seq, GovernanceAgentID: a.Record.GovernanceAgentID, Author: a.Record.Author, Change: a.Record.Change,
		Hash: a.Hash, PrevHash: a.Record.PrevHash, Recomputes: ledger.HashOf(a.Bytes) == a.Hash,
	})
	return ev
}

// fill gives the write its rows, its events and its idempotency key.
func fill(w *store.Write, req Request, plans []plan, amendments []ledger.Amendment, items answer) error {
	w.Rows, w.Events, w.Idempotency = nil, nil, nil
	for i, p := range plans {
		row := store.Row{
			Amendment: amendments[i], Kind: p.after.Kind(), NameKey: domain.NameKey(p.after.Facts.Label()),
			NewFacts: newFacts(p),
		}
		w.Rows = append(w.Rows, row)
		if p.after.Kind() == domain.KindSigningKey {
			continue // nobody waits for keys: they are read when they are needed
		}
		e, err := eventOf(req, amendments[i])
		if err != nil {
			return err
		}
		w.Events = append(w.Events, e)
	}
	if req.Key == "" {
		return nil
	}
	w.Idempotency = &store.Idempotency{Route: req.Route, Key: req.Key, BodyHash: req.BodyHash}
	if items != nil {
		var err error
		w.Idempotency.Items, err = items(amendments)
		return err
	}
	w.Idempotency.EntityID = plans[0].after.ID
	w.Idempotency.Seq = amendments[0].Record.Seq
	return nil
}

// newFacts reports whether a change touches what the kind's own table holds.
func newFacts(p plan) bool {
	switch p.change {
	case domain.ChangeEvolved, domain.ChangeAssigned, domain.ChangeRevoked:
		return true
	}
	return p.before == nil
}

func eventOf(req Request, a ledger.Amendment) (store.Event, error) {
	id, err := uuid.NewV7()
	if err != nil {
		return store.Event{}, fmt.Errorf("name an event: %w", err)
	}
	data, err := json.Marshal(event.Data{
		EntityID: a.Record.EntityID, EntityType: a.Record.EntityType, GovernanceAgentID: a.Record.GovernanceAgentID,
		Seq: a.Record.Seq, Hash: a.Hash.String(),
	})
	return store.Event{
		ID: id.String(), Type: "plant." + a.Record.EntityType + "." + a.Record.Change, EntityID: domain.ID(a.Record.EntityID),
		Tenant: a.Record.GovernanceAgentID, At: a.Record.RecordedAt, RequestID: req.RequestID, Traceparent: req.Traceparent, Data: data,
	}, err
}

// announce publishes after the commit, for at most a second and also when the
// caller has gone. What is not acknowledged, or not deleted, is sent again by
// the sweep and recognised by its id.
func (s *Service) announce(ctx context.Context, w store.Write) {
	if s.outbox == nil || len(w.Events) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), announceTimeout)
	defer cancel()
	if err := s.outbox.Announce(ctx, w.Tenant, w.Events); err != nil {
		web.Logger(web.WithLogger(ctx, s.log)).WarnContext(ctx, web.Describe(err))
	}
}

// newRefs are the references that a change adds: only these must be visible
// now, what was named before may have been hidden since.
func newRefs(p plan) []domain.Ref {
	refs := p.after.Refs()
	if p.before == nil {
		return refs
	}
	type named struct { // what is named as one kind is not known to be of another
		kind domain.Kind
		id   domain.ID
	}
	had := map[named]bool{}
	for _, r := range p.before.Refs() {
		had[named{r.Kind, r.ID}] = true
	}
	var added []domain.Ref
	for _, r := range refs {
		if !had[named{r.Kind, r.ID}] {
			added = append(added, r)
		}
	}
	return added
}

// firstSnapshot is what a reader sees right after the birth.
func firstSnapshot(e domain.Entity, a ledger.Amendment) store.Snapshot {
	rec := a.Record
	return store.Snapshot{
		Entity: e, Count: 1, StateHolds: true, Signed: true, Breaking: []int64{}, Children: []domain.ID{},
		History: []store.Entry{{
			Seq: rec.Seq, Hash: a.Hash, PrevHash: rec.PrevHash, StateHash: rec.StateHash, Constitution: rec.Constitution,
			Change: rec.Change, Author: rec.Author, GovernanceAgentID: rec.GovernanceAgentID, KeyID: rec.KeyID,
			Breaking: rec.Breaking, RecordedAt: rec.RecordedAt, Recomputes: true,
		}},
	}
}

// wouldWrite answers a validate_only request.
func (s *Service) wouldWrite(ctx context.Context, req Request, p plan, w store.Write) (Written, error) {
	if err := s.db.Check(ctx, w); err != nil {
		return Written{}, refusal(err, func() []domain.Violation { return s.invisible(ctx, w.Tenant, w.References) })
	}
	if _, err := stateOf(p); err != nil {
		return Written{}, err
	}
	taken, err := s.taken(ctx, w.Tenant, p.after.Kind(), []plan{p})
	if err != nil {
		return Written{}, refusal(err, nil)
	}
	if dup := taken(p.after); dup != nil {
		return Written{}, dup
	}
	return Written{Snapshot: store.Snapshot{Entity: p.after}, Validated: true}, nil
}
