package domain_test

import (
	"strings"
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/stretchr/testify/require"

	"github.com/dlai-sd/plant/shared/domain"
)

// amended is the founding document with a change to its text, read again.
func amended(t *testing.T, change func(map[string]any)) (domain.Constitution, error) {
	t.Helper()
	var document map[string]any
	require.NoError(t, json.Unmarshal(domain.Founding().Document(), &document))
	change(document)
	b, err := json.Marshal(document)
	require.NoError(t, err)
	return domain.ReadConstitution(b)
}

func withRule(kinds []any, check map[string]any) func(map[string]any) {
	return func(d map[string]any) {
		d["rules"] = append(d["rules"].([]any), map[string]any{
			"id": "L2-TEST-01", "kinds": kinds, "text": "A rule.", "remediation": "Do so.", "check": check,
		})
	}
}

func without(id string) func(map[string]any) {
	return func(d map[string]any) {
		var kept []any
		for _, r := range d["rules"].([]any) {
			if r.(map[string]any)["id"] != id {
				kept = append(kept, r)
			}
		}
		d["rules"] = kept
	}
}

// TestWhatWeWroteCanBeReadAgain: every document that was ever shipped is one that
// could be proposed.
func TestWhatWeWroteCanBeReadAgain(t *testing.T) {
	t.Parallel()
	for _, c := range domain.Constitutions() {
		again, err := domain.ReadConstitution(c.Document())
		require.NoError(t, err)
		require.Equal(t, c.Hash(), again.Hash())
	}
}

func TestARuleAsData(t *testing.T) {
	t.Parallel()
	skill := domain.Skill{Name: "Welding", Description: "Joins metal.", Category: "technical"}
	for _, c := range []struct {
		check   map[string]any
		set     domain.Settable
		facts   domain.Facts
		field   string // "": it holds
		message string
	}{
		{map[string]any{"field": "/governance_notes", "present": true}, domain.Settable{GovernanceNotes: "x"}, skill, "", ""},
		{map[string]any{"field": "/governance_notes", "present": true}, domain.Settable{}, skill, "/governance_notes", "not there"},
		{map[string]any{"field": "/governance_notes", "present": true}, domain.Settable{GovernanceNotes: " "}, skill, "/governance_notes", "not there"},
		{map[string]any{"field": "/category", "one_of": []any{"technical"}}, domain.Settable{}, skill, "", ""},
		{map[string]any{"field": "/category", "one_of": []any{"soft_skill"}}, domain.Settable{}, skill, "/category", "none of the values"},
		{map[string]any{"field": "/governance_notes", "one_of": []any{"a"}}, domain.Settable{}, skill, "", ""},
		{map[string]any{"field": "/name", "max_length": 7}, domain.Settable{}, skill, "", ""},
		{map[string]any{"field": "/name", "max_length": 6}, domain.Settable{}, skill, "/name", "longer than 6"},
		{map[string]any{"field": "/description", "min_length": 12}, domain.Settable{}, skill, "", ""},
		{map[string]any{"field": "/description", "min_length": 13}, domain.Settable{}, skill, "/description", "shorter than 13"},
		{map[string]any{"field": "/governance_notes", "min_length": 1}, domain.Settable{}, skill, "/governance_notes", "shorter than 1"},
		{map[string]any{"field": "/name", "pattern": "^W"}, domain.Settable{}, skill, "", ""},
		{map[string]any{"field": "/name", "pattern": "^X"}, domain.Settable{}, skill, "/name", "not of the form"},
		{map[string]any{"field": "/tags", "min_items": 1}, domain.Settable{Tags: []string{"a"}}, skill, "", ""},
		{map[string]any{"field": "/tags", "min_items": 1}, domain.Settable{}, skill, "/tags", "fewer than 1"},
		{map[string]any{"field": "/tags", "max_items": 1}, domain.Settable{Tags: []string{"a", "b"}}, skill, "/tags", "more than 1"},
		{map[string]any{"field": "/tags", "pattern": "^a"}, domain.Settable{Tags: []string{"ab", "b"}}, skill, "/tags/1", "not of the form"},
		{map[string]any{"field": "/custom_attributes/cost/centre", "present": true}, domain.Settable{CustomAttributes: []byte(`{"cost":{"centre":"7"}}`)}, skill, "", ""},
		{map[string]any{"field": "/custom_attributes/cost/centre", "present": true}, domain.Settable{CustomAttributes: []byte(`{"cost":7}`)}, skill, "/custom_attributes/cost/centre", "not there"},
		{map[string]any{"field": "/custom_attributes/n", "max_length": 3}, domain.Settable{CustomAttributes: []byte(`{"n":7}`)}, skill, "/custom_attributes/n", "not a text"},
		{map[string]any{"field": "/name", "max_length": 1}, domain.Settable{}, domain.Industry{Name: "Ships"}, "", ""}, // of another kind
	} {
		law, err := amended(t, withRule([]any{"skill"}, c.check))
		require.NoError(t, err, c.check)
		e := domain.Born(newID(t), "acme", c.facts, c.set)
		v := law.Validate(e, domain.Known{})
		require.Empty(t, domain.Founding().Validate(e, domain.Known{}), "the founding one has no such rule")
		if c.field == "" {
			require.Empty(t, v, c.check)
			continue
		}
		require.Len(t, v, 1, "%v", c.check)
		require.Equal(t, "L2-TEST-01 "+c.field, v[0].Rule+" "+v[0].Field)
		require.Contains(t, v[0].Message, c.message)
		require.Equal(t, "Do so.", v[0].Remediation)
	}
}

func TestARuleThatIsLeftOutIsNotAsked(t *testing.T) {
	t.Parallel()
	law, err := amended(t, without("FORM-TAGS"))
	require.NoError(t, err)
	e := domain.Born(newID(t), "acme", domain.Industry{Name: "Ships"}, domain.Settable{Tags: []string{" "}})
	require.Equal(t, []string{"FORM-TAGS /tags/0"}, rules(domain.Founding().Validate(e, domain.Known{})))
	require.Empty(t, law.Validate(e, domain.Known{}))
}

func TestWhatThisBuildCannotJudgeBy(t *testing.T) {
	t.Parallel()
	set := func(name string, value any) func(map[string]any) { return func(d map[string]any) { d[name] = value } }
	policy := func(name string, value any) func(map[string]any) {
		return func(d map[string]any) { d["policies"].(map[string]any)[name] = value }
	}
	check := func(name string, value any) func(map[string]any) {
		return withRule([]any{"skill"}, map[string]any{"field": "/name", "present": true, name: value})
	}
	for why, change := range map[string]func(map[string]any){
		"left out":          without("L0-03"),
		"cannot be":         without("L1-AGENT-04"),
		"no name":           set("name", " "),
		"version":           set("version", 0),
		"unknown object":    set("more", 1),
		"says nothing":      withRule([]any{"skill"}, map[string]any{"field": "/name"}),
		"JSON Pointer":      withRule([]any{"skill"}, map[string]any{"field": "name", "present": true}),
		"nobody sets":       withRule([]any{"skill"}, map[string]any{"field": "/status", "present": true}),
		"of a job_role":     withRule([]any{"*"}, map[string]any{"field": "/category", "present": true}),
		"no kind \"robot\"": withRule([]any{"robot"}, map[string]any{"field": "/name", "present": true}),
		"no kind \"sign":    withRule([]any{"signing_key"}, map[string]any{"field": "/name", "present": true}),
		"about no kind":     withRule([]any{}, map[string]any{"field": "/name", "present": true}),
		"unknown operator":  check("greater_than", 1),
		"RE2":               check("pattern", "(?=x)"),
		"longer than 500":   check("pattern", strings.Repeat("x", 501)),
		"between 0 and":     check("max_length", -1),
		"an empty one":      check("one_of", []any{""}),
		"decides no rule": func(d map[string]any) {
			d["rules"] = append(d["rules"].([]any), map[string]any{"id": "L1-LATER-01", "kinds": []any{"*"}, "text": "t", "remediation": "r"})
		},
		"there twice": func(d map[string]any) { d["rules"] = append(d["rules"].([]any), d["rules"].([]any)[0]) },
		"the code's": func(d map[string]any) {
			d["rules"].([]any)[5].(map[string]any)["check"] = map[string]any{"field": "/name", "present": true}
		},
		"cannot be changed":       func(d map[string]any) { d["rules"].([]any)[0].(map[string]any)["kinds"] = []any{"skill"} },
		"automatic_certification": policy("automatic_certification", []any{"robot"}),
		"recertify_after_days":    policy("recertify_after_days", 0),
		"drift_stability_ppm":     policy("drift_stability_ppm", 1000001),
	} {
		_, err := amended(t, change)
		require.ErrorIs(t, err, domain.ErrUninterpretable, why)
		if !strings.HasPrefix(why, "unknown") {
			require.ErrorContains(t, err, why)
		}
	}
	_, err := domain.ReadConstitution([]byte(`{}`))
	require.ErrorIs(t, err, domain.ErrUninterpretable)
}
