package main

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/dlai-sd/plant/scripts/drill/table"
)

// kindsThere are the attacks of a result that had something to attack.
func kindsThere(lines []table.Line) (n int) {
	for _, l := range lines {
		if l.Tried > 0 {
			n++
		}
	}
	return n
}

// TestFailedDrillIsRepeated by what it says to try.
func TestFailedDrillIsRepeated(t *testing.T) {
	t.Parallel()
	for want, c := range map[string]drillCmd{
		"plant drill --count 3 --clean 7 --seed 9":              {Count: 3, Clean: 7, Seed: 9, On: "all"},
		"plant drill --count 3 --clean 7 --on bundles --seed 9": {Count: 3, Clean: 7, Seed: 9, On: "bundles"},
		"plant drill --count 3 --on databases --seed 9":         {Count: 3, Clean: 7, Seed: 9, On: "databases"},
		"plant drill --count 3 --from-database --seed 9":        {Count: 3, Clean: 7, Seed: 9, On: "all", FromDatabase: true},
	} {
		require.Equal(t, want, c.again())
	}
}

// testDrillOurs attacks copies of a database that others write to meanwhile.
func testDrillOurs(t *testing.T, s *running) {
	settings, err := loadSettings(t.Context(), s.dir)
	require.NoError(t, err)
	require.Eventually(t, func() bool {
		_, err := os.Stat(filepath.Join(s.dir, "checkpoints", "000000000001"))
		return err == nil
	}, readyTimeout, tick, "no first checkpoint")
	r := must(t, s.env(), "--json", "drill", "--from-database", "--count", "1", "--seed", "1")
	require.Contains(t, r.stderr, "as of one moment; the database was only read.")
	var d drilled
	require.NoError(t, json.Unmarshal([]byte(r.stdout), &d))
	require.True(t, d.Passed)
	require.Greater(t, kindsThere(d.Attacks), 60)
	require.Positive(t, d.CleanEntities)
	require.Empty(t, d.FalseAlarms)

	// Nothing of the drill is in the original, whose name no copy has.
	conn, err := pgx.Connect(t.Context(), settings.AuditorURL)
	require.NoError(t, err)
	defer func() { _ = conn.Close(context.WithoutCancel(t.Context())) }()
	var forged, copies int
	require.NoError(t, conn.QueryRow(t.Context(), `SELECT (SELECT count(*) FROM entity WHERE name LIKE 'Forged%'),
		(SELECT count(*) FROM pg_database WHERE datname LIKE 'plant_drill%')`).Scan(&forged, &copies))
	require.Zero(t, forged)
	require.Zero(t, copies)

	for said, address := range map[string]string{
		"become plant_auditor": settings.WriterURL,
		"not a Postgres URL":   "elsewhere",
		"connect as auditor":   "postgres://nobody@127.0.0.1:1/plant",
	} {
		refused := plant(t, s.env("PLANT_AUDITOR_DATABASE_URL="+address), "drill", "--from-database", "--count", "1")
		require.Equal(t, 1, refused.code, said)
		require.Empty(t, refused.stdout, said)
		require.Contains(t, refused.stderr, said)
		require.Contains(t, refused.stderr, "Try: ", said)
	}
}

// TestDrillWithoutAStack attacks a synthetic registry, on servers of its own.
func TestDrillWithoutAStack(t *testing.T) {
	t.Parallel()
	r := must(t, environment(), "drill", "--on", "databases", "--count", "1")
	require.Contains(t, r.stdout, "SHOULD FIND IT")
	require.Regexp(t, `a name  +audit: row_differs +audit: row_differs +1 of 1`, r.stdout)
	require.Contains(t, r.stdout, " 0 not found; ")
	require.Contains(t, r.stderr, "Judging the whole database before any attack.")
	require.Regexp(t, `\n[0-9]+ of [0-9]+ attacks on databases\n`, r.stderr, "progress where there is no terminal")
	neither := plant(t, environment(), "drill", "--from-database", "--on", "bundles")
	require.Equal(t, 2, neither.code)
	require.Empty(t, neither.stdout)
	require.Contains(t, neither.stderr, "Try: plant drill --from-database\n")
	for _, args := range [][]string{{"--count", "0"}, {"--clean=-1"}} {
		require.Equal(t, 1, plant(t, environment(), append([]string{"drill"}, args...)...).code)
	}
	none := plant(t, environment("PLANT_DIR="+t.TempDir()), "drill", "--from-database")
	require.Equal(t, 1, none.code)
	require.Contains(t, none.stderr, "PLANT_ORIGIN is not set")
}
