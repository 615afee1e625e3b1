package ledger

import (
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestFormatQuotesTheGoldenFile: who makes the golden file anew has to copy what
// this names into the worked example.
func TestFormatQuotesTheGoldenFile(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("FORMAT.md")
	require.NoError(t, err)
	_, entries := readGolden(t)
	direct, batched := entries[3], entries[4]
	for what, quote := range map[string]string{
		"record of index 3":     string(direct.Bytes),
		"its hash":              direct.Hash.String(),
		"hash of index 4":       batched.Hash.String(),
		"its state":             string(batched.Opening.State),
		"its salt":              Hash(batched.Opening.Salt).String(),
		"its state hash":        batched.Record.StateHash.String(),
		"its statement":         string(batched.Batch.Statement),
		"its path's first hash": batched.Batch.Path[0].String(),
		"the second":            batched.Batch.Path[1].String(),
	} {
		require.Contains(t, string(page), quote, what)
	}
}

// TestFormatNamesEveryReason: and every change and entity type.
func TestFormatNamesEveryReason(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("FORMAT.md")
	require.NoError(t, err)
	source, err := os.ReadFile("reason.go")
	require.NoError(t, err)
	codes := 0
	for line := range strings.Lines(string(source)) {
		if _, code, ok := strings.Cut(line, `Reason = "`); ok {
			code, _, _ = strings.Cut(code, `"`)
			require.Contains(t, string(page), "`"+code+"`")
			codes++
		}
	}
	require.Equal(t, 30, codes)
	for _, r := range rules {
		require.Contains(t, string(page), "`"+r.change+"`")
		for _, entityType := range r.types {
			require.Contains(t, string(page), "`"+entityType+"`")
		}
	}
}
