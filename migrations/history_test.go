package migrations_test

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/dlai-sd/plant/migrations"
)

// The migrator is nothing until it says SET ROLE plant_owner.
func TestMigratorHasNothingOfItsOwn(t *testing.T) {
	t.Parallel()
	db := newDatabase(t)
	w := newWorld(t, db)
	tx := inTenant(t, db.as(t, "plant_migrator"), acme)
	for table, p := range w.probes(t) {
		for _, sql := range []string{
			"SELECT FROM public." + table, "INSERT INTO public." + table + " DEFAULT VALUES",
			"UPDATE public." + table + " SET " + p.set, "DELETE FROM public." + table, "TRUNCATE public." + table,
		} {
			code, _ := try(t, tx, sql)
			require.Equal(t, refused, code, sql)
		}
	}
}

// No policy binds a superuser, and no privilege the owner; the triggers bind both.
func TestNotEvenASuperuserRemovesHistory(t *testing.T) {
	t.Parallel()
	db := newDatabase(t)
	w := newWorld(t, db)
	for _, who := range []string{"superuser", "superuser as replica", migrations.Owner} {
		t.Run(who, func(t *testing.T) {
			conn := db.as(t, superuser)
			tx, err := conn.Begin(t.Context())
			require.NoError(t, err)
			defer func() { require.NoError(t, tx.Rollback(t.Context())) }()
			switch who {
			case migrations.Owner:
				_, err = tx.Exec(t.Context(), "SET LOCAL ROLE "+migrations.Owner)
			case "superuser as replica":
				_, err = tx.Exec(t.Context(), "SET LOCAL session_replication_role = replica")
			}
			require.NoError(t, err)
			probes := w.probes(t)
			for table, p := range probes {
				code, _ := try(t, tx, "TRUNCATE "+table+" CASCADE")
				require.Equal(t, appendOnly, code, "truncate %s", table)
				if !slices.Contains([]string{
					"entity", "amendment", "opening", "signature_batch", "constitution", "enactment", "signing_key",
					"log_entry", "log_tile", "heads", "checkpoint", "log_fork", "tenant_salt", "refusal",
					"audit_export", "audit_run", "audit_finding", "hold_change",
				}, table) {
					continue
				}
				for c, key := range p.rows {
					code, _ := try(t, tx, "DELETE FROM "+table+" WHERE "+p.where, key...)
					require.Equal(t, appendOnly, code, "delete %s %s", c, table)
					if table == "entity" || table == "signing_key" || table == "log_tile" || table == "audit_run" {
						continue
					}
					code, _ = try(t, tx, "UPDATE "+table+" SET "+p.set+" WHERE "+p.where, key...)
					require.Equal(t, appendOnly, code, "update %s %s", c, table)
				}
			}
		})
	}
}
