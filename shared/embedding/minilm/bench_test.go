package minilm

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// textOf returns a text of n tokens.
func textOf(n int) string { return strings.TrimSpace(strings.Repeat("skill ", n-2)) }

func BenchmarkEmbed(b *testing.B) {
	for threads := 1; threads <= 2; threads++ {
		m := openModel(b, Options{Threads: threads}, fastest())
		for _, tokens := range []int{12, 40, 128, 256} {
			b.Run(fmt.Sprintf("%dtokens/%dthreads", tokens, threads), func(b *testing.B) { embed(b, m, tokens, 1) })
		}
		for _, tokens := range []int{12, 40} {
			b.Run(fmt.Sprintf("32x%dtokens/%dthreads", tokens, threads), func(b *testing.B) { embed(b, m, tokens, 32) })
		}
	}
}

func embed(b *testing.B, m *Model, tokens, texts int) {
	batch := make([]string, texts)
	for i := range batch {
		batch[i] = textOf(tokens)
	}
	ids, _ := m.tokenizer.Tokens(batch[0])
	require.Len(b, ids, tokens)
	for b.Loop() {
		_, err := m.Embed(b.Context(), batch)
		require.NoError(b, err)
	}
	b.ReportMetric(float64(texts*b.N)/b.Elapsed().Seconds(), "texts/s")
}
