package main

import (
	"context"
	"path/filepath"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/dlai-sd/plant/scripts/localstack/ephemeral"
	"github.com/dlai-sd/plant/scripts/localstack/postgres"
	"github.com/dlai-sd/plant/scripts/localstack/stacktest"
)

// serversOfOthers starts a PostgreSQL and a Redis as somebody else would run
// them. They are not the other tests': a stack gives its server's roles new
// passwords.
func serversOfOthers(t *testing.T) (databaseURL, redisURL string) {
	t.Helper()
	opts := ephemeral.Options{Fetcher: stacktest.Fetcher(t)}
	dir, err := ephemeral.NewDir(t.Context())
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, dir.Remove()) })
	server, err := dir.Postgres(t.Context(), opts)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, server.Stop(context.WithoutCancel(t.Context()))) })
	cacheServer, err := ephemeral.Redis(t.Context(), opts)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, cacheServer.Stop(context.WithoutCancel(t.Context()))) })
	require.NoError(t, postgres.Execute(t.Context(), server.AdminURL(), "CREATE DATABASE theirs"))
	return server.AdminURLOf("theirs"), cacheServer.URL()
}

func TestRealServers(t *testing.T) {
	t.Parallel()
	database, redis := serversOfOthers(t)
	// Nothing may be downloaded: neither a cache nor a Python is there.
	env := []string{"DATABASE_URL=" + database, "REDIS_URL=" + redis, "MODEL_DIR=" + stacktest.ModelDir(t), "PATH=/no/such/folder", "PLANT_CACHE=/no/such/folder"}
	s := start(t, filepath.Join(t.TempDir(), "data"), env...)
	t.Run("only the functions are ours", func(t *testing.T) {
		programs := map[string]int{}
		for _, program := range descendants(t, s.process.PID()) {
			programs[program]++
		}
		require.Len(t, programs, 1, "%v", programs)
		require.Greater(t, programs["functions"], 4)
	})
	bread := s.create(t, "bread", breadBody)
	require.Contains(t, must(t, s.env(), "show", "bread", "--history").stdout, bread.VersionHash)
	require.NotContains(t, must(t, s.env(), "migrate", "status").stdout, "pending")
	s.interrupt(t)
	require.NoError(t, s.process.Err())

	conn, err := pgx.Connect(t.Context(), database)
	require.NoError(t, err, "the server is not ours to stop")
	defer func() { _ = conn.Close(context.WithoutCancel(t.Context())) }()
	var hash string
	require.NoError(t, conn.QueryRow(t.Context(), "SELECT encode(etag_hash, 'hex') FROM entity WHERE external_id = 'bread'").Scan(&hash))
	require.Equal(t, bread.VersionHash, hash)

	// Another data folder has other keys: this database is not its own.
	other := plant(t, environment(append(env, "PLANT_DIR="+t.TempDir())...), "run", "--port", "0")
	require.Equal(t, 1, other.code)
	require.Contains(t, other.stderr, "the database holds records under the root key ")
	require.Regexp(t, "(?m)^Try: the data folder that this database was first used with", other.stderr)

	none := plant(t, environment("DATABASE_URL="+database, "REDIS_URL=redis://:sesame@127.0.0.1:1/0", "PLANT_DIR="+s.dir), "run", "--port", "0")
	require.Equal(t, 1, none.code)
	require.Contains(t, none.stderr, "reach the Redis of REDIS_URL")
	require.Regexp(t, "(?m)^Try: REDIS_URL=", none.stderr)
	require.NotContains(t, none.stderr, "sesame")
}
