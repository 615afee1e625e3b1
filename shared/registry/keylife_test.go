package registry_test

import (
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/dlai-sd/plant/shared/domain"
	"github.com/dlai-sd/plant/shared/keys"
	"github.com/dlai-sd/plant/shared/ledger"
	"github.com/dlai-sd/plant/shared/registry"
	"github.com/dlai-sd/plant/shared/testkit/harness"
)

// service signs with the key in force behind the first amendment key.
func (w *world) serviceOf(t *testing.T, k registry.Keyring) *registry.Service {
	t.Helper()
	db := w.d.Open(t, "plant_writer", 2)
	s, err := registry.New(registry.Config{
		DB: db, Origin: harness.Origin, Log: slog.New(slog.DiscardHandler),
		Keys: k.Secrets.Hold(registry.Successor(k.Secrets, db, w.d.Keys[domain.UseAmendment]), time.Now),
	})
	require.NoError(t, err)
	return s
}

func TestRotation(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	k := w.d.OwnSecrets(t)
	s := w.serviceOf(t, k)
	before, err := s.Create(t.Context(), request(w.who, ""), skill("Before"), domain.Settable{})
	require.NoError(t, err)
	version, err := k.Rotate(t.Context(), domain.UseAmendment)
	require.NoError(t, err)
	require.Contains(t, version, "/versions/2")

	// The running function is refused once, finds the successor and goes on.
	after, err := s.Create(t.Context(), request(w.who, ""), skill("After"), domain.Settable{})
	require.NoError(t, err)
	require.NotEqual(t, before.History[0].KeyID, after.History[0].KeyID)
	// A new one finds it at its start.
	fresh, err := w.serviceOf(t, k).Create(t.Context(), request(w.who, ""), skill("Fresh"), domain.Settable{})
	require.NoError(t, err)
	require.Equal(t, after.History[0].KeyID, fresh.History[0].KeyID)

	known, err := k.DB.SigningKeys(t.Context())
	require.NoError(t, err)
	var active, retired int
	for _, one := range known {
		if one.Use == domain.UseAmendment {
			switch one.Status {
			case domain.Active:
				active++
			case domain.KeyRetired:
				retired++
			}
		}
	}
	require.Equal(t, 1, active)
	require.Equal(t, 1, retired)
	require.Error(t, k.End(t.Context(), before.History[0].KeyID, domain.EndKey{}), "retired twice")
}

// TestASecretVersionAloneSignsNothing: whoever can add a version to the secret
// cannot make it sign: only a root introduces.
func TestASecretVersionAloneSignsNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	k := w.d.OwnSecrets(t)
	_, _, err := k.Secrets.Create(t.Context(), fmt.Sprintf("projects/%s/secrets/plant-amendment-key", harness.Project), keys.RSA4096)
	require.NoError(t, err)
	first, err := k.Secrets.Key(t.Context(), w.d.Keys[domain.UseAmendment])
	require.NoError(t, err)
	require.NoError(t, k.End(t.Context(), first.ID(), domain.EndKey{Reason: "test"}))
	_, err = w.serviceOf(t, k).Create(t.Context(), request(w.who, ""), skill("Nobody signs"), domain.Settable{})
	require.Error(t, err)
}

func TestRevocationAndReattestation(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	k := w.d.OwnSecrets(t)
	old, err := k.Secrets.Key(t.Context(), w.d.Keys[domain.UseAmendment])
	require.NoError(t, err)
	_, err = k.Rotate(t.Context(), domain.UseAmendment)
	require.NoError(t, err)
	require.NoError(t, k.End(t.Context(), old.ID(), domain.EndKey{Revoked: true, InvalidFrom: 5, Reason: "leaked"}))

	db := w.d.Open(t, "plant_certifier", 2)
	s, err := registry.New(registry.Config{
		DB: db, Origin: harness.Origin, Log: slog.New(slog.DiscardHandler),
		Keys: k.Secrets.Hold(registry.Successor(k.Secrets, db, w.d.Keys[domain.UseAmendment]), time.Now),
	})
	require.NoError(t, err)
	done, err := s.Reattest(t.Context(), old.ID(), nil)
	require.NoError(t, err)
	require.Equal(t, 3, done, "skill, industry, role")
	again, err := s.Reattest(t.Context(), old.ID(), nil)
	require.NoError(t, err)
	require.Zero(t, again)

	// What a verifier says of it, with the revocation in the log before the reattestation.
	judged := judgeAll(t, w, w.skill)
	for i, f := range judged {
		require.Nil(t, f, "amendment %d", i+1)
	}
	// The lists stand in that one state alone.
	next, err := w.serviceOf(t, k).Amend(t.Context(), request(w.who, ""), w.skill, ledger.Hash{}, domain.Evolve{Facts: skill("Welding two")})
	require.NoError(t, err)
	require.Empty(t, next.Entity.Governed.Reattests)
}

// judgeAll gives the keyring's verdict on an entity's chain, as a log would
// order it: the keys, the entity's first amendment, the end of the key, the rest.
func judgeAll(t *testing.T, w *world, id domain.ID) []*ledger.Fault {
	t.Helper()
	db := w.d.Open(t, "plant_auditor", 1)
	rows, err := db.Everything(t.Context())
	require.NoError(t, err)
	var entries, chain []ledger.Entry
	for i, row := range rows {
		e := ledger.Entry{Amendment: row, LogIndex: int64(i)}
		if row.Record.EntityType == string(domain.KindSigningKey) {
			entries = append(entries, e)
		}
		if row.Record.EntityID == string(id) {
			chain = append(chain, e)
		}
	}
	keyring, faults := ledger.NewKeyring(harness.Origin, entries[0].Record.KeyID, entries)
	for _, f := range faults {
		require.Nil(t, f)
	}
	return keyring.Judge(chain)
}

func TestRootIsNotEndedByARecord(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	k := w.d.OwnSecrets(t)
	known, err := k.DB.SigningKeys(t.Context())
	require.NoError(t, err)
	require.Error(t, k.End(t.Context(), known[0].KeyID, domain.EndKey{}))
	require.Error(t, k.End(t.Context(), "unknown", domain.EndKey{}))
}
