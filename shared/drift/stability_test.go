package drift_test

import (
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/dlai-sd/plant/shared/drift"
)

// TestStability: the cosine in millionths, from 0 on; what cannot be compared is as far
// away as can be.
func TestStability(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		a, b []float32
		want int64
	}{
		"itself":             {[]float32{1, 2}, []float32{1, 2}, 1_000_000},
		"longer, the same":   {[]float32{1, 2}, []float32{2, 4}, 1_000_000},
		"close":              {[]float32{1, 0}, []float32{.8, .6}, 800_000},
		"the opposite":       {[]float32{1, 0}, []float32{-1, 0}, 0},
		"of another length":  {[]float32{1, 0}, []float32{1, 0, 0}, 0},
		"of a shorter one":   {[]float32{1, 0}, []float32{1}, 0},
		"of nothing":         {[]float32{0, 0}, []float32{1, 0}, 0},
		"of what is not one": {[]float32{float32(math.NaN()), 0}, []float32{1, 0}, 0},
	} {
		require.Equal(t, c.want, drift.Stability(c.a, c.b), name)
	}
}
