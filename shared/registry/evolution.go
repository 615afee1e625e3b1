package registry

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/dlai-sd/plant/shared/auth"
	"github.com/dlai-sd/plant/shared/domain"
	"github.com/dlai-sd/plant/shared/domain/canonical"
	"github.com/dlai-sd/plant/shared/ledger"
	"github.com/dlai-sd/plant/shared/store"
)

// Evolution changes the constitution: it is proposed, judged at three gates,
// enacted, and rolled back. Who proposes, who judges and who enacts are five
// persons, each with an authority over the whole platform.
type Evolution struct {
	service *Service // as plant_certifier, signing with the amendment key
	readers *Service
	gates   GateChecks
}

// GateChecks find out anew what the gates' judges say.
type GateChecks struct {
	// Replay counts the living entities that would break a rule of a constitution.
	Replay func(ctx context.Context, law domain.Constitution) (broken int64, err error)
	// Measure compares a write's own work under a constitution with that under the one
	// in force; nil: MeasureOverhead on the newest entities.
	Measure func(ctx context.Context, inForce, proposed domain.Constitution) (Overhead, error)
}

// NewEvolution makes an Evolution. The keys are those of the amendment key.
func NewEvolution(c Config, gates GateChecks) (*Evolution, error) {
	service, err := New(c)
	if err != nil {
		return nil, err
	}
	c.DB = c.DB.AsReader()
	readers, err := New(c)
	e := &Evolution{service: service, readers: readers, gates: gates}
	if gates.Measure == nil {
		e.gates.Measure = e.measure
	}
	return e, err
}

// Proposer is the authority that proposes, over the whole platform. None of the
// gates is its own.
const Proposer = domain.Operator

// Propose proposes a document for what is in force now. A document that this build
// cannot judge by is refused, with what is wrong.
func (v *Evolution) Propose(ctx context.Context, req Request, document []byte, purpose string) (Written, error) {
	if err := overPlatform(req.Who, Proposer); err != nil {
		return Written{}, v.noted(ctx, req, "", "propose", err)
	}
	w, err := v.write(ctx, req, Proposer, func(req Request) (plan, *store.LawStep, error) {
		law, err := ReadProposed(document)
		if err != nil {
			return plan{}, nil, err
		}
		id, err := domain.NewID()
		if err != nil {
			return plan{}, nil, err
		}
		e := domain.NewProposal(id, req.Who.GovernanceAgent, domain.Proposal{
			DocumentSHA256: law.Hash(), Replaces: req.law.Hash(), Purpose: purpose, ProposedBy: req.Who.Author(),
		})
		if broken := e.Facts.Check(domain.Known{}); len(broken) > 0 {
			return plan{}, nil, &domain.Error{Code: domain.CodeRuleViolated, Detail: "the proposal cannot be recorded", Violations: broken}
		}
		return plan{after: e, change: domain.ChangeProposed}, &store.LawStep{Proposes: &law}, nil
	})
	return w, v.noted(ctx, req, "", "propose", err)
}

// ReadProposed reads a document that somebody brings; domain.CodeRuleViolated, with what
// is wrong in our words, where this build cannot judge by it.
func ReadProposed(document []byte) (domain.Constitution, error) {
	law, err := domain.ReadConstitution(document)
	if err == nil {
		return law, nil
	}
	return law, &domain.Error{Code: domain.CodeRuleViolated, Detail: "this build cannot judge by the document", Err: err, Violations: []domain.Violation{{
		Rule: domain.RuleProposal, Field: "/document", Message: wrongWith(err),
		Remediation: "Correct the document, or deploy a build that can judge by it first.",
	}}}
}

// wrongWith says what is wrong with a document, in our words.
func wrongWith(err error) string {
	var semantic *json.SemanticError
	if errors.As(err, &semantic) {
		return fmt.Sprintf("%q is unknown there, or of another type", string(semantic.JSONPointer))
	}
	var form *canonical.Error
	if errors.As(err, &form) {
		return "it has no canonical JSON form: " + form.Detail
	}
	return err.Error()
}

// Judgement is what a judge says at one of the three gates. Of the evidence, an
// approval names that of its gate.
type Judgement struct {
	Gate    domain.Gate
	Verdict string // domain.Approves or domain.Rejects
	Reasons []string
	Broken  *int64   // at genesis: entities that would break a rule
	LeftOut []string // at guardian: rules of the one in force that are not in it; nil: not named
}

// Judge takes a decision at a gate. What an approval names must be so now.
func (v *Evolution) Judge(ctx context.Context, req Request, id domain.ID, j Judgement) (Written, error) {
	return v.decide(ctx, req, id, domain.GateDecision{Gate: j.Gate, Verdict: j.Verdict, Reasons: j.Reasons},
		func(ctx context.Context, law domain.Constitution, p domain.Proposal, d *domain.GateDecision) error {
			if j.Verdict != domain.Approves {
				return nil
			}
			proposed, err := v.standing(ctx, law, p)
			if err != nil {
				return err
			}
			d.Evidence, err = v.evidence(ctx, j, law, proposed)
			return err
		})
}

// Enact puts a proposal in force that all gates approved, if what it replaces still
// is.
func (v *Evolution) Enact(ctx context.Context, req Request, id domain.ID, reasons []string) (Written, error) {
	return v.decide(ctx, req, id, domain.GateDecision{Gate: domain.GateGovernor, Verdict: domain.Enacts, Reasons: reasons},
		func(ctx context.Context, law domain.Constitution, p domain.Proposal, _ *domain.GateDecision) error {
			_, err := v.standing(ctx, law, p)
			return err
		})
}

// Rollback puts in force again what a proposal replaced, if the proposal's is.
func (v *Evolution) Rollback(ctx context.Context, req Request, id domain.ID, reasons []string) (Written, error) {
	return v.decide(ctx, req, id, domain.GateDecision{Gate: domain.GateGovernor, Verdict: domain.RollsBack, Reasons: reasons},
		func(ctx context.Context, law domain.Constitution, p domain.Proposal, _ *domain.GateDecision) error {
			if p.DocumentSHA256 != law.Hash() {
				return lawReplaced()
			}
			_, err := v.document(ctx, p.Replaces)
			return err
		})
}

// gateCheck is what a decision rests on besides the proposal's own state. It may add
// to the decision.
type gateCheck func(ctx context.Context, law domain.Constitution, p domain.Proposal, d *domain.GateDecision) error

func (v *Evolution) decide(ctx context.Context, req Request, id domain.ID, d domain.GateDecision, check gateCheck) (Written, error) {
	need := d.Gate.Needs()
	if err := overPlatform(req.Who, need); err != nil {
		return Written{}, v.noted(ctx, req, id, d.Verdict, err)
	}
	w, err := v.write(ctx, req, need, func(req Request) (plan, *store.LawStep, error) {
		head, err := v.service.db.Read(ctx, req.Who.GovernanceAgent, id, store.Newest)
		if err == nil && head.Entity.Kind() != domain.KindConstitution {
			err = store.ErrNotFound
		}
		if err != nil {
			return plan{}, nil, err
		}
		d := d
		d.By, d.At = req.Who.Author(), domain.Time(time.Now().UTC().Truncate(time.Microsecond))
		change := domain.Decided{Decision: d}
		if _, err := change.Apply(head.Entity); err != nil { // before it is asked what costs more
			return plan{}, nil, err
		}
		if err := check(ctx, req.law, head.Entity.Facts.(domain.Proposal), &change.Decision); err != nil {
			return plan{}, nil, err
		}
		next, err := change.Apply(head.Entity)
		p := plan{before: &head.Entity, after: next, change: change.Name()}
		if change.Name() != domain.ChangeEnacted {
			return p, nil, err
		}
		sum := req.law.Sum()
		return p, &store.LawStep{Replaces: &sum}, err
	})
	return w, v.noted(ctx, req, id, d.Verdict, err)
}

// write plans and writes under the constitution in force. What somebody else's write
// has overtaken is planned again; a repeat of the request renders what the first
// one wrote.
func (v *Evolution) write(ctx context.Context, req Request, need domain.Authority, planned func(Request) (plan, *store.LawStep, error)) (Written, error) {
	var err error
	for range decideAttempts {
		if w, recalled := v.service.recall(ctx, req); !isUnknownKey(recalled) {
			return w, recalled
		}
		if req.law, err = v.service.law.Refresh(ctx); err != nil {
			return Written{}, err
		}
		var p plan
		var step *store.LawStep
		if p, step, err = planned(req); err != nil {
			return Written{}, refusal(advised(req.law, err), nil)
		}
		w := store.Write{
			Tenant: req.tenant(), Principal: req.principal(), Law: step,
			Authorities: authorities([]domain.Authority{need}, store.Platform),
		}
		if req.ValidateOnly {
			return Written{Snapshot: store.Snapshot{Entity: p.after}, Validated: true}, refusal(v.service.db.Check(ctx, w), nil)
		}
		var amendments []ledger.Amendment
		plans := []plan{p}
		if amendments, err = v.service.append(ctx, req, w, plans, nil); err == nil {
			return v.written(ctx, plans[0], amendments[0])
		}
		if !overtaken(err) && !errors.Is(err, store.ErrKeyUsed) && !errors.Is(err, store.ErrLawReplaced) {
			break
		}
	}
	return Written{}, refusal(err, nil)
}

func (v *Evolution) written(ctx context.Context, p plan, a ledger.Amendment) (Written, error) {
	if p.before == nil {
		return Written{Snapshot: firstSnapshot(p.after, a)}, nil
	}
	s, err := v.service.readBack(ctx, p.after.GovernanceAgentID, a)
	return Written{Snapshot: s}, refusal(err, nil)
}

// standing returns what is proposed, while what it replaces is in force.
func (v *Evolution) standing(ctx context.Context, law domain.Constitution, p domain.Proposal) (domain.Constitution, error) {
	if p.Replaces != law.Hash() {
		return domain.Constitution{}, lawReplaced()
	}
	return v.document(ctx, p.DocumentSHA256)
}

func lawReplaced() *domain.Error {
	return domain.Refuse(domain.CodeIllegalMove, "another constitution is in force than the one that this would replace: propose anew")
}

// document reads a constitution that a proposal names; domain.CodeUnavailable where
// this build cannot judge by it.
func (v *Evolution) document(ctx context.Context, hash string) (domain.Constitution, error) {
	sum, err := ledger.ParseHash(hash)
	if err != nil {
		return domain.Constitution{}, fmt.Errorf("a proposal names a document: %w", err)
	}
	document, err := v.service.db.Document(ctx, sum)
	if err != nil {
		return domain.Constitution{}, err
	}
	c, err := domain.ReadConstitution(document)
	if err != nil {
		return c, &domain.Error{Code: domain.CodeUnavailable, Detail: "this build cannot judge by the constitution", Err: err}
	}
	return c, nil
}

// overPlatform reports whether a principal holds an authority over the whole
// platform: the constitution is nobody's own.
func overPlatform(who auth.Principal, need domain.Authority) error {
	if !who.HoldsOnPlatform(need) {
		return domain.Refuse(domain.CodeForbidden, "this needs the authority %q over the whole platform", need)
	}
	return nil
}

// noted keeps a refused attempt in the audit trail. A dry run is no attempt.
func (v *Evolution) noted(ctx context.Context, req Request, id domain.ID, decision string, err error) error {
	var e *domain.Error
	if errors.As(err, &e) && e.Code != domain.CodeUnavailable && !req.ValidateOnly {
		v.service.NoteRefused(ctx, req, Attempt{ID: id, Kind: domain.KindConstitution, Decision: decision, Err: e})
	}
	return err
}
