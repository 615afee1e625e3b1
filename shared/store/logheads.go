package store

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/dlai-sd/plant/shared/ledger"
	"github.com/dlai-sd/plant/shared/translog"
)

// headsPage is how many entities one statement reads: each stays far below its
// timeout, and memory does not grow with the log.
const headsPage = 20_000

// TenantHeads is a tenant's row of the top list, with what makes it.
type TenantHeads struct {
	GovernanceAgentID string
	Salt              ledger.Hash
	Row               translog.TenantRow
}

// The newest amendment below the cut of each entity, tenant by tenant, in the
// order of the entities' first places.
const selectHeads = `SELECT f.governance_agent_id, f.log_index, f.entity_id::text, h.seq, h.hash
FROM (SELECT governance_agent_id, log_index, entity_id FROM public.log_entry
	WHERE seq = 1 AND (governance_agent_id, log_index) > ($1, $2) AND log_index < $3
	ORDER BY governance_agent_id, log_index LIMIT $4) f
CROSS JOIN LATERAL (SELECT seq, hash FROM public.log_entry n WHERE n.entity_id = f.entity_id AND n.log_index < $3
	ORDER BY n.seq DESC LIMIT 1) h
ORDER BY f.governance_agent_id, f.log_index`

// querier is a transaction or a connection.
type querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
}

// headOf is one row of selectHeads.
type headOf struct {
	Owner string
	First int64
	ID    string
	Seq   int64
	Hash  []byte
}

// eachHead calls f for the head of every entity that the first size entries of the
// log know, tenant by tenant, each in the order of its first place. The log only
// grows, so the pages fit together without a common snapshot.
func eachHead(ctx context.Context, q querier, size int64, f func(owner string, head translog.EntityHead) error) error {
	return eachHeadFrom(ctx, q, headOf{First: -1}, size, f)
}

func eachHeadFrom(ctx context.Context, q querier, last headOf, size int64, f func(owner string, head translog.EntityHead) error) error {
	for {
		rows, err := q.Query(ctx, selectHeads, last.Owner, last.First, size, headsPage)
		if err != nil {
			return err
		}
		n := 0
		var h headOf
		_, err = pgx.ForEachRow(rows, []any{&h.Owner, &h.First, &h.ID, &h.Seq, &h.Hash}, func() error {
			n++
			last.Owner, last.First = h.Owner, h.First
			return f(h.Owner, translog.EntityHead{EntityID: h.ID, Hash: ledger.Hash(h.Hash), Seq: h.Seq})
		})
		if err != nil || n < headsPage {
			return err
		}
	}
}

// topList computes the rows of all tenants from the first size entries, in the
// order of the governance agents. Tenants without a salt have none in it yet.
func topList(ctx context.Context, q querier, size int64) ([]TenantHeads, error) {
	var list []TenantHeads
	var tree translog.Range
	flush := func() {
		if n := len(list); n > 0 {
			list[n-1].Row.Count, list[n-1].Row.Root = tree.Size(), tree.Root()
		}
		tree = translog.Range{}
	}
	err := eachHead(ctx, q, size, func(owner string, head translog.EntityHead) error {
		if n := len(list); n == 0 || list[n-1].GovernanceAgentID != owner {
			flush()
			list = append(list, TenantHeads{GovernanceAgentID: owner})
		}
		tree.Append(head.Leaf())
		return nil
	})
	flush()
	return list, err
}

// salted fills in salts and tenant ids; who has no salt gets the one that draw
// returns.
func salted(ctx context.Context, q querier, list []TenantHeads) (missing []int, err error) {
	rows, err := q.Query(ctx, `SELECT governance_agent_id, salt FROM public.tenant_salt`)
	if err != nil {
		return nil, err
	}
	salts := map[string]ledger.Hash{}
	var owner string
	var salt []byte
	if _, err := pgx.ForEachRow(rows, []any{&owner, &salt}, func() error {
		salts[owner] = ledger.Hash(salt)
		return nil
	}); err != nil {
		return nil, err
	}
	for i := range list {
		var known bool
		if list[i].Salt, known = salts[list[i].GovernanceAgentID]; !known {
			missing = append(missing, i)
			continue
		}
		list[i].Row.Tenant = translog.TenantID(list[i].Salt, list[i].GovernanceAgentID)
	}
	return missing, nil
}

// TopList returns the row of every tenant that the first size entries of the log
// know, in the order of the governance agents, as a heads record at index size
// says it. It needs a role that reads everything. A tenant that no heads record has
// spoken of yet is ErrNotFound.
func (db *DB) TopList(ctx context.Context, size int64) ([]TenantHeads, error) {
	conn, err := db.acquire(ctx)
	if err != nil {
		return nil, err
	}
	defer conn.Release()
	list, err := topList(ctx, conn, size)
	if err != nil {
		return nil, translate(err)
	}
	missing, err := salted(ctx, conn, list)
	if err != nil {
		return nil, translate(err)
	}
	if len(missing) > 0 {
		return nil, ErrNotFound
	}
	return list, nil
}

// EachHead calls f for the head of every entity as TopList counts them; an empty
// tenant means all.
func (db *DB) EachHead(ctx context.Context, size int64, f func(owner string, head translog.EntityHead) error) error {
	conn, err := db.acquire(ctx)
	if err != nil {
		return err
	}
	defer conn.Release()
	return translate(eachHead(ctx, conn, size, f))
}

// errOtherOwner ends the reading of one owner's heads.
var errOtherOwner = errors.New("the heads of another owner")

// HeadsOf calls f for the head of every entity of one owner, in the order of the
// owner's tree.
func (db *DB) HeadsOf(ctx context.Context, owner string, size int64, f func(translog.EntityHead) error) error {
	conn, err := db.acquire(ctx)
	if err != nil {
		return err
	}
	defer conn.Release()
	err = eachHeadFrom(ctx, conn, headOf{Owner: owner, First: -1}, size, func(of string, head translog.EntityHead) error {
		if of != owner {
			return errOtherOwner
		}
		return f(head)
	})
	if errors.Is(err, errOtherOwner) {
		return nil
	}
	return translate(err)
}

// SealedHeads is a heads record as it is logged.
type SealedHeads struct {
	Record    []byte
	Signature []byte
	KeyID     string
	At        time.Time
}

// Seal makes the heads of all tenants, has seal sign them, and appends the record
// to the log at its present size, which it returns, in one transaction.
// ErrKeyOutOfForce if the key of this id is not in force there, ErrLogBusy if
// another writes the log now.
func (db *DB) Seal(ctx context.Context, keyID string, seal func(size int64, rows []translog.TenantRow) (SealedHeads, error)) (size int64, err error) {
	err = db.writeLog(ctx, func(tx pgx.Tx, at int64, edge translog.Tiles) error {
		size = at
		var place Place
		if err := tx.QueryRow(ctx, keyPlace, keyID).Scan(&place.Introduced, &place.Ended, &place.Revoked); err != nil && !errors.Is(err, pgx.ErrNoRows) {
			return err
		} else if err != nil || !place.Signs(at) {
			return ErrKeyOutOfForce
		}
		list, err := topList(ctx, tx, at)
		if err != nil {
			return err
		}
		var b pgx.Batch
		if err := drawSalts(ctx, tx, &b, list); err != nil {
			return err
		}
		rows := make([]translog.TenantRow, len(list))
		for i, one := range list {
			rows[i] = one.Row
		}
		translog.SortRows(rows)
		sealed, err := seal(at, rows)
		if err != nil {
			return err
		}
		hash := ledger.HashOf(sealed.Record)
		queueOther(&b, at, hash, edge)
		b.Queue(`INSERT INTO public.heads (log_index, hash, record, signature, key_id, recorded_at) VALUES ($1, $2, $3, $4, $5, $6)`,
			at, hash[:], string(sealed.Record), sealed.Signature, sealed.KeyID, sealed.At)
		return tx.SendBatch(ctx, &b).Close()
	})
	return size, err
}

// drawSalts draws a salt for every tenant that has none.
func drawSalts(ctx context.Context, tx pgx.Tx, b *pgx.Batch, list []TenantHeads) error {
	missing, err := salted(ctx, tx, list)
	if err != nil {
		return err
	}
	for _, i := range missing {
		one := &list[i]
		if _, err := rand.Read(one.Salt[:]); err != nil {
			return fmt.Errorf("draw a salt: %w", err)
		}
		one.Row.Tenant = translog.TenantID(one.Salt, one.GovernanceAgentID)
		b.Queue(`INSERT INTO public.tenant_salt (governance_agent_id, salt) VALUES ($1, $2)`, one.GovernanceAgentID, one.Salt[:])
	}
	return nil
}

// queueOther appends an entry that is no amendment's.
func queueOther(b *pgx.Batch, size int64, hash ledger.Hash, edge translog.Tiles) {
	b.Queue(`INSERT INTO public.log_entry (log_index, hash, shared) VALUES ($1, $2, false)`, size, hash[:])
	queueTiles(b, edge, edge.Grow(size, []ledger.Hash{translog.EntryLeaf(hash)}))
}
