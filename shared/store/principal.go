package store

import (
	"context"

	"github.com/jackc/pgx/v5"

	"github.com/dlai-sd/plant/shared/domain"
)

// Principal is a row of the principals: who may call, and what it may decide.
type Principal struct {
	ID              string
	GovernanceAgent string
	Name            string
	Authorities     []domain.Authority
	Platform        []domain.Authority
	Disabled        bool
}

// AddPrincipal writes a new principal. It needs plant_operator.
func (db *DB) AddPrincipal(ctx context.Context, p Principal) error {
	var b pgx.Batch
	b.Queue(`INSERT INTO public.principal (id, governance_agent_id, name, authorities, platform_authorities)
		VALUES ($1, $2, $3, $4, $5)`, p.ID, p.GovernanceAgent, p.Name, texts(p.Authorities), texts(p.Platform))
	return db.send(ctx, &b)
}

// FindPrincipal returns a governance agent's principal by its name. It needs
// plant_operator or plant_authenticator.
func (db *DB) FindPrincipal(ctx context.Context, governanceAgent, name string) (Principal, error) {
	var b pgx.Batch
	p := Principal{GovernanceAgent: governanceAgent, Name: name}
	b.Queue(`SELECT id::text, authorities, platform_authorities, disabled_at IS NOT NULL FROM public.principal
		WHERE governance_agent_id = $1 AND name = $2`, governanceAgent, name).QueryRow(func(row pgx.Row) error {
		return row.Scan(&p.ID, &p.Authorities, &p.Platform, &p.Disabled)
	})
	return p, db.send(ctx, &b)
}

// SetPrincipalDisabled takes a principal's right to write away at once, or
// gives it back. It needs plant_operator.
func (db *DB) SetPrincipalDisabled(ctx context.Context, id string, disabled bool) error {
	var b pgx.Batch
	b.Queue(`UPDATE public.principal SET disabled_at = CASE WHEN $2 THEN clock_timestamp() END WHERE id = $1`, id, disabled)
	return db.send(ctx, &b)
}

func texts[S ~string](values []S) []string {
	list := make([]string, len(values))
	for i, v := range values {
		list[i] = string(v)
	}
	return list
}
