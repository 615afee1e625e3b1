package migrations_test

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// inUse is a schema with tables in use.
func inUse() schema {
	return schema{
		tables:  map[string]bool{"entity": true, "amendment": true, "drift_run": true},
		indexes: map[string]string{"entity_created": "entity"},
	}
}

func TestLintFinds(t *testing.T) {
	t.Parallel()
	for sql, finding := range map[string]string{
		"DROP TABLE entity":                                                                  "drops table entity",
		"DROP TABLE IF EXISTS public.entity CASCADE":                                         "drops table entity",
		"DROP VIEW old":                                                                      "drops view old",
		"DROP FUNCTION born_at(uuid)":                                                        "drops function born_at",
		"DROP POLICY read_own ON entity":                                                     "drops policy read_own",
		"DROP TRIGGER entity_forget ON entity":                                               "drops trigger entity_forget",
		"DROP INDEX entity_created":                                                          "drops index entity_created",
		"ALTER TABLE entity DROP COLUMN name":                                                "drops column name of entity",
		"ALTER TABLE entity DROP name":                                                       "drops name of entity",
		"ALTER TABLE entity ADD a int, DROP COLUMN IF EXISTS b":                              "drops column b of entity",
		"ALTER TABLE entity DROP CONSTRAINT c":                                               "drops constraint c of entity",
		"ALTER TABLE entity RENAME TO thing":                                                 "renames in entity",
		"ALTER TABLE ONLY public.entity\n  RENAME COLUMN a TO b":                             "renames in entity",
		"ALTER INDEX entity_created RENAME TO x":                                             "renames",
		"ALTER FUNCTION born_at(uuid) RENAME TO x":                                           "renames",
		"ALTER TABLE entity ALTER COLUMN name TYPE varchar(20)":                              "changes the type of entity.name",
		"ALTER TABLE entity ALTER name SET DATA TYPE text":                                   "changes the type of entity.name",
		"ALTER TABLE entity ALTER COLUMN name SET NOT NULL":                                  "set not null of entity.name",
		"ALTER TABLE entity ALTER COLUMN name DROP DEFAULT":                                  "drop default of entity.name",
		"ALTER TABLE entity ADD COLUMN a int NOT NULL":                                       "entity.a is NOT NULL and has no default",
		"ALTER TABLE entity ADD a numeric(3, 1) NOT NULL, ADD b int":                         "entity.a is NOT NULL and has no default",
		"ALTER TABLE entity ADD COLUMN a uuid DEFAULT gen_random_uuid()":                     "entity.a: writes the whole table anew",
		"ALTER TABLE entity ADD COLUMN a timestamptz NOT NULL DEFAULT clock_timestamp()":     "entity.a: writes the whole table anew",
		"ALTER TABLE entity ADD COLUMN a int GENERATED ALWAYS AS (b + 1) STORED":             "entity.a: writes the whole table anew",
		"ALTER TABLE entity ADD COLUMN a bigserial":                                          "entity.a: writes the whole table anew",
		"ALTER TABLE entity ADD COLUMN a int UNIQUE":                                         "entity.a: unique goes through all of the table",
		"ALTER TABLE entity ADD COLUMN a int CHECK (a > 0)":                                  "entity.a: check goes through all of the table",
		"ALTER TABLE entity ADD COLUMN a uuid REFERENCES entity (id)":                        "entity.a: references goes through all of the table",
		"ALTER TABLE entity ADD CONSTRAINT c CHECK (a > 0)":                                  "constraint c: reads all of entity",
		"ALTER TABLE entity ADD CHECK (a > 0)":                                               "constraint without a name: reads all of entity",
		"ALTER TABLE entity ADD CONSTRAINT c FOREIGN KEY (a) REFERENCES amendment (id)":      "constraint c: reads all of entity",
		"ALTER TABLE entity ADD CONSTRAINT c UNIQUE (a)":                                     "constraint c: makes an index while entity is shut",
		"ALTER TABLE entity ADD CONSTRAINT c CHECK (a > 0) NOT VALID, VALIDATE CONSTRAINT c": "validate c in the migration after",
		"ALTER TABLE entity SET UNLOGGED":                                                    "writes all of entity anew",
		"CREATE INDEX i ON entity (a)":                                                       "index i: nobody writes entity",
		"CREATE INDEX IF NOT EXISTS i ON ONLY public.entity USING hnsw (a)":                  "index i: nobody writes entity",
		"CREATE INDEX CONCURRENTLY i ON drift_run (a)":                                       "index i concurrently, which no transaction does",
		"CREATE UNIQUE INDEX i ON drift_run (a)":                                             "index i may refuse what the version before writes",
		"CREATE INDEX i ON unknown (a)":                                                      "index i: nobody writes unknown",
		"UPDATE entity SET a = 1":                                                            "update entity, in one transaction",
		"DELETE FROM public.entity":                                                          "delete from entity, in one transaction",
		"TRUNCATE entity":                                                                    "truncate entity, in one transaction",
		"LOCK TABLE entity":                                                                  "lock entity, in one transaction",
		"CLUSTER entity":                                                                     "does what a migration may not: cluster",
		"REVOKE SELECT ON entity FROM plant_writer":                                          "revokes from plant_writer what it may on entity",
		"REVOKE EXECUTE ON FUNCTION born_at(uuid) FROM plant_reader":                         "revokes from plant_reader what it may on born_at",
		"DO $$ BEGIN EXECUTE 'DROP TABLE entity'; END $$":                                    "hides in DO: drop table",
		"DO $body$ BEGIN EXECUTE format('ALTER TABLE %I RENAME TO x', t); END $body$":        "hides in DO: rename",
		"ALTER TABLE entity ADD a int; ALTER TABLE amendment ADD a int":                      "shuts amendment, entity at once",
		"CREATE POLICY p ON entity USING (true); CREATE POLICY p ON amendment USING (true)":  "shuts amendment, entity at once",
	} {
		t.Run(sql, func(t *testing.T) {
			t.Parallel()
			l := inUse().lint("-- +goose Up\n" + sql + ";\n")
			require.Len(t, l.findings, 1)
			require.Contains(t, l.findings[0], finding)
		})
	}
}

func TestLintAllows(t *testing.T) {
	t.Parallel()
	for _, sql := range []string{
		"ALTER TABLE entity ADD COLUMN a text",
		"ALTER TABLE entity ADD COLUMN a boolean NOT NULL DEFAULT false, ADD b text[] NOT NULL DEFAULT '{}'::text[]",
		"ALTER TABLE entity ADD COLUMN a timestamptz NOT NULL DEFAULT now(), ADD COLUMN b varchar(7) DEFAULT 'x, NOT NULL'",
		"ALTER TABLE entity ADD COLUMN a text; ALTER TABLE entity ADD CONSTRAINT c CHECK (length(a) < 9) NOT VALID",
		"ALTER TABLE entity VALIDATE CONSTRAINT c; ALTER TABLE amendment VALIDATE CONSTRAINT d",
		"ALTER TABLE entity ALTER COLUMN a SET DEFAULT 1, ALTER b DROP NOT NULL",
		"ALTER TABLE drift_run ADD CONSTRAINT c UNIQUE (a)",
		"CREATE TABLE new (id int NOT NULL, name text); CREATE UNIQUE INDEX i ON new (name); ALTER TABLE new ADD b int NOT NULL, DROP COLUMN name; UPDATE new SET b = 1; DROP INDEX i; DROP TABLE new",
		"CREATE TABLE new (id uuid REFERENCES entity (id)); CREATE POLICY p ON new USING (true); ALTER TABLE entity ADD a int",
		"CREATE INDEX i ON drift_run (a)",
		"CREATE TRIGGER g BEFORE UPDATE OR DELETE ON entity FOR EACH ROW EXECUTE FUNCTION f(); ALTER TABLE entity ENABLE ALWAYS TRIGGER g; ALTER TABLE amendment ADD a int",
		"CREATE FUNCTION f() RETURNS void LANGUAGE plpgsql AS $$ BEGIN DELETE FROM public.entity; END $$; REVOKE EXECUTE ON FUNCTION f() FROM PUBLIC; GRANT EXECUTE ON FUNCTION f() TO plant_writer",
		"CREATE OR REPLACE FUNCTION born_at(id uuid) RETURNS void LANGUAGE sql AS 'UPDATE entity SET a = 1'",
		"INSERT INTO entity VALUES ('DROP TABLE entity; x')",
		"-- DROP TABLE entity;\n/* RENAME; */ GRANT SELECT ON entity TO plant_reader",
		"COMMENT ON COLUMN entity.a IS 'it''s one to RENAME; later'",
	} {
		t.Run(sql, func(t *testing.T) {
			t.Parallel()
			require.Empty(t, inUse().lint("-- +goose Up\n"+sql+";\n").findings)
		})
	}
}

// What a migration made is in use from the next one on.
func TestLintRemembers(t *testing.T) {
	t.Parallel()
	first := inUse().lint("CREATE TABLE new (id int); CREATE INDEX i ON new (id);")
	require.Empty(t, first.findings)
	require.Len(t, first.after().lint("CREATE INDEX j ON new (id);").findings, 1)
	require.Len(t, first.after().lint("DROP INDEX i; ALTER TABLE entity ADD a int;").findings, 2)
}
