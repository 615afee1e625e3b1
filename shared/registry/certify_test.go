package registry_test

import (
	"log/slog"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/dlai-sd/plant/shared/auth"
	"github.com/dlai-sd/plant/shared/domain"
	"github.com/dlai-sd/plant/shared/keys"
	"github.com/dlai-sd/plant/shared/ledger"
	"github.com/dlai-sd/plant/shared/registry"
	"github.com/dlai-sd/plant/shared/testkit/harness"
)

// decide is a certification as the certifying function will make it: signed by
// the certification key, written by the certifier's role.
type decide struct{}

func (decide) Name() string                           { return domain.ChangeCertified }
func (decide) Needs(domain.Entity) []domain.Authority { return []domain.Authority{domain.Genesis} }
func (decide) Apply(e domain.Entity) (domain.Entity, error) {
	e.Governed.Status = domain.Certified
	return e, nil
}

func (w *world) certify(t *testing.T, id domain.ID) {
	t.Helper()
	s, err := registry.New(registry.Config{
		DB: w.d.Open(t, "plant_certifier", 1), Keys: w.d.Secrets.Hold(keys.Pinned(w.d.Keys[domain.UseCertification]), time.Now),
		Origin: harness.Origin, Log: slog.New(slog.DiscardHandler),
	})
	require.NoError(t, err)
	genesis := auth.Principal{GovernanceAgent: w.who.GovernanceAgent, ID: w.d.Principal(t, w.who.GovernanceAgent, domain.Genesis).ID, Authorities: []domain.Authority{domain.Genesis}}
	_, err = s.Amend(t.Context(), request(genesis, ""), id, ledger.Hash{}, decide{})
	require.NoError(t, err)
}
