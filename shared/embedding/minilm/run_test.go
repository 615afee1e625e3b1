package minilm

import (
	"context"
	"fmt"
	"slices"
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

// TestNeighboursChangeNothing: one matrix holds many texts, and not a bit of a
// text's vector depends on which, on the threads, or on who else is calling.
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
				if !slices.Equal(want[i].Vector, got[i].Vector) {
					t.Errorf("%q has another vector among others", texts[i])
				}
			}
		})
	}
	callers.Wait()
}

// TestKernelsAgree: those in assembly to the bit, since they add in the same
// order.
func TestKernelsAgree(t *testing.T) {
	t.Parallel()
	texts := []string{textOf(2), textOf(7), textOf(13), textOf(17), textOf(64), textOf(129), textOf(256)}
	want, err := openModel(t, Options{}, portable()).Embed(t.Context(), texts)
	require.NoError(t, err)
	var exact []Embedding
	for _, k := range kernels() {
		m := openModel(t, Options{}, k)
		require.Equal(t, k.name, m.Kernel())
		require.Equal(t, k.name != "portable", m.Accelerated())
		got, err := m.Embed(t.Context(), texts)
		require.NoError(t, err)
		for i := range texts {
			require.InDeltaSlice(t, want[i].Vector, got[i].Vector, 2e-6, "%s, %q", k.name, texts[i])
			if exact != nil {
				require.Equal(t, exact[i].Vector, got[i].Vector, "%s, %q", k.name, texts[i])
			}
		}
		if m.Accelerated() {
			exact = got
		}
	}
}

func TestNoTexts(t *testing.T) {
	t.Parallel()
	m := openModel(t, Options{}, fastest())
	got, err := m.Embed(t.Context(), nil)
	require.NoError(t, err)
	require.Empty(t, got)
}
