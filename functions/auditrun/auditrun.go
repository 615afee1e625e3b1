// Package auditrun sees to it that nothing is forgotten: it keeps the log and
// shows it to everybody, tells whoever follows what has changed, sends the events
// that a crash left in the outbox and sweeps away what is no longer needed.
package auditrun

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/dlai-sd/plant/shared/audit"
	"github.com/dlai-sd/plant/shared/domain"
	"github.com/dlai-sd/plant/shared/drift"
	"github.com/dlai-sd/plant/shared/event"
	"github.com/dlai-sd/plant/shared/export"
	"github.com/dlai-sd/plant/shared/hold"
	"github.com/dlai-sd/plant/shared/job"
	"github.com/dlai-sd/plant/shared/sequencer"
	"github.com/dlai-sd/plant/shared/store"
	"github.com/dlai-sd/plant/shared/web"
)

const (
	stillFor        = 5 * time.Minute    // a run that did not move for so long is asked for again
	stillLimit      = 100                // runs of each kind, a sweep
	keepOperational = 7 * 24 * time.Hour // idempotency keys and inbox rows
	sweepLimit      = 10_000             // rows of each table, a run
)

// Swept is what one run did.
type Swept struct {
	EventsSent             int   `json:"events_sent"`
	IdempotencyKeysDeleted int64 `json:"idempotency_keys_deleted"`
	InboxRowsDeleted       int64 `json:"inbox_rows_deleted"`
	RunsAskedFor           int   `json:"runs_asked_for"` // that stood still, or were let go
	AmendmentsLogged       int   `json:"amendments_logged"`
	LogSize                int64 `json:"log_size"`
	Checkpoint             int64 `json:"checkpoint"` // its number, if one was published
}

// Handlers returns the function's operations by their id. Batch work is held when holdAt
// of a month's budget is spent; 1.0 is all of it. budget is how long one delivery works
// on a run of the audit before it hands on.
func Handlers(db *store.DB, outbox *event.Outbox, log *sequencer.Sequencer, dead event.DeadLetter, budget time.Duration, holdAt float64) map[string]http.Handler {
	x := exports{&export.Exporter{DB: db, Log: log, Origin: log.Origin, Now: log.Now}, db}
	a := audits{&audit.Worker{
		Auditor: &audit.Auditor{DB: db, Log: log, Origin: log.Origin},
		Desk:    job.Desk{Outbox: outbox, Logger: log.Config.Log, Now: log.Now, Budget: budget, Held: db.Held},
	}, db}
	spent := hold.Switch{DB: db, At: holdAt, Now: log.Now}
	return map[string]http.Handler{
		// The body, if there is one, says nothing: the database says what is due.
		"sequence": web.Endpoint(func(*http.Request) (struct{}, error) { return struct{}{}, nil },
			func(ctx context.Context, _ struct{}) (Swept, error) { return a.sequence(ctx, outbox, log) }),
		"listChanges":     changes(db),
		"runAudit":        web.Endpoint(decodeRun, a.start),
		"getAuditRun":     web.Endpoint(decodeRunID, a.look),
		"getTampering":    web.Endpoint(decodeEntityID, a.tampering),
		"auditEvent":      a.events(dead),
		"budgetEvent":     budgetEvents(spent, log.Config.Log, dead),
		"exportBundle":    http.HandlerFunc(x.direct),
		"createExport":    web.Endpoint(decodeOrder(x.Now), x.order),
		"getExport":       http.HandlerFunc(x.look),
		"getExportBundle": http.HandlerFunc(x.fetch),
		"getCheckpoint":   serve(func(r *http.Request) (web.Content, error) { return checkpoint(r.Context(), log) }),
		"getTile":         serve(func(r *http.Request) (web.Content, error) { return tile(r.Context(), log, r.PathValue("path")) }),
		"getProof":        serve(func(r *http.Request) (web.Content, error) { return proof(r.Context(), db, r.PathValue("hash")) }),
	}
}

// sequence may be called at any time, also twice at once: events are claimed,
// deletes find what is there, and places in the log are given by one at a time. No
// part waits for another to succeed, and whatever fails is worth another try.
func (a audits) sequence(ctx context.Context, outbox *event.Outbox, log *sequencer.Sequencer) (Swept, error) {
	var s Swept
	var unsent, unswept, unasked error
	if s.RunsAskedFor, unasked = a.askAgain(ctx); unasked != nil {
		unasked = fmt.Errorf("ask for runs that stand still: %w", unasked)
	}
	if s.EventsSent, unsent = outbox.Sweep(ctx); unsent != nil {
		unsent = fmt.Errorf("send what was left in the outbox: %w", unsent)
	}
	s.IdempotencyKeysDeleted, s.InboxRowsDeleted, unswept = a.db.Sweep(ctx, keepOperational, sweepLimit)
	if unswept != nil {
		unswept = fmt.Errorf("sweep old rows: %w", unswept)
	}
	done, unlogged := log.Run(ctx)
	s.AmendmentsLogged, s.LogSize = done.Placed, done.Size
	if done.Published != nil {
		s.Checkpoint = done.Published.N
	}
	if errors.Is(unlogged, sequencer.ErrBusy) {
		unlogged = nil
	}
	if err := errors.Join(unasked, unsent, unswept, unlogged); err != nil {
		return s, &domain.Error{Code: domain.CodeUnavailable, Detail: "Not everything could be done now; the next run goes on.", Err: err}
	}
	return s, nil
}

// askAgain sends the events that bring the next chunks of runs that stand still: whose
// event was lost, or which a hold kept where they were.
func (a audits) askAgain(ctx context.Context) (int, error) {
	asked := 0
	for kind, next := range map[store.RunKind]func(string) (store.Event, error){
		store.AuditRuns: a.Next,
		store.DriftRuns: func(run string) (store.Event, error) { return drift.Next(a.Desk, run) },
	} {
		events, err := a.db.Unmoved(ctx, kind, stillFor, stillLimit, next)
		if err != nil {
			return asked, err
		}
		asked += len(events)
		a.Announce(ctx, events)
	}
	return asked, nil
}
