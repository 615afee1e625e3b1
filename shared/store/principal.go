package store

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/dlai-sd/plant/shared/domain"
)

// Principal is a row of the principals: who may call, and what it may decide.
// The hash of its secret is not part of it.
type Principal struct {
	ID              string
	GovernanceAgent string
	Name            string
	Authorities     []domain.Authority
	Platform        []domain.Authority
	Disabled        bool
	HasSecret       bool // without one it cannot get a token over HTTP
	CreatedAt       time.Time
}

// principalColumns are the columns of a Principal, in its order.
const principalColumns = `id::text, governance_agent_id, name, authorities, platform_authorities,
	disabled_at IS NOT NULL, secret_hash IS NOT NULL, created_at`

func (p *Principal) fields() []any {
	return []any{
		&p.ID, &p.GovernanceAgent, &p.Name, &p.Authorities, &p.Platform, &p.Disabled, &p.HasSecret, &p.CreatedAt,
	}
}

// AddPrincipal writes a new principal without a secret. It needs
// plant_operator; ErrNameTaken where its governance agent has one of that name.
func (db *DB) AddPrincipal(ctx context.Context, p Principal) error {
	return db.AddPrincipalWithSecret(ctx, p, "")
}

// AddPrincipalWithSecret is AddPrincipal with the bcrypt hash of a secret;
// empty means none.
func (db *DB) AddPrincipalWithSecret(ctx context.Context, p Principal, secretHash string) error {
	var b pgx.Batch
	b.Queue(`INSERT INTO public.principal (id, governance_agent_id, name, authorities, platform_authorities, secret_hash)
		VALUES ($1, $2, $3, $4, $5, nullif($6, ''))`,
		p.ID, p.GovernanceAgent, p.Name, texts(p.Authorities), texts(p.Platform), secretHash)
	return db.send(ctx, &b)
}

// FindPrincipal returns a governance agent's principal by its name, or
// ErrNotFound. It needs plant_operator or plant_authenticator.
func (db *DB) FindPrincipal(ctx context.Context, governanceAgent, name string) (Principal, error) {
	var b pgx.Batch
	var p Principal
	b.Queue(`SELECT `+principalColumns+` FROM public.principal WHERE governance_agent_id = $1 AND name = $2`,
		governanceAgent, name).QueryRow(func(row pgx.Row) error { return row.Scan(p.fields()...) })
	return p, db.send(ctx, &b)
}

// PrincipalWithSecret is FindPrincipal with the bcrypt hash of the secret, ""
// if the principal has none.
func (db *DB) PrincipalWithSecret(ctx context.Context, governanceAgent, name string) (Principal, string, error) {
	var b pgx.Batch
	var p Principal
	var hash string
	b.Queue(`SELECT `+principalColumns+`, coalesce(secret_hash, '') FROM public.principal
		WHERE governance_agent_id = $1 AND name = $2`,
		governanceAgent, name).QueryRow(func(row pgx.Row) error { return row.Scan(append(p.fields(), &hash)...) })
	err := db.send(ctx, &b)
	return p, hash, err
}

// PlatformOwner returns who owns an entity if the principal holds an authority
// platform-wide and is not disabled, else "".
func (db *DB) PlatformOwner(ctx context.Context, principal string, id domain.ID) (string, error) {
	var b pgx.Batch
	var owner *string
	b.Queue(`SELECT public.platform_owner($1, $2)`, principal, string(id)).
		QueryRow(func(row pgx.Row) error { return row.Scan(&owner) })
	if err := db.send(ctx, &b); err != nil || owner == nil {
		return "", err
	}
	return *owner, nil
}

// ListPrincipals returns the principals of a governance agent, or of all if it
// is empty, by governance agent and name. It needs plant_operator.
func (db *DB) ListPrincipals(ctx context.Context, governanceAgent string) ([]Principal, error) {
	var b pgx.Batch
	var list []Principal
	b.Queue(`SELECT `+principalColumns+` FROM public.principal WHERE $1 IN ('', governance_agent_id)
		ORDER BY governance_agent_id, name`, governanceAgent).Query(func(rows pgx.Rows) error {
		var err error
		list, err = pgx.CollectRows(rows, pgx.RowToStructByPos[Principal])
		return err
	})
	return list, db.send(ctx, &b)
}

// SetPrincipalSecret replaces the hash of a principal's secret: the old secret
// gets no token from now on. It needs plant_operator; ErrNotFound without such
// a principal.
func (db *DB) SetPrincipalSecret(ctx context.Context, id, secretHash string) error {
	return db.updatePrincipal(ctx, `UPDATE public.principal SET secret_hash = $2 WHERE id = $1`, id, secretHash)
}

// SetPrincipalDisabled takes a principal's right to write and to get tokens
// away at once, or gives it back. It needs plant_operator; ErrNotFound without
// such a principal.
func (db *DB) SetPrincipalDisabled(ctx context.Context, id string, disabled bool) error {
	return db.updatePrincipal(ctx, `UPDATE public.principal
		SET disabled_at = CASE WHEN $2 THEN coalesce(disabled_at, clock_timestamp()) END WHERE id = $1`, id, disabled)
}

func (db *DB) updatePrincipal(ctx context.Context, sql string, args ...any) error {
	var b pgx.Batch
	b.Queue(sql, args...).Exec(func(done pgconn.CommandTag) error {
		if done.RowsAffected() == 0 {
			return ErrNotFound
		}
		return nil
	})
	return db.send(ctx, &b)
}

func texts[S ~string](values []S) []string {
	list := make([]string, len(values))
	for i, v := range values {
		list[i] = string(v)
	}
	return list
}
