package store

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/dlai-sd/plant/shared/domain"
	"github.com/dlai-sd/plant/shared/ledger"
	"github.com/dlai-sd/plant/shared/translog"
)

// ErrPosition says that a position is beyond the end of this log.
var ErrPosition = errors.New("the log does not reach that far")

// NewestCheckpoint returns the newest checkpoint that the database knows to be
// published; ErrNotFound if there is none.
func (db *DB) NewestCheckpoint(ctx context.Context) (Noted, error) {
	var b pgx.Batch
	var c Noted
	b.Queue(newestCheckpoint).QueryRow(func(row pgx.Row) error { return c.scan(row) })
	return c, db.send(ctx, &b)
}

// Checkpoints returns up to limit checkpoints that the database knows to be
// published, the newest first, below a number (0: from the newest).
func (db *DB) Checkpoints(ctx context.Context, below int64, limit int) ([]Noted, error) {
	var b pgx.Batch
	var list []Noted
	b.Queue(`SELECT n, size, root, note FROM public.checkpoint WHERE $1 = 0 OR n < $1 ORDER BY n DESC LIMIT $2`, below, limit).
		Query(func(rows pgx.Rows) error {
			var err error
			list, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (Noted, error) {
				var c Noted
				err := c.scan(row)
				return c, err
			})
			return err
		})
	return list, db.send(ctx, &b)
}

// Entries returns the entries from an index on, at most limit.
func (db *DB) Entries(ctx context.Context, from int64, limit int) ([]ledger.Hash, error) {
	var b pgx.Batch
	var list []ledger.Hash
	b.Queue(`SELECT hash FROM public.log_entry WHERE log_index >= $1 ORDER BY log_index LIMIT $2`, from, limit).
		Query(func(rows pgx.Rows) error {
			var err error
			list, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (ledger.Hash, error) {
				var hash []byte
				err := row.Scan(&hash)
				return ledger.Hash(hash), err
			})
			return err
		})
	return list, db.send(ctx, &b)
}

// PlaceOf returns the log index of an entry; ErrNotFound if the log has no such
// entry.
func (db *DB) PlaceOf(ctx context.Context, entry ledger.Hash) (index int64, err error) {
	var b pgx.Batch
	b.Queue(`SELECT log_index FROM public.log_entry WHERE hash = $1`, entry[:]).
		QueryRow(func(row pgx.Row) error { return row.Scan(&index) })
	return index, db.send(ctx, &b)
}

// Waiting counts the amendments that have no place in the log yet.
func (db *DB) Waiting(ctx context.Context) (n int64, err error) {
	var b pgx.Batch
	b.Queue(`SELECT count(*) FROM public.log_pending`).QueryRow(func(row pgx.Row) error { return row.Scan(&n) })
	return n, db.send(ctx, &b)
}

// Change is an amendment at its place in the log.
type Change struct {
	LogIndex          int64
	EntityID          domain.ID
	EntityType        domain.Kind
	GovernanceAgentID string
	Seq               int64
	Change            string
	Hash              []byte
	RecordedAt        time.Time
}

// Two branches, each along an index of its own, and the policies on top: what was
// shared when it was logged and is not now has no amendment here, but its place.
const selectChanges = `SELECT l.log_index, l.entity_id, coalesce(a.entity_type, ''), coalesce(a.governance_agent_id, ''), l.seq,
	coalesce(a.change, ''), a.hash, coalesce(a.recorded_at, 'epoch')
FROM ((SELECT log_index, entity_id, seq FROM public.log_entry
		WHERE governance_agent_id = $1 AND log_index >= $2 AND log_index < $3 ORDER BY log_index LIMIT $4)
	UNION (SELECT log_index, entity_id, seq FROM public.log_entry
		WHERE shared AND log_index >= $2 AND log_index < $3 ORDER BY log_index LIMIT $4)
	ORDER BY log_index LIMIT $4) l
LEFT JOIN public.amendment a ON a.entity_id = l.entity_id AND a.seq = l.seq
ORDER BY l.log_index`

// Changes returns up to limit amendments that a tenant may read, its own and the
// shared ones, from a log index on in the order of the log, and the index to go on
// from. Places are given in transactions that follow one another, so nothing ever
// appears below an index that was returned. An index beyond the log's end is
// ErrPosition: what it was taken from is not this log.
func (db *DB) Changes(ctx context.Context, tenant string, from int64, limit int) (list []Change, next int64, err error) {
	if next, err = db.logSize(ctx); err != nil {
		return nil, 0, err
	}
	if from > next {
		return nil, 0, ErrPosition
	}
	var b pgx.Batch
	asReader(&b, tenant)
	b.Queue(selectChanges, tenant, from, next, limit).Query(func(rows pgx.Rows) error {
		var err error
		list, err = pgx.CollectRows(rows, pgx.RowToStructByPos[Change])
		return err
	})
	if err := db.send(ctx, &b); err != nil {
		return nil, 0, err
	}
	if len(list) == limit {
		next = list[limit-1].LogIndex + 1
	}
	return slices.DeleteFunc(list, func(c Change) bool { return c.Hash == nil }), next, nil
}

// logSize needs a role that reads the whole log.
func (db *DB) logSize(ctx context.Context) (size int64, err error) {
	var b pgx.Batch
	b.Queue(`SELECT coalesce(max(log_index) + 1, 0) FROM public.log_entry`).
		QueryRow(func(row pgx.Row) error { return row.Scan(&size) })
	return size, db.send(ctx, &b)
}

// asReader makes the rest of a batch that of a tenant's reader, for functions whose
// own role reads everything.
func asReader(b *pgx.Batch, tenant string) {
	b.Queue(`SELECT set_config('role', 'plant_reader', true)`)
	asTenant(b, tenant)
}

// Fork is what a root said of a log that begins anew under another origin.
type Fork struct {
	Origin    string
	Statement []byte
	Signature []byte
}

// AddFork records a fork; the first of an origin stays. It needs the operator's
// role.
func (db *DB) AddFork(ctx context.Context, f Fork) error {
	hash := ledger.HashOf(f.Statement)
	var b pgx.Batch
	b.Queue(`INSERT INTO public.log_fork (origin, hash, statement, signature) VALUES ($1, $2, $3, $4)`,
		f.Origin, hash[:], string(f.Statement), f.Signature)
	return db.send(ctx, &b)
}

// ForkTo returns what began a log of this origin; ErrNotFound if no fork did.
func (db *DB) ForkTo(ctx context.Context, origin string) (Fork, error) {
	var b pgx.Batch
	f := Fork{Origin: origin}
	var statement string
	b.Queue(`SELECT statement, signature FROM public.log_fork WHERE origin = $1`, origin).
		QueryRow(func(row pgx.Row) error { return row.Scan(&statement, &f.Signature) })
	err := db.send(ctx, &b)
	f.Statement = []byte(statement)
	return f, err
}

// ForkFrom returns the newest fork by which a log of this origin ended; ErrNotFound
// if none did.
func (db *DB) ForkFrom(ctx context.Context, origin string) (Fork, error) {
	var b pgx.Batch
	var f Fork
	var statement string
	b.Queue(`SELECT origin, statement, signature FROM public.log_fork WHERE statement::jsonb ->> 'from_origin' = $1
		ORDER BY statement::jsonb ->> 'recorded_at' DESC LIMIT 1`, origin).
		QueryRow(func(row pgx.Row) error { return row.Scan(&f.Origin, &statement, &f.Signature) })
	err := db.send(ctx, &b)
	f.Statement = []byte(statement)
	return f, err
}

// LoggedFork is a fork's statement at its place in the log.
type LoggedFork struct {
	LogIndex int64
	Fork
}

const selectForks = `SELECT e.log_index, f.origin, f.statement, f.signature FROM public.log_fork f JOIN public.log_entry e USING (hash)
	WHERE e.log_index < $1 ORDER BY e.log_index`

// selectUnloggedForks are those that no sequencer has begun the log of, or never will.
const selectUnloggedForks = `SELECT -1::bigint, f.origin, f.statement, f.signature FROM public.log_fork f
	WHERE NOT EXISTS (SELECT FROM public.log_entry e WHERE e.hash = f.hash) ORDER BY f.origin`

func collectForks(rows pgx.Rows) ([]LoggedFork, error) {
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (LoggedFork, error) {
		var f LoggedFork
		var statement string
		err := row.Scan(&f.LogIndex, &f.Origin, &statement, &f.Signature)
		f.Statement = []byte(statement)
		return f, err
	})
}

// Forks returns the statements that stand in the log below an index, in its order.
func (db *DB) Forks(ctx context.Context, below int64) ([]LoggedFork, error) {
	var b pgx.Batch
	var list []LoggedFork
	b.Queue(selectForks, below).Query(func(rows pgx.Rows) error {
		var err error
		list, err = collectForks(rows)
		return err
	})
	return list, db.send(ctx, &b)
}

// LogFork appends a fork's statement to the log, unless it stands there already.
func (db *DB) LogFork(ctx context.Context, f Fork) error {
	hash := ledger.HashOf(f.Statement)
	return db.writeLog(ctx, func(tx pgx.Tx, size int64, edge translog.Tiles) error {
		var known bool
		if err := tx.QueryRow(ctx, `SELECT EXISTS (SELECT FROM public.log_entry WHERE hash = $1)`, hash[:]).Scan(&known); err != nil || known {
			return err
		}
		var b pgx.Batch
		queueOther(&b, size, hash, edge)
		return tx.SendBatch(ctx, &b).Close()
	})
}
