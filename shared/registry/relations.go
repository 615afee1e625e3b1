package registry

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/dlai-sd/plant/shared/auth"
	"github.com/dlai-sd/plant/shared/domain"
	"github.com/dlai-sd/plant/shared/store"
)

const (
	dependentDepth = 8   // how far the blast radius is followed
	maxMarked      = 500 // dependents marked in the transaction of a withdrawal
	registryWork   = "registry"
)

// joinTeam plans the assignment of a new team's first agents: a living team is
// never without one.
func (s *Service) joinTeam(ctx context.Context, req Request, id domain.ID, t domain.Team, agents []domain.ID) ([]plan, error) {
	heads, err := s.db.Heads(ctx, req.Who.GovernanceAgent, validIDs(agents))
	if err != nil {
		return nil, refusal(err, nil)
	}
	members, err := membersOf(req.Who, t, agents, heads)
	if err != nil {
		return nil, err
	}
	return assignments(id, members)
}

// validIDs leaves out what the database could not even look up.
func validIDs(ids []domain.ID) []domain.ID {
	return slices.DeleteFunc(slices.Clone(ids), func(id domain.ID) bool { return !id.Valid() })
}

func assignments(team domain.ID, agents []domain.Entity) ([]plan, error) {
	var plans []plan
	for _, agent := range agents {
		next, err := domain.Assign{Team: team}.Apply(agent)
		if err != nil {
			return nil, err
		}
		plans = append(plans, plan{before: &agent, after: next, change: domain.ChangeAssigned})
	}
	return plans, nil
}

// membersOf refuses a team that judgeMembers finds fault with.
func membersOf(who auth.Principal, t domain.Team, agents []domain.ID, heads map[domain.ID]domain.Entity) ([]domain.Entity, error) {
	members, broken := judgeMembers(who.GovernanceAgent, t, agents, heads)
	if len(broken) > 0 {
		return nil, &domain.Error{Code: domain.CodeRuleViolated, Detail: "the team would break a rule", Violations: broken}
	}
	return members, nil
}

// judgeMembers checks L1-TEAM-01 and -03 and that each agent is the tenant's own. It
// returns those that may be members, and what is wrong with the others.
func judgeMembers(tenant string, t domain.Team, agents []domain.ID, heads map[domain.ID]domain.Entity) ([]domain.Entity, []domain.Violation) {
	var broken []domain.Violation
	if len(agents) == 0 {
		broken = append(broken, domain.Broken("L1-TEAM-01", "/agents", "a team needs at least one agent"))
	}
	seen := map[domain.ID]bool{}
	var members []domain.Entity
	for i, id := range agents {
		field := fmt.Sprintf("/agents/%d", i)
		e, ok := heads[id]
		agent, isAgent := e.Facts.(domain.Agent)
		switch {
		case seen[id]:
			broken = append(broken, domain.Broken("L1-TEAM-01", field, "the agent is named twice"))
		case !ok || !isAgent || !e.Living() || e.GovernanceAgentID != tenant:
			broken = append(broken, domain.Broken("L1-TEAM-01", field, "you own no living agent with this id"))
		case agent.JobRoleID != t.JobRoleID:
			broken = append(broken, domain.Broken("L1-TEAM-03", field, "the agent's job role is not the team's"))
		default:
			members = append(members, e)
		}
		seen[id] = true
	}
	return members, broken
}

// successor checks L0-04 of a change that names a successor: one of the same kind
// that the caller may see and that is certified. It is nil where none is named.
func (s *Service) successor(ctx context.Context, req Request, before, after domain.Entity) (*domain.Entity, error) {
	id := after.Governed.SupersededBy
	if id == before.Governed.SupersededBy || !id.Valid() || id == after.ID {
		return nil, nil // nothing new, or nothing that Validate lets pass
	}
	heads, err := s.db.Heads(ctx, req.tenant(), []domain.ID{id})
	if err != nil {
		return nil, refusal(err, nil)
	}
	e, ok := heads[id]
	if !ok || e.Kind() != after.Kind() {
		ref := domain.Ref{Kind: after.Kind(), ID: id, Field: "/superseded_by", Rule: domain.RuleSupersession}
		return nil, noSuchReference([]domain.Violation{domain.UnknownReferenceViolation(ref)})
	}
	if status := e.Governed.Status; status != domain.Certified && status != domain.Active {
		return nil, violated(domain.RuleSupersession, "/superseded_by", "the successor is not certified")
	}
	return &e, nil
}

// foreignTeams returns those of these references that are teams of other
// governance agents: a shared one can be seen, and joined by nobody else.
func (s *Service) foreignTeams(ctx context.Context, tenant string, refs []domain.Ref) (map[domain.ID]bool, error) {
	var ids []domain.ID
	for _, r := range refs {
		if r.Kind == domain.KindTeam && r.Rule == domain.RuleAssignment {
			ids = append(ids, r.ID)
		}
	}
	heads, err := s.db.Heads(ctx, tenant, ids)
	foreign := map[domain.ID]bool{}
	for id, e := range heads {
		foreign[id] = e.GovernanceAgentID != tenant
	}
	return foreign, refusal(err, nil)
}

// consequences are the changes that a change brings about in the same
// transaction: what directly rests on an entity that is archived needs review.
// Dependents of other governance agents are marked behind it, see Marker.
func (s *Service) consequences(ctx context.Context, req Request, before, after domain.Entity) ([]plan, error) {
	if !before.Living() || after.Living() {
		return nil, nil
	}
	dependents, err := s.db.Dependents(ctx, after.GovernanceAgentID, after.ID, 1, maxMarked)
	if err != nil {
		return nil, refusal(err, nil)
	}
	if len(dependents) > 0 && after.Governed.StatusReason == "" {
		return nil, violated(domain.RuleStatusReason, "/reason",
			fmt.Sprintf("%d living entities rest on this one: say why it is withdrawn", len(dependents)))
	}
	var ids []domain.ID
	for _, d := range dependents {
		if d.GovernanceAgentID == after.GovernanceAgentID {
			ids = append(ids, d.ID)
		}
	}
	heads, err := s.db.Heads(ctx, after.GovernanceAgentID, ids)
	if err != nil {
		return nil, refusal(err, nil)
	}
	marked, err := s.signable(ctx, after.GovernanceAgentID, slices.Collect(maps.Values(heads)))
	if err != nil {
		return nil, refusal(err, nil)
	}
	var plans []plan
	for _, e := range marked {
		if e.Governed.AmendmentAlignment == domain.RequiresReview {
			continue
		}
		p, err := reviewed(e, after.Kind(), registryWork)
		if err != nil {
			return nil, err
		}
		plans = append(plans, p)
	}
	return plans, nil
}

// reviewed plans the mark on what rests on an entity that is archived, of what is
// signable.
func reviewed(e domain.Entity, archived domain.Kind, by string) (plan, error) {
	c := domain.RequireReview{Because: "rests on a withdrawn " + string(archived)}
	next, err := c.Apply(e)
	return plan{before: &e, after: next, change: c.Name(), system: by, proven: true}, err
}

// Dependents returns who rests on an entity, nearest first: the blast radius of
// a change to it.
func (s *Service) Dependents(ctx context.Context, who auth.Principal, kind domain.Kind, id domain.ID) ([]store.Dependent, error) {
	tenant, err := s.reader(ctx, who, id)
	if err != nil {
		return nil, err
	}
	if _, err := s.entity(ctx, tenant, kind, id); err != nil {
		return nil, err
	}
	list, err := s.db.Dependents(ctx, tenant, id, dependentDepth, store.MaxDependents)
	return list, refusal(err, nil)
}

// entity returns the newest state that a governance agent may see, archived or
// not.
func (s *Service) entity(ctx context.Context, tenant string, kind domain.Kind, id domain.ID) (store.Snapshot, error) {
	snapshot, err := s.read(ctx, tenant, id, store.Newest)
	if err != nil {
		return snapshot, s.absent(ctx, tenant, id, err)
	}
	if !isKind(snapshot.Entity, kind) {
		return store.Snapshot{}, refusal(store.ErrNotFound, nil)
	}
	return snapshot, nil
}

func isKind(e domain.Entity, kind domain.Kind) bool { return kind == "" || e.Kind() == kind }

// absent tells a reader of something that was shared with it once that it is
// gone now; of everything else, that there is nothing.
func (s *Service) absent(ctx context.Context, tenant string, id domain.ID, err error) error {
	if !errors.Is(err, store.ErrNotFound) {
		return refusal(err, nil)
	}
	if gone, goneErr := s.db.ArchivedAfterShared(ctx, tenant, id); goneErr == nil && gone {
		return domain.Refuse(domain.CodeGone, "this was withdrawn by its owner")
	}
	return refusal(err, nil)
}
