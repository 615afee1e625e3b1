package domain

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// Limits of what a caller may write (characters are Unicode code points).
const (
	MaxName             = 200      // characters
	MaxDescription      = 8000     // characters
	MaxNotes            = 8000     // characters
	MaxExternalID       = 200      // characters
	MaxTag              = 100      // characters
	MaxTags             = 64       // per entity
	MaxRequiredSkills   = 200      // per job role
	MaxCustomAttributes = 16 << 10 // bytes of canonical JSON
)

// Rules that hold for every kind; the L1 rules stand beside the kind they judge.
const (
	RuleLimit        = "FORM-LIMIT"       // a field is longer or larger than allowed
	RuleName         = "FORM-NAME"        // a kind without an L1 rule for it needs a name too
	RuleVisibility   = "FORM-VISIBILITY"  // private or public
	RuleAttributes   = "FORM-ATTRIBUTES"  // custom_attributes is an object without nulls
	RuleID           = "FORM-ID"          // an identifier is a lower-case UUIDv7
	RuleTags         = "FORM-TAGS"        // tags are not empty
	RuleParent       = "FORM-PARENT"      // a parent is a living entity of the same kind, no cycles
	RuleSupersession = "L0-04"            // a successor exists and is certified
	RuleIndustryLock = "L1-AGENT-04"      // an agent's industry never changes
	RuleAssignment   = "L1-AGENT-05"      // (skill, role, team) is unique
	RuleUniqueName   = "FORM-UNIQUE-NAME" // per kind and governance agent, among the living
	RuleExternalID   = "FORM-EXTERNAL-ID" // unique per governance agent
	RuleLifecycle    = "FORM-LIFECYCLE"   // the move is in the table
	RuleStatusReason = "FORM-REASON"      // a move that needs a reason has one
	RuleFourEyes     = "FORM-FOUR-EYES"   // nobody certifies what they authored
	RuleOwnership    = "L0-01"            // the owner never changes, the author may
)

// Known is what a rule may ask about other entities. Where it is not Complete,
// references are taken to exist: the write itself checks them in the database,
// in its own transaction.
type Known struct {
	Complete bool
	Entities map[ID]Entity // visible and living
	Members  []Entity      // a team's agents
}

// lacks reports whether a reference is known not to hold.
func (k Known) lacks(r Ref) bool {
	if !k.Complete {
		return false
	}
	e, ok := k.Entities[r.ID]
	return !ok || e.Kind() != r.Kind || !e.Living()
}

// violations collects what rules say.
type violations []Violation

func (v *violations) unless(ok bool, rule, field, message string) {
	if ok {
		return
	}
	*v = append(*v, Broken(rule, field, message))
}

// Broken makes a violation. What to do about it, the constitution in force says
// where the refusal is answered: see Constitution.Advised.
func Broken(rule, field, message string) Violation {
	return Violation{Rule: rule, Field: field, Message: message}
}

func (v *violations) atMost(limit int, s, field string) {
	v.unless(utf8.RuneCountInString(s) <= limit, RuleLimit, field, fmt.Sprintf("longer than %d characters", limit))
}

func (v *violations) limits(name, description string) {
	v.atMost(MaxName, name, "/name")
	v.atMost(MaxDescription, description, "/description")
}

func (v *violations) references(k Known, refs []Ref) {
	for _, r := range refs {
		v.unless(r.ID.Valid(), RuleID, r.Field, "not a lower-case UUIDv7")
		v.unless(!r.ID.Valid() || !k.lacks(r), r.Rule, r.Field, UnknownReference(r.Kind))
	}
}

// UnknownReference is the message for a reference that does not hold: absent
// and hidden read alike.
func UnknownReference(k Kind) string {
	return fmt.Sprintf("no %s with this id that you may see", strings.ReplaceAll(string(k), "_", " "))
}

// UnknownReferenceViolation is what a write answers for a reference that the
// database did not find.
func UnknownReferenceViolation(r Ref) Violation {
	return Broken(r.Rule, r.Field, UnknownReference(r.Kind))
}

func filled(s string) bool { return strings.TrimSpace(s) != "" }

// Validate checks an entity's state against the constitution: every L1 rule of its
// kind, the rules of form, and the document's own checks. A rule that the document
// leaves out is not asked. It does not look at the chain: that is L0.
func (c Constitution) Validate(e Entity, k Known) []Violation {
	v := formed(e, k)
	if len(v) > 0 {
		v = slices.DeleteFunc(v, func(one Violation) bool { return !c.asks(one.Rule, e.Kind()) })
	}
	c.broken(e, &v)
	return c.Advised(v)
}

// formed is what code says of an entity's state.
func formed(e Entity, k Known) violations {
	v := violations(e.Facts.Check(k))
	g := e.Governed
	v.unless(g.Visibility == Private || g.Visibility == Public, RuleVisibility, "/visibility", "visibility is private or public")
	v.atMost(MaxExternalID, g.ExternalID, "/external_id")
	v.atMost(MaxNotes, g.GovernanceNotes, "/governance_notes")
	v.unless(len(g.Tags) <= MaxTags, RuleLimit, "/tags", fmt.Sprintf("more than %d tags", MaxTags))
	for i, tag := range g.Tags {
		field := fmt.Sprintf("/tags/%d", i)
		v.unless(filled(tag), RuleTags, field, "an empty tag")
		v.atMost(MaxTag, tag, field)
	}
	v.unless(len(g.CustomAttributes) <= MaxCustomAttributes, RuleLimit, "/custom_attributes",
		fmt.Sprintf("larger than %d bytes", MaxCustomAttributes))
	if field, ok := attributesFault(g.CustomAttributes); ok {
		v.unless(false, RuleAttributes, field, "custom_attributes is an object and holds no null")
	}
	if g.ParentID != "" {
		parent := Ref{Kind: e.Kind(), ID: g.ParentID, Field: "/parent_id", Rule: RuleParent}
		v.references(k, []Ref{parent})
		v.unless(g.ParentID != e.ID, RuleParent, "/parent_id", "an entity is not its own parent")
	}
	if g.SupersededBy != "" {
		v.unless(g.SupersededBy.Valid(), RuleID, "/superseded_by", "not a lower-case UUIDv7")
		v.unless(g.SupersededBy != e.ID, RuleSupersession, "/superseded_by", "an entity is not its own successor")
	}
	return v
}

// sortedSet returns the values sorted by UTF-8 bytes and without doubles.
func sortedSet[S ~string](values []S) []S {
	if len(values) == 0 {
		return nil
	}
	set := slices.Clone(values)
	slices.Sort(set)
	return slices.Compact(set)
}
