package domain_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/dlai-sd/plant/shared/domain"
	"github.com/dlai-sd/plant/shared/domain/canonical"
)

var someTime = domain.Time(time.Date(2026, 1, 31, 12, 0, 0, 123456000, time.UTC))

func newID(t *testing.T) domain.ID {
	t.Helper()
	id, err := domain.NewID()
	require.NoError(t, err)
	require.True(t, id.Valid())
	return id
}

func aSkill(t *testing.T) domain.Entity {
	t.Helper()
	return domain.Born(newID(t), "acme", domain.Skill{Name: "Welding", Description: "Joins metal.", Category: "technical"}, domain.Settable{})
}

func requireCode(t *testing.T, want domain.Code, err error, format string, args ...any) {
	t.Helper()
	var e *domain.Error
	require.True(t, errors.As(err, &e), append([]any{format}, args...)...)
	require.Equal(t, want, e.Code, append([]any{format}, args...)...)
}

func rules(v []domain.Violation) []string {
	var list []string
	for _, one := range v {
		list = append(list, one.Rule+" "+one.Field)
	}
	return list
}

// TestL1 breaks each rule of each kind, one at a time.
func TestL1(t *testing.T) {
	t.Parallel()
	id := newID(t)
	long, huge := strings.Repeat("ä", 201), strings.Repeat("x", 8001)
	skill := domain.Skill{Name: "n", Description: "d", Category: "technical"}
	role := domain.JobRole{Name: "n", RequiredSkills: []domain.ID{id}, SeniorityLevel: "mid"}
	team := domain.Team{Name: "n", JobRoleID: id}
	agent := domain.Agent{Name: "n", SkillID: id, JobRoleID: id, IndustryID: id}
	industry := domain.Industry{Name: "n"}
	many := make([]domain.ID, 201)
	for i := range many {
		many[i] = newID(t)
	}
	for _, f := range []domain.Facts{skill, role, team, agent, industry} {
		require.Empty(t, domain.Founding().Validate(domain.Born(id, "acme", f, domain.Settable{}), domain.Known{}), "%s", f.Kind())
	}
	for name, c := range map[string]struct {
		facts domain.Facts
		want  string
	}{
		"skill without name":            {domain.Skill{Name: " \n", Description: "d", Category: "technical"}, "L1-SKILL-01 /name"},
		"skill without description":     {domain.Skill{Name: "n", Category: "technical"}, "L1-SKILL-02 /description"},
		"skill of no category":          {domain.Skill{Name: "n", Description: "d", Category: "magic"}, "L1-SKILL-03 /category"},
		"skill category in other case":  {domain.Skill{Name: "n", Description: "d", Category: "Technical"}, "L1-SKILL-03 /category"},
		"skill with a long name":        {domain.Skill{Name: long, Description: "d", Category: "technical"}, "FORM-LIMIT /name"},
		"skill with a huge description": {domain.Skill{Name: "n", Description: huge, Category: "technical"}, "FORM-LIMIT /description"},
		"role without skills":           {domain.JobRole{Name: "n", SeniorityLevel: "mid"}, "L1-JOBROLE-01 /required_skills"},
		"role with a bad id":            {domain.JobRole{Name: "n", RequiredSkills: []domain.ID{"x"}, SeniorityLevel: "mid"}, "FORM-ID /required_skills/0"},
		"role of no seniority":          {domain.JobRole{Name: "n", RequiredSkills: []domain.ID{id}, SeniorityLevel: "principal"}, "L1-JOBROLE-02 /seniority_level"},
		"role without name":             {domain.JobRole{RequiredSkills: []domain.ID{id}, SeniorityLevel: "mid"}, "L1-JOBROLE-03 /name"},
		"role with too many skills":     {domain.JobRole{Name: "n", RequiredSkills: many, SeniorityLevel: "mid"}, "FORM-LIMIT /required_skills"},
		"role with a bad industry":      {domain.JobRole{Name: "n", RequiredSkills: []domain.ID{id}, SeniorityLevel: "mid", IndustryID: "x"}, "FORM-ID /industry_id"},
		"team without role":             {domain.Team{Name: "n"}, "L1-TEAM-02 /job_role_id"},
		"team without name":             {domain.Team{JobRoleID: id}, "FORM-NAME /name"},
		"agent without skill":           {domain.Agent{Name: "n", JobRoleID: id, IndustryID: id}, "L1-AGENT-01 /skill_id"},
		"agent without role":            {domain.Agent{Name: "n", SkillID: id, IndustryID: id}, "L1-AGENT-02 /job_role_id"},
		"agent without industry":        {domain.Agent{Name: "n", SkillID: id, JobRoleID: id}, "L1-AGENT-03 /industry_id"},
		"agent without name":            {domain.Agent{SkillID: id, JobRoleID: id, IndustryID: id}, "FORM-NAME /name"},
		"industry without name":         {domain.Industry{}, "L1-INDUSTRY-01 /name"},
	} {
		v := domain.Founding().Validate(domain.Born(newID(t), "acme", c.facts, domain.Settable{}), domain.Known{})
		require.Equal(t, []string{c.want}, rules(v), name)
		require.NotEmpty(t, v[0].Remediation, name)
		require.NotEmpty(t, v[0].Message, name)
	}
}

// TestL1WithEverythingKnown breaks the rules that look at other entities.
func TestL1WithEverythingKnown(t *testing.T) {
	t.Parallel()
	skill, other := aSkill(t), aSkill(t)
	role := domain.Born(newID(t), "acme", domain.JobRole{Name: "r", RequiredSkills: []domain.ID{skill.ID}, SeniorityLevel: "mid"}, domain.Settable{})
	industry := domain.Born(newID(t), "acme", domain.Industry{Name: "i"}, domain.Settable{})
	team := domain.Born(newID(t), "acme", domain.Team{Name: "t", JobRoleID: role.ID}, domain.Settable{})
	agent := domain.Born(newID(t), "acme", domain.Agent{Name: "a", SkillID: skill.ID, JobRoleID: role.ID, IndustryID: industry.ID, TeamID: team.ID}, domain.Settable{})
	known := func(list ...domain.Entity) domain.Known {
		k := domain.Known{Complete: true, Entities: map[domain.ID]domain.Entity{}}
		for _, e := range list {
			k.Entities[e.ID] = e
		}
		return k
	}
	archived := skill
	archived.Governed.Status = domain.Archived
	foreignTeam := domain.Born(team.ID, "acme", domain.Team{Name: "t", JobRoleID: newID(t)}, domain.Settable{})
	wrongKind := domain.Born(skill.ID, "acme", domain.Industry{Name: "i"}, domain.Settable{})

	require.Empty(t, domain.Founding().Validate(role, known(skill)))
	require.Equal(t, []string{"L1-JOBROLE-01 /required_skills/0"}, rules(domain.Founding().Validate(role, known(other))))
	require.Equal(t, []string{"L1-JOBROLE-01 /required_skills/0"}, rules(domain.Founding().Validate(role, known(archived))))
	malformed := domain.Born(newID(t), "acme", domain.JobRole{Name: "r", RequiredSkills: []domain.ID{"x"}, SeniorityLevel: "mid"}, domain.Settable{})
	require.Equal(t, []string{"FORM-ID /required_skills/0"}, rules(domain.Founding().Validate(malformed, known(skill))), "what is no id is not looked for")
	require.Equal(t, []string{"L1-JOBROLE-01 /required_skills/0"}, rules(domain.Founding().Validate(role, known(wrongKind))))
	require.Empty(t, domain.Founding().Validate(agent, known(skill, role, industry, team)))
	require.Equal(t, []string{"L1-TEAM-03 /team_id"}, rules(domain.Founding().Validate(agent, known(skill, role, industry, foreignTeam))))
	require.Equal(t, []string{"L1-AGENT-03 /industry_id"}, rules(domain.Founding().Validate(agent, known(skill, role, team))))

	crew := known(role)
	require.Equal(t, []string{"L1-TEAM-01 /agents"}, rules(domain.Founding().Validate(team, crew)))
	crew.Members = []domain.Entity{agent}
	require.Empty(t, domain.Founding().Validate(team, crew))
	stranger := domain.Born(newID(t), "acme", domain.Agent{Name: "b", SkillID: skill.ID, JobRoleID: newID(t), IndustryID: industry.ID}, domain.Settable{})
	crew.Members = append(crew.Members, stranger)
	require.Equal(t, []string{"L1-TEAM-03 /agents/1"}, rules(domain.Founding().Validate(team, crew)))

	child := aSkill(t)
	child.Governed.ParentID = role.ID
	require.Equal(t, []string{"FORM-PARENT /parent_id"}, rules(domain.Founding().Validate(child, known(role))))
	child.Governed.ParentID = child.ID
	require.Equal(t, []string{"FORM-PARENT /parent_id"}, rules(domain.Founding().Validate(child, known(child))))
	refs := child.Refs()
	require.Equal(t, domain.KindSkill, refs[0].Kind)
}

// TestForm breaks the rules that hold for every kind.
func TestForm(t *testing.T) {
	t.Parallel()
	tags := make([]string, 65)
	for i := range tags {
		tags[i] = strings.Repeat("t", i+1)
	}
	for name, c := range map[string]struct {
		set  domain.Settable
		want string
	}{
		"visibility":      {domain.Settable{Visibility: "secret"}, "FORM-VISIBILITY /visibility"},
		"external id":     {domain.Settable{ExternalID: strings.Repeat("e", 201)}, "FORM-LIMIT /external_id"},
		"notes":           {domain.Settable{GovernanceNotes: strings.Repeat("e", 8001)}, "FORM-LIMIT /governance_notes"},
		"65 tags":         {domain.Settable{Tags: tags}, "FORM-LIMIT /tags"},
		"blank tag":       {domain.Settable{Tags: []string{" "}}, "FORM-TAGS /tags/0"},
		"long tag":        {domain.Settable{Tags: []string{strings.Repeat("t", 101)}}, "FORM-LIMIT /tags/0"},
		"attributes list": {domain.Settable{CustomAttributes: []byte(`[1]`)}, "FORM-ATTRIBUTES /custom_attributes"},
		"attributes null": {domain.Settable{CustomAttributes: []byte(`{"a":[{"b":null}]}`)}, "FORM-ATTRIBUTES /custom_attributes/a/0/b"},
		"attributes size": {domain.Settable{CustomAttributes: []byte(`{"a":"` + strings.Repeat("x", 16<<10) + `"}`)}, "FORM-LIMIT /custom_attributes"},
		"parent id":       {domain.Settable{ParentID: "nobody"}, "FORM-ID /parent_id"},
	} {
		e := domain.Born(newID(t), "acme", domain.Industry{Name: "i"}, c.set)
		require.Equal(t, []string{c.want}, rules(domain.Founding().Validate(e, domain.Known{})), name)
	}
}

// TestBirthLeavesWhatItIsGiven: the caller's own lists keep their order.
func TestBirthLeavesWhatItIsGiven(t *testing.T) {
	t.Parallel()
	tags, a, b := []string{"z", "a"}, newID(t), newID(t)
	skills := []domain.ID{b, a}
	e := domain.Born(newID(t), "acme", domain.JobRole{Name: "r", RequiredSkills: skills, SeniorityLevel: "mid"}, domain.Settable{Tags: tags})
	require.Equal(t, []string{"a", "z"}, e.Governed.Tags)
	require.Equal(t, []domain.ID{a, b}, e.Facts.(domain.JobRole).RequiredSkills)
	require.Equal(t, []string{"z", "a"}, tags)
	require.Equal(t, []domain.ID{b, a}, skills)
}

// TestLimitsAreTaken: the most that is allowed is allowed; characters are code points.
func TestLimitsAreTaken(t *testing.T) {
	t.Parallel()
	tags := make([]string, domain.MaxTags)
	for i := range tags {
		tags[i] = strings.Repeat("ä", domain.MaxTag-i)
	}
	attributes := `{"a":"` + strings.Repeat("x", domain.MaxCustomAttributes-len(`{"a":""}`)) + `"}`
	skills := make([]domain.ID, domain.MaxRequiredSkills)
	for i := range skills {
		skills[i] = newID(t)
	}
	set := domain.Settable{
		ExternalID: strings.Repeat("ä", domain.MaxExternalID), GovernanceNotes: strings.Repeat("ä", domain.MaxNotes), Tags: tags,
		CustomAttributes: []byte(attributes), ParentID: newID(t), Visibility: domain.Public,
	}
	name, text := strings.Repeat("ä", domain.MaxName), strings.Repeat("ä", domain.MaxDescription)
	for _, f := range []domain.Facts{
		domain.Skill{Name: name, Description: text, Category: "technical"},
		domain.JobRole{Name: name, Description: text, RequiredSkills: skills, SeniorityLevel: "mid"},
		domain.Team{Name: name, Description: text, JobRoleID: skills[0]},
		domain.Agent{Name: name, SkillID: skills[0], JobRoleID: skills[1], IndustryID: skills[2]},
		domain.Industry{Name: name, Description: text},
	} {
		require.Empty(t, domain.Founding().Validate(domain.Born(newID(t), "acme", f, set), domain.Known{}), f.Kind())
		set.CustomAttributes = []byte(strings.Replace(attributes, "x", "xx", 1))
		require.Equal(t, []string{"FORM-LIMIT /custom_attributes"}, rules(domain.Founding().Validate(domain.Born(newID(t), "acme", f, set), domain.Known{})), f.Kind())
		set.CustomAttributes = []byte(attributes)
	}
}

// TestSuccessors: one is named by its id, and is never the entity itself.
func TestSuccessors(t *testing.T) {
	t.Parallel()
	e := aSkill(t)
	for successor, want := range map[domain.ID][]string{
		newID(t): nil, "x": {"FORM-ID /superseded_by"}, e.ID: {"L0-04 /superseded_by"},
	} {
		e.Governed.SupersededBy = successor
		require.Equal(t, want, rules(domain.Founding().Validate(e, domain.Known{})), successor)
	}
	e.Governed.SupersededBy, e.Governed.ParentID = "", e.ID
	require.Equal(t, []string{"FORM-PARENT /parent_id"}, rules(domain.Founding().Validate(e, domain.Known{})), "nor its own parent")
}

// TestWhatIsNotAsked: the rule that a document may leave out, or keep for other kinds,
// is then not asked, and the others are.
func TestWhatIsNotAsked(t *testing.T) {
	t.Parallel()
	bad := domain.Born(newID(t), "acme", domain.Skill{Name: "n", Category: "technical"}, domain.Settable{Visibility: "x", Tags: []string{" "}})
	others := []string{"L1-SKILL-02 /description", "FORM-VISIBILITY /visibility"}
	about := func(kinds ...any) func(map[string]any) {
		return func(d map[string]any) {
			for _, r := range d["rules"].([]any) {
				if one := r.(map[string]any); one["id"] == "FORM-TAGS" {
					one["kinds"] = kinds
				}
			}
		}
	}
	for name, c := range map[string]struct {
		change func(map[string]any)
		asked  bool
	}{
		"as founded": {func(map[string]any) {}, true}, "left out": {without("FORM-TAGS"), false},
		"about others": {about("industry", "agent"), false}, "about skills too": {about("agent", "skill"), true},
	} {
		law, err := amended(t, c.change)
		require.NoError(t, err, name)
		want := others
		if c.asked {
			want = append(slices.Clone(others), "FORM-TAGS /tags/0")
		}
		require.Equal(t, want, rules(law.Validate(bad, domain.Known{})), name)
	}
}

func TestNameKey(t *testing.T) {
	t.Parallel()
	for _, same := range [][]string{
		{"Straße", "STRASSE", " strasse\n"},
		{"\u00e9t\u00e9", "e\u0301te\u0301", "\u00c9T\u00c9"},
		{"ﬁne", "FINE"},
		{"\uab70\u13f8", "\u13a0\u13f0"}, // Cherokee, whose capitals are the folded form
	} {
		for _, other := range same[1:] {
			require.Equal(t, domain.NameKey(same[0]), domain.NameKey(other))
		}
	}
	require.NotEqual(t, domain.NameKey("a b"), domain.NameKey("ab"))
	rapid.Check(t, func(t *rapid.T) {
		key := domain.NameKey(rapid.String().Draw(t, "name"))
		require.Equal(t, key, domain.NameKey(key), "a key is its own key")
	})
}

// TestStateRoundTrip: what State writes, ReadState reads back, and it is the
// canonical form with nothing absent in it.
func TestStateRoundTrip(t *testing.T) {
	t.Parallel()
	ids := []domain.ID{newID(t), newID(t), newID(t)}
	id := rapid.SampledFrom(ids)
	text := rapid.String()
	facts := rapid.OneOf(
		rapid.Custom(func(t *rapid.T) domain.Facts {
			return domain.Skill{Name: text.Draw(t, "n"), Description: text.Draw(t, "d"), Category: text.Draw(t, "c")}
		}),
		rapid.Custom(func(t *rapid.T) domain.Facts {
			return domain.JobRole{Name: text.Draw(t, "n"), RequiredSkills: rapid.SliceOf(id).Draw(t, "s"), IndustryID: id.Draw(t, "i")}
		}),
		rapid.Custom(func(t *rapid.T) domain.Facts {
			return domain.Agent{Name: text.Draw(t, "n"), SkillID: id.Draw(t, "s"), TeamID: rapid.SampledFrom([]domain.ID{"", ids[0]}).Draw(t, "t")}
		}),
		rapid.Custom(func(t *rapid.T) domain.Facts { return domain.Team{Name: text.Draw(t, "n")} }),
		rapid.Custom(func(t *rapid.T) domain.Facts { return domain.Industry{Description: text.Draw(t, "d")} }),
	)
	rapid.Check(t, func(t *rapid.T) {
		e := domain.Born(ids[0], "acme", facts.Draw(t, "facts"), domain.Settable{
			ExternalID: text.Draw(t, "e"), Tags: rapid.SliceOf(text).Draw(t, "tags"),
			CustomAttributes: []byte(rapid.SampledFrom([]string{``, `null`, `{}`, `{"b":[1,{}],"a":""}`}).Draw(t, "attributes")),
		})
		state, err := e.State()
		require.NoError(t, err)
		require.NoError(t, canonical.CheckState(state))
		back, err := domain.ReadState(e.Kind(), e.ID, e.GovernanceAgentID, state)
		require.NoError(t, err)
		again, err := back.State()
		require.NoError(t, err)
		require.Equal(t, string(state), string(again))
	})
}

func TestReadStateRefuses(t *testing.T) {
	t.Parallel()
	for _, bad := range []string{`{"name":"x","surprise":1}`, `[]`, ``, `{"deleted_at":"2026-01-31T12:00:00Z"}`, `{"tags":"x"}`} {
		_, err := domain.ReadState(domain.KindSkill, newID(t), "acme", []byte(bad))
		require.Error(t, err, bad)
	}
	_, err := domain.ReadState("ghost", newID(t), "acme", []byte(`{}`))
	require.Error(t, err)
}

func TestShared(t *testing.T) {
	t.Parallel()
	for _, status := range domain.Statuses() {
		for _, visibility := range []domain.Visibility{domain.Private, domain.Public} {
			e := aSkill(t)
			e.Governed.Status, e.Governed.Visibility = status, visibility
			want := visibility == domain.Public && (status == "certified" || status == "active" || status == "deprecated")
			require.Equal(t, want, e.Shared(), "%s %s", visibility, status)
		}
	}
}
