package store

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/dlai-sd/plant/shared/domain"
	"github.com/dlai-sd/plant/shared/ledger"
	"github.com/dlai-sd/plant/shared/translog"
)

// ErrLogBusy says that another sequencer is giving out places at this moment.
var ErrLogBusy = errors.New("another sequencer is at work")

// logLock is the advisory lock of whoever writes the log; the number means nothing.
const logLock = 0x706c616e746c6f67

// Noted is a published checkpoint as the database knows it; N is zero if it knows
// none.
type Noted struct {
	N    int64
	Size int64
	Root ledger.Hash
	Note []byte
}

// LogState is what the database knows of the log, in one look.
type LogState struct {
	Size    int64     // entries
	Waiting bool      // amendments without a place
	Newest  Noted     // of the checkpoints that it knows to be published
	HeadsAt time.Time // when the newest heads record was made; zero: there is none
}

const newestCheckpoint = `SELECT n, size, root, note FROM public.checkpoint ORDER BY n DESC LIMIT 1`

// LogState looks at the log. The parts are read one after the other, the size
// last: it covers what the checkpoint covers.
func (db *DB) LogState(ctx context.Context) (LogState, error) {
	var b pgx.Batch
	var s LogState
	b.Queue(newestCheckpoint).QueryRow(optional(func(row pgx.Row) error { return s.Newest.scan(row) }))
	b.Queue(`SELECT recorded_at FROM public.heads ORDER BY log_index DESC LIMIT 1`).
		QueryRow(optional(func(row pgx.Row) error { return row.Scan(&s.HeadsAt) }))
	b.Queue(`SELECT (SELECT coalesce(max(log_index) + 1, 0) FROM public.log_entry), EXISTS (SELECT FROM public.log_pending)`).
		QueryRow(func(row pgx.Row) error { return row.Scan(&s.Size, &s.Waiting) })
	return s, db.send(ctx, &b)
}

func (n *Noted) scan(row pgx.Row) error {
	var root []byte
	var note string
	err := row.Scan(&n.N, &n.Size, &root, &note)
	copy(n.Root[:], root)
	n.Note = []byte(note)
	return err
}

// optional reads a row that need not be there.
func optional(read func(pgx.Row) error) func(pgx.Row) error {
	return func(row pgx.Row) error {
		if err := read(row); !errors.Is(err, pgx.ErrNoRows) {
			return err
		}
		return nil
	}
}

// NoteCheckpoint notes a published checkpoint; one that is noted already stays as
// it is.
func (db *DB) NoteCheckpoint(ctx context.Context, c Noted) error {
	var b pgx.Batch
	b.Queue(`INSERT INTO public.checkpoint (n, size, root, note) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING`,
		c.N, c.Size, c.Root[:], string(c.Note))
	return db.send(ctx, &b)
}

const selectTiles = `SELECT t.level, t.index, t.data FROM public.log_tile t
	JOIN unnest($1::smallint[], $2::bigint[]) AS u (level, index) USING (level, index)`

// Tiles returns those of the tiles that are there.
func (db *DB) Tiles(ctx context.Context, ids []translog.TileID) (translog.Tiles, error) {
	var b pgx.Batch
	tiles := translog.Tiles{}
	levels, indexes := places(ids)
	b.Queue(selectTiles, levels, indexes).Query(tilesInto(tiles))
	return tiles, db.send(ctx, &b)
}

func places(ids []translog.TileID) (levels []int16, indexes []int64) {
	for _, id := range ids {
		levels, indexes = append(levels, int16(id.Level)), append(indexes, id.Index) // #nosec -- at most 63
	}
	return levels, indexes
}

func tilesInto(tiles translog.Tiles) func(pgx.Rows) error {
	return func(rows pgx.Rows) error {
		var id translog.TileID
		var data []byte
		_, err := pgx.ForEachRow(rows, []any{&id.Level, &id.Index, &data}, func() error {
			tiles[id] = slices.Clone(data)
			return nil
		})
		return err
	}
}

// waiting is an amendment without a place. rank is the database's: introductions
// of keys are 0, what else is said about keys 2, everything else 1.
type waiting struct {
	Hash     []byte
	EntityID domain.ID
	Seq      int64
	Rank     int16
	Owner    string
	Shared   bool
	SignedBy string // key id
	Key      string // key id, if the amendment is about a key
	Ends     bool   // it retires or revokes that key
}

// selectWaiting takes a condition on log_pending.
const selectWaiting = `SELECT p.hash, p.entity_id, p.seq, p.rank, a.governance_agent_id, coalesce(o.shared, false), a.key_id,
	coalesce(k.key_id, ''), p.change IN ('retired', 'revoked')
FROM (SELECT w.* FROM public.log_pending w WHERE %s ORDER BY rank, recorded_at, entity_id, seq LIMIT $1) p
JOIN public.amendment a ON a.entity_id = p.entity_id AND a.seq = p.seq
LEFT JOIN public.opening o ON o.entity_id = p.entity_id AND o.seq = p.seq
LEFT JOIN public.signing_key k ON k.id = p.entity_id
ORDER BY p.rank, p.recorded_at, p.entity_id, p.seq`

const ofAnotherOrigin = `EXISTS (SELECT FROM public.amendment r
	WHERE r.entity_id = w.entity_id AND r.seq = w.seq AND r.record::jsonb ->> 'origin' <> $2)`

// Sequence gives the next places of the log to up to limit amendments that wait
// for one, and grows the tiles, in one transaction. It returns how many it placed;
// fewer than limit means that nothing waits. ErrLogBusy if another does it now. Where an
// origin is named, only what was recorded under another one gets a place.
//
// Everything that committed before an amendment that is seen here is seen too: a
// key's end, which locks the key's row, waits for all that the key signed.
func (db *DB) Sequence(ctx context.Context, limit int, notOf string) (placed int, err error) {
	err = db.writeLog(ctx, func(tx pgx.Tx, size int64, edge translog.Tiles) error {
		which, args := "true", []any{limit}
		if notOf != "" {
			which, args = ofAnotherOrigin, append(args, notOf)
		}
		rows, err := tx.Query(ctx, fmt.Sprintf(selectWaiting, which), args...)
		if err != nil {
			return err
		}
		list, err := pgx.CollectRows(rows, pgx.RowToStructByPos[waiting])
		if err != nil || len(list) == 0 {
			return err
		}
		placed = len(list)
		var b pgx.Batch
		queueEntries(&b, size, inOrder(list))
		leaves := make([]ledger.Hash, len(list))
		for i, w := range list {
			leaves[i] = translog.EntryLeaf(ledger.Hash(w.Hash))
		}
		queueTiles(&b, edge, edge.Grow(size, leaves))
		return tx.SendBatch(ctx, &b).Close()
	})
	return placed, err
}

// writeLog runs f in a transaction that alone writes the log, with the log's size
// and the tiles at its right edge. The lock is let go after the commit is visible.
func (db *DB) writeLog(ctx context.Context, f func(tx pgx.Tx, size int64, edge translog.Tiles) error) error {
	conn, err := db.acquire(ctx)
	if err != nil {
		return err
	}
	defer conn.Release()
	return translate(pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		var b pgx.Batch
		var free bool
		var size int64
		edge := translog.Tiles{}
		b.Queue(`SELECT pg_catalog.pg_try_advisory_xact_lock($1)`, int64(logLock)).
			QueryRow(func(row pgx.Row) error { return row.Scan(&free) })
		b.Queue(`SELECT coalesce(max(log_index) + 1, 0) FROM public.log_entry`).
			QueryRow(func(row pgx.Row) error { return row.Scan(&size) })
		b.Queue(`SELECT t.* FROM generate_series(0, 6) AS l, LATERAL (SELECT level, index, data FROM public.log_tile
			WHERE level = l ORDER BY index DESC LIMIT 1) AS t WHERE octet_length(t.data) < 8192`).Query(tilesInto(edge))
		if err := tx.SendBatch(ctx, &b).Close(); err != nil {
			return err
		}
		if !free {
			return ErrLogBusy
		}
		return f(tx, size, edge)
	}))
}

func queueEntries(b *pgx.Batch, size int64, list []waiting) {
	var hashes [][]byte
	var ids, owners []string
	var seqs []int64
	var shared []bool
	for _, w := range list {
		hashes, ids, owners = append(hashes, w.Hash), append(ids, string(w.EntityID)), append(owners, w.Owner)
		seqs, shared = append(seqs, w.Seq), append(shared, w.Shared)
	}
	b.Queue(`INSERT INTO public.log_entry (log_index, hash, entity_id, seq, governance_agent_id, shared)
		SELECT $1 + place - 1, hash, id, seq, owner, shared
		FROM unnest($2::bytea[], $3::uuid[], $4::bigint[], $5::text[], $6::bool[]) WITH ORDINALITY
			AS u (hash, id, seq, owner, shared, place)`, size, hashes, ids, seqs, owners, shared)
}

func queueTiles(b *pgx.Batch, tiles translog.Tiles, changed []translog.TileID) {
	levels, indexes := places(changed)
	data := make([][]byte, len(changed))
	for i, id := range changed {
		data[i] = tiles[id]
	}
	b.Queue(`INSERT INTO public.log_tile (level, index, data) SELECT * FROM unnest($1::smallint[], $2::bigint[], $3::bytea[])
		ON CONFLICT (level, index) DO UPDATE SET data = excluded.data`, levels, indexes, data)
}

// inOrder makes the order of time one of causes, in place, where clocks differ: a
// key is introduced before it introduces another, and what a key said about keys
// stands before that key's end. The rest keeps its order, and an entity's
// amendments theirs.
func inOrder(list []waiting) []waiting {
	for _, rank := range []int16{0, 2} {
		from, _ := slices.BinarySearchFunc(list, rank, func(w waiting, r int16) int { return cmp.Compare(w.Rank, r) })
		to, _ := slices.BinarySearchFunc(list, rank+1, func(w waiting, r int16) int { return cmp.Compare(w.Rank, r) })
		byCause(list[from:to])
	}
	return list
}

func byCause(list []waiting) {
	for i := range list {
		rest := list[i:]
		next := slices.IndexFunc(rest, func(w waiting) bool {
			return !slices.ContainsFunc(rest, func(other waiting) bool { return mustPrecede(other, w) })
		})
		if next > 0 { // -1: a circle, which the database does not let arise
			chosen := rest[next]
			copy(rest[1:next+1], rest[:next])
			rest[0] = chosen
		}
	}
}

func mustPrecede(a, b waiting) bool {
	switch {
	case a.EntityID == b.EntityID:
		return a.Seq < b.Seq
	case b.Rank == 0:
		return a.Key == b.SignedBy
	default:
		return b.Ends && a.SignedBy == b.Key
	}
}

// Place is where the log says that a key begins and ends: log indexes, -1 for not
// yet.
type Place struct {
	Introduced, Ended int64
	Revoked           bool // in the log or not yet: it signs nothing more
}

// Signs reports whether the key is in force at a log index.
func (p Place) Signs(index int64) bool {
	return p.Introduced >= 0 && p.Introduced < index && (p.Ended < 0 || p.Ended >= index) && !p.Revoked
}

const keyPlace = `SELECT coalesce((SELECT log_index FROM public.log_entry WHERE entity_id = k.id AND seq = 1), -1),
	coalesce((SELECT min(l.log_index) FROM public.log_entry l JOIN public.amendment a USING (entity_id, seq)
		WHERE l.entity_id = k.id AND a.change IN ('retired', 'revoked')), -1), e.status = 'revoked'
FROM public.signing_key k JOIN public.entity e ON e.id = k.id WHERE k.key_id = $1`

// KeyPlace returns a key's place in the log; ErrNotFound for a key that the ledger
// does not know.
func (db *DB) KeyPlace(ctx context.Context, keyID string) (Place, error) {
	var b pgx.Batch
	var p Place
	b.Queue(keyPlace, keyID).QueryRow(func(row pgx.Row) error { return row.Scan(&p.Introduced, &p.Ended, &p.Revoked) })
	return p, db.send(ctx, &b)
}
