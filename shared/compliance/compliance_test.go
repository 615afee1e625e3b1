package compliance_test

import (
	"slices"
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/stretchr/testify/require"

	"github.com/dlai-sd/plant/shared/compliance"
	"github.com/dlai-sd/plant/shared/domain"
	"github.com/dlai-sd/plant/shared/ledger"
)

const (
	id    = "0198c0de-0000-7000-8000-000000000001"
	other = "0198c0de-0000-7000-8000-000000000002"
)

func rules() compliance.Rules {
	return compliance.Among([][]byte{domain.Constitutions()[0].Document()})
}

func amendment(kind, state string) ledger.Amendment {
	o := &ledger.Opening{State: []byte(state)}
	return ledger.Amendment{Opening: o, Record: ledger.Record{
		Author: "acme/p", Change: "created", Constitution: domain.Constitutions()[0].Sum(),
		EntityID: id, EntityType: kind, GovernanceAgentID: "acme", Seq: 3, StateHash: o.Hash(),
	}}
}

// TestResult: of each kind, what its state keeps by itself; what it names is not
// called kept, because nobody looked.
func TestResult(t *testing.T) {
	t.Parallel()
	form := func(more ...string) []string {
		return append([]string{"FORM-ATTRIBUTES", "FORM-ID", "FORM-LIMIT"}, more...)
	}
	for name, c := range map[string]struct {
		kind, state    string
		failed, passed []string
	}{
		"skill":    {"skill", `{"category":"technical","description":"d","name":"n","visibility":"private"}`, []string{}, form("FORM-TAGS", "FORM-VISIBILITY", "L0-01", "L1-SKILL-01", "L1-SKILL-02", "L1-SKILL-03")},
		"industry": {"industry", `{"name":"n","visibility":"public"}`, []string{}, form("FORM-TAGS", "FORM-VISIBILITY", "L0-01", "L1-INDUSTRY-01")},
		"job role": {"job_role", `{"name":"n","required_skills":["` + other + `"],"seniority_level":"mid","visibility":"private"}`, []string{}, form("FORM-TAGS", "FORM-VISIBILITY", "L0-01", "L1-JOBROLE-02", "L1-JOBROLE-03")},
		"team":     {"team", `{"job_role_id":"` + other + `","name":"n","visibility":"private"}`, []string{}, form("FORM-NAME", "FORM-TAGS", "FORM-VISIBILITY", "L0-01")},
		"agent":    {"agent", `{"industry_id":"` + other + `","job_role_id":"` + other + `","name":"n","skill_id":"` + other + `","visibility":"private"}`, []string{}, form("FORM-NAME", "FORM-TAGS", "FORM-VISIBILITY", "L0-01")},

		"a role of nothing": {"job_role", `{"name":"n","seniority_level":"mid","visibility":"private"}`, []string{"L1-JOBROLE-01"}, form("FORM-TAGS", "FORM-VISIBILITY", "L0-01", "L1-JOBROLE-02", "L1-JOBROLE-03")},
		"its own successor": {"industry", `{"name":"n","superseded_by":"` + id + `","visibility":"public"}`, []string{"L0-04"}, form("FORM-TAGS", "FORM-VISIBILITY", "L0-01", "L1-INDUSTRY-01")},
		"two blank tags":    {"industry", `{"name":"n","tags":[" ","  "],"visibility":"public"}`, []string{"FORM-TAGS"}, form("FORM-VISIBILITY", "L0-01", "L1-INDUSTRY-01")},
		"nothing visible":   {"industry", `{}`, []string{"FORM-VISIBILITY", "L1-INDUSTRY-01"}, form("FORM-TAGS", "L0-01")},
		"a parent's bad id": {"industry", `{"name":"n","parent_id":"x","visibility":"public"}`, []string{"FORM-ID"}, []string{"FORM-ATTRIBUTES", "FORM-LIMIT", "FORM-TAGS", "FORM-VISIBILITY", "L0-01", "L1-INDUSTRY-01"}},
	} {
		a := amendment(c.kind, c.state)
		j, ok, err := rules().Judge(a)
		require.NoError(t, err, name)
		require.True(t, ok, name)
		require.Equal(t, compliance.Result{
			Constitution: a.Record.Constitution, EntityID: id, Failed: c.failed, Passed: c.passed, Seq: 3,
		}, j.Result(a.Record), name)
	}
	foreign := amendment("industry", `{"name":"n","visibility":"public"}`)
	foreign.Record.Author = "mallory/p"
	j, _, err := rules().Judge(foreign)
	require.NoError(t, err)
	require.Equal(t, []string{"L0-01"}, j.Result(foreign.Record).Failed)
}

// TestRulesAsData: a rule that the document itself says how to check is kept or broken
// by the state alone, of the kinds that it binds.
func TestRulesAsData(t *testing.T) {
	t.Parallel()
	law := domain.Founding()
	law.Version++
	law.Rules = append(slices.Clone(law.Rules),
		domain.Rule{ID: "L2-NOTED", Kinds: []string{"industry"}, Text: "Noted.", Remediation: "Note it.", Check: &domain.Check{Field: "/governance_notes", Present: true}})
	b, err := json.Marshal(law)
	require.NoError(t, err)
	law, err = domain.ReadConstitution(b)
	require.NoError(t, err)
	judged := func(kind, state string) compliance.Result {
		t.Helper()
		a := amendment(kind, state)
		a.Record.Constitution = law.Sum()
		j, ok, err := compliance.Among([][]byte{law.Document()}).Judge(a)
		require.NoError(t, err)
		require.True(t, ok)
		return j.Result(a.Record)
	}
	kept := judged("industry", `{"governance_notes":"x","name":"n","visibility":"public"}`)
	require.Empty(t, kept.Failed)
	require.Contains(t, kept.Passed, "L2-NOTED")
	broken := judged("industry", `{"name":"n","visibility":"public"}`)
	require.Equal(t, []string{"L2-NOTED"}, broken.Failed)
	require.NotContains(t, broken.Passed, "L2-NOTED")
	other := judged("skill", `{"category":"technical","description":"d","name":"n","visibility":"private"}`)
	require.Empty(t, other.Failed)
	require.NotContains(t, other.Passed, "L2-NOTED", "it does not bind a skill")
}

// TestLiving: whoever counts what breaks rules must know what is out of use.
func TestLiving(t *testing.T) {
	t.Parallel()
	for status, living := range map[domain.Status]bool{domain.Draft: true, domain.Deprecated: true, domain.Archived: false} {
		j, ok, err := rules().Judge(amendment("industry", `{"name":"n","status":"`+string(status)+`","visibility":"public"}`))
		require.NoError(t, err)
		require.True(t, ok)
		require.Equal(t, living, j.Living, status)
	}
}

// TestNotJudged: what cannot be judged has no result, and no result is made up.
func TestNotJudged(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*ledger.Amendment){
		"no opening":      func(a *ledger.Amendment) { a.Opening = nil },
		"another opening": func(a *ledger.Amendment) { a.Opening.Salt[0]++ },
		"other rules":     func(a *ledger.Amendment) { a.Record.Constitution[0]++ },
		"a key":           func(a *ledger.Amendment) { a.Record.EntityType = "signing_key" },
	} {
		a := amendment("industry", `{"name":"n","visibility":"public"}`)
		change(&a)
		j, ok, err := rules().Judge(a)
		require.NoError(t, err, name)
		require.False(t, ok, name)
		require.Empty(t, j.Faults, name)
	}
	_, ok, err := rules().Judge(amendment("industry", `{"nobody":"knows"}`))
	require.Error(t, err)
	require.False(t, ok)
	_, ok, err = compliance.Among([][]byte{[]byte(`{}`)}).Judge(amendment("industry", `{"name":"n","visibility":"public"}`))
	require.NoError(t, err)
	require.False(t, ok, "rules that nobody has given")
}
