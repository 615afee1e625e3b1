package registry_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/dlai-sd/plant/shared/auth"
	"github.com/dlai-sd/plant/shared/domain"
	"github.com/dlai-sd/plant/shared/keys"
	"github.com/dlai-sd/plant/shared/registry"
	"github.com/dlai-sd/plant/shared/testkit/harness"
)

// assembly is everybody who has a part in the constitution.
type assembly struct {
	kit
	*registry.Evolution
	broken   *atomic.Int64 // what a replay finds
	overhead *atomic.Int64 // what a measurement finds, in millionths
	by       map[domain.Gate]auth.Principal
	proposer auth.Principal
}

func newAssembly(t *testing.T) assembly {
	t.Helper()
	a := assembly{kit: newKit(t, 2), by: map[domain.Gate]auth.Principal{}, broken: &atomic.Int64{}, overhead: &atomic.Int64{}}
	a.proposer = a.PlatformPrincipal(t, "ops", registry.Proposer)
	for _, g := range append(domain.Gates(), domain.GateGovernor) {
		a.by[g] = a.PlatformPrincipal(t, "house-"+string(g), g.Needs())
	}
	a.Evolution = a.evolution(t, registry.GateChecks{
		Replay: func(context.Context, domain.Constitution) (int64, error) { return a.broken.Load(), nil },
		Measure: func(context.Context, domain.Constitution, domain.Constitution) (registry.Overhead, error) {
			return registry.Overhead{PPM: a.overhead.Load(), Entities: 7}, nil
		},
	})
	return a
}

func (k kit) evolution(t *testing.T, gates registry.GateChecks) *registry.Evolution {
	t.Helper()
	e, err := registry.NewEvolution(registry.Config{
		DB: k.Open(t, "plant_certifier", 3), Keys: k.Secrets.Hold(keys.Pinned(k.Keys[domain.UseAmendment]), time.Now),
		Origin: harness.Origin, Log: slog.New(slog.DiscardHandler),
	}, gates)
	require.NoError(t, err)
	return e
}

func (a assembly) propose(t *testing.T, law domain.Constitution) domain.ID {
	t.Helper()
	w, err := a.Propose(t.Context(), request(a.proposer, "p"), law.Document(), "tags make skills findable")
	require.NoError(t, err)
	return w.Entity.ID
}

// approval is what a gate's judge says who finds what is so.
func (a assembly) approval(g domain.Gate) registry.Judgement {
	j := registry.Judgement{Gate: g, Verdict: domain.Approves}
	switch g {
	case domain.GateGenesis:
		n := a.broken.Load()
		j.Broken = &n
	case domain.GateGuardian:
		j.LeftOut = []string{}
	}
	return j
}

func (a assembly) judge(t *testing.T, id domain.ID, gates ...domain.Gate) {
	t.Helper()
	for _, g := range gates {
		_, err := a.Judge(t.Context(), request(a.by[g], string(g)), id, a.approval(g))
		require.NoError(t, err, g)
	}
}

func (a assembly) governor() registry.Request { return request(a.by[domain.GateGovernor], "g") }

func (a assembly) inForce(t *testing.T) string {
	t.Helper()
	list, err := a.Enactments(t.Context())
	require.NoError(t, err)
	return fmt.Sprintf("%x", list[0].Sum)
}

// TestEvolution: from the proposal over three gates into force, and back. Every
// record is signed by the amendment key under the constitution then in force, and
// the state says who decided what.
func TestEvolution(t *testing.T) {
	t.Parallel()
	a := newAssembly(t)
	a.broken.Store(3)
	strict := harness.Amended(t, tagged(2))
	id := a.propose(t, strict)
	a.judge(t, id, domain.GateGuardian, domain.GateGenesis)
	_, err := a.Enact(t.Context(), a.governor(), id, nil)
	requireCode(t, domain.CodeIllegalMove, err)
	a.judge(t, id, domain.GateArchitect)
	require.Equal(t, domain.Founding().Hash(), a.inForce(t), "approved is not enacted")

	_, err = a.Rollback(t.Context(), a.governor(), id, []string{"too early"})
	requireCode(t, domain.CodeIllegalMove, err)
	w, err := a.Enact(t.Context(), a.governor(), id, nil)
	require.NoError(t, err)
	require.Equal(t, strict.Hash(), a.inForce(t))
	require.Equal(t, domain.Founding().Sum(), w.Entity.Head.Constitution, "the last record under the old one")
	p := w.Entity.Facts.(domain.Proposal)
	require.Equal(t, strict.Hash(), p.InForce)
	require.Equal(t, domain.Founding().Hash(), p.Replaces)
	require.Len(t, p.Decisions, 4)
	for i, g := range []domain.Gate{domain.GateGuardian, domain.GateGenesis, domain.GateArchitect, domain.GateGovernor} {
		require.Equal(t, g, p.Decisions[i].Gate)
		require.Equal(t, a.by[g].Author(), p.Decisions[i].By)
	}
	require.EqualValues(t, 3, *p.Decisions[1].Evidence.Broken)
	require.EqualValues(t, 7, *p.Decisions[2].Evidence.Entities)

	_, err = a.Create(t.Context(), request(a.who, "x"), skill("Riveting"), domain.Settable{})
	requireCode(t, domain.CodeRuleViolated, err)
	_, err = a.Rollback(t.Context(), a.governor(), id, nil)
	requireCode(t, domain.CodeRuleViolated, err)
	w, err = a.Rollback(t.Context(), a.governor(), id, []string{"it hurts"})
	require.NoError(t, err)
	require.Equal(t, domain.Founding().Hash(), a.inForce(t))
	require.Equal(t, domain.Founding().Hash(), w.Entity.Facts.(domain.Proposal).InForce)
	require.Equal(t, strict.Sum(), w.Entity.Head.Constitution)
	_, err = a.Create(t.Context(), request(a.who, "x"), skill("Riveting"), domain.Settable{})
	require.NoError(t, err)

	proofs, err := a.Proofs(t.Context(), a.proposer, domain.KindConstitution, id, 0, 100)
	require.NoError(t, err)
	var changes []string
	for _, one := range proofs {
		changes = append(changes, verified(t, one).Record.Change)
	}
	require.Equal(t, "proposed judged judged judged enacted enacted", strings.Join(changes, " "))
	require.Equal(t, 3, a.count(t, "enactment"))
}

// TestEvolutionIsReadBy: those who hold something over the platform, and the
// proposer's own, read what is proposed; everybody what was enacted.
func TestEvolutionIsReadBy(t *testing.T) {
	t.Parallel()
	a := newAssembly(t)
	id := a.propose(t, harness.Amended(t, tagged(2)))
	colleague, stranger := a.Principal(t, "ops"), a.Principal(t, "globex", domain.Genesis, domain.Governor)
	sees := func(who auth.Principal, want bool) {
		t.Helper()
		list, err := a.Proposals(t.Context(), who, "", 10)
		require.NoError(t, err)
		require.Equal(t, want, len(list) == 1)
		d, err := a.Proposal(t.Context(), who, id)
		if !want {
			requireCode(t, domain.CodeNotFound, err)
			return
		}
		require.NoError(t, err)
		require.Equal(t, []string{"L2-SKILL-TAGGED"}, d.Differences.Added)
	}
	sees(colleague, true)
	sees(a.by[domain.GateGenesis], true)
	sees(stranger, false)
	a.judge(t, id, domain.Gates()...)
	sees(stranger, false)
	_, err := a.Enact(t.Context(), a.governor(), id, nil)
	require.NoError(t, err)
	sees(stranger, true)
}

// TestEvolutionRefuses: each gate's rule, each duty, each pair of eyes.
func TestEvolutionRefuses(t *testing.T) {
	t.Parallel()
	a := newAssembly(t)
	strict := harness.Amended(t, func(c *domain.Constitution) {
		tagged(2)(c)
		c.Rules = without(c.Rules, domain.RuleTags)
	})
	id := a.propose(t, strict)
	judge := func(who auth.Principal, j registry.Judgement) error {
		_, err := a.Judge(t.Context(), request(who, "x"), id, j)
		return err
	}
	rule := func(want string, err error) {
		t.Helper()
		require.Equal(t, want, requireCode(t, domain.CodeRuleViolated, err).Violations[0].Rule)
	}

	// What is named must be so.
	two, three := int64(2), int64(3)
	a.broken.Store(3)
	genesis := a.by[domain.GateGenesis]
	rule(domain.RuleGateGenesis, judge(genesis, registry.Judgement{Gate: domain.GateGenesis, Verdict: domain.Approves}))
	rule(domain.RuleGateGenesis, judge(genesis, registry.Judgement{Gate: domain.GateGenesis, Verdict: domain.Approves, Broken: &two}))
	a.overhead.Store(domain.MaxOverheadPPM)
	rule(domain.RuleGateArchitect, judge(a.by[domain.GateArchitect], registry.Judgement{Gate: domain.GateArchitect, Verdict: domain.Approves}))
	for _, named := range [][]string{nil, {}, {"L0-01"}, {domain.RuleTags, "L0-01"}} {
		rule(domain.RuleGateGuardian, judge(a.by[domain.GateGuardian], registry.Judgement{Gate: domain.GateGuardian, Verdict: domain.Approves, LeftOut: named}))
	}

	// Each gate is one authority's, over the whole platform.
	for _, g := range domain.Gates() {
		for _, other := range append(domain.Gates(), domain.GateGovernor) {
			if other != g {
				requireCode(t, domain.CodeForbidden, judge(a.by[other], a.approval(g)))
			}
		}
		requireCode(t, domain.CodeForbidden, judge(a.Principal(t, "ops", g.Needs()), a.approval(g)))
	}
	_, err := a.Propose(t.Context(), request(a.Principal(t, "ops", registry.Proposer), "x"), strict.Document(), "because")
	requireCode(t, domain.CodeForbidden, err)
	_, err = a.Enact(t.Context(), request(genesis, "x"), id, nil)
	requireCode(t, domain.CodeForbidden, err)
	claims := genesis // a token that says more than the database
	claims.Platform = []domain.Authority{domain.Architect}
	a.overhead.Store(domain.MaxOverheadPPM - 1)
	requireCode(t, domain.CodeForbidden, judge(claims, a.approval(domain.GateArchitect)))

	// A rejection says why, and closes.
	requireCode(t, domain.CodeRuleViolated, judge(genesis, registry.Judgement{Gate: domain.GateGenesis, Verdict: domain.Rejects}))
	require.NoError(t, judge(genesis, registry.Judgement{Gate: domain.GateGenesis, Verdict: domain.Approves, Broken: &three}))
	requireCode(t, domain.CodeIllegalMove, judge(a.PlatformPrincipal(t, "x", domain.Genesis), registry.Judgement{Gate: domain.GateGenesis, Verdict: domain.Approves, Broken: &three}))
	require.NoError(t, judge(a.by[domain.GateArchitect], registry.Judgement{Gate: domain.GateArchitect, Verdict: domain.Rejects, Reasons: []string{"no"}}))
	requireCode(t, domain.CodeIllegalMove, judge(a.by[domain.GateGuardian], registry.Judgement{Gate: domain.GateGuardian, Verdict: domain.Approves, LeftOut: []string{domain.RuleTags}}))
	require.Positive(t, a.count(t, "refusal WHERE entity_type = 'constitution'"))
}

// TestFiveDecide: whoever has had a part has no other, also with every authority.
func TestFiveDecide(t *testing.T) {
	t.Parallel()
	a := newAssembly(t)
	all := []domain.Authority{registry.Proposer, domain.Genesis, domain.Architect, domain.Guardian, domain.Governor}
	for g := range a.by {
		a.by[g] = a.PlatformPrincipal(t, "ops", all...)
	}
	a.proposer = a.PlatformPrincipal(t, "ops", all...)
	id := a.propose(t, harness.Amended(t, tagged(2)))
	for i, g := range domain.Gates() {
		for _, who := range append([]auth.Principal{a.proposer}, a.by[domain.Gates()[0]], a.by[domain.Gates()[1]])[:i+1] {
			_, err := a.Judge(t.Context(), request(who, "x"), id, a.approval(g))
			require.Equal(t, domain.RuleFourEyes, requireCode(t, domain.CodeRuleViolated, err).Violations[0].Rule)
		}
		a.judge(t, id, g)
	}
	for _, who := range []auth.Principal{a.proposer, a.by[domain.GateGenesis], a.by[domain.GateArchitect], a.by[domain.GateGuardian]} {
		_, err := a.Enact(t.Context(), request(who, "x"), id, nil)
		require.Equal(t, domain.RuleFourEyes, requireCode(t, domain.CodeRuleViolated, err).Violations[0].Rule)
	}
	_, err := a.Enact(t.Context(), a.governor(), id, nil)
	require.NoError(t, err)
}

// TestProposalsThatCannotBe: what this build cannot judge by, what is in force, what
// is for nothing.
func TestProposalsThatCannotBe(t *testing.T) {
	t.Parallel()
	a := newAssembly(t)
	good := harness.Amended(t, tagged(2)).Document()
	for document, why := range map[string]string{
		`{"name":"Later"}`: "no version", string(domain.Founding().Document()): "in force",
		`{`: "canonical", `{"name":"` + strings.Repeat("x", 70_000) + `","version":2}`: "larger than",
	} {
		_, err := a.Propose(t.Context(), request(a.proposer, "x"), []byte(document), "because")
		require.Contains(t, requireCode(t, domain.CodeRuleViolated, err).Violations[0].Message, why)
	}
	for _, purpose := range []string{"", " ", strings.Repeat("x", domain.MaxPurpose+1)} {
		_, err := a.Propose(t.Context(), request(a.proposer, "x"), good, purpose)
		require.Equal(t, "/purpose", requireCode(t, domain.CodeRuleViolated, err).Violations[0].Field)
	}
	only := request(a.proposer, "x")
	only.ValidateOnly = true
	w, err := a.Propose(t.Context(), only, good, "because")
	require.NoError(t, err)
	require.True(t, w.Validated)
	require.Zero(t, a.count(t, "entity WHERE entity_type = 'constitution'"))
	require.Equal(t, 1, a.count(t, "constitution"))

	req := request(a.proposer, "x")
	for range 2 {
		w, err = a.Propose(t.Context(), req, good, "because")
		require.NoError(t, err)
	}
	require.True(t, w.Replayed)
	require.Equal(t, 1, a.count(t, "entity WHERE entity_type = 'constitution'"))
}

// TestOneIsEnacted: of two proposals for the same place one comes into force, also
// when both are enacted at once; the other is refused and has to be proposed anew.
func TestOneIsEnacted(t *testing.T) {
	t.Parallel()
	a := newAssembly(t)
	var ids []domain.ID
	for version := 2; version <= 3; version++ {
		id := a.propose(t, harness.Amended(t, tagged(version)))
		a.judge(t, id, domain.Gates()...)
		ids = append(ids, id)
	}
	late := a.propose(t, harness.Amended(t, tagged(4)))
	var all sync.WaitGroup
	errs := make([]error, 2*len(ids))
	for n := range errs {
		all.Go(func() { _, errs[n] = a.Enact(t.Context(), a.governor(), ids[n/2], nil) })
	}
	all.Wait()
	enacted := 0
	for _, err := range errs {
		var e *domain.Error
		if err == nil {
			enacted++
			continue
		}
		require.True(t, errors.As(err, &e) && e.Code == domain.CodeIllegalMove, "%v", err)
	}
	require.Equal(t, 1, enacted)
	require.Equal(t, 2, a.count(t, "enactment"))
	_, err := a.Judge(t.Context(), request(a.by[domain.GateGenesis], "x"), late, a.approval(domain.GateGenesis))
	requireCode(t, domain.CodeIllegalMove, err)
}

func without(rules []domain.Rule, id string) (kept []domain.Rule) {
	for _, r := range rules {
		if r.ID != id {
			kept = append(kept, r)
		}
	}
	return kept
}

func newID(t *testing.T) domain.ID {
	t.Helper()
	id, err := domain.NewID()
	require.NoError(t, err)
	return id
}
