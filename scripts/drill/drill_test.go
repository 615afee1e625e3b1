package drill

import (
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/dlai-sd/plant/scripts/drill/table"
)

// TestDrill is the whole drill, small unless DRILL_COUNT says otherwise.
func TestDrill(t *testing.T) {
	t.Parallel()
	o := Options{Count: 2, Clean: 3000, Seed: 1, Script: 1}
	if n, err := strconv.Atoi(os.Getenv("DRILL_COUNT")); err == nil {
		o = Options{Count: n, Clean: 100_000, Seed: uint64(time.Now().UnixNano()), Script: 2}
	}
	if seed, err := strconv.ParseUint(os.Getenv("DRILL_SEED"), 10, 64); err == nil {
		o.Seed = seed
	}
	if _, err := exec.LookPath("python3"); err != nil {
		t.Log("NO PYTHON3: verify.py WAS NOT TESTED")
		o.Script = 0
	}
	result, err := Run(t.Context(), o)
	require.NoError(t, err)
	var said strings.Builder
	require.NoError(t, table.Print(&said, result.Lines()))
	t.Logf("%s\n%d clean records in %d bundles, seed %d", said.String(), result.CleanRecords, result.CleanBundles, result.Seed)
	require.Empty(t, result.FalseAlarms)
	require.True(t, result.Passed(), "see the lines NOT FOUND above")
	require.GreaterOrEqual(t, len(result.Rows), 60)
	require.GreaterOrEqual(t, result.CleanRecords, int64(o.Clean))
}
