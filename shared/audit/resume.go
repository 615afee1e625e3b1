package audit

import (
	"context"
	"fmt"
	"time"

	"github.com/dlai-sd/plant/shared/store"
)

const (
	// resumeAfter is how long a run may stand still: a chunk is some seconds' work, and
	// Pub/Sub delivers again within minutes.
	resumeAfter = 5 * time.Minute
	resumeMost  = 100 // runs at a time, those that have waited longest
)

// Resume brings back to work the runs that have stopped moving, and returns how many:
// their event may have been acknowledged by one worker because another was further,
// which then died, or have become a dead letter. A run that only seemed to have
// stopped gets on all the same, once.
func (w *Worker) Resume(ctx context.Context) (int, error) {
	events, err := w.DB.ResumeRuns(ctx, resumeAfter, resumeMost, func(id string) (store.Event, error) {
		return w.event(EventContinued, id, "audit_run", system)
	})
	if err != nil {
		return 0, fmt.Errorf("resume runs of the audit: %w", err)
	}
	w.announce(ctx, events)
	return len(events), nil
}
