package bench

import (
	"context"
	"errors"
	"fmt"

	"github.com/dlai-sd/plant/scripts/bench/rawrows"
	"github.com/dlai-sd/plant/shared/domain"
	"github.com/dlai-sd/plant/shared/ledger"
)

// measureEvolve measures the two promises about judging: an entity against L0
// and L1, and a whole new version of it but for the signature, for which random
// bytes stand in. Its bound besides the limit is what no version can do without:
// the canonical state, and the hashes of opening and record.
func measureEvolve(ctx context.Context, w *world) ([]Row, error) {
	entities, drafts, err := w.drafts(typical, 1)
	if err != nil {
		return nil, err
	}
	sealer := w.sealer(rawrows.Unsigned{Key: &w.private.PublicKey})
	first, err := sealer.Seal(drafts)
	if err != nil {
		return nil, err
	}
	before := entities[0]
	before.Head = headOf(first[0])
	facts, ok := before.Facts.(domain.Skill)
	if !ok {
		return nil, fmt.Errorf("facts of kind %s where a skill was made", before.Kind())
	}
	facts.Description += " And a cap pass."
	change := domain.Evolve{Facts: facts, Settable: before.Settable()}
	after, err := change.Apply(before)
	if err != nil {
		return nil, err
	}
	times, err := interleave(ctx, w.rounds(40),
		repeated(200, func() error { return judged(before, first[0]) }),
		repeated(200, func() error { return w.evolved(sealer, before, change) }),
		repeated(200, func() error {
			state, err := after.State()
			if err != nil {
				return err
			}
			opening, err := ledger.NewOpening(state)
			if err != nil || opening.Hash() == ledger.HashOf(first[0].Bytes) {
				return errors.Join(err, errors.New("two hashes are one"))
			}
			return nil
		}))
	if err != nil {
		return nil, err
	}
	return []Row{
		limited("validate: L0 and L1", "ms", scaled(times[0], 1e3), limitValidate),
		limited("evolve without the signature", "ms", scaled(times[1], 1e3), limitEvolve),
		compared("evolve without the signature", "ms", "state and hashes alone", scaled(times[1], 1e3), scaled(times[2], 1e3), nil),
	}, nil
}

// judged is what Validate means: the rules of the kind and of form, and L0 on
// the newest amendment.
func judged(e domain.Entity, a ledger.Amendment) error {
	if broken := domain.Founding().Validate(e, domain.Known{}); len(broken) > 0 {
		return fmt.Errorf("the typical skill breaks %s", broken[0].Rule)
	}
	if r := domain.Founding().L0(domain.Evidence{Entity: e, Complete: true, Links: []domain.Link{linkOf(a)}}); !r.Passed() {
		return fmt.Errorf("the typical skill breaks L0: %+v", r.Outcomes)
	}
	return nil
}

// evolved makes the next version of an entity as the registry does: apply,
// judge, canonical state, opening, record, L0.
func (w *world) evolved(sealer ledger.Sealer, before domain.Entity, change domain.Change) error {
	after, err := change.Apply(before)
	if err != nil {
		return err
	}
	if broken := domain.Founding().Validate(after, domain.Known{}); len(broken) > 0 {
		return fmt.Errorf("the changed skill breaks %s", broken[0].Rule)
	}
	after = after.Settled(change.Name())
	state, err := after.State()
	if err != nil {
		return err
	}
	sealed, err := sealer.Seal([]ledger.Draft{{
		EntityID: string(after.ID), EntityType: string(after.Kind()), GovernanceAgentID: after.GovernanceAgentID,
		Author: w.who.Author(), Change: change.Name(), Breaking: domain.Breaking(before, after), Seq: before.Head.Version + 1,
		PrevHash: ledger.Hash(before.Head.Hash), After: before.Head.UpdatedAt, State: state,
	}})
	if err != nil {
		return err
	}
	after.Head = headOf(sealed[0])
	links := []domain.Link{
		{
			Seq: before.Head.Version, GovernanceAgentID: before.GovernanceAgentID, Author: w.who.Author(),
			Hash: before.Head.Hash, Recomputes: true,
		},
		linkOf(sealed[0]),
	}
	if r := domain.Founding().L0(domain.Evidence{Entity: after, Links: links}); !r.Passed() {
		return fmt.Errorf("the changed skill breaks L0: %+v", r.Outcomes)
	}
	return nil
}

func headOf(a ledger.Amendment) domain.Head {
	return domain.Head{
		Version: a.Record.Seq, Hash: a.Hash, ETag: a.Hash, Constitution: a.Record.Constitution,
		CreatedAt: a.Record.RecordedAt, UpdatedAt: a.Record.RecordedAt,
	}
}

func linkOf(a ledger.Amendment) domain.Link {
	return domain.Link{
		Seq: a.Record.Seq, GovernanceAgentID: a.Record.GovernanceAgentID, Author: a.Record.Author, Change: a.Record.Change,
		Hash: a.Hash, PrevHash: a.Record.PrevHash, Recomputes: ledger.HashOf(a.Bytes) == a.Hash,
	}
}
