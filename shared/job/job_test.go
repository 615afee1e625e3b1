package job_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/dlai-sd/plant/shared/event"
	"github.com/dlai-sd/plant/shared/job"
	"github.com/dlai-sd/plant/shared/store"
)

// line is a desk whose clock goes a second at each look.
func line(budget time.Duration, held func(context.Context) (store.Hold, bool, error)) (job.Desk, *bytes.Buffer) {
	now, log := time.Unix(0, 0), &bytes.Buffer{}
	return job.Desk{
		Logger: slog.New(slog.NewTextHandler(log, nil)), Budget: budget, Held: held,
		Now: func() time.Time { now = now.Add(time.Second); return now },
	}, log
}

func never(context.Context) (store.Hold, bool, error) { return store.Hold{}, false, nil }

// work counts its chunks down from n, and notes which of them handed on.
func work(n int, handed *[]bool, fails error) job.Steps[int] {
	return job.Steps[int]{
		Read: func(context.Context, string) (int, error) { return n, nil },
		Done: func(n int) bool { return n == 0 },
		Chunk: func(_ context.Context, n int, handOn bool) (int, error) {
			*handed = append(*handed, handOn)
			return n - 1, fails
		},
	}
}

func TestContinue(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		budget time.Duration
		fails  error
		handed []bool
	}{
		"to the end":         {time.Hour, nil, []bool{false, false, false}},
		"until time is up":   {2 * time.Second, nil, []bool{false, true}},
		"another worker did": {time.Hour, store.ErrMovedOn, []bool{false}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			desk, _ := line(c.budget, never)
			var handed []bool
			require.NoError(t, job.Continue(t.Context(), desk, work(3, &handed, c.fails), "x"))
			require.Equal(t, c.handed, handed)
		})
	}
	desk, _ := line(time.Hour, never)
	gone := job.Steps[int]{Read: func(context.Context, string) (int, error) { return 0, store.ErrNotFound }}
	require.True(t, event.IsPermanent(job.Continue(t.Context(), desk, gone, "x")))
}

// TestAHeldRunDoesNoChunk: it is asked for before each, and what cannot be asked is not
// taken for no.
func TestAHeldRunDoesNoChunk(t *testing.T) {
	t.Parallel()
	asked := 0
	desk, log := line(time.Hour, func(context.Context) (store.Hold, bool, error) {
		asked++
		return store.Hold{By: store.ByBudget, Since: time.Unix(0, 0), Reason: "secret"}, asked == 3, nil
	})
	var handed []bool
	require.NoError(t, job.Continue(t.Context(), desk, work(5, &handed, nil), "x"))
	require.Equal(t, []bool{false, false}, handed)
	require.Contains(t, log.String(), "run x is held: batch work was stopped by the budget at 1970-01-01T00:00:00Z")
	require.NotContains(t, log.String(), "secret")

	broken := errors.New("no database")
	desk, _ = line(time.Hour, func(context.Context) (store.Hold, bool, error) { return store.Hold{}, false, broken })
	handed = nil
	require.ErrorIs(t, job.Continue(t.Context(), desk, work(5, &handed, nil), "x"), broken)
	require.Empty(t, handed)
}
