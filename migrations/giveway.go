package migrations

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/pressly/goose/v3"
)

// A migration gives way to those who use its tables, because everybody who comes
// after it stands behind it while it waits for a lock: it waits a quarter of a second
// at first and never more than one and a half, ends, and tries again after a pause in
// which they get on. PostgreSQL ends a deadlock at whoever has waited a second: at the
// first attempts we are gone before that, so that it is no request. Autovacuum makes
// way after the same second, so later attempts wait longer; a function's request gives
// up after two. An attempt leaves nothing behind: each is one transaction under
// the advisory lock that keeps other migrators out, and no migration runs outside a
// transaction (a test forbids it).
const (
	lockWait     = 250 * time.Millisecond // doubles with each attempt
	lockWaitMost = 1500 * time.Millisecond
	pauseLeast   = 250 * time.Millisecond // doubles likewise; from half of it to the whole, at random
	pauseMost    = 15 * time.Second

	// After a migration who waited gets on, and the functions' connections plan their
	// statements anew, before the next one comes: four times as long as it took.
	restTimes = 4
	restMost  = 2 * time.Second

	// DefaultAttempts of one migration take about four minutes in all.
	DefaultAttempts = 20
)

// ErrInUse says that a migration gave way as often as it may, and is not applied.
var ErrInUse = errors.New("its tables stayed in use")

// Attempts bounds how often Up tries one migration; n < 1 means 1.
func Attempts(n int) Option {
	return func(s *session) { s.attempts = max(n, 1) }
}

// GaveWay has f told of each attempt that gave way: which migration, how long the
// pause will be, and PostgreSQL's error.
func GaveWay(f func(name string, pause time.Duration, cause error)) Option {
	return func(s *session) { s.gaveWay = f }
}

// up applies what is missing. Each migration gives way as often as s.attempts allow.
func (s *session) up(ctx context.Context, progress func(name string)) error {
	founding := false // nobody uses the database yet
	for attempt := 1; ; attempt++ {
		err := s.withProvider(ctx, min(lockWait<<min(attempt-1, 8), lockWaitMost), func(p *goose.Provider) error {
			for {
				result, err := p.UpByOne(ctx)
				if err != nil {
					return err
				}
				progress(result.Source.Path)
				founding = founding || result.Source.Version == 1
				if err := rest(ctx, founding, result.Duration); err != nil {
					return err
				}
				if attempt > 1 { // the one after it begins with a short wait again
					attempt = 0
					return nil
				}
			}
		})
		switch {
		case err == nil:
			continue
		case errors.Is(err, goose.ErrNoNextVersion):
			return nil
		case !givesWay(err):
			return err
		case attempt >= s.attempts:
			return fmt.Errorf("%s gave way %d times and is not applied, %w: end what holds them "+
				"(the oldest xact_start in pg_stat_activity; a backup holds every table), then migrate again: %w",
				failed(err), attempt, ErrInUse, err)
		}
		if err := s.pause(ctx, attempt, err); err != nil {
			return err
		}
	}
}

// pause waits before the attempt after this one.
func (s *session) pause(ctx context.Context, attempt int, cause error) error {
	pause := min(pauseLeast<<min(attempt-1, 16), pauseMost)
	pause -= rand.N(pause / 2) // #nosec -- so that two migrators do not meet again
	if s.gaveWay != nil {
		s.gaveWay(failed(cause), pause, cause)
	}
	if err := wait(ctx, pause); err != nil {
		return errors.Join(err, cause)
	}
	return nil
}

// rest waits after a migration that took a while.
func rest(ctx context.Context, founding bool, took time.Duration) error {
	if founding {
		return nil
	}
	return wait(ctx, min(restTimes*took, restMost))
}

func wait(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// givesWay reports a deadlock that PostgreSQL ended, or a lock not had in time.
func givesWay(err error) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && (pg.Code == "40P01" || pg.Code == "55P03")
}

// failed names the migration that an error is about.
func failed(err error) string {
	var partial *goose.PartialError
	if errors.As(err, &partial) {
		return partial.Failed.Source.Path
	}
	return "the list of migrations"
}

// milliseconds is a duration as PostgreSQL's settings take it.
func milliseconds(d time.Duration) string { return strconv.FormatInt(d.Milliseconds(), 10) }
