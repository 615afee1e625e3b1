package oidc_test

import (
	"context"
	"testing"
	"time"

	verifier "github.com/coreos/go-oidc/v3/oidc"
	"github.com/stretchr/testify/require"

	"github.com/dlai-sd/plant/scripts/localstack/oidc"
)

const (
	audience = "http://127.0.0.1/events/embed"
	email    = "push@plant-local.iam.gserviceaccount.com"
)

func start(t *testing.T) *oidc.Issuer {
	t.Helper()
	i, err := oidc.Start(0)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, i.Stop(context.Background())) })
	return i
}

func TestTokensVerifyWithTheRealVerifier(t *testing.T) {
	t.Parallel()
	i := start(t)
	provider, err := verifier.NewProvider(t.Context(), i.URL())
	require.NoError(t, err)
	raw, err := i.Token(audience, email)
	require.NoError(t, err)
	token, err := provider.Verifier(&verifier.Config{ClientID: audience}).Verify(t.Context(), raw)
	require.NoError(t, err)
	require.Equal(t, i.URL(), token.Issuer)
	require.Len(t, token.Subject, 21)
	require.Equal(t, time.Hour, token.Expiry.Sub(token.IssuedAt))
	var claims struct {
		Email    string `json:"email"`
		Verified bool   `json:"email_verified"`
	}
	require.NoError(t, token.Claims(&claims))
	require.Equal(t, email, claims.Email)
	require.True(t, claims.Verified)
}

func TestWrongTokensAreRefused(t *testing.T) {
	t.Parallel()
	i, other := start(t), start(t)
	provider, err := verifier.NewProvider(t.Context(), i.URL())
	require.NoError(t, err)
	check := provider.Verifier(&verifier.Config{ClientID: audience})
	past := time.Now().Add(-2 * time.Hour)
	tests := map[string]struct {
		by     *oidc.Issuer
		claims oidc.Claims
	}{
		"audience": {i, oidc.Claims{Audience: "http://elsewhere"}},
		"expired":  {i, oidc.Claims{Audience: audience, IssuedAt: past}},
		"issuer":   {i, oidc.Claims{Audience: audience, Issuer: "https://accounts.google.com"}},
		"key":      {other, oidc.Claims{Audience: audience, Issuer: i.URL()}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			raw, err := tt.by.Mint(tt.claims)
			require.NoError(t, err)
			_, err = check.Verify(context.Background(), raw)
			require.Error(t, err)
		})
	}
}
