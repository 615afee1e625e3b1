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

// decided stands for a decision of certification: signed by the certification
// key and written by the certifier's role, as a function of its own will.
type decided struct{ status domain.Status }

func (decided) Name() string                           { return domain.ChangeCertified }
func (decided) Needs(domain.Entity) []domain.Authority { return []domain.Authority{domain.Genesis} }
func (d decided) Apply(e domain.Entity) (domain.Entity, error) {
	e.Governed.Status = d.status
	return e, nil
}

// certified puts an entity where only certification can.
func (k *kit) certified(t *testing.T, id domain.ID, status domain.Status) {
	t.Helper()
	s, err := registry.New(registry.Config{
		DB: k.Open(t, "plant_certifier", 1), Keys: k.Secrets.Hold(keys.Pinned(k.Keys[domain.UseCertification]), time.Now),
		Origin: harness.Origin, Log: slog.New(slog.DiscardHandler),
	})
	require.NoError(t, err)
	who := k.PlatformPrincipal(t, "genesis-board", domain.Genesis)
	_, err = s.Amend(t.Context(), requestOf(who), id, ledger.Hash{}, decided{status})
	require.NoError(t, err)
}
