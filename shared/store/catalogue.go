package store

import (
	"context"

	"github.com/jackc/pgx/v5"
)

// selectCatalogue lists what guards the data, a line each: row-level security,
// policies, privileges, triggers, constraints, functions, and the roles of the
// server. Nothing in it depends on the deployment: the owner's own privileges, the
// extension's functions and logins that are not ours are left out.
const selectCatalogue = `
WITH tables AS (SELECT c.oid, c.relname, c.relrowsecurity, c.relforcerowsecurity, c.relowner, c.relacl
	FROM pg_catalog.pg_class c WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p')),
functions AS (SELECT p.* FROM pg_catalog.pg_proc p WHERE p.pronamespace = 'public'::regnamespace
	AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e'))
SELECT line FROM (
	SELECT format('table %s: owner %s, row security %s, forced %s', relname, relowner::regrole, relrowsecurity, relforcerowsecurity) FROM tables
	UNION ALL SELECT format('policy %s on %s: %s for %s to %s using %s check %s', p.polname, t.relname,
			CASE WHEN p.polpermissive THEN 'permissive' ELSE 'restrictive' END, p.polcmd,
			(SELECT string_agg(CASE r WHEN 0 THEN 'PUBLIC' ELSE r::regrole::text END, ' ' ORDER BY r::regrole::text COLLATE "C") FROM unnest(p.polroles) r),
			md5(coalesce(pg_get_expr(p.polqual, p.polrelid), '')), md5(coalesce(pg_get_expr(p.polwithcheck, p.polrelid), '')))
		FROM tables t JOIN pg_catalog.pg_policy p ON p.polrelid = t.oid
	UNION ALL SELECT format('grant %s on %s to %s%s', a.privilege_type, t.relname, CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE a.grantee::regrole::text END,
			CASE WHEN a.is_grantable THEN ' with grant option' ELSE '' END)
		FROM tables t, aclexplode(t.relacl) a WHERE a.grantee <> t.relowner
	UNION ALL SELECT format('grant %s (%s) on %s to %s%s', a.privilege_type, c.attname, t.relname,
			CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE a.grantee::regrole::text END, CASE WHEN a.is_grantable THEN ' with grant option' ELSE '' END)
		FROM tables t JOIN pg_catalog.pg_attribute c ON c.attrelid = t.oid AND NOT c.attisdropped, aclexplode(c.attacl) a WHERE a.grantee <> t.relowner
	UNION ALL SELECT format('trigger %s on %s: enabled %s, %s', g.tgname, t.relname, g.tgenabled, md5(pg_get_triggerdef(g.oid)))
		FROM tables t JOIN pg_catalog.pg_trigger g ON g.tgrelid = t.oid WHERE NOT g.tgisinternal
	UNION ALL SELECT format('constraint trigger on %s: enabled %s, %s of them', t.relname, g.tgenabled, count(*))
		FROM tables t JOIN pg_catalog.pg_trigger g ON g.tgrelid = t.oid WHERE g.tgisinternal GROUP BY t.relname, g.tgenabled
	UNION ALL SELECT format('constraint %s on %s: valid %s, %s', k.conname, t.relname, k.convalidated, k.contype)
		FROM tables t JOIN pg_catalog.pg_constraint k ON k.conrelid = t.oid WHERE k.contype <> 'n'
	UNION ALL SELECT format('function %s(%s): owner %s, definer %s, %s, body %s', f.proname, pg_get_function_identity_arguments(f.oid),
			f.proowner::regrole, f.prosecdef, coalesce(array_to_string(f.proconfig, ' '), '-'), md5(f.prosrc)) FROM functions f
	UNION ALL SELECT format('grant EXECUTE on %s to %s', f.proname, CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE a.grantee::regrole::text END)
		FROM functions f, aclexplode(coalesce(f.proacl, acldefault('f', f.proowner))) a WHERE a.grantee <> f.proowner
	UNION ALL SELECT format('grant %s on schema public to %s', a.privilege_type, CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE a.grantee::regrole::text END)
		FROM pg_catalog.pg_namespace n, aclexplode(n.nspacl) a WHERE n.nspname = 'public' AND a.grantee <> n.nspowner
	UNION ALL SELECT format('view %s', c.relname) FROM pg_catalog.pg_class c WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('v', 'm')
		AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d WHERE d.objid = c.oid AND d.deptype = 'e')
	UNION ALL SELECT format('role %s: login %s', r.rolname, r.rolcanlogin) FROM pg_catalog.pg_roles r WHERE r.rolname LIKE 'plant\_%'
		AND r.rolname = ANY ($1)
	UNION ALL SELECT format('role %s: %s', r.rolname, x.power) FROM pg_catalog.pg_roles r,
			LATERAL (VALUES ('SUPERUSER', r.rolsuper), ('BYPASSRLS', r.rolbypassrls), ('CREATEROLE', r.rolcreaterole),
				('CREATEDB', r.rolcreatedb), ('REPLICATION', r.rolreplication)) x (power, has)
		WHERE x.has AND r.rolname = ANY ($1)
	UNION ALL SELECT format('login with a duty %s: %s', r.rolname, x.power)
		FROM pg_catalog.pg_auth_members m JOIN pg_catalog.pg_roles r ON r.oid = m.member,
			LATERAL (VALUES ('SUPERUSER', r.rolsuper), ('BYPASSRLS', r.rolbypassrls)) x (power, has)
		WHERE x.has AND (m.inherit_option OR m.set_option) AND m.roleid::regrole::text = ANY ($1) AND NOT r.rolname = ANY ($1)
	UNION ALL SELECT format('member of %s: %s, inherits %s, sets %s', m.roleid::regrole, m.member::regrole, m.inherit_option, m.set_option)
		FROM pg_catalog.pg_auth_members m
		WHERE (m.inherit_option OR m.set_option) AND ((m.roleid::regrole::text = ANY ($1) AND m.member::regrole::text = ANY ($1))
			OR m.roleid::regrole::text = 'plant_owner' OR m.member::regrole::text = ANY ($1))
) AS catalogue (line) GROUP BY line ORDER BY line COLLATE "C"`

// Catalogue lists what guards the data in this database, sorted, a line each; roles
// are the ones that are ours. Any login may ask.
func (db *DB) Catalogue(ctx context.Context, roles []string) ([]string, error) {
	var b pgx.Batch
	var list []string
	b.Queue(selectCatalogue, roles).Query(func(rows pgx.Rows) error {
		var err error
		list, err = pgx.CollectRows(rows, pgx.RowTo[string])
		return err
	})
	return list, db.send(ctx, &b)
}
