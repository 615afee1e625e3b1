package store

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/dlai-sd/plant/shared/domain"
	"github.com/dlai-sd/plant/shared/ledger"
)

// KeyRow is a signing key as the database knows it.
type KeyRow struct {
	EntityID domain.ID
	KeyID    string
	SPKI     string // DER, base64
	Use      domain.KeyUse
	MaySign  []string
	Status   domain.Status
	Since    time.Time // when it was introduced
}

// SigningKeys returns every signing key in the order of their introduction.
func (db *DB) SigningKeys(ctx context.Context) ([]KeyRow, error) {
	var b pgx.Batch
	asTenant(&b, domain.KeyringAgent)
	var list []KeyRow
	b.Queue(`SELECT k.id, k.key_id, k.spki, k.use, k.may_sign, e.status, e.created_at
		FROM public.signing_key k JOIN public.entity e ON e.id = k.id ORDER BY e.created_at, k.id`).
		Query(func(rows pgx.Rows) error {
			var err error
			list, err = pgx.CollectRows(rows, pgx.RowToStructByPos[KeyRow])
			return err
		})
	return list, db.send(ctx, &b)
}

// SignedBy is what a key signed of one entity.
type SignedBy struct {
	EntityID          domain.ID
	GovernanceAgentID string
	Hashes            []string // of its amendments, hex, in order
}

// SignedWith returns up to limit entities, behind an id, of which a key signed
// amendments that no later amendment reattests. It needs a role that reads
// everything.
func (db *DB) SignedWith(ctx context.Context, keyID string, after domain.ID, limit int) ([]SignedBy, error) {
	var b pgx.Batch
	var list []SignedBy
	b.Queue(`SELECT a.entity_id, a.governance_agent_id, array_agg(encode(a.hash, 'hex') ORDER BY a.seq)
		FROM public.amendment a
		WHERE a.key_id = $1 AND a.entity_type <> 'signing_key' AND ($2 = '' OR a.entity_id > nullif($2, '')::uuid)
			AND NOT EXISTS (SELECT 1 FROM public.amendment r JOIN public.opening o USING (entity_id, seq)
				WHERE r.entity_id = a.entity_id AND r.seq > a.seq AND r.change = 'reattested' AND r.key_id <> $1
					AND o.state::jsonb -> 'reattests' ? encode(a.hash, 'hex'))
		GROUP BY a.entity_id, a.governance_agent_id ORDER BY a.entity_id LIMIT $3`, keyID, string(after), limit).
		Query(func(rows pgx.Rows) error {
			var err error
			list, err = pgx.CollectRows(rows, pgx.RowToStructByPos[SignedBy])
			return err
		})
	return list, db.send(ctx, &b)
}

// KeyInForce returns nil while a key may sign, ErrKeyOutOfForce otherwise.
func (db *DB) KeyInForce(ctx context.Context, keyID string) error {
	var b pgx.Batch
	asTenant(&b, domain.KeyringAgent)
	var active bool
	b.Queue(`SELECT EXISTS (SELECT 1 FROM public.signing_key k JOIN public.entity e ON e.id = k.id
		WHERE k.key_id = $1 AND e.status = 'active')`, keyID).QueryRow(func(row pgx.Row) error { return row.Scan(&active) })
	if err := db.send(ctx, &b); err != nil {
		return err
	}
	if !active {
		return ErrKeyOutOfForce
	}
	return nil
}

// Everything returns every amendment in the order in which the log will take
// them: key introductions, then others by time, entity and seq, then the ends of
// keys. It is for small databases; it needs a role that reads everything.
func (db *DB) Everything(ctx context.Context) ([]ledger.Amendment, error) {
	var b pgx.Batch
	var list []ledger.Amendment
	b.Queue(selectAmendments + `ORDER BY CASE a.change WHEN 'introduced' THEN 0 WHEN 'retired' THEN 2 WHEN 'revoked' THEN 2 ELSE 1 END,
		a.recorded_at, a.entity_id, a.seq`).Query(func(rows pgx.Rows) error {
		proofs, err := pgx.CollectRows(rows, scanProof)
		if err != nil {
			return err
		}
		for _, p := range proofs {
			a, err := p.Amendment()
			if err != nil {
				return err
			}
			list = append(list, a)
		}
		return nil
	})
	return list, db.send(ctx, &b)
}
