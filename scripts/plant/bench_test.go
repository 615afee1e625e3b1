package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/stretchr/testify/require"

	"github.com/dlai-sd/plant/scripts/bench"
)

// TestBench measures a little of what needs no function, with all that it starts itself.
func TestBench(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "bench.json")
	r := must(t, environment(), "bench", "--json", "--only", "^(pure|evolve)$", "--effort", "0.01", "--out", file)
	var said, kept bench.Report
	require.NoError(t, json.Unmarshal([]byte(r.stdout), &said))
	require.NotEmpty(t, said.Rows)
	written, err := os.ReadFile(file)
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(written, &kept))
	require.Equal(t, said, kept)
	for args, want := range map[string]string{"(": "--only is a regular expression", "^nothing$": "no measurement is named like"} {
		refused := plant(t, environment(), "bench", "--only", args)
		require.Equal(t, 1, refused.code)
		require.Contains(t, refused.stderr, want)
		require.Contains(t, refused.stderr, "Try: plant bench")
	}
}
