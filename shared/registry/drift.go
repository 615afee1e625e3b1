package registry

import (
	"context"
	"crypto/rsa"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/dlai-sd/plant/shared/domain"
	"github.com/dlai-sd/plant/shared/store"
)

// Found is a change that the drift check makes of an entity, with the vectors that come
// with it. Without a change only the vectors are written.
type Found struct {
	Entity  domain.Entity
	Change  domain.Change
	Vectors []store.Vector
}

// Law returns the constitution in force now.
func (s *Service) Law(ctx context.Context) (domain.Constitution, error) { return s.law.Refresh(ctx) }

// Record writes what a chunk of the drift check found by the law it judged by, all of
// it or nothing: the changes under one signature, the vectors, and where the run then
// stands. An entity that changed meanwhile, or another law, is store.ErrStale, a run
// that another worker moved on store.ErrMovedOn.
func (s *Service) Record(ctx context.Context, req Request, law domain.Constitution, found []Found, step *store.Step) error {
	req.law = law
	var plans []plan
	w := store.Write{Step: step}
	for _, f := range found {
		w.Vectors = append(w.Vectors, f.Vectors...)
		if f.Change == nil {
			continue
		}
		next, err := f.Change.Apply(f.Entity)
		if err != nil {
			return err
		}
		plans = append(plans, plan{before: &f.Entity, after: next, change: f.Change.Name()})
	}
	_, err := s.append(ctx, req, w, plans, nil)
	if errors.Is(err, store.ErrLawOutOfForce) {
		return fmt.Errorf("%w: %w", store.ErrStale, err)
	}
	if errors.Is(err, store.ErrStale) {
		return err
	}
	return refusal(err, nil)
}

// Reconsider judges entities by a constitution, whatever they were judged by
// before: who passes is to be reaffirmed, by Certifier.Reaffirm alone, whose key may
// say so; the others fall short.
func Reconsider(law domain.Constitution, list []domain.Entity, now time.Time) (pass []domain.Entity, short []Found) {
	for _, e := range list {
		broken := law.Validate(e, domain.Known{})
		if len(broken) == 0 {
			pass = append(pass, e)
			continue
		}
		rules := make([]string, len(broken))
		for i, v := range broken {
			rules[i] = v.Rule + ": " + v.Message
		}
		reason := []rune("It no longer passes the constitution in force. " + strings.Join(rules, "; "))
		short = append(short, Found{Entity: e, Change: domain.FallShort{
			Because: string(reason[:min(len(reason), domain.MaxReason)]), At: domain.Time(now.UTC().Truncate(time.Microsecond)),
			Constitution: law.Hash(),
		}})
	}
	return pass, short
}

// ErrUnsignable says that tampering reached the end of an entity's chain, so that
// nothing can be said behind it.
var ErrUnsignable = errors.New("nothing can be signed onto this chain")

// tamperedReason is what a mark says; what was found stands in the audit's findings.
const tamperedReason = "An audit found tampering. The governor decides."

// Suspect marks an entity that was tampered with, until its governor decides. What its
// row says does not matter: the mark is signed onto the end of its chain, if that is
// the one that was signed and logged. Else it is ErrUnsignable. What is marked or
// archived already is left alone; the receipt of req is written in any case but that.
func (s *Service) Suspect(ctx context.Context, req Request, id domain.ID, now time.Time) error {
	var err error
	for range stepAttempts {
		if err = s.suspect(ctx, req, id, now); !errors.Is(err, store.ErrStale) {
			break
		}
	}
	if errors.Is(err, store.ErrHandled) {
		return nil
	}
	if errors.Is(err, ErrUnsignable) {
		return err
	}
	return refusal(err, nil)
}

func (s *Service) suspect(ctx context.Context, req Request, id domain.ID, now time.Time) error {
	tail, err := s.db.Tail(ctx, id)
	if errors.Is(err, store.ErrNotFound) {
		return fmt.Errorf("%w: it has no history", ErrUnsignable)
	}
	if err != nil {
		return err
	}
	e, err := endOf(id, tail)
	if err != nil {
		return err
	}
	if e.Tampered() || !e.Living() {
		if req.Receipt == nil {
			return nil
		}
		return s.db.MarkHandled(ctx, *req.Receipt)
	}
	change := domain.RequireReview{Because: tamperedReason, Tampering: domain.Time(now.UTC().Truncate(time.Microsecond))}
	next, err := change.Apply(e)
	if err != nil {
		return err
	}
	_, err = s.append(ctx, req, store.Write{Receipt: req.Receipt}, []plan{{before: &e, after: next, change: change.Name()}}, nil)
	return err
}

// endOf returns an entity as its last amendment says, if that one is whole, signed, and
// the last one that the log and the row know.
func endOf(id domain.ID, t store.Tail) (domain.Entity, error) {
	unsignable := func(format string, args ...any) (domain.Entity, error) {
		return domain.Entity{}, fmt.Errorf("%w: "+format, append([]any{ErrUnsignable}, args...)...)
	}
	a, err := t.Amendment()
	switch {
	case err != nil || a.Hash != t.Hash:
		return unsignable("amendment %d is not the one whose hash is kept", t.Seq)
	case a.Record.EntityID != string(id) || a.Record.Seq != t.Seq:
		return unsignable("amendment %d is of another place", t.Seq)
	case a.Opening == nil || a.Opening.Hash() != a.Record.StateHash:
		return unsignable("the state of amendment %d is not the one that was signed", t.Seq)
	case t.Version != t.Seq || t.Owner != a.Record.GovernanceAgentID || string(t.Kind) != a.Record.EntityType:
		return unsignable("the row is of another version, owner or kind than amendment %d", t.Seq)
	case t.Logged != t.Seq:
		return unsignable("the log knows amendment %d, the history ends at %d", t.Logged, t.Seq)
	}
	if !signed(a, t.SPKI, map[string]*rsa.PublicKey{}) {
		return unsignable("the signature of amendment %d does not hold", t.Seq)
	}
	e, err := domain.ReadState(t.Kind, id, t.Owner, a.Opening.State)
	if err != nil {
		return unsignable("the state of amendment %d cannot be read", t.Seq)
	}
	e.Head = domain.Head{Version: t.Seq, Hash: a.Hash, ETag: a.Hash, Constitution: a.Record.Constitution, CreatedAt: t.Born, UpdatedAt: a.Record.RecordedAt}
	return e, nil
}
