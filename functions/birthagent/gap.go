package birthagent

import (
	"context"

	"github.com/dlai-sd/plant/shared/auth"
	"github.com/dlai-sd/plant/shared/domain"
	"github.com/dlai-sd/plant/shared/registry"
	"github.com/dlai-sd/plant/shared/web"
)

// usualNearest is how many neighbours of each kind a missing skill has by default.
const usualNearest = 3

// GapQuestion asks what a subject lacks for a job role: an agent, a team, or somebody
// who had these skills.
type GapQuestion struct {
	JobRoleID domain.ID   `json:"job_role_id"`
	AgentID   domain.ID   `json:"agent_id"`
	TeamID    domain.ID   `json:"team_id"`
	SkillIDs  []domain.ID `json:"skill_ids"`
	Limit     *int        `json:"limit"`
}

func (q GapQuestion) check() error {
	subjects := 0
	for _, given := range []bool{q.AgentID != "", q.TeamID != "", q.SkillIDs != nil} {
		if given {
			subjects++
		}
	}
	if subjects != 1 {
		return web.Refuse(domain.CodeMalformed, "Say who lacks something: exactly one of agent_id, team_id and skill_ids.")
	}
	if q.Limit != nil && (*q.Limit < 1 || *q.Limit > registry.MaxGapNearest) {
		return web.Refuse(domain.CodeMalformed, "limit must be a whole number from 1 to %d.", registry.MaxGapNearest)
	}
	return nil
}

func (q GapQuestion) ask(ctx context.Context, s simulator, who auth.Principal) (any, error) {
	limit := usualNearest
	if q.Limit != nil {
		limit = *q.Limit
	}
	gap, err := s.registry.SkillGap(ctx, who, registry.GapQuestion{
		Role: q.JobRoleID, Agent: q.AgentID, Team: q.TeamID, Skills: q.SkillIDs, ModelID: s.model, Limit: limit,
	})
	if err != nil {
		return nil, err
	}
	return skillGapOf(gap, s.model), nil
}

// SkillGap is the answer to it.
type SkillGap struct {
	Kind       string         `json:"kind"`
	JobRole    Named          `json:"job_role"`
	Subject    *Subject       `json:"subject"` // null for skills
	Covered    []Named        `json:"covered"`
	Missing    []MissingSkill `json:"missing"`
	Beyond     []Named        `json:"beyond"`
	ModelID    string         `json:"model_id"` // whose vectors were compared
	Unembedded Unembedded     `json:"unembedded"`
}

// Subject is the agent or team that lacks something.
type Subject struct {
	EntityType domain.Kind `json:"entity_type"`
	Named
}

// Unembedded are skills that meaning says nothing about yet, as no vector stands for
// their present text.
type Unembedded struct {
	Subject  []domain.ID        `json:"subject"`
	Missing  []domain.ID        `json:"missing"`
	Registry UnembeddedRegistry `json:"registry"`
}

// UnembeddedRegistry counts the living skills that the caller may see.
type UnembeddedRegistry struct {
	Skills     int64 `json:"skills"`
	Unembedded int64 `json:"unembedded"`
}

// MissingSkill is a required skill that the subject lacks, with what comes nearest.
type MissingSkill struct {
	Named
	Compared bool        `json:"compared"`
	Held     []NearSkill `json:"nearest_held"`
	Skills   []NearSkill `json:"nearest_skills"`
	Agents   []NearAgent `json:"nearest_agents"`
}

// NearSkill is a skill and its cosine to the missing one.
type NearSkill struct {
	Named
	Similarity float64 `json:"similarity"`
	Held       bool    `json:"held"` // by the subject
}

// NearAgent is an agent that has the missing skill, or a near one.
type NearAgent struct {
	Named
	GovernanceAgentID string     `json:"governance_agent_id"`
	SkillID           domain.ID  `json:"skill_id"`
	TeamID            *domain.ID `json:"team_id"`
	Ready             bool       `json:"ready"`
	Exact             bool       `json:"exact"`
	Similarity        float64    `json:"similarity"`
}

func skillGapOf(g registry.SkillGap, model string) SkillGap {
	out := SkillGap{
		Kind: kindGap, JobRole: namedOf(g.Role), Covered: namedAll(g.Covered), Missing: make([]MissingSkill, len(g.Missing)),
		Beyond: namedAll(g.Beyond), ModelID: model,
		Unembedded: Unembedded{
			Subject: append([]domain.ID{}, g.SubjectUnembedded...), Missing: append([]domain.ID{}, g.MissingUnembedded...),
			Registry: UnembeddedRegistry{Skills: g.Registry.Skills, Unembedded: g.Registry.Skills - g.Registry.Embedded},
		},
	}
	if g.Subject != nil {
		out.Subject = &Subject{g.Subject.Kind(), namedOf(*g.Subject)}
	}
	for i, m := range g.Missing {
		out.Missing[i] = MissingSkill{
			Named: namedOr(m.ID, m.Skill), Compared: m.Compared, Held: nearOf(m.Held), Skills: nearOf(m.Skills),
			Agents: make([]NearAgent, len(m.Agents)),
		}
		for j, a := range m.Agents {
			tried := triedOf(a.Agent)
			out.Missing[i].Agents[j] = NearAgent{
				Named: tried.Named, GovernanceAgentID: a.Agent.GovernanceAgentID, SkillID: a.SkillID, TeamID: tried.TeamID,
				Ready: tried.Ready, Exact: a.Exact, Similarity: a.Similarity,
			}
		}
	}
	return out
}

func namedAll(skills []registry.GapSkill) []Named {
	list := make([]Named, len(skills))
	for i, s := range skills {
		list[i] = namedOr(s.ID, s.Skill)
	}
	return list
}

func nearOf(skills []registry.NearSkill) []NearSkill {
	list := make([]NearSkill, len(skills))
	for i, s := range skills {
		list[i] = NearSkill{namedOr(s.ID, s.Skill), s.Similarity, s.Held}
	}
	return list
}
