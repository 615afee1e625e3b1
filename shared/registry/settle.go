package registry

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/dlai-sd/plant/shared/domain"
	"github.com/dlai-sd/plant/shared/ledger"
	"github.com/dlai-sd/plant/shared/store"
)

// Settle takes the decision about an entity that waits for one, where the policy
// of the constitution leaves its kind to the system; else it does nothing. What
// passes the checklist is certified. What does not is rejected with the points
// that say no, if its author can mend them; what looks like tampering is left to a
// person. What a person withdrew or sent back is not decided anew. The receipt of
// req stands in the same transaction; a repeat does nothing.
func (c *Certifier) Settle(ctx context.Context, req Request, id domain.ID) error {
	return c.once(ctx, req, func() (bool, error) {
		s := &session{c: c, req: req, list: []Decision{{ID: id, Verdict: VerdictCertify}}, whole: true}
		if err := s.read(ctx); err != nil {
			return false, err
		}
		f := s.files[id]
		if f == nil || !leftToPolicy(s.req.law, f) {
			return false, nil
		}
		d, ok := automatic(id, s.assess(f, false))
		if !ok {
			return false, nil
		}
		s.list[0] = d
		if err := s.take(ctx); err != nil {
			return false, err
		}
		if err := s.outcomes[0].err; err != nil {
			return false, err
		}
		return true, s.write(ctx)
	})
}

// once repeats what somebody else's write has overtaken; what needed nothing is
// marked as handled, and what was handled before is done.
func (c *Certifier) once(ctx context.Context, req Request, f func() (bool, error)) error {
	return once(ctx, c.service.db, req, f)
}

func once(ctx context.Context, db *store.DB, req Request, f func() (bool, error)) error {
	for range decideAttempts {
		written, err := f()
		switch {
		case errors.Is(err, store.ErrHandled):
			return nil
		case overtaken(err):
			continue
		case err != nil:
			return refusal(err, nil)
		case !written && req.Receipt != nil:
			return refusal(db.MarkHandled(ctx, *req.Receipt), nil)
		}
		return nil
	}
	return &domain.Error{Code: domain.CodeUnavailable, Detail: "the entity changes faster than it can be decided about"}
}

// leftToPolicy reports whether the system decides about an entity as it stands.
func leftToPolicy(law domain.Constitution, f *store.File) bool {
	e := f.Entity
	if !slices.Contains(law.Policies.AutomaticCertification, e.Kind()) || e.Governed.Status != domain.UnderReview ||
		e.Governed.AmendmentAlignment == domain.Drifted {
		return false
	}
	for _, s := range slices.Backward(f.Seqs) {
		switch s.Change {
		case domain.ChangeEmbedded, domain.ChangeReattested, domain.ChangeReaffirmed:
		case domain.ChangeMoved, domain.ChangeEvolved, domain.ChangeAssigned:
			return true
		default:
			return false
		}
	}
	return false
}

// automatic is the decision that an assessment leads to, if it is the system's to
// take.
func automatic(id domain.ID, a domain.Assessment) (Decision, bool) {
	if a.Holds() {
		return Decision{ID: id, Verdict: VerdictCertify}, true
	}
	mendable := []string{"ID-06", "ID-07", "ID-08", "LIFE-08", "CON-06", "CON-07"}
	var reasons []string
	for _, v := range a.Violations() {
		if !strings.HasPrefix(v.Rule, "DEP-") && !slices.Contains(mendable, v.Rule) {
			return Decision{}, false
		}
		reason := []rune(v.Rule + ": " + v.Message)
		reasons = append(reasons, string(reason[:min(len(reason), domain.MaxReason)]))
	}
	return Decision{ID: id, Verdict: VerdictReject, Reasons: reasons}, true
}

// Spread takes the certification of everything that rests on an entity that has
// lost its own: what the withdrawal itself did not reach, and what was certified
// at the same moment. It goes in transactions of as many as one signature covers;
// cut off anywhere, a repeat does the rest.
func (c *Certifier) Spread(ctx context.Context, req Request, id domain.ID) error {
	for {
		more := false
		err := c.once(ctx, req, func() (written bool, err error) {
			more = false
			heads, err := c.service.db.Heads(ctx, "", []domain.ID{id})
			if err != nil {
				return false, err
			}
			ground, ok := heads[id]
			if !ok || ground.Governed.Status == domain.Certified || ground.Governed.Status == domain.Active {
				return false, nil
			}
			resting, err := c.service.db.Resting(ctx, []domain.ID{id}, ledger.MaxBatch+1)
			if err != nil || len(resting) == 0 {
				return false, err
			}
			more = len(resting) > ledger.MaxBatch
			if resting, err = c.service.signable(ctx, "", resting[:min(len(resting), ledger.MaxBatch)]); err != nil || len(resting) == 0 {
				more = false
				return false, err
			}
			return true, c.withdraw(ctx, req, ground, resting, more)
		})
		if err != nil || !more {
			return err
		}
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("withdraw what rests on %s: %w", id, err)
		}
	}
}

// withdraw writes one transaction of Spread; only the last one has the receipt.
func (c *Certifier) withdraw(ctx context.Context, req Request, ground domain.Entity, resting []domain.Entity, more bool) error {
	var plans []plan
	for _, e := range resting {
		p, err := withdrawn(e, ground.Kind(), ground.ID)
		if err != nil {
			return err
		}
		plans = append(plans, p)
	}
	w := store.Write{Tenant: req.tenant()}
	if !more {
		w.Receipt = req.Receipt
	}
	_, err := c.service.append(ctx, req, w, plans, nil)
	return err
}
