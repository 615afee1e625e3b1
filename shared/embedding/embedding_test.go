package embedding

import (
	"encoding/hex"
	"math"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// unit draws a vector of length 1.
func unit(t *rapid.T) []float32 {
	v := rapid.SliceOfN(rapid.Float32Range(-1, 1), Dimensions, Dimensions).Draw(t, "vector")
	v[rapid.IntRange(0, Dimensions-1).Draw(t, "at")] = 2 // not 0
	return scaled(v, 1)
}

func scaled(v []float32, length float64) []float32 {
	squares := 0.0
	for _, x := range v {
		squares += float64(x) * float64(x)
	}
	out := make([]float32, len(v))
	for i, x := range v {
		out[i] = float32(float64(x) * length / math.Sqrt(squares))
	}
	return out
}

// axis is a vector that a text could have.
func axis(i int) []float32 {
	v := make([]float32, Dimensions)
	v[i] = 1
	return v
}

func TestHashes(t *testing.T) {
	t.Parallel()
	text, vector := TextHash("abc"), VectorHash([]float32{1, -2, 0.5})
	require.Equal(t, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad", hex.EncodeToString(text[:]))
	// python3: hashlib.sha256(struct.pack('<3f', 1, -2, .5)).hexdigest()
	require.Equal(t, "2ce4bdb6b34a50ac7092eb9fee94337a27498e9eb9bae44192f15b88831b2422", hex.EncodeToString(vector[:]))
	require.Equal(t, []byte{0, 0, 0x80, 0x3f, 0, 0, 0, 0xc0}, Bytes([]float32{1, -2}))
	require.NotEqual(t, VectorHash([]float32{0}), VectorHash([]float32{float32(math.Copysign(0, -1))}))
	rapid.Check(t, func(t *rapid.T) {
		v := rapid.SliceOf(rapid.Float32()).Draw(t, "v")
		require.Equal(t, Bytes(v), Bytes(parse(Bytes(v))))
		if len(v) > 0 {
			other := slices.Clone(v)
			i := rapid.IntRange(0, len(v)-1).Draw(t, "i")
			other[i] = math.Float32frombits(math.Float32bits(v[i]) ^ 1<<rapid.IntRange(0, 31).Draw(t, "bit"))
			require.NotEqual(t, VectorHash(v), VectorHash(other))
		}
	})
}

func TestEntityTexts(t *testing.T) {
	t.Parallel()
	require.Equal(t, []string{"Go"}, EntityTexts("Go", ""))
	require.Equal(t, []string{"Go", "Go. A language."}, EntityTexts("Go", "A language."))
	require.Equal(t, TextHash("Go"), EntityTextHash("Go", ""))
	// The same text all together, but not the same vector.
	require.Equal(t, EntityTexts("A. B", "C")[1], EntityTexts("A", "B. C")[1])
	require.NotEqual(t, EntityTextHash("A. B", "C"), EntityTextHash("A", "B. C"))
	require.NotEqual(t, EntityTextHash("A", "B"), TextHash("A. B"))
}

func TestMean(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		a, b := unit(t), unit(t)
		require.Equal(t, a, Mean(a))
		mean := Mean(a, b)
		for i := range mean {
			require.InDelta(t, (float64(a[i])+float64(b[i]))/2, float64(mean[i]), 1e-7)
		}
		if length, err := measure(mean); err == nil && length > 0 {
			require.NoError(t, ValidEntity(mean))
		}
	})
}

func TestValid(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		v := unit(t)
		require.NoError(t, Valid(v))
		require.NoError(t, ValidEntity(v))
		require.NoError(t, Valid(scaled(v, 1.0009)))
		require.ErrorIs(t, Valid(scaled(v, 1.0011)), ErrInvalid)
		require.ErrorIs(t, Valid(scaled(v, 0.9989)), ErrInvalid)
		require.NoError(t, ValidEntity(scaled(v, 0.5)))
		require.ErrorIs(t, ValidEntity(scaled(v, 1.01)), ErrInvalid)
		spoiled := slices.Clone(v)
		spoiled[rapid.IntRange(0, Dimensions-1).Draw(t, "at")] = rapid.SampledFrom([]float32{
			float32(math.NaN()), float32(math.Inf(1)), float32(math.Inf(-1)), math.MaxFloat32,
		}).Draw(t, "value")
		require.ErrorIs(t, Valid(spoiled), ErrInvalid)
		require.ErrorIs(t, ValidEntity(spoiled), ErrInvalid)
	})
	for _, v := range [][]float32{nil, {1}, make([]float32, Dimensions), append(axis(0), 0), axis(0)[:Dimensions-1]} {
		require.ErrorIs(t, Valid(v), ErrInvalid)
		require.ErrorIs(t, ValidEntity(v), ErrInvalid)
	}
}
