package bench

import (
	"context"
	"errors"
	"io"
	"math"
	"os"
	"regexp"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/stretchr/testify/require"
)

func TestQuantile(t *testing.T) {
	t.Parallel()
	values := []float64{4, 1, 3, 2}
	require.InDelta(t, 2.5, median(values), 1e-9)
	require.InDelta(t, 1.0, quantile(values, 0), 1e-9)
	require.InDelta(t, 1.75, quantile(values, 0.25), 1e-9)
	require.InDelta(t, 4.0, quantile(values, 1), 1e-9)
	require.Equal(t, []float64{4, 1, 3, 2}, values, "the order of the rounds is kept")
	require.True(t, math.IsNaN(median(nil)))
}

// TestInterleave: every arm works once in every round, the uncounted first one
// included, and nobody is always first.
func TestInterleave(t *testing.T) {
	t.Parallel()
	var order []int
	one := func(i int) arm {
		return func(context.Context) (time.Duration, error) {
			order = append(order, i)
			return time.Duration(len(order)) * time.Second, nil
		}
	}
	times, err := interleave(t.Context(), 3, one(0), one(1))
	require.NoError(t, err)
	require.Equal(t, []int{0, 1, 0, 1, 1, 0, 0, 1}, order)
	require.Equal(t, [][]float64{{3, 6, 7}, {4, 5, 8}}, times)

	broken := errors.New("broken")
	_, err = interleave(t.Context(), 3, one(0), func(context.Context) (time.Duration, error) { return 0, broken })
	require.ErrorIs(t, err, broken)
}

func TestSpread(t *testing.T) {
	t.Parallel()
	var done [100]atomic.Int64
	_, err := spread(t.Context(), 4, len(done), func(_ context.Context, _, i int) error {
		done[i].Add(1)
		return nil
	})
	require.NoError(t, err)
	for i := range done {
		require.Equal(t, int64(1), done[i].Load(), "job %d", i)
	}
	broken := errors.New("broken")
	_, err = spread(t.Context(), 4, 100, func(context.Context, int, int) error { return broken })
	require.ErrorIs(t, err, broken)
}

// TestCompared: the ratio is the median of the rounds' own ratios, so that a
// round in which the machine was slow counts like any other.
func TestCompared(t *testing.T) {
	t.Parallel()
	row := compared("x", perSecond, "bound", []float64{90, 9, 80}, []float64{100, 10, 100}, atLeast(0.85))
	require.InDelta(t, 0.9, row.Ratio, 1e-9)
	require.InDelta(t, 80.0, row.Value, 1e-9)
	require.InDelta(t, 0.88, row.Quiet, 1e-9)

	row = limited("y", "ms", []float64{5, 20, 10}, 10)
	require.InDelta(t, 1.0, row.Ratio, 1e-9)
	require.InDelta(t, 0.6, row.Quiet, 1e-9)
}

func TestReport(t *testing.T) {
	t.Parallel()
	r := newReport("PostgreSQL 18")
	r.Rows = []Row{
		compared("good", perSecond, "raw", []float64{95}, []float64{100}, atLeast(0.9)),
		compared("bad", perSecond, "raw", []float64{85}, []float64{100}, atLeast(0.9)),
		limited("small", "ms", []float64{0.1}, 0.2),
		limited("large", "ms", []float64{0.3}, 0.2),
		told("said", "ms", []float64{1}),
		{Name: "absent", Note: "no pgbench here"},
	}
	r.finish()
	table := string(r.Table())
	for line, want := range map[string]string{
		"good": "≥ 0.900 ok", "bad": "≥ 0.900 below", "small": "≤ 1.00 ok", "large": "≤ 1.00 below",
		"absent": "left out", "absent:": "no pgbench here",
	} {
		require.Regexp(t, regexp.MustCompile(`(?m)^`+line+` .*`+regexp.QuoteMeta(want)), table)
	}
	document, err := json.Marshal(r)
	require.NoError(t, err)
	var back Report
	require.NoError(t, json.Unmarshal(document, &back))
	require.Len(t, back.Rows, len(r.Rows))
	require.Equal(t, []bool{true, false, true, false}, []bool{*back.Rows[0].Met, *back.Rows[1].Met, *back.Rows[2].Met, *back.Rows[3].Met})
	require.Nil(t, back.Rows[4].Met)
}

func TestNothingOfThatName(t *testing.T) {
	t.Parallel()
	_, err := Run(t.Context(), Options{Only: regexp.MustCompile("^nothing$")}, io.Discard)
	require.ErrorContains(t, err, "no measurement is named like ^nothing$")
}

// TestReadsAreTheStores: the raw statements are those that the store sends.
func TestReadsAreTheStores(t *testing.T) {
	t.Parallel()
	source, err := os.ReadFile("../../shared/store/read.go")
	require.NoError(t, err)
	for _, sql := range []string{rawHead, rawHistory, rawSummary, rawChildren} {
		require.Contains(t, string(source), "`"+sql+"`")
	}
}
