package store

import (
	"context"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/dlai-sd/plant/shared/domain"
)

// Enactment is a constitution that came into force.
type Enactment struct {
	N        int64 // 0 for the founding one
	Sum      [32]byte
	Document []byte
	At       time.Time
	Proposal domain.ID // whose `enacted` amendment it was; "" for the founding one
	Seq      int64
}

const selectEnactments = `SELECT n.n, n.sha256, c.document, n.enacted_at, coalesce(n.entity_id::text, ''), coalesce(n.seq, 0)
	FROM public.enactment n JOIN public.constitution c USING (sha256) WHERE n.n < $1 ORDER BY n.n DESC LIMIT $2`

// InForce returns the newest constitution that was enacted.
func (db *DB) InForce(ctx context.Context) (Enactment, error) {
	list, err := db.Enactments(ctx, 1)
	if err == nil && len(list) == 0 {
		err = ErrNotFound
	}
	if err != nil {
		return Enactment{}, err
	}
	return list[0], nil
}

// Enactments returns the newest enactments, newest first.
func (db *DB) Enactments(ctx context.Context, limit int) ([]Enactment, error) {
	var b pgx.Batch
	var list []Enactment
	b.Queue(selectEnactments, int64(1)<<53, limit).Query(func(rows pgx.Rows) error {
		var err error
		list, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (Enactment, error) {
			var e Enactment
			var sum []byte
			var document string
			err := row.Scan(&e.N, &sum, &document, &e.At, &e.Proposal, &e.Seq)
			copy(e.Sum[:], sum)
			e.Document = []byte(document)
			return e, err
		})
		return err
	})
	return list, db.send(ctx, &b)
}

// Enact puts the founding constitution in force; where one is, nothing changes.
func (db *DB) Enact(ctx context.Context, sum [32]byte, document []byte, version int) error {
	var b pgx.Batch
	b.Queue(`INSERT INTO public.constitution (sha256, document, version, enacted_at)
		SELECT $1, $2, $3, clock_timestamp() WHERE NOT EXISTS (SELECT 1 FROM public.enactment)
		ON CONFLICT DO NOTHING`, sum[:], string(document), strconv.Itoa(version))
	b.Queue(`INSERT INTO public.enactment (n, sha256) SELECT 0, $1 WHERE NOT EXISTS (SELECT 1 FROM public.enactment)
		ON CONFLICT DO NOTHING`, sum[:])
	return db.send(ctx, &b)
}

// SignedEnactment is an enactment beside the amendment that it comes from.
type SignedEnactment struct {
	Enactment
	Change string // of the amendment; "" where there is none
	State  []byte // after it

	Under [32]byte // the constitution that it was recorded under
}

// EnactmentsAsSigned returns every enactment, oldest first, and behind them amendments
// that enacted something of which there is none (N is -1). It needs a role that reads
// everything.
func (db *DB) EnactmentsAsSigned(ctx context.Context) ([]SignedEnactment, error) {
	var b pgx.Batch
	asTenant(&b, "")
	var list []SignedEnactment
	b.Queue(`SELECT coalesce(n.n, -1), coalesce(n.sha256, ''), coalesce(n.entity_id, a.entity_id)::text, coalesce(n.seq, a.seq, 0),
			coalesce(a.change, ''), coalesce(o.state, ''), coalesce(a.constitution, '')
		FROM public.enactment n FULL JOIN (SELECT entity_id, seq, change, constitution FROM public.amendment
			WHERE entity_id IN (SELECT id FROM public.entity WHERE entity_type = 'constitution') AND change = 'enacted') a USING (entity_id, seq)
		LEFT JOIN public.opening o ON o.entity_id = a.entity_id AND o.seq = a.seq
		ORDER BY n.n NULLS LAST`).Query(func(rows pgx.Rows) error {
		var err error
		list, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (SignedEnactment, error) {
			var e SignedEnactment
			var sum, under []byte
			var proposal *string
			var state string
			err := row.Scan(&e.N, &sum, &proposal, &e.Seq, &e.Change, &state, &under)
			copy(e.Under[:], under)
			copy(e.Sum[:], sum)
			if proposal != nil {
				e.Proposal = domain.ID(*proposal)
			}
			e.State = []byte(state)
			return e, err
		})
		return err
	})
	return list, db.send(ctx, &b)
}
