package store

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
)

// Health is how the platform's own work stands: ages and counts. Where nothing waits
// a time is nil.
type Health struct {
	Waiting         int64 // amendments without a place in the log
	WaitingSince    *time.Time
	Unsent          int64 // events in the outbox
	UnsentSince     *time.Time
	Searched        int64 // living entities that are found by meaning
	Unembedded      int64 // of them without a vector
	UnembeddedSince *time.Time
	AuditedAt       *time.Time // when the platform's newest audit ended
	AuditFindings   int64      // what it found
	Now             time.Time  // the database's clock
}

// Health asks how the platform's own work stands; it needs plant_operator.
func (db *DB) Health(ctx context.Context) (Health, error) {
	var b pgx.Batch
	var h Health
	b.Queue(`SELECT * FROM public.health()`).QueryRow(func(row pgx.Row) error {
		return row.Scan(&h.Waiting, &h.WaitingSince, &h.Unsent, &h.UnsentSince, &h.Searched, &h.Unembedded, &h.UnembeddedSince,
			&h.AuditedAt, &h.AuditFindings, &h.Now)
	})
	return h, db.send(ctx, &b)
}

// Server is what a database runs on.
type Server struct {
	Version  int    // server_version_num: 180004 is 18.4
	Vector   string // pgvector's version; "": it is not installed
	Database string
	Now      time.Time
}

// Server asks for versions and the clock; any login may.
func (db *DB) Server(ctx context.Context) (Server, error) {
	var b pgx.Batch
	var s Server
	b.Queue(`SELECT current_setting('server_version_num')::int, coalesce((SELECT extversion FROM pg_catalog.pg_extension
		WHERE extname = 'vector'), ''), current_database(), clock_timestamp()`).QueryRow(func(row pgx.Row) error {
		return row.Scan(&s.Version, &s.Vector, &s.Database, &s.Now)
	})
	return s, db.send(ctx, &b)
}
