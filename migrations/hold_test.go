package migrations_test

import (
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"
)

const (
	byHand = `INSERT INTO hold_change (held, made_by, reason) VALUES (true, 'operator', 'x')`
	thrown = `INSERT INTO hold_change (held, made_by, reason, budget_id, period_start, cost, budget, currency)
		VALUES (true, 'budget', 'x', $1, '2026-11-01', 101.5, 100, 'USD')`
)

func (w *world) addHold(t *testing.T, tx pgx.Tx) {
	t.Helper()
	_, err := tx.Exec(t.Context(), byHand)
	require.NoError(t, err)
}

func (w *world) holdProbes() map[string]probe {
	return map[string]probe{
		"hold_change": {
			"id = $1",
			map[class][]any{platform: {1}},
			"reason = reason",
			func(t *testing.T, q executor, _ class, role string) (pgconn.CommandTag, error) {
				if role == "plant_auditor" {
					return q.Exec(t.Context(), thrown, newID(t).String())
				}
				return q.Exec(t.Context(), byHand)
			},
			[]class{platform},
		},
	}
}

// TestWhoThrowsTheSwitch: the audit's function throws it for a budget, once a period,
// and never lifts it; the operator does both and does not speak for a budget; neither
// says when it was, and nobody changes what was.
func TestWhoThrowsTheSwitch(t *testing.T) {
	t.Parallel()
	db := newDatabase(t)
	newWorld(t, db)
	auditor, operator, root := db.as(t, "plant_auditor"), db.as(t, "plant_operator"), db.as(t, superuser)
	for name, c := range map[string]struct {
		conn *pgx.Conn
		sql  string
		code string
	}{
		"the auditor by hand":       {auditor, byHand, refused},
		"the auditor lifts":         {auditor, `INSERT INTO hold_change (held, made_by, reason) VALUES (false, 'operator', 'x')`, refused},
		"the operator as a budget":  {operator, `INSERT INTO hold_change (held, made_by, reason) VALUES (true, 'budget', 'x')`, refused},
		"a time of one's own":       {operator, `INSERT INTO hold_change (held, made_by, reason, at) VALUES (true, 'operator', 'x', 'epoch')`, refused},
		"a number of one's own":     {operator, `INSERT INTO hold_change (id, held, made_by, reason) VALUES (9, true, 'operator', 'x')`, "428C9"},
		"a budget that lifts":       {auditor, `INSERT INTO hold_change (held, made_by, reason, budget_id, period_start, cost, budget, currency) VALUES (false, 'budget', 'x', 'b', 'epoch', 1, 1, 'USD')`, checkViolation},
		"a budget without its cost": {auditor, `INSERT INTO hold_change (held, made_by, reason, budget_id, period_start, budget, currency) VALUES (true, 'budget', 'x', 'b', 'epoch', 1, 'USD')`, checkViolation},
		"no reason":                 {operator, `INSERT INTO hold_change (held, made_by, reason) VALUES (true, 'operator', ' ')`, checkViolation},
		"two lines":                 {operator, `INSERT INTO hold_change (held, made_by, reason) VALUES (true, 'operator', E'a\nb')`, checkViolation},
		"history":                   {root, `UPDATE hold_change SET reason = 'y'`, appendOnly},
		"gone":                      {root, `DELETE FROM hold_change`, appendOnly},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := c.conn.Exec(t.Context(), c.sql)
			require.Equal(t, c.code, codeOf(t, err))
		})
	}
	_, err := auditor.Exec(t.Context(), thrown, "b")
	require.NoError(t, err)
	_, err = auditor.Exec(t.Context(), thrown, "b")
	require.Equal(t, uniqueViolation, codeOf(t, err))
	_, err = auditor.Exec(t.Context(), thrown, "another")
	require.NoError(t, err)
}
