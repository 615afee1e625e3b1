package auth_test

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/golang-jwt/jwt/v5"
	"github.com/stretchr/testify/require"

	"github.com/dlai-sd/plant/shared/auth"
	"github.com/dlai-sd/plant/shared/domain"
	"github.com/dlai-sd/plant/shared/web"
)

const (
	issuer   = "https://plant.example.com"
	audience = "plant"
	kid      = "2026-01"
	someone  = "0190a0c0-0000-7000-8000-000000000001"
)

var noon = time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC)

func at(t time.Time) func() time.Time { return func() time.Time { return t } }

// payload is a document of fresh secrets with these kids, and the secrets.
func payload(t testing.TB, kids ...string) ([]byte, map[string][]byte) {
	t.Helper()
	var entries []string
	secrets := map[string][]byte{}
	for _, k := range kids {
		key := make([]byte, 32)
		_, err := rand.Read(key)
		require.NoError(t, err)
		secrets[k] = key
		entries = append(entries, fmt.Sprintf(`{"kid":%q,"secret":%q}`, k, base64.StdEncoding.EncodeToString(key)))
	}
	return []byte(`{"keys":[` + strings.Join(entries, ",") + `]}`), secrets
}

type fixture struct {
	secrets  *auth.Secrets
	raw      map[string][]byte
	issuer   auth.Issuer
	verifier *auth.Verifier
}

func newFixture(t testing.TB) fixture {
	t.Helper()
	doc, raw := payload(t, kid, "2025-12")
	secrets, err := auth.ParseSecrets(doc)
	require.NoError(t, err)
	v, err := auth.NewVerifier(secrets, issuer, audience, at(noon))
	require.NoError(t, err)
	return fixture{secrets, raw, auth.Issuer{Secrets: secrets, Issuer: issuer, Audience: audience, Now: at(noon)}, v}
}

func author() auth.Principal {
	return auth.Principal{
		ID: someone, GovernanceAgent: "acme", Name: "Ada",
		Authorities: []domain.Authority{domain.Author, domain.Architect}, Platform: []domain.Authority{domain.Genesis},
	}
}

// claims are those of a good token, changed.
func claims(change map[string]any) jwt.MapClaims {
	c := jwt.MapClaims{
		"iss": issuer, "aud": audience, "sub": someone, "iat": noon.Unix(), "exp": noon.Add(30 * time.Minute).Unix(),
		"governance_agent_id": "acme", "authorities": []string{"author"},
	}
	maps.Copy(c, change)
	for name, value := range c {
		if value == nil {
			delete(c, name)
		}
	}
	return c
}

// sign makes a token of its parts; header entries that are nil are left out.
func sign(t testing.TB, method jwt.SigningMethod, key any, header map[string]any, c jwt.Claims) string {
	t.Helper()
	token := jwt.NewWithClaims(method, c)
	token.Header["typ"], token.Header["kid"] = "plant-access+jwt", kid
	for name, value := range header {
		if value == nil {
			delete(token.Header, name)
			continue
		}
		token.Header[name] = value
	}
	s, err := token.SignedString(key)
	require.NoError(t, err)
	return s
}

func TestMintAndVerify(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	token, expires, err := f.issuer.Mint(author())
	require.NoError(t, err)
	require.Equal(t, noon.Add(30*time.Minute), expires)
	p, err := f.verifier.Verify(token)
	require.NoError(t, err)
	require.Equal(t, author(), p)

	again, _, err := f.issuer.Mint(author())
	require.NoError(t, err)
	require.NotEqual(t, token, again, "each has its own jti")
}

func TestVerifyWithAnOlderKey(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	old := sign(t, jwt.SigningMethodHS256, f.raw["2025-12"], map[string]any{"kid": "2025-12"}, claims(nil))
	_, err := f.verifier.Verify(old)
	require.NoError(t, err)
}

func TestVerifyClock(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	token, _, err := f.issuer.Mint(author())
	require.NoError(t, err)
	for offset, valid := range map[time.Duration]bool{
		-61 * time.Second:               false, // issued in the future
		-59 * time.Second:               true,
		30*time.Minute + 59*time.Second: true,
		30*time.Minute + 61*time.Second: false,
	} {
		v, err := auth.NewVerifier(f.secrets, issuer, audience, at(noon.Add(offset)))
		require.NoError(t, err)
		_, err = v.Verify(token)
		require.Equal(t, valid, err == nil, offset)
	}
}

func TestBadTokens(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	key := f.raw[kid]
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	hs := func(header map[string]any, change map[string]any) string {
		return sign(t, jwt.SigningMethodHS256, key, header, claims(change))
	}
	good := hs(nil, nil)
	_, err = f.verifier.Verify(good)
	require.NoError(t, err, "the token that the bad ones are made from")
	parts := strings.Split(good, ".")
	flipped := func(s string) string {
		return strings.Map(func(r rune) rune { return map[bool]rune{true: 'B', false: 'A'}[r == 'A'] }, s[:1]) + s[1:]
	}

	for name, token := range map[string]string{
		"empty":              "",
		"one part":           "abc",
		"four parts":         good + ".x",
		"not base64":         "*." + parts[1] + "." + parts[2],
		"padding":            parts[0] + "." + parts[1] + "." + parts[2] + "=",
		"10 KiB":             hs(nil, map[string]any{"jti": strings.Repeat("a", 10<<10)}),
		"tampered header":    flipped(parts[0]) + "." + parts[1] + "." + parts[2],
		"tampered claims":    parts[0] + "." + base64.RawURLEncoding.EncodeToString([]byte(`{"sub":"`+someone+`"}`)) + "." + parts[2],
		"tampered signature": parts[0] + "." + parts[1] + "." + flipped(parts[2]),
		"loose base64":       good[:len(good)-1] + string(good[len(good)-1]+1), // the last two bits mean nothing
		"no signature":       parts[0] + "." + parts[1] + ".",
		"alg none":           sign(t, jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, nil, claims(nil)),
		"alg None":           base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"None","typ":"plant-access+jwt","kid":"2026-01"}`)) + "." + parts[1] + ".",
		"RS256":              sign(t, jwt.SigningMethodRS256, rsaKey, nil, claims(nil)),
		"HS512":              sign(t, jwt.SigningMethodHS512, key, nil, claims(nil)),
		"HS384":              sign(t, jwt.SigningMethodHS384, key, nil, claims(nil)),
		"another's secret":   sign(t, jwt.SigningMethodHS256, f.raw["2025-12"], nil, claims(nil)),
		"empty secret":       sign(t, jwt.SigningMethodHS256, []byte{}, nil, claims(nil)),
		"unknown kid":        hs(map[string]any{"kid": "2024-01"}, nil),
		"no kid":             hs(map[string]any{"kid": nil}, nil),
		"kid is a number":    hs(map[string]any{"kid": 1}, nil),
		"no typ":             hs(map[string]any{"typ": nil}, nil),
		"typ JWT":            hs(map[string]any{"typ": "JWT"}, nil),
		"crit":               hs(map[string]any{"crit": []string{"exp"}}, nil),
		"jku":                hs(map[string]any{"jku": "https://evil.example"}, nil),
		"expired":            hs(nil, map[string]any{"iat": noon.Add(-time.Hour).Unix(), "exp": noon.Add(-31 * time.Minute).Unix()}),
		"not yet valid":      hs(nil, map[string]any{"nbf": noon.Add(2 * time.Minute).Unix()}),
		"issued tomorrow":    hs(nil, map[string]any{"iat": noon.Add(24 * time.Hour).Unix(), "exp": noon.Add(24*time.Hour + time.Minute).Unix()}),
		"lives a day":        hs(nil, map[string]any{"exp": noon.Add(24 * time.Hour).Unix()}),
		"exp before iat":     hs(nil, map[string]any{"iat": noon.Add(30 * time.Second).Unix(), "exp": noon.Add(20 * time.Second).Unix()}),
		"no exp":             hs(nil, map[string]any{"exp": nil}),
		"no iat":             hs(nil, map[string]any{"iat": nil}),
		"no iss":             hs(nil, map[string]any{"iss": nil}),
		"no aud":             hs(nil, map[string]any{"aud": nil}),
		"no sub":             hs(nil, map[string]any{"sub": nil}),
		"other issuer":       hs(nil, map[string]any{"iss": "https://other.example"}),
		"other audience":     hs(nil, map[string]any{"aud": "other"}),
		"exp is text":        hs(nil, map[string]any{"exp": "tomorrow"}),
		"sub not a UUID":     hs(nil, map[string]any{"sub": "root"}),
		"sub in upper case":  hs(nil, map[string]any{"sub": strings.ToUpper(someone)}),
		"no agent":           hs(nil, map[string]any{"governance_agent_id": nil}),
		"agent not a slug":   hs(nil, map[string]any{"governance_agent_id": "Acme'; --"}),
		"unknown authority":  hs(nil, map[string]any{"authorities": []string{"root"}}),
		"author everywhere":  hs(nil, map[string]any{"platform_authorities": []string{"author"}}),
		"claims not object":  base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"HS256"}`)) + "." + base64.RawURLEncoding.EncodeToString([]byte(`[]`)) + "." + parts[2],
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p, err := f.verifier.Verify(token)
			require.Error(t, err)
			require.Zero(t, p)
			var refusal *domain.Error
			require.ErrorAs(t, err, &refusal)
			require.Equal(t, domain.CodeUnauthenticated, refusal.Code)
			require.Equal(t, "The request carries no valid bearer token.", refusal.Detail, "the caller learns nothing")
			require.Error(t, refusal.Err, "we do")
		})
	}
}

func TestBearer(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	token, _, err := f.issuer.Mint(author())
	require.NoError(t, err)
	routes := web.Wrap(auth.Bearer(f.verifier, web.Endpoint(
		func(r *http.Request) (auth.Principal, error) { return auth.FromContext(r.Context()) },
		func(_ context.Context, p auth.Principal) (string, error) { return p.Author(), nil })), web.Options{})
	for name, test := range map[string]struct {
		headers []string
		status  int
	}{
		"good":         {[]string{"Bearer " + token}, 200},
		"scheme case":  {[]string{"bearer " + token}, 200},
		"missing":      {nil, 401},
		"empty":        {[]string{""}, 401},
		"no token":     {[]string{"Bearer "}, 401},
		"only scheme":  {[]string{"Bearer"}, 401},
		"basic":        {[]string{"Basic " + token}, 401},
		"two headers":  {[]string{"Bearer " + token, "Bearer " + token}, 401},
		"two tokens":   {[]string{"Bearer " + token + ", Bearer " + token}, 401},
		"two spaces":   {[]string{"Bearer  " + token}, 401},
		"10 KiB":       {[]string{"Bearer " + strings.Repeat("a", 10<<10)}, 401},
		"query string": {nil, 401},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := httptest.NewRequest(http.MethodGet, "/x?access_token="+token, nil)
			r.Header["Authorization"] = test.headers
			w := httptest.NewRecorder()
			routes.ServeHTTP(w, r)
			require.Equal(t, test.status, w.Code)
			body, err := io.ReadAll(w.Result().Body)
			require.NoError(t, err)
			if test.status == 200 {
				require.Equal(t, `"acme/`+someone+`"`, string(body))
				return
			}
			require.Equal(t, `Bearer realm="plant"`, w.Header().Get("WWW-Authenticate"))
			var p web.Problem
			require.NoError(t, json.Unmarshal(body, &p))
			require.Equal(t, domain.CodeUnauthenticated, p.Code)
			require.Equal(t, "The request carries no valid bearer token.", p.Detail)
		})
	}
}

func TestFromContextWithoutPrincipal(t *testing.T) {
	t.Parallel()
	_, err := auth.FromContext(t.Context())
	var refusal *domain.Error
	require.ErrorAs(t, err, &refusal)
	require.Equal(t, domain.CodeUnauthenticated, refusal.Code)
}

func TestMintRefuses(t *testing.T) {
	t.Parallel()
	good := newFixture(t).issuer
	for name, change := range map[string]func(*auth.Issuer, *auth.Principal){
		"no secrets":  func(i *auth.Issuer, _ *auth.Principal) { i.Secrets = nil },
		"no issuer":   func(i *auth.Issuer, _ *auth.Principal) { i.Issuer = "" },
		"no audience": func(i *auth.Issuer, _ *auth.Principal) { i.Audience = "" },
		"too long":    func(i *auth.Issuer, _ *auth.Principal) { i.TTL = time.Hour },
		"too short":   func(i *auth.Issuer, _ *auth.Principal) { i.TTL = time.Millisecond },
		"too large":   func(i *auth.Issuer, _ *auth.Principal) { i.Audience = strings.Repeat("a", 8<<10) },
		"principal":   func(_ *auth.Issuer, p *auth.Principal) { p.ID = "root" },
		"tenant":      func(_ *auth.Issuer, p *auth.Principal) { p.GovernanceAgent = "" },
		"name":        func(_ *auth.Issuer, p *auth.Principal) { p.Name = strings.Repeat("n", 201) },
	} {
		i, p := good, author()
		change(&i, &p)
		_, _, err := i.Mint(p)
		require.Error(t, err, name)
	}
}

func TestNewVerifierRefuses(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	for _, test := range []struct {
		secrets          *auth.Secrets
		issuer, audience string
	}{{nil, issuer, audience}, {f.secrets, "", audience}, {f.secrets, issuer, ""}} {
		_, err := auth.NewVerifier(test.secrets, test.issuer, test.audience, nil)
		require.Error(t, err)
	}
}

func TestHolds(t *testing.T) {
	t.Parallel()
	p := author()
	require.True(t, p.Holds(domain.Author))
	require.True(t, p.Holds(domain.Genesis), "on the platform means at home too")
	require.False(t, p.Holds(domain.Governor))
	require.True(t, p.HoldsOnPlatform(domain.Genesis))
	require.False(t, p.HoldsOnPlatform(domain.Architect), "at home is not on the platform")
}

func FuzzToken(f *testing.F) {
	fx := newFixture(f)
	good, _, err := fx.issuer.Mint(author())
	require.NoError(f, err)
	for _, seed := range []string{good, good[:len(good)-1], "eyJhbGciOiJub25lIn0.e30.", "..", "a.b.c", good + "."} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, token string) {
		p, err := fx.verifier.Verify(token)
		if token == good {
			require.NoError(t, err)
			return
		}
		require.Error(t, err, "nobody but the issuer makes a token")
		require.Zero(t, p)
		var refusal *domain.Error
		require.True(t, errors.As(err, &refusal))
	})
}
