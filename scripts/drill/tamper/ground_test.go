package tamper

import (
	"context"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/dlai-sd/plant/scripts/drill/deploy"
	"github.com/dlai-sd/plant/shared/checkpoints"
	"github.com/dlai-sd/plant/shared/testkit/harness"
)

func newTestGround(t *testing.T) *ground {
	t.Helper()
	d := harness.New(t)
	published, err := checkpoints.NewFolder(t.TempDir())
	require.NoError(t, err)
	place := deploy.Place{As: d.As, Secrets: d.Secrets, Keys: d.Keys, Origin: harness.Origin, Published: published}
	require.NoError(t, deploy.Populate(t.Context(), place, 44))
	g, err := newGround(t.Context(), Source{AdminURL: d.URL, As: d.As, Published: published, Origin: harness.Origin}, "plant_drill_ground")
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, g.close(context.WithoutCancel(t.Context()))) })
	return g
}

// TestWhatChangesNothingIsNoAttack: PostgreSQL counts a row as updated whose values are
// what they were.
func TestWhatChangesNothingIsNoAttack(t *testing.T) {
	t.Parallel()
	g := newTestGround(t)
	list, err := g.victims(t.Context())
	require.NoError(t, err)
	random := rand.New(rand.NewPCG(1, 2)) // #nosec G404 -- a test
	for sql, want := range map[string]bool{
		`UPDATE entity SET status = status WHERE id = '{id}'`:                                   false,
		`UPDATE amendment SET author = author WHERE entity_id = '{id}'`:                         false,
		`UPDATE entity SET name = 'other' WHERE id = '` + list[1].ID + `'`:                      false,
		`UPDATE amendment SET author = 'x' WHERE entity_id = '{id}'`:                            true,
		`DELETE FROM log_entry WHERE entity_id = '{id}'`:                                        true,
		`UPDATE embedding SET text_sha256 = sha256('x') WHERE entity_id = '` + list[1].ID + `'`: false,
	} {
		changed, err := g.onEntity(t.Context(), Attack{SQL: []string{sql}}, random, list[0], nil)
		require.NoError(t, err)
		require.Equal(t, want, changed, sql)
	}
	tables := []string{"log_entry", "tenant_salt"}
	require.NoError(t, g.save(t.Context(), tables))
	for sql, want := range map[string]bool{
		`UPDATE tenant_salt SET salt = salt`:                 false,
		`UPDATE tenant_salt SET salt = '{hash}'`:             true,
		`DELETE FROM log_entry WHERE log_index = 0`:          true,
		`DELETE FROM log_entry WHERE log_index = 1000000000`: false,
	} {
		changed, err := g.onLog(t.Context(), Attack{SQL: []string{sql}, Touches: tables}, random, Victim{})
		require.NoError(t, err)
		require.Equal(t, want, changed, sql)
		require.NoError(t, g.restore(t.Context(), tables))
	}
}

// TestAnAttackChoosesAnotherValue: also where the one that comes to mind is there already.
func TestAnAttackChoosesAnotherValue(t *testing.T) {
	t.Parallel()
	g := newTestGround(t)
	list, err := g.victims(t.Context())
	require.NoError(t, err)
	random := rand.New(rand.NewPCG(1, 2)) // #nosec G404 -- a test
	for name, has := range map[string]string{
		"an alignment":      `SELECT id::text FROM entity WHERE amendment_alignment = 'requires_review' AND entity_type = 'skill' LIMIT 1`,
		"a status":          `SELECT id::text FROM entity WHERE status = 'deprecated' LIMIT 1`,
		"a change's column": `UPDATE amendment SET change = 'reaffirmed' WHERE entity_id = (SELECT id FROM skill LIMIT 1) RETURNING entity_id::text`,
		"visibility":        `UPDATE entity SET visibility = 'public' WHERE id = (SELECT max(id::text)::uuid FROM skill) RETURNING id::text`,
	} {
		var id string
		require.NoError(t, g.conn.QueryRow(t.Context(), has).Scan(&id), name)
		v := list[slices.IndexFunc(list, func(v Victim) bool { return v.ID == id })]
		all := OnEntities()
		a := all[slices.IndexFunc(all, func(a Attack) bool { return a.Name == name })]
		for range 2 { // there, and back
			changed, err := g.onEntity(t.Context(), a, random, v, nil)
			require.NoError(t, err, name)
			require.True(t, changed, name)
		}
	}
}

// TestHeadsAreAttackedWhereTheyCount: what stands behind the newest heads record, and
// the salts of tenants that do, it says nothing of.
func TestHeadsAreAttackedWhereTheyCount(t *testing.T) {
	t.Parallel()
	g := newTestGround(t)
	for _, sql := range []string{ // a record of the keyring's first key alone, and salts for all
		`DELETE FROM heads WHERE log_index > (SELECT min(log_index) FROM heads)`, `UPDATE heads SET log_index = 1`,
		`INSERT INTO tenant_salt (governance_agent_id, salt) VALUES ('cirrus', sha256('x'))`,
	} {
		_, err := g.conn.Exec(t.Context(), sql)
		require.NoError(t, err)
	}
	tables := []string{"log_entry", "tenant_salt"}
	require.NoError(t, g.save(t.Context(), tables))
	attacks := map[string]string{
		"an entity counted for another tenant": `SELECT string_agg(log_index::text, ' ') FROM log_entry WHERE governance_agent_id = 'mallory'`,
		"a tenant's salt":                      `SELECT string_agg(s.governance_agent_id, ' ') FROM saved.tenant_salt s JOIN tenant_salt n USING (governance_agent_id) WHERE s.salt <> n.salt`,
		"a tenant's salt gone":                 `SELECT string_agg(s.governance_agent_id, ' ') FROM saved.tenant_salt s LEFT JOIN tenant_salt n USING (governance_agent_id) WHERE n.salt IS NULL`,
	}
	random := rand.New(rand.NewPCG(3, 4)) // #nosec G404 -- a test
	for _, a := range onEntries() {
		look, here := attacks[a.Name]
		for range 5 {
			if !here {
				continue
			}
			changed, err := g.onLog(t.Context(), a, random, Victim{})
			require.NoError(t, err, a.Name)
			require.True(t, changed, a.Name)
			var hit string
			require.NoError(t, g.conn.QueryRow(t.Context(), look).Scan(&hit), a.Name)
			require.Contains(t, []string{"0", "keyring"}, hit, a.Name)
			require.NoError(t, g.restore(t.Context(), tables))
		}
	}
}
