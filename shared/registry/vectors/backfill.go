package vectors

import (
	"context"
	"errors"
	"fmt"

	"github.com/dlai-sd/plant/shared/domain"
	"github.com/dlai-sd/plant/shared/embedding"
	"github.com/dlai-sd/plant/shared/registry"
	"github.com/dlai-sd/plant/shared/store"
)

// maxBulk bounds the entities of one backfill; another one goes on from there.
const maxBulk = 100_000_000

// Backfill makes the vectors that entities of all tenants lack, in batches, and
// tells after each how many are done. The recipe in use is signed into the
// states; vectors of another one are only prepared. Stopped at any moment it has
// done whole batches, and the next one does the rest; a *store.HeldError stops it
// before a batch while batch work is held.
func (m *Maker) Backfill(ctx context.Context, model embedding.Recipe, done func(int)) (int, error) {
	signed := model.ModelID == m.ModelID()
	total := 0
	for after := domain.BeforeAll; total < maxBulk; {
		if hold, held, err := m.db.Held(ctx); err != nil {
			return total, err
		} else if held {
			return total, &store.HeldError{Hold: hold}
		}
		batch, err := m.db.LackingVector(ctx, model.ModelID, signed, after, bulkSize)
		if err != nil || len(batch) == 0 {
			return total, err
		}
		n, err := m.fill(ctx, model, batch, signed)
		total += n
		if err != nil {
			return total, err
		}
		done(total)
		after = batch[len(batch)-1].ID
	}
	return total, nil
}

// fill records one batch. An entity that changed meanwhile spoils the batch's
// transaction: then each is tried by itself, and what changed is left to its own
// event.
func (m *Maker) fill(ctx context.Context, model embedding.Recipe, batch []domain.Entity, signed bool) (int, error) {
	m.turn.Lock()
	defer m.turn.Unlock()
	meanings, err := m.meanings(ctx, batch, []embedding.Recipe{model})
	if err != nil {
		return 0, err
	}
	if !signed {
		return len(batch), m.db.PrepareVectors(ctx, prepared(meanings))
	}
	req := registry.Request{Who: registry.System(consumer)}
	err = m.registry.Embed(ctx, req, meanings, nil)
	if err == nil {
		return len(batch), nil
	}
	if !errors.Is(err, store.ErrStale) {
		return 0, fmt.Errorf("record %d vectors: %w", len(batch), err)
	}
	n := 0
	for _, one := range meanings {
		err := m.registry.Embed(ctx, req, []registry.Meaning{one}, nil)
		switch {
		case err == nil:
			n++
		case !errors.Is(err, store.ErrStale):
			return n, fmt.Errorf("record a vector: %w", err)
		}
	}
	return n, nil
}

func prepared(meanings []registry.Meaning) []store.Vector {
	var vectors []store.Vector
	for _, m := range meanings {
		vectors = append(vectors, m.Vectors...)
	}
	return vectors
}
