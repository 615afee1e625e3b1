package migrations_test

import (
	"context"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/dlai-sd/plant/migrations"
	"github.com/dlai-sd/plant/scripts/localstack/stacktest"
)

// The Cloud SQL connector brings its own connections; the address then says only
// who, and to which database.
func TestUpThroughADialer(t *testing.T) {
	t.Parallel()
	db := newDatabase(t)
	login, err := pgx.ParseConfig(db.loginURL(t, "plant_migrator"))
	require.NoError(t, err)
	var dialled atomic.Bool
	through := migrations.Through(func(ctx context.Context, _, _ string) (net.Conn, error) {
		dialled.Store(true)
		return new(net.Dialer).DialContext(ctx, "tcp", net.JoinHostPort(login.Host, strconv.Itoa(int(login.Port))))
	})
	dsn := fmt.Sprintf("user=%s password=%s dbname=%s host=127.0.0.1 port=1 sslmode=disable", login.User, login.Password, login.Database)
	require.NoError(t, migrations.Up(t.Context(), dsn, nil, through))
	states, err := migrations.Status(t.Context(), dsn, through)
	require.NoError(t, err)
	require.Len(t, states, int(migrations.Latest()))
	require.True(t, dialled.Load())
	require.Error(t, migrations.Up(t.Context(), dsn, nil), "without it nobody answers there")
}

func duties() []string { return migrations.Roles() }

// emptyDatabase was bootstrapped and never migrated.
func emptyDatabase(t *testing.T) database {
	t.Helper()
	template := stacktest.TemplateDB(t, "bootstrapped", schemaHash(t), func(adminURL string) error {
		return execute(adminURL, migrations.Bootstrap)
	})
	db := database{url: stacktest.CloneDB(t, template)}
	require.NoError(t, execute(db.url, migrations.Bootstrap))
	return db
}

func TestUpManyAtOnce(t *testing.T) {
	t.Parallel()
	db := emptyDatabase(t)
	login := db.loginURL(t, migrations.Owner)

	version, err := migrations.Version(t.Context(), login)
	require.NoError(t, err)
	require.Zero(t, version)
	var mu sync.Mutex
	var applied []string
	var all sync.WaitGroup
	errs := make([]error, 3)
	for i := range errs {
		all.Go(func() {
			errs[i] = migrations.Up(t.Context(), login, func(name string) {
				mu.Lock()
				defer mu.Unlock()
				applied = append(applied, name)
			})
		})
	}
	all.Wait()
	for _, err := range errs {
		require.NoError(t, err)
	}
	states, err := migrations.Status(t.Context(), login)
	require.NoError(t, err)
	require.Len(t, applied, len(states), "each once")
	require.Equal(t, migrations.Latest(), states[len(states)-1].Version)
	for i, s := range states {
		require.True(t, i == 0 || states[i-1].Version < s.Version, "in the order of their numbers")
		require.True(t, s.Applied)
		require.False(t, s.AppliedAt.IsZero())
		require.Equal(t, s.Name, applied[i])
	}
	version, err = migrations.Version(t.Context(), login)
	require.NoError(t, err)
	require.Equal(t, migrations.Latest(), version)
	require.Equal(t, []string{"plant_owner"}, column(t, db.as(t, superuser),
		"SELECT DISTINCT tableowner::text FROM pg_tables WHERE schemaname = 'public'"))
}

func TestOnlyTheMigratorMigrates(t *testing.T) {
	t.Parallel()
	db := emptyDatabase(t)
	err := migrations.Up(t.Context(), db.loginURL(t, "plant_drift"), nil)
	requireCode(t, refused, err)
	require.ErrorContains(t, err, "become plant_owner")
}

func TestErrorsNameNoPassword(t *testing.T) {
	t.Parallel()
	u, err := url.Parse(newDatabase(t).url)
	require.NoError(t, err)
	u.User = url.UserPassword("plant_migrator", "very-secret-word")
	err = migrations.Up(t.Context(), u.String(), nil)
	require.Error(t, err)
	require.NotContains(t, err.Error(), "very-secret-word")
	err = migrations.Up(t.Context(), "postgres://u:very-secret-word@[", nil)
	require.Error(t, err)
	require.NotContains(t, err.Error(), "very-secret-word")
}

func TestMigrationsGoForwardOnly(t *testing.T) {
	t.Parallel()
	names, err := migrations.FS.ReadDir(".")
	require.NoError(t, err)
	for _, name := range names {
		text, err := migrations.FS.ReadFile(name.Name())
		require.NoError(t, err)
		require.NotContains(t, string(text), "+goose Down", name.Name())
		require.NotContains(t, string(text), "NO TRANSACTION", name.Name())
		require.LessOrEqual(t, strings.Count(string(text), "\n"), 400, name.Name())
	}
}

// Bootstrap may be run again, on a database in use, and repairs what was opened.
func TestBootstrapAgain(t *testing.T) {
	t.Parallel()
	db := newDatabase(t)
	require.NoError(t, execute(db.url, "GRANT CREATE ON SCHEMA public TO PUBLIC"))
	require.NoError(t, execute(db.url, migrations.Bootstrap))
	require.Empty(t, column(t, db.as(t, superuser), `SELECT nspname FROM pg_namespace
		WHERE nspname = 'public' AND EXISTS (SELECT FROM aclexplode(nspacl) WHERE grantee = 0)`))
}

// On Cloud SQL the administrator is no superuser: it owns the database, holds the
// ADMIN option on the roles it made, and is left with no way into the data.
func TestBootstrapByAnAdministratorWhoIsNoSuperuser(t *testing.T) {
	t.Parallel()
	db := emptyDatabase(t)
	login := db.loginURL(t, "plant_reader")
	u, err := url.Parse(login)
	require.NoError(t, err)
	admin := u.User.Username()
	require.NoError(t, execute(db.url, "ALTER ROLE "+admin+" CREATEDB CREATEROLE; REVOKE plant_reader FROM "+admin+
		"; GRANT plant_owner TO "+admin+" WITH ADMIN TRUE, SET FALSE, INHERIT FALSE; DO $$ BEGIN EXECUTE format('ALTER DATABASE %I OWNER TO "+
		admin+"', current_database()); END $$"))
	for range 2 {
		require.NoError(t, execute(login, migrations.Bootstrap))
	}
	conn := db.as(t, superuser)
	require.Equal(t, []string{"plant_owner"}, column(t, conn,
		"SELECT datdba::regrole::text FROM pg_database WHERE datname = current_database()"))
	require.Equal(t, []string{"t f f"}, column(t, conn, `SELECT format('%s %s %s', admin_option, set_option, inherit_option)
		FROM pg_auth_members WHERE member = $1::regrole`, admin))
	require.NoError(t, migrations.Up(t.Context(), db.url, nil))
	requireCode(t, refused, execute(login, "SELECT FROM public.entity"))
}
