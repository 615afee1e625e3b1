package minilm

import (
	"bytes"
	"fmt"
	"math"
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/stretchr/testify/require"

	"github.com/dlai-sd/plant/scripts/localstack/stacktest"
	"github.com/dlai-sd/plant/shared/testkit/testdata"
)

func openModel(t testing.TB, opts Options, k kernel) *Model {
	t.Helper()
	m, err := open(stacktest.ModelDir(t), opts, k)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, m.Close()) })
	return m
}

func readLines[T any](t testing.TB, elem ...string) []T {
	t.Helper()
	var rows []T
	for line := range bytes.Lines(testdata.Read(t, elem...)) {
		var row T
		require.NoError(t, json.Unmarshal(line, &row))
		rows = append(rows, row)
	}
	return rows
}

type reference struct {
	Text       string    `json:"text"`
	Normalized bool      `json:"normalized"`
	Dims       int       `json:"dims"`
	Values     []float64 `json:"values"`
	Source     string    `json:"source"`
}

func TestReferenceVectors(t *testing.T) {
	t.Parallel()
	rows := readLines[reference](t, "minilm", "reference_vectors.jsonl")
	require.Len(t, rows, 11)
	for _, k := range kernels() {
		for threads := 1; threads <= 2; threads++ {
			t.Run(fmt.Sprintf("%s/%d", k.name, threads), func(t *testing.T) {
				t.Parallel()
				m := openModel(t, Options{Threads: threads}, k)
				for _, row := range rows {
					requireReference(t, m, row)
				}
			})
		}
	}
}

// requireReference allows what the source of a row is known to be off by.
func requireReference(t *testing.T, m *Model, row reference) {
	t.Helper()
	ids, _ := m.tokenizer.Tokens(row.Text)
	got := []Embedding{{Vector: make([]float32, Dimensions)}}
	m.turn <- struct{}{}
	m.forward([][]int32{ids}, got)
	<-m.turn
	if row.Normalized {
		require.True(t, normalizeVector(got[0].Vector))
	}
	tolerance := map[int]float64{384: 5e-6, 24: 1e-3, 6: 1e-6, 5: 1e-4, 1: 1e-4}[len(row.Values)]
	require.NotZero(t, tolerance)
	var dot, a, b, most float64
	for i, want := range row.Values {
		v := float64(got[0].Vector[i])
		dot, a, b = dot+v*want, a+v*v, b+want*want
		most = max(most, math.Abs(v-want))
	}
	t.Logf("%-42q %3d values, cosine %.9f, largest difference %.2g", row.Text, len(row.Values), dot/math.Sqrt(a*b), most)
	require.LessOrEqual(t, most, tolerance, row.Text)
	if len(row.Values) == Dimensions {
		require.GreaterOrEqual(t, dot/math.Sqrt(a*b), 0.999999, row.Text)
	}
}
