package deliveries_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/dlai-sd/plant/scripts/deliveries"
	"github.com/dlai-sd/plant/shared/audit"
	"github.com/dlai-sd/plant/shared/domain"
	"github.com/dlai-sd/plant/shared/drift"
)

// TestSubscriptions: names differ, Pub/Sub takes the filters, nothing is pushed twice to
// one route, and what the functions say to themselves reaches them.
func TestSubscriptions(t *testing.T) {
	t.Parallel()
	told := map[string]string{} // by route and type
	names := map[string]bool{}
	for _, s := range deliveries.Subscriptions() {
		require.False(t, names[s.Name], s.Name)
		names[s.Name] = true
		require.LessOrEqual(t, len(s.Filter()), 256, s.Name)
		require.Contains(t, deliveries.Topics(), s.Topic)
		require.Equal(t, s.Topic == deliveries.Events, len(s.Types) > 0, "%s: events are filtered, what others say is not", s.Name)
		for _, one := range s.Types {
			require.NotContains(t, told, s.Route+" "+one)
			told[s.Route+" "+one] = s.Function
		}
	}
	require.Equal(t, "audit-run", told["audit "+audit.EventContinued])
	require.Equal(t, "drift-check", told["drift "+drift.EventContinued])
	for _, kind := range domain.Kinds() {
		for _, change := range []string{"moved", "evolved", "decertified"} {
			require.Equal(t, "certify", told["certify plant."+string(kind)+"."+change])
		}
		require.Equal(t, "drift-check", told["drift plant."+string(kind)+".tampered"])
	}
	require.Len(t, deliveries.Jobs(), 3, "three are free")
}

func TestFilter(t *testing.T) {
	t.Parallel()
	require.Empty(t, deliveries.Subscription{}.Filter())
	require.Equal(t, `attributes.type="a.b" OR attributes.type="c"`, deliveries.Subscription{Types: []string{"a.b", "c"}}.Filter())
}
