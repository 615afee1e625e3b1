package main

import (
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

// decidedTo stands for a decision of certification: signed by the certification
// key and written by the certifier's role, as a function of its own will.
type decidedTo struct{ status domain.Status }

func (decidedTo) Name() string                           { return domain.ChangeCertified }
func (decidedTo) Needs(domain.Entity) []domain.Authority { return []domain.Authority{domain.Genesis} }

func (d decidedTo) Apply(e domain.Entity) (domain.Entity, error) {
	e.Governed.Status = d.status
	return e, nil
}

// decided puts an entity where only certification can.
func (k *kit) decided(t *testing.T, id domain.ID, status domain.Status) {
	t.Helper()
	k.certifier(t)(t, id, status)
}

// certifier decides about one entity after the other.
func (k *kit) certifier(t *testing.T) func(*testing.T, domain.ID, domain.Status) {
	t.Helper()
	s, err := registry.New(registry.Config{
		DB: k.Open(t, "plant_certifier", 1), Keys: k.Secrets.Hold(keys.Pinned(k.Keys[domain.UseCertification]), time.Now),
		Origin: harness.Origin, Log: slog.New(slog.DiscardHandler),
	})
	require.NoError(t, err)
	who := k.PlatformPrincipal(t, "genesis-board", domain.Genesis)
	return func(t *testing.T, id domain.ID, status domain.Status) {
		t.Helper()
		_, err := s.Amend(t.Context(), requestOf(who), id, ledger.Hash{}, decidedTo{status})
		require.NoError(t, err)
	}
}
