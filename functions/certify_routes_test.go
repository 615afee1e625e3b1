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

// tried is a refused attempt as the audit trail shows it.
type tried struct {
	ID        string   `json:"id"`
	Who       string   `json:"principal_id"`
	Operation string   `json:"operation"`
	Entity    *string  `json:"entity_id"`
	Code      string   `json:"code"`
	Rules     []string `json:"rules"`
}

// trail is what a governance agent sees of the audit trail, newest first.
func (b *board) trail(t *testing.T, token string) []tried {
	t.Helper()
	return as[page[tried]](t, b.certify.get(t, token, "/api/v1/certify/refusals")).Items
}

// written are the routes that write what can be certified, by operation, with the
// least that each takes: a new route under a collection must be added here.
func (g ground) written() map[string]string {
	bodies := map[string]string{
		"createSkill":    plain("Sly"),
		"createJobRole":  fmt.Sprintf(`{"name":"Sly","required_skills":[%q],"seniority_level":"mid"}`, g.skill),
		"createIndustry": `{"name":"Sly"}`,
		"createTeam":     fmt.Sprintf(`{"name":"Sly","job_role_id":%q,"agents":[%q]}`, g.role, g.agent),
		"createAgent":    fmt.Sprintf(`{"name":"Sly","skill_id":%q,"job_role_id":%q,"industry_id":%q}`, g.skill, g.role, g.industry),
		"assignTeam":     fmt.Sprintf(`{"team_id":%q}`, g.team),
	}
	for _, one := range [][2]string{{"Skill", "Skills"}, {"JobRole", "JobRoles"}, {"Industry", "Industries"}, {"Team", "Teams"}, {"Agent", "Agents"}} {
		bodies["create"+one[1]] = `{"items":[` + bodies["create"+one[0]] + `]}`
		bodies["evolve"+one[0]], bodies["move"+one[0]], bodies["certify"+one[0]] = `{"tags":["sly"]}`, `{"to":"under_review"}`, yes
	}
	return bodies
}

func (g ground) of(pattern string) (collection, id string) {
	for collection, id := range map[string]string{skills: g.skill, jobRoles: g.role, industries: g.industry, teams: g.team, agents: g.agent} {
		if _, path, _ := strings.Cut(pattern, " "); path == collection || strings.HasPrefix(path, collection+"/") {
			return collection, id
		}
	}
	return "", ""
}

// TestNoRouteSetsACertification: whatever writes what can be certified refuses the
// fields of a certification, beside and inside of what it takes, changes nothing,
// and the attempt is in the audit trail. The routes are those of the table.
func TestNoRouteSetsACertification(t *testing.T) {
	t.Parallel()
	b := newBoard(t)
	g := b.ground(t, "Weld")
	who := b.Principal(t, "acme", domain.Author, domain.Genesis)
	token := b.Token(t, who)
	amended := func() int { return b.count(t, "amendment") }
	before, bodies, seen, last := amended(), g.written(), 0, ""
	for _, r := range Routes() {
		collection, id := g.of(r.Pattern)
		if collection == "" || r.Limit == 0 {
			continue
		}
		body, known := bodies[r.Operation]
		require.True(t, known, "%s writes: what does it take?", r.Operation)
		for _, field := range []string{
			`"genesis_certification":{"passed":42}`, `"status":"certified"`, `"certified_by":"acme/x"`, `"certified_at":"2026-01-31T00:00:00Z"`,
			`"certification_id":"x"`, `"amendment_alignment":"aligned"`,
		} {
			sly := []string{strings.TrimSuffix(body, "}") + "," + field + "}"}
			if strings.HasSuffix(r.Pattern, "/batch") {
				sly = append(sly, strings.Replace(body, "}]}", ","+field+"}]}", 1))
			}
			for i, one := range sly {
				method, path, _ := strings.Cut(r.Pattern, " ")
				c := call{method: method, path: strings.ReplaceAll(path, "{id}", id), token: token, body: one, header: map[string]string{"Idempotency-Key": uuid.NewString()}}
				c.header["If-Match"] = b.etag(t, collection, id)
				if method == http.MethodPatch {
					c.header["Content-Type"] = "application/merge-patch+json"
				}
				to := b.at[collection]
				if r.Function == certifier {
					to = b.certify
				}
				a := to.do(t, c)
				require.Equal(t, map[int]int{0: 400, 1: 200}[i], a.status, "%s %s: %s", r.Operation, one, a.body)
				newest := b.trail(t, token)[0]
				require.NotEqual(t, last, newest.ID, "%s %s: is not in the audit trail", r.Operation, one)
				require.Equal(t, tried{newest.ID, who.ID, r.Operation, newest.Entity, "malformed", []string{"body.unknown_field"}}, newest, one)
				if strings.Contains(r.Pattern, "{id}") {
					require.Equal(t, &id, newest.Entity, r.Operation)
				}
				last = newest.ID
				seen++
			}
		}
	}
	require.Equal(t, (5*5+1)*6+5*6, seen, "every route, and each batch twice")
	require.Equal(t, before, amended(), "nothing was written")
}

// TestBatchAttempts: what is refused in a batch of decisions is in the audit trail
// like what is refused alone, an entry for each; what is granted is not.
func TestBatchAttempts(t *testing.T) {
	t.Parallel()
	b := newBoard(t)
	g := b.ground(t, "Weld")
	who := b.Principal(t, "acme", domain.Author, domain.Genesis)
	token := b.Token(t, who)
	own := as[entity](t, b.at[skills].post(t, token, skills, plain("Own"))).ID
	foreign, globex := b.author(t, "globex")
	theirs := as[entity](t, b.at[skills].post(t, globex, skills, plain("Theirs"))).ID
	for _, one := range [][2]string{{skills, own}, {skills, g.skill}, {agents, g.agent}, {industries, g.industry}} {
		b.submit(t, one[0], one[1])
	}
	item := func(id, more string) string { return fmt.Sprintf(`{"id":%q,"decision":"certify"%s}`, id, more) }
	items := strings.Join([]string{
		item(own, ""), item(g.agent, ""), item(theirs, ""), item(g.industry, ""), item(g.skill, `,"certified_by":"acme/x"`), item("x", ""),
	}, ",")
	dry := b.certify.post(t, token, "/api/v1/certify/batch?validate_only=true", `{"items":[`+items+`]}`)
	require.Equal(t, 200, dry.status, "%s", dry.body)
	require.Empty(t, b.trail(t, token), "a dry run is no attempt")
	a := b.certify.post(t, token, "/api/v1/certify/batch", `{"items":[`+items+`]}`)
	require.Equal(t, 200, a.status, "%s", a.body)
	found := map[string]tried{}
	for _, one := range b.trail(t, token) {
		require.Equal(t, []string{who.ID, "certifyAll"}, []string{one.Who, one.Operation})
		id := ""
		if one.Entity != nil {
			id = *one.Entity
		}
		found[id+one.Code] = one
	}
	require.Len(t, found, 5)
	require.Contains(t, found[own+"rule_violated"].Rules, "CON-12")
	require.Contains(t, found[g.agent+"rule_violated"].Rules, "DEP-02")
	require.Contains(t, found, theirs+"not_found")
	require.Contains(t, found["malformed"].Rules, "body.unknown_field")
	require.Contains(t, found, "not_found")
	hers := b.trail(t, globex)
	require.Len(t, hers, 1, "whose entity it is sees it too, and nothing else")
	require.Equal(t, theirs, *hers[0].Entity)
	require.NotEqual(t, foreign.ID, hers[0].Who)
	require.Equal(t, 1, b.count(t, "amendment WHERE change = 'certified'"), "the industry, and nothing that was refused")

	// A request that cannot be read at all is one attempt.
	for body, status := range map[string]int{`{"items":[]}`: 400, `{"items":[` + items + `],"certified_by":"acme/x"}`: 400, `{`: 400} {
		before := len(b.trail(t, token))
		require.Equal(t, status, b.certify.post(t, token, "/api/v1/certify/batch", body).status, body)
		require.Len(t, b.trail(t, token), before+1, body)
	}
	// What the database has taken away since the token was issued refuses each decision.
	b.admin(t, "UPDATE principal SET authorities = '{author}' WHERE id = $1", b.own.ID)
	fallen := b.certify.post(t, b.Token(t, b.own), "/api/v1/certify/batch", `{"items":[`+item(g.skill, "")+`,`+item(own, "")+`]}`)
	require.Equal(t, 2, strings.Count(string(fallen.body), `"code":"forbidden"`), "%s", fallen.body)
	for _, one := range b.trail(t, token)[:2] {
		require.Equal(t, []string{b.own.ID, "certifyAll", "forbidden"}, []string{one.Who, one.Operation, one.Code})
		require.Contains(t, []string{g.skill, own}, *one.Entity)
	}

	// So is one with a token that is over, and it is the principal's whose token it was.
	over := b.spent(t, who)
	for _, path := range []string{"/api/v1/certify/batch", skills + "/" + own + "/certify"} {
		require.Equal(t, 401, b.certify.post(t, over, path, yes).status)
		last := b.trail(t, token)[0]
		require.Equal(t, []string{who.ID, "unauthenticated"}, []string{last.Who, last.Code})
		require.Equal(t, path != "/api/v1/certify/batch", last.Entity != nil && *last.Entity == own)
	}
}

// spent is a token that was a principal's and is over.
func (b *board) spent(t *testing.T, who auth.Principal) string {
	t.Helper()
	over, _, err := auth.Issuer{
		Secrets: b.Tokens, Issuer: "https://auth.test.example", Audience: "https://api.test.example",
		Now: func() time.Time { return time.Now().Add(-time.Hour) },
	}.Mint(who)
	require.NoError(t, err)
	return over
}
