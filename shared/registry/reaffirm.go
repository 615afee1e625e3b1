package registry

import (
	"cmp"
	"context"
	"fmt"
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
			plans[i] = plan{before: &e, after: next, change: domain.ChangeReaffirmed}
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
	change domain.Reaffirm
	around map[store.Seen]domain.Entity
}

func (c *Certifier) restorer(ctx context.Context, law domain.Constitution, list []domain.Entity) (restorer, error) {
	back, err := c.service.db.Return(ctx, law.Sum())
	if err != nil {
		return restorer{}, err
	}
	r := restorer{change: domain.Reaffirm{Withdrawn: back.Withdrawn, At: domain.Time(time.Now().UTC().Truncate(time.Microsecond))}}
	r.change.Because = fmt.Sprintf("The constitution that it fell short of was withdrawn: enactment %d, by %s.", back.N, cmp.Or(back.Author, "the platform's owner"))
	if back.Proposal != "" {
		r.change.Because += fmt.Sprintf(" It is amendment %d of %s.", back.Seq, back.Proposal)
	}
	var named []store.Seen
	for _, e := range list {
		if !r.change.Restores(e) {
			continue
		}
		for _, ref := range domain.RestsOn(e) {
			named = append(named, store.Seen{By: e.GovernanceAgentID, ID: ref.ID})
		}
	}
	if len(named) == 0 {
		return r, nil
	}
	around, err := c.service.db.Surroundings(ctx, named, nil)
	r.around = around.References
	return r, err
}

// reaffirm returns an entity as it is then, and what must be certified at that moment.
// Where something that it rests on has lost its certification for another reason,
// nothing is restored: the governor decides.
func (r restorer) reaffirm(e domain.Entity) (domain.Entity, []domain.ID, error) {
	next, err := r.change.Apply(e)
	if err != nil || next.Governed.Status == e.Governed.Status {
		return next, nil, err
	}
	var rests []domain.ID
	for _, ref := range domain.RestsOn(e) {
		ground, known := r.around[store.Seen{By: e.GovernanceAgentID, ID: ref.ID}]
		switch {
		case known && (ground.Governed.Status == domain.Certified || ground.Governed.Status == domain.Active):
			rests = append(rests, ref.ID)
		case !known || ground.Governed.AmendmentAlignment != domain.Drifted || !r.change.Restores(ground):
			next, err = domain.Reaffirm{}.Apply(e)
			return next, nil, err
		}
	}
	return next, rests, nil
}
