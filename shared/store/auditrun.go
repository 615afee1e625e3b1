package store

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"
)

// The phases of a run.
const (
	PhaseLog      = "log"
	PhaseEntities = "entities"
	PhaseDone     = "done"
)

// RunFilter is what a run of the audit looks at; empty members mean everything.
type RunFilter struct {
	GovernanceAgent string
	Kind            string
	EntityID        string
	Since           time.Time
}

// Run is how far a run of the audit is.
type Run struct {
	ID        string
	Principal string // "": the daily one
	RunFilter
	Phase      string
	Position   string
	Entities   int64
	Amendments int64
	Entries    int64
	Findings   int64
	StartedAt  time.Time
	UpdatedAt  time.Time
	FinishedAt *time.Time
}

// Finding is something that is not as it was signed.
type Finding struct {
	ID              string
	GovernanceAgent string // of the entity; "": of the log
	EntityID        string
	EntityType      string
	Seq             int64 // 0: of no one amendment
	Reason          string
	Expected        string
	Found           string
	At              time.Time
}

// ErrMovedOn says that a run is further than the caller thinks: another worker had
// the same chunk.
var ErrMovedOn = errors.New("the run has moved on")

// AddRun begins a run, together with the event that brings its first chunk. A
// principal of the tenant who asks for it must exist and be enabled.
func (db *DB) AddRun(ctx context.Context, tenant string, r Run, next Event) error {
	var b pgx.Batch
	if r.Principal != "" {
		b.Queue(`SELECT public.require_principal($1, $2)`, r.Principal, tenant)
	}
	b.Queue(`INSERT INTO public.audit_run (id, governance_agent_id, principal_id, entity_type, entity_id, since, phase)
		VALUES ($1, nullif($2, ''), nullif($3, '')::uuid, nullif($4, ''), nullif($5, '')::uuid, $6, $7)`,
		r.ID, r.GovernanceAgent, r.Principal, r.Kind, r.EntityID, r.Since, r.Phase)
	queueEvents(&b, []Event{next})
	return db.send(ctx, &b)
}

// ReadRun returns a run, as a tenant's reader sees it, or with "" as the function's
// own role does.
func (db *DB) ReadRun(ctx context.Context, tenant, id string) (Run, error) {
	var b pgx.Batch
	if tenant != "" {
		asReader(&b, tenant)
	}
	r := Run{ID: id}
	b.Queue(`SELECT coalesce(principal_id::text, ''), coalesce(governance_agent_id, ''), coalesce(entity_type, ''), coalesce(entity_id::text, ''),
			since, phase, position, entities, amendments, entries, findings, started_at, updated_at, finished_at
		FROM public.audit_run WHERE id = $1`, id).QueryRow(func(row pgx.Row) error {
		return row.Scan(&r.Principal, &r.GovernanceAgent, &r.Kind, &r.EntityID, &r.Since, &r.Phase, &r.Position,
			&r.Entities, &r.Amendments, &r.Entries, &r.Findings, &r.StartedAt, &r.UpdatedAt, &r.FinishedAt)
	})
	return r, db.send(ctx, &b)
}

// Findings returns up to limit findings of a run behind an id.
func (db *DB) Findings(ctx context.Context, tenant, run, after string, limit int) ([]Finding, error) {
	var b pgx.Batch
	if tenant != "" {
		asReader(&b, tenant)
	}
	var list []Finding
	b.Queue(`SELECT id::text, coalesce(governance_agent_id, ''), coalesce(entity_id::text, ''), coalesce(entity_type, ''), coalesce(seq, 0),
			reason, expected, found, found_at
		FROM public.audit_finding WHERE run_id = $1 AND ($2 = '' OR id > nullif($2, '')::uuid) ORDER BY id LIMIT $3`, run, after, limit).
		Query(func(rows pgx.Rows) error {
			var err error
			list, err = pgx.CollectRows(rows, pgx.RowToStructByPos[Finding])
			return err
		})
	return list, db.send(ctx, &b)
}

// ResumeRuns writes an event for up to limit runs that have not moved for so long,
// each in the transaction that notes when it was: nobody else does the same meanwhile.
func (db *DB) ResumeRuns(ctx context.Context, idle time.Duration, limit int, next func(id string) (Event, error)) (events []Event, err error) {
	conn, err := db.acquire(ctx)
	if err != nil {
		return nil, err
	}
	defer conn.Release()
	err = pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, `UPDATE public.audit_run SET updated_at = clock_timestamp()
			WHERE id IN (SELECT id FROM public.audit_run WHERE finished_at IS NULL AND updated_at < clock_timestamp() - $1::interval
				ORDER BY updated_at LIMIT $2 FOR UPDATE SKIP LOCKED)
			RETURNING id::text`, idle, limit)
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

// Advance writes down what a chunk found and where the next begins, with the events
// that follow, in one transaction. ErrMovedOn if the run no longer stands where the
// chunk began.
func (db *DB) Advance(ctx context.Context, from, to Run, findings []Finding, events []Event) error {
	conn, err := db.acquire(ctx)
	if err != nil {
		return err
	}
	defer conn.Release()
	return translate(pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		tag, err := tx.Exec(ctx, `UPDATE public.audit_run SET phase = $4, position = $5, entities = $6, amendments = $7, entries = $8,
				findings = $9, updated_at = clock_timestamp(), finished_at = CASE WHEN $4 = 'done' THEN clock_timestamp() END
			WHERE id = $1 AND phase = $2 AND position = $3`,
			from.ID, from.Phase, from.Position, to.Phase, to.Position, to.Entities, to.Amendments, to.Entries, to.Findings)
		if err != nil {
			return err
		}
		if tag.RowsAffected() == 0 {
			return ErrMovedOn
		}
		var b pgx.Batch
		for _, f := range findings {
			b.Queue(`INSERT INTO public.audit_finding (id, run_id, governance_agent_id, entity_id, entity_type, seq, reason, expected, found)
				VALUES ($1, $2, nullif($3, ''), nullif($4, '')::uuid, nullif($5, ''), nullif($6, 0), $7, $8, $9)`,
				f.ID, from.ID, f.GovernanceAgent, f.EntityID, f.EntityType, f.Seq, f.Reason, f.Expected, f.Found)
		}
		queueEvents(&b, events)
		return tx.SendBatch(ctx, &b).Close()
	}))
}
