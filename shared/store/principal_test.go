package store_test

import (
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/dlai-sd/plant/scripts/localstack/stacktest"
	"github.com/dlai-sd/plant/shared/domain"
	"github.com/dlai-sd/plant/shared/store"
	"github.com/dlai-sd/plant/shared/testkit/harness"
)

func TestMain(m *testing.M) { stacktest.Main(m) }

func TestPrincipals(t *testing.T) {
	t.Parallel()
	d := harness.New(t)
	operator, authenticator := d.Open(t, "plant_operator", 1), d.Open(t, "plant_authenticator", 1)
	ctx := t.Context()
	p := store.Principal{
		ID: uuid.NewString(), GovernanceAgent: "acme", Name: "ci",
		Authorities: []domain.Authority{domain.Author}, Platform: []domain.Authority{domain.Auditor},
	}
	require.NoError(t, operator.AddPrincipalWithSecret(ctx, p, "$2a$first"))
	require.ErrorIs(t, operator.AddPrincipal(ctx, store.Principal{
		ID: uuid.NewString(), GovernanceAgent: "acme", Name: "ci",
	}), store.ErrNameTaken)
	bare := store.Principal{ID: uuid.NewString(), GovernanceAgent: "globex", Name: "ci"}
	require.NoError(t, operator.AddPrincipal(ctx, bare), "another tenant may have the name")

	got, hash, err := authenticator.PrincipalWithSecret(ctx, "acme", "ci")
	require.NoError(t, err)
	require.Equal(t, "$2a$first", hash)
	require.False(t, got.CreatedAt.IsZero())
	want := p
	want.HasSecret, want.CreatedAt = true, got.CreatedAt
	require.Equal(t, want, got)
	_, hash, err = authenticator.PrincipalWithSecret(ctx, "globex", "ci")
	require.NoError(t, err)
	require.Empty(t, hash)
	_, _, err = authenticator.PrincipalWithSecret(ctx, "globex", "acme")
	require.ErrorIs(t, err, store.ErrNotFound)

	require.NoError(t, operator.SetPrincipalSecret(ctx, p.ID, "$2a$second"))
	_, hash, err = authenticator.PrincipalWithSecret(ctx, "acme", "ci")
	require.NoError(t, err)
	require.Equal(t, "$2a$second", hash)
	for _, disabled := range []bool{true, true, false, false} {
		require.NoError(t, operator.SetPrincipalDisabled(ctx, p.ID, disabled))
		got, err = operator.FindPrincipal(ctx, "acme", "ci")
		require.NoError(t, err)
		require.Equal(t, disabled, got.Disabled)
	}
	require.ErrorIs(t, operator.SetPrincipalSecret(ctx, uuid.NewString(), "$2a$x"), store.ErrNotFound)
	require.ErrorIs(t, operator.SetPrincipalDisabled(ctx, uuid.NewString(), true), store.ErrNotFound)

	list, err := operator.ListPrincipals(ctx, "")
	require.NoError(t, err)
	require.Len(t, list, 2)
	require.Equal(t, want, list[0])
	list, err = operator.ListPrincipals(ctx, "globex")
	require.NoError(t, err)
	require.Len(t, list, 1)
	require.Equal(t, bare.ID, list[0].ID)
	require.False(t, list[0].HasSecret)
}

// TestPrincipalsAreSecret: the authenticator changes nothing, and no other
// function's role reads a hash.
func TestPrincipalsAreSecret(t *testing.T) {
	t.Parallel()
	d := harness.New(t)
	p := d.Principal(t, "acme", domain.Author)
	authenticator := d.Open(t, "plant_authenticator", 1)
	require.Error(t, authenticator.SetPrincipalSecret(t.Context(), p.ID, "$2a$mine"))
	require.Error(t, authenticator.SetPrincipalDisabled(t.Context(), p.ID, false))
	require.Error(t, authenticator.AddPrincipal(t.Context(), store.Principal{
		ID: uuid.NewString(), GovernanceAgent: "acme", Name: "mine",
	}))
	for _, role := range []string{"plant_writer", "plant_embedder", "plant_certifier", "plant_auditor", "plant_drift", "plant_reader"} {
		_, _, err := d.Open(t, role, 1).PrincipalWithSecret(t.Context(), "acme", p.Name)
		require.Error(t, err, role)
		require.NotErrorIs(t, err, store.ErrNotFound, "%s must not even look", role)
	}
}
