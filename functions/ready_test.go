package main

import (
	"context"
	"log/slog"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/dlai-sd/plant/scripts/localstack/stacktest"
	"github.com/dlai-sd/plant/shared/domain"
	"github.com/dlai-sd/plant/shared/keys"
	"github.com/dlai-sd/plant/shared/ledger"
	"github.com/dlai-sd/plant/shared/registry"
	"github.com/dlai-sd/plant/shared/testkit/harness"
)

// retire takes the key of a use out of force, as an operator does.
func (k *kit) retire(t *testing.T, use domain.KeyUse) {
	t.Helper()
	operator := k.Open(t, "plant_operator", 1)
	service, err := registry.New(registry.Config{
		DB: operator, Keys: k.Secrets.Hold(keys.Pinned(k.Keys[domain.UseRoot]), time.Now), Origin: harness.Origin,
		Log: slog.New(slog.DiscardHandler),
	})
	require.NoError(t, err)
	all, err := operator.SigningKeys(t.Context())
	require.NoError(t, err)
	for _, one := range all {
		if one.Use == use {
			_, err := service.Amend(t.Context(), registry.Request{Who: registry.System("keys")}, one.EntityID, ledger.Hash{},
				domain.EndKey{Reason: "rotated"})
			require.NoError(t, err)
		}
	}
}

// close lets nobody into the deployment's database any more.
func (k *kit) close(t *testing.T) {
	t.Helper()
	at, err := url.Parse(k.URL)
	require.NoError(t, err)
	name := strings.TrimPrefix(at.Path, "/")
	conn, err := pgx.Connect(t.Context(), stacktest.AdminURL(t))
	require.NoError(t, err)
	defer func() { _ = conn.Close(context.WithoutCancel(t.Context())) }()
	_, err = conn.Exec(t.Context(), "ALTER DATABASE "+pgx.Identifier{name}.Sanitize()+" ALLOW_CONNECTIONS false")
	require.NoError(t, err)
	_, err = conn.Exec(t.Context(), "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1", name)
	require.NoError(t, err)
}

func TestReadyFails(t *testing.T) {
	t.Parallel()
	type readiness struct {
		Status string            `json:"status"`
		Checks map[string]string `json:"checks"`
	}
	for name, c := range map[string]struct {
		spoil  func(t *testing.T, k *kit)
		failed []string
		write  int // what a create answers then
	}{
		"schema older": {func(t *testing.T, k *kit) {
			k.admin(t, `DELETE FROM goose_db_version WHERE version_id = (SELECT max(version_id) FROM goose_db_version)`)
		}, []string{"schema"}, 201},
		"another constitution": {func(t *testing.T, k *kit) {
			k.EnactDocument(t, []byte(`{}`))
		}, []string{"constitution"}, 503},
		"key retired": {func(t *testing.T, k *kit) { k.retire(t, domain.UseAmendment) }, []string{"keys"}, 503},
		"database away": {func(t *testing.T, k *kit) {
			k.close(t)
		}, []string{"schema", "constitution", "keys"}, 503},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			k := newKit(t)
			s := k.serve(t, createSkill, nil)
			_, token := k.author(t, "acme")
			s.get(t, "", "/ready")
			c.spoil(t, k)
			a := s.do(t, call{method: "GET", path: "/ready"})
			require.Equal(t, 503, a.status, "%s", a.body)
			require.NotEmpty(t, a.header.Get("Retry-After"))
			got := as[readiness](t, a)
			require.Equal(t, "failed", got.Status)
			want := map[string]string{"schema": "ok", "constitution": "ok", "keys": "ok"}
			for _, check := range c.failed {
				want[check] = "failed"
			}
			require.Equal(t, want, got.Checks)
			s.get(t, "", "/health") // touches nothing
			written := s.post(t, token, skills, plain("Now"))
			require.Equal(t, c.write, written.status, "%s", written.body)
			require.Equal(t, c.write == 503, written.header.Get("Retry-After") != "")
		})
	}
}
