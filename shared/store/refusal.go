package store

import (
	"context"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/dlai-sd/plant/shared/domain"
)

// Refusal is an attempt that was refused, as the audit trail keeps it.
type Refusal struct {
	ID              string
	At              time.Time
	GovernanceAgent string // of who tried
	Principal       string // UUID
	Operation       string
	Decision        string
	Kind            domain.Kind
	EntityID        domain.ID
	EntityOwner     string // found out by the database; "" where there is no such entity
	Code            domain.Code
	Rules           []string
	RequestID       string
}

const insertRefusals = `
INSERT INTO public.refusal (id, governance_agent_id, principal_id, operation, decision, entity_type, entity_id, code, rules, request_id)
VALUES ($1, $2, $3, $4, nullif($5, ''), nullif($6, ''), nullif($7, '')::uuid, $8, $9, nullif($10, ''))`

// NoteRefusals keeps refused attempts of one governance agent's principals.
func (db *DB) NoteRefusals(ctx context.Context, tenant string, refusals []Refusal) error {
	var b pgx.Batch
	asTenant(&b, tenant)
	for _, r := range refusals {
		id, err := uuid.NewV7()
		if err != nil {
			return err
		}
		if r.Rules == nil {
			r.Rules = []string{}
		}
		b.Queue(insertRefusals, id.String(), r.GovernanceAgent, r.Principal, r.Operation, r.Decision, string(r.Kind),
			string(r.EntityID), string(r.Code), r.Rules, r.RequestID)
	}
	return db.send(ctx, &b)
}

// Refusals returns up to limit attempts before an id ("": the newest), newest
// first: those of the tenant's principals, and those on what the tenant owns.
func (db *DB) Refusals(ctx context.Context, tenant, before string, limit int) ([]Refusal, error) {
	var b pgx.Batch
	asTenant(&b, tenant)
	var list []Refusal
	b.Queue(`SELECT id::text, refused_at, governance_agent_id, principal_id::text, operation, coalesce(decision, ''),
			coalesce(entity_type, ''), coalesce(entity_id::text, ''), coalesce(entity_owner, ''), code, rules, coalesce(request_id, '')
		FROM public.refusal WHERE $1 = '' OR id < nullif($1, '')::uuid ORDER BY id DESC LIMIT $2`, before, limit).
		Query(func(rows pgx.Rows) error {
			var err error
			list, err = pgx.CollectRows(rows, pgx.RowToStructByPos[Refusal])
			return err
		})
	return list, db.send(ctx, &b)
}
