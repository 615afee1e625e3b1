package store

import (
	"context"
	"strconv"

	"github.com/jackc/pgx/v5"

	"github.com/dlai-sd/plant/shared/domain"
)

// Platform as the only owner of an Authority asks that the principal holds it over
// the whole platform: nobody owns under this name.
const Platform = ""

// LawStep is what a write means for the constitution besides its amendment.
type LawStep struct {
	Proposes *domain.Constitution // is kept with the proposal
	Replaces *[32]byte            // must be in force; what the `enacted` amendment's state says is then
}

// queueBefore asks first what no other enactment may have changed: with it nobody
// records until this is done, and nothing is held yet that anybody waits for.
func (l *LawStep) queueBefore(b *pgx.Batch) {
	if l == nil {
		return
	}
	if l.Replaces != nil {
		b.Queue(`SELECT public.begin_enactment($1)`, l.Replaces[:])
	}
	if c := l.Proposes; c != nil {
		sum := c.Sum()
		b.Queue(`INSERT INTO public.constitution (sha256, document, version) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING`,
			sum[:], string(c.Document()), strconv.Itoa(c.Version))
	}
}

// queueAfter puts in force what the rows say.
func (l *LawStep) queueAfter(b *pgx.Batch, rows []Row) {
	if l != nil && l.Replaces != nil {
		b.Queue(`SELECT public.enact_constitution($1, $2)`, rows[0].Amendment.Record.EntityID, rows[0].Amendment.Record.Seq)
	}
}

// Proposals returns up to limit proposed constitutions before an id ("": the
// newest), newest first, as far as the role may see them.
func (db *DB) Proposals(ctx context.Context, tenant string, before domain.ID, limit int) ([]domain.Entity, error) {
	var b pgx.Batch
	asTenant(&b, tenant)
	list := []domain.Entity{}
	b.Queue(`SELECT `+headColumns+` FROM public.entity e JOIN public.opening o ON o.entity_id = e.id AND o.seq = e.version
		WHERE e.entity_type = 'constitution' AND ($1 = '' OR e.id < nullif($1, '')::uuid) ORDER BY e.id DESC LIMIT $2`,
		string(before), limit).Query(func(rows pgx.Rows) error {
		return eachListed(rows, func(l Listed) { list = append(list, l.Entity) })
	})
	return list, db.send(ctx, &b)
}

// Document returns the constitution of a hash, in force or not; ErrNotFound where
// there is none.
func (db *DB) Document(ctx context.Context, sum [32]byte) ([]byte, error) {
	var b pgx.Batch
	var document string
	b.Queue(`SELECT document FROM public.constitution WHERE sha256 = $1`, sum[:]).
		QueryRow(func(row pgx.Row) error { return row.Scan(&document) })
	err := db.send(ctx, &b)
	return []byte(document), err
}

// States returns the states of up to each living entities of every kind, as they
// were signed, the newest. It needs a role that reads everything.
func (db *DB) States(ctx context.Context, each int) ([]State, error) {
	var b pgx.Batch
	asTenant(&b, "")
	var list []State
	b.Queue(`SELECT e.entity_type, e.id, e.governance_agent_id, o.state
		FROM unnest($1::text[]) AS k (kind), LATERAL (SELECT * FROM public.entity x
			WHERE x.entity_type = k.kind AND x.deleted_at IS NULL ORDER BY x.id DESC LIMIT $2) e
		JOIN public.opening o ON o.entity_id = e.id AND o.seq = e.version`, texts(domain.Kinds()), each).
		Query(func(rows pgx.Rows) error {
			var err error
			list, err = pgx.CollectRows(rows, pgx.RowToStructByPos[State])
			return err
		})
	return list, db.send(ctx, &b)
}

// State is an entity's signed state.
type State struct {
	Kind              domain.Kind
	ID                domain.ID
	GovernanceAgentID string
	State             string
}
