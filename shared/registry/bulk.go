package registry

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/dlai-sd/plant/shared/domain"
	"github.com/dlai-sd/plant/shared/ledger"
	"github.com/dlai-sd/plant/shared/store"
	"github.com/go-json-experiment/json"
)

// MaxBulk is how many entities one bulk request creates.
const MaxBulk = 500

// bulkAttempts bounds how often a bulk write starts again because somebody took
// a name between the look and the write.
const bulkAttempts = 3

func bulkNeeds() []domain.Authority { return []domain.Authority{domain.Author} }

// Candidate is an entity to be created, or the reason why the caller's item is none.
type Candidate struct {
	Facts    domain.Facts
	Settable domain.Settable
	Agents   []domain.ID // a team's first agents
	Refused  error
}

// Outcome is what became of one item of a bulk request: an entity, or a refusal.
type Outcome struct {
	ID          domain.ID          `json:"id,omitempty"`
	Version     int64              `json:"version,omitzero"`
	VersionHash string             `json:"version_hash,omitempty"`
	Code        domain.Code        `json:"code,omitempty"`
	Detail      string             `json:"detail,omitempty"`
	Violations  []domain.Violation `json:"violations,omitempty"`
}

// Bulk is the answer to a bulk request, an outcome per item in the same order.
type Bulk struct {
	Outcomes  []Outcome
	Replayed  bool
	Validated bool
}

// CreateAll creates many entities of one kind. Items that break a rule are
// answered and left out; the others go into one transaction under one batch
// signature. The key remembers the whole answer.
func (s *Service) CreateAll(ctx context.Context, req Request, kind domain.Kind, items []Candidate) (Bulk, error) {
	if len(items) == 0 || len(items) > MaxBulk {
		return Bulk{}, domain.Refuse(domain.CodeMalformed, "a bulk request has 1 to %d items", MaxBulk)
	}
	if err := may(req.Who, domain.Entity{GovernanceAgentID: req.Who.GovernanceAgent}, bulkNeeds()); err != nil {
		return Bulk{}, err
	}
	if b, err := s.recallBulk(ctx, req); !errors.Is(err, errUnknownKey) {
		return b, err
	}
	if _, err := s.law.Refresh(ctx); err != nil { // an item that is refused has no write that would say so
		return Bulk{}, err
	}
	return underLaw(ctx, s, req, func(req Request) (Bulk, error) { return s.createAll(ctx, req, kind, items) })
}

func (s *Service) createAll(ctx context.Context, req Request, kind domain.Kind, items []Candidate) (Bulk, error) {
	var err error
	for range bulkAttempts {
		var b Bulk
		if b, err = s.tryAll(ctx, req, kind, items); err == nil {
			return b, nil
		}
		if errors.Is(err, store.ErrKeyUsed) {
			return s.recallBulk(ctx, req)
		}
		if !beaten(err) {
			break
		}
	}
	return Bulk{}, refusal(err, func() []domain.Violation { return nil })
}

// beaten reports whether somebody else's write came between the look and ours,
// so that another look says which items are left.
func beaten(err error) bool {
	for _, lost := range []error{store.ErrNameTaken, store.ErrExternalIDTaken, store.ErrReference, store.ErrStale, store.ErrDeadlock} {
		if errors.Is(err, lost) {
			return true
		}
	}
	return false
}

func (s *Service) tryAll(ctx context.Context, req Request, kind domain.Kind, items []Candidate) (Bulk, error) {
	b := Bulk{Outcomes: make([]Outcome, len(items)), Validated: req.ValidateOnly}
	plans, at, err := s.judgeAll(ctx, req, kind, items, b.Outcomes)
	for i := range b.Outcomes {
		req.law.Advised(b.Outcomes[i].Violations)
	}
	w := store.Write{
		Tenant: req.Who.GovernanceAgent, Principal: req.Who.ID,
		Authorities: authorities(bulkNeeds(), req.Who.GovernanceAgent),
	}
	if err == nil && req.ValidateOnly {
		err = s.db.Check(ctx, w)
	}
	if err != nil || req.ValidateOnly {
		return b, err
	}
	for _, p := range plans {
		w.References = append(w.References, newRefs(p)...)
	}
	w.References = withoutBorn(w.References, plans)
	relate(&w, plans)
	_, err = s.append(ctx, req, w, plans, func(amendments []ledger.Amendment) ([]byte, error) {
		for i, a := range amendments {
			if plans[i].before == nil {
				b.Outcomes[at[i]] = Outcome{ID: plans[i].after.ID, Version: 1, VersionHash: a.Hash.String()}
			}
		}
		return json.Marshal(b.Outcomes)
	})
	return b, err
}

// judgeAll fills in the refusals and returns plans for the rest, with the index
// of each one's item.
func (s *Service) judgeAll(ctx context.Context, req Request, kind domain.Kind, items []Candidate, outcomes []Outcome) ([]plan, []int, error) {
	births := make([]plan, 0, len(items))
	at := make([]int, 0, len(items))
	for i, item := range items {
		p, err := born(req, item)
		if err != nil {
			outcomes[i] = refused(err)
			continue
		}
		births, at = append(births, p), append(at, i)
	}
	taken, err := s.taken(ctx, req.Who.GovernanceAgent, kind, births)
	if err != nil {
		return nil, nil, refusal(err, nil)
	}
	var refs []domain.Ref
	for _, p := range births {
		refs = append(refs, p.after.Refs()...)
	}
	missing, err := s.db.Invisible(ctx, req.Who.GovernanceAgent, refs)
	if err != nil {
		return nil, nil, refusal(err, nil)
	}
	joined, err := s.foreignTeams(ctx, req.Who.GovernanceAgent, refs)
	if err != nil {
		return nil, nil, err
	}
	maps.Copy(missing, joined)
	heads, err := s.db.Heads(ctx, req.Who.GovernanceAgent, validIDs(agentsOf(items)))
	if err != nil {
		return nil, nil, refusal(err, nil)
	}
	var plans []plan
	var kept []int
	for i, p := range births {
		also, err := joining(req, p.after, items[at[i]].Agents, heads)
		if err == nil {
			err = judge(p.after, taken, missing)
		}
		if err == nil && len(plans)+len(also) >= ledger.MaxBatch {
			err = domain.Refuse(domain.CodeTooLarge, "one request writes at most %d amendments: send the rest in another", ledger.MaxBatch)
		}
		if err != nil {
			outcomes[at[i]] = refused(err)
			continue
		}
		plans, kept = append(plans, p), append(kept, at[i])
		for _, joined := range also {
			plans, kept = append(plans, joined), append(kept, at[i])
			delete(heads, joined.after.ID) // an agent joins one team of a request
		}
	}
	return plans, kept, nil
}

// joining are the assignments that come with a team's birth.
func joining(req Request, e domain.Entity, agents []domain.ID, heads map[domain.ID]domain.Entity) ([]plan, error) {
	team, ok := e.Facts.(domain.Team)
	if !ok {
		return nil, nil
	}
	members, err := membersOf(req.Who, team, agents, heads)
	if err != nil {
		return nil, err
	}
	return assignments(e.ID, members)
}

func agentsOf(items []Candidate) []domain.ID {
	var ids []domain.ID
	for _, item := range items {
		ids = append(ids, item.Agents...)
	}
	return ids
}

// withoutBorn leaves out the references to what comes into being with these
// plans: they need no look into the database.
func withoutBorn(refs []domain.Ref, plans []plan) []domain.Ref {
	births := make(map[domain.ID]bool, len(plans))
	for i := range plans {
		if plans[i].before == nil {
			births[plans[i].after.ID] = true
		}
	}
	return slices.DeleteFunc(refs, func(r domain.Ref) bool { return births[r.ID] })
}

func born(req Request, item Candidate) (plan, error) {
	if item.Refused != nil {
		return plan{}, item.Refused
	}
	id, err := domain.NewID()
	if err != nil {
		return plan{}, err
	}
	e := domain.Born(id, req.Who.GovernanceAgent, item.Facts, item.Settable)
	if broken := req.law.Validate(e, domain.Known{}); len(broken) > 0 {
		return plan{}, &domain.Error{Code: domain.CodeRuleViolated, Detail: "the entity would break a rule", Violations: broken}
	}
	p := plan{after: e, change: domain.ChangeCreated}
	p.state, err = stateOf(p)
	return p, err
}

func judge(e domain.Entity, taken func(domain.Entity) *domain.Error, missing map[domain.ID]bool) error {
	if v := unknown(e.Refs(), missing); len(v) > 0 {
		return noSuchReference(v)
	}
	if dup := taken(e); dup != nil {
		return dup
	}
	return nil
}

// taken looks up which names and external ids are taken. The function it
// returns says so of one entity, and takes that entity's own for the next one:
// of two items with one name the first wins.
func (s *Service) taken(ctx context.Context, tenant string, kind domain.Kind, births []plan) (func(domain.Entity) *domain.Error, error) {
	var names, externals []string
	for _, p := range births {
		names = append(names, domain.NameKey(p.after.Facts.Label()))
		if external := p.after.Governed.ExternalID; external != "" {
			externals = append(externals, external)
		}
	}
	byName, byExternal, err := s.db.Taken(ctx, tenant, kind, names, externals)
	return func(e domain.Entity) *domain.Error {
		name, external := domain.NameKey(e.Facts.Label()), e.Governed.ExternalID
		if id, ok := byExternal[external]; ok && external != "" && id != e.ID {
			return externalIDTaken()
		}
		if id, ok := byName[name]; ok && id != e.ID {
			return nameTaken()
		}
		byName[name], byExternal[external] = e.ID, e.ID
		return nil
	}, err
}

func (s *Service) recallBulk(ctx context.Context, req Request) (Bulk, error) {
	r, err := s.remembered(ctx, req)
	if err != nil {
		return Bulk{}, err
	}
	b := Bulk{Replayed: true}
	if err := json.Unmarshal(r.Items, &b.Outcomes); err != nil {
		return Bulk{}, fmt.Errorf("read what the key remembers: %w", err)
	}
	return b, nil
}

// refused is an item's refusal; what is no refusal is not shown.
func refused(err error) Outcome {
	var e *domain.Error
	if errors.As(err, &e) {
		return Outcome{Code: e.Code, Detail: e.Detail, Violations: e.Violations}
	}
	return Outcome{Code: domain.CodeInternal, Detail: "this item could not be judged"}
}
