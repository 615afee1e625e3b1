package migrations_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/dlai-sd/plant/migrations"
)

// Each query lists offenders: the catalogue must have none.
func TestCatalogueHasNo(t *testing.T) {
	t.Parallel()
	db := newDatabase(t)
	conn := db.as(t, superuser)
	const ours = ` relnamespace = 'public'::regnamespace `
	cases := map[string]string{
		"table without forced row-level security": `SELECT relname FROM pg_class WHERE` + ours + `
			AND relkind IN ('r', 'p') AND NOT (relrowsecurity AND relforcerowsecurity)`,
		"table without the owner's policy": `SELECT relname FROM pg_class c WHERE` + ours + ` AND relkind IN ('r', 'p')
			AND NOT EXISTS (SELECT FROM pg_policy p WHERE p.polrelid = c.oid AND polname = 'owner_all' AND polcmd = '*'
				AND polroles = ARRAY['plant_owner'::regrole::oid] AND polpermissive
				AND pg_get_expr(polqual, polrelid) = 'true' AND pg_get_expr(polwithcheck, polrelid) = 'true')`,
		"policy for PUBLIC, or for all commands but the owner's": `SELECT polname || ' on ' || polrelid::regclass FROM pg_policy
			WHERE 0 = ANY (polroles) OR (polcmd = '*' AND polname <> 'owner_all')`,
		"privilege without a policy for its command": `SELECT DISTINCT c.relname || ' ' || a.privilege_type || ' ' || a.grantee::regrole
			FROM pg_class c, LATERAL (
				SELECT grantee, privilege_type FROM aclexplode(c.relacl)
				UNION SELECT x.grantee, x.privilege_type FROM pg_attribute att, aclexplode(att.attacl) x WHERE att.attrelid = c.oid) a
			WHERE` + ours + ` AND relkind IN ('r', 'p') AND NOT EXISTS (SELECT FROM pg_policy p WHERE p.polrelid = c.oid
				AND a.grantee = ANY (p.polroles) AND p.polcmd IN ('*', CASE a.privilege_type
					WHEN 'SELECT' THEN 'r' WHEN 'INSERT' THEN 'a' WHEN 'UPDATE' THEN 'w' WHEN 'DELETE' THEN 'd' END))
			AND a.grantee <> 'plant_owner'::regrole`,
		"policy without the privilege for its command": `SELECT p.polname || ' on ' || p.polrelid::regclass || ' for ' || r::regrole
			FROM pg_policy p, unnest(p.polroles) r WHERE p.polname <> 'owner_all'
			AND NOT has_table_privilege(r, p.polrelid, CASE p.polcmd
				WHEN 'r' THEN 'SELECT' WHEN 'a' THEN 'INSERT' WHEN 'w' THEN 'UPDATE' WHEN 'd' THEN 'DELETE' END)
			AND NOT (p.polcmd <> 'd' AND has_any_column_privilege(r, p.polrelid, CASE p.polcmd
				WHEN 'r' THEN 'SELECT' WHEN 'a' THEN 'INSERT' WHEN 'w' THEN 'UPDATE' ELSE 'SELECT' END))`,
		"view or materialised view": `SELECT relname FROM pg_class WHERE` + ours + ` AND relkind IN ('v', 'm')
			AND NOT EXISTS (SELECT FROM pg_depend WHERE objid = pg_class.oid AND deptype = 'e')`,
		"table, sequence or column privilege of PUBLIC": `SELECT relname FROM pg_class c WHERE` + ours + ` AND (
			EXISTS (SELECT FROM aclexplode(relacl) WHERE grantee = 0)
			OR EXISTS (SELECT FROM pg_attribute, aclexplode(attacl) a WHERE attrelid = c.oid AND a.grantee = 0))`,
		"function that PUBLIC may execute (the extension's own aside)": `SELECT proname FROM pg_proc p
			WHERE pronamespace = 'public'::regnamespace
			AND EXISTS (SELECT FROM aclexplode(coalesce(proacl, acldefault('f', proowner))) WHERE grantee = 0)
			AND NOT EXISTS (SELECT FROM pg_depend WHERE classid = 'pg_proc'::regclass AND objid = p.oid AND deptype = 'e')`,
		"schema privilege of PUBLIC": `SELECT nspname FROM pg_namespace WHERE nspname = 'public'
			AND EXISTS (SELECT FROM aclexplode(coalesce(nspacl, acldefault('n', nspowner))) WHERE grantee = 0)`,
		"database privilege of PUBLIC": `SELECT datname FROM pg_database WHERE datname = current_database()
			AND EXISTS (SELECT FROM aclexplode(coalesce(datacl, acldefault('d', datdba))) WHERE grantee = 0)`,
		"schema of our own beside public": `SELECT nspname FROM pg_namespace
			WHERE nspname !~ '^pg_' AND nspname NOT IN ('public', 'information_schema')`,
		"object of another owner than plant_owner": `
			SELECT relname FROM pg_class WHERE` + ours + ` AND relowner <> 'plant_owner'::regrole
			UNION ALL SELECT proname FROM pg_proc p WHERE pronamespace = 'public'::regnamespace
				AND proowner <> 'plant_owner'::regrole
				AND NOT EXISTS (SELECT FROM pg_depend WHERE classid = 'pg_proc'::regclass AND objid = p.oid AND deptype = 'e')
			UNION ALL SELECT datname FROM pg_database WHERE datname = current_database() AND datdba <> 'plant_owner'::regrole`,
		"role of ours with more than its grants": `SELECT rolname FROM pg_roles WHERE rolname LIKE 'plant\_%'
			AND (rolsuper OR rolbypassrls OR rolcreatedb OR rolcreaterole OR rolreplication)`,
		"login of the owner, or duty that cannot log in": `SELECT rolname FROM pg_roles WHERE rolname LIKE 'plant\_%'
			AND rolcanlogin = (rolname = 'plant_owner')`,
		"membership that inherits": `SELECT roleid::regrole || ' to ' || member::regrole FROM pg_auth_members
			WHERE member::regrole::text LIKE 'plant\_%' AND (inherit_option OR admin_option)`,
		"definer function without a fixed search_path": `SELECT proname FROM pg_proc WHERE pronamespace = 'public'::regnamespace
			AND prosecdef AND proconfig IS DISTINCT FROM ARRAY['search_path=pg_catalog, pg_temp']`,
		"trigger that replication could skip": `SELECT tgname FROM pg_trigger JOIN pg_class c ON c.oid = tgrelid
			WHERE` + ours + ` AND NOT tgisinternal AND tgenabled <> 'A'`,
		"table without a trigger against TRUNCATE": `SELECT relname FROM pg_class c WHERE` + ours + ` AND relkind IN ('r', 'p')
			AND NOT EXISTS (SELECT FROM pg_trigger WHERE tgrelid = c.oid AND tgtype & 34 = 34
				AND tgfoid = 'prevent_truncate'::regproc)`,
		"append-only table without its trigger": `SELECT t FROM unnest(ARRAY['entity', 'amendment', 'opening', 'signature_batch',
			'constitution', 'enactment', 'skill', 'job_role', 'team', 'agent', 'industry', 'signing_key',
			'log_entry', 'heads', 'checkpoint', 'log_fork', 'tenant_salt', 'refusal', 'audit_export', 'audit_finding', 'drift_finding',
			'hold_change']) t
			WHERE NOT EXISTS (SELECT FROM pg_trigger WHERE tgrelid = t::regclass AND tgtype & 16 = 16
				AND tgfoid = 'prevent_audit_column_updates'::regproc)`,
		"constraint with a name made by Postgres": `SELECT conname FROM pg_constraint
			WHERE connamespace = 'public'::regnamespace AND contype <> 'n' AND conname ~ '(_check|_fkey|_key|_not_null)[0-9]+$'`,
		"constraint that is not valid or not enforced": `SELECT conname FROM pg_constraint
			WHERE connamespace = 'public'::regnamespace AND NOT convalidated`,
		"foreign key without an index on what may be looked up from it": `SELECT conname FROM pg_constraint k
			WHERE connamespace = 'public'::regnamespace AND contype = 'f' AND conrelid <> 'amendment'::regclass
			AND conname NOT IN ('entity_head_fkey', 'signature_batch_key_fkey') AND NOT EXISTS (SELECT FROM pg_index i
				WHERE i.indrelid = k.conrelid AND i.indkey[0] = ANY (k.conkey))`,
	}
	for what, sql := range cases {
		t.Run(what, func(t *testing.T) { require.Empty(t, column(t, conn, sql)) })
	}
}

func TestRolesAreTheOnesOfTheDesign(t *testing.T) {
	t.Parallel()
	conn := newDatabase(t).as(t, superuser)
	require.Equal(t,
		sorted(append(migrations.Roles(), migrations.Owner, "plant_migrator")...),
		column(t, conn, `SELECT rolname FROM pg_roles WHERE rolname LIKE 'plant\_%' ORDER BY rolname COLLATE "C"`))
	require.Equal(t,
		[]string{
			"plant_owner to plant_migrator", "plant_reader to plant_auditor", "plant_reader to plant_certifier",
			"plant_reader to plant_drift", "plant_reader to plant_embedder",
		},
		column(t, conn, `SELECT roleid::regrole || ' to ' || member::regrole FROM pg_auth_members
			WHERE member::regrole::text LIKE 'plant\_%' ORDER BY 1`))
}

func TestFunctionsAreGrantedAsWritten(t *testing.T) {
	t.Parallel()
	conn := newDatabase(t).as(t, superuser)
	require.Equal(t,
		[]string{
			"advance_drift to plant_drift",
			"archived_after_shared to plant_reader", "archived_after_shared to plant_writer", "begin_enactment to plant_certifier",
			"born_at to plant_auditor", "born_at to plant_certifier", "born_at to plant_drift", "born_at to plant_embedder",
			"born_at to plant_operator", "born_at to plant_reader", "born_at to plant_writer",
			"enact_constitution to plant_certifier", "health to plant_operator",
			"holds_authority to plant_auditor", "holds_authority to plant_certifier", "holds_authority to plant_drift",
			"invisible to plant_writer", "log_places to plant_certifier", "log_places to plant_drift",
			"platform_owner to plant_auditor", "platform_owner to plant_certifier", "platform_owner to plant_embedder", "platform_owner to plant_reader",
			"platform_owner to plant_writer", "require_agents to plant_certifier", "require_agents to plant_writer",
			"require_authority to plant_certifier", "require_authority to plant_writer", "require_certified to plant_certifier", "require_no_cycle to plant_writer",
			"require_principal to plant_auditor", "require_principal to plant_certifier",
			"require_principal to plant_drift", "require_principal to plant_reader", "require_principal to plant_writer",
			"require_visible to plant_writer", "waiting_agents to plant_writer",
		},
		column(t, conn, `SELECT proname || ' to ' || a.grantee::regrole FROM pg_proc p, aclexplode(proacl) a
			WHERE pronamespace = 'public'::regnamespace AND a.grantee <> 'plant_owner'::regrole
			AND NOT EXISTS (SELECT FROM pg_depend WHERE classid = 'pg_proc'::regclass AND objid = p.oid AND deptype = 'e')
			ORDER BY 1`))
}

// Columns that no role may update, whatever the policies say: audit columns,
// generated ones, and all of history.
func TestUpdatableColumnsAreTheseAlone(t *testing.T) {
	t.Parallel()
	conn := newDatabase(t).as(t, superuser)
	head := `amendment_alignment constitution_hash custom_attributes deleted_at drift_detector embedding erased_seqs
		etag_hash external_id genesis_certification governance_notes name name_key parent_id reattests status
		status_reason superseded_by tags updated_at version version_hash visibility`
	want := map[string]string{
		"plant_writer entity": head, "plant_embedder entity": head, "plant_certifier entity": head,
		"plant_drift entity": head, "plant_operator entity": head,
		"plant_writer skill": "category description", "plant_writer job_role": "description industry_id seniority_level",
		"plant_writer team": "description job_role_id", "plant_writer agent": "job_role_id skill_id team_id",
		"plant_certifier agent": "team_id", "plant_writer industry": "description", "plant_operator signing_key": "invalid_from",
		"plant_operator principal":   "authorities disabled_at name platform_authorities secret_hash",
		"plant_embedder embedding":   "text_sha256 vector vector_sha256",
		"plant_drift embedding":      "text_sha256 vector vector_sha256",
		"plant_embedder search_text": "lexemes words", "plant_drift search_text": "lexemes words",
		"plant_auditor outbox":   "attempts available_at",
		"plant_auditor log_tile": "data",
		"plant_drift drift_run":  "finished_at phase position updated_at", "plant_drift drift_report": "n",
		"plant_auditor drift_run": "asked_at",
		"plant_auditor audit_run": "asked_at amendments entities entries finished_at findings phase position updated_at",
	}
	got := map[string]string{}
	for _, line := range column(t, conn, `SELECT r.rolname || ' ' || c.relname || '|' ||
			string_agg(attname, ' ' ORDER BY attname COLLATE "C")
		FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND attnum > 0 AND NOT attisdropped, pg_roles r
		WHERE c.relnamespace = 'public'::regnamespace AND relkind = 'r'
			AND r.rolname LIKE 'plant\_%' AND r.rolname <> 'plant_owner'
			AND has_column_privilege(r.oid, c.oid, attname, 'UPDATE') GROUP BY r.rolname, c.relname`) {
		key, columns, _ := strings.Cut(line, "|")
		got[key] = columns
	}
	for key, columns := range want {
		want[key] = strings.Join(slices.Sorted(slices.Values(strings.Fields(columns))), " ")
	}
	require.Equal(t, want, got)
}
