package main

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/dlai-sd/plant/shared/domain"
	"github.com/dlai-sd/plant/shared/ledger"
	"github.com/dlai-sd/plant/shared/translog"
)

// marks are words that nothing else contains.
type marks struct{ words []string }

func (m *marks) one(of string) string {
	word := fmt.Sprintf("zq%s%s", strings.ReplaceAll(of, "_", ""), strings.ReplaceAll(uuid.NewString(), "-", ""))
	m.words = append(m.words, word)
	return word
}

// body is an entity, or a change of one, with a mark in every field that is free.
func (m *marks) body(collection string, more map[string]any) string {
	fields := map[string]any{
		"name": m.one("name"), "external_id": m.one("external"), "governance_notes": m.one("notes"),
		"tags": []string{m.one("tag"), m.one("tag")}, "custom_attributes": map[string]any{m.one("key"): m.one("value")},
	}
	if collection != agents {
		fields["description"] = m.one("description")
	}
	maps.Copy(fields, more)
	text, err := json.Marshal(fields)
	if err != nil {
		panic(err) // strings alone
	}
	return string(text)
}

// marked gives the attacked tenant one of each kind, changed, put under review and
// rejected, with marks wherever it may write; one more is archived with a reason.
func (w *siege) marked(t *testing.T, token string) *marks {
	t.Helper()
	m := &marks{}
	ids := map[string]string{}
	key := func() map[string]string { return map[string]string{"Idempotency-Key": m.one("idempotency")} }
	made := func(collection string, more map[string]any) string {
		a := w.at[collection].do(t, call{method: "POST", path: collection, token: token, body: m.body(collection, more), header: key()})
		require.Equal(t, http.StatusCreated, a.status, "%s", a.body)
		ids[collection] = as[wrote](t, a).ID
		return ids[collection]
	}
	made(industries, nil)
	made(skills, map[string]any{"category": "technical"})
	made(jobRoles, map[string]any{"required_skills": []string{ids[skills]}, "seniority_level": "mid", "industry_id": ids[industries]})
	made(agents, map[string]any{"skill_id": ids[skills], "job_role_id": ids[jobRoles], "industry_id": ids[industries]})
	made(teams, map[string]any{"job_role_id": ids[jobRoles], "agents": []string{ids[agents]}})
	for _, collection := range []string{industries, skills, jobRoles, agents, teams} {
		path := collection + "/" + ids[collection]
		etag := w.at[collection].get(t, token, path).header.Get("ETag")
		header := key()
		header["If-Match"], header["Content-Type"] = etag, "application/merge-patch+json"
		a := w.at[collection].do(t, call{method: "PATCH", path: path, token: token, body: m.body(collection, nil), header: header})
		require.Equal(t, http.StatusOK, a.status, "%s", a.body)
		header = key()
		header["If-Match"] = a.header.Get("ETag")
		a = w.at[collection].do(t, call{method: "POST", path: path + "/transitions", token: token, body: `{"to":"under_review"}`, header: header})
		require.Equal(t, http.StatusOK, a.status, "%s", a.body)
		a = w.at["certify"].do(t, call{method: "POST", path: path + "/certify", token: token, body: fmt.Sprintf(`{"decision":"reject","reasons":[%q]}`, m.one("reason")), header: key()})
		require.Equal(t, http.StatusOK, a.status, "%s", a.body)
	}
	last := made(industries, nil)
	path := industries + "/" + last
	etag := w.at[industries].get(t, token, path).header.Get("ETag")
	a := w.at[industries].do(t, call{method: "DELETE", path: path + "?reason=" + m.one("farewell"), token: token, header: map[string]string{"If-Match": etag, "Idempotency-Key": m.one("key")}})
	require.Equal(t, http.StatusOK, a.status, "%s", a.body)
	return m
}

// rows reads one text of each row, as the administrator.
func (k *kit) rows(t *testing.T, sql string) []string {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), k.URL)
	require.NoError(t, err)
	defer func() { require.NoError(t, conn.Close(t.Context())) }()
	rows, err := conn.Query(t.Context(), sql)
	require.NoError(t, err)
	list, err := pgx.CollectRows(rows, pgx.RowTo[string])
	require.NoError(t, err)
	return list
}

// names are what the attacked tenant can be called and found by.
func (w *siege) names(t *testing.T) []string {
	t.Helper()
	var all []string
	for _, id := range w.rows(t, `SELECT id::text FROM entity WHERE governance_agent_id = 'acme' UNION SELECT id::text FROM principal WHERE governance_agent_id = 'acme'
		UNION SELECT id::text FROM audit_export WHERE governance_agent_id = 'acme' UNION SELECT id::text FROM audit_run WHERE governance_agent_id = 'acme'
		UNION SELECT o.state::jsonb->'genesis_certification'->>'certification_id' FROM opening o JOIN entity e ON e.id = o.entity_id
			WHERE e.governance_agent_id = 'acme' AND o.state::jsonb->'genesis_certification'->>'certification_id' IS NOT NULL`) {
		raw := uuid.MustParse(id)
		all = append(all, id, hex.EncodeToString(raw[:]), string(raw[:]), base64.StdEncoding.EncodeToString(raw[:]))
	}
	return all
}

// sums are what is derived from the attacked tenant's secrets: whoever has one can
// try whether a guess is right.
func (w *siege) sums(t *testing.T) []string {
	t.Helper()
	var all []string
	for _, sum := range w.rows(t, `SELECT encode(o.salt, 'hex') FROM opening o JOIN entity e ON e.id = o.entity_id WHERE e.governance_agent_id = 'acme'
		UNION SELECT encode(salt, 'hex') FROM tenant_salt WHERE governance_agent_id = 'acme'
		UNION SELECT encode(unnest(ARRAY[hash, state_hash]), 'hex') FROM amendment WHERE governance_agent_id = 'acme'
		UNION SELECT encode(signature, 'hex') FROM amendment WHERE governance_agent_id = 'acme' AND signature IS NOT NULL
		UNION SELECT encode(unnest(ARRAY[text_sha256, vector_sha256]), 'hex') FROM embedding WHERE governance_agent_id = 'acme'`) {
		raw, err := hex.DecodeString(sum)
		require.NoError(t, err)
		all = append(all, sum, base64.StdEncoding.EncodeToString(raw))
	}
	for _, unsalted := range []string{"acme", "plant/tenant/v1\nacme"} {
		all = append(all, fmt.Sprintf("%x", sha256.Sum256([]byte(unsalted))))
	}
	return all
}

// proofs is everything that an auditor of the other tenant can fetch, by what it is.
func (w *siege) proofs(t *testing.T, s *server, token, agent string) map[string]string {
	t.Helper()
	all := map[string]string{}
	take := func(what string, a answer) {
		text := string(a.body)
		if a.header.Get("Content-Type") == "application/zip" {
			text += unpacked(t, a.body)
		}
		for _, part := range strings.FieldsFunc(text, func(r rune) bool { return r == '"' }) {
			if inside, err := base64.RawURLEncoding.DecodeString(part); err == nil { // positions
				text += "\n" + string(inside)
			}
		}
		all[what] += "\n" + text + fmt.Sprint(a.header)
	}
	take("bundle", s.get(t, token, exportPath("governance_agent", "globex", "")))
	for _, id := range w.own.ids {
		take("bundle of one", s.get(t, token, exportPath("entity", id, "")))
		take("tampering", s.get(t, token, "/api/v1/audit/tampering/"+id))
	}
	take("bundle of an agent", s.get(t, token, exportPath("agent", w.own.ids[agents], "")))
	take("bundle of an agent that rests on what is shared", s.get(t, token, exportPath("agent", agent, "")))
	order := s.post(t, token, "/api/v1/audit/exports", `{"scope":"governance_agent","id":"globex","seen":1}`)
	require.Equal(t, 202, order.status, "%s", order.body)
	take("order", order)
	take("order", s.get(t, token, order.header.Get("Location")))
	take("bundle", s.get(t, token, order.header.Get("Location")+"/bundle"))
	w.audits(t, s, token, take)
	checkpoint := s.get(t, "", "/log/checkpoint")
	take("checkpoint", checkpoint)
	var size int
	_, err := fmt.Sscan(strings.Split(string(checkpoint.body), "\n")[1], &size)
	require.NoError(t, err)
	require.Less(t, size, translog.TileWidth)
	take("tiles", s.get(t, "", fmt.Sprintf("/log/tile/0/000.p/%d", size)))
	take("tiles", s.get(t, "", fmt.Sprintf("/log/tile/entries/000.p/%d", size)))
	for _, entry := range w.rows(t, `SELECT encode(hash, 'hex') FROM log_entry ORDER BY log_index`) {
		a := s.do(t, call{method: "GET", path: "/log/proof/" + entry})
		a.header = nil // it says how the proof was asked for
		take("proofs of every entry", a)
	}
	for path := "/api/v1/changes"; ; {
		a := s.get(t, token, path)
		take("changes", a)
		got := as[struct {
			Items    []struct{} `json:"items"`
			Position string     `json:"position"`
		}](t, a)
		if len(got.Items) == 0 {
			return all
		}
		path = "/api/v1/changes?after=" + got.Position
	}
}

// audits are runs of every scope that the auditor may ask for, each to its end.
func (w *siege) audits(t *testing.T, s *server, token string, take func(string, answer)) {
	t.Helper()
	scopes := []string{`{"scope":"governance_agent","id":"globex"}`}
	for _, kind := range domain.Kinds() {
		scopes = append(scopes, fmt.Sprintf(`{"scope":"kind","id":%q}`, kind))
	}
	for _, id := range w.own.ids {
		scopes = append(scopes, fmt.Sprintf(`{"scope":"entity","id":%q}`, id))
	}
	var runs []string
	for _, scope := range scopes {
		a := s.post(t, token, "/api/v1/audit/run", scope)
		require.Equal(t, 202, a.status, "%s", a.body)
		take("audits", a)
		runs = append(runs, a.header.Get("Location"))
	}
	w.deliver(t, s, "/events/audit", ".continued")
	for _, run := range runs {
		a := s.get(t, token, run)
		require.Equal(t, "finished", as[auditRunView](t, a).Status)
		take("audits", a)
	}
}

// holds reports which of the words stand in a text.
func holds(text string, words []string) (found []string) {
	lower := strings.ToLower(text)
	for _, word := range words {
		if strings.Contains(text, word) || strings.Contains(lower, strings.ToLower(word)) {
			found = append(found, word)
		}
	}
	return found
}

// TestProofsTellNothingOfAnother: whatever an auditor of a tenant can fetch, nothing of
// another tenant is in it but what shared/bundle/FORMAT.md, section 8, says.
func TestProofsTellNothingOfAnother(t *testing.T) {
	t.Parallel()
	w := newSiege(t)
	s := w.at["/api/v1/audit/run"]
	private := w.marked(t, w.Token(t, mighty(t, w.kit, "acme"))).words
	require.Greater(t, len(private), 80)
	w.deliver(t, w.at["similar"], "/events/embed", ".created", ".evolved")
	secret := slices.Concat(private, w.names(t), w.sums(t))

	// What it shares: drafts before and after the moment in which it was certified.
	publisher := mighty(t, w.kit, "acme")
	token := w.Token(t, publisher)
	before, shown, after := &marks{}, &marks{}, &marks{}
	change := func(id, body string) {
		etag := w.at[skills].get(t, token, skills+"/"+id).header.Get("ETag")
		a := w.at[skills].do(t, call{method: "PATCH", path: skills + "/" + id, token: token, body: body, header: map[string]string{"If-Match": etag, "Content-Type": "application/merge-patch+json", "Idempotency-Key": uuid.NewString()}})
		require.Equal(t, 200, a.status, "%s", a.body)
	}
	made := w.at[skills].post(t, token, skills, before.body(skills, map[string]any{"category": "technical", "visibility": "public"}))
	require.Equal(t, 201, made.status, "%s", made.body)
	skill := as[wrote](t, made).ID
	change(skill, strings.Replace(shown.body(skills, nil), `"custom_attributes":{`, `"custom_attributes":{`+fmt.Sprintf("%q:null,", before.words[5]), 1))
	w.certified(t, publisher, skill)
	role := w.at[jobRoles].post(t, w.token2, jobRoles, fmt.Sprintf(`{"name":"Rests","required_skills":[%q],"seniority_level":"mid","industry_id":%q}`, skill, w.own.ids[industries]))
	require.Equal(t, 201, role.status, "%s", role.body)
	agent := w.at[agents].post(t, w.token2, agents, fmt.Sprintf(`{"name":"Rests","skill_id":%q,"job_role_id":%q,"industry_id":%q}`, skill, as[wrote](t, role).ID, w.own.ids[industries]))
	require.Equal(t, 201, agent.status, "%s", agent.body)
	change(skill, after.body(skills, nil))
	secret = append(append(secret, before.words...), after.words...)

	s.sequence(t)
	auditor := w.Token(t, w.Principal(t, "globex", domain.Auditor, domain.Operator))
	got := w.proofs(t, s, auditor, as[wrote](t, agent).ID)
	const resting = "bundle of an agent that rests on what is shared"
	salt := w.rows(t, `SELECT encode(salt, 'hex') FROM tenant_salt WHERE governance_agent_id = 'acme'`)
	owner := regexp.MustCompile(`(^|[^0-9A-Za-z+=])acme($|[^0-9A-Za-z+=])`) // four letters of base64 can be these
	for what, text := range got {
		if what == resting {
			secret := slices.DeleteFunc(slices.Clone(secret), func(word string) bool { return word == salt[0] })
			require.Empty(t, holds(text, secret), what)
			continue
		}
		hidden := slices.Clone(secret)
		if what == "tiles" || strings.HasPrefix(what, "proofs") {
			hidden = append(hidden, skill, publisher.ID)
		}
		require.Empty(t, holds(text, hidden), what)
		if what != "changes" { // which tell what is shared
			require.Empty(t, holds(text, append([]string{publisher.ID}, shown.words...)), what)
			require.False(t, owner.MatchString(text), what)
		}
	}

	// And what remains visible is visible.
	require.True(t, owner.MatchString(got[resting]))
	require.Len(t, holds(got[resting], append([]string{"acme", skill, publisher.ID, salt[0]}, shown.words...)), 4+len(shown.words))
	require.NotEmpty(t, holds(got["bundle"], []string{skill}), "the role names it")
	require.NotEmpty(t, holds(got["changes"], []string{skill}))
	w.visible(t, got["bundle"], salt[0])

	// What an audit finds of one's own names nobody else, even where somebody mixed up
	// what belongs to two.
	w.tamper(t, w.mixed()...)
	names := slices.Concat(private, w.names(t), []string{"acme"},
		w.rows(t, `SELECT encode(unnest(ARRAY[text_sha256, vector_sha256]), 'hex') FROM embedding WHERE entity_id = '`+w.them.ids[skills]+`'`))
	var count int
	w.audits(t, s, auditor, func(_ string, a answer) {
		count += len(as[auditRunView](t, a).Findings)
		require.Empty(t, holds(string(a.body), names), "%s", a.body)
	})
	for _, id := range w.own.ids {
		a := s.get(t, auditor, "/api/v1/audit/tampering/"+id)
		require.Empty(t, holds(string(a.body), names), "%s", a.body)
		count += len(as[tamperingView](t, a).Findings)
	}
	require.Greater(t, count, 30)
}

// visible: a bundle says how many governance agents there are, and of each one how
// many entities it has and the root over their heads, under a name that only its
// salt resolves.
func (w *siege) visible(t *testing.T, bundle, salt string) {
	t.Helper()
	raw, err := ledger.ParseHash(salt)
	require.NoError(t, err)
	row := regexp.MustCompile(`\{[^{}]*` + translog.TenantID(raw, "acme").String() + `[^{}]*\}`).FindString(bundle)
	require.Regexp(t, fmt.Sprintf(`"count": ?%d\b`, w.count(t, "(SELECT DISTINCT entity_id FROM log_entry WHERE governance_agent_id = 'acme') e")), row)
}

// mixed are ways to mix up what belongs to two tenants by hand.
func (w *siege) mixed() []string {
	of := strings.NewReplacer(
		"{theirs}", "'"+w.them.ids[skills]+"'", "{mine}", "'"+w.own.ids[skills]+"'", "{role}", "'"+w.own.ids[jobRoles]+"'",
		"{industry}", "'"+w.own.ids[industries]+"'", "{team}", "'"+w.own.ids[teams]+"'",
	)
	var all []string
	for _, sql := range []string{
		`UPDATE log_entry SET governance_agent_id = 'acme' WHERE entity_id = {mine} AND seq = 2`,
		`UPDATE embedding SET governance_agent_id = 'acme' WHERE entity_id = {mine}`,
		`UPDATE embedding SET (vector, vector_sha256, text_sha256) = (SELECT vector, vector_sha256, text_sha256 FROM embedding WHERE entity_id = {theirs}) WHERE entity_id = {mine}`,
		`UPDATE amendment SET record = (SELECT record FROM amendment WHERE entity_id = {theirs} AND seq = 1) WHERE entity_id = {role} AND seq = 1`,
		`UPDATE opening SET (salt, state) = (SELECT salt, state FROM opening WHERE entity_id = {theirs} AND seq = 1) WHERE entity_id = {industry} AND seq = 1`,
		`UPDATE entity SET (name, governance_notes) = (SELECT name, governance_notes FROM entity WHERE id = {theirs}) WHERE id = {team}`,
	} {
		all = append(all, of.Replace(sql))
	}
	return all
}
