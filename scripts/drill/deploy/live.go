package deploy

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/dlai-sd/plant/shared/auth"
	"github.com/dlai-sd/plant/shared/domain"
	"github.com/dlai-sd/plant/shared/ledger"
	"github.com/dlai-sd/plant/shared/registry"
	"github.com/dlai-sd/plant/shared/store"
)

// world is everybody who decides about what tenants write.
type world struct {
	db        *store.DB   // as plant_certifier
	opened    []*store.DB // that one too
	certifier *registry.Certifier
	law       *registry.Evolution
	check     *registry.Service // the drift check's
	by        map[domain.Gate]auth.Principal
	proposer  auth.Principal
	broken    int64 // what a replay finds, as the gates are told
}

// How many of each tenant's skills are certified. Of each ten, one has a name that the
// constitution which is rolled back does not take.
const certifiedOfEach = 20

// live lets a registry live: what stands in it afterwards has every status and mark
// that the registry gives.
func (p Place) live(ctx context.Context, operator *store.DB, tenants []tenant) error {
	w := &world{by: map[domain.Gate]auth.Principal{}}
	defer w.close()
	if err := w.open(ctx, p); err != nil {
		return err
	}
	if err := w.people(ctx, operator); err != nil {
		return err
	}
	for _, t := range tenants {
		if err := w.certify(ctx, operator, t); err != nil {
			return fmt.Errorf("certify: %w", err)
		}
		for i := range t.skills {
			if odd(i) {
				w.broken++
			}
		}
	}
	id, err := w.enact(ctx)
	if err != nil {
		return fmt.Errorf("enact: %w", err)
	}
	if err := w.reconsider(ctx); err != nil {
		return fmt.Errorf("judge by what was enacted: %w", err)
	}
	for _, t := range tenants { // what has drifted then, only its governor takes back
		if err := w.suspect(ctx, t.skills[9], t.skills[10], t.skills[len(t.skills)-1]); err != nil {
			return fmt.Errorf("mark: %w", err)
		}
	}
	if _, err := w.law.Rollback(ctx, asks(w.by[domain.GateGovernor]), id, []string{"It stops the import."}); err != nil {
		return fmt.Errorf("roll back: %w", err)
	}
	return w.reconsider(ctx)
}

func odd(i int) bool { return i%10 == 9 }

// strict is the founding constitution, but that no skill's name ends in 9.
func strict() (domain.Constitution, error) {
	c := domain.Founding()
	c.Version++
	c.Rules = append(slices.Clone(c.Rules), domain.Rule{
		ID: "L2-SKILL-NOT-NINE", Kinds: []string{string(domain.KindSkill)}, Text: "No skill's name ends in 9.", Remediation: "Name it otherwise.",
		Check: &domain.Check{Field: "/name", Pattern: "[0-8]$"},
	})
	document, err := json.Marshal(c)
	if err != nil {
		return c, err
	}
	return domain.ReadConstitution(document)
}

func (w *world) open(ctx context.Context, p Place) error {
	checked, check, err := p.service(ctx, "plant_drift")
	if err != nil {
		return err
	}
	w.check, w.opened = check, append(w.opened, checked)
	if w.db, err = p.open(ctx, "plant_certifier"); err != nil {
		return err
	}
	w.opened = append(w.opened, w.db)
	if w.certifier, err = registry.NewCertifier(p.config(w.db, domain.UseCertification)); err != nil {
		return err
	}
	w.law, err = registry.NewEvolution(p.config(w.db, domain.UseAmendment), registry.GateChecks{
		Replay: func(context.Context, domain.Constitution) (int64, error) { return w.broken, nil },
		Measure: func(context.Context, domain.Constitution, domain.Constitution) (registry.Overhead, error) {
			return registry.Overhead{Entities: w.broken}, nil
		},
	})
	return err
}

func (w *world) close() {
	for _, db := range w.opened {
		db.Close()
	}
}

// people are five, one for each part in a constitution.
func (w *world) people(ctx context.Context, operator *store.DB) (err error) {
	one := func(platform domain.Authority) (auth.Principal, error) {
		return somebody(ctx, operator, store.Principal{GovernanceAgent: "house", Platform: []domain.Authority{platform}})
	}
	if w.proposer, err = one(registry.Proposer); err != nil {
		return err
	}
	for _, g := range append(domain.Gates(), domain.GateGovernor) {
		if w.by[g], err = one(g.Needs()); err != nil {
			return err
		}
	}
	return nil
}

// certify certifies the first of a tenant's skills and leaves them in every status
// that the lifecycle has behind that.
func (w *world) certify(ctx context.Context, operator *store.DB, t tenant) error {
	genesis, err := somebody(ctx, operator, store.Principal{GovernanceAgent: t.who.GovernanceAgent, Authorities: []domain.Authority{domain.Genesis}})
	if err != nil {
		return err
	}
	ids := t.skills[:min(certifiedOfEach, len(t.skills)-2)]
	list := make([]registry.Decision, len(ids))
	for i, id := range ids {
		if err := t.change(ctx, id, domain.MoveTo{To: domain.UnderReview}); err != nil {
			return err
		}
		list[i] = registry.Decision{ID: id, Verdict: registry.VerdictCertify}
	}
	list[5].Verdict, list[5].Reasons = registry.VerdictReject, []string{"Say what it does."}
	if err := w.decide(ctx, genesis, list...); err != nil {
		return err
	}
	if err := w.decide(ctx, genesis, registry.Decision{ID: ids[0], Verdict: registry.VerdictRevoke, Reasons: []string{"Unsafe."}}); err != nil {
		return err
	}
	leads := t
	if leads.who, err = somebody(ctx, operator, store.Principal{
		GovernanceAgent: t.who.GovernanceAgent, Authorities: []domain.Authority{domain.Author, domain.Architect},
	}); err != nil {
		return err
	}
	moves := []struct {
		at int
		domain.MoveTo
	}{
		{1, domain.MoveTo{To: domain.Active}},
		{2, domain.MoveTo{To: domain.Active}},
		{2, domain.MoveTo{To: domain.Deprecated, Reason: "Another does it better."}},
		{len(t.skills) - 2, domain.MoveTo{To: domain.Archived, At: domain.Time(time.Now().UTC().Truncate(time.Microsecond))}},
	}
	for _, m := range moves {
		if err := leads.change(ctx, t.skills[m.at], m.MoveTo); err != nil {
			return err
		}
	}
	return nil
}

func (w *world) decide(ctx context.Context, who auth.Principal, list ...registry.Decision) error {
	all, err := w.certifier.DecideAll(ctx, asks(who), list)
	for _, o := range all.Outcomes {
		if o.Code != "" {
			err = errors.Join(err, fmt.Errorf("%s is refused: %s %v", o.Decision, o.Detail, o.Violations))
		}
	}
	return err
}

// enact carries a stricter constitution through all gates.
func (w *world) enact(ctx context.Context) (domain.ID, error) {
	law, err := strict()
	if err != nil {
		return "", err
	}
	proposed, err := w.law.Propose(ctx, asks(w.proposer), law.Document(), "names that nobody mistakes")
	if err != nil {
		return "", err
	}
	id := proposed.Entity.ID
	for _, g := range domain.Gates() {
		j := registry.Judgement{Gate: g, Verdict: domain.Approves}
		switch g {
		case domain.GateGenesis:
			j.Broken = &w.broken
		case domain.GateGuardian:
			j.LeftOut = []string{}
		}
		if _, err := w.law.Judge(ctx, asks(w.by[g]), id, j); err != nil {
			return id, fmt.Errorf("the gate %s: %w", g, err)
		}
	}
	_, err = w.law.Enact(ctx, asks(w.by[domain.GateGovernor]), id, nil)
	return id, err
}

// reconsider judges everything by the constitution in force, as the drift check does.
func (w *world) reconsider(ctx context.Context) error {
	law, err := w.check.Law(ctx)
	if err != nil {
		return err
	}
	for behind := domain.ID(""); ; {
		list, err := w.db.OutdatedFor(ctx, behind, ledger.MaxBatch, law.Sum())
		if err != nil || len(list) == 0 {
			return err
		}
		if _, short := registry.Reconsider(law, list, time.Now()); len(short) > 0 {
			if err := w.check.Record(ctx, registry.Request{Who: registry.System("drift-check")}, law, short, nil); err != nil {
				return err
			}
		}
		if err := w.certifier.Reaffirm(ctx, registry.Request{Who: registry.System("certify")}, behind); err != nil {
			return err
		}
		behind = list[len(list)-1].ID
	}
}

// suspect marks what was tampered with, as if that had been found.
func (w *world) suspect(ctx context.Context, ids ...domain.ID) error {
	for _, id := range ids {
		if err := w.check.Suspect(ctx, registry.Request{Who: registry.System("drift-check")}, id, time.Now()); err != nil {
			return err
		}
	}
	return nil
}
