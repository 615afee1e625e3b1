package main

import (
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/dlai-sd/plant/shared/audit"
	"github.com/dlai-sd/plant/shared/domain"
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

// TestAuditOfTiles: a tile above others is held to what lies below it, and one of no
// whole number of hashes is found like any other that is not as it was.
func TestAuditOfTiles(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	s := k.serve(t, auditRun, nil)
	k.bulk(t, 600)
	s.sequence(t)
	token := k.Token(t, k.PlatformPrincipal(t, "board", domain.Auditor))
	k.tamper(t, `UPDATE log_tile SET data = set_byte(data, 40, get_byte(data, 40) # 1) WHERE level = 1`,
		`UPDATE log_tile SET data = substring(data FROM 1 FOR 8191) WHERE level = 0 AND index = 0`)
	var tiles []string
	for _, f := range k.audit(t, s, token, `{"scope":"all"}`).Findings {
		if f.Reason == "tile_differs" {
			tiles = append(tiles, f.Found)
		}
	}
	require.ElementsMatch(t, []string{"tile 0/0", "tile 1/0", "tile 1/0"}, tiles)
}

// TestAuditHoldsTheHeadsToTheLog: whose an entry is, the signed heads know.
func TestAuditHoldsTheHeadsToTheLog(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	s, writer := k.serve(t, auditRun, nil), k.serve(t, createSkill, nil)
	_, author := k.author(t, "acme")
	id := writer.create(t, author, plain("Welding")).ID
	s.sequence(t)
	token := k.Token(t, k.PlatformPrincipal(t, "board", domain.Auditor))
	k.tamper(t, `UPDATE log_entry SET governance_agent_id = 'evil' WHERE entity_id = '`+string(id)+`'`)
	require.Contains(t, reasonsOf(k.audit(t, s, token, `{"scope":"all"}`)), "heads_differ")
}

func reasonsOf(run auditRunView) (reasons []string) {
	for _, f := range run.Findings {
		reasons = append(reasons, f.Reason)
	}
	return reasons
}

// TestWhatIsNoTampering: a vector that is gone is found, and nobody is alarmed; a
// tenant's own audit looks at nothing of the log's.
func TestWhatIsNoTampering(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	s, writer := k.serve(t, auditRun, nil), k.serve(t, createSkill, nil)
	_, author := k.author(t, "acme")
	writer.create(t, author, plain("Welding"))
	k.deliver(t, k.serve(t, embedder, nil), "/events/embed", ".created")
	s.sequence(t)
	k.tamper(t, `DELETE FROM embedding`)
	own := k.audit(t, s, k.Token(t, k.Principal(t, "acme", domain.Auditor)), `{"scope":"governance_agent","id":"acme"}`)
	require.Equal(t, []string{"vector_missing"}, reasonsOf(own))
	require.Zero(t, own.Entries)
	for _, m := range k.messages() {
		require.NotContains(t, m.Attributes["type"], ".tampered")
	}
}

// TestAuditOfAPathThatIsNone: what stands in the place of a path of hashes is found, and
// does not end the audit of what is around it.
func TestAuditOfAPathThatIsNone(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	s := k.serve(t, auditRun, nil)
	k.bulk(t, 3)
	s.sequence(t)
	token := k.Token(t, k.PlatformPrincipal(t, "board", domain.Auditor))
	k.tamper(t, `UPDATE amendment SET batch_path = batch_path || '\x00'
		WHERE entity_id = (SELECT min(entity_id::text)::uuid FROM amendment WHERE batch_path IS NOT NULL)`)
	run := k.audit(t, s, token, `{"scope":"all"}`)
	require.Equal(t, []string{"batch_path_invalid"}, reasonsOf(run))
	require.EqualValues(t, k.count(t, "entity"), run.Entities)
}
