package main

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/dlai-sd/plant/functions/birthagent"
	"github.com/dlai-sd/plant/shared/domain"
)

const simulations = "/api/v1/simulation/"

// simulate asks for a simulation, by its own route and by the common door, which must
// say the same; kind is as the door names it.
func (p *platform) simulate(t *testing.T, kind, question string) answer {
	t.Helper()
	own := p.at[agents].post(t, p.token, simulations+strings.ReplaceAll(kind, "_", "-"), "{"+question+"}")
	door := p.at[agents].post(t, p.token, simulations+"run", fmt.Sprintf(`{"kind":%q,%s}`, kind, question))
	require.Equal(t, own.status, door.status, "%s", door.body)
	if own.status == http.StatusOK {
		require.Equal(t, string(own.body), string(door.body))
	}
	return own
}

// yard is a platform with a role of two skills, and an agent for one of them.
type yard struct {
	*platform
	weld, rivet, role, other, industry, welds string
}

func newYard(t *testing.T) *yard {
	t.Helper()
	y := &yard{platform: newPlatform(t)}
	made := func(collection, body string) string { return y.create(t, collection, body).ID }
	y.weld = made(skills, `{"name":"Welding","description":"Joins metal parts by melting them together.","category":"technical"}`)
	y.rivet = made(skills, `{"name":"Riveting","description":"Joins metal parts with rivets.","category":"technical"}`)
	y.industry = made(industries, `{"name":"Shipbuilding"}`)
	y.role = made(jobRoles, fmt.Sprintf(`{"name":"Shipwright","required_skills":[%q,%q],"seniority_level":"mid"}`, y.weld, y.rivet))
	y.other = made(jobRoles, fmt.Sprintf(`{"name":"Riveter","required_skills":[%q],"seniority_level":"mid"}`, y.rivet))
	y.welds = y.can(t, "Welds", y.weld, y.role)
	return y
}

func (y *yard) can(t *testing.T, name, skill, role string) string {
	t.Helper()
	return y.create(t, agents, fmt.Sprintf(`{"name":%q,"skill_id":%q,"job_role_id":%q,"industry_id":%q}`, name, skill, role, y.industry)).ID
}

// TestSimulatedTeam: rules, coverage, gaps and who does not work yet.
func TestSimulatedTeam(t *testing.T) {
	t.Parallel()
	y := newYard(t)
	stranger := y.can(t, "Stranger", y.rivet, y.other)
	absent, err := domain.NewID()
	require.NoError(t, err)
	before := y.skillsWritten(t)

	trial := as[birthagent.TeamTrial](t, y.simulate(t, "team", fmt.Sprintf(`"job_role_id":%q,"agents":[%q]`, y.role, y.welds)))
	require.Equal(t, before, y.skillsWritten(t))
	require.True(t, trial.Valid)
	require.Equal(t, []domain.ID{domain.ID(y.rivet)}, trial.Gaps)
	require.Len(t, trial.Rules, 4)
	for _, r := range trial.Rules {
		require.True(t, r.Holds, r.Rule)
		require.NotEmpty(t, r.Remediation)
	}
	require.Equal(t, "Shipwright", *trial.JobRole.Name)
	for _, row := range trial.Skills {
		require.Equal(t, *row.Skill.Name == "Welding", row.Covered)
		require.Equal(t, []bool{row.Covered}, row.Held)
	}
	require.False(t, trial.Agents[0].Ready, "a draft")
	for status, ready := range map[domain.Status]bool{domain.Certified: true, domain.Active: true, domain.UnderReview: false, domain.Deprecated: false} {
		y.decided(t, domain.ID(y.welds), status)
		trial = as[birthagent.TeamTrial](t, y.simulate(t, "team", fmt.Sprintf(`"job_role_id":%q,"agents":[%q]`, y.role, y.welds)))
		require.Equal(t, ready, trial.Agents[0].Ready, status)
		require.Equal(t, status, *trial.Agents[0].Status)
	}

	trial = as[birthagent.TeamTrial](t, y.simulate(t, "team", fmt.Sprintf(`"job_role_id":%q,"agents":[%q,%q,%q]`, y.role, y.welds, stranger, absent)))
	require.False(t, trial.Valid)
	broken := map[string]string{}
	for _, r := range trial.Rules {
		require.Equal(t, len(r.Violations) == 0, r.Holds)
		for _, v := range r.Violations {
			broken[v.Rule] = v.Field
			require.NotEmpty(t, v.Remediation)
		}
	}
	require.Equal(t, map[string]string{"L1-TEAM-01": "/agents/2", "L1-TEAM-03": "/agents/1"}, broken)
	for given, want := range map[string]string{fmt.Sprintf("%q", stranger): "L1-TEAM-03", "": "L1-TEAM-01"} {
		trial := as[birthagent.TeamTrial](t, y.simulate(t, "team", fmt.Sprintf(`"job_role_id":%q,"agents":[%s]`, y.role, given)))
		for _, r := range trial.Rules {
			require.Equal(t, r.Rule != want, r.Holds, "%s, with %q: %+v", r.Rule, given, r.Violations)
			require.LessOrEqual(t, len(r.Violations), 1)
		}
	}
	require.Nil(t, trial.Agents[2].Status)
	require.Nil(t, trial.Agents[2].Name)
}

// TestSimulatedSkillGap: over HTTP with the vectors of the real model.
func TestSimulatedSkillGap(t *testing.T) {
	t.Parallel()
	y := newYard(t)
	rivets := y.can(t, "Rivets", y.rivet, y.other)
	question := fmt.Sprintf(`"job_role_id":%q,"agent_id":%q`, y.role, y.welds)
	gap := as[birthagent.SkillGap](t, y.simulate(t, "skill_gap", question))
	require.Equal(t, []domain.ID{domain.ID(y.rivet)}, gap.Unembedded.Missing)
	require.Equal(t, []domain.ID{domain.ID(y.weld)}, gap.Unembedded.Subject)
	require.EqualValues(t, 2, gap.Unembedded.Registry.Unembedded)
	require.False(t, gap.Missing[0].Compared)
	require.Equal(t, domain.ID(rivets), gap.Missing[0].Agents[0].ID)

	y.deliver(t, y.serve(t, embedder, nil), "/events/embed", ".created")
	before := y.skillsWritten(t)
	gap = as[birthagent.SkillGap](t, y.simulate(t, "skill_gap", question))
	require.Equal(t, before, y.skillsWritten(t))
	require.Equal(t, "all-MiniLM-L6-v2/mean-1", gap.ModelID)
	require.Equal(t, domain.KindAgent, gap.Subject.EntityType)
	require.Zero(t, gap.Unembedded.Registry.Unembedded)
	require.Empty(t, gap.Unembedded.Missing)
	m := gap.Missing[0]
	require.True(t, m.Compared)
	require.Equal(t, "Welding", *m.Held[0].Name)
	require.Equal(t, m.Skills[0].ID, m.Held[0].ID)
	require.Equal(t, m.Skills[0].Similarity, m.Held[0].Similarity, "one pair, one similarity")
	require.True(t, m.Skills[0].Held)
	require.Greater(t, m.Held[0].Similarity, 0.3)
	require.True(t, m.Agents[0].Exact)
	require.Equal(t, "acme", m.Agents[0].GovernanceAgentID)
	require.Equal(t, "Welding", *gap.Covered[0].Name)
}

// TestSimulationRefuses: what no simulation is, and who is not told.
func TestSimulationRefuses(t *testing.T) {
	t.Parallel()
	y := newYard(t)
	question := fmt.Sprintf(`"job_role_id":%q`, y.role)
	for _, q := range []string{
		question, question + fmt.Sprintf(`,"agent_id":%q,"skill_ids":[]`, y.welds), question + `,"agent_id":"x","team_id":"y"`,
		question + `,"skill_ids":[],"limit":0`, question + `,"skill_ids":[],"limit":11`, question + `,"skill_ids":[],"limit":1.5`,
		question + `,"agents":[],"skill_ids":[]`, question + `,"skill_ids":"x"`,
	} {
		require.Equal(t, http.StatusBadRequest, y.simulate(t, "skill_gap", q).status, q)
	}
	for _, q := range []string{question + `,"agent_id":"x"`, `"agents":[],"more":1`, `"agents":1`} {
		require.Equal(t, http.StatusBadRequest, y.simulate(t, "team", q).status, q)
	}
	for _, body := range []string{`{}`, `{"kind":null}`, `{"kind":"x"}`, `{"kind":1}`, `[]`, `{"kind":"team","kind":"team"}`, `{`} {
		require.Equal(t, http.StatusBadRequest, y.at[agents].post(t, y.token, simulations+"run", body).status, body)
	}
	require.Equal(t, http.StatusBadRequest, y.at[agents].post(t, y.token, simulations+"team?validate_only=true", "{"+question+`,"agents":[]}`).status)
	many := strings.Repeat(fmt.Sprintf(`,%q`, y.welds), 201)[1:]
	refused := y.simulate(t, "team", question+`,"agents":[`+many+`]`)
	require.Equal(t, http.StatusUnprocessableEntity, refused.status)
	require.Equal(t, domain.RuleLimit, refused.problem(t).Violations[0].Rule)
	require.Equal(t, http.StatusUnprocessableEntity, y.simulate(t, "skill_gap", question+`,"skill_ids":[`+many+`]`).status)

	_, other := y.author(t, "globex")
	a := y.at[agents].post(t, other, simulations+"skill-gap", "{"+question+`,"skill_ids":[]}`)
	require.Equal(t, http.StatusUnprocessableEntity, a.status)
	require.NotContains(t, string(a.body), "Shipwright")
}
