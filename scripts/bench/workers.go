package bench

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// spread runs n jobs on so many workers and returns the time per job: the
// inverse of their throughput. It ends at the first error.
func spread(ctx context.Context, workers, n int, job func(ctx context.Context, worker, i int) error) (time.Duration, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var next atomic.Int64
	var all sync.WaitGroup
	began := time.Now()
	for worker := range workers {
		all.Go(func() {
			for ctx.Err() == nil {
				i := int(next.Add(1)) - 1
				if i >= n {
					return
				}
				if err := job(ctx, worker, i); err != nil {
					cancel(err)
				}
			}
		})
	}
	all.Wait()
	return time.Since(began) / time.Duration(n), context.Cause(ctx)
}
