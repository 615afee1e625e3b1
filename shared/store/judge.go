package store

import (
	"cmp"
	"context"
	"encoding/hex"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/dlai-sd/plant/shared/domain"
	"github.com/dlai-sd/plant/shared/ledger"
)

// Judgeable is what is to be judged of an entity. Sound says that its newest state is
// the one whose hash was signed; else Entity has no more than its identity.
type Judgeable struct {
	Entity domain.Entity
	Kind   domain.Kind
	Sound  bool
}

// The parts of a selection of living entities behind an id, with the state that was
// signed: its columns, for Judgeable.scan; its tables; and its condition.
const (
	judgeableColumns = `
SELECT e.id, e.entity_type, e.governance_agent_id, e.version, e.version_hash, e.etag_hash, e.constitution_hash,
	e.created_at, coalesce(a.recorded_at, e.updated_at), a.state_hash, o.salt, o.state`
	judgeableTables = `
FROM public.entity e
LEFT JOIN public.amendment a ON a.entity_id = e.id AND a.seq = e.version AND a.hash = e.version_hash
	AND a.governance_agent_id = e.governance_agent_id AND a.entity_type = e.entity_type
LEFT JOIN public.opening o ON o.entity_id = a.entity_id AND o.seq = a.seq`
	judgeableBehind = `
WHERE e.entity_type IN ('skill', 'job_role', 'team', 'agent', 'industry') AND e.deleted_at IS NULL
	AND e.id > $1 AND `
	selectJudgeable = judgeableColumns + judgeableTables + judgeableBehind
)

const (
	ofEverybody = `$3 = ''`
	ofOwner     = `e.governance_agent_id = $3`
)

// OutdatedFor returns up to limit sound entities of all tenants behind an id that were
// last judged by another constitution than this, as a role reads them that knows no
// vectors.
func (db *DB) OutdatedFor(ctx context.Context, after domain.ID, limit int, law [32]byte) ([]domain.Entity, error) {
	list, err := db.judgeable(ctx, "", ofEverybody+` AND `+outdated+`$5`, after, limit, "", domain.Notes(), hex.EncodeToString(law[:]))
	var sound []domain.Entity
	for _, one := range list {
		if one.Sound {
			sound = append(sound, one.Entity)
		}
	}
	return sound, err
}

// LivingBehind returns up to limit living entities that an owner has ("": everybody)
// behind an id, in the order of their ids, as a tenant may see them.
func (db *DB) LivingBehind(ctx context.Context, tenant, owner string, after domain.ID, limit int) ([]Judgeable, error) {
	whose := ofOwner
	if owner == "" {
		whose = ofEverybody
	}
	return db.judgeable(ctx, tenant, whose, after, limit, owner)
}

func (db *DB) judgeable(ctx context.Context, tenant, condition string, after domain.ID, limit int, more ...any) (list []Judgeable, err error) {
	var b pgx.Batch
	asTenant(&b, tenant)
	b.Queue(selectJudgeable+condition+` ORDER BY e.id LIMIT $2`, append([]any{string(cmp.Or(after, domain.BeforeAll)), limit}, more...)...).
		Query(func(rows pgx.Rows) error {
			var err error
			list, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (one Judgeable, err error) { return one, one.scan(row) })
			return err
		})
	return list, db.send(ctx, &b)
}

// scan reads the columns of a Judgeable, and what stands behind them.
func (one *Judgeable) scan(row pgx.CollectableRow, behind ...any) error {
	var id domain.ID
	var owner string
	var head domain.Head
	var hash, etag, law, stateHash, salt []byte
	var state *string
	columns := []any{
		&id, &one.Kind, &owner, &head.Version, &hash, &etag, &law, &head.CreatedAt, &head.UpdatedAt, &stateHash, &salt, &state,
	}
	if err := row.Scan(append(columns, behind...)...); err != nil {
		return err
	}
	copy(head.Hash[:], hash)
	copy(head.ETag[:], etag)
	copy(head.Constitution[:], law)
	one.Entity, one.Sound = signedState(one.Kind, id, owner, state, salt, stateHash)
	one.Entity.Head = head
	return nil
}

// signedState reads a state, if it is the one whose hash was signed.
func signedState(kind domain.Kind, id domain.ID, owner string, state *string, salt, stateHash []byte) (domain.Entity, bool) {
	bare := domain.Entity{ID: id, GovernanceAgentID: owner}
	if state == nil {
		return bare, false
	}
	opening := ledger.Opening{State: []byte(*state)}
	copy(opening.Salt[:], salt)
	if sum := opening.Hash(); string(sum[:]) != string(stateHash) {
		return bare, false
	}
	e, err := domain.ReadState(kind, id, owner, opening.State)
	return e, err == nil
}

// Return is the newest enactment, where it put a constitution in force again.
type Return struct {
	N         int64
	At        time.Time
	Proposal  domain.ID // whose `enacted` amendment it was, with its seq and author
	Seq       int64
	Author    string
	Withdrawn []string // hashes of those in force since it was before; none: it never was
}

const selectReturn = `
WITH now AS (SELECT n, sha256, enacted_at, entity_id, seq FROM public.enactment ORDER BY n DESC LIMIT 1)
SELECT now.n, now.enacted_at, coalesce(now.entity_id::text, ''), coalesce(now.seq, 0), coalesce(a.author, ''),
	ARRAY(SELECT DISTINCT encode(w.sha256, 'hex') FROM public.enactment w
		WHERE w.n < now.n AND w.n > (SELECT max(b.n) FROM public.enactment b WHERE b.sha256 = now.sha256 AND b.n < now.n))
FROM now LEFT JOIN public.amendment a USING (entity_id, seq) WHERE now.sha256 = $1`

// Return says what the enactment of the constitution in force withdrew. If another one
// is in force meanwhile, it withdrew nothing.
func (db *DB) Return(ctx context.Context, law [32]byte) (Return, error) {
	var r Return
	var b pgx.Batch
	asTenant(&b, "")
	b.Queue(selectReturn, law[:]).Query(func(rows pgx.Rows) error {
		_, err := pgx.ForEachRow(rows, []any{&r.N, &r.At, &r.Proposal, &r.Seq, &r.Author, &r.Withdrawn}, func() error { return nil })
		return err
	})
	return r, db.send(ctx, &b)
}
