package domain_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/stretchr/testify/require"

	"github.com/dlai-sd/plant/shared/domain"
)

// TestWhatTheKindsSay: the label that is unique, the text that is searched, and
// what each kind names.
func TestWhatTheKindsSay(t *testing.T) {
	t.Parallel()
	a, b, c, d := newID(t), newID(t), newID(t), newID(t)
	for _, row := range []struct {
		facts       domain.Facts
		kind        domain.Kind
		label, text string
		refs        []string
	}{
		{domain.Skill{Name: "n", Description: "d"}, "skill", "n", "n. d", nil},
		{domain.JobRole{Name: "n", RequiredSkills: []domain.ID{a, b}, IndustryID: c}, "job_role", "n", "n", []string{
			"skill /required_skills/0 " + string(a), "skill /required_skills/1 " + string(b), "industry /industry_id " + string(c),
		}},
		{domain.Team{Name: "n", Description: "d", JobRoleID: a}, "team", "n", "", []string{"job_role /job_role_id " + string(a)}},
		{domain.Agent{Name: "n", SkillID: a, JobRoleID: b, IndustryID: c, TeamID: d}, "agent", "n", "", []string{
			"skill /skill_id " + string(a), "job_role /job_role_id " + string(b),
			"industry /industry_id " + string(c), "team /team_id " + string(d),
		}},
		{domain.Agent{Name: "n"}, "agent", "n", "", nil},
		{domain.Industry{Name: "n", Description: "d"}, "industry", "n", "n. d", nil},
		{domain.SigningKey{KeyID: "k"}, "signing_key", "", "", nil},
	} {
		require.Equal(t, row.kind, row.facts.Kind())
		require.Equal(t, row.label, row.facts.Label())
		require.Equal(t, row.text, row.facts.Text())
		var refs []string
		for _, r := range row.facts.Refs() {
			refs = append(refs, string(r.Kind)+" "+r.Field+" "+string(r.ID))
		}
		require.Equal(t, row.refs, refs, row.kind)
	}
	require.Equal(t, []domain.Kind{"skill", "job_role", "team", "agent", "industry"}, domain.Kinds())
}

func TestEntityRefs(t *testing.T) {
	t.Parallel()
	e := aSkill(t)
	e.Governed.ParentID, e.Governed.SupersededBy = newID(t), newID(t)
	refs := e.Refs()
	require.Len(t, refs, 2)
	require.Equal(t, "/parent_id", refs[0].Field)
	require.Equal(t, "L0-04", refs[1].Rule)
	v := domain.UnknownReferenceViolation(refs[0])
	require.Equal(t, "no skill with this id that you may see", v.Message)
}

func TestIdentifiers(t *testing.T) {
	t.Parallel()
	for _, bad := range []domain.ID{"", "x", "01A2069A-2BE8-7E63-A552-96D0E5EB703F", "01a2069a-2be8-4e63-a552-96d0e5eb703f", "01a2069a-2be8-7e63-c552-96d0e5eb703f"} {
		require.False(t, bad.Valid(), bad)
	}
	for slug, ok := range map[string]bool{"acme": true, "a-1": true, "": false, "Acme": false, "a_b": false, strings.Repeat("a", 64): false} {
		require.Equal(t, ok, domain.ValidGovernanceAgent(slug), slug)
	}
	b, err := json.Marshal([]domain.ID{"", "x"})
	require.NoError(t, err)
	require.Equal(t, `[null,"x"]`, string(b))
}

func TestTimesAreSpelledOneWay(t *testing.T) {
	t.Parallel()
	zone := time.FixedZone("east", 3600)
	b, err := json.Marshal([]domain.Time{{}, domain.Time(time.Date(2026, 1, 31, 13, 0, 0, 7000, zone))})
	require.NoError(t, err)
	require.Equal(t, `[null,"2026-01-31T12:00:00.000007Z"]`, string(b))
	var back []domain.Time
	require.NoError(t, json.Unmarshal(b, &back))
	require.True(t, back[0].IsZero())
	for _, bad := range []string{`"2026-01-31T12:00:00Z"`, `"2026-01-31T12:00:00.000007+01:00"`, `"2026-02-30T12:00:00.000000Z"`, `1`} {
		var one domain.Time
		require.Error(t, json.Unmarshal([]byte(bad), &one), bad)
	}
}

func TestAlignmentsAndAuthorities(t *testing.T) {
	t.Parallel()
	require.Equal(t, "aligned", domain.Aligned.String())
	require.Equal(t, "drifted", domain.Drifted.String())
	require.Equal(t, []domain.Authority{"author", "genesis", "architect", "guardian", "governor", "auditor", "operator"}, domain.Authorities())
}

// TestWhoMayChange: what each change is called and whom it needs.
func TestWhoMayChange(t *testing.T) {
	t.Parallel()
	e := aSkill(t)
	for _, row := range []struct {
		change domain.Change
		name   string
		needs  []domain.Authority
	}{
		{domain.Evolve{}, "evolved", []domain.Authority{"author"}},
		{domain.MoveTo{To: domain.UnderReview}, "moved", []domain.Authority{"author"}},
		{domain.MoveTo{To: domain.Active}, "moved", []domain.Authority{"author"}}, // no such move: an author learns so
		{domain.EndKey{}, "retired", []domain.Authority{"operator"}},
		{domain.EndKey{Revoked: true}, "revoked", []domain.Authority{"operator"}},
	} {
		require.Equal(t, row.name, row.change.Name())
		require.Equal(t, row.needs, row.change.Needs(e), row.name)
	}
}

func TestErrors(t *testing.T) {
	t.Parallel()
	cause := errors.New("cause")
	err := &domain.Error{Code: domain.CodeInternal, Detail: "detail", Err: cause}
	require.ErrorIs(t, err, cause)
	require.Equal(t, "internal: detail: cause", err.Error())
	require.Equal(t, "gone: since 7", domain.Refuse(domain.CodeGone, "since %d", 7).Error())
}

func TestConstitutionDocument(t *testing.T) {
	t.Parallel()
	c := domain.Founding()
	require.NotEmpty(t, c.Document())
	c.Document()[0] = 'x'
	require.Equal(t, byte('{'), c.Document()[0], "the document is handed out as a copy")
	require.Equal(t, int64(850_000), c.Policies.DriftStabilityPPM)
	require.Empty(t, c.Policies.AutomaticCertification)
}

func TestAStateThatCannotBeCanonical(t *testing.T) {
	t.Parallel()
	for _, attributes := range []string{`{"n":9007199254740993}`, `{"a":1,"a":2}`, `{`, `"\ud800"`} {
		e := domain.Born(newID(t), "acme", domain.Industry{Name: "i"}, domain.Settable{CustomAttributes: []byte(attributes)})
		_, err := e.State()
		require.Error(t, err, attributes)
	}
}
