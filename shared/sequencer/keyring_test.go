package sequencer_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/dlai-sd/plant/shared/domain"
	"github.com/dlai-sd/plant/shared/ledger"
	"github.com/dlai-sd/plant/shared/registry"
	"github.com/dlai-sd/plant/shared/sequencer"
	"github.com/dlai-sd/plant/shared/store"
	"github.com/dlai-sd/plant/shared/testkit/harness"
)

// keyring is what a stranger makes of the ledger's keys, under the pinned root.
func (k *kit) keyring(t *testing.T) *ledger.Keyring {
	t.Helper()
	list, err := k.db.Everything(t.Context())
	require.NoError(t, err)
	var entries []ledger.Entry
	for _, a := range list {
		if a.Record.EntityType != string(domain.KindSigningKey) {
			continue
		}
		if at, err := k.db.PlaceOf(t.Context(), a.Hash); err == nil {
			entries = append(entries, ledger.Entry{Amendment: a, LogIndex: at})
		}
	}
	root, err := k.Secrets.Key(t.Context(), k.Keys[domain.UseRoot])
	require.NoError(t, err)
	ring, faults := ledger.NewKeyring(harness.Origin, root.ID(), entries)
	for i, f := range faults {
		require.Nil(t, f, "%s of a key at %d", entries[i].Record.Change, entries[i].LogIndex)
	}
	return ring
}

// service is a registry that finds the amendment key in force.
func (k *kit) service(t *testing.T) *registry.Service {
	t.Helper()
	s, err := registry.New(registry.Config{
		DB: k.Open(t, "plant_writer", 2), Origin: harness.Origin, Log: discard,
		Keys: k.Secrets.Hold(registry.Successor(k.Secrets, k.db, k.Keys[domain.UseAmendment]), time.Now),
	})
	require.NoError(t, err)
	return s
}

// TestKeysRotate: a sequencer that runs on finds the successors of its keys, and
// every heads record and checkpoint is by a key in force at its index.
func TestKeysRotate(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	ring := k.OwnSecrets(t)
	s := k.sequencer(t, nil)
	run(t, s)
	first, err := s.Checkpoint.Key(t.Context())
	require.NoError(t, err)
	for _, use := range []domain.KeyUse{domain.UseCheckpoint, domain.UseHeads} {
		_, err := ring.Rotate(t.Context(), use)
		require.NoError(t, err)
	}
	k.write(t, 1)
	run(t, s)
	second, err := s.Checkpoint.Key(t.Context())
	require.NoError(t, err)
	require.NotEqual(t, first.ID(), second.ID())
	_, err = s.Seal(t.Context())
	require.NoError(t, err)
	k.judged(t)
	// So does one that starts now.
	k.write(t, 1)
	run(t, k.sequencer(t, nil))
	k.judged(t)
}

// TestKeysInTheLastPlaces: a key that the very last entry introduces is not in force
// there yet; a heads record moves the end of the log, and the checkpoint is signed.
func TestKeysInTheLastPlaces(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	ring := k.OwnSecrets(t)
	run(t, k.sequencer(t, nil))
	_, err := ring.Rotate(t.Context(), domain.UseCheckpoint)
	require.NoError(t, err)
	conn := k.connect(t)
	// The key's end is still on its way when the sequencer looks.
	k.admin(t, `ALTER TABLE log_pending DISABLE ROW LEVEL SECURITY`, `CREATE TABLE later AS SELECT * FROM log_pending WHERE change = 'retired'`,
		`ALTER TABLE later ENABLE ROW LEVEL SECURITY`, `DELETE FROM log_pending WHERE change = 'retired'`, `ALTER TABLE log_pending ENABLE ROW LEVEL SECURITY`)
	require.Equal(t, []string{"1"}, column(t, conn, `SELECT count(*)::text FROM later`))
	s := k.sequencer(t, nil) // finds the new key alone
	done := run(t, s)
	require.True(t, done.Sealed)
	require.NotNil(t, done.Published)
	require.Equal(t, done.Size, done.Published.Size)
	k.judged(t)
	k.admin(t, `INSERT INTO log_pending (hash, entity_id, seq, entity_type, change, recorded_at)
		SELECT hash, entity_id, seq, entity_type, change, recorded_at FROM later`)
	run(t, s)
	k.judged(t)
}

// TestKeysOutOfForce: without a key in force nothing is signed, and the log waits.
func TestKeysOutOfForce(t *testing.T) {
	t.Parallel()
	for use, published := range map[domain.KeyUse]int{domain.UseCheckpoint: 1, domain.UseHeads: 1} {
		t.Run(string(use), func(t *testing.T) {
			t.Parallel()
			k := newKit(t)
			ring := k.OwnSecrets(t)
			s := k.sequencer(t, nil)
			run(t, s)
			key, err := k.Secrets.Key(t.Context(), k.Keys[use])
			require.NoError(t, err)
			require.NoError(t, ring.End(t.Context(), key.ID(), domain.EndKey{Revoked: true, InvalidFrom: 1 << 40, Reason: "leaked"}))
			k.write(t, 1)
			_, err = s.Run(t.Context())
			if use == domain.UseHeads {
				require.NoError(t, err, "a heads record is not due")
				_, err = s.Seal(t.Context())
				published = 2
			}
			require.Error(t, err)
			require.Nil(t, sequencer.Halted(err))
			require.Len(t, k.published(t), published)
			place, err := k.db.KeyPlace(t.Context(), key.ID())
			require.NoError(t, err)
			require.True(t, place.Revoked)
			require.False(t, place.Signs(1<<30))
		})
	}
	require.True(t, store.Place{Introduced: 1, Ended: -1}.Signs(2))
	require.True(t, store.Place{Introduced: 1, Ended: 5}.Signs(5), "retired at 5: not before 5")
	require.False(t, store.Place{Introduced: 1, Ended: 5}.Signs(6))
	require.False(t, store.Place{Introduced: 1, Ended: -1}.Signs(1))
	require.False(t, store.Place{Introduced: -1, Ended: -1}.Signs(1))
	require.False(t, store.Place{Introduced: 1, Ended: 9, Revoked: true}.Signs(2))
}
