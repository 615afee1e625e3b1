package main

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/dlai-sd/plant/shared/auth"
	"github.com/dlai-sd/plant/shared/domain"
)

// decidedView is the answer to a decision as the tests look at it.
type decidedView struct {
	HTTPStatus    int                   `json:"http_status"`
	ID            string                `json:"id"`
	EntityType    *string               `json:"entity_type"`
	Recorded      bool                  `json:"recorded"`
	Change        *string               `json:"change"`
	Status        *string               `json:"status"`
	Version       int64                 `json:"version"`
	VersionHash   *string               `json:"version_hash"`
	Certification *domain.Certification `json:"genesis_certification"`
	Checklist     *domain.Assessment    `json:"checklist"`
	KeepsTeam     bool                  `json:"keeps_team"`
	Code          *string               `json:"code"`
	Violations    []domain.Violation    `json:"violations"`
	Affected      struct {
		Total int  `json:"total"`
		More  bool `json:"more"`
		Items []struct {
			ID     string `json:"id"`
			Status string `json:"status"`
		} `json:"items"`
	} `json:"affected"`
}

// board is a platform with the certifying function, and genesis principals of the
// platform and of the tenant.
type board struct {
	*platform

	certify *server
	genesis auth.Principal // of the platform
	own     auth.Principal // of the tenant alone
	bearer  string         // of genesis
}

func newBoard(t *testing.T) *board {
	t.Helper()
	b := &board{platform: newPlatform(t)}
	b.certify = b.serve(t, certifier, nil)
	b.genesis, b.own = b.PlatformPrincipal(t, "genesis-board", domain.Genesis), b.Principal(t, "acme", domain.Genesis)
	b.bearer = b.Token(t, b.genesis)
	return b
}

func (b *board) decide(t *testing.T, token, collection, id, body string) answer {
	t.Helper()
	return b.certify.post(t, token, collection+"/"+id+"/certify", body)
}

func (b *board) must(t *testing.T, collection, id, body string) decidedView {
	t.Helper()
	a := b.decide(t, b.bearer, collection, id, body)
	require.Equal(t, http.StatusOK, a.status, "%s", a.body)
	v := as[decidedView](t, a)
	require.True(t, v.Recorded)
	return v
}

// submit puts an entity under review.
func (b *board) submit(t *testing.T, collection, id string) {
	t.Helper()
	b.mustChange(t, collection, http.MethodPost, id, "/transitions", `{"to":"under_review"}`)
}

// ground is a skill, a role, an industry, an agent and its team, all drafts but
// those that are named to be certified.
type ground struct{ industry, skill, role, agent, team string }

func (b *board) ground(t *testing.T, name string) ground {
	t.Helper()
	var g ground
	g.industry = b.create(t, industries, fmt.Sprintf(`{"name":"%s industry","visibility":"public"}`, name)).ID
	g.skill = b.create(t, skills, fmt.Sprintf(`{"name":"%s skill","description":"Does it.","category":"technical","visibility":"public"}`, name)).ID
	g.role = b.create(t, jobRoles, fmt.Sprintf(`{"name":"%s role","required_skills":[%q],"seniority_level":"mid","industry_id":%q,"visibility":"public"}`, name, g.skill, g.industry)).ID
	g.agent = b.create(t, agents, fmt.Sprintf(`{"name":"%s agent","skill_id":%q,"job_role_id":%q,"industry_id":%q}`, name, g.skill, g.role, g.industry)).ID
	g.team = b.create(t, teams, fmt.Sprintf(`{"name":"%s team","job_role_id":%q,"agents":[%q]}`, name, g.role, g.agent)).ID
	return g
}

const yes = `{"decision":"certify"}`

func no(decision, reason string) string {
	return fmt.Sprintf(`{"decision":%q,"reasons":[%q]}`, decision, reason)
}

// certifyAll brings a ground to certification, in order.
func (b *board) certifyAll(t *testing.T, g ground) {
	t.Helper()
	for _, one := range [][2]string{{industries, g.industry}, {skills, g.skill}, {jobRoles, g.role}, {teams, g.team}, {agents, g.agent}} {
		b.submit(t, one[0], one[1])
		require.Equal(t, "certified", *b.must(t, one[0], one[1], yes).Status)
	}
}

// TestCertification goes through every decision about every kind over HTTP.
func TestCertification(t *testing.T) {
	t.Parallel()
	b := newBoard(t)
	g := b.ground(t, "Weld")
	b.submit(t, skills, g.skill)
	v := b.must(t, skills, g.skill, yes)
	require.Equal(t, "certified", *v.Change)
	require.Equal(t, 42, v.Checklist.Passed+v.Checklist.NotApplicable)
	require.Equal(t, v.Checklist.Passed, v.Certification.Passed)
	require.Equal(t, domain.ChecklistInForce().Hash(), v.Certification.ChecklistSHA256)
	require.Equal(t, b.genesis.Author(), v.Certification.CertifiedBy)
	require.False(t, v.Certification.ExpiresAt.IsZero())

	seen := b.get(t, skills, "/"+g.skill)
	require.Equal(t, fmt.Sprintf("%q", *v.VersionHash), seen.header.Get("ETag"))
	require.Equal(t, "certified", as[entity](t, seen).Status)
	certificate := b.certify.get(t, b.token, skills+"/"+g.skill+"/certification")
	type certificateView struct {
		InForce   bool                  `json:"in_force"`
		Made      *domain.Certification `json:"genesis_certification"`
		Recertify domain.Time           `json:"recertify_from"`
		Decisions []struct {
			Change string `json:"change"`
		} `json:"decisions"`
	}
	c := as[certificateView](t, certificate)
	require.True(t, c.InForce)
	require.Equal(t, v.Certification, c.Made)
	require.False(t, c.Recertify.IsZero())
	require.Len(t, c.Decisions, 1)

	// Renewal keeps the status, and makes another certification.
	renewed := b.must(t, skills, g.skill, yes)
	require.Equal(t, "reaffirmed", *renewed.Change)
	require.Equal(t, "certified", *renewed.Status)
	require.NotEqual(t, v.Certification.CertificationID, renewed.Certification.CertificationID)

	// A role is rejected, mended and certified; the reasons stand in its record.
	b.submit(t, jobRoles, g.role)
	rejected := b.must(t, jobRoles, g.role, no("reject", "Say what a welder does."))
	require.Equal(t, []string{"rejected", "draft"}, []string{*rejected.Change, *rejected.Status})
	read := b.get(t, jobRoles, "/"+g.role)
	require.Contains(t, string(read.body), "Say what a welder does.")
	b.mustChange(t, jobRoles, http.MethodPatch, g.role, "", `{"description":"Welds."}`)
	b.submit(t, jobRoles, g.role)
	b.must(t, jobRoles, g.role, yes)

	// The end of a certification is the decider's to name, within the policy.
	b.submit(t, industries, g.industry)
	for body, code := range map[string]int{
		`{"decision":"certify","expires_at":"2020-01-01T00:00:00Z"}`:                422,
		`{"decision":"certify","expires_at":"2999-01-01T00:00:00Z"}`:                422,
		`{"decision":"certify","expires_at":"soon"}`:                                400,
		`{"decision":"reject","reasons":["x"],"expires_at":"2999-01-01T00:00:00Z"}`: 400,
		`{"decision":"approve"}`:                                                    400,
		`{"decision":"reject"}`:                                                     422,
		`{"decision":"certify","genesis_certification":{"passed":42}}`:              400,
	} {
		require.Equal(t, code, b.decide(t, b.bearer, industries, g.industry, body).status, body)
	}
	b.must(t, industries, g.industry, yes)

	// What others certified is shared with everybody.
	_, other := b.author(t, "globex")
	b.certify.get(t, other, skills+"/"+g.skill+"/certification")
	require.Equal(t, 403, b.decide(t, other, skills, g.skill, yes).status, "seen, but not theirs to decide")
	require.Equal(t, 403, b.certify.post(t, other, skills+"/"+g.skill+"/certify?validate_only=true", yes).status)
	require.Equal(t, 404, b.certify.do(t, call{method: "GET", path: teams + "/" + g.team + "/certification", token: other}).status)
	require.Equal(t, 404, b.certify.do(t, call{method: "GET", path: jobRoles + "/" + g.skill + "/certification", token: other}).status)
}

// TestCertificationOrder: a role only when its skills are certified, an agent
// only when its skill and role are, a team when its role is.
func TestCertificationOrder(t *testing.T) {
	t.Parallel()
	b := newBoard(t)
	g := b.ground(t, "Weld")
	for _, one := range [][2]string{{skills, g.skill}, {jobRoles, g.role}, {teams, g.team}, {agents, g.agent}} {
		b.submit(t, one[0], one[1])
	}
	refusedFor := func(collection, id string) {
		t.Helper()
		a := b.decide(t, b.bearer, collection, id, yes)
		require.Equal(t, 422, a.status, "%s", a.body)
		require.Equal(t, "DEP-02", a.problem(t).Violations[0].Rule)
	}
	refusedFor(jobRoles, g.role)
	refusedFor(agents, g.agent)
	refusedFor(teams, g.team)
	b.must(t, skills, g.skill, yes)
	refusedFor(agents, g.agent)
	b.must(t, jobRoles, g.role, yes)
	b.must(t, teams, g.team, yes)
	b.must(t, agents, g.agent, yes)

	// And a draft is not certified.
	draft := b.ground(t, "Rivet")
	a := b.decide(t, b.bearer, skills, draft.skill, yes)
	require.Equal(t, 422, a.status)
	require.Equal(t, "LIFE-01", a.problem(t).Violations[0].Rule)
	require.Equal(t, 409, b.decide(t, b.bearer, skills, draft.skill, no("reject", "x")).status)
	require.Equal(t, 409, b.decide(t, b.bearer, skills, draft.skill, no("revoke", "x")).status)
}

// TestDryRun: allowed to the author, answers the whole checklist, writes nothing.
func TestDryRun(t *testing.T) {
	t.Parallel()
	b := newBoard(t)
	g := b.ground(t, "Weld")
	before := b.count(t, "amendment")
	dry := func(token, collection, id, body string) answer {
		return b.certify.post(t, token, collection+"/"+id+"/certify?validate_only=true", body)
	}
	v := as[decidedView](t, dry(b.token, jobRoles, g.role, yes))
	require.False(t, v.Recorded)
	require.Len(t, v.Checklist.Points, 42)
	require.Equal(t, "rule_violated", *v.Code)
	var failed []string
	for _, violation := range v.Violations {
		failed = append(failed, violation.Rule)
	}
	require.Equal(t, []string{"LIFE-01", "DEP-02"}, failed)
	b.submit(t, skills, g.skill)
	v = as[decidedView](t, dry(b.token, skills, g.skill, yes))
	require.Nil(t, v.Code)
	require.Equal(t, "certified", *v.Status)
	require.False(t, v.Recorded)
	require.Empty(t, dry(b.token, skills, g.skill, yes).header.Get("ETag"))

	_, other := b.author(t, "globex")
	require.Equal(t, 404, dry(other, skills, g.skill, yes).status)
	require.Equal(t, before+1, b.count(t, "amendment"), "only the submission")
	require.Zero(t, b.count(t, "refusal"), "a dry run is no attempt")
	require.Equal(t, 403, b.decide(t, b.token, skills, g.skill, yes).status, "an author decides nothing")
}

// TestCertifyBatch: one bad item spoils none, what belongs together is certified
// together, all under one signature.
func TestCertifyBatch(t *testing.T) {
	t.Parallel()
	b := newBoard(t)
	g, h := b.ground(t, "Weld"), b.ground(t, "Rivet")
	for _, one := range [][2]string{{skills, g.skill}, {jobRoles, g.role}, {agents, g.agent}, {jobRoles, h.role}, {industries, h.industry}} {
		b.submit(t, one[0], one[1])
	}
	absent, err := domain.NewID()
	require.NoError(t, err)
	items := fmt.Sprintf(`{"items":[{"id":%q,"decision":"certify"},{"id":%q,"decision":"certify"},{"id":%q,"decision":"certify"},
		{"id":%q,"decision":"certify"},{"id":%q,"decision":"certify"},{"id":%q,"decision":"reject","reasons":["Too wide."]},
		{"id":%q,"decision":"certify"},{"id":1},{"id":%q,"decision":"certify","version_hash":"x"}]}`,
		g.agent, g.role, g.skill, h.role, absent, h.industry, g.skill, h.skill)
	type batchView struct {
		Items    []decidedView `json:"items"`
		Recorded int           `json:"recorded"`
		Refused  int           `json:"refused"`
	}
	dry := as[batchView](t, b.certify.post(t, b.bearer, "/api/v1/certify/batch?validate_only=true", items))
	require.Zero(t, dry.Recorded)
	require.Equal(t, 5, dry.Refused)
	header := map[string]string{"Idempotency-Key": "batch-1"}
	send := func() answer {
		return b.certify.do(t, call{method: "POST", path: "/api/v1/certify/batch", token: b.bearer, body: items, header: header})
	}
	a := send()
	require.Equal(t, 200, a.status, "%s", a.body)
	v := as[batchView](t, a)
	var statuses []int
	for _, item := range v.Items {
		statuses = append(statuses, item.HTTPStatus)
	}
	require.Equal(t, []int{200, 200, 200, 422, 404, 200, 400, 400, 412}, statuses)
	require.Equal(t, []int{4, 5}, []int{v.Recorded, v.Refused})
	require.Equal(t, 4, b.count(t, "amendment WHERE algorithm = 'RSA4096-PSS-SHA256-BATCH' AND change IN ('certified', 'rejected')"))
	require.Equal(t, 1, b.count(t, "signature_batch s WHERE EXISTS (SELECT FROM amendment a WHERE a.batch_id = s.id AND a.change = 'certified')"))
	again := send()
	require.Equal(t, "true", again.header.Get("Idempotency-Replayed"))
	require.Equal(t, a.body, again.body)
	require.Equal(t, 4, b.count(t, "amendment WHERE change IN ('certified', 'rejected')"))

	many := make([]string, 51)
	for i := range many {
		many[i] = fmt.Sprintf(`{"id":%q,"decision":"certify"}`, absent)
	}
	require.Equal(t, 400, b.certify.post(t, b.bearer, "/api/v1/certify/batch", `{"items":[`+strings.Join(many, ",")+`]}`).status)
	require.Equal(t, 400, b.certify.post(t, b.bearer, "/api/v1/certify/batch", `{"items":[]}`).status)
}

// TestDecisionRepeats: the same key decides once and answers the same.
func TestDecisionRepeats(t *testing.T) {
	t.Parallel()
	b := newBoard(t)
	g := b.ground(t, "Weld")
	b.submit(t, skills, g.skill)
	one := call{method: "POST", path: skills + "/" + g.skill + "/certify", token: b.bearer, body: yes, header: map[string]string{"Idempotency-Key": "k"}}
	first := b.certify.do(t, one)
	require.Equal(t, 200, first.status)
	second := b.certify.do(t, one)
	require.Equal(t, first.body, second.body)
	require.Equal(t, "true", second.header.Get("Idempotency-Replayed"))
	require.Equal(t, 1, b.count(t, "amendment WHERE change IN ('certified', 'reaffirmed')"))
	one.body = no("revoke", "unsafe")
	require.Equal(t, 422, b.certify.do(t, one).status)

	// What was changed since the decider looked is not decided about.
	b.submit(t, industries, g.industry)
	seen := b.etag(t, industries, g.industry)
	b.mustChange(t, industries, http.MethodPatch, g.industry, "", `{"description":"Changed."}`)
	stale := call{method: "POST", path: industries + "/" + g.industry + "/certify", token: b.bearer, body: yes, header: map[string]string{"If-Match": seen}}
	a := b.certify.do(t, stale)
	require.Equal(t, 412, a.status)
	require.Equal(t, b.etag(t, industries, g.industry), a.problem(t).CurrentETag)
	stale.header["If-Match"] = b.etag(t, industries, g.industry)
	require.Equal(t, 200, b.certify.do(t, stale).status)
}

// TestWithdrawal: everything that rests on what is withdrawn goes under review
// too, across governance agents; a dry run shows it first.
func TestWithdrawal(t *testing.T) {
	t.Parallel()
	b := newBoard(t)
	g := b.ground(t, "Weld")
	b.certifyAll(t, g)
	_, other := b.author(t, "globex")
	role := as[entity](t, b.at[jobRoles].post(t, other, jobRoles, fmt.Sprintf(`{"name":"Fitter","required_skills":[%q],"seniority_level":"mid"}`, g.skill))).ID
	submit := call{method: "POST", path: jobRoles + "/" + role + "/transitions", token: other, body: `{"to":"under_review"}`}
	submit.header = map[string]string{"If-Match": b.at[jobRoles].get(t, other, jobRoles+"/"+role).header.Get("ETag")}
	require.Equal(t, 200, b.at[jobRoles].do(t, submit).status)
	b.must(t, jobRoles, role, yes)

	body := no("revoke", "It burns people.")
	own := b.Token(t, b.own)
	dry := as[decidedView](t, b.certify.post(t, own, skills+"/"+g.skill+"/certify?validate_only=true", body))
	require.Equal(t, 4, dry.Affected.Total, "role, team and agent, and a role that its owner keeps to itself")
	require.Len(t, dry.Affected.Items, 3)
	require.Len(t, as[decidedView](t, b.certify.post(t, b.bearer, skills+"/"+g.skill+"/certify?validate_only=true", body)).Affected.Items, 4)
	require.Equal(t, "certified", as[entity](t, b.get(t, skills, "/"+g.skill)).Status)

	v := b.must(t, skills, g.skill, body)
	require.Equal(t, []string{"decertified", "under_review"}, []string{*v.Change, *v.Status})
	require.Nil(t, v.Certification)
	for _, one := range [][2]string{{skills, g.skill}, {jobRoles, g.role}, {teams, g.team}, {agents, g.agent}} {
		e := as[entity](t, b.get(t, one[0], "/"+one[1]))
		require.Equal(t, "under_review", e.Status, one[0])
		require.Equal(t, "decertified", e.History[len(e.History)-1].Change)
	}
	require.Equal(t, "under_review", as[entity](t, b.at[jobRoles].get(t, other, jobRoles+"/"+role)).Status)
	require.Equal(t, "certified", as[entity](t, b.get(t, industries, "/"+g.industry)).Status, "it rests on nothing")
	require.Equal(t, 422, b.decide(t, b.bearer, jobRoles, g.role, yes).status, "not before its skill")
	b.must(t, skills, g.skill, yes)
	b.must(t, jobRoles, g.role, yes)
}
