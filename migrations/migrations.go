// Package migrations holds the database's schema as numbered SQL, and applies it.
//
// Migrations run forward only, at deployment and never at a function's start; a
// function compares the database's version with [Latest] and refuses to start
// against an older schema. Roles and the extension come first, from [Bootstrap].
package migrations

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"
)

// FS holds the migrations, NNN_name.sql, and bootstrap.sql.
//
//go:embed *.sql
var FS embed.FS

// Bootstrap is the administrator's step, run once per database and harmless when
// repeated: extension, roles without passwords, ownership. One Exec runs it.
//
//go:embed bootstrap.sql
var Bootstrap string

// Owner is the role that owns every object. It cannot log in; whoever migrates
// becomes it with SET ROLE.
const Owner = "plant_owner"

// Roles are the roles that functions and the command line log in as, one per duty.
// None owns anything.
func Roles() []string {
	return []string{
		"plant_writer", "plant_embedder", "plant_certifier", "plant_auditor",
		"plant_drift", "plant_authenticator", "plant_operator", "plant_reader",
	}
}

// A second migrator asks once a second, for five minutes, whether the first is done.
const (
	lockPoll  = 1 // seconds
	lockPolls = 300
)

// State says whether one migration has been applied.
type State struct {
	Version   int64     `json:"version"`
	Name      string    `json:"name"`
	Applied   bool      `json:"applied"`
	AppliedAt time.Time `json:"applied_at,omitzero"`
}

// Latest is the version of the schema that this binary was built for.
func Latest() int64 {
	names, err := fs.Glob(FS, "[0-9]*.sql")
	if err != nil {
		return 0
	}
	var latest int64
	for _, name := range names {
		number, _, _ := strings.Cut(name, "_")
		if version, err := strconv.ParseInt(number, 10, 64); err == nil {
			latest = max(latest, version)
		}
	}
	return latest
}

// Up applies what is missing, each migration in its own transaction, and calls
// progress (which may be nil) with the name of each one applied. The login in url
// must be able to become [Owner], as plant_migrator is. Of several at once, one
// applies while the others wait (up to five minutes) and find nothing left to do.
// A migration whose tables are in use gives way and is tried again, [DefaultAttempts]
// times at most; then the error is [ErrInUse].
func Up(ctx context.Context, url string, progress func(name string), options ...Option) error {
	if progress == nil {
		progress = func(string) {}
	}
	if err := newSession(url, options).up(ctx, progress); err != nil {
		return fmt.Errorf("migrate: %w", err)
	}
	return nil
}

// Status lists every migration in order, applied or not. Like Up it makes goose's
// own table where there is none, and waits for a migration that is running.
func Status(ctx context.Context, url string, options ...Option) ([]State, error) {
	var states []State
	err := newSession(url, options).withProvider(ctx, 0, func(p *goose.Provider) error {
		all, err := p.Status(ctx)
		if err != nil {
			return fmt.Errorf("migration status: %w", err)
		}
		for _, s := range all {
			states = append(states, State{
				Version: s.Source.Version, Name: s.Source.Path,
				Applied: s.State == goose.StateApplied, AppliedAt: s.AppliedAt,
			})
		}
		return nil
	})
	return states, err
}

// Version is the version of the schema in the database, 0 if it was never migrated.
// It needs what Status needs; a function asks the table goose_db_version itself,
// which every role may read.
func Version(ctx context.Context, url string) (int64, error) {
	var version int64
	err := newSession(url, nil).withProvider(ctx, 0, func(p *goose.Provider) error {
		var err error
		if version, err = p.GetDBVersion(ctx); err != nil {
			return fmt.Errorf("schema version: %w", err)
		}
		return nil
	})
	return version, err
}

// session says how the database is reached and how a migration waits there.
type session struct {
	url      string
	dial     pgconn.DialFunc // nil: pgx's own
	attempts int
	gaveWay  func(name string, pause time.Duration, cause error) // may be nil
}

// Option says more about a session than the database's url does.
type Option func(*session)

func newSession(url string, options []Option) *session {
	s := &session{url: url, attempts: DefaultAttempts}
	for _, option := range options {
		option(s)
	}
	return s
}

// Through makes connections with dial, as the Cloud SQL connector wants it.
func Through(dial func(ctx context.Context, network, address string) (net.Conn, error)) Option {
	return func(s *session) { s.dial = dial }
}

// withProvider runs f with a provider whose connections act as Owner, so that
// everything a migration makes belongs to it, and wait no longer than wait for a
// lock; 0 means for ever.
func (s *session) withProvider(ctx context.Context, wait time.Duration, f func(*goose.Provider) error) (err error) {
	config, err := pgx.ParseConfig(s.url)
	if err != nil {
		return fmt.Errorf("database url: %w", err)
	}
	if s.dial != nil {
		config.DialFunc = s.dial
	}
	config.RuntimeParams["lock_timeout"] = milliseconds(wait)
	db := stdlib.OpenDB(*config, stdlib.OptionAfterConnect(func(ctx context.Context, c *pgx.Conn) error {
		if _, err := c.Exec(ctx, "SET ROLE "+Owner); err != nil {
			return fmt.Errorf("become %s: %w", Owner, err)
		}
		return nil
	}))
	defer func() { err = errors.Join(err, db.Close()) }()
	provider, err := newProvider(db)
	if err != nil {
		return err
	}
	if err := provider.Ping(ctx); err != nil {
		return fmt.Errorf("reach the database: %w", err)
	}
	return f(provider)
}

func newProvider(db *sql.DB) (*goose.Provider, error) {
	locker, err := lock.NewPostgresSessionLocker(lock.WithLockTimeout(lockPoll, lockPolls))
	if err != nil {
		return nil, fmt.Errorf("migration lock: %w", err)
	}
	provider, err := goose.NewProvider(goose.DialectPostgres, db, FS,
		goose.WithExcludeNames([]string{"bootstrap.sql"}),
		goose.WithDisableGlobalRegistry(true),
		goose.WithSessionLocker(locker))
	if err != nil {
		return nil, fmt.Errorf("read migrations: %w", err)
	}
	return provider, nil
}
