package main

import (
	"context"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/dlai-sd/plant/shared/domain"
	"github.com/dlai-sd/plant/shared/keys"
	"github.com/dlai-sd/plant/shared/registry"
	"github.com/dlai-sd/plant/shared/testkit/harness"
)

// evolve changes a skill's notes.
func (s *server) evolve(t *testing.T, token string, made view, notes string) view {
	t.Helper()
	a := s.do(t, call{
		method: "PATCH", path: skills + "/" + string(made.ID), token: token, body: fmt.Sprintf(`{"governance_notes":%q}`, notes),
		header: map[string]string{
			"Content-Type": "application/merge-patch+json", "If-Match": fmt.Sprintf("%q", made.VersionHash), "Idempotency-Key": notes,
		},
	})
	require.Equal(t, 200, a.status, "%s", a.body)
	return as[view](t, a)
}

// TestRotationIsNoTampering: what a key signed between its introduction and its place
// in the log is in order, and so is what its predecessor signed before it was retired,
// in the log or not.
func TestRotationIsNoTampering(t *testing.T) {
	t.Parallel()
	for name, logged := range map[string]bool{"before anything is in the log": false, "behind a log": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			k := newKit(t)
			ring := k.OwnSecrets(t)
			writer, auditor := k.serve(t, createSkill, nil), k.serve(t, auditRun, nil)
			_, token := k.author(t, "acme")
			board := k.Token(t, k.PlatformPrincipal(t, "board", domain.Auditor))
			old := writer.create(t, token, plain("Of the old key"))
			if logged {
				auditor.sequence(t)
			}
			waits := writer.create(t, token, plain("Of the old key, and waits"))
			_, err := ring.Rotate(t.Context(), domain.UseAmendment)
			require.NoError(t, err)
			old = writer.evolve(t, token, old, "by the new key")
			fresh := writer.create(t, token, plain("Of the new key"))
			require.Equal(t, 2, k.count(t, "(SELECT DISTINCT key_id FROM amendment WHERE entity_type = 'skill') k"))

			inOrder := func() {
				for _, of := range []view{old, waits, fresh} {
					now := as[tamperingView](t, auditor.get(t, board, "/api/v1/audit/tampering/"+string(of.ID)))
					require.False(t, now.Tampered, "%s: %+v", of.Name, now.Findings)
				}
				require.Empty(t, k.audit(t, auditor, board, `{"scope":"all"}`).Findings)
			}
			inOrder()
			auditor.sequence(t)
			inOrder()
		})
	}
}

// TestAuditSeesOneMoment: a key that is introduced while an audit reads, and what it
// signs then, are both of another moment.
func TestAuditSeesOneMoment(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	ring := k.OwnSecrets(t)
	writer, auditor := k.serve(t, createSkill, nil), k.serve(t, auditRun, nil)
	_, token := k.author(t, "acme")
	board := k.Token(t, k.PlatformPrincipal(t, "board", domain.Auditor))
	made := writer.create(t, token, plain("Welding"))

	// Making a key takes seconds, and the audit does not wait that long.
	version, _, err := ring.Secrets.Create(t.Context(), strings.TrimSuffix(k.Keys[domain.UseAmendment], "/versions/1"), keys.RSA4096)
	require.NoError(t, err)
	next, err := ring.Secrets.Key(t.Context(), version)
	require.NoError(t, err)
	der, err := x509.MarshalPKIXPublicKey(next.Public())
	require.NoError(t, err)
	old, err := ring.Secrets.Key(t.Context(), k.Keys[domain.UseAmendment])
	require.NoError(t, err)
	root, err := registry.New(registry.Config{
		DB: ring.DB, Keys: ring.Secrets.Hold(keys.Pinned(k.Keys[domain.UseRoot]), time.Now), Origin: harness.Origin, Log: slog.New(slog.DiscardHandler),
	})
	require.NoError(t, err)

	// The audit stops at the last table that it reads, and the key and what it signs come.
	admin, err := pgx.Connect(t.Context(), k.URL)
	require.NoError(t, err)
	defer func() { _ = admin.Close(context.WithoutCancel(t.Context())) }()
	held, err := admin.Begin(t.Context())
	require.NoError(t, err)
	_, err = held.Exec(t.Context(), `LOCK TABLE embedding IN ACCESS EXCLUSIVE MODE`)
	require.NoError(t, err)
	found := make(chan answer)
	go func() {
		defer close(found) // a request that fails ends this goroutine, not the wait
		found <- auditor.get(t, board, "/api/v1/audit/tampering/"+string(made.ID))
	}()
	require.Eventually(t, func() bool { return k.count(t, "pg_locks WHERE NOT granted AND relation = 'embedding'::regclass") == 1 },
		time.Minute, time.Millisecond)
	_, err = root.Introduce(t.Context(), domain.SigningKey{
		KeyID: next.ID(), SPKI: base64.StdEncoding.EncodeToString(der), Use: domain.UseAmendment, MaySign: domain.DefaultMaySign(domain.UseAmendment),
	})
	require.NoError(t, err)
	require.NoError(t, ring.End(t.Context(), old.ID(), domain.EndKey{Reason: "rotated"}))
	writer.evolve(t, token, made, "by the new key")
	require.NoError(t, held.Rollback(t.Context()))
	now := as[tamperingView](t, <-found)
	require.False(t, now.Tampered, "%+v", now.Findings)
}
