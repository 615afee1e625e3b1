package migrations_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"

	"github.com/dlai-sd/plant/migrations"
)

// probe is how a table's rows are found, changed and made.
type probe struct {
	where  string
	rows   map[class][]any
	set    string
	insert func(t *testing.T, q executor, c class, role string) (pgconn.CommandTag, error)
	makes  []class // what insert can make
}

var (
	everyClass = []class{own, shared, private, platform}
	tenants    = []class{own, private}
)

func (w *world) probes(t *testing.T) map[string]probe {
	t.Helper()
	probes := w.operationalProbes(t)
	maps.Copy(probes, w.logProbes())
	maps.Copy(probes, w.auditProbes())
	maps.Copy(probes, w.driftProbes())
	maps.Copy(probes, w.holdProbes())
	entities, chains := w.rowsOf("skill"), w.rowsOf("skill")
	for c, key := range chains {
		chains[c] = append(key, w.subjectOf(c).seq)
	}
	pending := map[class][]any{}
	for _, c := range everyClass {
		pending[c] = []any{w.subjectOf(c).hash}
	}
	probes["log_pending"] = probe{
		where: "hash = $1", rows: pending, set: "seq = seq",
		insert: func(t *testing.T, q executor, _ class, _ string) (pgconn.CommandTag, error) {
			return q.Exec(t.Context(), `INSERT INTO log_pending SELECT $1, $2, 1, 'skill', 'created', now()`, digest("x"), newID(t))
		},
		makes: []class{platform},
	}
	probes["entity"] = probe{
		where: "id = $1", rows: entities, set: "version = version + 1",
		insert: func(t *testing.T, q executor, c class, _ string) (pgconn.CommandTag, error) {
			kind := "skill"
			if c == platform {
				kind = "signing_key"
			}
			d := w.next(t, subject{id: newID(t), kind: kind, owner: ownerOf(c)}, "created", state("active", "public", nil))
			return pgconn.CommandTag{}, d.insertEntity(t.Context(), q)
		},
		makes: []class{own, private, platform},
	}
	probes["amendment"] = probe{
		where: "entity_id = $1 AND seq = $2", rows: chains, set: "author = author",
		insert: func(t *testing.T, q executor, c class, role string) (pgconn.CommandTag, error) {
			s, change := w.subjectOf(c), map[string]string{
				"plant_embedder": "embedded", "plant_certifier": "certified", "plant_drift": "drifted",
			}[role]
			if c == platform {
				change = "retired"
			} else if change == "" {
				change = "evolved"
			}
			return w.next(t, s, change, state("draft", "private", nil)).insertAmendment(t.Context(), q)
		},
		makes: []class{own, private, platform},
	}
	probes["opening"] = probe{
		where: "entity_id = $1 AND seq = $2", rows: chains, set: "state = state",
		insert: func(t *testing.T, q executor, c class, _ string) (pgconn.CommandTag, error) {
			kind := "skill"
			if c == platform {
				kind = "signing_key"
			}
			return w.bare[kind][c].insertOpening(t.Context(), q)
		},
		makes: []class{own, private, platform},
	}
	for kind, set := range map[string]string{
		"skill": "category = category", "job_role": "description = 'x'", "team": "description = 'x'",
		"agent": "team_id = NULL", "industry": "description = 'x'",
	} {
		probes[kind] = probe{
			where: "id = $1", rows: without(w.rowsOf(kind), platform), set: set,
			insert: func(t *testing.T, q executor, c class, _ string) (pgconn.CommandTag, error) {
				return w.insertKind(t, q, w.bare[kind][c].subject, c)
			},
			makes: tenants,
		}
	}
	return probes
}

func (w *world) operationalProbes(t *testing.T) map[string]probe {
	t.Helper()
	tenantRows, batches, requirements := map[class][]any{}, map[class][]any{}, map[class][]any{}
	for c, id := range w.row {
		tenantRows[c] = []any{id}
	}
	for c, id := range w.batches {
		batches[c] = []any{id}
		requirements[c] = []any{w.entities["job_role"][c].id, w.entities["skill"][c].id}
	}
	only := func(key any) map[class][]any { return map[class][]any{platform: {key}} }
	type tag = pgconn.CommandTag
	return map[string]probe{
		"principal": {"id = $1", tenantRows, "disabled_at = now()", func(t *testing.T, q executor, c class, _ string) (tag, error) {
			return insertPrincipal(t, q, newID(t), ownerOf(c))
		}, tenants},
		"idempotency_key": {"principal_id = $1", tenantRows, "key = key", func(t *testing.T, q executor, c class, _ string) (tag, error) {
			return insertRepeat(t, q, newID(t), ownerOf(c), "0 s")
		}, tenants},
		"outbox": {"id = $1", tenantRows, "attempts = attempts + 1", func(t *testing.T, q executor, c class, _ string) (tag, error) {
			return insertEvent(t, q, newID(t), ownerOf(c))
		}, tenants},
		"refusal": {"id = $1", tenantRows, "code = code", func(t *testing.T, q executor, c class, _ string) (tag, error) {
			return insertRefusal(t, q, newID(t), ownerOf(c))
		}, tenants},
		"inbox": {"ce_id = $1", only(w.event), "consumer = consumer", func(t *testing.T, q executor, _ class, _ string) (tag, error) {
			return insertReceipt(t, q, newID(t), "0 s")
		}, []class{platform}},
		"constitution": {"sha256 = $1", only(digest("{}")), "version = version", func(t *testing.T, q executor, _ class, _ string) (tag, error) {
			return insertConstitution(t, q, `{"v":2}`)
		}, []class{platform}},
		"enactment": {"n = $1", only(0), "seq = seq", func(t *testing.T, q executor, _ class, _ string) (tag, error) {
			return q.Exec(t.Context(), `INSERT INTO enactment (n, sha256) VALUES (0, $1) ON CONFLICT DO NOTHING`, digest("{}"))
		}, []class{platform}},
		"goose_db_version": {"version_id = $1", only(1), "is_applied = is_applied", func(t *testing.T, q executor, _ class, _ string) (tag, error) {
			return q.Exec(t.Context(), `INSERT INTO goose_db_version (id, version_id, is_applied) VALUES (99, 99, true)`)
		}, []class{platform}},
		"signing_key": {"id = $1", only(w.entities["signing_key"][platform].id), "invalid_from = 1", func(t *testing.T, q executor, _ class, _ string) (tag, error) {
			keyID, spki := fakeKey("another")
			return q.Exec(t.Context(), `INSERT INTO signing_key (id, key_id, spki, use) VALUES ($1, $2, $3, 'heads')`,
				w.bare["signing_key"][platform].subject.id, keyID, spki)
		}, []class{platform}},
		"signature_batch": {"id = $1", batches, "size = size", func(t *testing.T, q executor, _ class, _ string) (tag, error) {
			return insertBatch(t.Context(), q, newID(t), w.keys["amendment"])
		}, []class{platform}},
		"embedding": {"entity_id = $1", without(w.rowsOf("skill"), platform), "text_sha256 = text_sha256", func(t *testing.T, q executor, c class, _ string) (tag, error) {
			return insertEmbedding(t, q, w.bare["skill"][c].subject)
		}, tenants},
		"search_text": {"entity_id = $1", without(w.rowsOf("skill"), platform), "words = words", func(t *testing.T, q executor, c class, _ string) (tag, error) {
			return insertSearchText(t, q, w.bare["skill"][c].subject)
		}, tenants},
		"job_role_skill": {"job_role_id = $1 AND skill_id = $2", requirements, "skill_id = skill_id", func(t *testing.T, q executor, c class, _ string) (tag, error) {
			return w.insertRequirement(t, q, c, shared)
		}, tenants},
	}
}

// subjectOf is the skill of a class, or a key for platform.
func (w *world) subjectOf(c class) subject {
	if c == platform {
		return w.entities["signing_key"][platform]
	}
	return w.entities["skill"][c]
}

func (w *world) rowsOf(kind string) map[class][]any {
	rows := map[class][]any{platform: {w.entities["signing_key"][platform].id}}
	for c, s := range w.entities[kind] {
		rows[c] = []any{s.id}
	}
	return rows
}

func without(rows map[class][]any, c class) map[class][]any {
	delete(rows, c)
	return rows
}

// outcome runs f in a savepoint and says what came of it, as accessTable writes it.
func outcome(t *testing.T, tx pgx.Tx, f func(q executor) (pgconn.CommandTag, error)) string {
	t.Helper()
	point, err := tx.Begin(t.Context())
	require.NoError(t, err)
	tag, err := f(point)
	require.NoError(t, point.Rollback(t.Context()))
	switch code := codeOf(t, err); {
	case code == refused:
		return "-"
	case code != "":
		return "!" + code
	case tag.RowsAffected() == 0 && tag.String() != "":
		return "0"
	default:
		return "+"
	}
}

// access measures what accessTable claims of one table and role.
func (p probe) access(t *testing.T, tx pgx.Tx, table, role string) string {
	t.Helper()
	each := func(sql string) string {
		var cells strings.Builder
		for _, c := range everyClass {
			key, ok := p.rows[c]
			if !ok {
				cells.WriteString(".")
				continue
			}
			cells.WriteString(outcome(t, tx, func(q executor) (pgconn.CommandTag, error) {
				return q.Exec(t.Context(), sql+" WHERE "+p.where, key...)
			}))
		}
		return cells.String()
	}
	var inserts strings.Builder
	for _, c := range []class{own, private, platform} {
		if !slices.Contains(p.makes, c) {
			inserts.WriteString(".")
			continue
		}
		inserts.WriteString(outcome(t, tx, func(q executor) (pgconn.CommandTag, error) { return p.insert(t, q, c, role) }))
	}
	truncated := outcome(t, tx, func(q executor) (pgconn.CommandTag, error) { return q.Exec(t.Context(), "TRUNCATE "+table) })
	return strings.Join([]string{
		each("SELECT 1 FROM " + table), inserts.String(), each("UPDATE " + table + " SET " + p.set),
		each("DELETE FROM " + table), truncated,
	}, " ")
}

// parseAccess reads accessTable: table → role → cells.
func parseAccess(t *testing.T) map[string]map[string]string {
	t.Helper()
	access := map[string]map[string]string{}
	var tables, roles []string
	for line := range strings.Lines(accessTable) {
		words := strings.Fields(line)
		if len(words) == 0 {
			continue
		}
		if line[0] != ' ' {
			tables = tables[:0]
			for _, table := range words {
				if table == "read" {
					break
				}
				require.NotContains(t, access, table)
				access[table], tables = map[string]string{}, append(tables, table)
			}
			continue
		}
		cells := slices.IndexFunc(words, func(w string) bool { return strings.ContainsAny(w, "+-.0") })
		if cells != 0 {
			roles = words[:max(cells, 0)]
		}
		if cells < 0 {
			roles = words
			continue
		}
		for _, table := range tables {
			for _, role := range roles {
				require.NotContains(t, access[table], "plant_"+role, "%s twice", table)
				access[table]["plant_"+role] = strings.Join(words[cells:], " ")
			}
		}
	}
	return access
}

func TestEveryRoleMayDoWhatIsWrittenAndNothingElse(t *testing.T) {
	t.Parallel()
	db := newDatabase(t)
	w := newWorld(t, db)
	want, probes := parseAccess(t), w.probes(t)
	tables := column(t, db.as(t, superuser), `SELECT relname FROM pg_class
		WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p', 'v', 'm', 'f')`)
	for _, table := range tables {
		require.Contains(t, want, table, "a table that accessTable does not know")
		require.Contains(t, probes, table)
	}
	require.Len(t, want, len(tables), "accessTable knows a table that is not there")
	for _, role := range migrations.Roles() {
		t.Run(role, func(t *testing.T) {
			tx := inTenant(t, db.as(t, role), acme)
			for _, table := range tables {
				require.Contains(t, want[table], role, table)
				require.Equal(t, want[table][role], probes[table].access(t, tx, table, role), table)
			}
		})
	}
	for table, roles := range want {
		require.Len(t, roles, len(migrations.Roles()), "accessTable knows a role for %s that is not there", table)
	}
}

// Without a tenant a tenant's role sees no tenant's row, and writes none. After
// a transaction the setting is ” and not NULL: both deny.
func TestNoTenantDenies(t *testing.T) {
	t.Parallel()
	db := newDatabase(t)
	w := newWorld(t, db)
	for _, role := range []string{"plant_writer", "plant_reader"} {
		for _, setting := range []string{"NULL", "''", "'nobody'"} {
			t.Run(fmt.Sprintf("%s %s", role, setting), func(t *testing.T) {
				conn := db.as(t, role)
				tx, err := conn.Begin(t.Context())
				require.NoError(t, err)
				defer func() { require.NoError(t, tx.Rollback(t.Context())) }()
				if setting != "NULL" {
					_, err = tx.Exec(t.Context(), "SELECT set_config('app.governance_agent_id', "+setting+", true)")
					require.NoError(t, err)
				}
				shows := "0"
				if setting == "'nobody'" {
					shows = "+" // a tenant with nothing of its own sees what is shared
				}
				for table, p := range w.probes(t) {
					cells := strings.ReplaceAll(p.access(t, tx, table, role), " ", "")
					require.NotContains(t, string(cells[0])+cells[2:3]+cells[4:6], "+", "%s: %s", table, cells)
					require.Contains(t, shows+"-.", cells[1:2], "%s: %s", table, cells)
				}
			})
		}
	}
}

// The setting is a text that any tenant's role can make: the keyring is not to be
// had that way.
func TestNoTenantIsTheKeyring(t *testing.T) {
	t.Parallel()
	db := newDatabase(t)
	w := newWorld(t, db)
	tx := inTenant(t, db.as(t, "plant_writer"), keyring)
	probes := w.probes(t)
	for table, want := range map[string]string{
		"entity": "++0+ --- 0000 ---- -", "amendment": "++0+ --- ---- ---- -", "opening": "++0+ --- ---- ---- -",
		"signing_key": "...+ ..- ...- ...- -",
	} {
		got := probes[table].access(t, tx, table, "plant_writer")
		require.Equal(t, want[4:], got[4:], table)
	}
}
