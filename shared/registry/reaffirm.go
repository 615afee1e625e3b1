package registry

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/dlai-sd/plant/shared/domain"
	"github.com/dlai-sd/plant/shared/ledger"
	"github.com/dlai-sd/plant/shared/store"
)

// Reaffirm says again, under one signature, that what passes the rules in force is as
// it should be: the first of those behind an id that were last judged by another
// constitution, as many as a signature covers. It judges them itself: who asked is
// not believed. What was marked only for what the newest enactment withdrew, is what it
// was before; what else it rests on must still stand. The receipt of req stands in the
// same transaction.
func (c *Certifier) Reaffirm(ctx context.Context, req Request, behind domain.ID) error {
	return c.once(ctx, req, func() (bool, error) {
		law, err := c.service.law.Refresh(ctx)
		if err != nil {
			return false, err
		}
		req := req
		req.law = law
		list, err := c.service.db.OutdatedFor(ctx, behind, ledger.MaxBatch, law.Sum())
		if err != nil {
			return false, err
		}
		pass, _ := Reconsider(law, list, time.Now())
		if pass, err = c.service.signable(ctx, "", pass); err != nil {
			return false, err
		}
		if len(pass) == 0 {
			return false, nil
		}
		r, err := c.restorer(ctx, law, pass)
		if err != nil {
			return false, err
		}
		w := store.Write{Tenant: req.tenant(), Receipt: req.Receipt}
		plans := make([]plan, len(pass))
		for i, e := range pass {
			next, rests, err := r.reaffirm(e)
			if err != nil {
				return false, err
			}
			plans[i] = plan{before: &e, after: next, change: domain.ChangeReaffirmed, proven: true}
			w.Certified = append(w.Certified, rests...)
		}
		slices.Sort(w.Certified)
		w.Certified = slices.Compact(w.Certified)
		_, err = c.service.append(ctx, req, w, plans, nil)
		return true, err
	})
}

// restorer knows what an enactment withdrew, and how what the marked rest on stands.
type restorer struct {
	law    domain.Constitution // in force
	change domain.Reaffirm
	around map[store.Seen]domain.Entity
}

func (c *Certifier) restorer(ctx context.Context, law domain.Constitution, list []domain.Entity) (restorer, error) {
	back, err := c.service.db.Return(ctx, law.Sum())
	if err != nil {
		return restorer{}, err
	}
	r := restorer{
		law: law, around: map[store.Seen]domain.Entity{},
		change: domain.Reaffirm{Withdrawn: back.Withdrawn, At: domain.Time(time.Now().UTC().Truncate(time.Microsecond))},
	}
	r.change.Because = fmt.Sprintf("The constitution that it fell short of was withdrawn: enactment %d, by %s.", back.N, cmp.Or(back.Author, "the platform's owner"))
	if back.Proposal != "" {
		r.change.Because += fmt.Sprintf(" It is amendment %d of %s.", back.Seq, back.Proposal)
	}
	for range groundDepth {
		named := r.named(list)
		if len(named) == 0 {
			return r, nil
		}
		around, err := c.service.db.Surroundings(ctx, named, nil)
		if err != nil {
			return r, err
		}
		maps.Copy(r.around, around.References)
		list = slices.Collect(maps.Values(around.References))
	}
	return r, nil
}

// groundDepth is how far down entities rest on others: an agent on its role, that on
// its skills.
const groundDepth = 2

// named lists what those of a list rest on that could be restored.
func (r restorer) named(list []domain.Entity) (named []store.Seen) {
	for _, e := range list {
		if !r.change.Restores(e) {
			continue
		}
		for _, ref := range domain.RestsOn(e) {
			named = append(named, store.Seen{By: e.GovernanceAgentID, ID: ref.ID})
		}
	}
	return named
}

// reaffirm returns an entity as it is then, and what must be certified at that moment.
// Where something that it rests on has lost its certification and does not get it back
// by the same enactment, nothing is restored: the governor decides.
func (r restorer) reaffirm(e domain.Entity) (domain.Entity, []domain.ID, error) {
	next, err := r.change.Apply(e)
	if err != nil || next.Governed.Status == e.Governed.Status {
		return next, nil, err
	}
	rests, stands := r.rests(e)
	if !stands {
		next, err = domain.Reaffirm{}.Apply(e)
		return next, nil, err
	}
	return next, rests, nil
}

// rests lists what an entity rests on that is certified now, and reports whether all
// the rest gets its certification back too.
func (r restorer) rests(e domain.Entity) (now []domain.ID, stands bool) {
	for _, ref := range domain.RestsOn(e) {
		ground, known := r.around[store.Seen{By: e.GovernanceAgentID, ID: ref.ID}]
		switch {
		case !known:
			return nil, false
		case certified(ground):
			now = append(now, ref.ID)
			continue
		}
		below, stands := r.rests(ground)
		back, err := r.change.Apply(ground)
		if !stands || err != nil || !certified(back) || len(r.law.Validate(ground, domain.Known{})) > 0 {
			return nil, false
		}
		now = append(now, below...)
	}
	return now, true
}

func certified(e domain.Entity) bool {
	return e.Governed.Status == domain.Certified || e.Governed.Status == domain.Active
}
