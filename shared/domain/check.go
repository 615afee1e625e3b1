package domain

import (
	"cmp"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"unicode/utf8"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// Limits of a check.
const (
	maxCheckValues  = 200 // of one_of
	maxCheckPattern = 500 // bytes
	maxCheckField   = 200 // bytes
)

// Check decides a rule by a field of the entity's state. All of what it names must
// hold. An absent field is an empty one: it has no characters and no items, and is
// none of its values only if it must be there. Of a list of texts, what is said of
// a text holds for each.
type Check struct {
	Field     string   `json:"field"`      // JSON Pointer into the state
	Present   bool     `json:"present"`    // it is there, and not blank
	OneOf     []string `json:"one_of"`     // a text is one of these
	MinLength *int     `json:"min_length"` // characters of a text
	MaxLength *int     `json:"max_length"`
	MinItems  *int     `json:"min_items"` // of a list
	MaxItems  *int     `json:"max_items"`
	Pattern   string   `json:"pattern"` // RE2, matches anywhere in a text
}

// compiled is a check made ready.
type compiled struct {
	rule    Rule
	path    []string // the field's tokens
	pattern *regexp.Regexp
}

// compile makes the document's checks ready, and refuses what does not hold
// together.
func (c *Constitution) compile() error {
	c.byID = make(map[string]int, len(c.Rules))
	for i, r := range c.Rules {
		if _, twice := c.byID[r.ID]; twice || r.ID == "" {
			return fmt.Errorf("rule %d: its id %q is empty or there twice", i, r.ID)
		}
		c.byID[r.ID] = i
		if r.Check == nil {
			continue
		}
		ready, err := r.compile()
		if err != nil {
			return fmt.Errorf("rule %q: check: %w", r.ID, err)
		}
		c.checks = append(c.checks, ready)
	}
	return nil
}

func (r Rule) compile() (compiled, error) {
	k, ready := *r.Check, compiled{rule: r}
	if len(k.Field) > maxCheckField || len(k.Field) < 2 || !jsontext.Pointer(k.Field).IsValid() {
		return ready, errors.New("field is not a JSON Pointer")
	}
	for token := range jsontext.Pointer(k.Field).Tokens() {
		ready.path = append(ready.path, token)
	}
	for _, kind := range Kinds() {
		if r.binds(kind) && !settable(kind, ready.path) {
			return ready, fmt.Errorf("nobody sets %s of a %s", k.Field, kind)
		}
	}
	if !k.Present && len(k.OneOf) == 0 && k.Pattern == "" && cmp.Or(k.MinLength, k.MaxLength, k.MinItems, k.MaxItems) == nil {
		return ready, errors.New("it says nothing")
	}
	if len(k.OneOf) > maxCheckValues || slices.Contains(k.OneOf, "") {
		return ready, fmt.Errorf("one_of has more than %d values, or an empty one", maxCheckValues)
	}
	for _, n := range []*int{k.MinLength, k.MaxLength, k.MinItems, k.MaxItems} {
		if n != nil && (*n < 0 || *n > MaxCustomAttributes) {
			return ready, fmt.Errorf("a number is not between 0 and %d", MaxCustomAttributes)
		}
	}
	if len(k.Pattern) > maxCheckPattern {
		return ready, fmt.Errorf("pattern is longer than %d bytes", maxCheckPattern)
	}
	if k.Pattern != "" {
		var err error
		if ready.pattern, err = regexp.Compile(k.Pattern); err != nil {
			return ready, errors.New("pattern is not a regular expression of RE2")
		}
	}
	return ready, nil
}

// settable reports whether a path leads to what an author sets of a kind: a rule
// about anything else could be met by nobody.
func settable(k Kind, path []string) bool {
	if path[0] == "custom_attributes" {
		return len(path) > 1
	}
	return len(path) == 1 && (slices.Contains(textFields(k), path[0]) || slices.Contains(listFields(k), path[0]))
}

func textFields(k Kind) []string {
	fields := []string{"name", "external_id", "visibility", "governance_notes", "parent_id"}
	return append(fields, map[Kind][]string{
		KindSkill: {"description", "category"}, KindJobRole: {"description", "seniority_level", "industry_id"},
		KindTeam: {"description", "job_role_id"}, KindAgent: {"skill_id", "job_role_id", "industry_id", "team_id"},
		KindIndustry: {"description"},
	}[k]...)
}

func listFields(k Kind) []string {
	if k == KindJobRole {
		return []string{"tags", "required_skills"}
	}
	return []string{"tags"}
}

// field is what a check looks at: texts, and whether they are the items of a list.
// Other is a value that is neither.
type field struct {
	texts []string
	list  bool
	other bool
}

// broken adds what the document's own checks say of an entity.
func (c Constitution) broken(e Entity, v *violations) {
	for _, one := range c.checks {
		if slices.Contains(Kinds(), e.Kind()) && one.rule.binds(e.Kind()) {
			one.judge(e, v)
		}
	}
}

func (c compiled) judge(e Entity, v *violations) {
	f, k := fieldOf(e, c.path), c.rule.Check
	say := func(ok bool, at, message string, limit ...int) {
		if !ok {
			for _, n := range limit {
				message = fmt.Sprintf(message, n)
			}
			v.unless(false, c.rule.ID, at, message)
		}
	}
	blank := !f.other && !slices.ContainsFunc(f.texts, filled)
	say(!k.Present || !blank, k.Field, "it is not there")
	if k.MinItems != nil || k.MaxItems != nil {
		say(f.list || len(f.texts) == 0 && !f.other, k.Field, "it is not a list of texts")
		say(k.MinItems == nil || len(f.texts) >= *k.MinItems, k.Field, "fewer than %d items", deref(k.MinItems))
		say(k.MaxItems == nil || len(f.texts) <= *k.MaxItems, k.Field, "more than %d items", deref(k.MaxItems))
	}
	if len(k.OneOf) == 0 && c.pattern == nil && k.MinLength == nil && k.MaxLength == nil {
		return
	}
	say(!f.other, k.Field, "it is not a text")
	if len(f.texts) == 0 && !f.list && !f.other {
		say(k.MinLength == nil || *k.MinLength == 0, k.Field, "shorter than %d characters", deref(k.MinLength))
	}
	for i, s := range f.texts {
		at := k.Field
		if f.list {
			at += "/" + strconv.Itoa(i)
		}
		n := utf8.RuneCountInString(s)
		say(len(k.OneOf) == 0 || slices.Contains(k.OneOf, s), at, "it is none of the values that are allowed")
		say(c.pattern == nil || c.pattern.MatchString(s), at, "it is not of the form that is asked for")
		say(k.MinLength == nil || n >= *k.MinLength, at, "shorter than %d characters", deref(k.MinLength))
		say(k.MaxLength == nil || n <= *k.MaxLength, at, "longer than %d characters", deref(k.MaxLength))
	}
}

func deref(n *int) int {
	if n == nil {
		return 0
	}
	return *n
}

// fieldOf finds a field without making JSON of the whole entity: this is asked at
// every write.
func fieldOf(e Entity, path []string) field {
	g := e.Governed
	switch path[0] {
	case "custom_attributes":
		return attribute(g.CustomAttributes, path[1:])
	case "tags":
		return field{texts: g.Tags, list: true}
	case "name":
		return text(e.Facts.Label())
	case "external_id":
		return text(g.ExternalID)
	case "visibility":
		return text(string(g.Visibility))
	case "governance_notes":
		return text(g.GovernanceNotes)
	case "parent_id":
		return text(string(g.ParentID))
	}
	switch f := e.Facts.(type) {
	case Skill:
		return text(among(path[0], "description", f.Description, "category", f.Category))
	case JobRole:
		if path[0] == "required_skills" {
			ids := make([]string, len(f.RequiredSkills))
			for i, id := range f.RequiredSkills {
				ids[i] = string(id)
			}
			return field{texts: ids, list: true}
		}
		return text(among(path[0], "description", f.Description, "seniority_level", f.SeniorityLevel, "industry_id", string(f.IndustryID)))
	case Team:
		return text(among(path[0], "description", f.Description, "job_role_id", string(f.JobRoleID)))
	case Agent:
		return text(among(path[0],
			"skill_id", string(f.SkillID), "job_role_id", string(f.JobRoleID), "industry_id", string(f.IndustryID), "team_id", string(f.TeamID)))
	case Industry:
		return text(among(path[0], "description", f.Description))
	}
	return field{}
}

// among picks the value behind a name; "" if none is of that name.
func among(name string, pairs ...string) string {
	for i := 0; i+1 < len(pairs); i += 2 {
		if pairs[i] == name {
			return pairs[i+1]
		}
	}
	return ""
}

func text(s string) field {
	if s == "" {
		return field{}
	}
	return field{texts: []string{s}}
}

// attribute finds a value in custom_attributes.
func attribute(object jsontext.Value, path []string) field {
	value := object
	for _, name := range path {
		var members map[string]jsontext.Value
		if json.Unmarshal(value, &members) != nil {
			return field{}
		}
		var ok bool
		if value, ok = members[name]; !ok {
			return field{}
		}
	}
	var one string
	if json.Unmarshal(value, &one) == nil {
		return text(one)
	}
	var many []string
	if json.Unmarshal(value, &many) == nil {
		return field{texts: many, list: true}
	}
	return field{other: true}
}
