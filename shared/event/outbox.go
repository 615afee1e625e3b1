package event

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/dlai-sd/plant/shared/store"
)

const (
	sweepBatch = 100              // events claimed at a time
	sweepLease = 30 * time.Second // nobody else claims them for so long
	sweepTurns = 20               // of sweepBatch, before the rest waits for the next run
)

// Outbox sends what was written with a change: at once after the commit, and
// again by a sweep if that failed or the process died. An event is therefore
// published at least once, always with the same id.
type Outbox struct {
	db        *store.DB
	publisher *Publisher
	source    string
}

// NewOutbox makes an Outbox; source is the ce-source of its events, a URI
// reference that names the deployment.
func NewOutbox(db *store.DB, p *Publisher, source string) *Outbox {
	return &Outbox{db: db, publisher: p, source: source}
}

// Announce publishes events of a tenant and deletes the rows of those that were
// acknowledged. The error counts what was left to the sweep; the change itself
// is safe either way.
func (o *Outbox) Announce(ctx context.Context, tenant string, events []store.Event) error {
	sent, failed := o.publish(ctx, events)
	if len(sent) > 0 {
		failed = errors.Join(failed, o.db.Announced(ctx, tenant, sent))
	}
	return failed
}

// Sweep publishes what is due, and returns how many events were acknowledged.
// It may run in several processes at once: each claims rows of its own, under a
// lease that ends by itself when the process dies.
func (o *Outbox) Sweep(ctx context.Context) (int, error) {
	total := 0
	var faults error
	for range sweepTurns {
		events, err := o.db.Unannounced(ctx, sweepBatch, sweepLease)
		if err != nil || len(events) == 0 {
			return total, errors.Join(faults, err)
		}
		sent, failed := o.publish(ctx, events)
		total += len(sent)
		faults = errors.Join(faults, failed, o.db.Announced(ctx, "", sent))
		if len(sent) == 0 { // nobody takes events now: the rest waits for the next run
			break
		}
	}
	return total, faults
}

// publish returns the ids that were acknowledged. A row that is no event of ours
// holds up nobody: it is left where it is, and said.
func (o *Outbox) publish(ctx context.Context, rows []store.Event) (sent []string, failed error) {
	var events []Event
	var faults []error
	for _, r := range rows {
		e := Event{ID: r.ID, Type: r.Type, Source: o.source, Time: r.At, RequestID: r.RequestID, Traceparent: r.Traceparent}
		if err := json.Unmarshal(r.Data, &e.Data); err != nil {
			faults = append(faults, fmt.Errorf("event %s in the outbox is not one of ours: %w", r.ID, err))
			continue
		}
		events = append(events, e)
	}
	for i, err := range o.publisher.PublishAll(ctx, events) {
		if err != nil {
			faults = append(faults, err)
			continue
		}
		sent = append(sent, events[i].ID)
	}
	if len(faults) > 0 {
		failed = fmt.Errorf("%d of %d events left for the sweep: %w", len(faults), len(rows), faults[0])
	}
	return sent, failed
}
