// Package compliance judges signed states by the rules of the constitutions that
// their records name: the one place where what was recorded meets the rules again,
// for the platform's own audit, for what a bundle says of it, and for whoever
// verifies the bundle. It is pure.
package compliance

import (
	"fmt"
	"slices"

	"github.com/dlai-sd/plant/shared/domain"
	"github.com/dlai-sd/plant/shared/ledger"
)

// Rules are constitutions that this build can judge by, by their hash.
type Rules map[ledger.Hash]domain.Constitution

// Among returns those of the documents that this build can judge by.
func Among(documents [][]byte) Rules {
	rules := Rules{}
	for _, d := range documents {
		if c, err := domain.ReadConstitution(d); err == nil {
			rules[ledger.HashOf(d)] = c
		}
	}
	return rules
}

// Fault is one rule that a state breaks.
type Fault struct {
	Rule  string
	Where string // a JSON Pointer into the state, or in words; "" for the whole of it
}

// Judgement is what the rules of a record's constitution say of the state after it.
type Judgement struct {
	Faults []Fault // in the order in which they were found
	Living bool    // whether the entity was not archived

	kind domain.Kind
	law  domain.Constitution
}

// Judge judges the state that an amendment commits to by what it says itself:
// the rules of form and of its kind, and of who owns and authors it (L0-01). What
// it names is not looked at; neither is the chain, which the ledger judges.
//
// ok is false where there is nothing to judge: the opening is not there or not the
// one committed to, it is a signing key's, or this build has not the constitution.
// An error is a state that is none of its kind.
func (r Rules) Judge(a ledger.Amendment) (j Judgement, ok bool, err error) {
	rec := a.Record
	law, known := r[rec.Constitution]
	if !known || a.Opening == nil || a.Opening.Hash() != rec.StateHash || rec.EntityType == string(domain.KindSigningKey) {
		return j, false, nil
	}
	j.kind, j.law = domain.Kind(rec.EntityType), law
	entity, err := domain.ReadState(j.kind, domain.ID(rec.EntityID), rec.GovernanceAgentID, a.Opening.State)
	if err != nil {
		return j, false, fmt.Errorf("judge: %w", err)
	}
	j.Living = entity.Living()
	for _, v := range law.Validate(entity, domain.Known{}) {
		j.Faults = append(j.Faults, Fault{v.Rule, v.Field})
	}
	report := law.L0(domain.Evidence{Entity: entity, Links: []domain.Link{{
		Seq: rec.Seq, GovernanceAgentID: rec.GovernanceAgentID, Author: rec.Author, Change: rec.Change, Hash: a.Hash, Recomputes: true,
	}}})
	for _, o := range report.Outcomes {
		if o.Rule == domain.RuleOwnership && !o.Passed {
			j.Faults = append(j.Faults, Fault{o.Rule, o.Message})
		}
	}
	return j, true, nil
}

// Result is a judgement as it is exported (L0-05): of one version of an entity,
// the rules that it keeps and those that it breaks, both sorted. A rule that needs
// more than the state to be kept, as that what it names exists, is among the broken
// if the state alone breaks it, and else in neither list.
type Result struct {
	Constitution ledger.Hash `json:"constitution"`
	EntityID     string      `json:"entity_id"`
	Failed       []string    `json:"failed"`
	Passed       []string    `json:"passed"`
	Seq          int64       `json:"seq"`
}

// decided are the rules that a state and its record keep or break by themselves.
func decided() []string {
	return []string{
		domain.RuleOwnership, "L1-SKILL-01", "L1-SKILL-02", "L1-SKILL-03", "L1-JOBROLE-02", "L1-JOBROLE-03", "L1-INDUSTRY-01",
		domain.RuleLimit, domain.RuleName, domain.RuleVisibility, domain.RuleAttributes, domain.RuleID, domain.RuleTags,
	}
}

// Result tells a judgement of an amendment.
func (j Judgement) Result(r ledger.Record) Result {
	out := Result{Constitution: r.Constitution, EntityID: r.EntityID, Failed: []string{}, Passed: []string{}, Seq: r.Seq}
	for _, f := range j.Faults {
		out.Failed = append(out.Failed, f.Rule)
	}
	for _, rule := range j.law.Rules {
		binds := slices.Contains(rule.Kinds, "*") || slices.Contains(rule.Kinds, string(j.kind))
		if binds && (rule.Check != nil || slices.Contains(decided(), rule.ID)) && !slices.Contains(out.Failed, rule.ID) {
			out.Passed = append(out.Passed, rule.ID)
		}
	}
	slices.Sort(out.Failed)
	slices.Sort(out.Passed)
	out.Failed, out.Passed = slices.Compact(out.Failed), slices.Compact(out.Passed)
	return out
}
