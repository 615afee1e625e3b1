package store

import (
	"context"

	"github.com/jackc/pgx/v5"

	"github.com/dlai-sd/plant/shared/domain"
)

// Owned is an entity and who owns it.
type Owned struct {
	ID    domain.ID
	Owner string
}

// WaitingAgents returns up to limit draft agents of all tenants, in a team, that
// name an entity, behind an id.
func (db *DB) WaitingAgents(ctx context.Context, ground, after domain.ID, limit int) ([]Owned, error) {
	var b pgx.Batch
	var list []Owned
	b.Queue(`SELECT agent, owner FROM public.waiting_agents($1, $2, $3)`, string(ground), string(after), limit).
		Query(func(rows pgx.Rows) error {
			var err error
			list, err = pgx.CollectRows(rows, pgx.RowToStructByPos[Owned])
			return err
		})
	return list, db.send(ctx, &b)
}
