package store

import (
	"time"

	"github.com/dlai-sd/plant/shared/domain"
)

// publishGrace is how long a new event is its own process's to publish.
const publishGrace = 30 * time.Second

// The rows of an entity are derived from its state by the database itself: one
// source, the bytes that were signed. A field is named alike in state, response
// and column.

const governedFields = `external_id text, name text, status text, visibility text, tags text[], custom_attributes jsonb,
	governance_notes text, parent_id uuid, superseded_by uuid, deleted_at timestamptz, status_reason text,
	genesis_certification jsonb, amendment_alignment text, drift_detector jsonb, embedding jsonb,
	erased_seqs bigint[], reattests text[]`

const insertEntities = `
INSERT INTO public.entity (id, entity_type, governance_agent_id, name_key, created_at, updated_at, version, version_hash,
	etag_hash, constitution_hash, external_id, name, status, visibility, tags, custom_attributes, governance_notes,
	parent_id, superseded_by, deleted_at, status_reason, genesis_certification, amendment_alignment, drift_detector,
	embedding, erased_seqs, reattests)
SELECT u.id, u.entity_type, u.owner, nullif(u.name_key, ''), u.at, u.at, 1, u.hash,
	u.hash, u.constitution, s.external_id, s.name, s.status, s.visibility, coalesce(s.tags, '{}'),
	coalesce(s.custom_attributes, '{}'), s.governance_notes, s.parent_id, s.superseded_by, s.deleted_at, s.status_reason,
	s.genesis_certification, coalesce(s.amendment_alignment, 'aligned'), s.drift_detector, s.embedding, s.erased_seqs,
	s.reattests
FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::timestamptz[], $6::bytea[], $7::bytea[], $8::text[])
	AS u (id, entity_type, owner, name_key, at, hash, constitution, state),
	jsonb_to_record(u.state::jsonb) AS s (` + governedFields + `)`

// updateEntities moves heads on by one. The amendment's own constraints have
// decided the race before it runs.
const updateEntities = `
UPDATE public.entity e SET (name_key, updated_at, version, version_hash, etag_hash, constitution_hash,
	external_id, name, status, visibility, tags, custom_attributes, governance_notes, parent_id, superseded_by,
	deleted_at, status_reason, genesis_certification, amendment_alignment, drift_detector, embedding, erased_seqs,
	reattests)
= (nullif(u.name_key, ''), u.at, u.seq, u.hash, CASE WHEN u.authored THEN u.hash ELSE e.etag_hash END, u.constitution,
	s.external_id, s.name, s.status, s.visibility, coalesce(s.tags, '{}'), coalesce(s.custom_attributes, '{}'),
	s.governance_notes, s.parent_id, s.superseded_by, s.deleted_at, s.status_reason, s.genesis_certification,
	coalesce(s.amendment_alignment, 'aligned'), s.drift_detector, s.embedding, s.erased_seqs, s.reattests)
FROM unnest($1::uuid[], $2::bigint[], $3::text[], $4::timestamptz[], $5::bytea[], $6::bool[], $7::bytea[], $8::text[])
	AS u (id, seq, name_key, at, hash, authored, constitution, state),
	jsonb_to_record(u.state::jsonb) AS s (` + governedFields + `)
WHERE e.id = u.id`

const insertAmendments = `
INSERT INTO public.amendment (entity_id, seq, prev_hash, hash, record, change, breaking, author, recorded_at, state_hash,
	constitution, key_id, algorithm, signature, batch_id, batch_index, batch_path, governance_agent_id, entity_type)
SELECT * FROM unnest($1::uuid[], $2::bigint[], $3::bytea[], $4::bytea[], $5::text[], $6::text[], $7::bool[], $8::text[],
	$9::timestamptz[], $10::bytea[], $11::bytea[], $12::text[], $13::text[], $14::bytea[], $15::uuid[], $16::int[],
	$17::bytea[], $18::text[], $19::text[])`

const insertOpenings = `
INSERT INTO public.opening (entity_id, seq, salt, state)
SELECT * FROM unnest($1::uuid[], $2::bigint[], $3::bytea[], $4::text[])`

const insertSignatureBatch = `
INSERT INTO public.signature_batch (id, key_id, statement, signature, size) VALUES ($1, $2, $3, $4, $5)`

// insertEvents keeps a sweep off the rows while their own process publishes them.
const insertEvents = `
INSERT INTO public.outbox (id, type, subject, governance_agent_id, request_id, traceparent, data, created_at, available_at)
SELECT id, type, subject, tenant, nullif(request, ''), nullif(trace, ''), data::jsonb, at, clock_timestamp() + $9::interval
FROM unnest($1::uuid[], $2::text[], $3::uuid[], $4::text[], $5::text[], $6::text[], $7::text[], $8::timestamptz[])
	AS e (id, type, subject, tenant, request, trace, data, at)`

const insertIdempotencyKey = `
INSERT INTO public.idempotency_key (principal_id, route, key, body_hash, entity_id, seq, items)
VALUES ($1, $2, $3, $4, nullif($5, '')::uuid, nullif($6, 0), $7)`

// updateTeams lets agents go from their teams, as their states say.
const updateTeams = `
UPDATE public.agent a SET team_id = s.team_id
FROM unnest($1::uuid[], $2::text[]) AS u (id, state), jsonb_to_record(u.state::jsonb) AS s (team_id uuid)
WHERE a.id = u.id AND a.team_id IS DISTINCT FROM s.team_id`

const fromStates = ` FROM unnest($1::uuid[], $2::text[]) AS u (id, state), jsonb_to_record(u.state::jsonb) AS s `

// factsSQL returns the statements that write the rows of one kind, each with
// the entities' ids ($1) and states ($2).
func factsSQL(k domain.Kind) []string {
	switch k {
	case domain.KindSkill:
		return []string{`INSERT INTO public.skill (id, description, category) SELECT u.id, s.description, s.category` +
			fromStates + `(description text, category text)
			ON CONFLICT (id) DO UPDATE SET description = excluded.description, category = excluded.category`}
	case domain.KindJobRole:
		return []string{
			`INSERT INTO public.job_role (id, description, seniority_level, industry_id)
			SELECT u.id, s.description, s.seniority_level, s.industry_id` +
				fromStates + `(description text, seniority_level text, industry_id uuid)
			ON CONFLICT (id) DO UPDATE SET description = excluded.description,
				seniority_level = excluded.seniority_level, industry_id = excluded.industry_id`,
			`DELETE FROM public.job_role_skill WHERE job_role_id = ANY ($1::uuid[]) AND $2::text[] IS NOT NULL`,
			`INSERT INTO public.job_role_skill (job_role_id, skill_id) SELECT u.id, unnest(s.required_skills)` +
				fromStates + `(required_skills uuid[])`,
		}
	case domain.KindTeam:
		return []string{`INSERT INTO public.team (id, description, job_role_id) SELECT u.id, s.description, s.job_role_id` +
			fromStates + `(description text, job_role_id uuid)
			ON CONFLICT (id) DO UPDATE SET description = excluded.description, job_role_id = excluded.job_role_id`}
	case domain.KindAgent:
		return []string{`INSERT INTO public.agent (id, skill_id, job_role_id, industry_id, team_id)
			SELECT u.id, s.skill_id, s.job_role_id, s.industry_id, s.team_id` +
			fromStates + `(skill_id uuid, job_role_id uuid, industry_id uuid, team_id uuid)
			ON CONFLICT (id) DO UPDATE SET skill_id = excluded.skill_id, job_role_id = excluded.job_role_id,
				team_id = excluded.team_id`}
	case domain.KindIndustry:
		return []string{`INSERT INTO public.industry (id, description) SELECT u.id, s.description` +
			fromStates + `(description text)
			ON CONFLICT (id) DO UPDATE SET description = excluded.description`}
	case domain.KindSigningKey:
		return []string{`INSERT INTO public.signing_key (id, key_id, spki, use, may_sign, invalid_from)
			SELECT u.id, s.key_id, s.spki, s.use, coalesce(s.may_sign, '{}'), s.invalid_from` +
			fromStates + `(key_id text, spki text, use text, may_sign text[], invalid_from bigint)
			ON CONFLICT (id) DO UPDATE SET invalid_from = excluded.invalid_from`}
	default:
		return nil
	}
}
