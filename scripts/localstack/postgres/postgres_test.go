package postgres_test

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/dlai-sd/plant/scripts/localstack/postgres"
	"github.com/dlai-sd/plant/scripts/localstack/stacktest"
)

func TestMain(m *testing.M) {
	if os.Getenv(helperEnv) != "" {
		os.Exit(helper())
	}
	os.Exit(m.Run())
}

// install fetches PostgreSQL once for all machines' users of this cache.
func install(t testing.TB, major int) string {
	t.Helper()
	got, err := postgres.Fetch(t.Context(), stacktest.Fetcher(t), major)
	require.NoError(t, err)
	return got
}

// folder is a new folder that any user may enter, unlike t.TempDir.
func folder(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "plant-postgres-test-")
	require.NoError(t, err)
	require.NoError(t, os.Chmod(dir, 0o755))
	t.Cleanup(func() { require.NoError(t, os.RemoveAll(dir)) })
	return dir
}

func start(t testing.TB, opts postgres.Options) *postgres.Server {
	t.Helper()
	s, err := postgres.Start(t.Context(), opts)
	require.NoError(t, err)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		require.NoError(t, s.Stop(ctx))
	})
	return s
}

func query[T any](t testing.TB, url, sql string) T {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	require.NoError(t, err)
	defer conn.Close(context.Background())
	rows, err := conn.Query(t.Context(), sql)
	require.NoError(t, err)
	got, err := pgx.CollectExactlyOneRow(rows, pgx.RowTo[T])
	require.NoError(t, err)
	return got
}

func exec(t testing.TB, url, sql string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	require.NoError(t, err)
	defer conn.Close(context.Background())
	_, err = conn.Exec(t.Context(), sql)
	require.NoError(t, err)
}

func TestVersionsAndVector(t *testing.T) {
	t.Parallel()
	for _, major := range []int{16, 18} {
		t.Run(strconv.Itoa(major), func(t *testing.T) {
			t.Parallel()
			data := filepath.Join(folder(t), "pg")
			require.NoError(t, os.MkdirAll(filepath.Join(data, "cluster.new", "base"), 0o755)) // a killed initdb's
			s := start(t, postgres.Options{Install: install(t, major), Data: data, Unsafe: true, MaxConnections: 20})
			require.Equal(t, strconv.Itoa(major), query[string](t, s.AdminURL(), "SELECT split_part(current_setting('server_version'), '.', 1)"))
			exec(t, s.AdminURL(), "CREATE EXTENSION vector")
			require.InDelta(t, 5.0, query[float64](t, s.AdminURL(), "SELECT '[0,0]'::vector <-> '[3,4]'::vector"), 1e-9)
			require.Equal(t, "é", query[string](t, s.AdminURL(), "SELECT lower('É')"))
			require.Equal(t, "20", query[string](t, s.AdminURL(), "SHOW max_connections"))
			require.Equal(t, "on", query[string](t, s.AdminURL(), "SHOW data_checksums"))
			require.Equal(t, "127.0.0.1", query[string](t, s.AdminURL(), "SHOW listen_addresses"))
			require.Empty(t, query[string](t, s.AdminURL(), "SHOW unix_socket_directories"))
			require.Zero(t, query[int](t, s.AdminURL(), "SELECT count(*)::int FROM pg_hba_file_rules WHERE auth_method <> 'scram-sha-256'"))
			_, err := pgx.Connect(t.Context(), s.URL("postgres", "wrong", "postgres"))
			require.ErrorContains(t, err, "28P01")
		})
	}
}

func TestOneClusterThroughItsLife(t *testing.T) {
	t.Parallel()
	opts := postgres.Options{Install: install(t, 18), Data: filepath.Join(folder(t), "pg"), Unsafe: true}
	s, err := postgres.Start(t.Context(), opts)
	require.NoError(t, err)
	require.Equal(t, "off", query[string](t, s.AdminURL(), "SHOW fsync"))
	exec(t, s.AdminURL(), "CREATE TABLE kept (n int)")
	exec(t, s.AdminURL(), "INSERT INTO kept VALUES (1)")
	for path, want := range map[string]os.FileMode{opts.Data: 0o700, filepath.Join(opts.Data, "admin-password"): 0o600} {
		info, err := os.Stat(path)
		require.NoError(t, err)
		require.Equal(t, want, info.Mode().Perm(), path)
	}
	hasty := opts
	hasty.Patience = 50 * time.Millisecond
	_, err = postgres.Start(t.Context(), hasty)
	require.ErrorContains(t, err, "another server works in "+opts.Data)

	survivesKills(t, s)
	if runtime.GOOS == "linux" {
		survivesStalePID(t, s, opts.Data)
	}
	require.Error(t, s.Restart(t.Context()), "it is running")
	require.NoError(t, s.Stop(t.Context()))

	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer ln.Close()
	opts.Port = ln.Addr().(*net.TCPAddr).Port
	_, err = postgres.Start(t.Context(), opts)
	require.ErrorContains(t, err, fmt.Sprintf("port %d of 127.0.0.1 is in use", opts.Port))
	require.ErrorContains(t, err, "choose another port")

	opts.Port, opts.Unsafe = 0, false
	again := start(t, opts)
	require.Equal(t, "on", query[string](t, again.AdminURL(), "SHOW fsync"))
	require.Equal(t, 4, query[int](t, again.AdminURL(), "SELECT count(*)::int FROM kept"))
}

func survivesKills(t *testing.T, s *postgres.Server) {
	t.Helper()
	busy, err := pgx.Connect(t.Context(), s.AdminURL())
	require.NoError(t, err)
	defer busy.Close(context.Background())
	url := s.AdminURL()
	for range 3 {
		require.NoError(t, s.Kill())
		require.Error(t, busy.Ping(t.Context()))
		require.NoError(t, s.Restart(t.Context()))
		require.Equal(t, url, s.AdminURL())
		exec(t, url, "INSERT INTO kept VALUES (1)")
	}
}

// survivesStalePID lets the number of a killed server belong to another
// program.
func survivesStalePID(t *testing.T, s *postgres.Server, data string) {
	t.Helper()
	require.NoError(t, s.Kill())
	file := filepath.Join(data, "cluster", "postmaster.pid")
	b, err := os.ReadFile(file)
	require.NoError(t, err)
	_, rest, _ := bytes.Cut(b, []byte("\n"))
	require.NoError(t, os.WriteFile(file, append([]byte(strconv.Itoa(sleeper(t))+"\n"), rest...), 0o600))
	require.NoError(t, s.Restart(t.Context()))
}

func TestDataOfAnotherVersionIsASentence(t *testing.T) {
	t.Parallel()
	data := filepath.Join(folder(t), "pg")
	require.NoError(t, os.MkdirAll(filepath.Join(data, "cluster"), 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(data, "cluster", "PG_VERSION"), []byte("16\n"), 0o600))
	_, err := postgres.Start(t.Context(), postgres.Options{Install: install(t, 18), Data: data})
	var version *postgres.VersionError
	require.ErrorAs(t, err, &version)
	require.Equal(t, "16", version.Data)
	require.ErrorContains(t, err, "start with version 16")
}

func TestForeignFolderIsLeftAlone(t *testing.T) {
	t.Parallel()
	data := folder(t)
	require.NoError(t, os.WriteFile(filepath.Join(data, "letters"), nil, 0o600))
	_, err := postgres.Start(t.Context(), postgres.Options{Install: install(t, 18), Data: data})
	require.ErrorContains(t, err, "choose an empty or a new folder")
}
