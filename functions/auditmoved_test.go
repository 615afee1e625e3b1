package main

import (
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/dlai-sd/plant/shared/audit"
	"github.com/dlai-sd/plant/shared/store"
)

// TestAChunkIsWrittenDownOnce: of two workers who did the same part of a run one writes
// down what it found; where a part begins is its phase and its position.
func TestAChunkIsWrittenDownOnce(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	db := k.openAs(t, "plant_auditor")
	event := func() store.Event {
		return store.Event{ID: uuid.Must(uuid.NewV7()).String(), Type: audit.EventContinued, EntityID: "0198c0de-0000-7000-8000-000000000001", Tenant: "system", At: time.Now(), Data: []byte("{}")}
	}
	begun := store.Run{ID: uuid.Must(uuid.NewV7()).String(), Phase: store.PhaseLog}
	require.NoError(t, db.AddRun(t.Context(), "", begun, event()))
	at := func(phase, position string) store.Run {
		return store.Run{ID: begun.ID, Phase: phase, Position: position, Findings: 1}
	}
	found := func() []store.Finding {
		return []store.Finding{{ID: uuid.Must(uuid.NewV7()).String(), Reason: "x", Expected: "one", Found: "another"}}
	}
	first, second, third := at(store.PhaseLog, ""), at(store.PhaseEntities, ""), at(store.PhaseEntities, "0198c0de-0000-7000-8000-000000000001")
	require.NoError(t, db.Advance(t.Context(), first, second, found(), nil))
	require.ErrorIs(t, db.Advance(t.Context(), first, second, found(), []store.Event{event()}), store.ErrMovedOn, "of another phase")
	require.NoError(t, db.Advance(t.Context(), second, third, found(), nil))
	require.ErrorIs(t, db.Advance(t.Context(), second, third, found(), []store.Event{event()}), store.ErrMovedOn, "of another position")
	require.Equal(t, 2, k.count(t, "audit_finding"))
	require.Equal(t, 1, k.count(t, "outbox"), "the run's own")
}
