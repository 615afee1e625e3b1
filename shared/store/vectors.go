package store

import (
	"context"

	"github.com/jackc/pgx/v5"
	"github.com/pgvector/pgvector-go"

	"github.com/dlai-sd/plant/shared/domain"
)

// Vector is what stands for an entity's meaning in search: 384 values of one
// model, and the words of the text they were made of.
type Vector struct {
	EntityID     domain.ID
	Kind         domain.Kind
	ModelID      string
	Text         string // what was embedded: its words are searched too
	TextSHA256   [32]byte
	VectorSHA256 [32]byte // of the float32 values, little-endian
	Values       []float32
}

const upsertVectors = `
INSERT INTO public.embedding (entity_id, model_id, vector, text_sha256, vector_sha256, entity_type, governance_agent_id)
SELECT id, model, vector, text_hash, vector_hash, kind, ''
FROM unnest($1::uuid[], $2::text[], $3::text[]::vector[], $4::bytea[], $5::bytea[], $6::text[])
	AS v (id, model, vector, text_hash, vector_hash, kind)
ON CONFLICT (entity_id, model_id) DO UPDATE SET vector = excluded.vector, text_sha256 = excluded.text_sha256,
	vector_sha256 = excluded.vector_sha256`

// The words that count are those that the configuration english keeps.
const upsertWords = `
INSERT INTO public.search_text (entity_id, lexemes, words, entity_type, governance_agent_id)
SELECT v.id, l.lexemes, (SELECT coalesce(sum(cardinality(positions)), 0) FROM unnest(l.lexemes)), v.kind, ''
FROM (SELECT DISTINCT ON (id) * FROM unnest($1::uuid[], $2::text[], $3::text[]) AS u (id, text, kind)) v,
	LATERAL to_tsvector('english', v.text) AS l (lexemes)
ON CONFLICT (entity_id) DO UPDATE SET lexemes = excluded.lexemes, words = excluded.words`

func queueVectors(b *pgx.Batch, vectors []Vector) {
	if len(vectors) == 0 {
		return
	}
	n := len(vectors)
	ids, models, values, texts, kinds := make([]string, n), make([]string, n), make([]string, n), make([]string, n), make([]string, n)
	textHashes, vectorHashes := make([][]byte, n), make([][]byte, n)
	for i, v := range vectors {
		ids[i], models[i], values[i] = string(v.EntityID), v.ModelID, pgvector.NewVector(v.Values).String()
		texts[i], kinds[i] = v.Text, string(v.Kind)
		textHashes[i], vectorHashes[i] = v.TextSHA256[:], v.VectorSHA256[:]
	}
	b.Queue(upsertVectors, ids, models, values, textHashes, vectorHashes, kinds)
	b.Queue(upsertWords, ids, texts, kinds)
}

// selectAwaiting reads living entities of the searched kinds, behind an id.
const selectAwaiting = `
SELECT e.id, e.entity_type, e.governance_agent_id, e.version, e.version_hash, e.etag_hash, e.constitution_hash,
	e.created_at, e.updated_at, '', o.state
FROM public.entity e JOIN public.opening o ON o.entity_id = e.id AND o.seq = e.version
WHERE e.deleted_at IS NULL AND e.entity_type IN ('skill', 'job_role', 'industry') AND e.id > $1 `

// AwaitingEmbedding returns up to limit entities behind an id, of any tenant,
// whose state names no embedding: those whose text no vector stands for. It
// needs plant_embedder.
func (db *DB) AwaitingEmbedding(ctx context.Context, after domain.ID, limit int) ([]domain.Entity, error) {
	return db.entities(ctx, selectAwaiting+`AND e.embedding IS NULL ORDER BY e.id LIMIT $2`, string(after), limit)
}

// presentText is the condition that a row of embedding stands for the text that its
// entity e has now.
func presentText(row string) string {
	return "encode(" + row + ".text_sha256, 'hex') = e.embedding ->> 'text_sha256'"
}

// LackingVector returns up to limit entities behind an id, of any tenant, that
// have no vector of a model for their present text, or, where signed is set,
// whose state does not name that model.
func (db *DB) LackingVector(ctx context.Context, model string, signed bool, after domain.ID, limit int) ([]domain.Entity, error) {
	return db.entities(ctx, selectAwaiting+`AND (e.embedding IS NULL OR ($4 AND e.embedding ->> 'model_id' <> $3)
	OR NOT EXISTS (SELECT FROM public.embedding v WHERE v.entity_id = e.id AND v.model_id = $3
		AND `+presentText("v")+`))
ORDER BY e.id LIMIT $2`, string(after), limit, model, signed)
}

func (db *DB) entities(ctx context.Context, sql string, args ...any) ([]domain.Entity, error) {
	var b pgx.Batch
	var list []domain.Entity
	b.Queue(sql, args...).Query(func(rows pgx.Rows) error {
		listed, err := pgx.CollectRows(rows, scanListed)
		for _, l := range listed {
			list = append(list, l.Entity)
		}
		return err
	})
	return list, db.send(ctx, &b)
}

// Embedded counts the living entities that are searched, and how many of them
// have a vector of a model.
func (db *DB) Embedded(ctx context.Context, model string) (searched, embedded int64, err error) {
	var b pgx.Batch
	b.Queue(`SELECT count(*), count(v.entity_id) FROM public.entity e
		LEFT JOIN public.embedding v ON v.entity_id = e.id AND v.model_id = $1
		WHERE e.deleted_at IS NULL AND e.entity_type IN ('skill', 'job_role', 'industry')`, model).
		QueryRow(func(row pgx.Row) error { return row.Scan(&searched, &embedded) })
	return searched, embedded, db.send(ctx, &b)
}

// StoredVector returns the vector that the database holds for a living entity and
// a model, as the tenant may see it, with the hashes of its row. Values is nil
// where there is none; ErrNotFound where there is no such entity.
func (db *DB) StoredVector(ctx context.Context, tenant string, id domain.ID, model string) (Vector, error) {
	var b pgx.Batch
	db.asReader(&b, tenant)
	v := Vector{EntityID: id, ModelID: model}
	b.Queue(`SELECT e.entity_type, coalesce(v.vector::text, ''), v.text_sha256, v.vector_sha256
		FROM public.entity e LEFT JOIN public.embedding v ON v.entity_id = e.id AND v.model_id = $2
		WHERE e.id = $1 AND e.deleted_at IS NULL`, string(id), model).QueryRow(func(row pgx.Row) error {
		var text string
		var textHash, vectorHash []byte
		if err := row.Scan(&v.Kind, &text, &textHash, &vectorHash); err != nil || text == "" {
			return err
		}
		copy(v.TextSHA256[:], textHash)
		copy(v.VectorSHA256[:], vectorHash)
		var parsed pgvector.Vector
		err := parsed.Parse(text)
		v.Values = parsed.Slice()
		return err
	})
	return v, db.send(ctx, &b)
}

// asReader queues the tenant setting for a read on a tenant's behalf. A function
// that works for all tenants gives up, until the transaction ends, what it may see
// beyond this one.
func (db *DB) asReader(b *pgx.Batch, tenant string) {
	asTenant(b, tenant)
	if db.crossTenant {
		b.Queue(`SELECT set_config('role', 'plant_reader', true)`)
	}
}

// PrepareVectors writes vectors that no state names yet: those of a model that is
// not in use.
func (db *DB) PrepareVectors(ctx context.Context, vectors []Vector) error {
	var b pgx.Batch
	queueVectors(&b, vectors)
	return db.send(ctx, &b)
}

// MarkHandled records that a consumer is done with an event that needs nothing
// more. A repeat is no error.
func (db *DB) MarkHandled(ctx context.Context, r Receipt) error {
	var b pgx.Batch
	b.Queue(`INSERT INTO public.inbox (consumer, ce_id) VALUES ($1, $2) ON CONFLICT DO NOTHING`, r.Consumer, r.EventID)
	return db.send(ctx, &b)
}
