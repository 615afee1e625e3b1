package domain

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// Limits of what a decision says.
const (
	MaxReasons = 20   // per decision
	MaxReason  = 1000 // characters
)

// Certify calls an entity fit for work. Whether it is, the checklist has said.
type Certify struct{ Certification Certification }

// Name implements Change.
func (Certify) Name() string { return ChangeCertified }

// Needs implements Change.
func (Certify) Needs(Entity) []Authority { return []Authority{Genesis} }

// Apply implements Change. What waits for a review because of something that it
// names has been reviewed by this; what drifted is the governor's.
func (c Certify) Apply(e Entity) (Entity, error) {
	if _, ok := FindMove(e, Certified, ChangeCertified); !ok || e.Governed.AmendmentAlignment == Drifted {
		return Entity{}, Refuse(CodeIllegalMove, "what is %s and %s is not certified", e.Governed.Status, e.Governed.AmendmentAlignment)
	}
	if e.Tampered() {
		return Entity{}, underSuspicion()
	}
	next := e
	next.Governed.Status = Certified
	next.Governed.StatusReason = ""
	next.Governed.AmendmentAlignment = Aligned
	next.Governed.GenesisCertification = &c.Certification
	return next, nil
}

// Renew certifies again what is certified: it keeps its status and gets a new
// certification.
type Renew struct{ Certification Certification }

// Name implements Change.
func (Renew) Name() string { return ChangeReaffirmed }

// Needs implements Change.
func (Renew) Needs(Entity) []Authority { return []Authority{Genesis} }

// Apply implements Change.
func (c Renew) Apply(e Entity) (Entity, error) {
	if s := e.Governed.Status; s != Certified && s != Active {
		return Entity{}, Refuse(CodeIllegalMove, "what is %s has no certification to renew", s)
	}
	if e.Tampered() {
		return Entity{}, underSuspicion()
	}
	next := e
	next.Governed.AmendmentAlignment = Aligned
	next.Governed.GenesisCertification = &c.Certification
	return next, nil
}

func underSuspicion() *Error {
	return Refuse(CodeIllegalMove, "tampering was found: the governor decides first")
}

// Reject sends an entity back to its author. An agent loses its place in its
// team with it, unless KeepsTeam says that the team would be left without any.
type Reject struct {
	Reasons   []string
	KeepsTeam bool
}

// Name implements Change.
func (Reject) Name() string { return ChangeRejected }

// Needs implements Change.
func (Reject) Needs(Entity) []Authority { return []Authority{Genesis} }

// Apply implements Change.
func (c Reject) Apply(e Entity) (Entity, error) {
	if _, ok := FindMove(e, Draft, ChangeRejected); !ok {
		return Entity{}, Refuse(CodeIllegalMove, "what is %s is not rejected", e.Governed.Status)
	}
	reason, err := joinReasons(c.Reasons)
	if err != nil {
		return Entity{}, err
	}
	next := e
	next.Governed.Status = Draft
	next.Governed.StatusReason = e.because(reason)
	next.Governed.GenesisCertification = nil
	if agent, ok := e.Facts.(Agent); ok && !c.KeepsTeam {
		agent.TeamID = ""
		next.Facts = agent
	}
	return next, nil
}

// Decertify withdraws a certification: the entity waits for a decision again.
type Decertify struct{ Reasons []string }

// Name implements Change.
func (Decertify) Name() string { return ChangeDecertified }

// Needs implements Change.
func (Decertify) Needs(Entity) []Authority { return []Authority{Genesis} }

// Apply implements Change.
func (c Decertify) Apply(e Entity) (Entity, error) {
	if _, ok := FindMove(e, UnderReview, ChangeDecertified); !ok {
		return Entity{}, Refuse(CodeIllegalMove, "what is %s has no certification to withdraw", e.Governed.Status)
	}
	reason, err := joinReasons(c.Reasons)
	if err != nil {
		return Entity{}, err
	}
	next := e
	next.Governed.Status = UnderReview
	next.Governed.StatusReason = e.because(reason)
	next.Governed.GenesisCertification = nil
	return next, nil
}

// joinReasons makes one text of a decision's reasons, a line each.
func joinReasons(reasons []string) (string, error) {
	var v violations
	v.unless(len(reasons) > 0, RuleStatusReason, "/reasons", "this decision needs a reason")
	v.unless(len(reasons) <= MaxReasons, RuleLimit, "/reasons", fmt.Sprintf("more than %d reasons", MaxReasons))
	for i, r := range reasons {
		field := fmt.Sprintf("/reasons/%d", i)
		v.unless(filled(r), RuleStatusReason, field, "an empty reason")
		v.unless(utf8.RuneCountInString(r) <= MaxReason, RuleLimit, field, fmt.Sprintf("longer than %d characters", MaxReason))
	}
	if len(v) > 0 {
		return "", &Error{Code: CodeRuleViolated, Detail: "the reasons cannot be recorded", Violations: v}
	}
	return strings.Join(reasons, "\n"), nil
}
