package store

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/dlai-sd/plant/shared/domain"
)

// MaxDependents bounds how many dependents are listed.
const MaxDependents = 1000

// Dependent is an entity that rests on another, directly or through others.
type Dependent struct {
	ID                domain.ID
	Kind              domain.Kind
	GovernanceAgentID string
	Name              string
	Status            domain.Status
	Field             string // in which it names the one it rests on
	On                domain.ID
	Distance          int // 1: it names the entity itself
}

// references are all between entities, one row each: who (source) names whom
// (target) in which field. Row-level security decides what a tenant sees of them.
const references = `
reference (source, target, field) AS (
	SELECT job_role_id, skill_id, 'required_skills' FROM public.job_role_skill
	UNION ALL SELECT id, industry_id, 'industry_id' FROM public.job_role
	UNION ALL SELECT id, job_role_id, 'job_role_id' FROM public.team
	UNION ALL SELECT id, skill_id, 'skill_id' FROM public.agent
	UNION ALL SELECT id, job_role_id, 'job_role_id' FROM public.agent
	UNION ALL SELECT id, industry_id, 'industry_id' FROM public.agent
	UNION ALL SELECT id, team_id, 'team_id' FROM public.agent
	UNION ALL SELECT id, parent_id, 'parent_id' FROM public.entity
	UNION ALL SELECT id, superseded_by, 'superseded_by' FROM public.entity
)`

const selectDependents = `
WITH RECURSIVE` + references + `,
rests (source, target, field, distance) AS (
	SELECT r.source, r.target, r.field, 1 FROM reference r WHERE r.target = $1
	UNION
	SELECT r.source, r.target, r.field, d.distance + 1
	FROM rests d JOIN reference r ON r.target = d.source WHERE d.distance < $2
)
SELECT e.id, e.entity_type, e.governance_agent_id, coalesce(e.name, ''), e.status, d.field, d.target, d.distance
FROM (SELECT DISTINCT ON (source) * FROM rests ORDER BY source, distance, field) d
JOIN public.entity e ON e.id = d.source
WHERE e.deleted_at IS NULL AND e.id <> $1
ORDER BY d.distance, e.entity_type, e.id LIMIT $3`

const selectAbroad = `
WITH` + references + `
SELECT ` + headColumns + `
FROM public.entity t JOIN (SELECT DISTINCT source FROM reference WHERE target = $1) r ON true
JOIN public.entity e ON e.id = r.source JOIN public.opening o ON o.entity_id = e.id AND o.seq = e.version
WHERE t.id = $1 AND e.deleted_at IS NULL AND e.governance_agent_id <> t.governance_agent_id
	AND e.amendment_alignment = 'aligned'
ORDER BY e.id LIMIT $2`

// Abroad returns up to limit living entities that rest directly on one, belong to
// another governance agent than that, and wait for nobody's review. It needs
// plant_certifier.
func (db *DB) Abroad(ctx context.Context, id domain.ID, limit int) ([]domain.Entity, error) {
	var b pgx.Batch
	asTenant(&b, "")
	var list []domain.Entity
	b.Queue(selectAbroad, string(id), limit).Query(func(rows pgx.Rows) error {
		return eachListed(rows, func(l Listed) { list = append(list, l.Entity) })
	})
	return list, db.send(ctx, &b)
}

// Dependents returns the living entities that rest on one, nearest first, as far
// as the tenant may see them: each once, at its shortest distance up to depth.
func (db *DB) Dependents(ctx context.Context, tenant string, id domain.ID, depth, limit int) ([]Dependent, error) {
	var b pgx.Batch
	asTenant(&b, tenant)
	var list []Dependent
	b.Queue(selectDependents, string(id), depth, limit).Query(func(rows pgx.Rows) error {
		var err error
		list, err = pgx.CollectRows(rows, pgx.RowToStructByPos[Dependent])
		return err
	})
	return list, db.send(ctx, &b)
}

// Heads returns entities as they stand now, as the tenant may see them; what is
// absent or hidden is missing from the map.
func (db *DB) Heads(ctx context.Context, tenant string, ids []domain.ID) (map[domain.ID]domain.Entity, error) {
	heads := map[domain.ID]domain.Entity{}
	if len(ids) == 0 {
		return heads, nil
	}
	var b pgx.Batch
	asTenant(&b, tenant)
	b.Queue(`SELECT e.id, e.entity_type, e.governance_agent_id, e.version, e.version_hash, e.etag_hash, e.constitution_hash,
			e.created_at, e.updated_at, '', o.state
		FROM public.entity e JOIN public.opening o ON o.entity_id = e.id AND o.seq = e.version
		WHERE e.id = ANY ($1::uuid[])`, texts(ids)).Query(func(rows pgx.Rows) error {
		list, err := pgx.CollectRows(rows, scanListed)
		for _, l := range list {
			heads[l.Entity.ID] = l.Entity
		}
		return err
	})
	return heads, db.send(ctx, &b)
}

// VersionAt returns the newest version of an entity that was recorded by a
// moment, as far as the tenant may see it: the highest seq, since order is seq
// and never time.
func (db *DB) VersionAt(ctx context.Context, tenant string, id domain.ID, at time.Time) (int64, error) {
	var b pgx.Batch
	asTenant(&b, tenant)
	var seq *int64
	b.Queue(`SELECT max(seq) FROM public.amendment WHERE entity_id = $1 AND recorded_at <= $2`, string(id), at).
		QueryRow(func(row pgx.Row) error { return row.Scan(&seq) })
	if err := db.send(ctx, &b); err != nil {
		return 0, err
	}
	if seq == nil {
		return 0, ErrNotFound
	}
	return *seq, nil
}
