// Package registry is the one way in: every change of every kind is decided,
// signed and written here, and read back from what was signed. A write holds no
// lock while it signs; the database's constraints let one of two racing writers
// through, and the other is told what came first.
package registry

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/dlai-sd/plant/shared/auth"
	"github.com/dlai-sd/plant/shared/domain"
	"github.com/dlai-sd/plant/shared/event"
	"github.com/dlai-sd/plant/shared/keys"
	"github.com/dlai-sd/plant/shared/ledger"
	"github.com/dlai-sd/plant/shared/store"
)

// Service writes and reads entities of every kind. It is safe for concurrent use.
type Service struct {
	db     *store.DB
	keys   *keys.Holder
	origin string
	outbox *event.Outbox
	log    *slog.Logger
	law    *Law
}

// Config is what a Service rests on.
type Config struct {
	DB     *store.DB
	Keys   *keys.Holder // of the key that signs this service's changes
	Origin string       // of the log that the records belong to
	Outbox *event.Outbox
	Log    *slog.Logger
}

// New makes a Service.
func New(c Config) (*Service, error) {
	if err := ledger.CheckOrigin(c.Origin); err != nil {
		return nil, err
	}
	return &Service{db: c.DB, keys: c.Keys, origin: c.Origin, outbox: c.Outbox, log: c.Log, law: NewLaw(c.DB)}, nil
}

// announceTimeout is what a caller waits at most for an event to be published:
// its answer does not depend on it.
const announceTimeout = time.Second

// Request is who asks and what recognises a repeat of the same request.
type Request struct {
	Who          auth.Principal
	Tenant       string      // as whom the database is read and written; "": found out from Who and the entity
	Kind         domain.Kind // that the route is about; "" for any
	Route        string      // the operation, part of the idempotency key
	Key          string      // Idempotency-Key; "" only for the system's own work
	BodyHash     [32]byte    // SHA-256 of what was asked
	ValidateOnly bool        // answer everything, write nothing
	RequestID    string
	Traceparent  string
	Receipt      *store.Receipt // of the event that asked; nil for a caller's own request

	law domain.Constitution // that it is judged by
}

// System is the platform itself as an author, for the work of one of its
// functions: no principal stands behind it.
func System(function string) auth.Principal {
	return auth.Principal{GovernanceAgent: systemAgent, ID: function}
}

const systemAgent = "system"

// principal is the id that the database must find enabled, "" for the system.
func (r Request) principal() string {
	if r.Who.GovernanceAgent == systemAgent {
		return ""
	}
	return r.Who.ID
}

// tenant is the governance agent for which the database is read.
func (r Request) tenant() string {
	if r.Tenant != "" {
		return r.Tenant
	}
	return r.Who.GovernanceAgent
}

// Written is the version that a request wrote, or would have written.
type Written struct {
	store.Snapshot
	Replayed  bool // a repeat: this was written the first time
	Validated bool // validate_only: nothing was written
}

// StaleError says that If-Match named an older version: the current one, and
// what happened since.
type StaleError struct {
	Current ledger.Hash
	Since   []Missed
}

// Missed is an amendment that the caller has not seen, and the members of the
// state that it changed.
type Missed struct {
	store.Entry
	Fields []string // JSON Pointers
}

// Error describes the refusal for a log.
func (e *StaleError) Error() string { return "stale: another amendment came first" }

// plan is a decided change: what was, what will be, and how it is called. Before
// is nil at birth.
type plan struct {
	before   *domain.Entity
	after    domain.Entity
	change   string
	breaking bool
	needs    []domain.Authority // of who makes it, over its owner

	successor *domain.Entity // that the change names, as it stands
	proven    bool           // before is what was signed

	system string // the function whose own work it is; "" for the request's principal
	state  []byte // after's, canonical; nil: not made yet
}

// author is how the record names who made the change.
func (p plan) author(req Request) string {
	if p.system != "" {
		return System(p.system).Author()
	}
	return req.Who.Author()
}

// Create makes an entity of any kind; a team comes with its first agents, in the
// same transaction. A repeat of the request renders what the first one wrote.
func (s *Service) Create(ctx context.Context, req Request, f domain.Facts, set domain.Settable, agents ...domain.ID) (Written, error) {
	return underLaw(ctx, s, req, func(req Request) (Written, error) { return s.create(ctx, req, f, set, agents) })
}

func (s *Service) create(ctx context.Context, req Request, f domain.Facts, set domain.Settable, agents []domain.ID) (Written, error) {
	id, err := domain.NewID()
	if err != nil {
		return Written{}, err
	}
	e := domain.Born(id, req.Who.GovernanceAgent, f, set)
	needs := []domain.Authority{domain.Author}
	if err := may(req.Who, e, needs); err != nil {
		return Written{}, err
	}
	var also []plan
	if team, ok := f.(domain.Team); ok {
		// A repeat finds its agents assigned already: it is recognised before they are judged.
		if w, err := s.recall(ctx, req); !isUnknownKey(err) {
			return w, err
		}
		if also, err = s.joinTeam(ctx, req, e.ID, team, agents); err != nil {
			return Written{}, err
		}
	}
	return s.commit(ctx, req, plan{after: e, change: domain.ChangeCreated, needs: needs}, also...)
}

// Amend applies a change to an entity that the caller has seen at match (the
// hash of the newest amendment that is not `embedded`; zero: whatever it is).
func (s *Service) Amend(ctx context.Context, req Request, id domain.ID, match ledger.Hash, c domain.Change) (Written, error) {
	var err error
	if req.Tenant == "" {
		if req.Tenant, err = s.reader(ctx, req.Who, id); err != nil {
			return Written{}, err
		}
	}
	if w, err := s.recall(ctx, req); err == nil {
		return w, nil
	} else if !isUnknownKey(err) {
		return Written{}, err
	}
	amend := func(req Request) (Written, error) { return s.amend(ctx, req, id, match, c) }
	w, err := underLaw(ctx, s, req, amend)
	for tries := 1; errors.Is(err, errOvertaken) && tries < amendTries; tries++ {
		w, err = underLaw(ctx, s, req, amend)
	}
	if err == nil {
		return w, nil
	}
	// A simultaneous repeat may have been refused for what the first one did.
	if first, again := s.recall(ctx, req); again == nil {
		return first, nil
	}
	return Written{}, err
}

// amendTries bounds how often a change is applied anew because a vector was made
// meanwhile: an author's edit is not stale because of the system's own work.
const amendTries = 3

var errOvertaken = errors.New("only the system's own work came between") // a sentinel

func (s *Service) amend(ctx context.Context, req Request, id domain.ID, match ledger.Hash, c domain.Change) (Written, error) {
	head, err := s.read(ctx, req.tenant(), id, store.Newest)
	if err != nil {
		return Written{}, s.absent(ctx, req.tenant(), id, err)
	}
	e := head.Entity
	if !isKind(e, req.Kind) {
		return Written{}, refusal(store.ErrNotFound, nil)
	}
	needs := c.Needs(e)
	if err := may(req.Who, e, needs); err != nil {
		return Written{}, err
	}
	if etag := ledger.Hash(e.Head.ETag); match != (ledger.Hash{}) && match != etag {
		return Written{}, s.stale(ctx, head, match)
	}
	if err := s.onto(ctx, head); err != nil {
		return Written{}, err
	}
	next, err := c.Apply(e)
	if err != nil {
		return Written{}, err
	}
	successor, err := s.successor(ctx, req, e, next)
	if err != nil {
		return Written{}, err
	}
	also, err := s.consequences(ctx, req, e, next)
	if err != nil {
		return Written{}, err
	}
	w, err := s.commit(ctx, req, plan{
		before: &e, after: next, change: c.Name(), breaking: domain.Breaking(e, next), needs: needs, successor: successor, proven: true,
	}, also...)
	if isStale(err) {
		if now, readErr := s.db.Read(ctx, req.tenant(), id, store.Newest); readErr == nil && now.Entity.Head.Hash != e.Head.Hash {
			if now.Entity.Head.ETag == e.Head.ETag {
				return Written{}, errors.Join(errOvertaken, s.stale(ctx, now, ledger.Hash(e.Head.Hash)))
			}
			return Written{}, s.stale(ctx, now, ledger.Hash(e.Head.Hash))
		}
	}
	return w, err
}

// Introduce writes a new signing key into the ledger; the service signs with
// the root's key.
func (s *Service) Introduce(ctx context.Context, k domain.SigningKey) (Written, error) {
	id, err := domain.NewID()
	if err != nil {
		return Written{}, err
	}
	req := Request{Who: System("keys")}
	return underLaw(ctx, s, req, func(req Request) (Written, error) {
		return s.commit(ctx, req, plan{after: domain.Introduced(id, k), change: domain.ChangeIntroduced})
	})
}

// may decides whether a principal may make a change that needs these
// authorities, all of them. Author is only ever one's own governance agent's;
// the others can be held platform-wide. A token says what was held when it was
// issued: the write asks the database (see authorities).
func may(who auth.Principal, e domain.Entity, needs []domain.Authority) error {
	if who.GovernanceAgent == systemAgent {
		return nil
	}
	for _, need := range needs {
		own := e.GovernanceAgentID == who.GovernanceAgent && who.Holds(need)
		if !own && !who.HoldsOnPlatform(need) {
			return domain.Refuse(domain.CodeForbidden, "this needs the authority %q over the entity's governance agent", need)
		}
	}
	return nil
}

// authorities are what a write over what somebody owns asks of its principal.
func authorities(needs []domain.Authority, owner string) []store.Authority {
	list := make([]store.Authority, len(needs))
	for i, need := range needs {
		list[i] = store.Authority{Name: need, Owners: []string{owner}}
	}
	return list
}

// reader is the governance agent as which a principal reads an entity: its own,
// or the owner for one that holds an authority platform-wide.
func (s *Service) reader(ctx context.Context, who auth.Principal, id domain.ID) (string, error) {
	if len(who.Platform) == 0 {
		return who.GovernanceAgent, nil
	}
	owner, err := s.db.PlatformOwner(ctx, who.ID, id)
	if err != nil {
		return "", refusal(err, nil)
	}
	return cmp.Or(owner, who.GovernanceAgent), nil
}

// maxMissed bounds how many amendments a stale caller is told about: the newest.
const maxMissed = 10

// stale says what happened since the version that the caller saw.
func (s *Service) stale(ctx context.Context, now store.Snapshot, seen ledger.Hash) *StaleError {
	e := &StaleError{Current: ledger.Hash(now.Entity.Head.ETag)}
	after := now.Entity
	for i := len(now.History) - 1; i >= 0 && now.History[i].Hash != seen && len(e.Since) < maxMissed; i-- {
		missed := Missed{Entry: now.History[i], Fields: []string{}}
		if i > 0 {
			before, err := s.db.Read(ctx, after.GovernanceAgentID, after.ID, now.History[i-1].Seq)
			if err == nil {
				missed.Fields = domain.Changed(before.Entity, after)
				after = before.Entity
			}
		}
		e.Since = append([]Missed{missed}, e.Since...)
	}
	return e
}
