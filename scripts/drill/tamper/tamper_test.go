package tamper_test

import (
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/dlai-sd/plant/scripts/drill/deploy"
	"github.com/dlai-sd/plant/scripts/drill/tamper"
	"github.com/dlai-sd/plant/scripts/localstack/stacktest"
	"github.com/dlai-sd/plant/shared/checkpoints"
	"github.com/dlai-sd/plant/shared/testkit/harness"
)

func TestMain(m *testing.M) { stacktest.Main(m) }

// populate writes a registry to attack, in a deployment of the test's own.
func populate(t *testing.T, skills int) tamper.Source {
	t.Helper()
	d := harness.New(t)
	published, err := checkpoints.NewFolder(t.TempDir())
	require.NoError(t, err)
	place := deploy.Place{As: d.As, Secrets: d.Secrets, Keys: d.Keys, Origin: harness.Origin, Published: published}
	require.NoError(t, deploy.Populate(t.Context(), place, skills))
	captured, err := place.Sealer(t.Context())
	require.NoError(t, err)
	return tamper.Source{AdminURL: d.URL, As: d.As, Published: published, Origin: harness.Origin, Captured: &captured}
}

// TestDatabases is the drill on databases, small unless DRILL_COUNT says otherwise.
func TestDatabases(t *testing.T) {
	t.Parallel()
	o, size := tamper.Options{Count: 2, Seed: 1}, 120
	if n, err := strconv.Atoi(os.Getenv("DRILL_COUNT")); err == nil {
		o, size = tamper.Options{Count: n, Seed: uint64(time.Now().UnixNano())}, 900
	}
	source := populate(t, size)
	begun := time.Now()
	result, err := tamper.Run(t.Context(), source, o)
	require.NoError(t, err)
	for _, row := range result.Rows {
		t.Logf("%-20s %-45s %-10s %d of %d %q", row.Group, row.Name, row.By, row.Found, row.Tried, row.Missed)
		require.Equal(t, o.Count, row.Tried, "%s, %s", row.Group, row.Name)
	}
	t.Logf("%d kinds, %d clean entities, %s, seed %d", len(result.Rows), result.CleanEntities, time.Since(begun), o.Seed)
	require.Empty(t, result.FalseAlarms)
	require.True(t, result.Passed(), "see the rows above")
	require.GreaterOrEqual(t, len(result.Rows), 60)
	require.Positive(t, result.CleanEntities)
}
