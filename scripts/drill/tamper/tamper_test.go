package tamper_test

import (
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
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

// TestNothingIsAttackedInDisorder: a database that was tampered with, or whose log was
// never published, is no ground for a drill.
func TestNothingIsAttackedInDisorder(t *testing.T) {
	t.Parallel()
	o := tamper.Options{Count: 1, Seed: 2}
	source := populate(t, 44)
	unpublished, err := checkpoints.NewFolder(t.TempDir())
	require.NoError(t, err)
	nowhere := source
	nowhere.Published = unpublished
	_, err = tamper.Run(t.Context(), nowhere, o)
	require.ErrorIs(t, err, tamper.ErrUnpublished)

	conn, err := pgx.Connect(t.Context(), source.AdminURL)
	require.NoError(t, err)
	_, err = conn.Exec(t.Context(), tamper.Disarm+`; UPDATE opening SET state = state || ' ' WHERE entity_id = (SELECT min(id::text)::uuid FROM skill) AND seq = 1`)
	require.NoError(t, err)
	require.NoError(t, conn.Close(t.Context()))
	var disorder *tamper.NotInOrderError
	_, err = tamper.Run(t.Context(), source, o)
	require.ErrorAs(t, err, &disorder)
	require.Len(t, disorder.Findings, 1)
	require.Contains(t, err.Error(), "before any attack: state_hash_mismatch (skill ")

	conn, err = pgx.Connect(t.Context(), source.AdminURL)
	require.NoError(t, err)
	_, err = conn.Exec(t.Context(), `UPDATE heads SET record = replace(record, '"tenants":', '"tenants":1')`)
	require.NoError(t, err)
	require.NoError(t, conn.Close(t.Context()))
	_, err = tamper.Run(t.Context(), source, o)
	require.ErrorAs(t, err, &disorder)
	require.Contains(t, err.Error(), "before any attack: 2 findings, the first: heads_differ (expected a heads record", "it is of no entity")
}

// TestEverySeed: a drill passes on a database that is in order, whatever is drawn, and
// finds something for every attack in one that has lived.
func TestEverySeed(t *testing.T) {
	t.Parallel()
	source := populate(t, 120)
	for seed := uint64(20); seed < 23; seed++ {
		passes(t, source, tamper.Options{Count: 1, Seed: seed})
	}
}

func passes(t *testing.T, source tamper.Source, o tamper.Options) {
	t.Helper()
	result, err := tamper.Run(t.Context(), source, o)
	require.NoError(t, err, "seed %d", o.Seed)
	for _, row := range result.Rows {
		require.Equal(t, o.Count, row.Tried, "seed %d: %s, %s", o.Seed, row.Group, row.Name)
		require.Equal(t, row.Tried, row.Found, "seed %d: %s, %s: %q", o.Seed, row.Group, row.Name, row.Missed)
	}
	require.Empty(t, result.FalseAlarms, "seed %d", o.Seed)
}

// TestNoKeyWasCaptured: of a database alone, what needs a key is not attacked, and all
// the rest is.
func TestNoKeyWasCaptured(t *testing.T) {
	t.Parallel()
	source := populate(t, 120)
	source.Captured = nil
	result, err := tamper.Run(t.Context(), source, tamper.Options{Count: 1, Seed: 3})
	require.NoError(t, err)
	require.True(t, result.Passed())
	for i, line := range result.Lines() {
		require.Equal(t, result.Rows[i].Seals == nil, line.Tried > 0, "%s, %s", line.Group, line.Attack)
	}
}
