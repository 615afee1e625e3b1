package store

import (
	"context"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/pgvector/pgvector-go"

	"github.com/dlai-sd/plant/shared/domain"
)

// Search says what is looked for. Without a vector it is by words alone, without
// a text by meaning alone.
type Search struct {
	ModelID  string    // whose vectors are compared
	Vector   []float32 // by inner product; nil: not by meaning
	Text     string    // by BM25; "": not by words
	Kind     domain.Kind
	Category *string
	Status   *string
	Except   domain.ID // is not among the hits
	Limit    int
	Present  bool // only what has a vector of its present text
	Cosine   bool // Semantic is the cosine, which is 1 for the same text, and not the inner product
}

// Hit is a found entity with its score and what it is made of.
type Hit struct {
	Entity   domain.Entity
	Score    float64
	Semantic *float64 // inner product with what was asked, or the cosine; nil: not compared
	Lexical  *float64 // BM25 divided by the best hit's, 0 to 1; nil: no word in common
	Words    []string // lexemes in common, sorted
}

// How much the words weigh beside the meaning, and how many candidates each way
// contributes. The lexical part counts squared: words decide between entities that
// mean about the same, and a match that is half as good as the best says little.
// Measured on the development queries of O*NET and ESCO (make quality); the linear
// share loses first places among ESCO's skills.
const (
	lexicalWeight = "0.1"
	candidates    = 100
)

// Search returns up to limit entities, best first, as the tenant may see them
// now. It compares with every vector of the tenant's own; among what others share
// it takes the nearest by index. No fewer hits than limit come back by meaning
// while there are as many.
func (db *DB) Search(ctx context.Context, tenant string, s Search) ([]Hit, error) {
	var hits []Hit
	return hits, db.search(ctx, "", tenant, s, func(rows pgx.Rows) error {
		var err error
		hits, err = pgx.CollectRows(rows, scanHit)
		return err
	})
}

// ExplainSearch carries a search out and returns how the database did it.
func (db *DB) ExplainSearch(ctx context.Context, tenant string, s Search) (string, error) {
	var lines []string
	err := db.search(ctx, "EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF) ", tenant, s, func(rows pgx.Rows) error {
		var err error
		lines, err = pgx.CollectRows(rows, pgx.RowTo[string])
		return err
	})
	return strings.Join(lines, "\n"), err
}

// SearchAll carries several searches out in one round trip; see Search. It returns their
// hits in their order.
func (db *DB) SearchAll(ctx context.Context, tenant string, searches []Search) ([][]Hit, error) {
	hits := make([][]Hit, len(searches))
	if len(searches) == 0 {
		return hits, nil
	}
	var b pgx.Batch
	db.asReader(&b, tenant)
	b.Queue(scanOn)
	for i, s := range searches {
		var q statement
		b.Queue(q.search(tenant, s), q.values...).Query(func(rows pgx.Rows) error {
			var err error
			hits[i], err = pgx.CollectRows(rows, scanHit)
			return err
		})
	}
	return hits, db.send(ctx, &b)
}

// scanOn lets a scan of the index go on until there are enough hits.
const scanOn = `SELECT set_config('hnsw.iterative_scan', 'relaxed_order', true), set_config('hnsw.ef_search', '100', true)`

func (db *DB) search(ctx context.Context, before, tenant string, s Search, read func(pgx.Rows) error) error {
	var q statement
	sql := before + q.search(tenant, s)
	var b pgx.Batch
	db.asReader(&b, tenant)
	b.Queue(scanOn)
	b.Queue(sql, q.values...).Query(read)
	return db.send(ctx, &b)
}

func scanHit(row pgx.CollectableRow) (Hit, error) {
	var h Hit
	l, err := scanListedAnd(row, &h.Score, &h.Semantic, &h.Lexical, &h.Words)
	h.Entity = l.Entity
	return h, err
}

// statement is SQL put together from constants; every value is bound.
type statement struct{ values []any }

func (q *statement) bind(value any) string {
	q.values = append(q.values, value)
	return "$" + strconv.Itoa(len(q.values))
}

// search asks own and shared rows as two branches, each on its own index, never
// one OR.
func (q *statement) search(tenant string, s Search) string {
	who := q.bind(tenant)
	limit := q.bind(s.Limit)
	filter := q.filter(s)
	with := []string{}
	found := []string{}
	semantic, lexical := "NULL::float8", "NULL::float8"
	var joins string
	if s.Vector != nil {
		vector, model := q.bind(pgvector.NewVector(s.Vector).String())+"::vector(384)", q.bind(s.ModelID)
		near := filter
		if s.Present {
			near += ` AND EXISTS (SELECT FROM public.entity e WHERE e.id = t.entity_id AND ` + presentText("t") + `)`
		}
		with = append(with, nearest(who, vector, model, near))
		found = append(found, "SELECT entity_id FROM near")
		semantic = "-(v.vector <#> " + vector + ")"
		if s.Cosine {
			semantic = "1 - (v.vector <=> " + vector + ")"
		}
		joins = " LEFT JOIN public.embedding v ON v.entity_id = f.entity_id AND v.model_id = " + model
	}
	if s.Text != "" {
		with = append(with, worded(who, q.bind(s.Text), filter))
		found = append(found, "SELECT entity_id FROM word_match")
		lexical = "w.score / (SELECT max(score) FROM word_match)"
		joins += " LEFT JOIN word_match w ON w.entity_id = f.entity_id"
	}
	words := "NULL::text[]"
	if s.Text != "" {
		words = "w.words"
	}
	score := "coalesce(h.semantic, 0) + " + lexicalWeight + " * coalesce(h.lexical ^ 2, 0)"
	if s.Vector == nil {
		score = "h.lexical"
	}
	return "WITH " + strings.Join(with, ",\n") + `,
found AS (` + strings.Join(found, " UNION ") + `),
hit AS (SELECT f.entity_id, ` + semantic + ` AS semantic, ` + lexical + ` AS lexical, ` + words + ` AS words FROM found f` + joins + `)
SELECT e.id, e.entity_type, e.governance_agent_id, e.version, e.version_hash, e.etag_hash, e.constitution_hash,
	e.created_at, e.updated_at, '', o.state, ` + score + ` AS score, h.semantic, h.lexical, coalesce(h.words, '{}')
FROM hit h JOIN public.entity e ON e.id = h.entity_id JOIN public.opening o ON o.entity_id = e.id AND o.seq = e.version
ORDER BY score DESC, e.id LIMIT ` + limit
}

// filter narrows a table t that has entity_id and entity_type.
func (q *statement) filter(s Search) string {
	var sql string
	if s.Kind != "" {
		sql += " AND t.entity_type = " + q.bind(string(s.Kind))
	}
	if s.Except != "" {
		sql += " AND t.entity_id <> " + q.bind(string(s.Except))
	}
	if s.Status != nil {
		sql += " AND EXISTS (SELECT FROM public.entity e WHERE e.id = t.entity_id AND e.status = " + q.bind(*s.Status) + ")"
	}
	if s.Category != nil {
		sql += " AND EXISTS (SELECT FROM public.skill k WHERE k.id = t.entity_id AND k.category = " + q.bind(*s.Category) + ")"
	}
	return sql
}

// nearest is the candidates by meaning: exact among the tenant's own, by HNSW
// among what others share, where the scan goes on until there are enough.
func nearest(who, vector, model, filter string) string {
	most := strconv.Itoa(candidates)
	return `near AS MATERIALIZED (
	(SELECT t.entity_id FROM public.embedding t
		WHERE t.governance_agent_id = ` + who + ` AND t.model_id = ` + model + filter + `
		ORDER BY t.vector <#> ` + vector + ` LIMIT ` + most + `)
	UNION ALL
	(SELECT t.entity_id FROM public.embedding t
		WHERE t.shared AND t.governance_agent_id <> ` + who + ` AND t.model_id = ` + model + filter + `
		ORDER BY t.vector::halfvec(384) <#> ` + vector + `::halfvec(384) LIMIT ` + most + `))`
}

// worded is the candidates by words: BM25 (Robertson and Zaragoza 2009, k1 1.2,
// b 0.75) over all that the tenant may see of the kinds asked for.
func worded(who, text, filter string) string {
	own, others := "t.governance_agent_id = "+who+filter, "t.shared AND t.governance_agent_id <> "+who+filter
	return `term AS MATERIALIZED (SELECT lexeme FROM unnest(to_tsvector('english', ` + text + `)) LIMIT 64),
asked AS MATERIALIZED (SELECT string_agg(quote_literal(lexeme), ' | ')::tsquery AS any_of FROM term),
doc AS MATERIALIZED (
	SELECT t.entity_id, t.lexemes, t.words FROM public.search_text t, asked WHERE ` + own + ` AND t.lexemes @@ asked.any_of
	UNION ALL
	SELECT t.entity_id, t.lexemes, t.words FROM public.search_text t, asked WHERE ` + others + ` AND t.lexemes @@ asked.any_of),
corpus AS MATERIALIZED (SELECT sum(n)::float8 AS n, sum(total)::float8 / greatest(sum(n), 1) AS words FROM (
	SELECT count(*) AS n, sum(t.words) AS total FROM public.search_text t WHERE ` + own + `
	UNION ALL
	SELECT count(*), sum(t.words) FROM public.search_text t WHERE ` + others + `) c),
tf AS MATERIALIZED (
	SELECT d.entity_id, d.words, l.lexeme, cardinality(l.positions)::float8 AS n
	FROM doc d, unnest(d.lexemes) AS l WHERE l.lexeme IN (SELECT lexeme FROM term)),
df AS (SELECT lexeme, count(*)::float8 AS n FROM tf GROUP BY lexeme),
word_match AS MATERIALIZED (
	SELECT tf.entity_id, array_agg(tf.lexeme ORDER BY tf.lexeme) AS words,
		sum(ln(1 + (c.n - df.n + 0.5) / (df.n + 0.5)) * tf.n * 2.2 / (tf.n + 1.2 * (0.25 + 0.75 * tf.words / greatest(c.words, 1)))) AS score
	FROM tf JOIN df USING (lexeme), corpus c GROUP BY tf.entity_id
	ORDER BY score DESC, tf.entity_id LIMIT ` + strconv.Itoa(candidates) + `)`
}
