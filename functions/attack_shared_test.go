package main

import (
	"log/slog"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/dlai-sd/plant/shared/auth"
	"github.com/dlai-sd/plant/shared/domain"
	"github.com/dlai-sd/plant/shared/keys"
	"github.com/dlai-sd/plant/shared/ledger"
	"github.com/dlai-sd/plant/shared/registry"
	"github.com/dlai-sd/plant/shared/testkit/harness"
)

// certified moves an entity to under_review and certifies it, as its owner's
// author and as the certifying function will. It returns the new ETag.
func (k *kit) certified(t *testing.T, who auth.Principal, id string) string {
	t.Helper()
	_, err := k.Service(t, 1).Amend(t.Context(), requestOf(who), domain.ID(id), ledger.Hash{}, domain.MoveTo{To: domain.UnderReview})
	require.NoError(t, err)
	s, err := registry.New(registry.Config{
		DB:   k.Open(t, "plant_certifier", 1),
		Keys: k.Secrets.Hold(keys.Pinned(k.Keys[domain.UseCertification]), time.Now), Origin: harness.Origin, Log: slog.New(slog.DiscardHandler),
	})
	require.NoError(t, err)
	genesis := k.Principal(t, who.GovernanceAgent, domain.Genesis)
	w, err := s.Amend(t.Context(), registry.Request{Who: genesis, Route: "certify", Key: uuid.NewString()}, domain.ID(id), ledger.Hash{}, decision{})
	require.NoError(t, err)
	return ledger.Hash(w.Entity.Head.ETag).String()
}
