package domain

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/go-json-experiment/json"
)

// Statuses of a proposed constitution; they stand beside the lifecycle of the five
// kinds. One that was enacted is Active, one that was rolled back KeyRetired: with
// that everybody may read how it came to be.
const (
	Proposed       Status = "proposed" // waits for its gates
	Approved       Status = "approved" // by all three
	ProposalClosed Status = "rejected" // by one
)

// MaxPurpose is how long a proposal may say what it is for, in characters.
const MaxPurpose = 2000

// Gate is one of the decisions that a proposed constitution needs.
type Gate string

// The gates, each the duty of one authority, and the decision to enact.
const (
	GateGenesis   Gate = "genesis"   // what breaks
	GateArchitect Gate = "architect" // what it costs
	GateGuardian  Gate = "guardian"  // what it leaves out
	GateGovernor  Gate = "governor"  // to enact, and to roll back
)

// Gates lists the three that judge.
func Gates() []Gate { return []Gate{GateGenesis, GateArchitect, GateGuardian} }

// Verdicts of a decision about a proposal.
const (
	Approves  = "approve"
	Rejects   = "reject"
	Enacts    = "enact"
	RollsBack = "rollback"
)

// GateEvidence is that of a gate's approval: what its judge named and the platform found alike.
// Each gate has its own.
type GateEvidence struct {
	Broken      *int64   `json:"broken,omitzero"`       // genesis: entities that would break a rule
	OverheadPPM *int64   `json:"overhead_ppm,omitzero"` // architect: of a write's own work, against the one in force
	Entities    *int64   `json:"entities,omitzero"`     // architect: that it was measured on
	LeftOut     []string `json:"left_out,omitzero"`     // guardian: rules of the one in force that are not in it
}

// GateDecision is one decision about a proposal, as signed into its state.
type GateDecision struct {
	Gate     Gate         `json:"gate"`
	Verdict  string       `json:"verdict"`
	By       string       `json:"by"` // author, "<governance agent>/<principal>"
	At       Time         `json:"at"`
	Reasons  []string     `json:"reasons,omitzero"`
	Evidence GateEvidence `json:"evidence,omitzero"`
}

// Proposal is a constitution on its way into force: an entity of type constitution.
type Proposal struct {
	DocumentSHA256 string         `json:"document_sha256"` // lower-case hex
	Replaces       string         `json:"replaces"`        // that was in force when it was proposed
	Purpose        string         `json:"purpose"`
	ProposedBy     string         `json:"proposed_by"` // author
	Decisions      []GateDecision `json:"decisions"`   // in their order
	InForce        string         `json:"in_force"`    // by its newest enactment; "" before
}

// Kind implements Facts.
func (Proposal) Kind() Kind { return KindConstitution }

// Label implements Facts: a proposal goes by the hash of its document.
func (Proposal) Label() string { return "" }

// Text implements Facts: proposals are not searched.
func (Proposal) Text() string { return "" }

// Refs implements Facts: a proposal names documents, not entities.
func (Proposal) Refs() []Ref { return nil }

// Check implements Facts.
func (p Proposal) Check(Known) []Violation {
	var v violations
	v.unless(filled(p.Purpose), RuleStatusReason, "/purpose", "a proposal says what it is for")
	v.unless(utf8.RuneCountInString(p.Purpose) <= MaxPurpose, RuleLimit, "/purpose", fmt.Sprintf("longer than %d characters", MaxPurpose))
	if p.DocumentSHA256 == p.Replaces {
		v = append(v, Violation{
			Rule: RuleProposal, Field: "/document", Message: "this constitution is in force", Remediation: "Propose one that differs from it.",
		})
	}
	return v
}

// RuleProposal is the rule that a proposal would change something.
const RuleProposal = "LAW-PROPOSAL"

// NewProposal makes the first state of a proposal: public, and open.
func NewProposal(id ID, owner string, p Proposal) Entity {
	e := Entity{ID: id, GovernanceAgentID: owner, Governed: Governed{Status: Proposed}}
	return e.with(p, Settable{Visibility: Public})
}

// Needs returns the authority that a decision at the gate needs, over the whole
// platform.
func (g Gate) Needs() Authority { return Authority(g) }

// had reports whether somebody has had a part in the proposal: as the proposer, or
// by a decision at one of the gates.
func (p Proposal) had(author string) bool {
	return p.ProposedBy == author || slices.ContainsFunc(p.Decisions, func(d GateDecision) bool {
		return d.By == author && d.Gate != GateGovernor
	})
}

// Decided is one decision about a proposal as a change: at a gate, to enact, or to
// roll back. Who proposed, the three who judge and who enacts are five persons.
type Decided struct{ Decision GateDecision }

// Name implements Change.
func (c Decided) Name() string {
	if c.Decision.Gate == GateGovernor {
		return ChangeEnacted
	}
	return ChangeJudged
}

// Needs implements Change: the gate's authority.
func (c Decided) Needs(Entity) []Authority { return []Authority{c.Decision.Gate.Needs()} }

// Apply implements Change.
func (c Decided) Apply(e Entity) (Entity, error) {
	p, ok := e.Facts.(Proposal)
	if !ok {
		return Entity{}, Refuse(CodeMalformed, "a %s is not a proposed constitution", e.Kind())
	}
	d := c.Decision
	from, to, ok := d.move(p)
	switch {
	case !ok:
		return Entity{}, Refuse(CodeMalformed, "there is no %s at the gate %s", d.Verdict, d.Gate)
	case e.Governed.Status != from:
		return Entity{}, Refuse(CodeIllegalMove, "%s", p.stands(e.Governed.Status))
	case slices.ContainsFunc(p.Decisions, func(other GateDecision) bool { return other.Gate == d.Gate && d.Gate != GateGovernor }):
		return Entity{}, Refuse(CodeIllegalMove, "the gate %s has judged; %s", d.Gate, p.stands(e.Governed.Status))
	case p.had(d.By):
		return Entity{}, ruleViolated(RuleFourEyes, "", "who proposed or judged it does not decide again")
	}
	if d.Verdict == Rejects || d.Verdict == RollsBack || len(d.Reasons) > 0 {
		reason, err := joinReasons(d.Reasons)
		if err != nil {
			return Entity{}, err
		}
		e.Governed.StatusReason = reason
	}
	e.Governed.Status = to
	switch d.Verdict {
	case Enacts:
		p.InForce = p.DocumentSHA256
	case RollsBack:
		p.InForce = p.Replaces
	}
	p.Decisions = append(slices.Clone(p.Decisions), d)
	e.Facts = p
	return e, nil
}

// Waits lists the gates that have not judged the proposal, in their order.
func (p Proposal) Waits() []Gate {
	return slices.DeleteFunc(Gates(), func(g Gate) bool {
		return slices.ContainsFunc(p.Decisions, func(d GateDecision) bool { return d.Gate == g })
	})
}

// stands says what became of a proposal so far, and what is next.
func (p Proposal) stands(s Status) string {
	switch s {
	case Proposed:
		names := make([]string, 0, len(Gates()))
		for _, g := range p.Waits() {
			names = append(names, string(g))
		}
		return "the proposal waits for the judgement of: " + strings.Join(names, ", ")
	case Approved:
		return "every gate has approved the proposal: a governor may enact it"
	case Active:
		return "the proposal was enacted; a governor may roll it back"
	case KeyRetired:
		return "the proposal was rolled back: what it replaced was put in force again, and it is proposed anew or not at all"
	default:
		return fmt.Sprintf("the proposal is %s", s)
	}
}

// move is what a decision makes of the proposal's status.
func (d GateDecision) move(p Proposal) (from, to Status, ok bool) {
	judges := slices.Contains(Gates(), d.Gate)
	switch {
	case judges && d.Verdict == Approves && len(p.Decisions) == len(Gates())-1:
		return Proposed, Approved, true
	case judges && d.Verdict == Approves:
		return Proposed, Proposed, true
	case judges && d.Verdict == Rejects:
		return Proposed, ProposalClosed, true
	case d.Gate == GateGovernor && d.Verdict == Enacts:
		return Approved, Active, true
	case d.Gate == GateGovernor && d.Verdict == RollsBack:
		return Active, KeyRetired, true
	}
	return "", "", false
}

// Differences of a constitution from another, by the ids of their rules.
type Differences struct {
	LeftOut []string `json:"left_out"` // in the other alone
	Added   []string `json:"added"`
	Changed []string `json:"changed"` // bind others, or say or decide something else
}

// Against returns how the constitution differs from another, each list sorted.
func (c Constitution) Against(other Constitution) Differences {
	d := Differences{LeftOut: []string{}, Added: []string{}, Changed: []string{}}
	for _, r := range other.Rules {
		if c.rule(r.ID).ID == "" {
			d.LeftOut = append(d.LeftOut, r.ID)
		}
	}
	for _, r := range c.Rules {
		switch before := other.rule(r.ID); {
		case before.ID == "":
			d.Added = append(d.Added, r.ID)
		case !sameRule(r, before):
			d.Changed = append(d.Changed, r.ID)
		}
	}
	slices.Sort(d.LeftOut)
	slices.Sort(d.Added)
	slices.Sort(d.Changed)
	return d
}

func sameRule(a, b Rule) bool {
	x, errX := json.Marshal(a)
	y, errY := json.Marshal(b)
	return errX == nil && errY == nil && bytes.Equal(x, y)
}

// MaxOverheadPPM is what a constitution may cost at most, in millionths of a write's
// own work under the one in force; from there on it is refused.
const MaxOverheadPPM = 100_000

// Rules of the gates: what a judge names must be so.
const (
	RuleGateGenesis   = "LAW-GENESIS"
	RuleGateArchitect = "LAW-ARCHITECT"
	RuleGateGuardian  = "LAW-GUARDIAN"
)

// GateRefused is what a gate answers whose evidence does not hold.
func GateRefused(rule, field, message, remediation string) *Error {
	return &Error{Code: CodeRuleViolated, Detail: "the evidence of this gate does not hold", Violations: []Violation{
		{Rule: rule, Field: field, Message: message, Remediation: remediation},
	}}
}

// SameRules reports whether two lists name the same rules, in whatever order.
func SameRules(a, b []string) bool {
	return slices.Equal(sortedSet(a), sortedSet(b))
}
