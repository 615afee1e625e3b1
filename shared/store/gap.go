package store

import (
	"context"

	"github.com/jackc/pgx/v5"
	"github.com/pgvector/pgvector-go"

	"github.com/dlai-sd/plant/shared/domain"
)

// SkillVectors are the vectors of skills, and how many skills there are to find.
type SkillVectors struct {
	Values   map[domain.ID][]float32 // of those asked for that have one
	Skills   int64                   // living ones that the tenant may see
	Embedded int64                   // of them with a vector
}

// VectorsOf returns the vectors that stand for the present texts of skills by a model,
// as the tenant may see them, and counts the skills that have one.
func (db *DB) VectorsOf(ctx context.Context, tenant, model string, skills []domain.ID) (SkillVectors, error) {
	found := SkillVectors{Values: map[domain.ID][]float32{}}
	var b pgx.Batch
	db.asReader(&b, tenant)
	b.Queue(`SELECT e.id, v.vector::text FROM public.entity e JOIN public.embedding v ON v.entity_id = e.id AND v.model_id = $2
		WHERE e.id = ANY ($1::uuid[]) AND e.entity_type = 'skill' AND e.deleted_at IS NULL AND `+presentText("v"), texts(skills), model).
		Query(func(rows pgx.Rows) error {
			var id domain.ID
			var text string
			_, err := pgx.ForEachRow(rows, []any{&id, &text}, func() error {
				var v pgvector.Vector
				err := v.Parse(text)
				found.Values[id] = v.Slice()
				return err
			})
			return err
		})
	b.Queue(`SELECT count(*), count(v.entity_id) FROM public.entity e
		LEFT JOIN public.embedding v ON v.entity_id = e.id AND v.model_id = $1 AND `+presentText("v")+`
		WHERE e.entity_type = 'skill' AND e.deleted_at IS NULL`, model).
		QueryRow(func(row pgx.Row) error { return row.Scan(&found.Skills, &found.Embedded) })
	return found, db.send(ctx, &b)
}

// AgentsWith returns, for each of some skills, up to limit living agents that have it,
// by their ids, as the tenant may see them; those excepted are not among them.
func (db *DB) AgentsWith(ctx context.Context, tenant string, skills, except []domain.ID, limit int) (map[domain.ID][]domain.ID, error) {
	found := map[domain.ID][]domain.ID{}
	var b pgx.Batch
	db.asReader(&b, tenant)
	b.Queue(`SELECT s.id, a.id FROM unnest($1::uuid[]) AS s (id),
		LATERAL (SELECT id FROM public.agent WHERE skill_id = s.id AND living AND id <> ALL ($2::uuid[]) ORDER BY id LIMIT $3) a
		ORDER BY s.id, a.id`, texts(skills), texts(except), limit).
		Query(func(rows pgx.Rows) error {
			var skill, agent domain.ID
			_, err := pgx.ForEachRow(rows, []any{&skill, &agent}, func() error {
				found[skill] = append(found[skill], agent)
				return nil
			})
			return err
		})
	return found, db.send(ctx, &b)
}
