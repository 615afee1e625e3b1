package main

import (
	"fmt"
	"net/http"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/dlai-sd/plant/shared/domain"
)

// platform is the three functions that write entities, as one door.
type platform struct {
	*kit
	at    map[string]*server // by collection
	token string
}

func newPlatform(t *testing.T) *platform {
	t.Helper()
	k := newKit(t)
	p := k.Principal(t, "acme", domain.Author, domain.Architect, domain.Governor)
	one, two, three := k.serve(t, createSkill, nil), k.serve(t, createRole, nil), k.serve(t, birthAgent, nil)
	return &platform{kit: k, token: k.Token(t, p), at: map[string]*server{
		skills: one, jobRoles: two, industries: two, teams: three, agents: three,
	}}
}

// entity is what the tests read of any kind.
type entity struct {
	ID                 string   `json:"id"`
	Name               string   `json:"name"`
	Status             string   `json:"status"`
	Version            int64    `json:"version"`
	TeamID             *string  `json:"team_id"`
	Agents             []string `json:"agents"`
	Skills             []string `json:"skills"`
	Tags               []string `json:"tags"`
	Notes              *string  `json:"governance_notes"`
	AmendmentAlignment string   `json:"amendment_alignment"`
	EvolutionMarkers   []int64  `json:"evolution_markers"`
	History            []struct {
		Change string `json:"change"`
	} `json:"amendment_history"`
}

func (p *platform) create(t *testing.T, collection, body string) entity {
	t.Helper()
	a := p.at[collection].post(t, p.token, collection, body)
	require.Equal(t, http.StatusCreated, a.status, "%s", a.body)
	return as[entity](t, a)
}

func (p *platform) get(t *testing.T, collection, rest string) answer {
	t.Helper()
	return p.at[collection].do(t, call{method: http.MethodGet, path: collection + rest, token: p.token})
}

// etag is the present one.
func (p *platform) etag(t *testing.T, collection, id string) string {
	t.Helper()
	a := p.get(t, collection, "/"+id)
	require.Equal(t, http.StatusOK, a.status, "%s", a.body)
	return a.header.Get("ETag")
}

// change sends a change under the present ETag.
func (p *platform) change(t *testing.T, collection, method, id, rest, body string) answer {
	t.Helper()
	header := map[string]string{"If-Match": p.etag(t, collection, id), "Idempotency-Key": uuid.NewString()}
	if method == http.MethodPatch {
		header["Content-Type"] = "application/merge-patch+json"
	}
	return p.at[collection].do(t, call{method: method, path: collection + "/" + id + rest, token: p.token, body: body, header: header})
}

func (p *platform) mustChange(t *testing.T, collection, method, id, rest, body string) entity {
	t.Helper()
	a := p.change(t, collection, method, id, rest, body)
	require.Equal(t, http.StatusOK, a.status, "%s", a.body)
	return as[entity](t, a)
}

// TestLifeOfAnAgent goes from an industry to the archive, over HTTP.
func TestLifeOfAnAgent(t *testing.T) {
	t.Parallel()
	p := newPlatform(t)
	industry := p.create(t, industries, `{"name":"Shipbuilding"}`)
	skill := p.create(t, skills, plain("Welding"))
	role := p.create(t, jobRoles, fmt.Sprintf(`{"name":"Welder","required_skills":[%q],"seniority_level":"mid","industry_id":%q}`, skill.ID, industry.ID))
	body := fmt.Sprintf(`{"name":"Weld 7","skill_id":%q,"job_role_id":%q,"industry_id":%q}`, skill.ID, role.ID, industry.ID)
	agent := p.create(t, agents, body)
	team := p.create(t, teams, fmt.Sprintf(`{"name":"Yard","job_role_id":%q,"agents":[%q]}`, role.ID, agent.ID))
	require.Equal(t, []string{agent.ID}, team.Agents)
	require.Equal(t, []string{skill.ID}, team.Skills)
	assigned := as[entity](t, p.get(t, agents, "/"+agent.ID))
	require.Equal(t, &team.ID, assigned.TeamID)
	require.Equal(t, "assigned", assigned.History[1].Change)

	// The last agent stays; the team goes first, and with it the place.
	a := p.change(t, agents, http.MethodPost, agent.ID, "/assign-team", `{"team_id":null}`)
	require.Equal(t, "L1-TEAM-01", a.problem(t).Violations[0].Rule)
	a = p.change(t, teams, http.MethodDelete, team.ID, "?reason=the+yard+closed", "")
	require.Equal(t, http.StatusOK, a.status, "%s", a.body)
	require.Equal(t, "requires_review", as[entity](t, p.get(t, agents, "/"+agent.ID)).AmendmentAlignment)
	left := p.mustChange(t, agents, http.MethodPost, agent.ID, "/assign-team", `{"team_id":null}`)
	require.Nil(t, left.TeamID)

	p.mustChange(t, agents, http.MethodPost, agent.ID, "/transitions", `{"to":"under_review"}`)
	archived := p.mustChange(t, agents, http.MethodDelete, agent.ID, "", "")
	require.Equal(t, "archived", archived.Status)
	gone := p.get(t, agents, "/"+agent.ID)
	require.Equal(t, http.StatusGone, gone.status)
	first := as[entity](t, p.get(t, agents, "/"+agent.ID+"?version=1"))
	require.Equal(t, "draft", first.Status)
	require.Equal(t, http.StatusOK, p.get(t, agents, "/"+agent.ID+"/amendments").status)
	// Its name is free again.
	p.create(t, agents, body)
}

// TestEveryKindIsChangedAlike: patch, stale, diff, time travel and dependents of
// each kind.
func TestEveryKindIsChangedAlike(t *testing.T) {
	t.Parallel()
	p := newPlatform(t)
	industry := p.create(t, industries, `{"name":"Shipbuilding"}`)
	skill := p.create(t, skills, plain("Welding"))
	role := p.create(t, jobRoles, fmt.Sprintf(`{"name":"Welder","required_skills":[%q],"seniority_level":"mid"}`, skill.ID))
	agent := p.create(t, agents, fmt.Sprintf(`{"name":"Weld 7","skill_id":%q,"job_role_id":%q,"industry_id":%q}`, skill.ID, role.ID, industry.ID))
	team := p.create(t, teams, fmt.Sprintf(`{"name":"Yard","job_role_id":%q,"agents":[%q]}`, role.ID, agent.ID))
	for collection, one := range map[string]entity{industries: industry, skills: skill, jobRoles: role, agents: agent, teams: team} {
		t.Run(collection, func(t *testing.T) {
			old := p.etag(t, collection, one.ID)
			changed := p.mustChange(t, collection, http.MethodPatch, one.ID, "", `{"tags":["b","a"],"governance_notes":"seen"}`)
			require.Equal(t, []string{"a", "b"}, changed.Tags)
			require.Equal(t, one.Name, changed.Name)
			cleared := p.mustChange(t, collection, http.MethodPatch, one.ID, "", `{"governance_notes":null}`)
			require.Nil(t, cleared.Notes)
			require.Equal(t, []string{"a", "b"}, cleared.Tags)

			patch := func(header map[string]string, body string) answer {
				h := map[string]string{"Content-Type": "application/merge-patch+json", "Idempotency-Key": uuid.NewString()}
				for name, value := range header {
					h[name] = value
				}
				return p.at[collection].do(t, call{method: http.MethodPatch, path: collection + "/" + one.ID, token: p.token, body: body, header: h})
			}
			stale := patch(map[string]string{"If-Match": old}, `{"tags":[]}`)
			require.Equal(t, http.StatusPreconditionFailed, stale.status, "%s", stale.body)
			require.Equal(t, p.etag(t, collection, one.ID), stale.header.Get("ETag"))
			require.NotEmpty(t, as[struct {
				Changes []struct {
					Fields []string `json:"fields"`
				} `json:"changes"`
			}](t, stale).Changes[0].Fields)
			require.Equal(t, http.StatusPreconditionRequired, patch(nil, `{"tags":[]}`).status)
			match := map[string]string{"If-Match": p.etag(t, collection, one.ID)}
			require.Equal(t, http.StatusBadRequest, patch(match, `{"status":"certified"}`).status)
			require.Equal(t, http.StatusBadRequest, patch(match, `{"genesis_certification":{}}`).status)
			require.Equal(t, http.StatusUnprocessableEntity, patch(match, `{"name":null}`).status)
			match["Content-Type"] = "application/json"
			require.Equal(t, http.StatusUnsupportedMediaType, patch(match, `{"tags":[]}`).status)

			diff := as[struct {
				Changes []struct {
					Field string `json:"field"`
				} `json:"changes"`
			}](t, p.get(t, collection, fmt.Sprintf("/%s/diff?from=%d", one.ID, changed.Version)))
			require.Len(t, diff.Changes, 1)
			require.Equal(t, "/governance_notes", diff.Changes[0].Field)
			past := p.get(t, collection, fmt.Sprintf("/%s?version=%d", one.ID, changed.Version))
			require.Equal(t, "seen", *as[entity](t, past).Notes)
			again := p.at[collection].do(t, call{
				method: http.MethodGet, path: collection + "/" + one.ID + fmt.Sprintf("?version=%d", changed.Version), token: p.token,
				header: map[string]string{"If-None-Match": past.header.Get("ETag")},
			})
			require.Equal(t, http.StatusNotModified, again.status)
			require.Equal(t, http.StatusNotFound, p.get(t, collection, "/"+one.ID+"?version=99").status)
			require.Equal(t, http.StatusBadRequest, p.get(t, collection, "/"+one.ID+"?version=1&at=2026-01-31T12:00:00Z").status)
			require.Equal(t, http.StatusNotFound, p.get(t, collection, "/"+one.ID+"?at=2000-01-31T12:00:00Z").status)
			require.Equal(t, http.StatusOK, p.get(t, collection, "?tag=a").status)
			// Another kind's id is nobody's here.
			for other, id := range map[string]string{skills: skill.ID, agents: agent.ID} {
				if other != collection {
					require.Equal(t, http.StatusNotFound, p.get(t, collection, "/"+id).status)
				}
			}
		})
	}
	reach := as[struct {
		Items []struct {
			ID       string `json:"id"`
			Distance int    `json:"distance"`
		} `json:"items"`
	}](t, p.get(t, skills, "/"+skill.ID+"/dependents"))
	distance := map[string]int{}
	for _, d := range reach.Items {
		distance[d.ID] = d.Distance
	}
	require.Equal(t, map[string]int{role.ID: 1, agent.ID: 1, team.ID: 2}, distance)
}

// TestRulesOfTheKinds breaks what only a kind's own rule forbids.
func TestRulesOfTheKinds(t *testing.T) {
	t.Parallel()
	p := newPlatform(t)
	industry := p.create(t, industries, `{"name":"Shipbuilding"}`)
	other := p.create(t, industries, `{"name":"Baking"}`)
	skill := p.create(t, skills, plain("Welding"))
	role := p.create(t, jobRoles, fmt.Sprintf(`{"name":"Welder","required_skills":[%q],"seniority_level":"mid"}`, skill.ID))
	agent := p.create(t, agents, fmt.Sprintf(`{"name":"Weld 7","skill_id":%q,"job_role_id":%q,"industry_id":%q}`, skill.ID, role.ID, industry.ID))
	absent, err := domain.NewID()
	require.NoError(t, err)
	for name, c := range map[string]struct{ collection, body, rule string }{
		"role without skills":  {jobRoles, `{"name":"r","required_skills":[],"seniority_level":"mid"}`, "L1-JOBROLE-01"},
		"role of absent skill": {jobRoles, fmt.Sprintf(`{"name":"r","required_skills":[%q],"seniority_level":"mid"}`, absent), "L1-JOBROLE-01"},
		"role of an industry":  {jobRoles, fmt.Sprintf(`{"name":"r","required_skills":[%q],"seniority_level":"mid"}`, industry.ID), "L1-JOBROLE-01"},
		"role of no seniority": {jobRoles, fmt.Sprintf(`{"name":"r","required_skills":[%q],"seniority_level":"boss"}`, skill.ID), "L1-JOBROLE-02"},
		"industry unnamed":     {industries, `{"name":" "}`, "L1-INDUSTRY-01"},
		"agent without skill":  {agents, fmt.Sprintf(`{"name":"a","job_role_id":%q,"industry_id":%q}`, role.ID, industry.ID), "L1-AGENT-01"},
		"agent without role":   {agents, fmt.Sprintf(`{"name":"a","skill_id":%q,"industry_id":%q}`, skill.ID, industry.ID), "L1-AGENT-02"},
		"agent of no industry": {agents, fmt.Sprintf(`{"name":"a","skill_id":%q,"job_role_id":%q}`, skill.ID, role.ID), "L1-AGENT-03"},
		"team of nobody":       {teams, fmt.Sprintf(`{"name":"t","job_role_id":%q,"agents":[]}`, role.ID), "L1-TEAM-01"},
		"team of an absent":    {teams, fmt.Sprintf(`{"name":"t","job_role_id":%q,"agents":[%q]}`, role.ID, absent), "L1-TEAM-01"},
		"team without role":    {teams, fmt.Sprintf(`{"name":"t","agents":[%q]}`, agent.ID), "L1-TEAM-03"},
	} {
		a := p.at[c.collection].do(t, call{method: http.MethodPost, path: c.collection, token: p.token, body: c.body})
		require.Equal(t, http.StatusUnprocessableEntity, a.status, "%s: %s", name, a.body)
		require.Equal(t, c.rule, a.problem(t).Violations[0].Rule, name)
	}
	a := p.change(t, agents, http.MethodPatch, agent.ID, "", fmt.Sprintf(`{"industry_id":%q}`, other.ID))
	require.Equal(t, "L1-AGENT-04", a.problem(t).Violations[0].Rule)
	a = p.change(t, agents, http.MethodPatch, agent.ID, "", fmt.Sprintf(`{"team_id":%q}`, absent))
	require.Equal(t, "L1-AGENT-05", a.problem(t).Violations[0].Rule)
	a = p.change(t, agents, http.MethodPost, agent.ID, "/transitions", `{"to":"certified"}`)
	require.Equal(t, http.StatusConflict, a.status, "certification is not made here")
	evolved := p.mustChange(t, jobRoles, http.MethodPatch, role.ID, "", `{"seniority_level":"senior"}`)
	require.Equal(t, []int64{2}, evolved.EvolutionMarkers, "what others rest on changed")
}

// TestBulkOfEveryKind: a batch of each kind, teams with their agents.
func TestBulkOfEveryKind(t *testing.T) {
	t.Parallel()
	p := newPlatform(t)
	ids := func(collection, items string) []string {
		a := p.at[collection].post(t, p.token, collection+"/batch", `{"items":[`+items+`]}`)
		require.Equal(t, http.StatusOK, a.status, "%s", a.body)
		out := as[struct {
			Created int `json:"created"`
			Refused int `json:"refused"`
			Items   []struct {
				ID *string `json:"id"`
			} `json:"items"`
		}](t, a)
		require.Zero(t, out.Refused, "%s", a.body)
		var list []string
		for _, item := range out.Items {
			list = append(list, *item.ID)
		}
		return list
	}
	s := ids(skills, plain("Welding")+","+plain("Riveting"))
	i := ids(industries, `{"name":"Shipbuilding"},{"name":"Baking"}`)
	r := ids(jobRoles, fmt.Sprintf(`{"name":"Welder","required_skills":[%q,%q],"seniority_level":"mid"}`, s[0], s[1]))
	agent := func(name, skill string) string {
		return fmt.Sprintf(`{"name":%q,"skill_id":%q,"job_role_id":%q,"industry_id":%q}`, name, skill, r[0], i[0])
	}
	a := ids(agents, agent("A", s[0])+","+agent("B", s[1])+","+agent("C", s[0]))
	team := ids(teams, fmt.Sprintf(`{"name":"One","job_role_id":%q,"agents":[%q,%q]},{"name":"Two","job_role_id":%q,"agents":[%q]}`, r[0], a[0], a[1], r[0], a[2]))
	got := as[entity](t, p.get(t, teams, "/"+team[0]))
	require.ElementsMatch(t, []string{a[0], a[1]}, got.Agents)
	require.ElementsMatch(t, s, got.Skills)

	// An agent joins one team of a request.
	b := ids(agents, agent("D", s[0]))
	answer := p.at[teams].post(t, p.token, teams+"/batch", fmt.Sprintf(
		`{"items":[{"name":"Three","job_role_id":%q,"agents":[%q]},{"name":"Four","job_role_id":%q,"agents":[%q]}]}`, r[0], b[0], r[0], b[0]))
	require.Contains(t, string(answer.body), `"created":1`)
	require.Contains(t, string(answer.body), `"refused":1`)
}
