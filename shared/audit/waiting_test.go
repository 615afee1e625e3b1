package audit

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/dlai-sd/plant/shared/domain"
	"github.com/dlai-sd/plant/shared/ledger"
)

// TestWaitingKeepsTheSequencersOrder: what waits for a place stands behind the log,
// introductions of keys first and their ends last, so that nothing that was signed
// meanwhile looks signed by a key out of force.
func TestWaitingKeepsTheSequencersOrder(t *testing.T) {
	t.Parallel()
	const size = 100
	key := string(domain.KindSigningKey)
	introduced := size + behind(ledger.Record{EntityType: key, Seq: 1})
	created := size + behind(ledger.Record{EntityType: string(domain.KindSkill), Seq: 1})
	hundredth := size + behind(ledger.Record{EntityType: string(domain.KindSkill), Seq: 100}) + 99
	retired := size + behind(ledger.Record{EntityType: key, Seq: 2}) + 1
	require.EqualValues(t, size, introduced, "nothing that is logged stands there")
	require.Less(t, introduced, created)
	require.Less(t, hundredth, retired)
}
