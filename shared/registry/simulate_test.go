package registry_test

import (
	"context"
	"slices"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/dlai-sd/plant/shared/domain"
	"github.com/dlai-sd/plant/shared/registry"
)

func brokenRules(trial registry.TeamTrial) (list []string) {
	for _, r := range trial.Rules {
		for _, v := range r.Broken {
			list = append(list, v.Rule+" "+v.Field)
		}
	}
	return list
}

// written counts every row of every table.
func (w *world) written(t *testing.T) map[string]int {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), w.d.URL)
	require.NoError(t, err)
	defer func() { _ = conn.Close(context.WithoutCancel(t.Context())) }()
	counts := map[string]int{}
	for _, table := range []string{"entity", "amendment", "opening", "outbox", "idempotency_key", "inbox", "team", "agent", "log_pending"} {
		var n int
		require.NoError(t, conn.QueryRow(t.Context(), "SELECT count(*) FROM "+table).Scan(&n))
		counts[table] = n
	}
	return counts
}

// TestTryTeam: a trial says what the birth of the team then does, and writes nothing.
func TestTryTeam(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	other := w.create(t, skill("Riveting"))
	role := w.create(t, domain.JobRole{Name: "Shipwright", RequiredSkills: []domain.ID{w.skill, other}, SeniorityLevel: "mid"})
	agent := func(name string, skill domain.ID) domain.ID {
		return w.create(t, domain.Agent{Name: name, SkillID: skill, JobRoleID: role, IndustryID: w.industry})
	}
	welds, alsoWelds, rivets, gone := agent("a", w.skill), agent("b", w.skill), agent("c", other), agent("d", other)
	_, err := w.amend(t, gone, archive())
	require.NoError(t, err)
	stranger := w.agent(t, "stranger")
	last := agent("last", other)
	w.create(t, domain.Team{Name: "Yard", JobRoleID: role}, last)
	absent, err := domain.NewID()
	require.NoError(t, err)

	for name, c := range map[string]struct {
		agents []domain.ID
		broken []string
		gaps   []domain.ID
	}{
		"whole":              {[]domain.ID{rivets, welds}, nil, nil},
		"gap":                {[]domain.ID{welds}, nil, []domain.ID{other}},
		"nobody":             {nil, []string{"L1-TEAM-01 /agents"}, []domain.ID{w.skill, other}},
		"archived":           {[]domain.ID{welds, gone}, []string{"L1-TEAM-01 /agents/1"}, []domain.ID{other}},
		"absent":             {[]domain.ID{welds, absent}, []string{"L1-TEAM-01 /agents/1"}, []domain.ID{other}},
		"another role":       {[]domain.ID{welds, stranger}, []string{"L1-TEAM-03 /agents/1"}, []domain.ID{other}},
		"one place, two":     {[]domain.ID{welds, alsoWelds}, []string{"L1-AGENT-05 /agents/1"}, []domain.ID{other}},
		"the last of a team": {[]domain.ID{welds, last}, []string{"L1-TEAM-01 /agents/1"}, nil},
	} {
		before := w.written(t)
		trial, err := w.s.TryTeam(t.Context(), w.who, role, c.agents)
		require.NoError(t, err, name)
		require.Equal(t, before, w.written(t), name)
		require.Equal(t, c.broken, brokenRules(trial), name)
		require.Equal(t, len(c.broken) == 0, trial.Valid(), name)
		require.Len(t, trial.Agents, len(c.agents), name)
		var gaps []domain.ID
		for _, row := range trial.Skills {
			require.Len(t, row.Held, len(c.agents))
			if !row.Covered() {
				gaps = append(gaps, row.ID)
			}
		}
		slices.Sort(c.gaps)
		require.Equal(t, c.gaps, gaps, name)
		if len(c.broken) > 0 { // and the birth is refused
			_, err = w.s.Create(t.Context(), request(w.who, ""), domain.Team{Name: name, JobRoleID: role}, domain.Settable{}, c.agents...)
			require.Error(t, err, name)
		}
	}
	_, err = w.s.TryTeam(t.Context(), w.who, role, []domain.ID{welds, welds})
	requireCode(t, domain.CodeRuleViolated, err)
	_, err = w.s.TryTeam(t.Context(), w.who, absent, []domain.ID{welds})
	require.Equal(t, []string{"L1-TEAM-02 /job_role_id"}, rulesOf(t, err))
	foreign := w.d.Principal(t, "globex", domain.Author)
	_, err = w.s.TryTeam(t.Context(), foreign, role, []domain.ID{welds})
	require.Equal(t, []string{"L1-TEAM-02 /job_role_id"}, rulesOf(t, err), "hidden and absent are alike")

	w.create(t, domain.Team{Name: "whole", JobRoleID: role}, rivets, welds)
}
