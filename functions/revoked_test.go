package main

import (
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/dlai-sd/plant/shared/domain"
)

// fallen is what somebody held when the token was issued, and what is left of it.
type fallen struct {
	name, tenant      string
	own, wide         []domain.Authority
	ownLeft, wideLeft []domain.Authority
	disabled          bool
}

func falls() []fallen {
	all := domain.Authorities()
	wide := without(all, domain.Author)
	auditor := []domain.Authority{domain.Auditor}
	return []fallen{
		{name: "one's own, all", tenant: "acme", own: all},
		{name: "one's own, all but one", tenant: "acme", own: all, ownLeft: auditor},
		{name: "the platform's, all", tenant: "board", wide: wide},
		{name: "the platform's, all but one", tenant: "board", wide: wide, wideLeft: auditor},
		{name: "the platform's, but not one's own", tenant: "acme", own: auditor, wide: wide, ownLeft: auditor},
		{name: "disabled", tenant: "acme", own: all, wide: wide, disabled: true},
	}
}

// court is a world in which every route has something to say.
type court struct {
	*platform
	of              map[string]entity
	bodies          map[string]string
	by              map[string]*server // by function
	export, run     string             // acme's
	report, wideRun string
	proposal        string
	law             string
}

func newCourt(t *testing.T) *court {
	t.Helper()
	c := &court{platform: newPlatform(t), by: map[string]*server{}}
	c.of, c.bodies = c.oneOfEach(t)
	for _, function := range []string{certifier, embedder, auditRun, driftCheck} {
		c.by[function] = c.serve(t, function, nil)
	}
	c.by[createSkill], c.by[createRole], c.by[birthAgent] = c.at[skills], c.at[jobRoles], c.at[agents]
	c.mustChange(t, skills, http.MethodPost, c.of[skills].ID, "/transitions", `{"to":"under_review"}`)
	c.by[auditRun].sequence(t)
	own := c.Token(t, c.Principal(t, "acme", domain.Auditor, domain.Guardian))
	wide := c.Token(t, c.PlatformPrincipal(t, "board", domain.Auditor, domain.Operator))
	made := func(function, token, path, body string, want int) string {
		a := c.by[function].post(t, token, path, body)
		require.Equal(t, want, a.status, "%s", a.body)
		return as[wrote](t, a).ID
	}
	c.export = made(auditRun, own, "/api/v1/audit/exports", `{"scope":"governance_agent","id":"acme"}`, 202)
	c.run = made(auditRun, own, "/api/v1/audit/run", `{"scope":"governance_agent","id":"acme"}`, 202)
	c.wideRun = made(auditRun, wide, "/api/v1/audit/run", `{"scope":"all"}`, 202)
	c.report = made(driftCheck, own, "/api/v1/drift/run", `{"scope":"governance_agent","id":"acme"}`, 202)
	c.law = proposalBody(t, tagged(t))
	c.proposal = made(certifier, wide, proposals, c.law, 201)
	return c
}

// questions are requests to a route for principals, all that a route with an authority
// in it depends on. A route without any fails the test.
func (c *court) questions(t *testing.T, r Route) (list []call) {
	t.Helper()
	method, path, _ := strings.Cut(r.Pattern, " ")
	get := func(paths ...string) {
		for _, p := range paths {
			list = append(list, call{method: http.MethodGet, path: p})
		}
	}
	post := func(path string, bodies ...string) {
		for _, b := range bodies {
			list = append(list, call{method: http.MethodPost, path: path, body: b})
		}
	}
	if collection := collectionOf(path); collection != "" {
		return c.onEntity(t, method, collection, strings.TrimPrefix(path, collection))
	}
	audited := []string{`{"scope":"all"}`, `{"scope":"governance_agent","id":"acme"}`, fmt.Sprintf(`{"scope":"entity","id":%q}`, c.of[skills].ID)}
	team := fmt.Sprintf(`"job_role_id":%q,"agents":[%q]`, c.of[jobRoles].ID, c.of[agents].ID)
	switch path {
	case "/api/v1/certify/batch":
		post(path, fmt.Sprintf(`{"items":[{"id":%q,"decision":"certify"}]}`, c.of[skills].ID))
	case "/api/v1/constitution/replay":
		post(path, fmt.Sprintf(`{"document":%s}`, breakingAll()))
	case proposals + "/{id}":
		get(proposals + "/" + c.proposal)
	case proposals + "/{id}/decisions":
		for _, gate := range []string{"genesis", "architect", "guardian"} {
			post(proposals+"/"+c.proposal+"/decisions", fmt.Sprintf(`{"gate":%q,"verdict":"reject","reasons":["x"]}`, gate))
		}
	case proposals + "/{id}/enact":
		post(proposals+"/"+c.proposal+"/enact", `{}`)
	case proposals + "/{id}/rollback":
		post(proposals+"/"+c.proposal+"/rollback", `{"reasons":["x"]}`)
	case "/api/v1/simulation/team":
		post(path, "{"+team+"}")
	case "/api/v1/simulation/skill-gap":
		post(path, fmt.Sprintf(`{"job_role_id":%q,"agent_id":%q}`, c.of[jobRoles].ID, c.of[agents].ID))
	case "/api/v1/simulation/run":
		post(path, `{"kind":"team",`+team+"}")
	case "/generate-embedding":
		post(path, `{"text":"x"}`)
	case "/api/v1/search":
		get(path + "?q=welding&mode=lexical")
	case "/api/v1/similar":
		post(path, `{"entity_type":"skill","name":"Welding","description":"x"}`)
	case "/api/v1/audit/run":
		post(path, append(audited, `{"scope":"kind","id":"skill"}`)...)
	case "/api/v1/audit/runs/{id}":
		get("/api/v1/audit/runs/"+c.run, "/api/v1/audit/runs/"+c.wideRun)
	case "/api/v1/audit/tampering/{id}":
		get("/api/v1/audit/tampering/" + c.of[skills].ID)
	case "/api/v1/audit/export":
		get(path+"?scope=all", path+"?scope=governance_agent&id=acme", path+"?scope=entity&id="+c.of[skills].ID, path+"?scope=agent&id="+c.of[agents].ID)
	case "/api/v1/audit/exports":
		post(path, audited...)
	case "/api/v1/audit/exports/{id}", "/api/v1/audit/exports/{id}/bundle":
		get(strings.Replace(path, "{id}", c.export, 1))
	case "/api/v1/drift/run":
		post(path, audited[:2]...)
	case "/api/v1/drift/reports/{id}":
		get("/api/v1/drift/reports/" + c.report)
	case proposals:
		if method == http.MethodPost {
			post(path, c.law)
			break
		}
		get(path)
	default:
		require.NotContains(t, path, "{", "a route that nobody asks here")
		require.Equal(t, http.MethodGet, method, "a route that nobody asks here: %s", path)
		get(path)
	}
	return list
}

func (c *court) onEntity(t *testing.T, method, collection, rest string) []call {
	t.Helper()
	id := c.of[collection].ID
	one := call{method: method, path: collection + strings.Replace(rest, "{id}", id, 1)}
	switch method + " " + rest {
	case "POST ":
		one.body = c.bodies[collection]
	case "POST /batch":
		one.body = `{"items":[` + c.bodies[collection] + `]}`
	case "PATCH /{id}":
		one.body = `{"tags":["seen"]}`
	case "DELETE /{id}":
		one.path += "?reason=why"
	case "POST /{id}/transitions":
		one.body = `{"to":"archived","reason":"why"}`
	case "POST /{id}/certify":
		one.body = `{"decision":"certify"}`
	case "POST /{id}/assign-team":
		one.body = fmt.Sprintf(`{"team_id":%q}`, c.of[teams].ID)
	case "GET /{id}/diff":
		one.path += "?from=1&to=1"
	default:
		require.Equal(t, http.MethodGet, method, "a route that nobody asks here: %s %s", collection, rest)
	}
	if method != http.MethodGet && id != "" && strings.Contains(rest, "{id}") {
		one.header = map[string]string{"If-Match": c.etag(t, collection, id), "Content-Type": "application/json"}
		if method == http.MethodPatch {
			one.header["Content-Type"] = "application/merge-patch+json"
		}
	}
	return []call{one}
}

// drawn is what an answer holds that no two answers do: ids, and times.
var drawn = regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f-]{22}|\d{4}-\d\d-\d\dT[0-9:.]+Z`)

// asked sends a question in somebody's name, and returns what can be compared of the
// answer.
func (c *court) asked(t *testing.T, s *server, q call, token string) string {
	t.Helper()
	q.token = token
	if q.method != http.MethodGet {
		header := map[string]string{"Idempotency-Key": uuid.NewString()}
		for name, value := range q.header {
			header[name] = value
		}
		q.header = header
	}
	a := s.do(t, q)
	require.Less(t, a.status, 500, "%s %s: %s", q.method, q.path, a.body)
	switch {
	case a.status >= 400:
		return fmt.Sprint(a.status, " ", a.problem(t).Code)
	case a.status > 200 || a.header.Get("Content-Type") == "application/zip":
		return fmt.Sprint(a.status)
	case q.method != http.MethodGet:
		return fmt.Sprint(a.status, " ", drawn.ReplaceAllString(string(a.body), "…"))
	}
	return fmt.Sprint(a.status, " ", string(a.body))
}

// TestTheRevokedAreNobody: what authority a principal has is asked of the database at
// every call. Over every route for principals, whoever lost authorities after the token
// was issued hears what somebody hears who never held them; whoever still holds them is
// answered otherwise, wherever a route asks for one.
func TestTheRevokedAreNobody(t *testing.T) {
	t.Parallel()
	c := newCourt(t)
	depends := map[string]bool{} // by operation
	for _, f := range falls() {
		same := func(want, got, what string) {
			out := f.disabled && got == "403 forbidden" // who is disabled asks for nothing in its own name
			require.True(t, want == got || out, "%s: %.200s, and of who never held it %.200s", what, got, want)
		}
		holds, never, lost := c.holder(t, f.tenant, f.own, f.wide), c.holder(t, f.tenant, f.ownLeft, f.wideLeft), c.holder(t, f.tenant, f.own, f.wide)
		own, wide := append([]domain.Authority{}, f.ownLeft...), append([]domain.Authority{}, f.wideLeft...)
		c.admin(t, `UPDATE principal SET authorities = $2, platform_authorities = $3,
			disabled_at = CASE WHEN $4 THEN now() END WHERE id = $1`, lost.ID, own, wide, f.disabled)
		for _, r := range Routes() {
			if r.Access != Bearer && r.Access != Caller {
				continue
			}
			s := c.by[r.Function]
			for _, q := range c.questions(t, r) {
				what := fmt.Sprintf("%s: %s %s %s", f.name, q.method, q.path, q.body)
				before := c.asked(t, s, q, never.token)
				same(before, c.asked(t, s, q, lost.token), what)
				if writes := q.method != http.MethodGet && changesSomething(r); writes {
					q.path += map[bool]string{true: "&", false: "?"}[strings.Contains(q.path, "?")] + "validate_only=true"
					before = c.asked(t, s, q, never.token)
					same(before, c.asked(t, s, q, lost.token), what+", as a question")
				}
				depends[r.Operation] = depends[r.Operation] || before != c.asked(t, s, q, holds.token)
			}
		}
	}
	for _, r := range Routes() {
		if r.Access == Bearer && needsOf(r) != "nothing more: reads what it may see" {
			require.True(t, depends[r.Operation], "%s needs %q, and nobody noticed", r.Pattern, needsOf(r))
		}
	}
}

// changesSomething reports whether a route takes validate_only.
func changesSomething(r Route) bool {
	return changes()[r.Operation] != "" || slices.Contains([]string{
		"proposeConstitution", "judgeConstitution", "enactConstitution", "rollbackConstitution",
	}, r.Operation)
}
