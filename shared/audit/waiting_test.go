package audit

import (
	"cmp"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/dlai-sd/plant/shared/domain"
	"github.com/dlai-sd/plant/shared/ledger"
)

// TestWaitingKeepsTheSequencersOrder: what waits for a place stands behind the log,
// introductions of keys first and their ends last, so that nothing that was signed
// meanwhile looks signed by a key out of force.
func TestWaitingKeepsTheSequencersOrder(t *testing.T) {
	t.Parallel()
	log := end{size: 100}
	key := string(domain.KindSigningKey)
	introduced := log.behind(ledger.Record{EntityType: key, Change: domain.ChangeIntroduced})
	created := log.behind(ledger.Record{Change: domain.ChangeCreated})
	hundredth := log.behind(ledger.Record{Change: domain.ChangeEvolved}) + 99
	retired := log.behind(ledger.Record{EntityType: key, Change: domain.ChangeRetired}) + 1
	require.Equal(t, log.size, introduced, "nothing that is logged stands there")
	require.Less(t, introduced, created)
	require.Less(t, hundredth, retired)

	// A fork that waits parts what was recorded before it from what was since.
	log.forkedTo = "new"
	ends := ledger.Record{EntityType: key, Change: domain.ChangeRetired, Origin: "old"}
	require.Equal(t, retired, log.behind(ends)+1)
	require.Less(t, retired, log.fork())
	require.Less(t, log.fork(), log.behind(ledger.Record{EntityType: key, Change: domain.ChangeIntroduced, Origin: "new"}))
}

// TestWaitingKeysHaveTheirOwnPlaces: who introduces stands before who is introduced,
// though both wait, and what is logged stays where it is.
func TestWaitingKeysHaveTheirOwnPlaces(t *testing.T) {
	t.Parallel()
	at := func(index, second int64, change, id string) ledger.Entry {
		return ledger.Entry{LogIndex: index, Amendment: ledger.Amendment{Record: ledger.Record{
			EntityID: id, EntityType: string(domain.KindSigningKey), Change: change, RecordedAt: time.Unix(second, 0),
		}}}
	}
	const size = 7
	entries := []ledger.Entry{
		at(size, 3, domain.ChangeIntroduced, "by the new root"), at(size+endsBehind+1, 4, domain.ChangeRetired, "the old root"),
		at(size, 2, domain.ChangeIntroduced, "the new root"), at(0, 1, domain.ChangeIntroduced, "the old root"),
		at(size+endsBehind+1, 3, domain.ChangeRetired, "an old key"),
	}
	order(entries, end{size: size})
	slices.SortFunc(entries, func(a, b ledger.Entry) int { return cmp.Compare(a.LogIndex, b.LogIndex) })
	var ids []string
	for _, e := range entries {
		ids = append(ids, e.Record.EntityID)
	}
	require.Equal(t, []string{"the old root", "the new root", "by the new root", "an old key", "the old root"}, ids)
	require.Zero(t, entries[0].LogIndex)
	require.EqualValues(t, size, entries[1].LogIndex)
}
