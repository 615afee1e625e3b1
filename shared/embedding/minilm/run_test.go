package minilm

import (
	"context"
	"fmt"
	"math"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func TestZeroWeightsHaveNoVector(t *testing.T) {
	t.Parallel()
	m, err := Open(emptyModel(t), Options{})
	require.NoError(t, err)
	_, err = m.Embed(t.Context(), []string{"a"})
	require.ErrorIs(t, err, ErrNotFinite)
	require.NoError(t, m.Close())
}

func TestClose(t *testing.T) {
	t.Parallel()
	m, err := Open(emptyModel(t), Options{Threads: 2})
	require.NoError(t, err)
	var calls sync.WaitGroup
	for range 4 {
		calls.Go(func() {
			for err := error(nil); err == nil || err == ErrNotFinite; {
				_, err = m.Embed(t.Context(), []string{"a", "b"})
			}
		})
	}
	require.NoError(t, m.Close())
	require.NoError(t, m.Close(), "again")
	calls.Wait()
	_, err = m.Embed(t.Context(), []string{"a"})
	require.ErrorIs(t, err, ErrClosed)
}

func TestCallersWaitNoLongerThanTheirContext(t *testing.T) {
	t.Parallel()
	m, err := Open(emptyModel(t), Options{})
	require.NoError(t, err)
	defer func() { require.NoError(t, m.Close()) }()
	m.turn <- struct{}{} // somebody computes
	ctx, cancel := context.WithCancelCause(t.Context())
	given := fmt.Errorf("given up")
	answered := make(chan error)
	go func() {
		_, err := m.Embed(ctx, []string{"a"})
		answered <- err
	}()
	cancel(given)
	require.ErrorIs(t, <-answered, given)
	<-m.turn
	_, err = m.Embed(ctx, []string{"a"})
	require.ErrorIs(t, err, given, "its turn, but too late")
}

func TestMicroBatches(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		lengths := rapid.SliceOfN(rapid.IntRange(2, MaxTokens), 1, 40).Draw(t, "lengths")
		batch := make([][]int32, len(lengths))
		for i, n := range lengths {
			batch[i] = make([]int32, n)
		}
		for begin := 0; begin < len(batch); {
			end := microBatch(batch, begin)
			tokens := 0
			for _, ids := range batch[begin:end] {
				tokens += len(ids)
			}
			require.Greater(t, end, begin)
			require.LessOrEqual(t, tokens, batchTokens)
			require.True(t, end == len(batch) || tokens+len(batch[end]) > batchTokens, "another would fit")
			begin = end
		}
	})
}

// TestNeighboursChangeNothing: one matrix holds many texts, and no value of a
// text depends on which, on the threads, or on who else is calling.
func TestNeighboursChangeNothing(t *testing.T) {
	t.Parallel()
	alone, together := openModel(t, Options{Threads: 1}, fastest()), openModel(t, Options{Threads: 2}, fastest())
	var texts []string
	for n := 2; n < 60; n += 3 {
		texts = append(texts, textOf(n), "résumé screening "+strings.Repeat("x", n))
	}
	texts = append(texts, "", textOf(255), textOf(256), textOf(300))
	want := make([]Embedding, len(texts))
	for i, text := range texts {
		one, err := alone.Embed(t.Context(), []string{text})
		require.NoError(t, err)
		want[i] = one[0]
		require.Equal(t, text == textOf(300), one[0].Truncated)
		require.Equal(t, one[0].Truncated, alone.Truncated(text))
	}
	var callers sync.WaitGroup
	for range 3 {
		callers.Go(func() {
			got, err := together.Embed(context.Background(), texts)
			if err != nil {
				t.Error(err)
				return
			}
			for i := range got {
				for j, v := range got[i].Vector {
					if math.Abs(float64(v-want[i].Vector[j])) > 1e-6 {
						t.Errorf("%q: value %d is %v, alone %v", texts[i], j, v, want[i].Vector[j])
						return
					}
				}
			}
		})
	}
	callers.Wait()
}

func TestKernelsAgree(t *testing.T) {
	t.Parallel()
	fast, plain := openModel(t, Options{}, fastest()), openModel(t, Options{}, portable())
	require.False(t, plain.Accelerated())
	for _, n := range []int{2, 7, 13, 17, 64, 129} {
		a, err := fast.Embed(t.Context(), []string{textOf(n)})
		require.NoError(t, err)
		b, err := plain.Embed(t.Context(), []string{textOf(n)})
		require.NoError(t, err)
		require.InDeltaSlice(t, a[0].Vector, b[0].Vector, 2e-6, "%d tokens", n)
	}
}

func TestNoTexts(t *testing.T) {
	t.Parallel()
	m := openModel(t, Options{}, fastest())
	got, err := m.Embed(t.Context(), nil)
	require.NoError(t, err)
	require.Empty(t, got)
}
