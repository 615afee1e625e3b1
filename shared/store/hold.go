package store

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// Who throws the switch that holds batch work.
const (
	ByOperator = "operator"
	ByBudget   = "budget"
)

// Hold is a change of the switch that holds batch work.
type Hold struct {
	On     bool
	By     string // ByOperator, ByBudget
	Reason string
	At     time.Time
	// Since is when work was first held, if it was held before this change and not
	// lifted since; the time of the change itself otherwise.
	Since time.Time
	Overrun
}

// Overrun is what a budget says of its period; zero where an operator made the change.
type Overrun struct {
	BudgetID string
	Period   time.Time // its start
	Cost     float64   // so far
	Budget   float64   // of the whole period
	Currency string
}

// HeldError says that something was not done because batch work is held.
type HeldError struct{ Hold }

// Error says since when, by whom and why.
func (e *HeldError) Error() string {
	return fmt.Sprintf("batch work is held since %s by the %s: %s", e.Since.UTC().Format(time.RFC3339), e.By, e.Reason)
}

const selectHolds = `
SELECT h.held, h.made_by, h.reason, h.at, coalesce((SELECT min(f.at) FROM public.hold_change f WHERE h.held AND f.id <= h.id
		AND f.id > (SELECT coalesce(max(o.id), 0) FROM public.hold_change o WHERE NOT o.held AND o.id < h.id)), h.at),
	coalesce(h.budget_id, ''), coalesce(h.period_start, '0001-01-01Z'), coalesce(h.cost::float8, 0), coalesce(h.budget::float8, 0),
	coalesce(h.currency, '')
FROM public.hold_change h ORDER BY h.id DESC LIMIT $1`

// Held reports whether batch work is held, by what the newest change says.
func (db *DB) Held(ctx context.Context) (Hold, bool, error) {
	list, err := db.Holds(ctx, 1)
	if err != nil || len(list) == 0 {
		return Hold{}, false, err
	}
	return list[0], list[0].On, nil
}

// Holds returns the newest changes of the switch, newest first.
func (db *DB) Holds(ctx context.Context, limit int) (list []Hold, err error) {
	var b pgx.Batch
	b.Queue(selectHolds, limit).Query(func(rows pgx.Rows) error {
		var err error
		list, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (h Hold, err error) {
			return h, row.Scan(&h.On, &h.By, &h.Reason, &h.At, &h.Since, &h.BudgetID, &h.Period, &h.Cost, &h.Budget, &h.Currency)
		})
		return err
	})
	return list, db.send(ctx, &b)
}

// SetHold throws the switch or lifts it, as the operator. ErrReason if the reason will
// not do.
func (db *DB) SetHold(ctx context.Context, on bool, reason string) error {
	var b pgx.Batch
	b.Queue(`INSERT INTO public.hold_change (held, made_by, reason) VALUES ($1, 'operator', $2)`, on, reason)
	return db.send(ctx, &b)
}

// ThrowHold throws the switch for a budget, and says whether it did: a budget throws it
// once a period and not for one before a period it has thrown it for, so it may speak
// often and out of order, and what was lifted by hand stays lifted.
func (db *DB) ThrowHold(ctx context.Context, o Overrun, reason string) (thrown bool, err error) {
	exact := func(x float64) string { return strconv.FormatFloat(x, 'f', -1, 64) }
	var b pgx.Batch
	b.Queue(`INSERT INTO public.hold_change (held, made_by, reason, budget_id, period_start, cost, budget, currency)
		SELECT true, 'budget', $1, $2, $3, $4::text::numeric, $5::text::numeric, $6 WHERE NOT EXISTS (SELECT FROM public.hold_change
			WHERE made_by = 'budget' AND budget_id = $2 AND period_start > $3)
		ON CONFLICT (budget_id, period_start) WHERE made_by = 'budget' DO NOTHING`,
		reason, o.BudgetID, o.Period, exact(o.Cost), exact(o.Budget), o.Currency).
		Exec(func(tag pgconn.CommandTag) error { thrown = tag.RowsAffected() == 1; return nil })
	return thrown, db.send(ctx, &b)
}

// RunKind is a table of runs that go on in chunks.
type RunKind string

// The kinds of run.
const (
	AuditRuns RunKind = "audit_run"
	DriftRuns RunKind = "drift_run"
)

// stoodStill claims open runs that did not move: since they were last written, or since
// a hold was lifted, whichever is later. What a hold let go of is claimed at once, other
// runs after a while; and both again each time they have stood still for as long as they
// had before. While batch work is held there are none.
const stoodStill = `
WITH switch AS (SELECT (SELECT n.held FROM public.hold_change n ORDER BY n.id DESC LIMIT 1) AS held,
	(SELECT l.at FROM public.hold_change l WHERE NOT l.held ORDER BY l.id DESC LIMIT 1) AS lifted)
UPDATE public.%[1]s SET asked_at = clock_timestamp() WHERE id IN (
	SELECT r.id FROM public.%[1]s r, switch, LATERAL (SELECT greatest(r.updated_at, switch.lifted) AS since) s
	WHERE r.finished_at IS NULL AND switch.held IS NOT TRUE AND CASE WHEN r.asked_at IS NULL OR r.asked_at < s.since
		THEN r.updated_at < switch.lifted OR s.since <= clock_timestamp() - $1::interval
		ELSE r.asked_at <= clock_timestamp() - greatest(r.asked_at - s.since, $1::interval) END
	ORDER BY r.updated_at LIMIT $2 FOR UPDATE OF r SKIP LOCKED)
RETURNING id::text`

// Unmoved claims up to limit open runs that did not move for a while, and writes down
// the events that bring their next chunks; next makes that of one run.
func (db *DB) Unmoved(ctx context.Context, kind RunKind, still time.Duration, limit int, next func(id string) (Event, error)) (events []Event, err error) {
	conn, err := db.acquire(ctx)
	if err != nil {
		return nil, err
	}
	defer conn.Release()
	err = pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, fmt.Sprintf(stoodStill, kind), still, limit)
		if err != nil {
			return err
		}
		ids, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil {
			return err
		}
		for _, id := range ids {
			e, err := next(id)
			if err != nil {
				return err
			}
			events = append(events, e)
		}
		var b pgx.Batch
		queueEvents(&b, events)
		return tx.SendBatch(ctx, &b).Close()
	})
	return events, translate(err)
}
