package sequencer_test

import (
	"crypto/ed25519"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/dlai-sd/plant/shared/domain"
	"github.com/dlai-sd/plant/shared/ledger"
	"github.com/dlai-sd/plant/shared/sequencer"
	"github.com/dlai-sd/plant/shared/testkit/harness"
	"github.com/dlai-sd/plant/shared/translog"
)

// publish puts a note under a number, as an attacker or another database would.
func (k *kit) publish(t *testing.T, n int64, c translog.Checkpoint, key ed25519.PrivateKey) {
	t.Helper()
	var note []byte
	var err error
	if key != nil {
		note, err = c.Sign(key)
	} else {
		held, keyErr := k.Secrets.Key(t.Context(), k.Keys[domain.UseCheckpoint])
		require.NoError(t, keyErr)
		note, err = c.Sign(held)
	}
	require.NoError(t, err)
	require.NoError(t, k.folder(t).Create(t.Context(), n, note))
}

// TestStops: where the database and what is published do not agree, nothing is given
// a place, nothing is signed, and it is said why, each time.
func TestStops(t *testing.T) {
	t.Parallel()
	here := translog.Checkpoint{Origin: harness.Origin, Size: 7, Root: ledger.Hash{1}}
	for name, c := range map[string]struct {
		do   func(t *testing.T, k *kit)
		want sequencer.Reason
	}{
		"more was published":         {func(t *testing.T, k *kit) { here := here; here.Size = 99; k.publish(t, 2, here, nil) }, sequencer.ReasonRolledBack},
		"another tree was published": {func(t *testing.T, k *kit) { k.publish(t, 2, here, nil) }, sequencer.ReasonDiverged},
		"by a stranger":              {func(t *testing.T, k *kit) { k.publish(t, 2, here, wrongKey(t)) }, sequencer.ReasonUntrusted},
		"of another log": {func(t *testing.T, k *kit) {
			k.publish(t, 2, translog.Checkpoint{Origin: "else.example/log", Size: 7}, nil)
		}, sequencer.ReasonOrigin},
		"no checkpoint at all": {func(t *testing.T, k *kit) {
			require.NoError(t, k.folder(t).Create(t.Context(), 2, []byte("hello")))
		}, sequencer.ReasonUntrusted},
		"the published are gone": {func(t *testing.T, k *kit) {
			require.NoError(t, os.Remove(filepath.Join(k.dir, "checkpoints", "000000000001")))
		}, sequencer.ReasonLost},
		"a tile was changed by hand": {func(t *testing.T, k *kit) {
			k.admin(t, `ALTER TABLE log_tile DISABLE TRIGGER log_tile_audit`, `UPDATE log_tile SET data = set_byte(data, 0, get_byte(data, 0) # 1)`)
		}, sequencer.ReasonDiverged},
		"the tiles are gone": {func(t *testing.T, k *kit) {
			k.admin(t, `ALTER TABLE log_tile DISABLE TRIGGER log_tile_audit`, `DELETE FROM log_tile`)
		}, sequencer.ReasonDiverged},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			k := newKit(t)
			k.write(t, 1)
			s := k.sequencer(t, nil)
			run(t, s)
			c.do(t, k)
			k.write(t, 1)
			files, err := os.ReadDir(filepath.Join(k.dir, "checkpoints"))
			require.NoError(t, err)
			for range 2 {
				_, err := s.Run(t.Context())
				h := sequencer.Halted(err)
				require.NotNil(t, h, "%v", err)
				require.Equal(t, c.want, h.Reason)
				require.Contains(t, err.Error(), string(c.want))
				_, err = s.Seal(t.Context())
				require.NotNil(t, sequencer.Halted(err))
			}
			status, err := s.Status(t.Context())
			require.NoError(t, err)
			require.Equal(t, c.want, status.Halted)
			require.EqualValues(t, 1, status.Waiting, "nothing was given a place")
			after, err := os.ReadDir(filepath.Join(k.dir, "checkpoints"))
			require.NoError(t, err)
			require.Len(t, after, len(files), "nothing was published")
		})
	}
}

// TestContested: another's checkpoint under the number that was just tried stops the
// log unless it is of the same log.
func TestContested(t *testing.T) {
	t.Parallel()
	for name, theirs := range map[string]func(t *testing.T, k *kit){
		"another tree": func(t *testing.T, k *kit) {
			k.publish(t, 2, translog.Checkpoint{Origin: harness.Origin, Size: 3}, nil)
		},
		"a larger one": func(t *testing.T, k *kit) {
			k.publish(t, 2, translog.Checkpoint{Origin: harness.Origin, Size: 300}, nil)
		},
		"another log": func(t *testing.T, k *kit) {
			k.publish(t, 2, translog.Checkpoint{Origin: "else.example/log", Size: 3}, nil)
		},
		"a stranger": func(t *testing.T, k *kit) {
			k.publish(t, 2, translog.Checkpoint{Origin: harness.Origin, Size: 3}, wrongKey(t))
		},
		"no checkpoint": func(t *testing.T, k *kit) {
			require.NoError(t, k.folder(t).Create(t.Context(), 2, []byte("x")))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			k := newKit(t)
			run(t, k.sequencer(t, nil))
			k.write(t, 1)
			s := k.sequencer(t, func(c *sequencer.Config) {
				c.Store = &troubled{Store: k.folder(t), before: func(string) error { theirs(t, k); return nil }}
			})
			_, err := s.Run(t.Context())
			require.NotNil(t, sequencer.Halted(err), "%v", err)
			require.Equal(t, sequencer.ReasonContested, sequencer.Halted(err).Reason)
		})
	}
}
