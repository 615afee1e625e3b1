package registry_test

import (
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

// TestMeasureOverhead: the median of interleaved pairs, by a clock of its own: one
// pair in ten is disturbed and counts for nothing.
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
		pair, which := (reading-1)/4, (reading-1)/2%2
		if reading%2 == 0 {
			took := 100 * time.Microsecond
			if with := which == 1-pair%2; with {
				took = 105 * time.Microsecond
			}
			if pair%10 == 0 {
				took *= time.Duration(1 + 50*which)
			}
			at = at.Add(took)
		}
		return at
	}
	o, err := registry.MeasureOverhead(t.Context(), states, domain.Founding(), domain.Founding(), clock)
	require.NoError(t, err)
	require.InDelta(t, 50_000, o.PPM, 1)
	require.EqualValues(t, 1, o.Entities)
	o, err = registry.MeasureOverhead(t.Context(), nil, domain.Founding(), domain.Founding(), clock)
	require.NoError(t, err)
	require.Zero(t, o)
}
