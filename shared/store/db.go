// Package store is the only place that speaks SQL. It keeps amendments, the
// rows derived from them and what the functions need to run (principals,
// idempotency keys, outbox), and turns what Postgres refuses into errors that
// the registry understands. Row-level security, not this code, decides what a
// tenant sees: every statement runs after its tenant is set in the same
// transaction.
package store

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"time"

	"cloud.google.com/go/cloudsqlconn"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"
	"github.com/jackc/pgx/v5/pgxpool"
)

// Config says where the database is. With Instance set, connections go through
// the Cloud SQL connector with IAM authentication; else URL is used as it is.
type Config struct {
	URL      string // postgres://…
	Instance string // project:region:instance
	IAMUser  string // service account e-mail without .gserviceaccount.com
	Name     string // database name, with Instance
	Pool     int    // connections at most, ≥ 1
	Function string // application_name

	// CrossTenant says that the role reads what all tenants own: what it reads on
	// behalf of one, it reads as plant_reader.
	CrossTenant bool
}

// Waits that end in ErrUnavailable instead of piling up.
const (
	acquireTimeout   = 2 * time.Second
	statementTimeout = "20s"
	lockTimeout      = "5s"
	idleInTxTimeout  = "10s"
)

// DB is a pool of connections of one database role. It is safe for concurrent
// use. A transaction holds exactly one connection: with a pool of one, nothing
// inside a transaction may ask for another.
type DB struct {
	pool        *pgxpool.Pool
	dialer      *cloudsqlconn.Dialer
	crossTenant bool
	role        string // that each transaction changes to; "": the login's own
}

// CheckURL reports whether url is the address of a database, without connecting. The
// error never has the address: it may hold a password.
func CheckURL(url string) error {
	_, err := parseURL(url)
	return err
}

func parseURL(url string) (*pgxpool.Config, error) {
	cfg, err := pgxpool.ParseConfig(url)
	if err != nil {
		return nil, errors.New("open database: the address is not a Postgres URL or DSN")
	}
	return cfg, nil
}

// Open prepares the pool; connections are made when they are first needed.
func Open(ctx context.Context, c Config) (*DB, error) {
	url := c.URL
	if c.Instance != "" {
		// The connector brings its own TLS.
		url = fmt.Sprintf("user=%s dbname=%s sslmode=disable", c.IAMUser, c.Name)
	}
	cfg, err := parseURL(url)
	if err != nil {
		return nil, err
	}
	db := &DB{crossTenant: c.CrossTenant}
	if c.Instance != "" {
		if db.dialer, err = dialer(ctx); err != nil {
			return nil, err
		}
		cfg.ConnConfig.DialFunc = func(ctx context.Context, _, _ string) (net.Conn, error) {
			return db.dialer.Dial(ctx, c.Instance)
		}
	}
	cfg.MaxConns = int32(max(c.Pool, 1)) // #nosec -- a pool is a handful of connections
	cfg.MaxConnIdleTime = time.Minute
	cfg.MaxConnLifetime = 30 * time.Minute
	cfg.MaxConnLifetimeJitter = 5 * time.Minute
	cfg.ConnConfig.ConnectTimeout = 5 * time.Second
	params := cfg.ConnConfig.RuntimeParams
	params["application_name"] = c.Function
	params["statement_timeout"] = statementTimeout
	params["lock_timeout"] = lockTimeout
	params["idle_in_transaction_session_timeout"] = idleInTxTimeout
	params["timezone"] = "UTC"
	cfg.AfterConnect = func(_ context.Context, c *pgx.Conn) error {
		utc := &pgtype.TimestamptzCodec{ScanLocation: time.UTC}
		c.TypeMap().RegisterType(&pgtype.Type{Name: "timestamptz", OID: pgtype.TimestamptzOID, Codec: utc})
		return nil
	}
	if db.pool, err = pgxpool.NewWithConfig(ctx, cfg); err != nil {
		return nil, fmt.Errorf("open database: %w", err)
	}
	return db, nil
}

func dialer(ctx context.Context) (*cloudsqlconn.Dialer, error) {
	d, err := cloudsqlconn.NewDialer(ctx,
		cloudsqlconn.WithIAMAuthN(),
		cloudsqlconn.WithLazyRefresh(),
		cloudsqlconn.WithBuiltInMetrics(false),
		cloudsqlconn.WithDefaultDialOptions(cloudsqlconn.WithPrivateIP()),
	)
	if err != nil {
		return nil, fmt.Errorf("open Cloud SQL connector: %w", err)
	}
	return d, nil
}

// Close ends every connection.
func (db *DB) Close() {
	db.pool.Close()
	if db.dialer != nil {
		_ = db.dialer.Close() // nothing is lost with it
	}
}

// acquire takes a connection or gives up after two seconds, so that a full pool
// answers 503 instead of queueing.
func (db *DB) acquire(ctx context.Context) (*pgxpool.Conn, error) {
	wait, cancel := context.WithTimeout(ctx, acquireTimeout)
	defer cancel()
	conn, err := db.pool.Acquire(wait)
	if err != nil {
		return nil, &Unavailable{Err: err}
	}
	return conn, nil
}

// send runs a batch as one round trip and one implicit transaction; each read
// gets its result in order. The first error rolls all of it back.
func (db *DB) send(ctx context.Context, b *pgx.Batch) error {
	conn, err := db.acquire(ctx)
	if err != nil {
		return err
	}
	defer conn.Release()
	if db.role != "" {
		become := &pgx.QueuedQuery{SQL: `SELECT set_config('role', $1, true)`, Arguments: []any{db.role}}
		b.QueuedQueries = slices.Insert(b.QueuedQueries, 0, become)
	}
	return translate(conn.SendBatch(ctx, b).Close())
}

// asTenant queues the tenant setting, on which every policy rests.
func asTenant(b *pgx.Batch, tenant string) {
	b.Queue(`SELECT set_config('app.governance_agent_id', $1, true)`, tenant)
}

// SchemaVersion returns the newest migration that has been applied.
func (db *DB) SchemaVersion(ctx context.Context) (int64, error) {
	conn, err := db.acquire(ctx)
	if err != nil {
		return 0, err
	}
	defer conn.Release()
	var version int64
	err = conn.QueryRow(ctx, `SELECT coalesce(max(version_id), 0) FROM public.goose_db_version WHERE is_applied`).Scan(&version)
	return version, translate(err)
}
