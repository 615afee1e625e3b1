package registry_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/dlai-sd/plant/shared/domain"
	"github.com/dlai-sd/plant/shared/registry"
	"github.com/dlai-sd/plant/shared/store"
	"github.com/dlai-sd/plant/shared/testkit/harness"
)

// TestOverheadIsMeasured on what there is: many slow checks cost more than a tenth.
func TestOverheadIsMeasured(t *testing.T) {
	t.Parallel()
	a := newAssembly(t)
	for n := range 5 {
		a.make(t, fmt.Sprint("Skill ", n))
	}
	real := a.evolution(t, registry.GateChecks{})
	slow := harness.Amended(t, func(c *domain.Constitution) {
		for n := range 200 {
			c.Rules = append(c.Rules, domain.Rule{
				ID: fmt.Sprint("L2-SLOW-", n), Kinds: []string{"*"}, Text: "t", Remediation: "r",
				Check: &domain.Check{Field: "/name", Pattern: fmt.Sprintf("(a|b|%d)*x?$", n)},
			})
		}
	})
	id := a.propose(t, slow)
	_, err := real.Judge(t.Context(), request(a.by[domain.GateArchitect], "x"), id, a.approval(domain.GateArchitect))
	refused := requireCode(t, domain.CodeRuleViolated, err)
	require.Equal(t, domain.RuleGateArchitect, refused.Violations[0].Rule)
	require.Contains(t, refused.Violations[0].Message, "measured on 5 entities")
	t.Log(refused.Violations[0].Message)
}

// TestMeasureOverhead: by a clock of its own, under which each turn of a round is slower
// than the one before, and of every second round one turn is disturbed.
func TestMeasureOverhead(t *testing.T) {
	t.Parallel()
	e := domain.Born(newID(t), "acme", skill("Welding"), domain.Settable{})
	state, err := e.State()
	require.NoError(t, err)
	states := []store.State{{Kind: domain.KindSkill, ID: e.ID, GovernanceAgentID: "acme", State: string(state)}}
	var reading int
	var at time.Time
	clock := func() time.Time { // each look at it: begin, end, begin, end
		reading++
		run := (reading - 1) / 2
		round, turn := run/4, run%4
		if reading%2 == 0 {
			took := 100 * time.Microsecond
			if with := (turn == 1 || turn == 2) == (round%2 == 0); with {
				took = 105 * time.Microsecond
			}
			took += time.Duration(turn) * 10 * time.Microsecond
			if round%2 == 0 && turn == 2 {
				took *= 50
			}
			at = at.Add(took)
		}
		return at
	}
	o, err := registry.MeasureOverhead(t.Context(), states, domain.Founding(), domain.Founding(), clock)
	require.NoError(t, err)
	require.InDelta(t, 50_000, o.PPM, 1, "105 to 100, each where it came first")
	require.EqualValues(t, 1, o.Entities)
	o, err = registry.MeasureOverhead(t.Context(), nil, domain.Founding(), domain.Founding(), clock)
	require.NoError(t, err)
	require.Zero(t, o)
}

// TestARejectionNeedsNoEvidence: who rejects because of what is found may do so.
func TestARejectionNeedsNoEvidence(t *testing.T) {
	t.Parallel()
	a := newAssembly(t)
	id := a.propose(t, harness.Amended(t, tagged(2)))
	a.overhead.Store(10 * domain.MaxOverheadPPM)
	w, err := a.Judge(t.Context(), request(a.by[domain.GateArchitect], "x"), id, registry.Judgement{
		Gate: domain.GateArchitect, Verdict: domain.Rejects, Reasons: []string{"It is too slow."},
	})
	require.NoError(t, err)
	require.Nil(t, w.Entity.Facts.(domain.Proposal).Decisions[0].Evidence.OverheadPPM)
}

// TestOnlyWhatIsInForceIsRolledBack: what another one has replaced is not undone through
// its back.
func TestOnlyWhatIsInForceIsRolledBack(t *testing.T) {
	t.Parallel()
	a := newAssembly(t)
	var ids []domain.ID
	for version := 2; version <= 3; version++ {
		id := a.propose(t, harness.Amended(t, tagged(version)))
		a.judge(t, id, domain.Gates()...)
		_, err := a.Enact(t.Context(), a.governor(), id, nil)
		require.NoError(t, err)
		ids = append(ids, id)
	}
	_, err := a.Rollback(t.Context(), a.governor(), ids[0], []string{"it hurts"})
	requireCode(t, domain.CodeIllegalMove, err)
	require.Equal(t, 3, a.count(t, "enactment"))
	_, err = a.Rollback(t.Context(), a.governor(), ids[1], []string{"it hurts"})
	require.NoError(t, err)
	require.Equal(t, harness.Amended(t, tagged(2)).Hash(), a.inForce(t))
}

// TestNothingElseIsDecidedSo: what is no proposal is none for who decides about those.
func TestNothingElseIsDecidedSo(t *testing.T) {
	t.Parallel()
	a := newAssembly(t)
	id := a.make(t, "Welding").Entity.ID
	genesis := a.PlatformPrincipal(t, a.who.GovernanceAgent, domain.Genesis)
	_, err := a.Judge(t.Context(), request(genesis, "x"), id, a.approval(domain.GateGenesis))
	requireCode(t, domain.CodeNotFound, err)
}

// TestWhatIsNoAttempt: a dry run is asked the same and kept nowhere, and neither is what
// could not be found out.
func TestWhatIsNoAttempt(t *testing.T) {
	t.Parallel()
	a := newAssembly(t)
	law := harness.Amended(t, tagged(2))
	id := a.propose(t, law)
	claims := a.PlatformPrincipal(t, "ops", domain.Genesis)
	claims.Platform = []domain.Authority{registry.Proposer, domain.Architect} // more than the database says
	dry := request(claims, "x")
	dry.ValidateOnly = true
	_, err := a.Propose(t.Context(), dry, law.Document(), "because")
	requireCode(t, domain.CodeForbidden, err)
	_, err = a.Judge(t.Context(), dry, id, a.approval(domain.GateArchitect))
	requireCode(t, domain.CodeForbidden, err)
	blind := a.evolution(t, registry.GateChecks{Measure: func(context.Context, domain.Constitution, domain.Constitution) (registry.Overhead, error) {
		return registry.Overhead{}, nil
	}})
	_, err = blind.Judge(t.Context(), request(a.by[domain.GateGenesis], "x"), id, a.approval(domain.GateGenesis))
	requireCode(t, domain.CodeUnavailable, err)
	require.Zero(t, a.count(t, "refusal"))
	_, err = a.Judge(t.Context(), request(claims, "x"), id, a.approval(domain.GateArchitect))
	requireCode(t, domain.CodeForbidden, err)
	require.Equal(t, 1, a.count(t, "refusal"))
}
