package main

import (
	"fmt"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/dlai-sd/plant/shared/domain"
)

// TestRepeatsOfAChangeAtOnce: whoever comes with the same change at the same
// time hears what the first one did, whatever that made of the entity.
func TestRepeatsOfAChangeAtOnce(t *testing.T) {
	t.Parallel()
	p := newPlatform(t)
	id := p.create(t, skills, plain("Welding")).ID
	for round := range 6 {
		for _, c := range []call{
			{method: "PATCH", path: skills + "/" + id, body: fmt.Sprintf(`{"governance_notes":"round %d"}`, round)},
			{method: "POST", path: skills + "/" + id + "/transitions", body: fmt.Sprintf(`{"to":%q}`, []string{"under_review", "draft"}[round%2])},
		} {
			c.token = p.token
			c.header = map[string]string{"If-Match": p.etag(t, skills, id), "Idempotency-Key": fmt.Sprint(c.method, round)}
			if c.method == "PATCH" {
				c.header["Content-Type"] = "application/merge-patch+json"
			}
			answers := make([]answer, 6)
			var together errgroup.Group
			for i := range answers {
				together.Go(func() error {
					answers[i] = p.at[skills].do(t, c)
					return nil
				})
			}
			require.NoError(t, together.Wait())
			for _, a := range answers {
				require.Equal(t, http.StatusOK, a.status, "%s", a.body)
				require.Equal(t, string(answers[0].body), string(a.body))
			}
		}
	}
	require.Equal(t, int64(13), as[entity](t, p.get(t, skills, "/"+id)).Version)
}

// TestSuccessors: what is deprecated names a certified successor of its kind
// that its owner may see, and keeps it in the archive.
func TestSuccessors(t *testing.T) {
	t.Parallel()
	p := newPlatform(t)
	owner := p.Principal(t, "acme", domain.Author)
	certified := func(collection, body string) string {
		id := p.create(t, collection, body).ID
		p.certified(t, owner, id)
		return id
	}
	old, successor := certified(skills, plain("Old")), certified(skills, plain("New"))
	draft, industry := p.create(t, skills, plain("Draft")).ID, certified(industries, `{"name":"Shipbuilding"}`)
	absent, err := domain.NewID()
	require.NoError(t, err)
	deprecate := func(by string) answer {
		return p.change(t, skills, "POST", old, "/transitions", fmt.Sprintf(`{"to":"deprecated","reason":"replaced","superseded_by":%q}`, by))
	}
	for name, c := range map[string]struct{ by, rule string }{
		"itself": {old, "L0-04"}, "a draft": {draft, "L0-04"}, "another kind": {industry, "L0-04"}, "absent": {string(absent), "L0-04"}, "no id": {"x", "FORM-ID"},
	} {
		a := deprecate(c.by)
		require.Equal(t, http.StatusUnprocessableEntity, a.status, "%s: %s", name, a.body)
		require.Equal(t, c.rule, a.problem(t).Violations[0].Rule, name)
		require.Equal(t, "/superseded_by", a.problem(t).Violations[0].Field, name)
	}
	a := p.change(t, skills, "POST", draft, "/transitions", fmt.Sprintf(`{"to":"under_review","superseded_by":%q}`, successor))
	require.Equal(t, "L0-04", a.problem(t).Violations[0].Rule, "only what is deprecated has a successor")

	type superseded struct {
		By string            `json:"superseded_by"`
		L0 map[string]string `json:"l0_compliance_status"`
	}
	done := deprecate(successor)
	require.Equal(t, http.StatusOK, done.status, "%s", done.body)
	require.Equal(t, superseded{successor, map[string]string{"l0_01": "pass", "l0_02": "pass", "l0_03": "pass", "l0_04": "pass", "l0_05": "pass"}},
		as[superseded](t, done))
	p.mustChange(t, skills, "PATCH", old, "", `{"tags":["replaced"]}`)
	gone := p.change(t, skills, "DELETE", old, "", "")
	require.Equal(t, http.StatusOK, gone.status, "%s", gone.body)
	require.Equal(t, successor, as[superseded](t, gone).By)
	require.Equal(t, "pass", as[superseded](t, p.get(t, skills, "/"+old+"?version=6")).L0["l0_04"])
}

// TestWhatIsNoReference: an id that is none, and one that names something else
// already, are refused and not left to the database.
func TestWhatIsNoReference(t *testing.T) {
	t.Parallel()
	p := newPlatform(t)
	industry := p.create(t, industries, `{"name":"Shipbuilding"}`)
	skill := p.create(t, skills, plain("Welding"))
	role := p.create(t, jobRoles, fmt.Sprintf(`{"name":"Welder","required_skills":[%q],"seniority_level":"mid"}`, skill.ID))
	agent := p.create(t, agents, fmt.Sprintf(`{"name":"Weld 7","skill_id":%q,"job_role_id":%q,"industry_id":%q}`, skill.ID, role.ID, industry.ID))
	team := fmt.Sprintf(`{"name":"Yard","job_role_id":%q,"agents":[%q,"x",""]}`, role.ID, agent.ID)
	a := p.at[teams].post(t, p.token, teams, team)
	require.Equal(t, http.StatusUnprocessableEntity, a.status, "%s", a.body)
	require.Len(t, a.problem(t).Violations, 2)
	require.Contains(t, string(p.at[teams].post(t, p.token, teams+"/batch", `{"items":[`+team+`]}`).body), `"status":422`)
	a = p.change(t, agents, "PATCH", agent.ID, "", fmt.Sprintf(`{"skill_id":%q}`, role.ID))
	require.Equal(t, http.StatusUnprocessableEntity, a.status, "%s", a.body)
	require.Equal(t, "/skill_id", a.problem(t).Violations[0].Field)
}
