package store

import (
	"context"
	"time"

	"github.com/dlai-sd/plant/shared/domain"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// Remembered is what an idempotency key stands for.
type Remembered struct {
	BodyHash [32]byte
	EntityID domain.ID
	Seq      int64
	Items    []byte
}

// Recall returns what was written under a principal's idempotency key.
func (db *DB) Recall(ctx context.Context, tenant, principal, route, key string) (Remembered, error) {
	var b pgx.Batch
	asTenant(&b, tenant)
	b.Queue(`SELECT public.require_principal($1, $2)`, principal, tenant)
	var r Remembered
	b.Queue(`SELECT body_hash, coalesce(entity_id::text, ''), coalesce(seq, 0), items FROM public.idempotency_key
		WHERE principal_id = $1 AND route = $2 AND key = $3`, principal, route, key).QueryRow(func(row pgx.Row) error {
		var hash []byte
		err := row.Scan(&hash, &r.EntityID, &r.Seq, &r.Items)
		copy(r.BodyHash[:], hash)
		return err
	})
	return r, db.send(ctx, &b)
}

// takenNames and takenExternalIDs look each key up in the unique index that
// holds it. A range of one key and its order leave the planner no other index:
// on a table it has no statistics of yet, a plain equality is as cheap to it in
// any index that begins with the tenant, and it would walk all the tenant's rows.
const (
	takenNames = `
SELECT e.name_key, e.id FROM unnest($3::text[]) AS n (key), LATERAL (SELECT name_key, id FROM public.entity
	WHERE governance_agent_id = $1 AND entity_type = $2 AND deleted_at IS NULL AND name_key BETWEEN n.key AND n.key
	ORDER BY name_key LIMIT 1) AS e`
	takenExternalIDs = `
SELECT e.external_id, e.id FROM unnest($2::text[]) AS n (key), LATERAL (SELECT external_id, id FROM public.entity
	WHERE governance_agent_id = $1 AND external_id BETWEEN n.key AND n.key
	ORDER BY external_id LIMIT 1) AS e`
)

// Taken tells which name keys of a kind and which external ids the tenant's
// entities hold already.
func (db *DB) Taken(ctx context.Context, tenant string, kind domain.Kind, nameKeys, externalIDs []string) (names, externals map[string]domain.ID, err error) {
	var b pgx.Batch
	asTenant(&b, tenant)
	names, externals = map[string]domain.ID{}, map[string]domain.ID{}
	collect := func(into map[string]domain.ID) func(pgx.Rows) error {
		return func(rows pgx.Rows) error {
			var key string
			var id domain.ID
			_, err := pgx.ForEachRow(rows, []any{&key, &id}, func() error { into[key] = id; return nil })
			return err
		}
	}
	b.Queue(takenNames, tenant, string(kind), nameKeys).Query(collect(names))
	b.Queue(takenExternalIDs, tenant, externalIDs).Query(collect(externals))
	return names, externals, db.send(ctx, &b)
}

// Invisible returns which of these references the tenant may not make.
func (db *DB) Invisible(ctx context.Context, tenant string, refs []domain.Ref) (map[domain.ID]bool, error) {
	missing := map[domain.ID]bool{}
	if len(refs) == 0 {
		return missing, nil
	}
	ids, kinds := targets(refs)
	var b pgx.Batch
	asTenant(&b, tenant)
	b.Queue(`SELECT id FROM public.invisible($1::uuid[], $2::text[]) AS id`, ids, kinds).Query(func(rows pgx.Rows) error {
		list, err := pgx.CollectRows(rows, pgx.RowTo[domain.ID])
		for _, id := range list {
			missing[id] = true
		}
		return err
	})
	return missing, db.send(ctx, &b)
}

// Announced deletes outbox rows whose events were acknowledged. Losing this
// delete in a crash is harmless (the event is sent again and deduplicated), so
// it does not wait for the disk.
func (db *DB) Announced(ctx context.Context, tenant string, eventIDs []string) error {
	var b pgx.Batch
	asTenant(&b, tenant)
	b.Queue(`SELECT set_config('synchronous_commit', 'off', true)`)
	b.Queue(`DELETE FROM public.outbox WHERE id = ANY ($1::uuid[])`, eventIDs)
	return db.send(ctx, &b)
}

const claimEvents = `
UPDATE public.outbox SET attempts = attempts + 1, available_at = clock_timestamp() + $2::interval
WHERE id IN (SELECT id FROM public.outbox WHERE available_at <= clock_timestamp()
	ORDER BY available_at LIMIT $1 FOR UPDATE SKIP LOCKED)
RETURNING id::text, type, subject::text, governance_agent_id, coalesce(request_id, ''), coalesce(traceparent, ''), data::text, created_at`

// Unannounced claims up to limit events that a crash or a failed publish left
// behind, and keeps others off them for the lease. Two sweepers never claim the
// same row at once; one that dies lets go when the lease ends.
func (db *DB) Unannounced(ctx context.Context, limit int, lease time.Duration) ([]Event, error) {
	var b pgx.Batch
	var events []Event
	b.Queue(claimEvents, limit, lease).Query(func(rows pgx.Rows) error {
		var err error
		events, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (Event, error) {
			var e Event
			var data string
			err := row.Scan(&e.ID, &e.Type, &e.EntityID, &e.Tenant, &e.RequestID, &e.Traceparent, &data, &e.At)
			e.Data = []byte(data)
			return e, err
		})
		return err
	})
	return events, db.send(ctx, &b)
}

// Sweep deletes idempotency keys and inbox rows older than keep, at most limit
// of each, and says how many went.
func (db *DB) Sweep(ctx context.Context, keep time.Duration, limit int) (keys, inbox int64, err error) {
	var b pgx.Batch
	b.Queue(`DELETE FROM public.idempotency_key WHERE ctid IN (SELECT ctid FROM public.idempotency_key
		WHERE created_at < clock_timestamp() - $1::interval LIMIT $2)`, keep, limit).
		Exec(func(tag pgconn.CommandTag) error { keys = tag.RowsAffected(); return nil })
	b.Queue(`DELETE FROM public.inbox WHERE ctid IN (SELECT ctid FROM public.inbox
		WHERE received_at < clock_timestamp() - $1::interval LIMIT $2)`, keep, limit).
		Exec(func(tag pgconn.CommandTag) error { inbox = tag.RowsAffected(); return nil })
	return keys, inbox, db.send(ctx, &b)
}
