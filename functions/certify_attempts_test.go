package main

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/dlai-sd/plant/shared/auth"
	"github.com/dlai-sd/plant/shared/domain"
)

// TestRejectedAgentLeavesItsTeam: in one amendment; but a team is never left
// without an agent.
func TestRejectedAgentLeavesItsTeam(t *testing.T) {
	t.Parallel()
	b := newBoard(t)
	g := b.ground(t, "Weld")
	b.submit(t, agents, g.agent)
	v := b.must(t, agents, g.agent, no("reject", "Not yet."))
	require.True(t, v.KeepsTeam)
	require.Equal(t, &g.team, as[entity](t, b.get(t, agents, "/"+g.agent)).TeamID)

	skill := b.create(t, skills, plain("Other")).ID
	second := b.create(t, agents, fmt.Sprintf(`{"name":"Second","skill_id":%q,"job_role_id":%q,"industry_id":%q}`, skill, g.role, g.industry)).ID
	b.mustChange(t, agents, http.MethodPost, second, "/assign-team", fmt.Sprintf(`{"team_id":%q}`, g.team))
	b.submit(t, agents, g.agent)
	b.submit(t, agents, second)
	items := fmt.Sprintf(`{"items":[{"id":%q,"decision":"reject","reasons":["x"]},{"id":%q,"decision":"reject","reasons":["x"]}]}`, g.agent, second)
	a := b.certify.post(t, b.bearer, "/api/v1/certify/batch", items)
	require.Equal(t, 200, a.status, "%s", a.body)
	left := as[entity](t, b.get(t, agents, "/"+g.agent))
	require.Equal(t, "draft", left.Status)
	require.Nil(t, left.TeamID)
	require.Equal(t, &g.team, as[entity](t, b.get(t, agents, "/"+second)).TeamID, "the last one stays")
	require.Equal(t, []string{second}, as[entity](t, b.get(t, teams, "/"+g.team)).Agents)
	require.Equal(t, "rejected", left.History[len(left.History)-1].Change)
}

// TestCertifyQueue: what waits for whose decision, oldest first.
func TestCertifyQueue(t *testing.T) {
	t.Parallel()
	b := newBoard(t)
	g, h := b.ground(t, "Weld"), b.ground(t, "Rivet")
	type queued struct {
		ID       string `json:"id"`
		WaitsFor string `json:"waits_for"`
	}
	ids := func(token, query string) (list []string) {
		t.Helper()
		for _, q := range as[page[queued]](t, b.certify.get(t, token, "/api/v1/certify/queue"+query)).Items {
			list = append(list, q.ID)
		}
		return list
	}
	for _, one := range [][2]string{{skills, h.skill}, {jobRoles, g.role}, {skills, g.skill}} {
		b.submit(t, one[0], one[1])
	}
	want := []string{h.skill, g.role, g.skill}
	require.Equal(t, want, ids(b.bearer, ""))
	require.Equal(t, want, ids(b.Token(t, b.own), ""))
	first := as[page[queued]](t, b.certify.get(t, b.bearer, "/api/v1/certify/queue?limit=2"))
	require.Equal(t, want[2:], ids(b.bearer, "?limit=2&cursor="+*first.Next))
	require.Equal(t, 400, b.certify.do(t, call{method: "GET", path: "/api/v1/certify/queue?cursor=x", token: b.bearer}).status)

	b.must(t, skills, h.skill, yes)
	require.Equal(t, want[1:], ids(b.bearer, ""))
	foreign := b.Principal(t, "globex", domain.Genesis)
	require.Empty(t, ids(b.Token(t, foreign), ""), "others' are not theirs to decide")
	author := b.Principal(t, "acme", domain.Author)
	require.Equal(t, 403, b.certify.do(t, call{method: "GET", path: "/api/v1/certify/queue", token: b.Token(t, author)}).status)
	mine := b.Principal(t, "acme", domain.Author, domain.Genesis)
	a := b.at[skills].post(t, b.Token(t, mine), skills, plain("Mine"))
	id := as[entity](t, a).ID
	b.submit(t, skills, id)
	require.NotContains(t, ids(b.Token(t, mine), ""), id, "not what the caller wrote")
	require.Contains(t, ids(b.bearer, ""), id)
	_, globex := b.author(t, "globex")
	theirs := as[entity](t, b.at[skills].post(t, globex, skills, plain("Theirs"))).ID
	submit := call{method: "POST", path: skills + "/" + theirs + "/transitions", token: globex, body: `{"to":"under_review"}`}
	submit.header = map[string]string{"If-Match": b.at[skills].get(t, globex, skills+"/"+theirs).header.Get("ETag")}
	require.Equal(t, 200, b.at[skills].do(t, submit).status)
	require.Contains(t, ids(b.bearer, ""), theirs)
	require.NotContains(t, ids(b.Token(t, b.own), ""), theirs)
	forged := b.own
	forged.Platform = []domain.Authority{domain.Genesis}
	require.Len(t, ids(b.Token(t, forged), ""), 3, "a token's word is not enough: own only")
}

// TestRefusedAttempts: whoever tries to certify itself, or what it may not, by
// whatever route, is refused, and the attempt is in the audit trail of both.
func TestRefusedAttempts(t *testing.T) {
	t.Parallel()
	b := newBoard(t)
	g := b.ground(t, "Weld")
	both := b.Principal(t, "acme", domain.Author, domain.Genesis)
	token := b.Token(t, both)
	own := as[entity](t, b.at[skills].post(t, token, skills, plain("Own"))).ID
	b.submit(t, skills, own)
	b.submit(t, jobRoles, g.role)
	hidden := b.ground(t, "Hidden")
	foreign := b.Principal(t, "globex", domain.Genesis)

	type attempt struct {
		Who       string   `json:"principal_id"`
		Operation string   `json:"operation"`
		Entity    *string  `json:"entity_id"`
		Code      string   `json:"code"`
		Rules     []string `json:"rules"`
	}
	trail := func(token string) []attempt {
		t.Helper()
		return as[page[attempt]](t, b.certify.get(t, token, "/api/v1/certify/refusals")).Items
	}
	last := func(token string, who auth.Principal, operation, id, code, rule string) {
		t.Helper()
		found := trail(token)[0]
		require.Equal(t, who.ID, found.Who)
		require.Equal(t, []string{operation, code}, []string{found.Operation, found.Code})
		if id != "" {
			require.Equal(t, id, *found.Entity)
		}
		if rule != "" {
			require.Contains(t, found.Rules, rule)
		}
	}

	a := b.decide(t, token, skills, own, yes)
	require.Equal(t, 422, a.status)
	require.Equal(t, "CON-12", a.problem(t).Violations[0].Rule)
	last(token, both, "certifySkill", own, "rule_violated", "CON-12")

	require.Equal(t, 422, b.decide(t, b.bearer, jobRoles, g.role, yes).status)
	last(b.bearer, b.genesis, "certifyJobRole", g.role, "rule_violated", "DEP-02")
	last(b.token, b.genesis, "certifyJobRole", g.role, "rule_violated", "DEP-02")

	require.Equal(t, 404, b.decide(t, b.Token(t, foreign), skills, hidden.skill, yes).status)
	last(b.Token(t, foreign), foreign, "certifySkill", hidden.skill, "not_found", "")
	last(b.token, foreign, "certifySkill", hidden.skill, "not_found", "")

	// Through other routes: the fields, and the move.
	writer := b.Principal(t, "acme", domain.Author)
	author := b.Token(t, writer)
	skill := b.at[skills]
	for _, field := range []string{`"genesis_certification":{"passed":42}`, `"status":"certified"`, `"colour":1,"genesis_certification":null`} {
		body := strings.TrimSuffix(plain("Sly"), "}") + "," + field + "}"
		require.Equal(t, 400, skill.post(t, author, skills, body).status)
		last(author, writer, "createSkill", "", "malformed", "body.unknown_field")
		require.Equal(t, 200, skill.post(t, author, skills+"/batch", `{"items":[`+body+`]}`).status)
		last(author, writer, "createSkills", "", "malformed", "body.unknown_field")
		require.Equal(t, 400, skill.post(t, author, skills+"?validate_only=true", body).status)
		last(author, writer, "createSkills", "", "malformed", "body.unknown_field")
		header := map[string]string{"If-Match": b.etag(t, skills, own), "Idempotency-Key": uuid.NewString(), "Content-Type": "application/merge-patch+json"}
		patch := call{method: "PATCH", path: skills + "/" + own, token: author, body: "{" + field + "}", header: header}
		if !strings.Contains(field, "null") { // a null removes what is not there
			require.Equal(t, 400, skill.do(t, patch).status)
			last(author, writer, "evolveSkill", own, "malformed", "body.unknown_field")
		}
	}
	move := call{method: "POST", path: skills + "/" + own + "/transitions", token: author, body: `{"to":"certified"}`}
	move.header = map[string]string{"If-Match": b.etag(t, skills, own)}
	require.Equal(t, 409, skill.do(t, move).status)
	last(author, writer, "moveSkill", own, "illegal_move", "")

	// With a token that was ours and is over; one that never was ours leaves nothing.
	before := len(trail(token))
	over, _, err := auth.Issuer{
		Secrets: b.Tokens, Issuer: "https://auth.test.example", Audience: "https://api.test.example",
		Now: func() time.Time { return time.Now().Add(-time.Hour) },
	}.Mint(b.genesis)
	require.NoError(t, err)
	require.Equal(t, 401, b.decide(t, over+"x", skills, own, yes).status)
	require.Equal(t, 401, b.decide(t, "x.y.z", skills, own, yes).status)
	require.Len(t, trail(token), before)
	require.Equal(t, 401, b.decide(t, over, skills, own, yes).status)
	last(b.bearer, b.genesis, "certifySkill", own, "unauthenticated", "")

	// What a token says counts as little as what the database has taken away.
	b.submit(t, skills, g.skill)
	b.admin(t, "UPDATE principal SET platform_authorities = '{auditor}' WHERE id = $1", b.genesis.ID)
	require.Equal(t, 404, b.decide(t, b.bearer, skills, g.skill, yes).status, "what it may not even see")
	last(b.token, b.genesis, "certifySkill", g.skill, "not_found", "")

	// Nobody else's trail is shown, and nobody alters it.
	_, stranger := b.author(t, "initech")
	require.Empty(t, trail(stranger))
	first := as[page[attempt]](t, b.certify.get(t, token, "/api/v1/certify/refusals?limit=2"))
	require.Len(t, first.Items, 2)
	b.certify.get(t, token, "/api/v1/certify/refusals?limit=2&cursor="+*first.Next)
	require.Equal(t, 0, b.count(t, "amendment WHERE change = 'certified'"))
}

// TestChecklistIsServed: what certifications name can be read.
func TestChecklistIsServed(t *testing.T) {
	t.Parallel()
	b := newBoard(t)
	c := as[struct {
		SHA256 string         `json:"sha256"`
		Points []domain.Point `json:"points"`
	}](t, b.certify.get(t, b.token, "/api/v1/certify/checklist"))
	require.Equal(t, domain.ChecklistInForce().Hash(), c.SHA256)
	require.Len(t, c.Points, 42)
}
