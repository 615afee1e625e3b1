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
	"github.com/dlai-sd/plant/shared/event"
	"github.com/dlai-sd/plant/shared/export"
	"github.com/dlai-sd/plant/shared/sequencer"
	"github.com/dlai-sd/plant/shared/store"
	"github.com/dlai-sd/plant/shared/web"
)

const (
	keepOperational = 7 * 24 * time.Hour // idempotency keys and inbox rows
	sweepLimit      = 10_000             // rows of each table, a run
)

// Swept is what one run did.
type Swept struct {
	EventsSent             int   `json:"events_sent"`
	IdempotencyKeysDeleted int64 `json:"idempotency_keys_deleted"`
	InboxRowsDeleted       int64 `json:"inbox_rows_deleted"`
	AuditsResumed          int   `json:"audits_resumed"`
	AmendmentsLogged       int   `json:"amendments_logged"`
	LogSize                int64 `json:"log_size"`
	Checkpoint             int64 `json:"checkpoint"` // its number, if one was published
}

// Handlers returns the function's operations by their id. budget is how long one
// delivery works on a run of the audit before it hands on.
func Handlers(db *store.DB, outbox *event.Outbox, log *sequencer.Sequencer, dead event.DeadLetter, budget time.Duration) map[string]http.Handler {
	x := exports{&export.Exporter{DB: db, Log: log, Origin: log.Origin, Now: log.Now}, db}
	a := audits{&audit.Worker{
		Auditor: &audit.Auditor{DB: db, Log: log, Origin: log.Origin},
		Outbox:  outbox, Logger: log.Config.Log, Now: log.Now, Budget: budget,
	}, db}
	return map[string]http.Handler{
		// The body, if there is one, says nothing: the database says what is due.
		"sequence": web.Endpoint(func(*http.Request) (struct{}, error) { return struct{}{}, nil },
			func(ctx context.Context, _ struct{}) (Swept, error) { return a.sequence(ctx, outbox, log) }),
		"listChanges":     changes(db),
		"runAudit":        web.Endpoint(decodeRun, a.start),
		"getAuditRun":     web.Endpoint(decodeRunID, a.look),
		"getTampering":    web.Endpoint(decodeEntityID, a.tampering),
		"auditEvent":      a.events(dead),
		"exportBundle":    http.HandlerFunc(x.direct),
		"createExport":    web.Endpoint(decodeOrder(x.Now), x.order),
		"getExport":       http.HandlerFunc(x.look),
		"getExportBundle": http.HandlerFunc(x.fetch),
		"getCheckpoint":   serve(func(r *http.Request) (web.Content, error) { return checkpoint(r.Context(), db) }),
		"getTile":         serve(func(r *http.Request) (web.Content, error) { return tile(r.Context(), db, r.PathValue("path")) }),
		"getProof":        serve(func(r *http.Request) (web.Content, error) { return proof(r.Context(), db, r.PathValue("hash")) }),
	}
}

// sequence may be called at any time, also twice at once: events are claimed,
// deletes find what is there, and places in the log are given by one at a time. No
// part waits for another to succeed, and whatever fails is worth another try.
func (a audits) sequence(ctx context.Context, outbox *event.Outbox, log *sequencer.Sequencer) (Swept, error) {
	var s Swept
	var unsent, unswept, stopped error
	if s.EventsSent, unsent = outbox.Sweep(ctx); unsent != nil {
		unsent = fmt.Errorf("send what was left in the outbox: %w", unsent)
	}
	s.IdempotencyKeysDeleted, s.InboxRowsDeleted, unswept = a.db.Sweep(ctx, keepOperational, sweepLimit)
	if unswept != nil {
		unswept = fmt.Errorf("sweep old rows: %w", unswept)
	}
	s.AuditsResumed, stopped = a.Resume(ctx)
	done, unlogged := log.Run(ctx)
	s.AmendmentsLogged, s.LogSize = done.Placed, done.Size
	if done.Published != nil {
		s.Checkpoint = done.Published.N
	}
	if errors.Is(unlogged, sequencer.ErrBusy) {
		unlogged = nil
	}
	if err := errors.Join(unsent, unswept, stopped, unlogged); err != nil {
		return s, &domain.Error{Code: domain.CodeUnavailable, Detail: "Not everything could be done now; the next run goes on.", Err: err}
	}
	return s, nil
}
