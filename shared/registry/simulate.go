package registry

import (
	"context"
	"fmt"
	"slices"

	"github.com/dlai-sd/plant/shared/auth"
	"github.com/dlai-sd/plant/shared/domain"
	"github.com/dlai-sd/plant/shared/store"
)

// MaxSimulated bounds the agents of a simulated team.
const MaxSimulated = 200

// TeamTrial is what would become of a team. Nothing of it is written.
type TeamTrial struct {
	Role   domain.Entity
	Rules  []RuleOutcome
	Agents []domain.Entity // in the order asked; without facts where the caller sees no such agent
	Skills []CoveredSkill  // the role's required skills, in its order
}

// Valid reports whether every rule holds.
func (t TeamTrial) Valid() bool {
	return !slices.ContainsFunc(t.Rules, func(r RuleOutcome) bool { return len(r.Broken) > 0 })
}

// RuleOutcome is a rule of the constitution in force, and where it is broken.
type RuleOutcome struct {
	Rule   domain.Rule
	Broken []domain.Violation
}

// CoveredSkill is a row of the coverage matrix: a required skill, and for each agent
// asked about whether it has it.
type CoveredSkill struct {
	ID    domain.ID
	Skill *domain.Entity // nil: the caller may not see it
	Held  []bool
}

// Covered reports whether any of the agents has the skill.
func (c CoveredSkill) Covered() bool { return slices.Contains(c.Held, true) }

// TryTeam judges agents as the first members of a new team of a job role, by the rules
// that a team's birth is judged by, and says which of the role's required skills they
// cover. It sees what the caller's governance agent sees. Naming an agent twice or more
// than MaxSimulated is refused, as is a role that the caller may not see; one's own role
// that is archived breaks a rule.
func (s *Service) TryTeam(ctx context.Context, who auth.Principal, role domain.ID, agents []domain.ID) (TeamTrial, error) {
	law, err := s.law.Refresh(ctx)
	if err != nil {
		return TeamTrial{}, err
	}
	trial, err := s.tryTeam(ctx, law, who, role, agents)
	return trial, advised(law, err)
}

func (s *Service) tryTeam(ctx context.Context, law domain.Constitution, who auth.Principal, role domain.ID, agents []domain.ID) (TeamTrial, error) {
	tenant := who.GovernanceAgent
	if len(agents) > MaxSimulated {
		return TeamTrial{}, violated(domain.RuleLimit, "/agents", fmt.Sprintf("more than %d agents", MaxSimulated))
	}
	heads, err := s.db.Heads(ctx, tenant, validIDs(append([]domain.ID{role}, agents...)))
	if err != nil {
		return TeamTrial{}, refusal(err, nil)
	}
	facts, ok := heads[role].Facts.(domain.JobRole)
	if !ok {
		return TeamTrial{}, noSuchSubject(domain.KindJobRole, "/job_role_id", "L1-TEAM-02")
	}
	if twice := namedTwice(agents); len(twice) > 0 {
		return TeamTrial{}, &domain.Error{Code: domain.CodeRuleViolated, Detail: "an agent is named twice", Violations: twice}
	}
	known, err := s.db.Heads(ctx, tenant, facts.RequiredSkills)
	if err != nil {
		return TeamTrial{}, refusal(err, nil)
	}
	trial := TeamTrial{Role: heads[role], Skills: coverage(facts.RequiredSkills, known, agents, heads)}
	for _, id := range agents {
		e, isAgent := heads[id], heads[id].Facts != nil && heads[id].Kind() == domain.KindAgent
		if !isAgent {
			e = domain.Entity{ID: id}
		}
		trial.Agents = append(trial.Agents, e)
	}
	broken, err := s.tryMembers(ctx, tenant, heads[role], agents, heads)
	if err != nil {
		return TeamTrial{}, err
	}
	law.Advised(broken)
	trial.Rules = outcomes(law, broken)
	return trial, nil
}

// noSuchSubject refuses a simulation of what the caller may not see.
func noSuchSubject(kind domain.Kind, field, rule string) error {
	return noSuchReference([]domain.Violation{domain.UnknownReferenceViolation(domain.Ref{Kind: kind, Field: field, Rule: rule})})
}

func namedTwice(agents []domain.ID) (twice []domain.Violation) {
	for i, id := range agents {
		if slices.Contains(agents[:i], id) {
			twice = append(twice, domain.Broken("L1-TEAM-01", fmt.Sprintf("/agents/%d", i), "the agent is named twice"))
		}
	}
	return twice
}

// tryMembers is everything that the team's birth would be refused for.
func (s *Service) tryMembers(ctx context.Context, tenant string, role domain.Entity, agents []domain.ID, heads map[domain.ID]domain.Entity) ([]domain.Violation, error) {
	team := domain.Team{Name: role.Facts.Label(), JobRoleID: role.ID} // any name will do: it is not asked about
	members, broken := judgeMembers(tenant, team, agents, heads)
	checked := team.Check(domain.Known{Complete: true, Entities: heads, Members: members})
	broken = append(broken, slices.DeleteFunc(checked, func(v domain.Violation) bool {
		return v.Rule == "L1-TEAM-01" && len(agents) > 0 // who was given and cannot be a member is named above
	})...)
	places := map[[2]domain.ID]bool{}
	leaving := map[domain.ID][]domain.ID{}
	for _, e := range members {
		agent := e.Facts.(domain.Agent)
		place := [2]domain.ID{agent.SkillID, agent.JobRoleID}
		if places[place] {
			field := fmt.Sprintf("/agents/%d", slices.Index(agents, e.ID))
			broken = append(broken, domain.Broken(domain.RuleAssignment, field, "another of these agents has this skill and role"))
		}
		places[place] = true
		if agent.TeamID != "" {
			leaving[agent.TeamID] = append(leaving[agent.TeamID], e.ID)
		}
	}
	emptied, err := s.emptied(ctx, tenant, leaving)
	for _, id := range emptied {
		field := fmt.Sprintf("/agents/%d", slices.Index(agents, id))
		broken = append(broken, domain.Broken("L1-TEAM-01", field, "the team that the agent is in would be without one"))
	}
	return broken, err
}

// emptied returns one agent of each living team that would lose its last.
func (s *Service) emptied(ctx context.Context, tenant string, leaving map[domain.ID][]domain.ID) (last []domain.ID, err error) {
	for team, agents := range leaving {
		left, err := s.db.Read(ctx, tenant, team, store.Newest)
		if err != nil {
			return nil, refusal(err, nil)
		}
		stays := func(id domain.ID) bool { return !slices.Contains(agents, id) }
		if left.Entity.Living() && !slices.ContainsFunc(left.Agents, stays) {
			last = append(last, agents[0])
		}
	}
	slices.Sort(last)
	return last, nil
}

// outcomes are the rules that a team's birth is judged by, each with where it is broken.
func outcomes(law domain.Constitution, broken []domain.Violation) (list []RuleOutcome) {
	for _, rule := range law.Rules {
		if !slices.Contains([]string{"L1-TEAM-01", "L1-TEAM-02", "L1-TEAM-03", domain.RuleAssignment}, rule.ID) {
			continue
		}
		one := RuleOutcome{Rule: rule}
		for _, v := range broken {
			if v.Rule == rule.ID && !slices.Contains(one.Broken, v) {
				one.Broken = append(one.Broken, v)
			}
		}
		list = append(list, one)
	}
	return list
}

// coverage is the matrix of required skills and living agents.
func coverage(required []domain.ID, known map[domain.ID]domain.Entity, agents []domain.ID, heads map[domain.ID]domain.Entity) []CoveredSkill {
	rows := make([]CoveredSkill, len(required))
	for i, skill := range required {
		rows[i] = CoveredSkill{ID: skill, Held: make([]bool, len(agents))}
		if e, ok := known[skill]; ok {
			rows[i].Skill = &e
		}
		for j, id := range agents {
			agent, ok := heads[id].Facts.(domain.Agent)
			rows[i].Held[j] = ok && heads[id].Living() && agent.SkillID == skill
		}
	}
	return rows
}
