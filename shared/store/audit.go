package store

import (
	"cmp"
	"context"
	"maps"
	"math"
	"slices"

	"github.com/jackc/pgx/v5"
	"github.com/pgvector/pgvector-go"

	"github.com/dlai-sd/plant/shared/domain"
	"github.com/dlai-sd/plant/shared/ledger"
)

// Kept is everything that the database keeps of one entity, as it is: an audit
// judges it.
type Kept struct {
	ID         string
	Row        string // of entity, as JSON; "" if there is none
	Facts      string // of the kind's table, as JSON; "" if there is none
	Amendments []KeptAmendment
	Entries    []KeptEntry // of the log, and what waits for a place in it
	Vectors    []KeptVector
}

// KeptAmendment is an amendment's row.
type KeptAmendment struct {
	Seq       int64
	Hash      []byte
	Record    string
	Agrees    bool // the row's columns say what the record says
	Signature []byte
	Batch     *ledger.Batch
	Opening   *ledger.Opening
}

// KeptEntry is what the log says of an amendment. LogIndex is -1 while it waits.
type KeptEntry struct {
	Seq      int64
	Hash     []byte
	LogIndex int64
	Owner    string
}

// KeptVector is a vector's row.
type KeptVector struct {
	Model                    string
	Values                   []float32
	TextSHA256, VectorSHA256 []byte
	Owner                    string
	Shared                   bool
}

// alongIndexes keeps a transaction's plans to the indexes: a chunk is a few hundred
// ids of tables that may be large, and statistics from before they grew would have
// each chunk read, sort or hash all of them.
const alongIndexes = `SELECT set_config(name, 'off', true) FROM unnest(ARRAY['enable_seqscan', 'enable_bitmapscan', 'enable_sort',
	'enable_hashagg', 'enable_hashjoin', 'enable_mergejoin', 'enable_gathermerge']) AS name`

// Ids come from wherever an entity has left a trace: whose row was removed still
// has a history, and whose history was removed too is still in the log.
const selectAuditIDs = `
SELECT id::text FROM (
	(SELECT id FROM public.entity WHERE id > $1 AND ($3 = '' OR governance_agent_id = $3) AND ($4 = '' OR entity_type = $4) AND updated_at >= $5 ORDER BY id LIMIT $2)
	UNION (SELECT DISTINCT entity_id FROM public.amendment WHERE entity_id > $1 AND ($3 = '' OR governance_agent_id = $3)
		AND ($4 = '' OR entity_type = $4) AND recorded_at >= $5 ORDER BY entity_id LIMIT $2)
	UNION (SELECT DISTINCT entity_id FROM public.log_entry WHERE entity_id > $1 AND ($3 = '' OR governance_agent_id = $3)
		AND $4 = '' AND $5 <= 'epoch' ORDER BY entity_id LIMIT $2)
) AS t (id) ORDER BY id LIMIT $2`

const selectKeptAmendments = `
SELECT a.entity_id::text, a.seq, a.hash, a.record, CASE WHEN a.record IS JSON OBJECT THEN a.record::jsonb - 'origin' = jsonb_build_object(
		'algorithm', a.algorithm, 'author', a.author, 'breaking', a.breaking, 'change', a.change,
		'constitution', encode(a.constitution, 'hex'), 'context', 'plant/amendment/v1', 'entity_id', a.entity_id,
		'entity_type', a.entity_type, 'governance_agent_id', a.governance_agent_id, 'key_id', a.key_id,
		'prev_hash', encode(a.prev_hash, 'hex'),
		'recorded_at', to_char(a.recorded_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
		'seq', a.seq, 'state_hash', encode(a.state_hash, 'hex')) ELSE false END,
	coalesce(a.signature, s.signature), s.statement, coalesce(a.batch_index, 0), a.batch_path, o.salt, o.state
FROM public.amendment a LEFT JOIN public.opening o USING (entity_id, seq)
LEFT JOIN public.signature_batch s ON s.id = a.batch_id
WHERE a.entity_id = ANY ($1::uuid[]) ORDER BY a.entity_id, a.seq`

const selectKeptEntries = `
SELECT entity_id::text, seq, hash, log_index, governance_agent_id FROM public.log_entry WHERE entity_id = ANY ($1::uuid[])
UNION ALL SELECT p.entity_id::text, p.seq, p.hash, -1, '' FROM public.log_pending p WHERE p.entity_id = ANY ($1::uuid[])
ORDER BY 1, 2`

const selectKeptRows = `
SELECT e.id::text, to_jsonb(e)::text, coalesce(to_jsonb(sk), to_jsonb(ind), to_jsonb(te), to_jsonb(ag), to_jsonb(key), to_jsonb(jr) ||
	jsonb_build_object('required_skills', (SELECT coalesce(jsonb_agg(r.skill_id ORDER BY r.skill_id), '[]') FROM public.job_role_skill r
		WHERE r.job_role_id = jr.id)))::text
FROM public.entity e LEFT JOIN public.skill sk ON sk.id = e.id LEFT JOIN public.industry ind ON ind.id = e.id
LEFT JOIN public.team te ON te.id = e.id LEFT JOIN public.agent ag ON ag.id = e.id LEFT JOIN public.job_role jr ON jr.id = e.id
LEFT JOIN public.signing_key key ON key.id = e.id
WHERE e.id = ANY ($1::uuid[])`

const selectKeptVectors = `
SELECT entity_id::text, model_id, vector::text, text_sha256, vector_sha256, governance_agent_id, shared
FROM public.embedding WHERE entity_id = ANY ($1::uuid[])`

// A key has a row, and stands in the log or waits for it: its amendments alone would
// have to be looked for among all there are.
const selectKeyIDs = `
SELECT id::text FROM public.signing_key
UNION SELECT entity_id::text FROM public.log_entry WHERE governance_agent_id = $1 AND seq = 1 AND entity_id IS NOT NULL
UNION SELECT entity_id::text FROM public.log_pending WHERE rank = 0
ORDER BY 1`

// AuditIDs returns up to limit ids of entities behind one, as a filter takes them.
func (db *DB) AuditIDs(ctx context.Context, f RunFilter, after string, limit int) ([]string, error) {
	if f.EntityID != "" {
		if after >= f.EntityID {
			return nil, nil
		}
		return []string{f.EntityID}, nil
	}
	var b pgx.Batch
	var ids []string
	b.Queue(alongIndexes)
	b.Queue(selectAuditIDs, cmp.Or(after, string(domain.BeforeAll)), limit, f.GovernanceAgent, f.Kind, f.Since).Query(func(rows pgx.Rows) error {
		var err error
		ids, err = pgx.CollectRows(rows, pgx.RowTo[string])
		return err
	})
	return ids, db.send(ctx, &b)
}

// Held is what the database keeps of some entities, and what it takes to judge
// them, all as of one moment: a key that signed one of the amendments is among the keys.
type Held struct {
	Entities      []Kept // as they were asked for; what has left no trace is empty
	Keys          []Kept // every signing key
	Constitutions [][]byte
	Forks         []LoggedFork
	Unlogged      []LoggedFork // forks of which no sequencer has begun the log
	Size          int64        // of the log
}

// KeptOf reads everything of entities and of the keys at one moment.
func (db *DB) KeptOf(ctx context.Context, ids []string) (h Held, err error) {
	at := map[string]*Kept{}
	err = db.snapshot(ctx, func(tx pgx.Tx) error {
		var keys []string
		if keys, err = h.surroundings(ctx, tx); err != nil {
			return err
		}
		for _, id := range append(slices.Clone(ids), keys...) {
			at[id] = &Kept{ID: id}
		}
		all := slices.Collect(maps.Keys(at))
		for _, read := range []func(context.Context, pgx.Tx, []string, map[string]*Kept) error{keptAmendments, keptEntries, keptRows, keptVectors} {
			if err := read(ctx, tx, all, at); err != nil {
				return err
			}
		}
		h.Entities, h.Keys = keptIn(at, ids), keptIn(at, keys)
		return nil
	})
	return h, err
}

// surroundings reads what is no entity's, in one trip, and returns the keys' ids.
func (h *Held) surroundings(ctx context.Context, tx pgx.Tx) (keys []string, err error) {
	var b pgx.Batch
	b.Queue(alongIndexes)
	b.Queue(`SELECT coalesce(max(log_index) + 1, 0) FROM public.log_entry`).QueryRow(func(row pgx.Row) error { return row.Scan(&h.Size) })
	b.Queue(selectConstitutions).Query(func(rows pgx.Rows) error {
		h.Constitutions, err = collectDocuments(rows)
		return err
	})
	b.Queue(selectForks, int64(math.MaxInt64)).Query(func(rows pgx.Rows) error {
		h.Forks, err = collectForks(rows)
		return err
	})
	b.Queue(selectUnloggedForks).Query(func(rows pgx.Rows) error {
		h.Unlogged, err = collectForks(rows)
		return err
	})
	b.Queue(selectKeyIDs, domain.KeyringAgent).Query(func(rows pgx.Rows) error {
		keys, err = pgx.CollectRows(rows, pgx.RowTo[string])
		return err
	})
	return keys, tx.SendBatch(ctx, &b).Close()
}

func keptIn(at map[string]*Kept, ids []string) []Kept {
	list := make([]Kept, len(ids))
	for i, id := range ids {
		list[i] = *at[id]
	}
	return list
}

// snapshot runs f in a transaction that sees one moment.
func (db *DB) snapshot(ctx context.Context, f func(pgx.Tx) error) error {
	conn, err := db.acquire(ctx)
	if err != nil {
		return err
	}
	defer conn.Release()
	return translate(pgx.BeginTxFunc(ctx, conn, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}, f))
}

func keptAmendments(ctx context.Context, tx pgx.Tx, ids []string, at map[string]*Kept) error {
	rows, err := tx.Query(ctx, selectKeptAmendments, ids)
	if err != nil {
		return err
	}
	for rows.Next() {
		var id string
		var a KeptAmendment
		var statement, state *string
		var index int
		var path, salt []byte
		if err := rows.Scan(&id, &a.Seq, &a.Hash, &a.Record, &a.Agrees, &a.Signature, &statement, &index, &path, &salt, &state); err != nil {
			rows.Close()
			return err
		}
		a.Batch = batchOf(statement, index, path)
		if state != nil {
			a.Opening = &ledger.Opening{State: []byte(*state)}
			copy(a.Opening.Salt[:], salt)
		}
		at[id].Amendments = append(at[id].Amendments, a)
	}
	return rows.Err()
}

func keptEntries(ctx context.Context, tx pgx.Tx, ids []string, at map[string]*Kept) error {
	rows, err := tx.Query(ctx, selectKeptEntries, ids)
	if err != nil {
		return err
	}
	for rows.Next() {
		var id string
		var e KeptEntry
		if err := rows.Scan(&id, &e.Seq, &e.Hash, &e.LogIndex, &e.Owner); err != nil {
			rows.Close()
			return err
		}
		at[id].Entries = append(at[id].Entries, e)
	}
	return rows.Err()
}

func keptRows(ctx context.Context, tx pgx.Tx, ids []string, at map[string]*Kept) error {
	rows, err := tx.Query(ctx, selectKeptRows, ids)
	if err != nil {
		return err
	}
	for rows.Next() {
		var id, row string
		var facts *string
		if err := rows.Scan(&id, &row, &facts); err != nil {
			rows.Close()
			return err
		}
		if at[id].Row = row; facts != nil {
			at[id].Facts = *facts
		}
	}
	return rows.Err()
}

func keptVectors(ctx context.Context, tx pgx.Tx, ids []string, at map[string]*Kept) error {
	rows, err := tx.Query(ctx, selectKeptVectors, ids)
	if err != nil {
		return err
	}
	for rows.Next() {
		var id, values string
		var v KeptVector
		if err := rows.Scan(&id, &v.Model, &values, &v.TextSHA256, &v.VectorSHA256, &v.Owner, &v.Shared); err != nil {
			rows.Close()
			return err
		}
		var parsed pgvector.Vector
		if err := parsed.Parse(values); err != nil {
			rows.Close()
			return err
		}
		v.Values = parsed.Slice()
		at[id].Vectors = append(at[id].Vectors, v)
	}
	return rows.Err()
}

// KeyIDs returns the entities of all signing keys.
func (db *DB) KeyIDs(ctx context.Context) (ids []string, err error) {
	var b pgx.Batch
	b.Queue(selectKeyIDs, domain.KeyringAgent).
		Query(func(rows pgx.Rows) error {
			var err error
			ids, err = pgx.CollectRows(rows, pgx.RowTo[string])
			return err
		})
	return ids, db.send(ctx, &b)
}
