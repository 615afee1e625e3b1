package stacktest_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5"
	client "github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/dlai-sd/plant/scripts/localstack/stacktest"
)

func TestMain(m *testing.M) { stacktest.Main(m) }

func exec(t testing.TB, url, sql string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	require.NoError(t, err)
	_, err = conn.Exec(t.Context(), sql)
	require.NoError(t, err)
	require.NoError(t, conn.Close(t.Context()))
}

func count(t testing.TB, url, table string) (n int) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	require.NoError(t, err)
	require.NoError(t, conn.QueryRow(t.Context(), "SELECT count(*) FROM "+pgx.Identifier{table}.Sanitize()).Scan(&n))
	require.NoError(t, conn.Close(t.Context()))
	return n
}

func create(url string) error {
	conn, err := pgx.Connect(context.Background(), url)
	if err != nil {
		return err
	}
	_, err = conn.Exec(context.Background(), "CREATE EXTENSION vector; CREATE TABLE thing (n int)")
	return errors.Join(err, conn.Close(context.Background()))
}

func TestEveryCloneIsItsOwn(t *testing.T) {
	t.Parallel()
	var made atomic.Int32
	for range 4 {
		t.Run("clone", func(t *testing.T) {
			t.Parallel()
			template := stacktest.TemplateDB(t, "things", t.Name()[:len("TestEveryClone")], func(url string) error {
				made.Add(1)
				return create(url)
			})
			url := stacktest.CloneDB(t, template)
			exec(t, url, "INSERT INTO thing VALUES (1)")
			require.Equal(t, 1, count(t, url, "thing"))
			require.LessOrEqual(t, made.Load(), int32(1))
		})
	}
}

func TestCloneIsDroppedAtTheEnd(t *testing.T) {
	t.Parallel()
	var (
		url  string
		left *pgx.Conn // still connected when its test ends
	)
	t.Run("inner", func(t *testing.T) {
		url = stacktest.CloneDB(t, stacktest.TemplateDB(t, "things", "1", create))
		var err error
		left, err = pgx.Connect(t.Context(), url)
		require.NoError(t, err)
	})
	require.Error(t, left.Ping(t.Context()))
	_, err := pgx.Connect(t.Context(), url)
	require.ErrorContains(t, err, "3D000")
}

func TestTemplateIsMadeAgainWhenItsHashChanges(t *testing.T) {
	t.Parallel()
	one := stacktest.TemplateDB(t, "things", "a", create)
	two := stacktest.TemplateDB(t, "things", "b", create)
	require.NotEqual(t, one, two)
	again := stacktest.TemplateDB(t, "things", "a", func(string) error { return errors.New("made twice") })
	require.Equal(t, one, again)
}

func TestRedisDatabasesAreTheirOwn(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for range 5 {
		url := stacktest.Redis(t)
		require.False(t, seen[url])
		seen[url] = true
		opts, err := client.ParseURL(url)
		require.NoError(t, err)
		require.NotZero(t, opts.DB)
		c := client.NewClient(opts)
		require.Zero(t, c.DBSize(t.Context()).Val())
		require.NoError(t, c.Set(t.Context(), "k", "v", 0).Err())
		require.NoError(t, c.Close())
	}
}

func BenchmarkCloneDB(b *testing.B) {
	template := stacktest.TemplateDB(b, "things", "1", create)
	for b.Loop() {
		stacktest.CloneDB(b, template)
	}
}
