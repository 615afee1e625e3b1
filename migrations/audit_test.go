package migrations_test

import (
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"
)

func insertExport(t *testing.T, q executor, id uuid.UUID, tenant string) (pgconn.CommandTag, error) {
	t.Helper()
	return q.Exec(t.Context(), `INSERT INTO audit_export (id, governance_agent_id, principal_id, scope, viewer, seen, checkpoint, records)
		VALUES ($1, $2, $1, 'all', '', 0, 1, 0)`, id, tenant)
}

func insertRun(t *testing.T, q executor, id uuid.UUID, tenant string) (pgconn.CommandTag, error) {
	t.Helper()
	return q.Exec(t.Context(), `INSERT INTO audit_run (id, governance_agent_id, since, phase) VALUES ($1, $2, 'epoch', 'log')`, id, tenant)
}

func insertFinding(t *testing.T, q executor, id, run uuid.UUID, tenant string) (pgconn.CommandTag, error) {
	t.Helper()
	return q.Exec(t.Context(), `INSERT INTO audit_finding (id, run_id, governance_agent_id, reason, expected, found)
		VALUES ($1, $2, $3, 'row_differs', 'a', 'b')`, id, run, tenant)
}

func (w *world) addAudit(t *testing.T, tx pgx.Tx) {
	t.Helper()
	for _, c := range []class{own, private} {
		_, err := insertExport(t, tx, w.row[c], ownerOf(c))
		require.NoError(t, err)
		_, err = insertRun(t, tx, w.row[c], ownerOf(c))
		require.NoError(t, err)
		_, err = insertFinding(t, tx, w.row[c], w.row[c], ownerOf(c))
		require.NoError(t, err)
	}
}

func (w *world) auditProbes() map[string]probe {
	type tag = pgconn.CommandTag
	rows := map[class][]any{}
	for c, id := range w.row {
		rows[c] = []any{id}
	}
	return map[string]probe{
		"audit_export": {"id = $1", rows, "scope = scope", func(t *testing.T, q executor, c class, _ string) (tag, error) {
			return insertExport(t, q, newID(t), ownerOf(c))
		}, tenants},
		"audit_run": {"id = $1", rows, "entities = entities + 1", func(t *testing.T, q executor, c class, _ string) (tag, error) {
			return insertRun(t, q, newID(t), ownerOf(c))
		}, tenants},
		"audit_finding": {"id = $1", rows, "found = found", func(t *testing.T, q executor, c class, _ string) (tag, error) {
			return insertFinding(t, q, newID(t), w.row[own], ownerOf(c))
		}, tenants},
	}
}

// TestARunOnlyGoesOn: nobody, not even a superuser, turns a run back, gives it another
// scope, or goes on with one that is done.
func TestARunOnlyGoesOn(t *testing.T) {
	t.Parallel()
	db := newDatabase(t)
	w := newWorld(t, db)
	conn := db.as(t, superuser)
	id := w.row[own]
	refusedAs := func(sql string) {
		_, err := conn.Exec(t.Context(), "UPDATE audit_run SET "+sql+" WHERE id = $1", id)
		require.Equal(t, appendOnly, codeOf(t, err), sql)
	}
	_, err := conn.Exec(t.Context(), `UPDATE audit_run SET entities = 5, findings = 2, position = 'x' WHERE id = $1`, id)
	require.NoError(t, err)
	for _, sql := range []string{"entities = 4", "findings = 1", "governance_agent_id = 'globex'", "since = now()", "entity_type = 'skill'", "started_at = 'epoch'"} {
		refusedAs(sql)
	}
	_, err = conn.Exec(t.Context(), `UPDATE audit_run SET phase = 'done', finished_at = now() WHERE id = $1`, id)
	require.NoError(t, err)
	refusedAs("position = 'y'")
	refusedAs("phase = 'log', finished_at = NULL")
}
