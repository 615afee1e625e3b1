package domain_test

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/dlai-sd/plant/shared/domain"
)

// moves is the lifecycle as notes and README tell it, written out a second
// time: what is not here does not happen.
var moves = []struct {
	from, to domain.Status
	change   string
	who      string
	system   string // "", agents or all
	reason   bool
}{
	{"draft", "under_review", "moved", "author", "agents", false},
	{"under_review", "draft", "moved", "author", "", false},
	{"under_review", "certified", "certified", "genesis", "", false},
	{"under_review", "draft", "rejected", "genesis", "", true},
	{"certified", "under_review", "decertified", "genesis", "", true},
	{"active", "under_review", "decertified", "genesis", "", true},
	{"certified", "active", "moved", "architect", "agents", false},
	{"certified", "under_review", "drifted", "guardian", "all", false},
	{"active", "under_review", "drifted", "guardian", "all", false},
	{"under_review", "certified", "moved", "governor", "", false},        // of a drifted entity only
	{"under_review", "active", "moved", "governor", "", false},           // of a drifted entity only
	{"under_review", "certified", "reaffirmed", "governor", "all", true}, // by an enactment, carried out by the platform
	{"under_review", "active", "reaffirmed", "governor", "all", true},
	{"certified", "deprecated", "moved", "author+architect", "", true},
	{"active", "deprecated", "moved", "author+architect", "", true},
	{"draft", "archived", "moved", "author", "", false},
	{"under_review", "archived", "moved", "author", "", false},
	{"certified", "archived", "moved", "author", "", false},
	{"active", "archived", "moved", "governor", "", false},
	{"deprecated", "archived", "moved", "author", "", false},
	{"draft", "draft", "moved", "governor", "", true}, // these five: of what requires review only
	{"under_review", "under_review", "moved", "governor", "", true},
	{"certified", "certified", "moved", "governor", "", true},
	{"active", "active", "moved", "governor", "", true},
	{"deprecated", "deprecated", "moved", "governor", "", true},
}

func TestLifecycleTable(t *testing.T) {
	t.Parallel()
	table := domain.Moves()
	require.Len(t, table, len(moves))
	for i, want := range moves {
		got := table[i]
		who := ""
		for j, a := range got.Who {
			if j > 0 {
				who += "+"
			}
			who += string(a)
		}
		system := ""
		if got.System(domain.KindAgent) {
			system = "agents"
			if got.System(domain.KindSkill) {
				system = "all"
			}
		}
		require.Equal(t, want.from, got.From, "row %d", i)
		require.Equal(t, want.to, got.To, "row %d", i)
		require.Equal(t, want.change, got.Change, "row %d", i)
		require.Equal(t, want.who, who, "row %d", i)
		require.Equal(t, want.system, system, "row %d", i)
		require.Equal(t, want.reason, got.Reason, "row %d", i)
	}
}

// TestMoveToObeysTheTable tries every pair of statuses.
func TestMoveToObeysTheTable(t *testing.T) {
	t.Parallel()
	for _, from := range domain.Statuses() {
		for _, to := range domain.Statuses() {
			e := aSkill(t)
			e.Governed.Status = from
			next, err := domain.MoveTo{To: to, Reason: "because", At: someTime}.Apply(e)
			i := slices.IndexFunc(moves, func(m struct {
				from, to domain.Status
				change   string
				who      string
				system   string
				reason   bool
			},
			) bool {
				return m.from == from && m.to == to && m.change == "moved" && m.who != "governor" || m.from == from && m.to == to && to == "archived"
			})
			if i < 0 {
				requireCode(t, domain.CodeIllegalMove, err, "%s to %s", from, to)
				continue
			}
			require.NoError(t, err, "%s to %s", from, to)
			require.Equal(t, to, next.Governed.Status)
			require.Equal(t, "because", next.Governed.StatusReason)
			require.Equal(t, to == domain.Archived, !next.Governed.DeletedAt.IsZero())
		}
	}
}

func TestMovesThatNeedAReason(t *testing.T) {
	t.Parallel()
	e := aSkill(t)
	e.Governed.Status = domain.Active
	_, err := domain.MoveTo{To: domain.Deprecated, Reason: " "}.Apply(e)
	requireCode(t, domain.CodeRuleViolated, err, "")
	require.Equal(t, []domain.Authority{domain.Author, domain.Architect}, domain.MoveTo{To: domain.Deprecated}.Needs(e))
	require.Equal(t, []domain.Authority{domain.Governor}, domain.MoveTo{To: domain.Archived}.Needs(e))
}

func TestOnlyTheGovernorReactivatesWhatDrifted(t *testing.T) {
	t.Parallel()
	e := aSkill(t)
	e.Governed.Status = domain.UnderReview
	_, err := domain.MoveTo{To: domain.Active}.Apply(e)
	requireCode(t, domain.CodeIllegalMove, err, "an entity that never drifted")
	e.Governed.AmendmentAlignment = domain.Drifted
	e.Governed.DriftDetector = &domain.Drift{PriorStatus: domain.Active}
	_, err = domain.MoveTo{To: domain.Certified}.Apply(e)
	requireCode(t, domain.CodeIllegalMove, err, "not the status it had")
	for to, want := range map[domain.Status]bool{domain.Active: true, domain.Certified: false} {
		_, moves := domain.FindMove(e, to, domain.ChangeReaffirmed)
		require.Equal(t, want, moves, "an enactment gives back the status that it had, and no other")
	}
	next, err := domain.MoveTo{To: domain.Active}.Apply(e)
	require.NoError(t, err)
	require.Equal(t, domain.Aligned, next.Governed.AmendmentAlignment)
	require.Equal(t, []domain.Authority{domain.Governor}, domain.MoveTo{To: domain.Active}.Needs(e))
}

func TestEvolve(t *testing.T) {
	t.Parallel()
	for _, status := range domain.Statuses() {
		e := aSkill(t)
		e.Governed.Status = status
		facts := e.Facts.(domain.Skill)
		facts.Description = "Another description."
		next, err := domain.Evolve{Facts: facts}.Apply(e)
		if status == domain.Archived {
			requireCode(t, domain.CodeGone, err, "archived")
			continue
		}
		require.NoError(t, err)
		want := status
		if status == domain.Certified || status == domain.Active {
			want = domain.UnderReview
		}
		require.Equal(t, want, next.Governed.Status, "own fields of a %s skill", status)

		next, err = domain.Evolve{Facts: e.Facts, Settable: domain.Settable{Tags: []string{"b", "a", "b"}, GovernanceNotes: "n"}}.Apply(e)
		require.NoError(t, err)
		require.Equal(t, status, next.Governed.Status, "tags and notes of a %s skill", status)
		require.Equal(t, []string{"a", "b"}, next.Governed.Tags)
	}
}

func TestEvolveKeepsKindAndIndustry(t *testing.T) {
	t.Parallel()
	_, err := domain.Evolve{Facts: domain.Industry{Name: "x"}}.Apply(aSkill(t))
	requireCode(t, domain.CodeMalformed, err, "a skill does not become an industry")
	agent := domain.Agent{Name: "a", SkillID: newID(t), JobRoleID: newID(t), IndustryID: newID(t)}
	e := domain.Born(newID(t), "acme", agent, domain.Settable{})
	agent.IndustryID = newID(t)
	_, err = domain.Evolve{Facts: agent}.Apply(e)
	var refused *domain.Error
	require.ErrorAs(t, err, &refused)
	require.Equal(t, "L1-AGENT-04", refused.Violations[0].Rule)
	advised := domain.Founding().Advised(refused.Violations)
	require.NotEmpty(t, advised[0].Remediation, "the constitution says what to do")
}

func TestBreaking(t *testing.T) {
	t.Parallel()
	one, two := newID(t), newID(t)
	role := domain.JobRole{Name: "r", RequiredSkills: []domain.ID{one}, SeniorityLevel: "mid"}
	with := func(change func(*domain.JobRole)) domain.Facts {
		r := role
		change(&r)
		return r
	}
	skill := domain.Skill{Name: "s", Description: "d", Category: "technical"}
	for name, c := range map[string]struct {
		before, after domain.Facts
		want          bool
	}{
		"skill renamed":        {skill, domain.Skill{Name: "t", Description: "d", Category: "technical"}, false},
		"skill recategorised":  {skill, domain.Skill{Name: "s", Description: "d", Category: "soft_skill"}, true},
		"role renamed":         {role, with(func(r *domain.JobRole) { r.Name = "q" }), false},
		"required skill added": {role, with(func(r *domain.JobRole) { r.RequiredSkills = []domain.ID{one, two} }), true},
		"required skill gone":  {with(func(r *domain.JobRole) { r.RequiredSkills = []domain.ID{one, two} }), role, false},
		"seniority changed":    {role, with(func(r *domain.JobRole) { r.SeniorityLevel = "senior" }), true},
		"industry changed":     {role, with(func(r *domain.JobRole) { r.IndustryID = one }), true},
		"team redescribed":     {domain.Team{Name: "t"}, domain.Team{Name: "t", Description: "d"}, false},
	} {
		before := domain.Born(newID(t), "acme", c.before, domain.Settable{})
		after := domain.Born(before.ID, "acme", c.after, domain.Settable{})
		require.Equal(t, c.want, domain.Breaking(before, after), name)
	}
	e := aSkill(t)
	archived, err := domain.MoveTo{To: domain.Archived, At: someTime}.Apply(e)
	require.NoError(t, err)
	require.True(t, domain.Breaking(e, archived))
}
