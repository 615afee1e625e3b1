package migrations_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/dlai-sd/plant/migrations"
)

// SQLSTATEs at which a migration gives way, and the last migration that these tests
// let pass undisturbed: the one after it changes drift_run, and refers to enactment.
const (
	deadlock  = "40P01"
	lockTaken = "55P03"
	before    = "016_health.sql"
	disturbed = "017_replay.sql"
)

// after is a progress that runs f once, when the migration before the disturbed one
// is applied.
func after(f func()) func(string) {
	var once sync.Once
	return func(name string) {
		if name == before {
			once.Do(f)
		}
	}
}

// holding begins a transaction that reads drift_run, and would for ever.
func (d database) holding(t *testing.T) pgx.Tx {
	t.Helper()
	tx, err := d.as(t, superuser).Begin(t.Context())
	require.NoError(t, err)
	t.Cleanup(func() { _ = tx.Rollback(context.WithoutCancel(t.Context())) })
	return tx
}

func read(t *testing.T, tx pgx.Tx) {
	t.Helper()
	_, err := tx.Exec(t.Context(), "SELECT FROM drift_run")
	require.NoError(t, err)
}

// until asks the database until it answers true.
func until(ctx context.Context, conn *pgx.Conn, question string) error {
	for {
		var yes bool
		if err := conn.QueryRow(ctx, question).Scan(&yes); err != nil || yes {
			return err
		}
	}
}

func schemaVersion(t *testing.T, login string) int64 {
	t.Helper()
	version, err := migrations.Version(t.Context(), login)
	require.NoError(t, err)
	return version
}

// Who comes after a migration that waits for a table gets on while the one that the
// migration waits for is still there; once that has ended the migration is applied.
func TestMigrationStopsNobodyBehindIt(t *testing.T) {
	t.Parallel()
	db := emptyDatabase(t)
	login, holder, watcher := db.loginURL(t, migrations.Owner), db.holding(t), db.as(t, superuser)
	behind := make(chan error, 1)
	waits := after(func() {
		read(t, holder)
		go func() {
			ctx := context.WithoutCancel(t.Context())
			behind <- errors.Join(
				until(ctx, watcher, "SELECT count(*) > 0 FROM pg_locks WHERE relation = 'drift_run'::regclass AND NOT granted"),
				second(watcher.Exec(ctx, "SET lock_timeout = '20s'; SELECT FROM drift_run")),
				holder.Commit(ctx))
		}()
	})
	var codes []string
	require.NoError(t, migrations.Up(t.Context(), login, waits, migrations.GaveWay(func(name string, _ time.Duration, cause error) {
		require.Equal(t, disturbed, name)
		codes = append(codes, codeOf(t, cause))
	})))
	require.NoError(t, <-behind)
	require.Contains(t, codes, lockTaken)
	require.Equal(t, migrations.Latest(), schemaVersion(t, login))
}

func second[T any](_ T, err error) error { return err }

// Two at once, of which each has to give way: each migration is applied once.
func TestMigratorsThatGiveWayExcludeEachOther(t *testing.T) {
	t.Parallel()
	db := emptyDatabase(t)
	login, holder := db.loginURL(t, migrations.Owner), db.holding(t)
	hold, release := after(func() { read(t, holder) }), sync.OnceValue(func() error { return holder.Commit(t.Context()) })
	var mu sync.Mutex
	var applied []string
	gaveWay := 0
	var both sync.WaitGroup
	errs := make([]error, 2)
	for i := range errs {
		both.Go(func() {
			errs[i] = migrations.Up(t.Context(), login, func(name string) {
				hold(name)
				mu.Lock()
				defer mu.Unlock()
				applied = append(applied, name)
			}, migrations.GaveWay(func(string, time.Duration, error) {
				mu.Lock()
				defer mu.Unlock()
				if gaveWay++; gaveWay == 2 {
					require.NoError(t, release())
				}
			}))
		})
	}
	both.Wait()
	require.NoError(t, errors.Join(errs...))
	require.GreaterOrEqual(t, gaveWay, 2)
	states, err := migrations.Status(t.Context(), login)
	require.NoError(t, err)
	require.Len(t, applied, len(states), "each once")
}

func TestAttemptsAreBounded(t *testing.T) {
	t.Parallel()
	db := emptyDatabase(t)
	login, holder := db.loginURL(t, migrations.Owner), db.holding(t)
	gaveWay := 0
	err := migrations.Up(t.Context(), login, after(func() { read(t, holder) }), migrations.Attempts(2),
		migrations.GaveWay(func(string, time.Duration, error) { gaveWay++ }))
	require.ErrorIs(t, err, migrations.ErrInUse)
	requireCode(t, lockTaken, err)
	require.ErrorContains(t, err, "017_replay.sql gave way 2 times and is not applied")
	require.ErrorContains(t, err, "end what holds them (the oldest xact_start in pg_stat_activity")
	require.Equal(t, 1, gaveWay)
	require.EqualValues(t, 16, schemaVersion(t, login), "what was applied stays")
	require.NoError(t, holder.Commit(t.Context()))
	require.NoError(t, migrations.Up(t.Context(), login, nil))
	require.Equal(t, migrations.Latest(), schemaVersion(t, login))
}

// Of migrations that give way once each, none has used up another's attempts.
func TestEachMigrationHasItsOwnAttempts(t *testing.T) {
	t.Parallel()
	db := emptyDatabase(t)
	login := db.loginURL(t, migrations.Owner)
	var gaveWay []string
	require.NoError(t, migrations.Up(t.Context(), login, func(name string) {
		if name == "015_hold.sql" {
			db.onApplied(t, "IF n % 2 = 1 THEN RAISE EXCEPTION USING ERRCODE = '55P03'; END IF;")
		}
	}, migrations.Attempts(2), migrations.GaveWay(func(name string, _ time.Duration, _ error) {
		gaveWay = append(gaveWay, name)
	})))
	require.Equal(t, []string{before, disturbed}, gaveWay[:2])
	require.Len(t, gaveWay, int(migrations.Latest())-15, "each once")
	require.Equal(t, migrations.Latest(), schemaVersion(t, login))
}

// On a database in use the next migration lets those get on who waited for this one.
func TestMigrationsRestBetween(t *testing.T) {
	t.Parallel()
	db := emptyDatabase(t)
	login := db.loginURL(t, migrations.Owner)
	ctx, cancel := context.WithCancel(t.Context())
	require.ErrorIs(t, migrations.Up(ctx, login, func(name string) {
		if name == "015_hold.sql" {
			cancel()
		}
	}), context.Canceled)
	require.EqualValues(t, 15, schemaVersion(t, login))
	db.onApplied(t, "PERFORM pg_sleep(0.02);")
	var at []time.Time
	require.NoError(t, migrations.Up(t.Context(), login, func(string) { at = append(at, time.Now()) }))
	require.Len(t, at, int(migrations.Latest())-15)
	require.GreaterOrEqual(t, at[1].Sub(at[0]), (4+1)*20*time.Millisecond, "four times as long as the first took, and the second itself")
}

func TestPauseEndsWithItsContext(t *testing.T) {
	t.Parallel()
	db := emptyDatabase(t)
	login, holder := db.loginURL(t, migrations.Owner), db.holding(t)
	ctx, cancel := context.WithCancel(t.Context())
	err := migrations.Up(ctx, login, after(func() { read(t, holder) }), migrations.GaveWay(func(string, time.Duration, error) { cancel() }))
	require.ErrorIs(t, err, context.Canceled)
	requireCode(t, lockTaken, err)
}

// onApplied has the database run statements whenever a migration is about to be noted
// as applied: n is the how manieth time since then, which no rollback takes back.
func (d database) onApplied(t *testing.T, statements string) {
	t.Helper()
	require.NoError(t, execute(d.url, `CREATE SEQUENCE attempt;
		CREATE FUNCTION on_applied() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
		DECLARE n bigint := nextval('public.attempt');
		BEGIN `+statements+` RETURN NEW; END $$;
		CREATE TRIGGER on_applied BEFORE INSERT ON goose_db_version FOR EACH ROW EXECUTE FUNCTION on_applied()`))
}

// The migration has drift_run, waits for somebody who waits for drift_run, and is the
// one that PostgreSQL ends.
func TestMigrationIsTriedAgainAfterADeadlock(t *testing.T) {
	t.Parallel()
	db := emptyDatabase(t)
	require.NoError(t, execute(db.url, `DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET deadlock_timeout = ''20ms''', current_database()); END $$`))
	login, watcher, other := db.loginURL(t, migrations.Owner), db.as(t, superuser), db.holding(t)
	_, err := other.Exec(t.Context(), "SET LOCAL deadlock_timeout = '5min'; SELECT pg_advisory_xact_lock(900)")
	require.NoError(t, err)
	crossed := make(chan error, 1)
	var codes []string
	require.NoError(t, migrations.Up(t.Context(), login, after(func() {
		db.onApplied(t, `IF n = 1 THEN
				WHILE NOT EXISTS (SELECT FROM pg_locks WHERE relation = 'public.drift_run'::regclass AND NOT granted) LOOP
					PERFORM pg_sleep(0.001);
				END LOOP;
				PERFORM pg_advisory_xact_lock(900);
			END IF;`)
		go func() {
			ctx := context.WithoutCancel(t.Context())
			crossed <- errors.Join(
				until(ctx, watcher, "SELECT count(*) > 0 FROM pg_locks WHERE relation = 'drift_run'::regclass AND mode = 'AccessExclusiveLock' AND granted"),
				second(other.Exec(ctx, "SELECT FROM drift_run")),
				other.Commit(ctx))
		}()
	}), migrations.GaveWay(func(name string, _ time.Duration, cause error) {
		require.Equal(t, disturbed, name)
		codes = append(codes, codeOf(t, cause))
	})))
	require.NoError(t, <-crossed)
	require.Equal(t, deadlock, codes[0])
	require.Equal(t, migrations.Latest(), schemaVersion(t, login))
}

// Only what another attempt can mend is tried again.
func TestWhatIsTriedAgain(t *testing.T) {
	t.Parallel()
	for code, attempts := range map[string]int{deadlock: 3, lockTaken: 3, "40001": 1, uniqueViolation: 1, "P0001": 1} {
		t.Run(code, func(t *testing.T) {
			t.Parallel()
			db := emptyDatabase(t)
			err := migrations.Up(t.Context(), db.loginURL(t, migrations.Owner), after(func() {
				db.onApplied(t, "RAISE EXCEPTION USING ERRCODE = '"+code+"';")
			}), migrations.Attempts(3))
			requireCode(t, code, err)
			require.Equal(t, attempts > 1, errors.Is(err, migrations.ErrInUse))
			var counted int
			require.NoError(t, db.as(t, superuser).QueryRow(t.Context(), "SELECT last_value FROM attempt").Scan(&counted))
			require.Equal(t, attempts, counted)
		})
	}
}
