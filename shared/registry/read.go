package registry

import (
	"context"
	"time"

	"github.com/dlai-sd/plant/shared/auth"
	"github.com/dlai-sd/plant/shared/domain"
	"github.com/dlai-sd/plant/shared/ledger"
	"github.com/dlai-sd/plant/shared/store"
)

// Get returns an entity as the caller may see it now: its owner the newest
// version, others the newest that is shared. An archived one is gone; its
// history is not.
func (s *Service) Get(ctx context.Context, who auth.Principal, kind domain.Kind, id domain.ID) (store.Snapshot, error) {
	tenant, err := s.reader(ctx, who, id)
	if err != nil {
		return store.Snapshot{}, err
	}
	snapshot, err := s.entity(ctx, tenant, kind, id)
	if err != nil {
		return snapshot, err
	}
	if foreign := snapshot.Entity.GovernanceAgentID != tenant; foreign {
		// The last shared version of what has been archived since is gone too.
		if gone, err := s.db.ArchivedAfterShared(ctx, tenant, id); err != nil || gone {
			return store.Snapshot{}, orGone(err)
		}
	}
	if !snapshot.Entity.Living() {
		reason := snapshot.Entity.Governed.StatusReason
		if reason == "" {
			reason = "no reason was given"
		}
		return store.Snapshot{}, domain.Refuse(domain.CodeGone,
			"archived at %s: %s; its amendments and versions can still be read",
			time.Time(snapshot.Entity.Governed.DeletedAt).UTC().Format(time.RFC3339), reason)
	}
	return snapshot, nil
}

func orGone(err error) error {
	if err != nil {
		return refusal(err, nil)
	}
	return domain.Refuse(domain.CodeGone, "this was withdrawn by its owner")
}

// Newest returns an entity as it stands, also an archived one.
func (s *Service) Newest(ctx context.Context, who auth.Principal, kind domain.Kind, id domain.ID) (store.Snapshot, error) {
	tenant, err := s.reader(ctx, who, id)
	if err != nil {
		return store.Snapshot{}, err
	}
	return s.entity(ctx, tenant, kind, id)
}

// GetVersion returns an entity as it was at a version, from the state that was
// signed then.
func (s *Service) GetVersion(ctx context.Context, who auth.Principal, kind domain.Kind, id domain.ID, version int64) (store.Snapshot, error) {
	tenant, err := s.reader(ctx, who, id)
	if err != nil {
		return store.Snapshot{}, err
	}
	return s.version(ctx, tenant, kind, id, version)
}

func (s *Service) version(ctx context.Context, tenant string, kind domain.Kind, id domain.ID, version int64) (store.Snapshot, error) {
	snapshot, err := s.read(ctx, tenant, id, version)
	if err == nil && (!isKind(snapshot.Entity, kind) || snapshot.Entity.Head.Version != version) {
		err = store.ErrNotFound
	}
	return snapshot, refusal(err, nil)
}

// GetAt returns an entity as it was at a moment: the highest version that had
// been recorded by then.
func (s *Service) GetAt(ctx context.Context, who auth.Principal, kind domain.Kind, id domain.ID, at time.Time) (store.Snapshot, error) {
	tenant, err := s.reader(ctx, who, id)
	if err != nil {
		return store.Snapshot{}, err
	}
	version, err := s.db.VersionAt(ctx, tenant, id, at)
	if err != nil {
		return store.Snapshot{}, refusal(err, nil)
	}
	return s.version(ctx, tenant, kind, id, version)
}

// List returns up to limit entities behind a place in an order.
func (s *Service) List(ctx context.Context, who auth.Principal, f store.Filter, o store.Order, after *store.After, limit int) ([]store.Listed, error) {
	rows, err := s.db.List(ctx, who.GovernanceAgent, f, o, after, limit)
	return rows, refusal(err, nil)
}

// ByExternalID returns the ids of the caller's entities, of any kind, by their
// external ids; what there is not is missing.
func (s *Service) ByExternalID(ctx context.Context, who auth.Principal, externalIDs []string) (map[string]domain.ID, error) {
	_, byExternal, err := s.db.Taken(ctx, who.GovernanceAgent, "", nil, externalIDs)
	return byExternal, refusal(err, nil)
}

// Proofs returns up to limit amendments of an entity of a kind behind a seq,
// ascending, each with what verifies it alone.
func (s *Service) Proofs(ctx context.Context, who auth.Principal, kind domain.Kind, id domain.ID, after int64, limit int) ([]store.Proof, error) {
	tenant, err := s.reader(ctx, who, id)
	if err != nil {
		return nil, err
	}
	rows, err := s.db.Proofs(ctx, tenant, kind, id, after, limit)
	if err == nil && len(rows) == 0 && after == 0 {
		err = store.ErrNotFound
	}
	return rows, refusal(err, nil)
}

// Compliance judges L0 on what a snapshot carries: the whole chain where that
// is short, else its newest part. Where another owner's amendments may be hidden
// from the reader it is the newest part that hangs together. Of this version's own
// amendment it judges the signature too.
func Compliance(s store.Snapshot) domain.Report {
	history := s.History
	if s.Partial {
		history = unbroken(history)
	}
	ev := domain.Evidence{Entity: s.Entity, Complete: !s.Partial && int64(len(history)) == s.Count, Successor: s.Successor}
	for _, e := range history {
		ev.Links = append(ev.Links, domain.Link{
			Seq: e.Seq, GovernanceAgentID: e.GovernanceAgentID, Author: e.Author, Change: e.Change,
			Hash: e.Hash, PrevHash: e.PrevHash, Recomputes: e.Recomputes && (s.Signed || e.Seq != s.Entity.Head.Version),
		})
	}
	return domain.L0(ev, ledger.Hash(s.Entity.Head.Constitution).String())
}

// unbroken is the longest end of a history whose numbers have no gap.
func unbroken(history []store.Entry) []store.Entry {
	first := len(history) - 1
	for first > 0 && history[first-1].Seq+1 == history[first].Seq {
		first--
	}
	return history[max(first, 0):]
}
