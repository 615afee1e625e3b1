package minilm

import (
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func TestCrewDoesEveryPieceOnce(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		workers := rapid.IntRange(1, 4).Draw(t, "workers")
		c := newCrew(workers)
		defer c.close()
		for range rapid.IntRange(1, 5).Draw(t, "inferences") {
			c.begin()
			for _, n := range rapid.SliceOfN(rapid.IntRange(0, 30), 1, 20).Draw(t, "phases") {
				done := make([]int, n) // not atomic: the race detector sees a piece done twice
				var most atomic.Int64
				c.run(n, func(worker, i int) {
					done[i]++
					most.Store(max(most.Load(), int64(worker)))
				})
				for i := range done {
					require.Equal(t, 1, done[i])
				}
				require.Less(t, int(most.Load()), workers)
			}
			c.end()
		}
	})
}
