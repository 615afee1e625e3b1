// Package job carries long work on in chunks. Whatever a chunk does stands in one
// transaction with where the next begins, so a job may die at any line; several
// workers may have the same one, and one of them gets on. When the time of a call is
// up, the rest comes with an event of its own.
package job

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/google/uuid"

	"github.com/dlai-sd/plant/shared/domain"
	"github.com/dlai-sd/plant/shared/event"
	"github.com/dlai-sd/plant/shared/store"
	"github.com/dlai-sd/plant/shared/web"
)

// Desk is what jobs work with.
type Desk struct {
	Outbox *event.Outbox
	Logger *slog.Logger
	Now    func() time.Time
	Budget time.Duration // of one call of Continue
	// Held reports whether batch work is held: (*store.DB).Held. A job asks before each
	// chunk.
	Held func(context.Context) (store.Hold, bool, error)
}

// Steps is a kind of job, whose runs are of type R.
type Steps[R any] struct {
	Read func(ctx context.Context, id string) (R, error)
	Done func(R) bool
	// Chunk does what comes next and writes down where the run then stands; with handOn,
	// also the event that brings the rest. store.ErrMovedOn says that another worker did.
	Chunk func(ctx context.Context, run R, handOn bool) (R, error)
}

// Continue works on a run until it is done or the time is up. A run that is held stays
// where it is: the sweep asks for it again when the hold is lifted.
func Continue[R any](ctx context.Context, d Desk, s Steps[R], id string) error {
	run, err := s.Read(ctx, id)
	if errors.Is(err, store.ErrNotFound) {
		return event.Permanent(errors.New("there is no such run"))
	}
	for end := d.Now().Add(d.Budget); err == nil && !s.Done(run); {
		held, failed := d.OnHold(ctx, "run "+id)
		if held || failed != nil {
			return failed
		}
		last := !d.Now().Before(end)
		run, err = s.Chunk(ctx, run, last)
		if last {
			break
		}
	}
	if errors.Is(err, store.ErrMovedOn) {
		return nil
	}
	return err
}

// OnHold reports whether batch work is held, and then says in the log what is not done.
func (d Desk) OnHold(ctx context.Context, what string) (bool, error) {
	hold, held, err := d.Held(ctx)
	if held {
		d.Logger.WarnContext(ctx, what+" is held: batch work was stopped by the "+hold.By+" at "+hold.Since.UTC().Format(time.RFC3339))
	}
	return held, err
}

// StatusHeld is the status of a run that a hold keeps where it is.
const StatusHeld = "held"

// Hold says to whoever looks at a run why it does not go on.
type Hold struct {
	Since  domain.Time `json:"since"`
	By     string      `json:"by"` // operator or budget
	Reason string      `json:"reason"`
}

// OpenHold is the hold that is on now; nil: none is.
func (d Desk) OpenHold(ctx context.Context) (*Hold, error) {
	hold, held, err := d.Held(ctx)
	if err != nil || !held {
		return nil, err
	}
	return &Hold{Since: domain.Time(hold.Since.UTC()), By: hold.By, Reason: hold.Reason}, nil
}

// Event is one about work, of the type that is given; tenant "system" is the platform.
func (d Desk) Event(kind, subject, entityType, tenant string) (store.Event, error) {
	id, err := uuid.NewV7()
	if err != nil {
		return store.Event{}, err
	}
	data, err := json.Marshal(event.Data{EntityID: subject, EntityType: entityType, GovernanceAgentID: tenant}, json.Deterministic(true))
	return store.Event{ID: id.String(), Type: kind, EntityID: domain.ID(subject), Tenant: tenant, At: d.Now().UTC(), Data: data}, err
}

// Announce sends events at once; what fails is left to the sweep.
func (d Desk) Announce(ctx context.Context, events []store.Event) {
	if len(events) == 0 {
		return
	}
	if err := d.Outbox.Announce(ctx, "", events); err != nil {
		d.Logger.WarnContext(ctx, "events are left to the sweep: "+web.Describe(err))
	}
}
