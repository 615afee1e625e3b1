package migrations_test

import (
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
)

func TestNamesAndExternalIDsAreUniquePerTenant(t *testing.T) {
	t.Parallel()
	w, tx := asWriter(t)
	named := func(kind, owner, name, external string) error {
		more := map[string]any{}
		if name != "" {
			more["name"] = name
		}
		if external != "" {
			more["external_id"] = external
		}
		d := w.next(t, subject{id: newID(t), kind: kind, owner: owner}, "created", state("draft", "private", more))
		return d.insertEntity(t.Context(), tx)
	}
	refuses := func(constraint string, f func() error) {
		t.Helper()
		requireCode(t, uniqueViolation, inPoint(t, tx, func(pgx.Tx) error { return f() }), constraint)
	}
	first := w.born(t, tx, "skill", acme, state("draft", "private", map[string]any{"name": "Welding", "external_id": "x1"}))
	refuses("entity_name_taken", func() error { return named("skill", acme, "WELDING", "") })
	refuses("entity_external_id_taken", func() error { return named("team", acme, "", "x1") })
	require.NoError(t, named("team", acme, "Welding", ""), "another kind")
	require.NoError(t, named("skill", acme, "", ""), "no name")

	_, err := tx.Exec(t.Context(), "SELECT set_config('app.governance_agent_id', $1, true)", globex)
	require.NoError(t, err)
	require.NoError(t, named("skill", globex, "Welding", "x1"), "another tenant's names are not known here")
	_, err = tx.Exec(t.Context(), "SELECT set_config('app.governance_agent_id', $1, true)", acme)
	require.NoError(t, err)

	w.amend(t, tx, first, "moved", state("archived", "private", map[string]any{"deleted_at": "2026-01-31T00:00:00Z"}))
	require.NoError(t, named("skill", acme, "welding", ""), "the archived have given their names back")
	refuses("entity_external_id_taken", func() error { return named("skill", acme, "", "x1") })
}

func TestArchivedMeansDeletedAt(t *testing.T) {
	t.Parallel()
	w, tx := asWriter(t)
	s := w.entities["skill"][own]
	for _, st := range []map[string]any{
		state("archived", "private", nil), state("draft", "private", map[string]any{"deleted_at": "2026-01-31T00:00:00Z"}),
	} {
		requireCode(t, checkViolation, inPoint(t, tx, func(tx pgx.Tx) error {
			_, err := w.next(t, s, "moved", st).updateEntity(t.Context(), tx)
			return err
		}), "entity_archived_check")
	}
}

func TestRequirePrincipal(t *testing.T) {
	t.Parallel()
	db := newDatabase(t)
	w := newWorld(t, db)
	require.NoError(t, execute(db.url, "UPDATE principal SET disabled_at = now() WHERE governance_agent_id = 'globex'"))
	tx := inTenant(t, db.as(t, "plant_writer"), acme)
	for _, c := range []struct {
		name, tenant, want string
		id                 uuid.UUID
	}{
		{"in force", acme, "", w.row[own]},
		{"of another tenant", globex, noPrincipal, w.row[own]},
		{"disabled", globex, noPrincipal, w.row[private]},
		{"absent", acme, noPrincipal, newID(t)},
	} {
		code, _ := try(t, tx, "SELECT require_principal($1, $2)", c.id, c.tenant)
		require.Equal(t, c.want, code, c.name)
	}
	code, _ := try(t, tx, "SELECT require_principal(NULL, NULL)")
	require.Equal(t, noPrincipal, code)
}

// A foreign key looks past row-level security, so a reference to another
// tenant's private row is stopped by require_visible and by nothing else.
func TestRequireVisible(t *testing.T) {
	t.Parallel()
	db := newDatabase(t)
	w := newWorld(t, db)
	conn := db.as(t, superuser)
	seed, err := conn.Begin(t.Context())
	require.NoError(t, err)
	archived := state("archived", "public", map[string]any{"deleted_at": "2026-01-31T00:00:00Z"})
	changing := w.born(t, seed, "skill", globex, state("certified", "public", nil))
	changing = w.amend(t, seed, changing, "evolved", state("under_review", "public", nil))
	gone := w.amend(t, seed, w.born(t, seed, "skill", globex, state("certified", "public", nil)), "moved", archived)
	hidden := w.amend(t, seed, w.born(t, seed, "skill", globex, state("draft", "public", nil)), "moved", archived)
	mine := w.amend(t, seed, w.born(t, seed, "skill", acme, state("draft", "private", nil)), "moved", archived)
	require.NoError(t, seed.Commit(t.Context()))

	tx := inTenant(t, db.as(t, "plant_writer"), acme)
	code, _ := try(t, tx, "UPDATE job_role SET industry_id = $1 WHERE id = $2", w.entities["industry"][private].id, w.entities["job_role"][own].id)
	require.Empty(t, code, "this is why require_visible is needed")
	for _, c := range []struct {
		name, kind, want string
		id               uuid.UUID
	}{
		{"own", "skill", "", w.entities["skill"][own].id},
		{"shared", "skill", "", w.entities["skill"][shared].id},
		{"shared before its change", "skill", "", changing.id},
		{"private", "skill", notVisible, w.entities["skill"][private].id},
		{"absent", "skill", notVisible, newID(t)},
		{"archived", "skill", notVisible, gone.id},
		{"own, archived", "skill", notVisible, mine.id},
		{"of another kind", "team", notVisible, w.entities["skill"][own].id},
	} {
		err := inPoint(t, tx, func(tx pgx.Tx) error {
			_, err := tx.Exec(t.Context(), "SELECT require_visible($1, $2)",
				[]uuid.UUID{w.entities["industry"][own].id, c.id}, []string{"industry", c.kind})
			return err
		})
		if c.want == "" {
			require.NoError(t, err, c.name)
			continue
		}
		requireCode(t, c.want, err)
		require.ErrorContains(t, err, "a reference is not visible", c.name)
	}
	code, _ = try(t, tx, "SELECT require_visible(ARRAY[gen_random_uuid()], ARRAY[]::text[])")
	require.Equal(t, "22023", code)
	code, _ = try(t, tx, "SELECT require_visible('{}', '{}')")
	require.Empty(t, code)

	for id, want := range map[uuid.UUID]bool{gone.id: true, hidden.id: false, changing.id: false, newID(t): false} {
		var got bool
		require.NoError(t, tx.QueryRow(t.Context(), "SELECT archived_after_shared($1)", id).Scan(&got))
		require.Equal(t, want, got)
	}
}

// L1-AGENT-05 counts assigned, living agents of one governance agent.
func TestAgentAssignmentIsTakenOnce(t *testing.T) {
	t.Parallel()
	w, tx := asWriter(t)
	assign := func(agent subject) error {
		_, err := tx.Exec(t.Context(), "UPDATE agent SET team_id = $2 WHERE id = $1", agent.id, w.entities["team"][own].id)
		return err
	}
	first := w.entities["agent"][own]
	second := w.born(t, tx, "agent", acme, state("draft", "private", nil))
	_, err := w.insertKind(t, tx, second, own)
	require.NoError(t, err, "two unassigned ones are alike")
	require.NoError(t, assign(first))
	requireCode(t, uniqueViolation, inPoint(t, tx, func(pgx.Tx) error { return assign(second) }), "agent_assignment_taken")
	w.amend(t, tx, first, "moved", state("archived", "private", map[string]any{"deleted_at": "2026-01-31T00:00:00Z"}))
	require.NoError(t, assign(second), "the archived one has left its place")

	requireCode(t, foreignKey, inPoint(t, tx, func(tx pgx.Tx) error { // L1-TEAM-03
		_, err := tx.Exec(t.Context(), "UPDATE agent SET team_id = $2 WHERE id = $1", second.id, w.entities["team"][shared].id)
		return err
	}), "agent_team_fkey")
	code, _ := try(t, tx, "UPDATE agent SET industry_id = $1 WHERE id = $2", w.entities["industry"][shared].id, second.id)
	require.Equal(t, refused, code, "L1-AGENT-04")
	code, _ = try(t, tx, "UPDATE agent SET living = true WHERE id = $1", first.id)
	require.Equal(t, refused, code)
}

func TestVectorsAreSharedAsTheirEntity(t *testing.T) {
	t.Parallel()
	db := newDatabase(t)
	w := newWorld(t, db)
	tx := inTenant(t, db.as(t, "plant_writer"), acme)
	s := w.entities["skill"][own]
	isShared := func() (is bool) {
		require.NoError(t, tx.QueryRow(t.Context(), "SELECT shared FROM embedding WHERE entity_id = $1", s.id).Scan(&is))
		var words bool
		require.NoError(t, tx.QueryRow(t.Context(), "SELECT shared FROM search_text WHERE entity_id = $1", s.id).Scan(&words))
		require.Equal(t, is, words)
		return is
	}
	require.False(t, isShared())
	s = w.amend(t, tx, s, "moved", state("active", "public", nil))
	require.True(t, isShared())
	w.amend(t, tx, s, "moved", state("under_review", "public", nil))
	require.False(t, isShared())

	embedder := inTenant(t, db.as(t, "plant_embedder"), acme)
	_, err := embedder.Exec(t.Context(), `INSERT INTO embedding (entity_id, model_id, vector, text_sha256, vector_sha256,
		entity_type, governance_agent_id, shared) SELECT entity_id, 'other', vector, text_sha256, vector_sha256, entity_type,
		governance_agent_id, true FROM embedding WHERE entity_id = $1`, w.entities["skill"][private].id)
	require.NoError(t, err)
	var is bool
	require.NoError(t, embedder.QueryRow(t.Context(), "SELECT shared FROM embedding WHERE model_id = 'other'").Scan(&is))
	require.False(t, is, "whatever is sent")
}

// An opening goes only when a later erased amendment names it.
func TestErasure(t *testing.T) {
	t.Parallel()
	db := newDatabase(t)
	w := newWorld(t, db)
	conn := db.as(t, superuser)
	tx, err := conn.Begin(t.Context())
	require.NoError(t, err)
	defer func() { require.NoError(t, tx.Rollback(t.Context())) }()
	s := w.entities["skill"][own] // seq 2
	erase := "DELETE FROM opening WHERE entity_id = $1 AND seq = $2"
	code, _ := try(t, tx, erase, s.id, 1)
	require.Equal(t, appendOnly, code)
	s = w.amend(t, tx, s, "erased", state("draft", "private", map[string]any{"erased_seqs": []int{1, 3}}))
	code, _ = try(t, tx, erase, s.id, 2)
	require.Equal(t, appendOnly, code, "not named")
	s = w.amend(t, tx, s, "erased", state("draft", "private", map[string]any{"erased_seqs": []int{3}}))
	code, _ = try(t, tx, erase, s.id, 3)
	require.Equal(t, appendOnly, code, "it names others itself")
	key := w.entities["signing_key"][platform]
	code, _ = try(t, tx, erase, key.id, 1)
	require.Equal(t, appendOnly, code, "a key's")

	var erased int
	require.NoError(t, tx.QueryRow(t.Context(), "SELECT erase_openings($1, 3)", s.id).Scan(&erased))
	require.Equal(t, 1, erased)
	require.NoError(t, tx.QueryRow(t.Context(), "SELECT count(*) FROM opening WHERE entity_id = $1", s.id).Scan(&erased))
	require.Equal(t, 3, erased)
	require.NoError(t, tx.QueryRow(t.Context(), "SELECT erase_openings($1, 2)", s.id).Scan(&erased))
	require.Zero(t, erased, "an amendment that erases nothing")
}

// What only an owner or a superuser may do is refused to every duty.
func TestDutiesCannotSwitchTheRulesOff(t *testing.T) {
	t.Parallel()
	db := newDatabase(t)
	w := newWorld(t, db)
	for _, role := range append([]string{"plant_migrator"}, duties()...) {
		tx := inTenant(t, db.as(t, role), acme)
		for _, sql := range []string{
			"SET session_replication_role = replica",
			"ALTER TABLE public.amendment DISABLE TRIGGER ALL",
			"ALTER TABLE public.amendment DISABLE TRIGGER amendment_audit",
			"ALTER TABLE public.entity NO FORCE ROW LEVEL SECURITY",
			"ALTER TABLE public.amendment DROP CONSTRAINT amendment_prev_fkey",
			"DROP POLICY read_own ON public.entity",
			"CREATE POLICY mine ON public.entity USING (true)",
			"DROP TABLE public.amendment CASCADE",
			"CREATE TABLE public.mine (n int)",
			"CREATE TEMP TABLE mine (n int)",
			"CREATE SCHEMA mine",
			"CREATE TRIGGER mine BEFORE INSERT ON public.amendment FOR EACH ROW EXECUTE FUNCTION public.prevent_audit_column_updates()",
			"CREATE OR REPLACE FUNCTION public.require_principal(principal uuid, tenant text) RETURNS void LANGUAGE sql AS ''",
			"ALTER ROLE plant_writer BYPASSRLS",
			"COPY (SELECT 1) TO PROGRAM 'true'",
			"SELECT pg_read_file('postgresql.conf')",
			"SELECT public.erase_openings(gen_random_uuid(), 1)",
			"SET ROLE postgres",
		} {
			code, _ := try(t, tx, sql)
			require.Equal(t, refused, code, "%s: %s", role, sql)
		}
		if role != "plant_migrator" {
			code, _ := try(t, tx, "SET ROLE plant_owner")
			require.Equal(t, refused, code, role)
		}
		// Off means error, not everything: what a dump asks for.
		_, err := tx.Exec(t.Context(), "SET LOCAL row_security = off")
		require.NoError(t, err)
		code, _ := try(t, tx, "SELECT FROM public.entity WHERE id = $1", w.entities["skill"][private].id)
		require.Equal(t, refused, code, role)
	}
}

// A tenant's request to a function that works across tenants is answered as
// plant_reader, which sees what a tenant sees.
func TestAcrossTenantsAnswersAsReader(t *testing.T) {
	t.Parallel()
	db := newDatabase(t)
	w := newWorld(t, db)
	for _, role := range []string{"plant_embedder", "plant_certifier", "plant_auditor", "plant_drift"} {
		tx := inTenant(t, db.as(t, role), acme)
		_, rows := try(t, tx, "SELECT FROM entity WHERE id = $1", w.entities["skill"][private].id)
		require.EqualValues(t, 1, rows, role)
		_, err := tx.Exec(t.Context(), "SET LOCAL ROLE plant_reader")
		require.NoError(t, err, role)
		code, rows := try(t, tx, "SELECT FROM entity WHERE id = $1", w.entities["skill"][private].id)
		require.Empty(t, code)
		require.Zero(t, rows, role)
	}
	code, _ := try(t, inTenant(t, db.as(t, "plant_authenticator"), acme), "SET LOCAL ROLE plant_reader")
	require.Equal(t, refused, code)
}

// A policy's tenant is evaluated once per statement, and a list within a tenant
// finds its index under row-level security.
func TestPoliciesAreEvaluatedOnce(t *testing.T) {
	t.Parallel()
	db := newDatabase(t)
	newWorld(t, db)
	conn := db.as(t, "plant_reader")
	plan := func(sql string) string {
		tx := inTenant(t, conn, acme)
		defer func() { require.NoError(t, tx.Rollback(t.Context())) }()
		_, err := tx.Exec(t.Context(), "SET LOCAL enable_seqscan = off; SET LOCAL enable_bitmapscan = off; SET LOCAL enable_sort = off")
		require.NoError(t, err)
		rows, err := tx.Query(t.Context(), "EXPLAIN (COSTS off) "+sql)
		require.NoError(t, err)
		lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
		require.NoError(t, err)
		return strings.Join(lines, "\n")
	}
	for _, table := range []string{
		"entity", "skill", "job_role", "team", "agent", "industry", "amendment", "opening", "signature_batch",
		"job_role_skill", "embedding", "search_text",
	} {
		p := plan("SELECT * FROM " + table)
		require.Contains(t, p, "InitPlan", table)
		for line := range strings.Lines(p) {
			if strings.Contains(line, "Filter") || strings.Contains(line, "Cond") {
				require.NotContains(t, line, "current_setting", "%s: evaluated for every row", table)
			}
		}
	}
	page := " AND entity_type = 'skill' AND (created_at, id) > (now(), gen_random_uuid()) ORDER BY created_at, id LIMIT 10"
	require.Contains(t, plan("SELECT * FROM entity WHERE governance_agent_id = 'acme'"+page), "using entity_created ")
	require.Contains(t, plan("SELECT * FROM entity WHERE shared"+page), "using entity_shared_created ")
	require.Contains(t, plan("SELECT * FROM entity WHERE governance_agent_id = 'acme' AND entity_type = 'skill' AND deleted_at IS NULL"+
		" AND name_key >= 'a' AND name_key < 'b' ORDER BY name_key LIMIT 10"), "using entity_name_taken ")
	require.Contains(t, plan("SELECT * FROM embedding WHERE shared ORDER BY vector::halfvec(384) <#> array_fill(0.1, ARRAY[384])::halfvec(384) LIMIT 10"),
		"using embedding_shared_ip ")
	require.Contains(t, plan("SELECT * FROM embedding WHERE governance_agent_id = 'acme'"), "using embedding_own ")
}

// Writes find entities by id, also by plans that were made when the tables were
// empty: no list's index is ever walked. On one that begins with the owner, the
// cost of a write would grow with the tenant.
func TestWritesFindEntitiesByID(t *testing.T) {
	t.Parallel()
	db := newDatabase(t)
	seed := db.as(t, superuser)
	tx, err := seed.Begin(t.Context())
	require.NoError(t, err)
	b := newBook(t, tx)
	require.NoError(t, tx.Commit(t.Context()))

	conn := db.as(t, "plant_writer")
	for range 30 { // plans are kept from the sixth time on
		tx := inTenant(t, conn, acme)
		s := b.born(t, tx, "skill", acme, state("draft", "private", nil))
		_, err := tx.Exec(t.Context(), "INSERT INTO skill (id, description, category) VALUES ($1, 'd', 'technical')", s.id)
		require.NoError(t, err)
		b.amend(t, tx, s, "evolved", state("under_review", "private", nil))
		tag, err := tx.Exec(t.Context(), "UPDATE skill SET description = 'e' WHERE id = $1", s.id)
		require.NoError(t, err)
		require.EqualValues(t, 1, tag.RowsAffected())
		require.NoError(t, tx.Commit(t.Context()))
	}
	_, err = conn.Exec(t.Context(), "SELECT pg_stat_force_next_flush()")
	require.NoError(t, err)
	_, err = conn.Exec(t.Context(), "SELECT")
	require.NoError(t, err)
	for _, index := range column(t, seed, `SELECT indexrelname::text FROM pg_stat_user_indexes
		WHERE relname IN ('entity', 'skill') AND idx_scan > 0`) {
		require.Contains(t, []string{"entity_pkey", "entity_kind_key", "skill_pkey"}, index)
	}
	require.NotEmpty(t, column(t, seed, "SELECT 'some' FROM pg_stat_user_indexes WHERE idx_scan >= 30"), "nothing was counted")
}

// The owner is repeated beside the entity's and must be the same.
func TestOwnersAgree(t *testing.T) {
	t.Parallel()
	db := newDatabase(t)
	w := newWorld(t, db)
	tx := inTenant(t, db.as(t, superuser), acme)
	for _, kind := range kinds {
		s := w.bare[kind][private].subject
		s.owner = acme
		requireCode(t, foreignKey, inPoint(t, tx, func(tx pgx.Tx) error { _, err := w.insertKind(t, tx, s, own); return err }),
			kind+"_owner_fkey")
		code, _ := try(t, tx, "UPDATE "+kind+" SET governance_agent_id = 'globex' WHERE id = $1", w.entities[kind][own].id)
		require.Equal(t, appendOnly, code)
	}
	s := w.entities["skill"][private]
	s.owner = acme
	requireCode(t, foreignKey, inPoint(t, tx, func(tx pgx.Tx) error {
		_, err := w.next(t, s, "evolved", state("draft", "private", nil)).insertAmendment(t.Context(), tx)
		return err
	}), "amendment_owner_fkey")
	s = w.bare["skill"][private].subject
	s.owner = acme
	_, err := insertEmbedding(t, tx, s)
	require.NoError(t, err)
	var owner string
	require.NoError(t, tx.QueryRow(t.Context(), "SELECT governance_agent_id FROM embedding WHERE entity_id = $1", s.id).Scan(&owner))
	require.Equal(t, globex, owner, "whatever is sent")
}
