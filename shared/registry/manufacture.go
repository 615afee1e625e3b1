package registry

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/dlai-sd/plant/shared/auth"
	"github.com/dlai-sd/plant/shared/domain"
	"github.com/dlai-sd/plant/shared/ledger"
	"github.com/dlai-sd/plant/shared/store"
)

// An agent is manufactured in four steps: birth, assembly (team, skill and role),
// certification, activation. What has been done is its history; nothing else
// remembers it. Each step is taken when an event says that it may be due, and
// looks at what is there.

// stepAttempts bounds how often a step is tried that somebody's change overtook.
const stepAttempts = 3

// waitersPage is how many agents are looked at for one read.
const waitersPage = 200

// Assemble submits an agent for certification once its assembly is complete: it is
// in a team of its role, and its skill and role are certified. What its author took
// back, or a decision sent back, is its author's to submit again. req is the
// system's, with the agent's owner as its tenant; its receipt stands in the same
// transaction, and a repeat does nothing.
func (s *Service) Assemble(ctx context.Context, req Request, id domain.ID) error {
	return s.step(ctx, req, id, domain.UnderReview, func(now store.Snapshot) (bool, error) {
		if now.Entity.Governed.Status != domain.Draft || !underWork(now.History) {
			return false, nil
		}
		missing, err := s.missing(ctx, now.Entity)
		return len(missing) == 0, err
	})
}

// Activate puts a certified agent to work; see Assemble.
func (s *Service) Activate(ctx context.Context, req Request, id domain.ID) error {
	return s.step(ctx, req, id, domain.Active, func(now store.Snapshot) (bool, error) {
		return now.Entity.Governed.Status == domain.Certified, nil
	})
}

// AssembleWaiting assembles the agents that waited for an entity to be certified.
func (s *Service) AssembleWaiting(ctx context.Context, req Request, ground domain.ID) error {
	receipt := req.Receipt
	req.Receipt = nil
	for after := domain.BeforeAll; ; {
		page, err := s.db.WaitingAgents(ctx, ground, after, waitersPage)
		if err != nil {
			return refusal(err, nil)
		}
		for _, a := range page {
			req.Tenant = a.Owner
			if err := s.Assemble(ctx, req, a.ID); err != nil {
				return err
			}
			after = a.ID
		}
		if len(page) < waitersPage {
			break
		}
	}
	if receipt == nil {
		return nil
	}
	return refusal(s.db.MarkHandled(ctx, *receipt), nil)
}

// step moves an agent on if it is due.
func (s *Service) step(ctx context.Context, req Request, id domain.ID, to domain.Status, due func(store.Snapshot) (bool, error)) error {
	var err error
	for range stepAttempts {
		var done bool
		if done, err = s.tryStep(ctx, req, id, to, due); err == nil && !done && req.Receipt != nil {
			err = refusal(s.db.MarkHandled(ctx, *req.Receipt), nil)
		}
		var stale *StaleError
		if !errors.As(err, &stale) {
			break
		}
	}
	if errors.Is(err, store.ErrHandled) {
		return nil
	}
	return err
}

func (s *Service) tryStep(ctx context.Context, req Request, id domain.ID, to domain.Status, due func(store.Snapshot) (bool, error)) (bool, error) {
	now, err := s.db.Read(ctx, req.tenant(), id, store.Newest)
	if errors.Is(err, store.ErrNotFound) || err == nil && (now.Entity.Kind() != domain.KindAgent || now.Entity.GovernanceAgentID != req.tenant()) {
		return false, nil // the event names nothing of this governance agent's
	}
	if err != nil {
		return false, refusal(err, nil)
	}
	if ok, err := due(now); err != nil || !ok {
		return false, err
	}
	_, err = s.Amend(ctx, req, id, ledger.Hash(now.Entity.Head.ETag), domain.MoveTo{To: to})
	return err == nil, err
}

// underWork reports whether the last thing that happened to an agent was its
// author's work on it.
func underWork(history []store.Entry) bool {
	for _, h := range slices.Backward(history) {
		switch h.Change {
		case domain.ChangeEmbedded, domain.ChangeReattested, domain.ChangeDrifted, domain.ChangeReaffirmed:
		case domain.ChangeCreated, domain.ChangeAssigned, domain.ChangeEvolved:
			return true
		default:
			return false
		}
	}
	return false
}

// missing says what an agent's assembly lacks, as its owner sees it.
func (s *Service) missing(ctx context.Context, e domain.Entity) ([]domain.Violation, error) {
	agent := e.Facts.(domain.Agent)
	named := slices.DeleteFunc([]domain.ID{agent.SkillID, agent.JobRoleID, agent.TeamID}, func(id domain.ID) bool { return id == "" })
	heads, err := s.db.Heads(ctx, e.GovernanceAgentID, named)
	if err != nil {
		return nil, refusal(err, nil)
	}
	missing := []domain.Violation{}
	lacks := func(ok bool, field, message, remedy string) {
		if !ok {
			missing = append(missing, domain.Violation{Rule: "ASSEMBLY", Field: field, Message: message, Remediation: remedy})
		}
	}
	certified := func(id domain.ID) bool {
		s := heads[id].Governed.Status
		return s == domain.Certified || s == domain.Active
	}
	team, inTeam := heads[agent.TeamID].Facts.(domain.Team)
	lacks(inTeam && heads[agent.TeamID].Living(), "/team_id", "the agent is in no team", "Assign it: POST …/assign-team.")
	lacks(!inTeam || team.JobRoleID == agent.JobRoleID, "/team_id", "the team has another job role", "Assign it to a team of its job role.")
	lacks(certified(agent.SkillID), "/skill_id", "its skill is not certified", "Have the skill certified.")
	lacks(certified(agent.JobRoleID), "/job_role_id", "its job role is not certified", "Have the job role certified.")
	return missing, nil
}

// Stage is where an agent's manufacture stands.
type Stage string

// The stages: an agent is in the one that is done next.
const (
	StageAssembly      Stage = "assembly"
	StageCertification Stage = "certification"
	StageActivation    Stage = "activation"
	StageDone          Stage = "done"
	StageRetired       Stage = "retired"
)

func stageOf(s domain.Status) Stage {
	switch s {
	case domain.Draft:
		return StageAssembly
	case domain.UnderReview:
		return StageCertification
	case domain.Certified:
		return StageActivation
	case domain.Active:
		return StageDone
	default:
		return StageRetired
	}
}

// Manufacture is an agent's life on one line.
type Manufacture struct {
	Entity    domain.Entity
	Stage     Stage
	Missing   []domain.Violation // what the assembly lacks, while that is the stage
	Submitted bool               // false in assembly: its author submits it again
	Steps     []Step             // oldest first
	Earlier   bool               // there are more steps before these
}

// Step is one amendment's part in a manufacture.
type Step struct {
	Name   string // birth, assembly, submission, certification, compensation, activation, withdrawal, retirement
	Seq    int64
	At     time.Time
	Author string
	Change string
	Status domain.Status
	Team   domain.ID
	Reason string
	Hash   ledger.Hash
}

// maxSteps bounds the amendments that a timeline looks at: the newest.
const maxSteps = 500

// Manufacture returns an agent's timeline as the caller may see it.
func (s *Service) Manufacture(ctx context.Context, who auth.Principal, id domain.ID) (Manufacture, error) {
	snapshot, err := s.Newest(ctx, who, domain.KindAgent, id)
	if err != nil {
		return Manufacture{}, err
	}
	e := snapshot.Entity
	m := Manufacture{Entity: e, Stage: stageOf(e.Governed.Status), Submitted: e.Governed.Status != domain.Draft || underWork(snapshot.History)}
	from := max(e.Head.Version-maxSteps, 0)
	m.Earlier = from > 0
	proofs, err := s.Proofs(ctx, who, domain.KindAgent, id, from, maxSteps)
	if err != nil {
		return Manufacture{}, err
	}
	var before *domain.Entity
	for _, p := range proofs {
		if p.Opening == nil {
			continue // erased, or not the caller's to see
		}
		state, err := domain.ReadState(domain.KindAgent, id, p.GovernanceAgentID, p.Opening.State)
		if err != nil {
			return Manufacture{}, err
		}
		if step, ok := stepOf(p, before, state); ok {
			m.Steps = append(m.Steps, step)
		}
		before = &state
	}
	if m.Stage == StageAssembly && !snapshot.Partial {
		m.Missing, err = s.missing(ctx, e)
	}
	return m, err
}

func stepOf(p store.Proof, before *domain.Entity, after domain.Entity) (Step, bool) {
	step := Step{
		Seq: p.Seq, At: p.RecordedAt, Author: p.Author, Change: p.Change, Status: after.Governed.Status,
		Team: after.Facts.(domain.Agent).TeamID, Reason: after.Governed.StatusReason, Hash: p.Hash,
	}
	switch {
	case p.Change == domain.ChangeCreated:
		step.Name = "birth"
	case p.Change == domain.ChangeCertified || p.Change == domain.ChangeReaffirmed:
		step.Name = "certification"
	case p.Change == domain.ChangeRejected:
		step.Name = "compensation"
	case p.Change == domain.ChangeDecertified || p.Change == domain.ChangeDrifted:
		step.Name = "withdrawal"
	case p.Change == domain.ChangeAssigned || p.Change == domain.ChangeEvolved:
		step.Name = "assembly"
	case p.Change == domain.ChangeMoved:
		step.Name = map[domain.Status]string{
			domain.UnderReview: "submission", domain.Draft: "assembly", domain.Active: "activation", domain.Certified: "certification",
		}[after.Governed.Status]
		if step.Name == "" {
			step.Name = "retirement"
		}
	default:
		return step, false
	}
	if before != nil && before.Governed.StatusReason == step.Reason {
		step.Reason = ""
	}
	return step, true
}
