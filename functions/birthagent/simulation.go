package birthagent

import (
	"context"
	"net/http"

	"github.com/go-json-experiment/json"

	"github.com/dlai-sd/plant/shared/auth"
	"github.com/dlai-sd/plant/shared/domain"
	"github.com/dlai-sd/plant/shared/registry"
	"github.com/dlai-sd/plant/shared/web"
)

// The simulations, as the common door names them. None of them writes anything, so
// none needs an Idempotency-Key.
const (
	kindTeam = "team"
	kindGap  = "skill_gap"
)

// simulator carries simulations out.
type simulator struct {
	registry *registry.Service
	model    string // whose vectors are compared
}

func (s simulator) handlers() map[string]http.Handler {
	return map[string]http.Handler{
		"simulateTeam":     s.handler(read[TeamQuestion]),
		"simulateSkillGap": s.handler(read[GapQuestion]),
		"runSimulation":    s.handler(readAny),
	}
}

// question is what a simulation is asked.
type question interface {
	check() error // of its form
	ask(ctx context.Context, s simulator, who auth.Principal) (any, error)
}

type trialIn struct {
	who auth.Principal
	question
}

// handler answers the question that a body asks.
func (s simulator) handler(read func(raw []byte) (question, error)) http.Handler {
	return web.Endpoint(func(r *http.Request) (trialIn, error) {
		who, err := auth.FromContext(r.Context())
		if err != nil {
			return trialIn{}, err
		}
		if _, err := web.Query(r); err != nil {
			return trialIn{}, err
		}
		raw, err := web.Raw(r, web.LimitBody)
		if err != nil {
			return trialIn{}, err
		}
		q, err := read(raw)
		if err != nil {
			return trialIn{}, err
		}
		return trialIn{who, q}, q.check()
	}, func(ctx context.Context, in trialIn) (any, error) {
		return in.ask(ctx, s, in.who)
	})
}

func read[Q question](raw []byte) (question, error) {
	var q Q
	err := web.Decode(raw, &q)
	return q, err
}

// readAny reads what is asked of the common door: a member kind, and beside it what
// the simulation of that kind takes.
func readAny(raw []byte) (question, error) {
	var door struct {
		Kind string `json:"kind"`
	}
	if json.Unmarshal(raw, &door) != nil {
		return nil, web.Decode(raw, &door) // which says where the fault is
	}
	switch door.Kind {
	case kindTeam:
		return readBeside[TeamQuestion](raw)
	case kindGap:
		return readBeside[GapQuestion](raw)
	}
	return nil, web.Refuse(domain.CodeMalformed, "kind is %s or %s.", kindTeam, kindGap)
}

func readBeside[Q question](raw []byte) (question, error) {
	var body struct {
		Kind     string `json:"kind"`
		Question Q      `json:",embed"`
	}
	err := web.Decode(raw, &body)
	return body.Question, err
}

// TeamQuestion asks what would become of a team.
type TeamQuestion struct {
	JobRoleID domain.ID   `json:"job_role_id"`
	Agents    []domain.ID `json:"agents"`
}

func (TeamQuestion) check() error { return nil }

func (q TeamQuestion) ask(ctx context.Context, s simulator, who auth.Principal) (any, error) {
	t, err := s.registry.TryTeam(ctx, who, q.JobRoleID, q.Agents)
	if err != nil {
		return nil, err
	}
	return teamTrialOf(t), nil
}

// TeamTrial is the answer to it.
type TeamTrial struct {
	Kind    string        `json:"kind"`
	Valid   bool          `json:"valid"` // every rule holds
	JobRole Named         `json:"job_role"`
	Rules   []RuleOutcome `json:"rules"`
	Agents  []TriedAgent  `json:"agents"` // in the order asked
	Skills  []Coverage    `json:"skills"` // that the role requires
	Gaps    []domain.ID   `json:"gaps"`   // those of them that nobody has
}

// Named is an entity, as far as the caller may see it: else by its id alone.
type Named struct {
	ID     domain.ID      `json:"id"`
	Name   *string        `json:"name"`
	Status *domain.Status `json:"status"`
}

// RuleOutcome is a rule of the constitution in force and whether it holds.
type RuleOutcome struct {
	Rule        string             `json:"rule"`
	Text        string             `json:"text"`
	Holds       bool               `json:"holds"`
	Remediation string             `json:"remediation"`
	Violations  []domain.Violation `json:"violations"`
}

// TriedAgent is one of the agents; Ready says that it is certified or active.
type TriedAgent struct {
	Named
	SkillID *domain.ID `json:"skill_id"`
	TeamID  *domain.ID `json:"team_id"` // where it is now
	Ready   bool       `json:"ready"`
}

// Coverage is a row of the coverage matrix: Held says for each of the agents, in
// their order, whether it has the skill.
type Coverage struct {
	Skill   Named  `json:"skill"`
	Covered bool   `json:"covered"`
	Held    []bool `json:"held"`
}

func namedOf(e domain.Entity) Named {
	if e.Facts == nil {
		return Named{ID: e.ID}
	}
	name := e.Facts.Label()
	return Named{ID: e.ID, Name: &name, Status: &e.Governed.Status}
}

func namedOr(id domain.ID, e *domain.Entity) Named {
	if e == nil {
		return Named{ID: id}
	}
	return namedOf(*e)
}

func teamTrialOf(t registry.TeamTrial) TeamTrial {
	out := TeamTrial{
		Kind: kindTeam, Valid: t.Valid(), JobRole: namedOf(t.Role), Rules: make([]RuleOutcome, len(t.Rules)),
		Agents: make([]TriedAgent, len(t.Agents)), Skills: make([]Coverage, len(t.Skills)), Gaps: []domain.ID{},
	}
	for i, r := range t.Rules {
		out.Rules[i] = RuleOutcome{
			Rule: r.Rule.ID, Text: r.Rule.Text, Holds: len(r.Broken) == 0, Remediation: r.Rule.Remediation,
			Violations: append([]domain.Violation{}, r.Broken...),
		}
	}
	for i, e := range t.Agents {
		out.Agents[i] = triedOf(e)
	}
	for i, row := range t.Skills {
		out.Skills[i] = Coverage{Skill: namedOr(row.ID, row.Skill), Covered: row.Covered(), Held: row.Held}
		if !row.Covered() {
			out.Gaps = append(out.Gaps, row.ID)
		}
	}
	return out
}

func triedOf(e domain.Entity) TriedAgent {
	out := TriedAgent{Named: namedOf(e)}
	if agent, ok := e.Facts.(domain.Agent); ok {
		out.SkillID = &agent.SkillID
		out.Ready = e.Governed.Status == domain.Certified || e.Governed.Status == domain.Active
		if agent.TeamID != "" {
			out.TeamID = &agent.TeamID
		}
	}
	return out
}
