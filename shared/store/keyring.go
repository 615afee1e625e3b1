package store

import (
	"context"
	"strconv"

	"github.com/jackc/pgx/v5"

	"github.com/dlai-sd/plant/shared/domain"
)

// KeyRow is a signing key as the database knows it.
type KeyRow struct {
	EntityID domain.ID
	KeyID    string
	SPKI     string // DER, base64
	Use      domain.KeyUse
	MaySign  []string
	Status   domain.Status
}

// SigningKeys returns every signing key in the order of their introduction.
func (db *DB) SigningKeys(ctx context.Context) ([]KeyRow, error) {
	var b pgx.Batch
	asTenant(&b, domain.KeyringAgent)
	var list []KeyRow
	b.Queue(`SELECT k.id, k.key_id, k.spki, k.use, k.may_sign, e.status
		FROM public.signing_key k JOIN public.entity e ON e.id = k.id ORDER BY e.created_at, k.id`).
		Query(func(rows pgx.Rows) error {
			var err error
			list, err = pgx.CollectRows(rows, pgx.RowToStructByPos[KeyRow])
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

// ConstitutionInForce returns the SHA-256 of the newest constitution that was
// enacted.
func (db *DB) ConstitutionInForce(ctx context.Context) ([32]byte, error) {
	var b pgx.Batch
	var hash []byte
	b.Queue(`SELECT sha256 FROM public.constitution WHERE enacted_at IS NOT NULL
		ORDER BY enacted_at DESC LIMIT 1`).QueryRow(func(row pgx.Row) error { return row.Scan(&hash) })
	err := db.send(ctx, &b)
	var sum [32]byte
	copy(sum[:], hash)
	return sum, err
}

// Enact puts the first constitution in force; where one is, nothing changes.
func (db *DB) Enact(ctx context.Context, sum [32]byte, document []byte, version int) error {
	var b pgx.Batch
	b.Queue(`INSERT INTO public.constitution (sha256, document, version, enacted_at)
		SELECT $1, $2, $3, clock_timestamp() WHERE NOT EXISTS (SELECT 1 FROM public.constitution)
		ON CONFLICT DO NOTHING`, sum[:], string(document), strconv.Itoa(version))
	return db.send(ctx, &b)
}
