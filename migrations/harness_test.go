package migrations_test

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io/fs"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"

	"github.com/dlai-sd/plant/migrations"
	"github.com/dlai-sd/plant/scripts/localstack/stacktest"
)

func TestMain(m *testing.M) { stacktest.Main(m) }

// SQLSTATEs that these tests expect.
const (
	refused         = "42501"
	uniqueViolation = "23505"
	foreignKey      = "23503"
	checkViolation  = "23514"
	noPrincipal     = "PL001"
	notVisible      = "PL002"
	keyNotInForce   = "PL003"
	appendOnly      = "PL004"
	clockSkew       = "PL005"
)

// database is a migrated database of the test's own.
type database struct{ url string }

func newDatabase(t *testing.T) database {
	t.Helper()
	template := stacktest.TemplateDB(t, "migrations", schemaHash(t), func(adminURL string) error {
		if err := execute(adminURL, migrations.Bootstrap); err != nil {
			return err
		}
		return migrations.Up(context.Background(), adminURL, nil)
	})
	clone := stacktest.CloneDB(t, template)
	require.NoError(t, execute(clone, migrations.Bootstrap), "a clone keeps neither owner nor privileges")
	return database{url: clone}
}

func schemaHash(t *testing.T) string {
	t.Helper()
	names, err := fs.Glob(migrations.FS, "*.sql")
	require.NoError(t, err)
	h := sha256.New()
	for _, name := range names {
		text, err := migrations.FS.ReadFile(name)
		require.NoError(t, err)
		h.Write(text)
	}
	return hex.EncodeToString(h.Sum(nil))
}

func execute(url, sql string) error {
	ctx := context.Background()
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return err
	}
	_, err = conn.Exec(ctx, sql)
	return errors.Join(err, conn.Close(ctx))
}

// as opens a connection that is one role and stays it: also session_user, so
// that what only a superuser may do is refused.
func (d database) as(t *testing.T, role string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), d.url)
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close(context.WithoutCancel(t.Context())) })
	if role != superuser {
		_, err = conn.Exec(t.Context(), "SET SESSION AUTHORIZATION "+pgx.Identifier{role}.Sanitize())
		require.NoError(t, err)
	}
	return conn
}

// superuser stands for the connection that seeds and inspects.
const superuser = ""

// inTenant begins a transaction with the tenant set; it is rolled back when the
// test ends unless it was committed.
func inTenant(t *testing.T, conn *pgx.Conn, tenant string) pgx.Tx {
	t.Helper()
	tx, err := conn.Begin(t.Context())
	require.NoError(t, err)
	t.Cleanup(func() { _ = tx.Rollback(context.WithoutCancel(t.Context())) })
	_, err = tx.Exec(t.Context(), "SELECT set_config('app.governance_agent_id', $1, true)", tenant)
	require.NoError(t, err)
	return tx
}

// try runs one statement in a savepoint and returns its SQLSTATE, "" if it
// passed, and the rows it touched.
func try(t *testing.T, tx pgx.Tx, sql string, args ...any) (code string, rows int64) {
	t.Helper()
	point, err := tx.Begin(t.Context())
	require.NoError(t, err)
	tag, err := point.Exec(t.Context(), sql, args...)
	require.NoError(t, point.Rollback(t.Context()))
	return codeOf(t, err), tag.RowsAffected()
}

// codeOf is the SQLSTATE of an error, "" of none; any other error fails the test.
func codeOf(t *testing.T, err error) string {
	t.Helper()
	if err == nil {
		return ""
	}
	var pg *pgconn.PgError
	require.ErrorAs(t, err, &pg)
	return pg.Code
}

// requireCode demands that err is a refusal with this SQLSTATE, and if given,
// by this constraint.
func requireCode(t *testing.T, code string, err error, constraint ...string) {
	t.Helper()
	var pg *pgconn.PgError
	require.ErrorAs(t, err, &pg)
	require.Equal(t, code, pg.Code, pg.Message)
	if len(constraint) > 0 {
		require.Equal(t, constraint[0], pg.ConstraintName)
	}
}

// loginURL is the connection string of a new login that is a member of a role as
// plant_migrator is of the owner: it may become it, and inherits nothing. The
// duties' own logins are the whole server's, so tests leave their passwords alone.
func (d database) loginURL(t *testing.T, role string) string {
	t.Helper()
	login, password := "login_"+strings.ToLower(rand.Text()), rand.Text()
	require.NoError(t, execute(d.url, "CREATE ROLE "+login+" LOGIN PASSWORD '"+password+"'; GRANT "+role+" TO "+login+
		" WITH SET TRUE, INHERIT FALSE; DO $$ BEGIN EXECUTE format('GRANT CONNECT ON DATABASE %I TO "+login+
		"', current_database()); END $$"))
	t.Cleanup(func() {
		require.NoError(t, execute(d.url, "DROP OWNED BY "+login+"; DROP ROLE "+login))
	})
	u, err := url.Parse(d.url)
	require.NoError(t, err)
	u.User = url.UserPassword(login, password)
	return u.String()
}

// column collects a column of text.
func column(t *testing.T, conn *pgx.Conn, sql string, args ...any) []string {
	t.Helper()
	rows, err := conn.Query(t.Context(), sql, args...)
	require.NoError(t, err)
	list, err := pgx.CollectRows(rows, pgx.RowTo[string])
	require.NoError(t, err)
	return list
}

func sorted(list ...string) []string {
	slices.Sort(list)
	return list
}
