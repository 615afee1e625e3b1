package registry

import (
	"context"

	"github.com/dlai-sd/plant/shared/auth"
	"github.com/dlai-sd/plant/shared/domain"
	"github.com/dlai-sd/plant/shared/store"
)

// maxEnactments bounds how much of its history comes with the constitution.
const maxEnactments = 100

// Enactments returns the newest enactments, the one in force first.
func (v *Evolution) Enactments(ctx context.Context) ([]store.Enactment, error) {
	list, err := v.readers.db.Enactments(ctx, maxEnactments)
	if err == nil && len(list) == 0 {
		err = store.ErrNotFound
	}
	return list, refusal(err, nil)
}

// Proposals returns up to limit proposals before an id ("": the newest), newest
// first: all of them for who holds an authority over the whole platform, else the
// caller's governance agent's own and those that were enacted.
func (v *Evolution) Proposals(ctx context.Context, who auth.Principal, before domain.ID, limit int) ([]domain.Entity, error) {
	db := v.readers.db
	if len(who.Platform) > 0 {
		db = v.service.db
	}
	list, err := db.Proposals(ctx, who.GovernanceAgent, before, limit)
	return list, refusal(err, nil)
}

// Draft is a proposal with its document and how that differs from what it replaces.
type Draft struct {
	Entity      domain.Entity
	Document    []byte
	Differences domain.Differences
}

// Proposal returns a proposal as the caller may see it.
func (v *Evolution) Proposal(ctx context.Context, who auth.Principal, id domain.ID) (Draft, error) {
	s, err := v.readers.Get(ctx, who, domain.KindConstitution, id)
	if err != nil {
		return Draft{}, err
	}
	return v.Draft(ctx, s.Entity)
}

// Draft adds to a proposal what it proposes.
func (v *Evolution) Draft(ctx context.Context, e domain.Entity) (Draft, error) {
	p := e.Facts.(domain.Proposal)
	proposed, err := v.document(ctx, p.DocumentSHA256)
	if err != nil {
		return Draft{}, refusal(err, nil)
	}
	replaced, err := v.document(ctx, p.Replaces)
	return Draft{Entity: e, Document: proposed.Document(), Differences: proposed.Against(replaced)}, refusal(err, nil)
}
