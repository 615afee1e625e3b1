package domain

import (
	"fmt"
	"slices"
	"strings"
)

// Skill is something an agent can do.
type Skill struct {
	Name        string `json:"name"`
	Description string `json:"description"`
	Category    string `json:"category"`
}

// JobRole is a job that an agent fills. RequiredSkills is sorted and unique.
type JobRole struct {
	Name           string `json:"name"`
	Description    string `json:"description"`
	RequiredSkills []ID   `json:"required_skills"`
	SeniorityLevel string `json:"seniority_level"`
	IndustryID     ID     `json:"industry_id"`
}

// Team is a group of agents in one job role. Which agents is the agents' own
// fact (team_id), never stored here.
type Team struct {
	Name        string `json:"name"`
	Description string `json:"description"`
	JobRoleID   ID     `json:"job_role_id"`
}

// Agent is an AI agent: one skill, one job role, one industry for life, and a
// team once it is assigned.
type Agent struct {
	Name       string `json:"name"`
	SkillID    ID     `json:"skill_id"`
	JobRoleID  ID     `json:"job_role_id"`
	IndustryID ID     `json:"industry_id"`
	TeamID     ID     `json:"team_id"`
}

// Industry is where agents work.
type Industry struct {
	Name        string `json:"name"`
	Description string `json:"description"`
}

// Kind implements Facts.
func (Skill) Kind() Kind { return KindSkill }

// Kind implements Facts.
func (JobRole) Kind() Kind { return KindJobRole }

// Kind implements Facts.
func (Team) Kind() Kind { return KindTeam }

// Kind implements Facts.
func (Agent) Kind() Kind { return KindAgent }

// Kind implements Facts.
func (Industry) Kind() Kind { return KindIndustry }

// Label implements Facts.
func (s Skill) Label() string { return s.Name }

// Label implements Facts.
func (r JobRole) Label() string { return r.Name }

// Label implements Facts.
func (t Team) Label() string { return t.Name }

// Label implements Facts.
func (a Agent) Label() string { return a.Name }

// Label implements Facts.
func (i Industry) Label() string { return i.Name }

// Text implements Facts: name, full stop, description.
func (s Skill) Text() string { return meaning(s.Name, s.Description) }

// Text implements Facts: name, full stop, description.
func (r JobRole) Text() string { return meaning(r.Name, r.Description) }

// Text implements Facts: teams are not searched by meaning.
func (Team) Text() string { return "" }

// Text implements Facts: agents are found through their skill and role.
func (Agent) Text() string { return "" }

// Text implements Facts: name, full stop, description.
func (i Industry) Text() string { return meaning(i.Name, i.Description) }

func meaning(name, description string) string {
	if description == "" {
		return name
	}
	return name + ". " + description
}

// Refs implements Facts: a skill stands alone.
func (Skill) Refs() []Ref { return nil }

// Refs implements Facts: the required skills and, if set, the industry.
func (r JobRole) Refs() []Ref {
	var refs []Ref
	for i, id := range r.RequiredSkills {
		refs = append(refs, Ref{KindSkill, id, fmt.Sprintf("/required_skills/%d", i), "L1-JOBROLE-01"})
	}
	return appendRef(refs, KindIndustry, r.IndustryID, "/industry_id", "L1-JOBROLE-01")
}

// Refs implements Facts: the job role.
func (t Team) Refs() []Ref {
	return appendRef(nil, KindJobRole, t.JobRoleID, "/job_role_id", "L1-TEAM-02")
}

// Refs implements Facts: skill, job role, industry and, if assigned, the team.
func (a Agent) Refs() []Ref {
	refs := appendRef(nil, KindSkill, a.SkillID, "/skill_id", "L1-AGENT-01")
	refs = appendRef(refs, KindJobRole, a.JobRoleID, "/job_role_id", "L1-AGENT-02")
	refs = appendRef(refs, KindIndustry, a.IndustryID, "/industry_id", "L1-AGENT-03")
	return appendRef(refs, KindTeam, a.TeamID, "/team_id", "L1-AGENT-05")
}

// Refs implements Facts: an industry stands alone.
func (Industry) Refs() []Ref { return nil }

func appendRef(refs []Ref, kind Kind, id ID, field, rule string) []Ref {
	if id == "" {
		return refs
	}
	return append(refs, Ref{kind, id, field, rule})
}

// Categories are the kinds of skill that L1-SKILL-03 knows.
func Categories() []string {
	return []string{"technical", "soft_skill", "domain_expertise", "certification"}
}

// SeniorityLevels are what L1-JOBROLE-02 knows, junior first.
func SeniorityLevels() []string { return []string{"junior", "mid", "senior"} }

// Check implements Facts with L1-SKILL-01 to -03.
func (s Skill) Check(Known) []Violation {
	var v violations
	v.unless(filled(s.Name), "L1-SKILL-01", "/name", "a skill needs a name")
	v.unless(filled(s.Description), "L1-SKILL-02", "/description", "a skill needs a description")
	v.unless(slices.Contains(Categories(), s.Category), "L1-SKILL-03", "/category",
		"category is not one of "+strings.Join(Categories(), ", "))
	v.limits(s.Name, s.Description)
	return v
}

// Check implements Facts with L1-JOBROLE-01 to -03.
func (r JobRole) Check(k Known) []Violation {
	var v violations
	v.unless(len(r.RequiredSkills) > 0, "L1-JOBROLE-01", "/required_skills", "a job role needs at least one skill")
	v.references(k, r.Refs())
	v.unless(slices.Contains(SeniorityLevels(), r.SeniorityLevel), "L1-JOBROLE-02", "/seniority_level",
		"seniority_level is not one of "+strings.Join(SeniorityLevels(), ", "))
	v.unless(filled(r.Name), "L1-JOBROLE-03", "/name", "a job role needs a name")
	v.limits(r.Name, r.Description)
	v.unless(len(r.RequiredSkills) <= MaxRequiredSkills, RuleLimit, "/required_skills",
		fmt.Sprintf("more than %d required skills", MaxRequiredSkills))
	return v
}

// Check implements Facts with L1-TEAM-01 to -03; members are judged only where
// they are known.
func (t Team) Check(k Known) []Violation {
	var v violations
	v.unless(!k.Complete || len(k.Members) > 0, "L1-TEAM-01", "/agents", "a team needs at least one agent")
	v.unless(t.JobRoleID != "", "L1-TEAM-02", "/job_role_id", "a team needs a job role")
	v.references(k, t.Refs())
	for i, member := range k.Members {
		agent, ok := member.Facts.(Agent)
		v.unless(ok && agent.JobRoleID == t.JobRoleID, "L1-TEAM-03", fmt.Sprintf("/agents/%d", i),
			"the agent's job role is not the team's")
	}
	v.unless(filled(t.Name), RuleName, "/name", "a team needs a name")
	v.limits(t.Name, t.Description)
	return v
}

// Check implements Facts with L1-AGENT-01 to -03 and the team's role;
// L1-AGENT-04 is judged where the industry would change, L1-AGENT-05 by the
// database, which alone knows all agents.
func (a Agent) Check(k Known) []Violation {
	var v violations
	v.unless(a.SkillID != "", "L1-AGENT-01", "/skill_id", "an agent needs a skill")
	v.unless(a.JobRoleID != "", "L1-AGENT-02", "/job_role_id", "an agent needs a job role")
	v.unless(a.IndustryID != "", "L1-AGENT-03", "/industry_id", "an agent needs an industry")
	v.references(k, a.Refs())
	if team, ok := k.Entities[a.TeamID]; ok {
		facts, isTeam := team.Facts.(Team)
		v.unless(isTeam && facts.JobRoleID == a.JobRoleID, "L1-TEAM-03", "/team_id", "the team has another job role")
	}
	v.unless(filled(a.Name), RuleName, "/name", "an agent needs a name")
	v.limits(a.Name, "")
	return v
}

// Check implements Facts with L1-INDUSTRY-01.
func (i Industry) Check(Known) []Violation {
	var v violations
	v.unless(filled(i.Name), "L1-INDUSTRY-01", "/name", "an industry needs a name")
	v.limits(i.Name, i.Description)
	return v
}
