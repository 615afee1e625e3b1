package store

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
)

// Export is a cut that was asked for.
type Export struct {
	ID              string
	GovernanceAgent string // of who asked
	Principal       string
	Scope           string
	Viewer          string // whose openings are shown; "": everybody's
	Seen            int64  // size of a checkpoint that the auditor holds; 0: none
	Checkpoint      int64  // its number
	Records         int64
	CreatedAt       time.Time
}

// AddExport writes down a cut, and returns it with the moment. The principal must
// exist and be enabled: else ErrPrincipal.
func (db *DB) AddExport(ctx context.Context, e Export) (Export, error) {
	var b pgx.Batch
	b.Queue(`SELECT public.require_principal($1, $2)`, e.Principal, e.GovernanceAgent)
	b.Queue(`INSERT INTO public.audit_export (id, governance_agent_id, principal_id, scope, viewer, seen, checkpoint, records)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8) RETURNING created_at`,
		e.ID, e.GovernanceAgent, e.Principal, e.Scope, e.Viewer, e.Seen, e.Checkpoint, e.Records).
		QueryRow(func(row pgx.Row) error { return row.Scan(&e.CreatedAt) })
	return e, db.send(ctx, &b)
}

// Export returns a cut and its checkpoint, as the tenant sees it; ErrNotFound if
// there is none.
func (db *DB) Export(ctx context.Context, tenant, id string) (Export, Noted, error) {
	var b pgx.Batch
	asReader(&b, tenant)
	e := Export{ID: id}
	var cut Noted
	b.Queue(`SELECT e.governance_agent_id, e.principal_id::text, e.scope, e.viewer, e.seen, e.checkpoint, e.records, e.created_at,
			c.size, c.root, c.note
		FROM public.audit_export e JOIN public.checkpoint c ON c.n = e.checkpoint WHERE e.id = $1`, id).
		QueryRow(func(row pgx.Row) error {
			var root []byte
			var note string
			err := row.Scan(&e.GovernanceAgent, &e.Principal, &e.Scope, &e.Viewer, &e.Seen, &e.Checkpoint, &e.Records, &e.CreatedAt,
				&cut.Size, &root, &note)
			copy(cut.Root[:], root)
			cut.N, cut.Note = e.Checkpoint, []byte(note)
			return err
		})
	return e, cut, db.send(ctx, &b)
}
