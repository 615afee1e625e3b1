package audit

import (
	"context"

	"github.com/dlai-sd/plant/shared/store"
)

// reading is what a run looks at next, read while what comes before it is judged.
type reading struct {
	after string // the id behind which it begins
	ids   []string
	held  store.Held
	err   error
	done  chan struct{} // closed once the rest is there
}

// reader reads a run's chunks, one ahead. Its owner calls wait when it leaves.
type reader struct {
	db     *store.DB
	filter store.RunFilter
	ahead  *reading
}

// chunk returns the entities behind an id and what is held of them; with more, it
// goes on with those behind them meanwhile.
func (r *reader) chunk(ctx context.Context, after string, more bool) ([]string, store.Held, error) {
	if r.ahead != nil && r.ahead.after != after {
		r.wait()
	}
	if r.ahead == nil {
		r.start(ctx, after)
	}
	now := r.ahead
	r.wait()
	if more && now.err == nil && len(now.ids) == chunk {
		r.start(ctx, now.ids[chunk-1])
	}
	return now.ids, now.held, now.err
}

func (r *reader) start(ctx context.Context, after string) {
	next := &reading{after: after, done: make(chan struct{})}
	r.ahead = next
	go func() {
		defer close(next.done)
		if next.ids, next.err = r.db.AuditIDs(ctx, r.filter, after, chunk); next.err == nil && len(next.ids) > 0 {
			next.held, next.err = r.db.KeptOf(ctx, next.ids)
		}
	}()
}

// wait waits for what was begun, and forgets it.
func (r *reader) wait() {
	if r.ahead != nil {
		<-r.ahead.done
	}
	r.ahead = nil
}
