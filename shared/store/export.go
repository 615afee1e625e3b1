package store

import (
	"context"
	"fmt"
	"math"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/dlai-sd/plant/shared/domain"
	"github.com/dlai-sd/plant/shared/ledger"
)

// Selection says which amendments of the log an export holds. Exactly one of its
// members is set.
type Selection struct {
	Keys     bool     // those of signing keys
	All      bool     // all others
	Owner    string   // those of one governance agent's entities
	Entities []string // those of these entities
}

// Logged is an amendment at its place in the log, without its opening.
type Logged struct {
	LogIndex  int64
	EntityID  string
	Seq       int64
	Record    string
	Signature []byte
	Batch     *ledger.Batch
}

const selectLogged = `
SELECT l.log_index, l.entity_id::text, l.seq, a.record, coalesce(a.signature, s.signature), s.statement,
	coalesce(a.batch_index, 0), a.batch_path
FROM public.log_entry l JOIN public.amendment a USING (entity_id, seq)
LEFT JOIN public.signature_batch s ON s.id = a.batch_id
WHERE l.log_index >= $1 AND l.log_index < $2 AND `

// where returns the condition, and its one argument as $3.
func (s Selection) where() (string, any) {
	switch {
	case s.Keys:
		return `l.governance_agent_id = $3`, domain.KeyringAgent
	case s.All:
		return `l.governance_agent_id <> $3`, domain.KeyringAgent
	case s.Owner != "":
		return `l.governance_agent_id = $3`, s.Owner
	default:
		return `l.entity_id = ANY ($3::uuid[])`, s.Entities
	}
}

// Logged returns up to limit amendments of a selection from a log index on, below
// size, in the order of the log. With a tenant they are read as its reader reads
// them, with "" as the function's own role does.
func (db *DB) Logged(ctx context.Context, tenant string, s Selection, from, size int64, limit int) ([]Logged, error) {
	var b pgx.Batch
	if tenant != "" {
		asReader(&b, tenant)
	}
	condition, argument := s.where()
	var list []Logged
	b.Queue(selectLogged+condition+` ORDER BY l.log_index LIMIT $4`, from, size, argument, limit).
		Query(func(rows pgx.Rows) error {
			var err error
			list, err = pgx.CollectRows(rows, scanLogged)
			return err
		})
	return list, db.send(ctx, &b)
}

func scanLogged(row pgx.CollectableRow) (Logged, error) {
	var l Logged
	var statement *string
	var index int
	var path []byte
	err := row.Scan(&l.LogIndex, &l.EntityID, &l.Seq, &l.Record, &l.Signature, &statement, &index, &path)
	l.Batch = batchOf(statement, index, path)
	return l, err
}

const selectNewest = `
SELECT f.log_index, n.log_index, f.entity_id::text, n.seq, a.record
FROM (SELECT l.log_index, l.entity_id FROM public.log_entry l
	WHERE l.seq = 1 AND l.log_index >= $1 AND l.log_index < $2 AND %s ORDER BY l.log_index LIMIT $4) f
CROSS JOIN LATERAL (SELECT log_index, seq FROM public.log_entry n WHERE n.entity_id = f.entity_id AND n.log_index < $2
	ORDER BY n.seq DESC LIMIT 1) n
JOIN public.amendment a ON a.entity_id = f.entity_id AND a.seq = n.seq
ORDER BY f.log_index`

// NewestLogged is the newest amendment of an entity below a size, without signature and
// opening, and where the entity's first one stands.
type NewestLogged struct {
	First int64
	Logged
}

// NewestLogged returns the newest amendments, below size, of up to limit entities of a
// selection whose first stands at a log index or behind it, in the order of those.
// They are read as Logged reads them.
func (db *DB) NewestLogged(ctx context.Context, tenant string, s Selection, from, size int64, limit int) ([]NewestLogged, error) {
	var b pgx.Batch
	if tenant != "" {
		asReader(&b, tenant)
	}
	condition, argument := s.where()
	var list []NewestLogged
	b.Queue(fmt.Sprintf(selectNewest, condition), from, size, argument, limit).Query(func(rows pgx.Rows) error {
		var err error
		list, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (NewestLogged, error) {
			var n NewestLogged
			err := row.Scan(&n.First, &n.LogIndex, &n.EntityID, &n.Seq, &n.Record)
			return n, err
		})
		return err
	})
	return list, db.send(ctx, &b)
}

// CountLogged counts the amendments of a selection below size, up to limit.
func (db *DB) CountLogged(ctx context.Context, s Selection, size, limit int64) (n int64, err error) {
	condition, argument := s.where()
	var b pgx.Batch
	b.Queue(`SELECT count(*) FROM (SELECT FROM public.log_entry l
		WHERE l.log_index >= $1 AND l.log_index < $2 AND `+condition+` LIMIT $4) l`, 0, size, argument, limit).
		QueryRow(func(row pgx.Row) error { return row.Scan(&n) })
	return n, db.send(ctx, &b)
}

// OpeningsOf returns the openings of amendments, as a tenant's reader sees them, or
// with "" as the function's own role does; nil where there is none to see.
func (db *DB) OpeningsOf(ctx context.Context, tenant string, of []Logged) ([]*ledger.Opening, error) {
	ids, seqs, at := make([]string, len(of)), make([]int64, len(of)), make([]int32, len(of))
	for i, l := range of {
		ids[i], seqs[i], at[i] = l.EntityID, l.Seq, int32(i) // #nosec -- a page
	}
	openings := make([]*ledger.Opening, len(of))
	var b pgx.Batch
	if tenant != "" {
		asReader(&b, tenant)
	}
	var i int32
	var salt []byte
	var state string
	b.Queue(`SELECT u.i, o.salt, o.state FROM unnest($1::uuid[], $2::bigint[], $3::int[]) AS u (entity_id, seq, i)
		JOIN public.opening o USING (entity_id, seq)`, ids, seqs, at).Query(func(rows pgx.Rows) error {
		_, err := pgx.ForEachRow(rows, []any{&i, &salt, &state}, func() error {
			openings[i] = &ledger.Opening{Salt: [32]byte(salt), State: []byte(state)}
			return nil
		})
		return err
	})
	return openings, db.send(ctx, &b)
}

// Shown is what an entity was at a moment, as a tenant sees it.
type Shown struct {
	EntityID   string
	EntityType string
	State      []byte
}

// ShownAt returns the newest states of entities that were recorded by a moment and
// are in the log below size, as a tenant's reader sees them. Entities that show
// nothing are missing.
func (db *DB) ShownAt(ctx context.Context, tenant string, ids []string, at time.Time, size int64) ([]Shown, error) {
	var b pgx.Batch
	asReader(&b, tenant)
	var list []Shown
	b.Queue(`SELECT DISTINCT ON (a.entity_id) a.entity_id::text, a.entity_type, o.state
		FROM public.amendment a JOIN public.opening o USING (entity_id, seq) JOIN public.log_entry l USING (entity_id, seq)
		WHERE a.entity_id = ANY ($1::uuid[]) AND a.recorded_at <= $2 AND l.log_index < $3
		ORDER BY a.entity_id, a.seq DESC`, ids, at, size).Query(func(rows pgx.Rows) error {
		var err error
		list, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (Shown, error) {
			var s Shown
			var state string
			err := row.Scan(&s.EntityID, &s.EntityType, &state)
			s.State = []byte(state)
			return s, err
		})
		return err
	})
	return list, db.send(ctx, &b)
}

// OwnerOf returns an entity's type and owner, as a tenant's reader sees it, or with
// "" as the function's own role does; ErrNotFound if there is none to see.
func (db *DB) OwnerOf(ctx context.Context, tenant string, id domain.ID) (kind domain.Kind, owner string, err error) {
	var b pgx.Batch
	if tenant != "" {
		asReader(&b, tenant)
	}
	b.Queue(`SELECT entity_type, governance_agent_id FROM public.entity WHERE id = $1`, string(id)).
		QueryRow(func(row pgx.Row) error { return row.Scan(&kind, &owner) })
	return kind, owner, db.send(ctx, &b)
}

// HeadAt is where an entity's head stands among its owner's.
type HeadAt struct {
	EntityID string
	Owner    string
	Index    int64
}

// HeadsAt returns the places of entities, in the order of their ids.
func (db *DB) HeadsAt(ctx context.Context, ids []string) ([]HeadAt, error) {
	var b pgx.Batch
	var list []HeadAt
	b.Queue(`SELECT f.entity_id::text, f.governance_agent_id, (SELECT count(*) FROM public.log_entry b
			WHERE b.governance_agent_id = f.governance_agent_id AND b.seq = 1 AND b.log_index < f.log_index)
		FROM public.log_entry f WHERE f.entity_id = ANY ($1::uuid[]) AND f.seq = 1 ORDER BY f.entity_id`, ids).
		Query(func(rows pgx.Rows) error {
			var err error
			list, err = pgx.CollectRows(rows, pgx.RowToStructByPos[HeadAt])
			return err
		})
	return list, db.send(ctx, &b)
}

// HeadsRecord returns the heads record at a log index.
func (db *DB) HeadsRecord(ctx context.Context, index int64) (SealedHeads, error) {
	var b pgx.Batch
	var h SealedHeads
	var record string
	b.Queue(`SELECT record, signature, key_id, recorded_at FROM public.heads WHERE log_index = $1`, index).
		QueryRow(func(row pgx.Row) error { return row.Scan(&record, &h.Signature, &h.KeyID, &h.At) })
	err := db.send(ctx, &b)
	h.Record = []byte(record)
	return h, err
}

// OtherEntry is an entry of the log that is no amendment's.
type OtherEntry struct {
	LogIndex int64
	Hash     ledger.Hash
}

// OtherEntries returns the entries below an index that are no amendments':
// heads records, and the statement of a fork.
func (db *DB) OtherEntries(ctx context.Context, below int64) ([]OtherEntry, error) {
	var b pgx.Batch
	var list []OtherEntry
	b.Queue(`SELECT log_index, hash FROM public.log_entry WHERE entity_id IS NULL AND log_index < $1 ORDER BY log_index`, below).
		Query(func(rows pgx.Rows) error {
			var err error
			list, err = pgx.CollectRows(rows, scanOther)
			return err
		})
	return list, db.send(ctx, &b)
}

// EntriesAt returns up to limit entries from an index on, each with its own.
func (db *DB) EntriesAt(ctx context.Context, from int64, limit int) ([]OtherEntry, error) {
	var b pgx.Batch
	var list []OtherEntry
	b.Queue(`SELECT log_index, hash FROM public.log_entry WHERE log_index >= $1 ORDER BY log_index LIMIT $2`, from, limit).
		Query(func(rows pgx.Rows) error {
			var err error
			list, err = pgx.CollectRows(rows, scanOther)
			return err
		})
	return list, db.send(ctx, &b)
}

func scanOther(row pgx.CollectableRow) (OtherEntry, error) {
	var e OtherEntry
	var hash []byte
	err := row.Scan(&e.LogIndex, &hash)
	copy(e.Hash[:], hash)
	return e, err
}

// NewestHeads returns the newest heads record and its log index; ErrNotFound if
// there is none.
func (db *DB) NewestHeads(ctx context.Context) (SealedHeads, int64, error) {
	var b pgx.Batch
	var h SealedHeads
	var record string
	var index int64
	b.Queue(`SELECT log_index, record, signature, key_id, recorded_at FROM public.heads ORDER BY log_index DESC LIMIT 1`).
		QueryRow(func(row pgx.Row) error { return row.Scan(&index, &record, &h.Signature, &h.KeyID, &h.At) })
	err := db.send(ctx, &b)
	h.Record = []byte(record)
	return h, index, err
}

// SealedSizes returns the sizes, below one, of up to limit published checkpoints
// whose last entry is a heads record, the largest first: those at which bundles
// were cut.
func (db *DB) SealedSizes(ctx context.Context, below int64, limit int) ([]int64, error) {
	var b pgx.Batch
	var list []int64
	b.Queue(`SELECT DISTINCT c.size FROM public.checkpoint c JOIN public.heads h ON h.log_index = c.size - 1
		WHERE c.size < $1 ORDER BY c.size DESC LIMIT $2`, below, limit).Query(func(rows pgx.Rows) error {
		var err error
		list, err = pgx.CollectRows(rows, pgx.RowTo[int64])
		return err
	})
	return list, db.send(ctx, &b)
}

// Constitutions returns every rule set that ever was in force, in canonical form.
func (db *DB) Constitutions(ctx context.Context) ([][]byte, error) {
	var b pgx.Batch
	var list [][]byte
	b.Queue(selectConstitutions).Query(func(rows pgx.Rows) error {
		var err error
		list, err = collectDocuments(rows)
		return err
	})
	return list, db.send(ctx, &b)
}

const selectConstitutions = `SELECT c.document FROM public.constitution c
	WHERE EXISTS (SELECT FROM public.enactment n WHERE n.sha256 = c.sha256) ORDER BY c.sha256`

func collectDocuments(rows pgx.Rows) ([][]byte, error) {
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) ([]byte, error) {
		var text string
		err := row.Scan(&text)
		return []byte(text), err
	})
}

// OwnersOf returns whose an entity is by its amendments, the first one's first, and by
// its row: more than one where somebody gave a part of it to another. The log is asked
// only about what has neither any more. ErrNotFound if nothing knows it.
func (db *DB) OwnersOf(ctx context.Context, id domain.ID) (owners []string, err error) {
	var b pgx.Batch
	var logged []string
	collect := func(into *[]string) func(pgx.Rows) error {
		return func(rows pgx.Rows) (err error) {
			*into, err = pgx.CollectRows(rows, pgx.RowTo[string])
			return err
		}
	}
	b.Queue(`SELECT owner FROM (SELECT governance_agent_id, seq FROM public.amendment WHERE entity_id = $1
			UNION ALL SELECT governance_agent_id, $2 FROM public.entity WHERE id = $1) AS o (owner, seq)
		GROUP BY owner ORDER BY min(seq), owner`, string(id), int64(math.MaxInt64)).Query(collect(&owners))
	b.Queue(`SELECT DISTINCT governance_agent_id FROM public.log_entry WHERE entity_id = $1 AND governance_agent_id IS NOT NULL ORDER BY 1`, string(id)).
		Query(collect(&logged))
	if err := db.send(ctx, &b); err != nil {
		return nil, err
	}
	if len(owners) == 0 {
		owners = logged
	}
	if len(owners) == 0 {
		return nil, ErrNotFound
	}
	return owners, nil
}
