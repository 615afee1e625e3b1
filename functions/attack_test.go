package main

import (
	"cmp"
	"encoding/base64"
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/dlai-sd/plant/shared/auth"
	"github.com/dlai-sd/plant/shared/domain"
)

// TestEveryRouteUnderAttack: over every route, with every kind of entity, a
// tenant uses what belongs to another. It hears what it would hear of something
// that does not exist, the database does the same work for both, nothing of the
// other tenant is in any answer, and nothing of it changes.
func TestEveryRouteUnderAttack(t *testing.T) {
	t.Parallel()
	w := newSiege(t)
	before := w.belongings(t)
	for _, route := range Routes() {
		t.Run(route.Operation, func(t *testing.T) {
			collection := collectionOf(strings.SplitN(route.Pattern, " ", 2)[1])
			shape := route.Pattern
			if collection != "" {
				shape = strings.Replace(shape, collection, "{c}", 1)
			}
			attack, known := attacks()[shape]
			require.True(t, known, "a route without an attack: %s", shape)
			aims := attack(w, collection)
			require.NotEmpty(t, aims)
			for _, one := range aims {
				w.alike(t, one)
			}
		})
	}
	require.Equal(t, before, w.belongings(t), "something of the attacked tenant changed")
	require.Empty(t, w.reached(t), "rows of the attacker name what it may not see")
}

// victim is whose things an attack uses: another tenant's, or nobody's.
type victim struct {
	ids              map[string]string // by collection
	name, external   string
	tag, key, cursor string
	client           string // of auth/token
	owner            string // the governance agent
	export, run      string // an export and an audit of its own
	drift            string // and a report of the drift check
	etags            map[string]string
	proposal         string // of a constitution
}

// siege is two tenants: one that has something of every kind, all private, and
// one that wants to know.
type siege struct {
	*platform
	wire   *wire  // what the writing functions ask the database
	reader *wire  // and what embed asks
	judges *wire  // and certify
	them   victim // what there is
	nobody victim // what there is not
	own    victim // the attacker's own
	secret []string

	attacker auth.Principal
	token2   string // the attacker's
}

func newSiege(t *testing.T) *siege {
	t.Helper()
	k := newKit(t)
	p := k.Principal(t, "acme", domain.Author, domain.Architect, domain.Governor)
	w := &siege{wire: tapped(t, k.As("plant_writer")), reader: tapped(t, k.As("plant_embedder")), judges: tapped(t, k.As("plant_certifier"))}
	through := map[string]string{"DATABASE_URL": w.wire.url, "DB_POOL": "1"}
	finder := k.serve(t, embedder, map[string]string{"DATABASE_URL": w.reader.url, "DB_POOL": "1"})
	one, two, three := k.serve(t, createSkill, through), k.serve(t, createRole, through), k.serve(t, birthAgent, through)
	judge := k.serve(t, certifier, map[string]string{"DATABASE_URL": w.judges.url, "DB_POOL": "1"})
	w.platform = &platform{kit: k, token: k.Token(t, p), at: map[string]*server{
		skills: one, jobRoles: two, industries: two, teams: three, agents: three, "similar": finder,
		"certify": judge, "/api/v1/certify/batch": judge, "/api/v1/certify/queue": judge, "/api/v1/certify/refusals": judge,
		"/api/v1/certify/checklist": judge, "/api/v1/constitution/replay": judge, "/events/certify": judge, "/events/manufacture": three,
		"/api/v1/simulation/team": three, "/api/v1/simulation/skill-gap": three, "/api/v1/simulation/run": three,
		"/api/v1/search": finder, "/api/v1/similar": finder, "/generate-embedding": finder, "/events/embed": finder,
	}}
	w.attacker = mighty(t, k, "globex")
	w.token2 = k.Token(t, w.attacker)
	w.them = w.settle(t, w.token, "geheim")
	w.own = w.settle(t, w.token2, "offen")
	for collection, id := range w.own.ids {
		w.own.etags[collection] = k.certified(t, w.attacker, id)
	}
	tokens := k.serve(t, issueToken, nil)
	audit := k.serve(t, auditRun, nil)
	w.at["/api/v1/auth/token"], w.at["/events/sequence"], w.at["/api/v1/changes"] = tokens, audit, audit
	w.at["/log/checkpoint"], w.at["/log/tile/0/000"], w.at["/log/proof/"+strings.Repeat("0", 64)] = audit, audit, audit
	require.Equal(t, http.StatusOK, audit.do(t, call{method: http.MethodPost, path: "/events/sequence", token: serviceToken(t)}).status)
	w.at["/api/v1/openapi.yaml"], w.at["/problems"], w.at["/problems/not_found"] = tokens, tokens, tokens
	w.audited(t, audit)
	k.deliver(t, finder, "/events/embed", ".created", ".evolved") // all of it can be found
	w.nobody = w.invented(t)
	w.unaudited(t, audit)
	w.drifting(t)
	w.proposing(t)
	w.them.client, w.nobody.client = p.ClientID(), "acme/test-00000000"
	w.secret = append(slices.Collect(maps.Values(w.them.ids)), slices.Collect(maps.Values(w.them.etags))...)
	w.secret = append(w.secret, p.ID, "acme", "geheim note", "geheim again", "geheim attribute") // the rest of geheim the attacker may use too
	return w
}

// mighty is a principal with every authority over what its own tenant owns. Who
// holds one platform-wide may read what others own: see TestPlatformAuthority.
func mighty(t *testing.T, k *kit, tenant string) auth.Principal {
	t.Helper()
	return k.Principal(t, tenant, domain.Authorities()...)
}

// settle makes one of every kind, each with a history of two versions or more.
func (w *siege) settle(t *testing.T, token, word string) victim {
	t.Helper()
	v := victim{name: word + " name", external: word + ":1", tag: word + " tag", key: word + "-key", ids: map[string]string{}, etags: map[string]string{}}
	made := func(collection, more string) {
		body := fmt.Sprintf(`{"name":%q,"governance_notes":%q,"tags":[%q],"custom_attributes":{"x":%q}%s}`, v.name, word+" note", v.tag, word+" attribute", more)
		if collection == skills {
			body = strings.Replace(body, `{`, fmt.Sprintf(`{"external_id":%q,`, v.external), 1)
		}
		a := w.at[collection].do(t, call{method: "POST", path: collection, token: token, body: body, header: map[string]string{"Idempotency-Key": v.key}})
		require.Equal(t, http.StatusCreated, a.status, "%s", a.body)
		v.ids[collection] = as[wrote](t, a).ID
	}
	made(industries, "")
	made(skills, fmt.Sprintf(`,"description":%q,"category":"technical"`, word+" note"))
	made(jobRoles, fmt.Sprintf(`,"required_skills":[%q],"seniority_level":"mid","industry_id":%q`, v.ids[skills], v.ids[industries]))
	made(agents, fmt.Sprintf(`,"skill_id":%q,"job_role_id":%q,"industry_id":%q`, v.ids[skills], v.ids[jobRoles], v.ids[industries]))
	made(teams, fmt.Sprintf(`,"job_role_id":%q,"agents":[%q]`, v.ids[jobRoles], v.ids[agents]))
	for collection, id := range v.ids {
		path := collection + "/" + id
		etag := w.at[collection].get(t, token, path).header.Get("ETag")
		a := w.at[collection].do(t, call{method: "PATCH", path: path, token: token, body: fmt.Sprintf(`{"governance_notes":%q}`, word+" again"), header: map[string]string{
			"Content-Type": "application/merge-patch+json", "If-Match": etag, "Idempotency-Key": v.key,
		}})
		require.Equal(t, http.StatusOK, a.status, "%s", a.body)
		v.etags[collection] = strings.Trim(a.header.Get("ETag"), `"`)
		created := as[view](t, a).CreatedAt
		v.cursor = base64.RawURLEncoding.EncodeToString([]byte(fmt.Sprintf(`{"o":"created_at","k":%q,"i":%q}`, created, id)))
	}
	return v
}

// invented is what nobody has, of the same form.
func (w *siege) invented(t *testing.T) victim {
	t.Helper()
	v := victim{name: "nichts name", external: "nichts:1", tag: "nichts tag", key: "nichts-key", ids: map[string]string{}, etags: map[string]string{}}
	for collection := range w.them.ids {
		id, err := domain.NewID()
		require.NoError(t, err)
		v.ids[collection], v.etags[collection] = string(id), strings.Repeat("ab", 32)
	}
	text, err := base64.RawURLEncoding.DecodeString(w.them.cursor)
	require.NoError(t, err)
	found := regexp.MustCompile(`"i":"[^"]+"`).ReplaceAll(text, []byte(`"i":"`+v.ids[skills]+`"`))
	v.cursor = base64.RawURLEncoding.EncodeToString(found)
	return v
}

// aim is one attack: the call that it makes with a victim's things.
type aim func(victim) call

var (
	moments  = regexp.MustCompile(`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z`)
	words    = regexp.MustCompile(`geheim|nichts`)
	hashes   = regexp.MustCompile(`[0-9a-f]{64}`)
	entities = regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}`)
)

// plainly is an answer without what any two answers differ in: the moment, ids
// and hashes that are new, and the words of the question, which it may repeat.
func plainly(text string, v victim) string {
	for _, word := range append(slices.Collect(maps.Values(v.ids)), v.cursor) {
		text = strings.ReplaceAll(text, word, "<asked>")
	}
	text = words.ReplaceAllString(text, "<word>")
	return entities.ReplaceAllString(hashes.ReplaceAllString(moments.ReplaceAllString(text, "<moment>"), "<hash>"), "<new>")
}

// alike makes an attack twice, on what there is and on what there is not, and
// compares all that the attacker gets, and what the database did.
func (w *siege) alike(t *testing.T, make aim) {
	t.Helper()
	there, work := w.strike(t, make(w.them), w.them)
	absent, idle := w.strike(t, make(w.nobody), w.nobody)
	c := make(w.them)
	what := fmt.Sprintf("%s %s %s", c.method, c.path, c.body)
	require.Equal(t, absent.status, there.status, "%s: %s", what, there.body)
	require.False(t, c.method != http.MethodGet && there.status == http.StatusBadRequest, "%s is no attack: %s", what, there.body)
	require.Equal(t, plainly(string(absent.body), w.nobody), plainly(string(there.body), w.them), what)
	require.Equal(t, headersOf(absent, w.nobody), headersOf(there, w.them), what)
	require.Equal(t, idle, work, "%s: the database works otherwise for what there is", what)
	if c.path == "/api/v1/openapi.yaml" { // its examples are called acme too
		return
	}
	sent := c.path + c.body + fmt.Sprint(c.header)
	for _, secret := range w.secret {
		if !strings.Contains(sent, secret) {
			require.NotContains(t, string(there.body)+fmt.Sprint(there.header), secret, what)
		}
	}
}

// strike sends a call as the attacker.
func (w *siege) strike(t *testing.T, c call, v victim) (answer, []string) {
	t.Helper()
	if c.token == "" {
		c.token = w.token2
	}
	c.header = maps.Clone(c.header)
	if c.header == nil {
		c.header = map[string]string{}
	}
	c.header["X-Request-ID"] = "attack"
	if c.method != http.MethodGet && c.method != http.MethodHead && c.header["Idempotency-Key"] == "" {
		c.header["Idempotency-Key"] = uuid.NewString()
	}
	if c.method == http.MethodPatch {
		c.header["Content-Type"] = "application/merge-patch+json"
	}
	path, _, _ := strings.Cut(c.path, "?")
	s := w.at[cmp.Or(collectionOf(path), path)]
	if strings.HasSuffix(path, "/similar") {
		s = w.at["similar"]
	}
	if strings.HasSuffix(path, "/certify") && w.at[path] == nil || strings.HasSuffix(path, "/certification") {
		s = w.at["certify"]
	}
	if strings.HasPrefix(path, "/api/v1/constitution") {
		s = w.at["certify"]
	}
	if strings.HasPrefix(path, "/api/v1/drift/") {
		s = w.at["/api/v1/drift/run"]
	}
	if strings.HasPrefix(path, "/api/v1/audit/") {
		s = w.at["/events/sequence"]
	}
	w.wire.take()
	w.reader.take()
	w.judges.take()
	a := s.do(t, c)
	trace := slices.Concat(w.wire.take(), w.reader.take(), w.judges.take())
	for i := range trace {
		trace[i] = plainly(trace[i], v)
	}
	return a, trace
}

func headersOf(a answer, v victim) map[string]string {
	h := map[string]string{}
	for name, values := range a.header {
		if name != "Date" && name != "Content-Length" {
			h[name] = plainly(strings.Join(values, "|"), v)
		}
	}
	return h
}

// belongings is all that the attacked tenant has in the database, row by row.
func (w *siege) belongings(t *testing.T) map[string]string {
	t.Helper()
	all := map[string]string{}
	w.eachTable(t, func(c checker, table string, owner string) {
		var rows string
		require.NoError(t, c.QueryRow(t.Context(), fmt.Sprintf(
			`SELECT coalesce(string_agg(t::text, E'\n' ORDER BY t::text), '') FROM %s t WHERE %s`, table, owner)).Scan(&rows))
		all[table] = rows
	})
	for _, table := range []string{"entity", "amendment", "opening", "idempotency_key", "agent", "log_pending"} {
		require.NotEmpty(t, all[table], table)
	}
	return all
}

// reached are rows of others that name what is the attacked tenant's.
func (w *siege) reached(t *testing.T) (found []string) {
	t.Helper()
	ids := slices.Collect(maps.Values(w.them.ids))
	w.eachTable(t, func(c checker, table string, owner string) {
		rows, err := c.Query(t.Context(), fmt.Sprintf(
			`SELECT t::text FROM %s t WHERE NOT coalesce(%s, false) AND t::text LIKE ANY (SELECT '%%' || id || '%%' FROM unnest($1::text[]) id)`, table, owner), ids)
		require.NoError(t, err)
		list, err := pgx.CollectRows(rows, pgx.RowTo[string])
		require.NoError(t, err)
		found = append(found, list...)
	})
	return found
}

// eachTable visits every table with the condition that a row is the attacked
// tenant's; all but refusal, which keeps what was asked for, whether there is such a
// thing or not.
func (w *siege) eachTable(t *testing.T, visit func(c checker, table, owner string)) {
	t.Helper()
	w.inDatabase(t, func(c checker) []string {
		rows, err := c.Query(t.Context(), `SELECT c.relname, bool_or(a.attname = 'governance_agent_id'), bool_or(a.attname = 'entity_id')
			FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0
			WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r' AND c.relname <> 'refusal' GROUP BY 1 ORDER BY 1`)
		require.NoError(t, err)
		type table struct {
			Name         string
			Owned, Names bool
		}
		tables, err := pgx.CollectRows(rows, pgx.RowToStructByPos[table])
		require.NoError(t, err)
		for _, one := range tables {
			owner := "false"
			switch {
			case one.Owned:
				owner = "t.governance_agent_id = 'acme'"
			case one.Names:
				owner = "(SELECT e.governance_agent_id = 'acme' FROM entity e WHERE e.id = t.entity_id)"
			}
			visit(c, one.Name, owner)
		}
		return nil
	})
}

// TestAttackTakesNoLonger prints what a stopwatch sees: how long the answer
// about another tenant's private entity takes beside that about none at all. It
// asserts nothing but that they are of one order; that the database does the
// same work is what TestEveryRouteUnderAttack holds.
func TestAttackTakesNoLonger(t *testing.T) {
	t.Parallel()
	w := newSiege(t)
	times := [2][]time.Duration{}
	for i := range 400 {
		v := []victim{w.them, w.nobody}[i%2]
		started := time.Now()
		a := w.at[skills].do(t, call{method: "GET", path: skills + "/" + v.ids[skills], token: w.token2})
		times[i%2] = append(times[i%2], time.Since(started))
		require.Equal(t, http.StatusNotFound, a.status)
	}
	median := func(d []time.Duration) time.Duration { slices.Sort(d); return d[len(d)/2] }
	there, absent := median(times[0]), median(times[1])
	ratio := float64(there) / float64(absent)
	t.Logf("GET, medians of 200 each, taken in turn: hidden %s, absent %s, ratio %.3f", there, absent, ratio)
	require.InDelta(t, 1, ratio, 0.75)
}
