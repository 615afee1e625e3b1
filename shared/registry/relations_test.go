package registry_test

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/dlai-sd/plant/shared/auth"
	"github.com/dlai-sd/plant/shared/domain"
	"github.com/dlai-sd/plant/shared/ledger"
	"github.com/dlai-sd/plant/shared/registry"
	"github.com/dlai-sd/plant/shared/store"
	"github.com/dlai-sd/plant/shared/testkit/harness"
)

// world is a tenant with one of everything that an agent needs.
type world struct {
	d                     *harness.Deployment
	s                     *registry.Service
	who                   auth.Principal
	skill, role, industry domain.ID
}

func newWorld(t *testing.T) *world {
	t.Helper()
	d := harness.New(t)
	w := &world{d: d, s: d.Service(t, 4), who: d.Principal(t, "acme", domain.Author, domain.Architect, domain.Governor)}
	w.skill = w.create(t, skill("Welding"))
	w.industry = w.create(t, domain.Industry{Name: "Shipbuilding"})
	w.role = w.create(t, domain.JobRole{Name: "Welder", RequiredSkills: []domain.ID{w.skill}, SeniorityLevel: "mid", IndustryID: w.industry})
	return w
}

func (w *world) create(t *testing.T, f domain.Facts, agents ...domain.ID) domain.ID {
	t.Helper()
	written, err := w.s.Create(t.Context(), request(w.who, ""), f, domain.Settable{}, agents...)
	require.NoError(t, err)
	return written.Entity.ID
}

func (w *world) agent(t *testing.T, name string) domain.ID {
	t.Helper()
	return w.create(t, domain.Agent{Name: name, SkillID: w.skill, JobRoleID: w.role, IndustryID: w.industry})
}

func (w *world) amend(t *testing.T, id domain.ID, c domain.Change) (registry.Written, error) {
	t.Helper()
	return w.s.Amend(t.Context(), request(w.who, ""), id, ledger.Hash{}, c)
}

func rulesOf(t *testing.T, err error) []string {
	t.Helper()
	var refused *domain.Error
	require.ErrorAs(t, err, &refused)
	var list []string
	for _, v := range refused.Violations {
		list = append(list, v.Rule+" "+v.Field)
	}
	return list
}

func TestTeamIsBornWithItsAgents(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a, b := w.agent(t, "A"), w.agent(t, "B")
	req := request(w.who, "team")
	team := domain.Team{Name: "Yard", JobRoleID: w.role}
	written, err := w.s.Create(t.Context(), req, team, domain.Settable{}, a)
	require.NoError(t, err)
	require.Equal(t, []domain.ID{a}, written.Agents)
	require.Equal(t, []domain.ID{w.skill}, written.Skills)
	again, err := w.s.Create(t.Context(), req, team, domain.Settable{}, a)
	require.NoError(t, err)
	require.True(t, again.Replayed)
	require.Equal(t, written.Entity.ID, again.Entity.ID)

	one, err := w.s.Get(t.Context(), w.who, domain.KindAgent, a)
	require.NoError(t, err)
	require.Equal(t, written.Entity.ID, one.Entity.Facts.(domain.Agent).TeamID)
	require.Equal(t, domain.ChangeAssigned, one.History[1].Change)
	require.True(t, registry.Compliance(one).Passed())

	_, err = w.s.Create(t.Context(), request(w.who, ""), domain.Team{Name: "Empty", JobRoleID: w.role}, domain.Settable{})
	require.Equal(t, []string{"L1-TEAM-01 /agents"}, rulesOf(t, err))
	// L1-AGENT-05: the second agent has the same skill and role.
	_, err = w.amend(t, b, domain.Assign{Team: written.Entity.ID})
	require.Equal(t, []string{"L1-AGENT-05 /team_id"}, rulesOf(t, err))
}

func TestTeamsShareTheirRole(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	other := w.create(t, domain.JobRole{Name: "Inspector", RequiredSkills: []domain.ID{w.skill}, SeniorityLevel: "mid"})
	a := w.agent(t, "A")
	_, err := w.s.Create(t.Context(), request(w.who, ""), domain.Team{Name: "Yard", JobRoleID: other}, domain.Settable{}, a)
	require.Equal(t, []string{"L1-TEAM-03 /agents/0"}, rulesOf(t, err))
	b := w.create(t, domain.Agent{Name: "B", SkillID: w.skill, JobRoleID: other, IndustryID: w.industry})
	team := w.create(t, domain.Team{Name: "Inspectors", JobRoleID: other}, b)
	_, err = w.amend(t, a, domain.Assign{Team: team})
	require.Equal(t, []string{"L1-TEAM-03 /team_id"}, rulesOf(t, err))
}

// TestLastAgentStays: of two who leave a team of two at once, one stays.
func TestLastAgentStays(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	second := w.create(t, skill("Riveting"))
	a := w.agent(t, "A")
	b := w.create(t, domain.Agent{Name: "B", SkillID: second, JobRoleID: w.role, IndustryID: w.industry})
	team := w.create(t, domain.Team{Name: "Yard", JobRoleID: w.role}, a, b)
	errs := make([]error, 2)
	var group sync.WaitGroup
	for i, id := range []domain.ID{a, b} {
		group.Go(func() { _, errs[i] = w.s.Amend(t.Context(), request(w.who, ""), id, ledger.Hash{}, domain.Assign{}) })
	}
	group.Wait()
	require.True(t, (errs[0] == nil) != (errs[1] == nil), "%v", errs)
	require.Equal(t, []string{"L1-TEAM-01 /agents"}, rulesOf(t, errors.Join(errs...)))
	got, err := w.s.Get(t.Context(), w.who, domain.KindTeam, team)
	require.NoError(t, err)
	require.Len(t, got.Agents, 1)
	_, err = w.amend(t, got.Agents[0], domain.MoveTo{To: domain.Archived, At: domain.Time(time.Now())})
	require.Equal(t, []string{"L1-TEAM-01 /agents"}, rulesOf(t, err))
}

// TestTwoTeamsWantOneAgent: of two teams born at once with one agent one gets
// it, and the other's creator hears something to act on, not a fault of ours.
func TestTwoTeamsWantOneAgent(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for i := range 5 {
		agent := w.agent(t, fmt.Sprintf("A%d", i))
		errs := make([]error, 4)
		var group sync.WaitGroup
		for j := range errs {
			team := domain.Team{Name: fmt.Sprintf("T%d-%d", i, j), JobRoleID: w.role}
			group.Go(func() { _, errs[j] = w.s.Create(t.Context(), request(w.who, ""), team, domain.Settable{}, agent) })
		}
		group.Wait()
		born := 0
		for _, err := range errs {
			if err == nil {
				born++
				continue
			}
			var refused *domain.Error
			require.ErrorAs(t, err, &refused)
			require.Contains(t, []domain.Code{domain.CodeUnavailable, domain.CodeRuleViolated}, refused.Code)
		}
		require.Equal(t, 1, born, "%v", errs)
	}
}

// TestNoCycles: two changes of parents, each fine alone, that together would
// close a circle.
func TestNoCycles(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for range 5 {
		name := string(mustID(t))
		a, b := w.create(t, skill("a"+name)), w.create(t, skill("b"+name))
		under := func(child, parent domain.ID) error {
			e, err := w.s.Get(t.Context(), w.who, domain.KindSkill, child)
			require.NoError(t, err)
			set := e.Entity.Settable()
			set.ParentID = parent
			_, err = w.s.Amend(t.Context(), request(w.who, ""), child, ledger.Hash{}, domain.Evolve{Facts: e.Entity.Facts, Settable: set})
			return err
		}
		errs := make([]error, 2)
		var group sync.WaitGroup
		group.Go(func() { errs[0] = under(a, b) })
		group.Go(func() { errs[1] = under(b, a) })
		group.Wait()
		require.True(t, (errs[0] == nil) != (errs[1] == nil), "%v", errs)
		require.Equal(t, []string{"FORM-PARENT /parent_id"}, rulesOf(t, errors.Join(errs...)), "%v", errs)
	}
}

func mustID(t *testing.T) domain.ID {
	t.Helper()
	id, err := domain.NewID()
	require.NoError(t, err)
	return id
}

// TestWithdrawal: what others rest on is withdrawn with a reason, and they need
// review; the history stays.
func TestWithdrawal(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	agent := w.agent(t, "A")
	list, err := w.s.Dependents(t.Context(), w.who, domain.KindSkill, w.skill)
	require.NoError(t, err)
	require.Len(t, list, 2)
	require.ElementsMatch(t, []domain.ID{w.role, agent}, []domain.ID{list[0].ID, list[1].ID})
	_, err = w.amend(t, w.skill, domain.MoveTo{To: domain.Archived, At: domain.Time(time.Now())})
	require.Equal(t, []string{"FORM-REASON /reason"}, rulesOf(t, err))
	gone, err := w.amend(t, w.skill, domain.MoveTo{To: domain.Archived, Reason: "no longer taught", At: domain.Time(time.Now())})
	require.NoError(t, err)
	require.True(t, gone.History[1].Breaking)

	_, err = w.s.Get(t.Context(), w.who, domain.KindSkill, w.skill)
	var refused *domain.Error
	require.ErrorAs(t, err, &refused)
	require.Equal(t, domain.CodeGone, refused.Code)
	require.Contains(t, refused.Detail, "no longer taught")
	old, err := w.s.GetVersion(t.Context(), w.who, domain.KindSkill, w.skill, 1)
	require.NoError(t, err)
	require.Equal(t, domain.Draft, old.Entity.Governed.Status)
	proofs, err := w.s.Proofs(t.Context(), w.who, domain.KindSkill, w.skill, 0, 10)
	require.NoError(t, err)
	require.Len(t, proofs, 2)

	role, err := w.s.Get(t.Context(), w.who, domain.KindJobRole, w.role)
	require.NoError(t, err)
	require.Equal(t, domain.RequiresReview, role.Entity.Governed.AmendmentAlignment)
	require.Equal(t, "system/registry", role.History[1].Author)
	require.True(t, registry.Compliance(role).Passed())
	_, err = w.s.Create(t.Context(), request(w.who, ""), domain.Agent{Name: "late", SkillID: w.skill, JobRoleID: w.role, IndustryID: w.industry}, domain.Settable{})
	require.Equal(t, []string{"L1-AGENT-01 /skill_id"}, rulesOf(t, err))
}

// TestTimeTravel: every version is what was answered when it was written.
func TestTimeTravel(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var written []registry.Written
	id := w.create(t, skill("Riveting"))
	for i := range 5 {
		next, err := w.amend(t, id, domain.Evolve{Facts: skill("Riveting"), Settable: domain.Settable{GovernanceNotes: string(rune('a' + i))}})
		require.NoError(t, err)
		written = append(written, next)
	}
	for _, then := range written {
		now, err := w.s.GetVersion(t.Context(), w.who, domain.KindSkill, id, then.Entity.Head.Version)
		require.NoError(t, err)
		require.Equal(t, then.Snapshot, now)
		at, err := w.s.GetAt(t.Context(), w.who, domain.KindSkill, id, then.Entity.Head.UpdatedAt)
		require.NoError(t, err)
		require.Equal(t, then.Snapshot, at)
	}
	for _, missing := range []int64{7, 100} {
		_, err := w.s.GetVersion(t.Context(), w.who, domain.KindSkill, id, missing)
		require.Error(t, err)
	}
	_, err := w.s.GetAt(t.Context(), w.who, domain.KindSkill, id, time.Unix(0, 0))
	require.Error(t, err)
}

// TestVisibility: what another governance agent sees of a public entity through
// its life.
func TestVisibility(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	stranger := w.d.Principal(t, "other", domain.Author)
	created, err := w.s.Create(t.Context(), request(w.who, ""), skill("Riveting"), domain.Settable{Visibility: domain.Public})
	require.NoError(t, err)
	id := created.Entity.ID
	see := func() (store.Snapshot, domain.Code) {
		s, err := w.s.Get(t.Context(), stranger, domain.KindSkill, id)
		var refused *domain.Error
		if errors.As(err, &refused) {
			return s, refused.Code
		}
		require.NoError(t, err)
		return s, ""
	}
	_, code := see()
	require.Equal(t, domain.CodeNotFound, code, "a draft is its owner's alone")
	_, err = w.s.Amend(t.Context(), request(stranger, ""), id, ledger.Hash{}, domain.Evolve{Facts: skill("Mine")})
	require.Error(t, err)

	_, err = w.amend(t, id, domain.MoveTo{To: domain.UnderReview})
	require.NoError(t, err)
	w.certify(t, id)
	s, code := see()
	require.Empty(t, code)
	require.Equal(t, domain.Certified, s.Entity.Governed.Status)
	require.Len(t, s.History, 1, "the drafts before stay hidden")
	require.True(t, registry.Compliance(s).Passed())
	_, err = w.s.Create(t.Context(), request(stranger, ""), domain.JobRole{Name: "r", RequiredSkills: []domain.ID{id}, SeniorityLevel: "mid"}, domain.Settable{})
	require.NoError(t, err, "what is shared can be rested on")

	changed := domain.Skill{Name: "Riveting", Description: "Changed.", Category: "technical"}
	_, err = w.amend(t, id, domain.Evolve{Facts: changed, Settable: domain.Settable{Visibility: domain.Public}})
	require.NoError(t, err)
	s, code = see()
	require.Empty(t, code)
	require.Equal(t, "Does Riveting.", s.Entity.Facts.(domain.Skill).Description, "while it changes, the last shared version")
	_, err = w.amend(t, id, domain.MoveTo{To: domain.Archived, Reason: "done", At: domain.Time(time.Now())})
	require.NoError(t, err)
	_, code = see()
	require.Equal(t, domain.CodeGone, code)
}
