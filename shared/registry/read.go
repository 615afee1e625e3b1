package registry

import (
	"context"

	"github.com/dlai-sd/plant/shared/auth"
	"github.com/dlai-sd/plant/shared/domain"
	"github.com/dlai-sd/plant/shared/store"
)

// Get returns an entity of a kind as the caller may see it now. An archived one
// is gone; its history is not. To those who saw what was shared of another
// owner's entity the last shared version stays, until it is archived.
func (s *Service) Get(ctx context.Context, who auth.Principal, kind domain.Kind, id domain.ID) (store.Snapshot, error) {
	snapshot, err := s.db.Read(ctx, who.GovernanceAgent, id, store.Newest)
	if err != nil {
		return store.Snapshot{}, refusal(err, nil)
	}
	if snapshot.Entity.Kind() != kind {
		return store.Snapshot{}, notFound()
	}
	gone := !snapshot.Entity.Living()
	if snapshot.Partial {
		if gone, err = s.db.ArchivedAfterShared(ctx, who.GovernanceAgent, id); err != nil {
			return store.Snapshot{}, refusal(err, nil)
		}
	}
	if gone {
		return store.Snapshot{}, domain.Refuse(domain.CodeGone, "this was archived; its amendments can still be read")
	}
	return snapshot, nil
}

// List returns up to limit entities behind a place in an order.
func (s *Service) List(ctx context.Context, who auth.Principal, f store.Filter, o store.Order, after *store.After, limit int) ([]store.Listed, error) {
	rows, err := s.db.List(ctx, who.GovernanceAgent, f, o, after, limit)
	return rows, refusal(err, nil)
}

// Proofs returns up to limit amendments of an entity of a kind behind a seq,
// ascending, each with what verifies it alone.
func (s *Service) Proofs(ctx context.Context, who auth.Principal, kind domain.Kind, id domain.ID, after int64, limit int) ([]store.Proof, error) {
	rows, err := s.db.Proofs(ctx, who.GovernanceAgent, kind, id, after, limit)
	if err == nil && len(rows) == 0 && after == 0 {
		err = store.ErrNotFound
	}
	return rows, refusal(err, nil)
}

// Compliance judges L0 on what a snapshot carries: the whole chain where that
// is short, else its newest part. Where another owner's amendments may be hidden
// from the reader it is the newest part that hangs together.
func Compliance(s store.Snapshot) domain.Report {
	history := s.History
	if s.Partial {
		history = unbroken(history)
	}
	ev := domain.Evidence{Entity: s.Entity, Complete: !s.Partial && int64(len(history)) == s.Count}
	for _, e := range history {
		ev.Links = append(ev.Links, domain.Link{
			Seq: e.Seq, GovernanceAgentID: e.GovernanceAgentID, Author: e.Author, Change: e.Change,
			Hash: e.Hash, PrevHash: e.PrevHash, Recomputes: e.Recomputes,
		})
	}
	return domain.L0(ev)
}

// unbroken is the longest end of a history whose numbers have no gap.
func unbroken(history []store.Entry) []store.Entry {
	first := len(history) - 1
	for first > 0 && history[first-1].Seq+1 == history[first].Seq {
		first--
	}
	return history[max(first, 0):]
}
