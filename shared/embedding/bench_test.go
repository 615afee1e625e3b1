package embedding

import (
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/dlai-sd/plant/scripts/localstack/stacktest"
)

// BenchmarkEmbedder compares a text that the cache has with one that it has
// not, and with none at all.
func BenchmarkEmbedder(b *testing.B) {
	m := openModel(b)
	const words = "reviews contracts for risks and says which clauses have to change before they are signed "
	for name, url := range map[string]string{"hit": stacktest.Redis(b), "miss": stacktest.Redis(b), "none": ""} {
		e := NewEmbedder(m, nil, quiet())
		if url != "" {
			e.cache, _ = openCache(b, url)
		}
		b.Run(name, func(b *testing.B) {
			for i := 0; b.Loop(); i++ {
				text := words
				if name == "miss" {
					text += strconv.Itoa(i)
				}
				_, err := e.Embed(b.Context(), []string{text})
				require.NoError(b, err)
			}
		})
	}
}
