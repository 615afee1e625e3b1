package bench

import (
	"context"
	"math"
	"runtime"
	"slices"
	"time"
)

// arm is one of several things that are compared: it does a little of its work
// and says how long one operation took. What it needs it prepares before its
// own clock starts.
type arm func(context.Context) (perOperation time.Duration, err error)

// interleave lets the arms work in turns, in an order that rotates, and returns
// each one's times by round. One turn beforehand is not counted.
func interleave(ctx context.Context, rounds int, arms ...arm) ([][]float64, error) {
	times := make([][]float64, len(arms))
	for round := -1; round < rounds; round++ {
		for i := range arms {
			at := (i + max(round, 0)) % len(arms)
			runtime.GC()
			took, err := arms[at](ctx)
			if err != nil {
				return nil, err
			}
			if round >= 0 {
				times[at] = append(times[at], took.Seconds())
			}
		}
	}
	return times, nil
}

// perRound combines times of the same round into one number for each round.
func perRound(rounds int, f func(round int) float64) []float64 {
	values := make([]float64, rounds)
	for r := range values {
		values[r] = f(r)
	}
	return values
}

// quantile returns the q-quantile by linear interpolation; NaN for no values.
func quantile(values []float64, q float64) float64 {
	if len(values) == 0 {
		return math.NaN()
	}
	sorted := slices.Sorted(slices.Values(values))
	at := q * float64(len(sorted)-1)
	low := int(math.Floor(at))
	high := min(low+1, len(sorted)-1)
	return sorted[low] + (at-float64(low))*(sorted[high]-sorted[low])
}

func median(values []float64) float64 { return quantile(values, 0.5) }
