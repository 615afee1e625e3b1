package auth_test

import (
	"encoding/base64"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/crypto/bcrypt"
	"pgregory.net/rapid"

	"github.com/dlai-sd/plant/shared/auth"
	"github.com/dlai-sd/plant/shared/domain"
)

func TestClientID(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("n", 200)
	for id, want := range map[string][2]string{
		"acme/ci":            {"acme", "ci"},
		"acme/a/b":           {"acme", "a/b"},
		"a-1/Grüße an alle:": {"a-1", "Grüße an alle:"},
		"acme/" + long:       {"acme", long},
	} {
		agent, name, ok := auth.ParseClientID(id)
		require.True(t, ok, id)
		require.Equal(t, want, [2]string{agent, name})
	}
	for _, id := range []string{
		"", "acme", "/", "acme/", "/ci", "Acme/ci", "ac me/ci", strings.Repeat("a", 64) + "/ci",
		"acme/" + long + "n", "acme/\x00", "acme/\xff", "\xff/ci", "018f2b6e-0000-7000-8000-000000000000",
	} {
		_, _, ok := auth.ParseClientID(id)
		require.False(t, ok, "%q", id)
	}
}

func TestClientIDRoundTrip(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		p := auth.Principal{
			GovernanceAgent: rapid.StringMatching(`[a-z0-9-]{1,63}`).Draw(t, "agent"),
			Name:            rapid.StringMatching(`[^\x00]{1,40}`).Draw(t, "name"),
		}
		agent, name, ok := auth.ParseClientID(p.ClientID())
		require.True(t, ok)
		require.Equal(t, p, auth.Principal{GovernanceAgent: agent, Name: name})
	})
}

func TestNewClientSecret(t *testing.T) {
	t.Parallel()
	secret, hash, err := auth.NewClientSecret()
	require.NoError(t, err)
	random, err := base64.RawURLEncoding.DecodeString(secret)
	require.NoError(t, err)
	require.Len(t, random, 32)
	require.LessOrEqual(t, len(secret), auth.MaxClientSecret)
	cost, err := bcrypt.Cost([]byte(hash))
	require.NoError(t, err)
	require.Equal(t, 12, cost)
	require.NoError(t, bcrypt.CompareHashAndPassword([]byte(hash), []byte(secret)))
	require.NotContains(t, hash, secret)

	other, _, err := auth.NewClientSecret()
	require.NoError(t, err)
	require.NotEqual(t, secret, other)
}

func TestScope(t *testing.T) {
	t.Parallel()
	require.Empty(t, auth.Principal{}.Scope())
	p := auth.Principal{
		Authorities: []domain.Authority{domain.Author, domain.Genesis}, Platform: []domain.Authority{domain.Auditor},
	}
	require.Equal(t, "author genesis platform:auditor", p.Scope())
}
