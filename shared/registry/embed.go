package registry

import (
	"context"
	"encoding/hex"
	"errors"
	"slices"

	"github.com/dlai-sd/plant/shared/auth"
	"github.com/dlai-sd/plant/shared/domain"
	"github.com/dlai-sd/plant/shared/store"
)

// Meaning is an entity with the vectors that stand for its present text: the
// first is what its state shall name, the others wait for their model's turn.
type Meaning struct {
	Entity  domain.Entity
	Vectors []store.Vector
}

// named is what the state then says.
func (m Meaning) named() domain.Embedding {
	first := m.Vectors[0]
	return domain.Embedding{
		ModelID: first.ModelID, TextSHA256: hex.EncodeToString(first.TextSHA256[:]), VectorSHA256: hex.EncodeToString(first.VectorSHA256[:]),
	}
}

// Embed records vectors, and the receipt of the event that asked for them, in one
// transaction: an `embedded` amendment for each entity whose state does not name
// its first vector yet, under one signature. An entity that changed meanwhile is
// store.ErrStale, an event that was handled before store.ErrHandled; nothing is
// written then. What must not be signed onto is left out.
func (s *Service) Embed(ctx context.Context, req Request, meanings []Meaning, receipt *store.Receipt) error {
	var renamed []domain.Entity
	for _, m := range meanings {
		if now := m.Entity.Governed.Embedding; now == nil || *now != m.named() {
			renamed = append(renamed, m.Entity)
		}
	}
	unsigned, err := s.unsigned(ctx, "", renamed)
	if err != nil {
		return refusal(err, nil)
	}
	var plans []plan
	w := store.Write{Receipt: receipt}
	for _, m := range meanings {
		if slices.Contains(unsigned, m.Entity.ID) {
			continue
		}
		w.Vectors = append(w.Vectors, m.Vectors...)
		if now := m.Entity.Governed.Embedding; now != nil && *now == m.named() {
			continue
		}
		change := domain.Embed{Embedding: m.named()}
		next, err := change.Apply(m.Entity)
		if err != nil {
			return err
		}
		plans = append(plans, plan{before: &m.Entity, after: next, change: change.Name(), proven: true})
	}
	_, err = s.append(ctx, req, w, plans, nil)
	if err != nil && !errors.Is(err, store.ErrStale) && !errors.Is(err, store.ErrHandled) {
		return refusal(err, nil)
	}
	return err
}

// Search returns what comes nearest to what is looked for, as the caller may see
// it now.
func (s *Service) Search(ctx context.Context, who auth.Principal, q store.Search) ([]store.Hit, error) {
	hits, err := s.db.Search(ctx, who.GovernanceAgent, q)
	return hits, refusal(err, nil)
}

// StoredVector returns an entity's vector of a model as the caller may see it;
// Values is nil while there is none.
func (s *Service) StoredVector(ctx context.Context, who auth.Principal, kind domain.Kind, id domain.ID, model string) (store.Vector, error) {
	tenant, err := s.reader(ctx, who, id)
	if err != nil {
		return store.Vector{}, err
	}
	v, err := s.db.StoredVector(ctx, tenant, id, model)
	if err == nil && kind != "" && v.Kind != kind {
		err = store.ErrNotFound
	}
	return v, refusal(err, nil)
}
