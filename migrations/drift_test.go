package migrations_test

import (
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"
)

func insertDriftRun(t *testing.T, q executor, id uuid.UUID, tenant string) (pgconn.CommandTag, error) {
	t.Helper()
	return q.Exec(t.Context(), `INSERT INTO drift_run (id, governance_agent_id, principal_id, phase) VALUES ($1, $2, $1, 'vectors')`, id, tenant)
}

func insertDriftReport(t *testing.T, q executor, run uuid.UUID, tenant, figure string) (pgconn.CommandTag, error) {
	t.Helper()
	return q.Exec(t.Context(), `INSERT INTO drift_report (run_id, governance_agent_id, figure, n) VALUES ($1, $2, $3, 1)`, run, tenant, figure)
}

func insertDriftFinding(t *testing.T, q executor, id, run uuid.UUID, tenant string) (pgconn.CommandTag, error) {
	t.Helper()
	return q.Exec(t.Context(), `INSERT INTO drift_finding (id, run_id, governance_agent_id, entity_id, entity_type, reason, detail)
		VALUES ($1, $2, $3, $1, 'skill', 'vector_drifted', 'x')`, id, run, tenant)
}

func (w *world) addDrift(t *testing.T, tx pgx.Tx) {
	t.Helper()
	for _, c := range []class{own, private} {
		_, err := insertDriftRun(t, tx, w.row[c], ownerOf(c))
		require.NoError(t, err)
		_, err = insertDriftReport(t, tx, w.row[c], ownerOf(c), "vectors_checked")
		require.NoError(t, err)
		_, err = insertDriftFinding(t, tx, w.row[c], w.row[c], ownerOf(c))
		require.NoError(t, err)
	}
}

func (w *world) driftProbes() map[string]probe {
	type tag = pgconn.CommandTag
	rows := map[class][]any{}
	for c, id := range w.row {
		rows[c] = []any{id}
	}
	return map[string]probe{
		"drift_run": {"id = $1", rows, "position = 'x'", func(t *testing.T, q executor, c class, _ string) (tag, error) {
			return insertDriftRun(t, q, newID(t), ownerOf(c))
		}, tenants},
		"drift_report": {"run_id = $1", rows, "n = n + 1", func(t *testing.T, q executor, c class, _ string) (tag, error) {
			return insertDriftReport(t, q, w.row[own], ownerOf(c), "undecided")
		}, tenants},
		"drift_finding": {"id = $1", rows, "detail = detail", func(t *testing.T, q executor, c class, _ string) (tag, error) {
			return insertDriftFinding(t, q, newID(t), w.row[own], ownerOf(c))
		}, tenants},
	}
}

// TestADriftRunOnlyGoesOn: nobody, not even a superuser, turns a run back, counts less,
// or goes on with one that is done; the clock has one a day, and a tenant sees that.
func TestADriftRunOnlyGoesOn(t *testing.T) {
	t.Parallel()
	db := newDatabase(t)
	w := newWorld(t, db)
	conn := db.as(t, superuser)
	id := w.row[own]
	refused := func(sql string) {
		_, err := conn.Exec(t.Context(), sql, id)
		require.Equal(t, appendOnly, codeOf(t, err), sql)
	}
	refused(`UPDATE drift_run SET governance_agent_id = 'globex' WHERE id = $1`)
	refused(`UPDATE drift_run SET started_at = 'epoch' WHERE id = $1`)
	refused(`UPDATE drift_report SET n = 0 WHERE run_id = $1`)
	refused(`UPDATE drift_report SET figure = 'x' WHERE run_id = $1`)
	refused(`DELETE FROM drift_report WHERE run_id = $1`)
	_, err := conn.Exec(t.Context(), `SELECT advance_drift($1, 'vectors', '', 'vectors', 'a')`, id)
	require.NoError(t, err)
	_, err = conn.Exec(t.Context(), `SELECT advance_drift($1, 'vectors', '', 'vectors', 'b')`, id)
	require.Equal(t, "PL010", codeOf(t, err))
	_, err = conn.Exec(t.Context(), `SELECT advance_drift($1, 'vectors', 'a', 'done', '')`, id)
	require.NoError(t, err)
	refused(`UPDATE drift_run SET position = 'y' WHERE id = $1`)
	daily := `INSERT INTO drift_run (id, phase) VALUES ($1, 'vectors')`
	_, err = conn.Exec(t.Context(), daily, newID(t))
	require.NoError(t, err)
	_, err = conn.Exec(t.Context(), daily, newID(t))
	require.Equal(t, "23505", codeOf(t, err))
}
