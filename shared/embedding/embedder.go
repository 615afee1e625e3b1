package embedding

import (
	"context"
	"crypto/sha256"
	"log/slog"
	"sync/atomic"

	"github.com/dlai-sd/plant/shared/embedding/minilm"
)

const maxTokens = minilm.MaxTokens

// Embedder makes vectors: from the cache, if there is one, or from the model.
// It may be used by many goroutines.
type Embedder struct {
	model *minilm.Model
	cache *Cache
	log   *slog.Logger

	away         atomic.Bool // the cache failed at the last call
	hits, misses atomic.Int64
}

// NewEmbedder puts a model behind a cache; cache may be nil. The caller closes
// both. The log hears when the cache goes away and when it is back.
func NewEmbedder(model *minilm.Model, cache *Cache, log *slog.Logger) *Embedder {
	return &Embedder{model: model, cache: cache, log: log}
}

// Embed returns the embeddings of texts, in their order. Whether and what the
// cache answers changes no vector, but how long it takes. Errors are the
// model's and the context's.
func (e *Embedder) Embed(ctx context.Context, texts []string) ([]Embedding, error) {
	all := make([]Embedding, 0, len(texts))
	for begin := 0; begin < len(texts); begin += MaxTexts {
		some, err := e.embedSome(ctx, texts[begin:min(len(texts), begin+MaxTexts)])
		if err != nil {
			return nil, err
		}
		all = append(all, some...)
	}
	return all, nil
}

func (e *Embedder) embedSome(ctx context.Context, texts []string) ([]Embedding, error) {
	cached, asked := e.lookUp(ctx, texts)
	places := map[string]int{} // of a missing text among missing
	var missing []string
	for i, text := range texts {
		if _, known := places[text]; cached[i] == nil && !known {
			places[text] = len(missing)
			missing = append(missing, text)
		}
	}
	made, err := e.model.Embed(ctx, missing)
	if err != nil {
		return nil, err
	}
	if asked && len(missing) > 0 {
		e.store(ctx, missing, made)
	}
	e.hits.Add(int64(len(texts) - len(missing)))
	e.misses.Add(int64(len(missing)))
	embeddings := make([]Embedding, len(texts))
	for i, text := range texts {
		if cached[i] != nil {
			embeddings[i] = Embedding{Vector: cached[i], Truncated: e.model.Truncated(text)}
			continue
		}
		embeddings[i] = Embedding(made[places[text]])
	}
	return embeddings, nil
}

// lookUp says whether the cache answered: one that did not is not asked to
// store either.
func (e *Embedder) lookUp(ctx context.Context, texts []string) (vectors [][]float32, asked bool) {
	none := make([][]float32, len(texts))
	if e.cache == nil {
		return none, false
	}
	vectors, err := e.cache.Get(ctx, texts)
	e.note(ctx, err)
	if err != nil {
		return none, false
	}
	return vectors, true
}

func (e *Embedder) store(ctx context.Context, texts []string, made []minilm.Embedding) {
	vectors := make([][]float32, len(made))
	for i := range made {
		vectors[i] = made[i].Vector
	}
	e.note(ctx, e.cache.Put(ctx, texts, vectors))
}

// note logs a change of the cache's health, not every call.
func (e *Embedder) note(ctx context.Context, err error) {
	if ctx.Err() != nil || e.away.Swap(err != nil) == (err != nil) {
		return
	}
	if err != nil {
		e.log.WarnContext(ctx, "the embedding cache is away; vectors are computed", "error", err)
		return
	}
	e.log.InfoContext(ctx, "the embedding cache is back")
}

// Counts says how many texts the cache answered and how many the model did,
// since the start. A text that a call holds twice is computed once.
func (e *Embedder) Counts() (hits, misses int64) { return e.hits.Load(), e.misses.Load() }

// Entity is what an entity's vector is made of.
type Entity struct{ Name, Description string }

// Stored is what is kept of an entity, and what its signed record says of it.
type Stored struct {
	ModelID    string // of the recipe
	Vector     []float32
	TextHash   [sha256.Size]byte // EntityTextHash
	VectorHash [sha256.Size]byte
	Truncated  bool
}

// Entities returns the vectors to store for entities by a recipe, in their order. It goes
// past the cache: their hashes are signed, and a cache can be written to by
// others.
func (e *Embedder) Entities(ctx context.Context, r Recipe, entities []Entity) ([]Stored, error) {
	var texts []string
	for _, entity := range entities {
		texts = append(texts, r.texts(entity.Name, entity.Description)...)
	}
	made, err := e.model.Embed(ctx, texts)
	if err != nil {
		return nil, err
	}
	stored := make([]Stored, len(entities))
	for i, entity := range entities {
		own := made[:len(r.texts(entity.Name, entity.Description))]
		made = made[len(own):]
		s := Stored{ModelID: r.ModelID, TextHash: EntityTextHash(entity.Name, entity.Description)}
		vectors := make([][]float32, len(own))
		for j := range own {
			vectors[j], s.Truncated = own[j].Vector, s.Truncated || own[j].Truncated
		}
		s.Vector = Mean(vectors...)
		s.VectorHash = VectorHash(s.Vector)
		stored[i] = s
	}
	return stored, nil
}
