package domain

import (
	"fmt"
	"strings"
)

// Link is what the L0 rules need to know of one amendment.
type Link struct {
	Seq               int64
	GovernanceAgentID string
	Author            string // "<governance agent>/<principal>" or "system/<function>"
	Change            string
	Hash              [32]byte
	PrevHash          [32]byte
	Recomputes        bool // the hash is the SHA-256 of the record that is stored
}

// Evidence is what L0 is judged on: the entity as it stands and links of its
// chain, oldest first. A write judges the head (the new link and, if there is
// one, its predecessor); certification and audit judge the whole chain and say
// so with Complete.
type Evidence struct {
	Entity    Entity
	Links     []Link
	Complete  bool
	Successor *Entity // what superseded_by names, if it is set
}

// Outcome is the result of one rule.
type Outcome struct {
	Rule        string `json:"rule"`
	Passed      bool   `json:"passed"`
	Message     string `json:"message,omitempty"`
	Remediation string `json:"remediation,omitempty"`
}

// Report is a compliance result that can be exported (L0-05): rule ids,
// outcomes and the hash of the rule set they were judged by.
type Report struct {
	Constitution string    `json:"constitution"`
	Outcomes     []Outcome `json:"outcomes"`
}

// Passed reports whether every rule passed.
func (r Report) Passed() bool {
	for _, o := range r.Outcomes {
		if !o.Passed {
			return false
		}
	}
	return len(r.Outcomes) > 0
}

// L0 judges the five foundational rules against the record itself, with what the
// constitution advises about those that are broken.
func (c Constitution) L0(ev Evidence) Report {
	r := L0(ev, c.Hash())
	for i, o := range r.Outcomes {
		if !o.Passed {
			r.Outcomes[i].Remediation = c.rule(o.Rule).Remediation
		}
	}
	return r
}

// L0 judges the five foundational rules, which are in every constitution: the hash
// says by which one.
func L0(ev Evidence, constitution string) Report {
	r := Report{Constitution: constitution}
	for _, check := range []struct {
		rule  string
		fault func(Evidence) string
	}{
		{"L0-01", ownershipFault},
		{"L0-02", completenessFault},
		{"L0-03", immutabilityFault},
		{"L0-04", supersessionFault},
	} {
		o := Outcome{Rule: check.rule, Message: check.fault(ev)}
		o.Passed = o.Message == ""
		r.Outcomes = append(r.Outcomes, o)
	}
	return r.exportable()
}

// ownershipFault: one owner for life; the author belongs to it, is the system,
// or made a change that a platform authority may make.
func ownershipFault(ev Evidence) string {
	for _, l := range ev.Links {
		if l.GovernanceAgentID != ev.Entity.GovernanceAgentID {
			return fmt.Sprintf("amendment %d names another owner", l.Seq)
		}
		agent, who, ok := strings.Cut(l.Author, "/")
		if !ok || who == "" {
			return fmt.Sprintf("amendment %d has no author", l.Seq)
		}
		if agent != ev.Entity.GovernanceAgentID && agent != "system" && !platformMay(l.Change) {
			return fmt.Sprintf("amendment %d: %q is not for another governance agent to make", l.Seq, l.Change)
		}
	}
	return ""
}

// platformMay reports whether a principal of another governance agent can make
// this change with a platform-wide authority.
func platformMay(change string) bool {
	switch change {
	case ChangeCreated, ChangeEvolved, ChangeEmbedded, ChangeAssigned, ChangeIntroduced:
		return false
	default:
		return true
	}
}

// completenessFault: the history is gapless and ends at the entity's version.
func completenessFault(ev Evidence) string {
	if len(ev.Links) == 0 {
		return "there is no amendment"
	}
	if first := ev.Links[0].Seq; ev.Complete && first != 1 {
		return fmt.Sprintf("the history begins at %d", first)
	}
	for i := 1; i < len(ev.Links); i++ {
		if ev.Links[i].Seq != ev.Links[i-1].Seq+1 {
			return fmt.Sprintf("after amendment %d comes %d", ev.Links[i-1].Seq, ev.Links[i].Seq)
		}
	}
	if last := ev.Links[len(ev.Links)-1]; last.Seq != ev.Entity.Head.Version || last.Hash != ev.Entity.Head.Hash {
		return fmt.Sprintf("the entity stands at version %d, its history at %d", ev.Entity.Head.Version, last.Seq)
	}
	return ""
}

// immutabilityFault: every stored record still has the hash it was given.
func immutabilityFault(ev Evidence) string {
	if len(ev.Links) == 0 {
		return "there is no amendment"
	}
	for _, l := range ev.Links {
		if !l.Recomputes {
			return fmt.Sprintf("amendment %d was altered", l.Seq)
		}
	}
	return ""
}

// supersessionFault: each link names its predecessor's hash; a deprecated
// entity that was replaced names a certified successor.
func supersessionFault(ev Evidence) string {
	for i, l := range ev.Links {
		if l.Seq == 1 && l.PrevHash != [32]byte{} {
			return "the first amendment names a predecessor"
		}
		if i > 0 && l.PrevHash != ev.Links[i-1].Hash {
			return fmt.Sprintf("amendment %d does not name its predecessor", l.Seq)
		}
	}
	if ev.Entity.Governed.SupersededBy == "" {
		return ""
	}
	if s := ev.Successor; s != nil {
		switch s.Governed.Status {
		case Certified, Active:
			return ""
		}
	}
	return "the successor is not certified"
}

// exportable adds L0-05: the report so far is JSON that names its rules and the
// rule set.
func (r Report) exportable() Report {
	o := Outcome{Rule: "L0-05", Passed: len(r.Constitution) == 64 && len(r.Outcomes) > 0}
	for _, each := range r.Outcomes {
		o.Passed = o.Passed && each.Rule != ""
	}
	if !o.Passed {
		o.Message = "the compliance result cannot be exported"
	}
	r.Outcomes = append(r.Outcomes, o)
	return r
}
