package registry_test

import (
	"context"
	"crypto/sha256"
	"fmt"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/dlai-sd/plant/shared/domain"
	"github.com/dlai-sd/plant/shared/registry"
	"github.com/dlai-sd/plant/shared/store"
)

const gapModel = "test-model"

// shipyard is a world whose skills mean what a test says.
type shipyard struct {
	*world
	embedder *registry.Service
}

func newShipyard(t *testing.T) *shipyard {
	t.Helper()
	w := newWorld(t)
	return &shipyard{w, kit{w.d, w.s, w.who}.as(t, "plant_embedder", domain.UseAmendment)}
}

// means gives a skill a vector: so much along each of the first axes.
func (y *shipyard) means(t *testing.T, id domain.ID, axes ...float32) {
	t.Helper()
	now, err := y.s.Get(t.Context(), y.who, domain.KindSkill, id)
	require.NoError(t, err)
	values := make([]float32, 384)
	copy(values, axes)
	text := now.Entity.Facts.Text()
	require.NoError(t, y.embedder.Embed(t.Context(), registry.Request{Who: registry.System("embed"), RequestID: "r"}, []registry.Meaning{{
		Entity: now.Entity, Vectors: []store.Vector{{
			EntityID: id, Kind: domain.KindSkill, ModelID: gapModel, Text: text, TextSHA256: sha256.Sum256([]byte(text)), Values: values,
		}},
	}}, nil))
}

func (y *shipyard) skill(t *testing.T, name string, axes ...float32) domain.ID {
	t.Helper()
	id := y.create(t, skill(name))
	if axes != nil {
		y.means(t, id, axes...)
	}
	return id
}

// foreign is the same registry for another governance agent.
func (y *shipyard) foreign(t *testing.T, tenant string) *shipyard {
	t.Helper()
	w := &world{d: y.d, s: y.s, who: y.d.Principal(t, tenant, domain.Author, domain.Genesis, domain.Governor)}
	w.skill = w.create(t, skill("Own"))
	w.industry = w.create(t, domain.Industry{Name: "Own"})
	w.role = w.create(t, domain.JobRole{Name: "Own", RequiredSkills: []domain.ID{w.skill}, SeniorityLevel: "mid"})
	return &shipyard{w, y.embedder}
}

// shared is something that every governance agent sees.
func (y *shipyard) shared(t *testing.T, f domain.Facts, axes ...float32) domain.ID {
	t.Helper()
	written, err := y.s.Create(t.Context(), request(y.who, ""), f, domain.Settable{Visibility: domain.Public})
	require.NoError(t, err)
	id := written.Entity.ID
	if axes != nil {
		y.means(t, id, axes...)
	}
	_, err = y.amend(t, id, domain.MoveTo{To: domain.UnderReview})
	require.NoError(t, err)
	genesis := y.d.Principal(t, y.who.GovernanceAgent, domain.Genesis)
	certifier := kit{y.d, y.s, y.who}.as(t, "plant_certifier", domain.UseCertification)
	_, err = certifier.Amend(t.Context(), request(genesis, "x"), id, anyVersion, certify{})
	require.NoError(t, err)
	return id
}

func (y *shipyard) requires(t *testing.T, name string, skills ...domain.ID) domain.ID {
	t.Helper()
	return y.create(t, domain.JobRole{Name: name, RequiredSkills: skills, SeniorityLevel: "mid"})
}

func (y *shipyard) can(t *testing.T, name string, skill, role domain.ID) domain.ID {
	t.Helper()
	return y.create(t, domain.Agent{Name: name, SkillID: skill, JobRoleID: role, IndustryID: y.industry})
}

func (y *shipyard) gap(t *testing.T, q registry.GapQuestion) registry.SkillGap {
	t.Helper()
	q.ModelID = gapModel
	if q.Limit == 0 {
		q.Limit = 3
	}
	gap, err := y.s.SkillGap(t.Context(), y.who, q)
	require.NoError(t, err)
	return gap
}

func near(list []registry.NearSkill) (said []string) {
	for _, n := range list {
		name := "?"
		if n.Skill != nil {
			name = n.Skill.Facts.Label()
		}
		said = append(said, fmt.Sprintf("%s %.2f %v", name, n.Similarity, n.Held))
	}
	return said
}

func who(list []registry.NearAgent) (said []string) {
	for _, a := range list {
		said = append(said, fmt.Sprintf("%s %.2f %v", a.Agent.Facts.Label(), a.Similarity, a.Exact))
	}
	return said
}

func gapIDs(list []registry.GapSkill) (ids []domain.ID) {
	for _, s := range list {
		ids = append(ids, s.ID)
	}
	return ids
}

func missingIDs(gap registry.SkillGap) (ids []domain.ID) {
	for _, m := range gap.Missing {
		ids = append(ids, m.ID)
	}
	return ids
}

// TestSkillGap: what is missing, and what comes near it, for each kind of subject.
func TestSkillGap(t *testing.T) {
	t.Parallel()
	y := newShipyard(t)
	weld, rivet := y.skill(t, "weld", 1, 0), y.skill(t, "rivet", .8, .6)
	bolt, paint, mute := y.skill(t, "bolt", 1.2, 1.6), y.skill(t, "paint", 0, 0, 1), y.skill(t, "mute")
	role := y.requires(t, "Shipwright", weld, rivet, mute)
	other := y.requires(t, "Other", weld, bolt)
	welds := y.can(t, "welds", weld, role)
	y.can(t, "rivets", rivet, other)
	rivetsToo := y.can(t, "rivets too", rivet, role)
	y.can(t, "bolts", bolt, other)
	y.can(t, "mutes", mute, other)
	gone := y.can(t, "gone", rivet, other)
	_, err := y.amend(t, gone, archive())
	require.NoError(t, err)
	before := y.written(t)

	gap := y.gap(t, registry.GapQuestion{Role: role, Agent: welds})
	require.Equal(t, []domain.ID{weld}, gapIDs(gap.Covered))
	require.ElementsMatch(t, []domain.ID{rivet, mute}, missingIDs(gap))
	require.Empty(t, gap.Beyond)
	require.Equal(t, welds, gap.Subject.ID)
	m := gap.Missing[slices.Index(missingIDs(gap), rivet)]
	require.True(t, m.Compared)
	require.Equal(t, []string{"weld 0.80 true"}, near(m.Held))
	require.Equal(t, []string{"bolt 0.96 false", "weld 0.80 true", "paint 0.00 false"}, near(m.Skills), "itself is not among them")
	require.Equal(t, []string{"rivets 1.00 true", "rivets too 1.00 true", "bolts 0.96 false"}, who(m.Agents), "who has it comes first; the archived and the subject do not come")
	m = gap.Missing[slices.Index(missingIDs(gap), mute)]
	require.False(t, m.Compared)
	require.Empty(t, m.Held)
	require.Empty(t, m.Skills)
	require.Equal(t, []string{"mutes 1.00 true"}, who(m.Agents), "who has it is known without a vector")
	require.Equal(t, []domain.ID{mute}, gap.MissingUnembedded)
	require.Empty(t, gap.SubjectUnembedded)
	require.EqualValues(t, []int64{6, 4}, []int64{gap.Registry.Skills, gap.Registry.Embedded}, "Welding has no vector either")
	require.Len(t, y.gap(t, registry.GapQuestion{Role: role, Agent: welds, Limit: 1}).Missing[0].Agents, 1)

	// A team has what its living agents have; they do not help it.
	team := y.create(t, domain.Team{Name: "Yard", JobRoleID: role}, welds, rivetsToo)
	gap = y.gap(t, registry.GapQuestion{Role: other, Team: team})
	require.Equal(t, []domain.ID{bolt}, missingIDs(gap))
	require.Equal(t, []domain.ID{weld}, gapIDs(gap.Covered))
	require.Equal(t, []domain.ID{rivet}, gapIDs(gap.Beyond))
	require.Equal(t, []string{"rivet 0.96 true", "weld 0.60 true"}, near(gap.Missing[0].Held))
	require.Equal(t, []string{"bolts 1.00 true", "rivets 0.96 false"}, who(gap.Missing[0].Agents))

	// Skills are a set; none is a subject too.
	gap = y.gap(t, registry.GapQuestion{Role: role, Skills: []domain.ID{mute, paint, mute}})
	require.Nil(t, gap.Subject)
	require.ElementsMatch(t, []domain.ID{weld, rivet}, missingIDs(gap))
	require.Equal(t, []domain.ID{paint}, gapIDs(gap.Beyond))
	require.Equal(t, []domain.ID{mute}, gap.SubjectUnembedded)
	require.Equal(t, []string{"paint 0.00 true"}, near(gap.Missing[0].Held))
	require.Len(t, y.gap(t, registry.GapQuestion{Role: role, Skills: []domain.ID{}}).Missing, 3)

	require.Greater(t, y.written(t)["entity"], before["entity"], "the team")
	before = y.written(t)
	y.gap(t, registry.GapQuestion{Role: role, Team: team})
	require.Equal(t, before, y.written(t))
}

// TestSkillGapTiesAndLimits: what is equally near stands in the order of ids, as often
// as it is asked; a limit is of each list, and what is beyond the skills that are shown
// is still looked through for agents.
func TestSkillGapTiesAndLimits(t *testing.T) {
	t.Parallel()
	y := newShipyard(t)
	missing := y.skill(t, "missing", 1, 0)
	var alike []domain.ID
	for i := range 4 {
		alike = append(alike, y.skill(t, "alike"+strconv.Itoa(i), .8, .6))
	}
	nothing := y.skill(t, "nothing", 0, 0, 1)
	slices.Sort(alike)
	role := y.requires(t, "Shipwright", missing)
	farthest := y.can(t, "farthest", nothing, role)
	last := y.can(t, "last", alike[3], role)
	ask := registry.GapQuestion{Role: role, Skills: []domain.ID{nothing, alike[2], alike[0], alike[3], alike[1]}}
	ids := func(list []registry.NearSkill) (all []domain.ID) {
		for _, n := range list {
			all = append(all, n.ID)
		}
		return all
	}
	for limit := 1; limit <= 5; limit++ {
		ask.Limit = limit
		m := y.gap(t, ask).Missing[0]
		want := append(slices.Clone(alike), nothing)[:limit]
		require.Equal(t, want, ids(m.Held), "what the subject has")
		require.Equal(t, want, ids(m.Skills), "what the registry has")
		require.Equal(t, last, m.Agents[0].Agent.ID, "also where the skill itself is not shown")
		require.Equal(t, min(limit, 2), len(m.Agents))
	}
	ask.Limit = 5
	m := y.gap(t, ask).Missing[0]
	require.InDelta(t, 0, m.Held[4].Similarity, 0, "what has nothing in common with it is not near")
	require.Equal(t, farthest, m.Agents[1].Agent.ID)
}

// TestSkillGapComparesPresentTexts: a vector of what a skill was called before says
// nothing about it, on any side.
func TestSkillGapComparesPresentTexts(t *testing.T) {
	t.Parallel()
	y := newShipyard(t)
	weld, rivet, bolt := y.skill(t, "weld", 1, 0), y.skill(t, "rivet", .8, .6), y.skill(t, "bolt", .6, .8)
	role := y.requires(t, "Shipwright", rivet)
	ask := registry.GapQuestion{Role: role, Skills: []domain.ID{weld}}
	rename := func(id domain.ID, name string) {
		_, err := y.amend(t, id, domain.Evolve{Facts: skill(name)})
		require.NoError(t, err)
	}
	rename(bolt, "bolts")
	gap := y.gap(t, ask)
	require.Equal(t, []string{"weld 0.80 true"}, near(gap.Missing[0].Skills), "the registry's")
	require.EqualValues(t, 2, gap.Registry.Embedded)
	rename(weld, "welds")
	gap = y.gap(t, ask)
	require.Empty(t, gap.Missing[0].Held, "the subject's")
	require.Equal(t, []domain.ID{weld}, gap.SubjectUnembedded)
	rename(rivet, "rivets")
	gap = y.gap(t, ask)
	require.False(t, gap.Missing[0].Compared, "the missing one's")
	require.Equal(t, []domain.ID{rivet}, gap.MissingUnembedded)
	y.means(t, rivet, 0, 1)
	y.means(t, weld, 0, 1)
	require.Equal(t, []string{"welds 1.00 true"}, near(y.gap(t, ask).Missing[0].Held))
	gap, err := y.s.SkillGap(t.Context(), y.who, registry.GapQuestion{Role: role, Skills: ask.Skills, ModelID: "another", Limit: 3})
	require.NoError(t, err)
	require.False(t, gap.Missing[0].Compared, "another model's vectors are none")
	require.Zero(t, gap.Registry.Embedded)
}

// TestSkillGapAcrossTenants: what is another's and not shared is an id at most.
func TestSkillGapAcrossTenants(t *testing.T) {
	t.Parallel()
	y := newShipyard(t)
	board := y.foreign(t, "globex")
	secret := board.skill(t, "secret", 1, 0)
	open := board.shared(t, skill("open"), .8, .6)
	hers := board.can(t, "hers", secret, board.role)
	role := y.requires(t, "Role", y.skill(t, "mine", .6, .8), open)
	mine := y.can(t, "mine", y.skill(t, "else", 1, 0), role)

	gap := y.gap(t, registry.GapQuestion{Role: role, Agent: mine})
	for _, m := range gap.Missing {
		for _, n := range m.Skills {
			require.NotEqual(t, secret, n.ID)
		}
		for _, a := range m.Agents {
			require.NotEqual(t, hers, a.Agent.ID)
		}
	}
	i := slices.Index(missingIDs(gap), open)
	require.Equal(t, "open", gap.Missing[i].Skill.Facts.Label())
	require.True(t, gap.Missing[i].Compared)

	// It is withdrawn: the role still names it, and that is all.
	_, err := board.amend(t, open, domain.Evolve{Facts: skill("closed")})
	require.NoError(t, err)
	gap = y.gap(t, registry.GapQuestion{Role: role, Agent: mine})
	i = slices.Index(missingIDs(gap), open)
	require.Nil(t, gap.Missing[i].Skill)
	require.False(t, gap.Missing[i].Compared)
	require.Contains(t, gap.MissingUnembedded, open)

	absent, err := domain.NewID()
	require.NoError(t, err)
	for _, id := range []domain.ID{secret, hers, board.role, absent, "x"} { // alike
		for want, q := range map[string]registry.GapQuestion{
			"L1-AGENT-02 /job_role_id": {Role: id, Agent: mine},
			"FORM-ID /agent_id":        {Role: role, Agent: id},
			"FORM-ID /team_id":         {Role: role, Team: id},
			"L1-AGENT-01 /skill_ids/1": {Role: role, Skills: []domain.ID{y.world.skill, id}},
		} {
			_, err := y.s.SkillGap(t.Context(), y.who, q)
			require.Equal(t, []string{want}, rulesOf(t, err), "%s", id)
		}
	}
	for name, q := range map[string]registry.GapQuestion{"FORM-ID /agent_id": {Role: role, Agent: role}, "FORM-ID /team_id": {Role: role, Team: mine}} {
		_, err := y.s.SkillGap(t.Context(), y.who, q)
		require.Equal(t, []string{name}, rulesOf(t, err), "one's own of another kind")
	}
	_, err = y.s.SkillGap(t.Context(), y.who, registry.GapQuestion{Role: role, Skills: []domain.ID{role}})
	require.Equal(t, []string{"L1-AGENT-01 /skill_ids/0"}, rulesOf(t, err))

	// Another's agent is a subject, and at hand, while it is shared.
	lent := board.shared(t, domain.Agent{Name: "lent", SkillID: secret, JobRoleID: board.role, IndustryID: board.industry})
	gap = y.gap(t, registry.GapQuestion{Role: role, Agent: lent})
	require.Len(t, gap.Missing, 2)
	require.Equal(t, []domain.ID{secret}, gapIDs(gap.Beyond))
	require.Nil(t, gap.Beyond[0].Skill)
	_, err = board.amend(t, lent, domain.MoveTo{To: domain.Archived, Reason: "over", At: domain.Time(time.Now())})
	require.NoError(t, err)
	_, err = y.s.SkillGap(t.Context(), y.who, registry.GapQuestion{Role: role, Agent: lent})
	require.Equal(t, []string{"FORM-ID /agent_id"}, rulesOf(t, err), "not after that")

	_, err = y.amend(t, mine, archive())
	require.NoError(t, err)
	dropped := y.skill(t, "dropped")
	_, err = y.amend(t, dropped, archive())
	require.NoError(t, err)
	_, err = y.s.SkillGap(t.Context(), y.who, registry.GapQuestion{Role: role, Skills: []domain.ID{dropped}})
	require.Equal(t, []string{"L1-AGENT-01 /skill_ids/0"}, rulesOf(t, err))
	_, err = y.s.SkillGap(t.Context(), y.who, registry.GapQuestion{Role: role, Agent: mine})
	require.Equal(t, []string{"FORM-ID /agent_id"}, rulesOf(t, err), "the archived lack nothing")
}

// TestSkillGapIsBounded: at most 50 missing skills are compared and 200 skills asked
// about; the difference is whole.
func TestSkillGapIsBounded(t *testing.T) {
	t.Parallel()
	y := newShipyard(t)
	var skills []domain.ID
	var meanings []registry.Meaning
	for i := range registry.MaxGapCompared + 3 {
		id := y.create(t, skill("s"+strconv.Itoa(i)))
		skills = append(skills, id)
		now, err := y.s.Get(t.Context(), y.who, domain.KindSkill, id)
		require.NoError(t, err)
		values := make([]float32, 384)
		values[0], values[1] = 1, float32(i)
		meanings = append(meanings, registry.Meaning{Entity: now.Entity, Vectors: []store.Vector{{
			EntityID: id, Kind: domain.KindSkill, ModelID: gapModel, Text: "x", TextSHA256: sha256.Sum256([]byte("x")), Values: values,
		}}})
	}
	require.NoError(t, y.embedder.Embed(context.WithoutCancel(t.Context()), registry.Request{Who: registry.System("embed")}, meanings, nil))
	role := y.requires(t, "Wide", skills...)
	gap := y.gap(t, registry.GapQuestion{Role: role, Skills: []domain.ID{y.world.skill}})
	require.Len(t, gap.Missing, len(skills))
	require.Empty(t, gap.MissingUnembedded)
	for i, m := range gap.Missing {
		require.Equal(t, i < registry.MaxGapCompared, m.Compared)
		require.Equal(t, m.Compared, len(m.Skills) > 0)
	}
	_, err := y.s.SkillGap(t.Context(), y.who, registry.GapQuestion{Role: role, Skills: make([]domain.ID, registry.MaxGapSkills+1)})
	require.Equal(t, []string{"FORM-LIMIT /skill_ids"}, rulesOf(t, err))
	_, err = y.s.SkillGap(t.Context(), y.who, registry.GapQuestion{Role: role, Skills: slices.Repeat([]domain.ID{y.world.skill}, registry.MaxGapSkills)})
	require.NoError(t, err, "as many as are allowed")
	_, err = y.s.TryTeam(t.Context(), y.who, role, make([]domain.ID, registry.MaxSimulated+1))
	require.Equal(t, []string{"FORM-LIMIT /agents"}, rulesOf(t, err))
}

// TestTryTeamOfArchivedRole: one's own archived role is no refusal but a broken rule.
func TestTryTeamOfArchivedRole(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	agent := w.agent(t, "a")
	_, err := w.amend(t, agent, archive())
	require.NoError(t, err)
	_, err = w.amend(t, w.role, archive())
	require.NoError(t, err)
	trial, err := w.s.TryTeam(t.Context(), w.who, w.role, []domain.ID{agent})
	require.NoError(t, err)
	require.Equal(t, []string{"L1-TEAM-01 /agents/0", "L1-TEAM-02 /job_role_id"}, brokenRules(trial))
	require.Equal(t, domain.Archived, trial.Role.Governed.Status)
	require.Equal(t, domain.Archived, trial.Agents[0].Governed.Status)
}
