package minilm

import (
	"math"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// eachKernel runs a property on every kernel that this machine has. All are
// judged against 64 bits.
func eachKernel(t *testing.T, property func(*rapid.T, kernel)) {
	t.Helper()
	for _, k := range kernels() {
		t.Run(k.name, func(t *testing.T) {
			t.Parallel()
			rapid.Check(t, func(t *rapid.T) { property(t, k) })
		})
	}
}

func draw(t *rapid.T, label string, n int, limit float32) []float32 {
	return rapid.SliceOfN(rapid.Float32Range(-limit, limit), n, n).Draw(t, label)
}

// guarded returns room for n floats between two that nobody may touch.
func guarded(n int) (room []float32, untouched func() bool) {
	all := slices.Repeat([]float32{12345}, n+32)
	return all[16 : 16+n : 16+n], func() bool {
		return !slices.ContainsFunc(append(slices.Clone(all[:16]), all[16+n:]...), func(v float32) bool { return v != 12345 })
	}
}

func TestTile(t *testing.T) {
	t.Parallel()
	eachKernel(t, func(t *rapid.T, k kernel) {
		rows, inner := rapid.IntRange(1, k.rows).Draw(t, "rows"), rapid.IntRange(1, 40).Draw(t, "inner")
		stride := func(label string, least int) int { return least + rapid.IntRange(0, 20).Draw(t, label) }
		a := matrix{stride: stride("a", inner)}
		a.values = draw(t, "a", (rows-1)*a.stride+inner, 8)
		b := matrix{stride: stride("b", k.panel)}
		b.values = draw(t, "b", (inner-1)*b.stride+k.panel, 8)
		start := matrix{stride: rapid.SampledFrom([]int{0, k.panel, k.panel + 3}).Draw(t, "start")}
		start.values = draw(t, "start", (rows-1)*start.stride+k.panel, 8)
		c := matrix{stride: stride("c", k.panel)}
		var untouched func() bool
		c.values, untouched = guarded((rows-1)*c.stride + k.panel)

		k.tile(rows, inner, a, b, start, c)

		require.True(t, untouched(), "it writes where it may not")
		for i, got := range c.values {
			r, column := i/c.stride, i%c.stride
			if column >= k.panel {
				require.Equal(t, float32(12345), got, "between the rows")
				continue
			}
			want, size := float64(start.values[r*start.stride+column]), 0.0
			size = math.Abs(want)
			for j := range inner {
				product := float64(a.values[r*a.stride+j]) * float64(b.values[j*b.stride+column])
				want, size = want+product, size+math.Abs(product)
			}
			require.InDelta(t, want, float64(got), 1e-6*size+1e-12, "row %d, column %d", r, column)
		}
	})
}

func TestTileAddsToItself(t *testing.T) {
	t.Parallel()
	eachKernel(t, func(t *rapid.T, k kernel) {
		rows := rapid.IntRange(1, k.rows).Draw(t, "rows")
		a, b := draw(t, "a", rows*8, 1), draw(t, "b", 8*k.panel, 1)
		c := draw(t, "c", rows*k.panel, 1)
		apart, start := make([]float32, len(c)), slices.Clone(c)
		k.tile(rows, 8, matrix{a, 8}, matrix{b, k.panel}, matrix{start, k.panel}, matrix{apart, k.panel})
		k.tile(rows, 8, matrix{a, 8}, matrix{b, k.panel}, matrix{c, k.panel}, matrix{c, k.panel})
		require.Equal(t, apart, c)
	})
}

func TestGELU(t *testing.T) {
	t.Parallel()
	eachKernel(t, func(t *rapid.T, k kernel) {
		n := 8 * rapid.IntRange(1, 9).Draw(t, "eights")
		x := draw(t, "x", n, rapid.SampledFrom([]float32{1e-6, 1, 6, 1e4}).Draw(t, "limit"))
		room, untouched := guarded(n)
		copy(room, x)
		k.gelu(room)
		require.True(t, untouched())
		for i, v := range x {
			want := float64(v) * 0.5 * math.Erfc(-float64(v)/math.Sqrt2)
			require.InDelta(t, want, float64(room[i]), 5e-7*math.Max(1, math.Abs(float64(v))), "%v", v)
		}
	})
}

func TestSoftmax(t *testing.T) {
	t.Parallel()
	eachKernel(t, func(t *rapid.T, k kernel) {
		n := rapid.IntRange(1, MaxTokens).Draw(t, "n")
		scale := rapid.Float32Range(0.01, 2).Draw(t, "scale")
		room, untouched := guarded((n + 7) / 8 * 8)
		limit := rapid.SampledFrom([]float64{1e-3, 5, 1e4}).Draw(t, "limit")
		x := draw(t, "x", len(room), float32(limit))
		copy(room, x)
		k.softmax(room, n, scale)
		require.True(t, untouched())
		top, sum := float64(slices.Max(x[:n])), 0.0
		for _, v := range x[:n] {
			sum += math.Exp((float64(v) - top) * float64(scale))
		}
		for i, got := range room {
			want := 0.0
			if i < n {
				want = math.Exp((float64(x[i])-top)*float64(scale)) / sum
			}
			// scale·x is rounded, and what it is off by is multiplied by e^.
			require.InDelta(t, want, float64(got), 1e-6+5e-7*want*limit*float64(scale), "%d of %d", i, n)
		}
	})
}

func TestAddNorm(t *testing.T) {
	t.Parallel()
	eachKernel(t, func(t *rapid.T, k kernel) {
		room, untouched := guarded(width)
		x, y := draw(t, "x", width, 4), draw(t, "y", width, 4)
		gain, bias := draw(t, "gain", width, 2), draw(t, "bias", width, 2)
		copy(room, x)
		k.addNorm(room, y, gain, bias)
		require.True(t, untouched())
		mean, variance := 0.0, 0.0
		for i := range x {
			mean += float64(x[i]+y[i]) / width
		}
		for i := range x {
			variance += math.Pow(float64(x[i]+y[i])-mean, 2) / width
		}
		for i := range x {
			want := (float64(x[i]+y[i])-mean)/math.Sqrt(variance+normEpsilon)*float64(gain[i]) + float64(bias[i])
			require.InDelta(t, want, float64(room[i]), 2e-5)
		}
	})
}
