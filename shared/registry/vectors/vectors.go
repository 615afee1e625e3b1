// Package vectors gives entities the vectors by which they are found: one at a
// time when an event says that one changed, together with whatever else waits,
// and all that lack one in bulk. The work may stop anywhere and be done twice:
// what an entity's state names is what counts, and it is read again each time.
package vectors

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/dlai-sd/plant/shared/domain"
	"github.com/dlai-sd/plant/shared/embedding"
	"github.com/dlai-sd/plant/shared/event"
	"github.com/dlai-sd/plant/shared/registry"
	"github.com/dlai-sd/plant/shared/store"
)

const (
	consumer  = "embed"
	batchSize = 64  // entities of one transaction when an event brings others along
	bulkSize  = 256 // and in bulk
	tries     = 5   // of an entity that changes while its vector is made
)

// Maker makes vectors and records them. It is safe for concurrent use; one batch
// is made at a time, so that the events of a bulk write find their work done by
// the first of them.
type Maker struct {
	registry *registry.Service
	db       *store.DB
	embedder *embedding.Embedder
	models   []embedding.Recipe

	turn sync.Mutex
}

// New makes a Maker. The database is read by a role that sees all tenants' entities.
// Of the recipes the first is the one that states name and search uses, the others
// are being filled for later.
func New(s *registry.Service, db *store.DB, e *embedding.Embedder, models []embedding.Recipe) *Maker {
	return &Maker{registry: s, db: db, embedder: e, models: models}
}

// Handle does what an event of a created or changed entity asks for. An entity
// that does not exist is a permanent failure; one that needs nothing is done.
func (m *Maker) Handle(ctx context.Context, e event.Event) error {
	receipt := store.Receipt{Consumer: consumer, EventID: e.ID}
	id := domain.ID(e.Data.EntityID)
	m.turn.Lock()
	defer m.turn.Unlock()
	for range tries {
		err := m.once(ctx, e, id, receipt)
		if !errors.Is(err, store.ErrStale) {
			return err
		}
	}
	return fmt.Errorf("entity %s changes faster than it can be embedded", id)
}

// once reads the entity as it stands and embeds it with others that wait. If one
// of those changed meanwhile, the next try takes it alone.
func (m *Maker) once(ctx context.Context, e event.Event, id domain.ID, receipt store.Receipt) error {
	heads, err := m.db.Heads(ctx, "", []domain.ID{id})
	if err != nil {
		return err
	}
	entity, ok := heads[id]
	if !ok {
		return event.Permanent(errors.New("there is no such entity"))
	}
	if !m.needed(entity) {
		return m.db.MarkHandled(ctx, receipt)
	}
	batch := []domain.Entity{entity}
	if waiting, err := m.db.AwaitingEmbedding(ctx, domain.BeforeAll, batchSize); err == nil && len(waiting) > 1 {
		batch = append(batch, slices.DeleteFunc(waiting, func(w domain.Entity) bool { return w.ID == id })...)
	}
	req := registry.Request{Who: registry.System(consumer), RequestID: e.RequestID, Traceparent: e.Traceparent}
	err = m.record(ctx, req, batch, &receipt)
	if errors.Is(err, store.ErrStale) && len(batch) > 1 {
		err = m.record(ctx, req, batch[:1], &receipt)
	}
	if errors.Is(err, store.ErrHandled) {
		return nil
	}
	return err
}

// needed reports whether an entity's state does not name a vector of its present
// text by the first recipe.
func (m *Maker) needed(e domain.Entity) bool {
	if !e.Living() || e.Facts.Text() == "" {
		return false
	}
	named := e.Governed.Embedding
	d := described(e)
	return named == nil || named.ModelID != m.ModelID() ||
		named.TextSHA256 != fmt.Sprintf("%x", embedding.EntityTextHash(d.Name, d.Description))
}

// described is what an entity's vector is made of.
func described(e domain.Entity) embedding.Entity {
	name := e.Facts.Label()
	return embedding.Entity{Name: name, Description: strings.TrimPrefix(strings.TrimPrefix(e.Facts.Text(), name), ". ")}
}

// record makes the vectors of entities by every recipe and writes them.
func (m *Maker) record(ctx context.Context, req registry.Request, entities []domain.Entity, receipt *store.Receipt) error {
	meanings, err := m.meanings(ctx, entities, m.models)
	if err != nil {
		return err
	}
	return m.registry.Embed(ctx, req, meanings, receipt)
}

// Fresh makes the vectors of entities anew by one recipe, in their order.
func Fresh(ctx context.Context, e *embedding.Embedder, model embedding.Recipe, entities []domain.Entity) ([]store.Vector, error) {
	texts := make([]embedding.Entity, len(entities))
	for i, entity := range entities {
		texts[i] = described(entity)
	}
	made, err := e.Entities(ctx, model, texts)
	if err != nil {
		return nil, fmt.Errorf("compute %d vectors: %w", len(entities), err)
	}
	fresh := make([]store.Vector, len(entities))
	for i, entity := range entities {
		fresh[i] = store.Vector{
			EntityID: entity.ID, Kind: entity.Kind(), ModelID: model.ModelID, Text: entity.Facts.Text(), TextSHA256: made[i].TextHash,
			VectorSHA256: made[i].VectorHash, Values: made[i].Vector,
		}
	}
	return fresh, nil
}

func (m *Maker) meanings(ctx context.Context, entities []domain.Entity, models []embedding.Recipe) ([]registry.Meaning, error) {
	meanings := make([]registry.Meaning, len(entities))
	for i, e := range entities {
		meanings[i].Entity = e
	}
	for _, model := range models {
		fresh, err := Fresh(ctx, m.embedder, model, entities)
		if err != nil {
			return nil, err
		}
		for i := range fresh {
			meanings[i].Vectors = append(meanings[i].Vectors, fresh[i])
		}
	}
	return meanings, nil
}

// Query returns the vector by which a text is looked for.
func (m *Maker) Query(ctx context.Context, text string) ([]float32, error) {
	made, err := m.embedder.Embed(ctx, []string{text})
	if err != nil {
		return nil, err
	}
	return made[0].Vector, nil
}

// Like returns the vector that an entity of this name and description would have.
func (m *Maker) Like(ctx context.Context, name, description string) ([]float32, error) {
	made, err := m.embedder.Entities(ctx, m.models[0], []embedding.Entity{{Name: name, Description: description}})
	if err != nil {
		return nil, err
	}
	return made[0].Vector, nil
}

// ModelID is whose vectors are searched.
func (m *Maker) ModelID() string { return m.models[0].ModelID }
