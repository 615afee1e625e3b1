package store

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/dlai-sd/plant/shared/domain"
)

// AsReader returns the same database, read as a tenant's reader: for what a
// function whose own role sees all tenants answers to one of them. It shares the
// connections, and is not closed.
func (db *DB) AsReader() *DB {
	return &DB{pool: db.pool, role: readerRole}
}

const readerRole = "plant_reader"

// File is what the database holds about one entity for a decision.
type File struct {
	Listed

	Row domain.Row

	Seqs []Sheet // oldest first
}

// Sheet is one amendment of a file, with the key that signed it and its place in
// the log.
type Sheet struct {
	Proof

	EntityID    domain.ID
	KeyUse      domain.KeyUse
	MaySign     []string
	KeyRevoked  bool
	InvalidFrom *int64 // log index, of a revoked key
	Logged      bool   // it has a place in the log, or waits for one
	LogIndex    *int64 // nil while it waits
}

// Laws are the constitutions that the ledger knows, and the one in force.
type Laws struct {
	InForce [32]byte
	All     [][32]byte
}

// maxSheets bounds the amendments of all entities of one decision together.
const maxSheets = 20_000

// selectRows compares what the columns say with what the newest state says: both
// as jsonb, made by the same conversions.
const selectRows = `
SELECT e.id, e.entity_type, e.governance_agent_id, e.version, e.version_hash, e.etag_hash, e.constitution_hash,
	e.created_at, e.updated_at, '', o.state, coalesce(e.name_key, ''), e.deleted_at IS NOT NULL,
	(SELECT count(*) FROM public.entity n WHERE n.governance_agent_id = e.governance_agent_id
		AND n.entity_type = e.entity_type AND n.name_key = e.name_key AND n.deleted_at IS NULL AND n.id <> e.id),
	(SELECT count(*) FROM public.entity n WHERE n.governance_agent_id = e.governance_agent_id
		AND n.external_id = e.external_id AND n.id <> e.id),
	ARRAY(SELECT k.key FROM jsonb_each(to_jsonb(s) || jsonb_build_object('tags', coalesce(s.tags, '{}'),
			'custom_attributes', coalesce(s.custom_attributes, '{}'), 'amendment_alignment', coalesce(s.amendment_alignment, 'aligned'))) k
		WHERE k.value IS DISTINCT FROM to_jsonb(e) -> k.key ORDER BY 1),
	ARRAY(SELECT k.key FROM jsonb_each(coalesce(
			(SELECT to_jsonb(x) FROM public.skill x WHERE x.id = e.id),
			(SELECT to_jsonb(x) || jsonb_build_object('required_skills', (SELECT jsonb_agg(r.skill_id ORDER BY r.skill_id::text COLLATE "C")
				FROM public.job_role_skill r WHERE r.job_role_id = x.id)) FROM public.job_role x WHERE x.id = e.id),
			(SELECT to_jsonb(x) FROM public.team x WHERE x.id = e.id),
			(SELECT to_jsonb(x) FROM public.agent x WHERE x.id = e.id),
			(SELECT to_jsonb(x) FROM public.industry x WHERE x.id = e.id),
			'{"row": "missing"}') - ARRAY['id', 'entity_type', 'governance_agent_id', 'living']) k
		WHERE k.value IS DISTINCT FROM coalesce(o.state::jsonb -> k.key, 'null') ORDER BY 1)
FROM public.entity e JOIN public.opening o ON o.entity_id = e.id AND o.seq = e.version,
	jsonb_to_record(o.state::jsonb) AS s (` + governedFields + `)
WHERE e.id = ANY ($1::uuid[]) AND e.entity_type NOT IN ('signing_key', 'constitution')`

const selectSheets = `
SELECT a.entity_id, a.seq, a.hash, a.prev_hash, a.state_hash, a.constitution, a.change, a.author, a.governance_agent_id, a.key_id,
	a.breaking, a.recorded_at, a.hash = sha256(convert_to(a.record, 'UTF8')), a.record, o.salt, o.state,
	coalesce(a.signature, s.signature), s.statement, coalesce(a.batch_index, 0), a.batch_path, k.spki,
	k.use, k.may_sign, coalesce((SELECT ke.status = 'revoked' FROM public.entity ke WHERE ke.id = k.id), true), k.invalid_from,
	l.entity IS NOT NULL, l.place
FROM public.amendment a
LEFT JOIN public.opening o USING (entity_id, seq)
LEFT JOIN public.signature_batch s ON s.id = a.batch_id
JOIN public.signing_key k ON k.key_id = a.key_id
LEFT JOIN public.log_places($1::uuid[]) l ON l.entity = a.entity_id AND l.amendment = a.seq
WHERE a.entity_id = ANY ($1::uuid[]) ORDER BY a.entity_id, a.seq LIMIT $2`

// Files returns what there is to decide entities by; what does not exist is
// missing. It needs plant_certifier. Amendments that came while it read are cut.
func (db *DB) Files(ctx context.Context, ids []domain.ID) (map[domain.ID]*File, Laws, error) {
	var b pgx.Batch
	asTenant(&b, "")
	files := map[domain.ID]*File{}
	b.Queue(selectRows, texts(ids)).Query(func(rows pgx.Rows) error {
		list, err := pgx.CollectRows(rows, scanFile)
		for _, f := range list {
			files[f.Entity.ID] = f
		}
		return err
	})
	sheets := 0
	b.Queue(selectSheets, texts(ids), maxSheets+1).Query(func(rows pgx.Rows) error {
		list, err := pgx.CollectRows(rows, scanSheet)
		for _, s := range list {
			if f := files[s.EntityID]; f != nil && s.Seq <= f.Entity.Head.Version {
				f.Seqs = append(f.Seqs, s)
			}
		}
		sheets = len(list)
		return err
	})
	var law Laws
	b.Queue(`SELECT sha256, n = (SELECT max(n) FROM public.enactment) FROM public.enactment`).Query(func(rows pgx.Rows) error {
		var hash []byte
		var inForce bool
		_, err := pgx.ForEachRow(rows, []any{&hash, &inForce}, func() error {
			one := [32]byte(hash)
			law.All = append(law.All, one)
			if inForce {
				law.InForce = one
			}
			return nil
		})
		return err
	})
	if err := db.send(ctx, &b); err != nil {
		return nil, law, err
	}
	if sheets > maxSheets {
		return nil, law, domain.Refuse(domain.CodeTooLarge, "together these have more than %d amendments: decide them in several requests", maxSheets)
	}
	return files, law, nil
}

func scanFile(row pgx.CollectableRow) (*File, error) {
	f := &File{}
	var err error
	f.Listed, err = scanListedAnd(row, &f.Row.NameKey, &f.Row.Deleted, &f.Row.Namesakes, &f.Row.ExternalDoubles,
		&f.Row.Differs, &f.Row.KindDiffers)
	f.Row.CreatedAt, f.Row.UpdatedAt = f.Entity.Head.CreatedAt, f.Entity.Head.UpdatedAt
	return f, err
}

func scanSheet(row pgx.CollectableRow) (Sheet, error) {
	var s Sheet
	err := scanProofBetween(row, &s.Proof, []any{&s.EntityID},
		[]any{&s.KeyUse, &s.MaySign, &s.KeyRevoked, &s.InvalidFrom, &s.Logged, &s.LogIndex})
	return s, err
}

// Surroundings is what entities name, and what names teams, as it stands.
type Surroundings struct {
	References map[Seen]domain.Entity        // by who would see it
	Members    map[domain.ID][]domain.Entity // a team's living agents
}

// Seen is an entity as a governance agent may refer to it: its own, or one that is
// or was shared.
type Seen struct {
	By string
	ID domain.ID
}

const headColumns = `e.id, e.entity_type, e.governance_agent_id, e.version, e.version_hash, e.etag_hash, e.constitution_hash,
	e.created_at, e.updated_at, '', o.state`

// Surroundings returns what entities name, and the agents of teams. It needs
// plant_certifier.
func (db *DB) Surroundings(ctx context.Context, named []Seen, teams []domain.ID) (Surroundings, error) {
	by, ids := make([]string, len(named)), make([]string, len(named))
	for i, s := range named {
		by[i], ids[i] = s.By, string(s.ID)
	}
	found := Surroundings{References: map[Seen]domain.Entity{}, Members: map[domain.ID][]domain.Entity{}}
	var b pgx.Batch
	asTenant(&b, "")
	b.Queue(`SELECT `+headColumns+`, r.by FROM unnest($1::text[], $2::uuid[]) AS r (by, id)
		JOIN public.entity e ON e.id = r.id JOIN public.opening o ON o.entity_id = e.id AND o.seq = e.version
		WHERE e.governance_agent_id = r.by OR e.shared
			OR EXISTS (SELECT FROM public.opening p WHERE p.entity_id = e.id AND p.shared)`, by, ids).
		Query(func(rows pgx.Rows) error {
			var by string
			return eachListed(rows, func(l Listed) { found.References[Seen{by, l.Entity.ID}] = l.Entity }, &by)
		})
	b.Queue(`SELECT `+headColumns+`, a.team_id FROM public.agent a
		JOIN public.entity e ON e.id = a.id JOIN public.opening o ON o.entity_id = e.id AND o.seq = e.version
		WHERE a.team_id = ANY ($1::uuid[]) AND a.living ORDER BY a.id`, texts(teams)).
		Query(func(rows pgx.Rows) error {
			var team domain.ID
			return eachListed(rows, func(l Listed) { found.Members[team] = append(found.Members[team], l.Entity) }, &team)
		})
	return found, db.send(ctx, &b)
}

// eachListed calls f with each entity of a result, when more holds what stands
// behind it in its row.
func eachListed(rows pgx.Rows, f func(Listed), more ...any) error {
	_, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (struct{}, error) {
		l, err := scanListedAnd(row, more...)
		if err == nil {
			f(l)
		}
		return struct{}{}, err
	})
	return err
}

// selectResting follows the facts that name an entity: skill and industry, role,
// team, agent. Parents and successors are no ground to stand on.
const selectResting = `
WITH RECURSIVE reference (source, target) AS NOT MATERIALIZED (
	SELECT job_role_id, skill_id FROM public.job_role_skill
	UNION ALL SELECT id, industry_id FROM public.job_role
	UNION ALL SELECT id, job_role_id FROM public.team
	UNION ALL SELECT id, skill_id FROM public.agent
	UNION ALL SELECT id, job_role_id FROM public.agent
	UNION ALL SELECT id, industry_id FROM public.agent
	UNION ALL SELECT id, team_id FROM public.agent
),
rests (source, distance) AS (
	SELECT r.source, 1 FROM reference r WHERE r.target = ANY ($1::uuid[])
	UNION
	SELECT r.source, d.distance + 1 FROM rests d JOIN reference r ON r.target = d.source WHERE d.distance < 4
)
SELECT ` + headColumns + `
FROM (SELECT source, min(distance) AS distance FROM rests GROUP BY source) d
JOIN public.entity e ON e.id = d.source JOIN public.opening o ON o.entity_id = e.id AND o.seq = e.version
WHERE e.status IN ('certified', 'active') AND NOT e.id = ANY ($1::uuid[])
ORDER BY d.distance, e.id LIMIT $2`

// Resting returns up to limit entities of all tenants that are certified or
// active and rest on one of these, directly or through others, nearest first. It
// needs plant_certifier.
func (db *DB) Resting(ctx context.Context, ids []domain.ID, limit int) ([]domain.Entity, error) {
	var b pgx.Batch
	asTenant(&b, "")
	var list []domain.Entity
	b.Queue(selectResting, texts(ids), limit).Query(func(rows pgx.Rows) error {
		return eachListed(rows, func(l Listed) { list = append(list, l.Entity) })
	})
	return list, db.send(ctx, &b)
}

// Owners returns who owns each of these entities, as far as a principal of a
// governance agent may see them: what it owns, what is shared, and, for one that
// holds an authority platform-wide, everything.
func (db *DB) Owners(ctx context.Context, tenant, principal string, platform bool, ids []domain.ID) (map[domain.ID]string, error) {
	var b pgx.Batch
	asTenant(&b, tenant)
	owners := map[domain.ID]string{}
	b.Queue(`SELECT public.require_principal($1, $2)`, principal, tenant)
	b.Queue(`SELECT u.id, coalesce(e.governance_agent_id, CASE WHEN $3 THEN public.platform_owner($2, u.id) END, '')
		FROM unnest($1::uuid[]) AS u (id) LEFT JOIN public.entity e ON e.id = u.id AND e.entity_type <> 'signing_key'`,
		texts(ids), principal, platform).Query(func(rows pgx.Rows) error {
		var id domain.ID
		var owner string
		_, err := pgx.ForEachRow(rows, []any{&id, &owner}, func() error {
			if owner != "" {
				owners[id] = owner
			}
			return nil
		})
		return err
	})
	return owners, db.send(ctx, &b)
}

// selectHeld asks for Platform, which nobody is called, where it asks for all owners.
const selectHeld = `SELECT ARRAY(SELECT a FROM unnest($3::text[]) a WHERE public.holds_authority($1, a, ARRAY[$2])),
	ARRAY(SELECT a FROM unnest($4::text[]) a WHERE public.holds_authority($1, a, ARRAY['` + Platform + `']))`

// StillHeld returns which of these authorities a principal holds at this moment, over what
// its governance agent owns and over the whole platform; none if it is disabled.
func (db *DB) StillHeld(ctx context.Context, principal, tenant string, own, platform []domain.Authority) (heldOwn, heldPlatform []domain.Authority, err error) {
	var b pgx.Batch
	asTenant(&b, tenant)
	b.Queue(selectHeld, principal, tenant, texts(own), texts(platform)).
		QueryRow(func(row pgx.Row) error { return row.Scan(&heldOwn, &heldPlatform) })
	return heldOwn, heldPlatform, db.send(ctx, &b)
}

// Waiting is an entity that waits for a decision.
type Waiting struct {
	Entity domain.Entity
	Since  time.Time // of the newest amendment that is not the system's embedding
}

// Queue narrows what waits: to one governance agent's ("": all), to what drifted or
// did not, and to what an author did not write.
type Queue struct {
	Owner   string
	Genesis bool   // what waits for certification
	Drifted bool   // what waits for the governor
	Not     string // author, "<governance agent>/<principal>"
}

const selectQueue = `
SELECT ` + headColumns + `, a.recorded_at
FROM public.entity e JOIN public.opening o ON o.entity_id = e.id AND o.seq = e.version
JOIN public.amendment a ON a.entity_id = e.id AND a.hash = e.etag_hash
WHERE e.status = 'under_review' AND ($1 = '' OR e.governance_agent_id = $1)
	AND CASE WHEN e.amendment_alignment = 'drifted' THEN $3 ELSE $2 AND NOT EXISTS (SELECT FROM public.amendment w
		WHERE w.entity_id = e.id AND w.author = $4 AND w.change NOT IN ('certified', 'rejected', 'decertified', 'reaffirmed')) END
	AND ($5::timestamptz IS NULL OR (a.recorded_at, e.id) > ($5::timestamptz, $6::uuid))
ORDER BY a.recorded_at, e.id LIMIT $7`

// Queue returns up to limit entities that wait for a decision, oldest first,
// behind a place in that order.
func (db *DB) Queue(ctx context.Context, tenant string, q Queue, since *time.Time, after domain.ID, limit int) ([]Waiting, error) {
	var b pgx.Batch
	asTenant(&b, tenant)
	var list []Waiting
	var id *string
	if after != "" {
		text := string(after)
		id = &text
	}
	b.Queue(selectQueue, q.Owner, q.Genesis, q.Drifted, q.Not, since, id, limit).Query(func(rows pgx.Rows) error {
		var at time.Time
		return eachListed(rows, func(l Listed) { list = append(list, Waiting{Entity: l.Entity, Since: at}) }, &at)
	})
	return list, db.send(ctx, &b)
}
