package domain

import (
	"bytes"
	"slices"

	"github.com/go-json-experiment/json"
)

// The names of changes, as records carry them.
const (
	ChangeCreated     = "created"
	ChangeEvolved     = "evolved"
	ChangeEmbedded    = "embedded"
	ChangeMoved       = "moved"
	ChangeCertified   = "certified"
	ChangeRejected    = "rejected"
	ChangeAssigned    = "assigned"
	ChangeDrifted     = "drifted"
	ChangeReaffirmed  = "reaffirmed"
	ChangeDecertified = "decertified"
	ChangeReattested  = "reattested"
	ChangeErased      = "erased"
	ChangeIntroduced  = "introduced"
	ChangeRetired     = "retired"
	ChangeRevoked     = "revoked"
	ChangeProposed    = "proposed"
	ChangeJudged      = "judged"
	ChangeEnacted     = "enacted"
)

// Notes are the changes that only take note of an entity, or take from it: they are
// recorded whatever it breaks. Every other one passed the rules in force, and says so.
func Notes() []string {
	return []string{ChangeEmbedded, ChangeDrifted, ChangeReattested, ChangeErased, ChangeRejected, ChangeDecertified}
}

// Change is one thing that can happen to an entity. Apply is pure: it yields
// the next state or refuses; the lifecycle lives there.
type Change interface {
	Name() string
	Needs(Entity) []Authority // all of them
	Apply(Entity) (Entity, error)
}

// Born makes the first state of an entity: a draft, private unless said
// otherwise, its sets sorted. It does not judge: Validate does.
func Born(id ID, owner string, f Facts, s Settable) Entity {
	e := Entity{ID: id, GovernanceAgentID: owner, Governed: Governed{Status: Draft}}
	return e.with(f, s)
}

// with returns the entity with these facts and settable fields, normalised.
func (e Entity) with(f Facts, s Settable) Entity {
	e.Facts = f
	if set, ok := f.(interface{ sorted() Facts }); ok {
		e.Facts = set.sorted()
	}
	e.Governed.ExternalID = s.ExternalID
	e.Governed.Visibility = s.Visibility
	if e.Governed.Visibility == "" {
		e.Governed.Visibility = Private
	}
	e.Governed.Tags = sortedSet(s.Tags)
	e.Governed.CustomAttributes = absentIfEmpty(s.CustomAttributes)
	e.Governed.GovernanceNotes = s.GovernanceNotes
	e.Governed.ParentID = s.ParentID
	return e
}

// Settable returns the fields that a caller may set, as they stand.
func (e Entity) Settable() Settable {
	g := e.Governed
	return Settable{
		ExternalID: g.ExternalID, Visibility: g.Visibility, Tags: g.Tags, CustomAttributes: g.CustomAttributes,
		GovernanceNotes: g.GovernanceNotes, ParentID: g.ParentID,
	}
}

func (r JobRole) sorted() Facts {
	r.RequiredSkills = sortedSet(r.RequiredSkills)
	return r
}

// Evolve replaces an entity's own fields and what a caller may set. Changing
// the facts of a certified or active entity puts it back under review; changing
// what it means takes its embedding away, until it has one of the new text.
type Evolve struct {
	Facts    Facts
	Settable Settable
}

// Name implements Change.
func (Evolve) Name() string { return ChangeEvolved }

// Needs implements Change: an author.
func (Evolve) Needs(Entity) []Authority { return []Authority{Author} }

// Apply implements Change. An agent's industry never changes (L1-AGENT-04).
func (c Evolve) Apply(e Entity) (Entity, error) {
	if !e.Living() {
		return Entity{}, Refuse(CodeGone, "archived: it can be read in its history, not changed")
	}
	if c.Facts.Kind() != e.Kind() {
		return Entity{}, Refuse(CodeMalformed, "a %s does not become a %s", e.Kind(), c.Facts.Kind())
	}
	next := e.with(c.Facts, c.Settable)
	if before, ok := e.Facts.(Agent); ok && before.IndustryID != next.Facts.(Agent).IndustryID {
		return Entity{}, ruleViolated(RuleIndustryLock, "/industry_id", "an agent keeps its industry for life")
	}
	if before, ok := e.Facts.(Agent); ok && before.TeamID != next.Facts.(Agent).TeamID {
		return Entity{}, ruleViolated(RuleAssignment, "/team_id", "an agent changes its team by assign-team")
	}
	if !sameFacts(e.Facts, next.Facts) && (e.Governed.Status == Certified || e.Governed.Status == Active) {
		next.Governed.Status = UnderReview
		next.Governed.GenesisCertification = nil // of what it no longer is
	}
	if e.Facts.Label() != next.Facts.Label() || e.Facts.Text() != next.Facts.Text() {
		next.Governed.Embedding = nil
	}
	return next, nil
}

// Embed says which vector stands for what an entity means now.
type Embed struct{ Embedding Embedding }

// Name implements Change.
func (Embed) Name() string { return ChangeEmbedded }

// Needs implements Change: nobody may ask for it, the system does it.
func (Embed) Needs(Entity) []Authority { return []Authority{Operator} }

// Apply implements Change. An entity that is archived, or not searched, gets none.
func (c Embed) Apply(e Entity) (Entity, error) {
	switch {
	case !e.Living():
		return Entity{}, Refuse(CodeGone, "archived: it is not searched any more")
	case e.Facts.Text() == "":
		return Entity{}, Refuse(CodeMalformed, "a %s is not searched by meaning", e.Kind())
	}
	next := e
	next.Governed.Embedding = &c.Embedding
	return next, nil
}

// Assign puts an agent into a team, or takes it out of its team (Team empty).
type Assign struct{ Team ID }

// Name implements Change.
func (Assign) Name() string { return ChangeAssigned }

// Needs implements Change: an author.
func (Assign) Needs(Entity) []Authority { return []Authority{Author} }

// Apply implements Change. Who is assigned keeps its status: what it is fit for
// is decided by certification, not by the team it works in.
func (c Assign) Apply(e Entity) (Entity, error) {
	agent, ok := e.Facts.(Agent)
	switch {
	case !ok:
		return Entity{}, Refuse(CodeMalformed, "a %s is not assigned to a team", e.Kind())
	case !e.Living():
		return Entity{}, Refuse(CodeGone, "archived: it can be read in its history, not changed")
	case agent.TeamID == c.Team:
		return Entity{}, Refuse(CodeIllegalMove, "the agent is in this team already")
	}
	agent.TeamID = c.Team
	next := e
	next.Facts = agent
	return next, nil
}

// RequireReview marks what rests on an entity that was withdrawn, and what was
// tampered with: its status stays. The governor decides, about what rests on others
// also who certifies it again.
type RequireReview struct {
	Because   string
	Tampering Time // when tampering was found; zero: none was
}

// Name implements Change.
func (RequireReview) Name() string { return ChangeDrifted }

// Needs implements Change: a guardian; the system marks by itself.
func (RequireReview) Needs(Entity) []Authority { return []Authority{Guardian} }

// Apply implements Change.
func (c RequireReview) Apply(e Entity) (Entity, error) {
	next, d := e, e.detector()
	if e.Governed.AmendmentAlignment != Drifted { // that is the governor's already
		next.Governed.AmendmentAlignment = RequiresReview
	}
	next.Governed.StatusReason = e.because(c.Because)
	if d.Constitution != "" && d.PriorAlignment == Aligned { // it stays to be reviewed without that one
		d.PriorAlignment = RequiresReview
	}
	if !c.Tampering.IsZero() {
		d.TamperingFoundAt = c.Tampering
	}
	if d != e.detector() {
		next.Governed.DriftDetector = &d
	}
	return next, nil
}

// MoveTo changes an entity's status by the lifecycle table. At is when an
// archived entity was deleted.
type MoveTo struct {
	To           Status
	Reason       string
	SupersededBy ID
	At           Time
}

// Name implements Change.
func (MoveTo) Name() string { return ChangeMoved }

// Needs implements Change: what the table says; an unknown move needs an
// author, who then learns that there is no such move.
func (c MoveTo) Needs(e Entity) []Authority {
	if m, ok := FindMove(e, c.To, ChangeMoved); ok {
		return m.Who
	}
	return []Authority{Author}
}

// Apply implements Change.
func (c MoveTo) Apply(e Entity) (Entity, error) {
	m, ok := FindMove(e, c.To, ChangeMoved)
	if !ok {
		return Entity{}, Refuse(CodeIllegalMove, "no move leads from %s to %s", e.Governed.Status, c.To)
	}
	if m.Reason && !filled(c.Reason) {
		return Entity{}, ruleViolated(RuleStatusReason, "/reason", "this move needs a reason")
	}
	if c.SupersededBy != "" && c.To != Deprecated {
		return Entity{}, ruleViolated(RuleSupersession, "/superseded_by", "only what is deprecated names a successor")
	}
	next := e
	next.Governed.Status = c.To
	next.Governed.StatusReason = e.because(c.Reason)
	switch c.To {
	case Archived: // it keeps its successor
		next.Governed.DeletedAt = c.At
	default:
		next.Governed.SupersededBy = c.SupersededBy
	}
	if reactivates(e, c.To) || c.To == e.Governed.Status {
		next.Governed.StatusReason = c.Reason
		next = next.decided()
	}
	return next, nil
}

func ruleViolated(rule, field, message string) *Error {
	return &Error{Code: CodeRuleViolated, Detail: message, Violations: []Violation{Broken(rule, field, message)}}
}

// Breaking reports whether a change can hurt those who rest on the entity, by
// one written rule: a required skill added, category, seniority or industry
// changed, archived.
func Breaking(before, after Entity) bool {
	if before.Living() && !after.Living() {
		return true
	}
	switch b := before.Facts.(type) {
	case Skill:
		return b.Category != after.Facts.(Skill).Category
	case JobRole:
		a := after.Facts.(JobRole)
		added := slices.ContainsFunc(a.RequiredSkills, func(id ID) bool { return !slices.Contains(b.RequiredSkills, id) })
		return added || a.SeniorityLevel != b.SeniorityLevel || a.IndustryID != b.IndustryID
	default:
		return false
	}
}

func sameFacts(a, b Facts) bool {
	x, errX := json.Marshal(a)
	y, errY := json.Marshal(b)
	return errX == nil && errY == nil && bytes.Equal(x, y)
}
