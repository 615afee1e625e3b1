package auth_test

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"maps"
	"math/big"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/stretchr/testify/require"

	"github.com/dlai-sd/plant/shared/auth"
	"github.com/dlai-sd/plant/shared/domain"
)

const pusher = "push@plant.iam.gserviceaccount.com"

// rsaKey is generated once: OIDC tokens are RS256.
var rsaKey = sync.OnceValues(func() (*rsa.PrivateKey, error) { return rsa.GenerateKey(rand.Reader, 2048) })

// google is a local issuer of OpenID Connect tokens.
type google struct {
	*httptest.Server
	key     *rsa.PrivateKey
	fetches atomic.Int32 // of the keys
	down    atomic.Bool
}

func newGoogle(t *testing.T) *google {
	t.Helper()
	key, err := rsaKey()
	require.NoError(t, err)
	g := &google{key: key}
	mux := http.NewServeMux()
	mux.HandleFunc("/.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
		if g.down.Load() {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = fmt.Fprintf(w, `{"issuer":%q,"jwks_uri":%q,"authorization_endpoint":"x","token_endpoint":"x","id_token_signing_alg_values_supported":["RS256","HS256","none"]}`, g.URL, g.URL+"/keys")
	})
	mux.HandleFunc("/keys", func(w http.ResponseWriter, _ *http.Request) {
		g.fetches.Add(1)
		w.Header().Set("Content-Type", "application/json")
		_, _ = fmt.Fprintf(w, `{"keys":[{"kty":"RSA","alg":"RS256","use":"sig","kid":"g1","n":%q,"e":%q}]}`,
			base64.RawURLEncoding.EncodeToString(key.N.Bytes()), base64.RawURLEncoding.EncodeToString(big.NewInt(int64(key.E)).Bytes()))
	})
	g.Server = httptest.NewServer(mux)
	t.Cleanup(g.Close)
	return g
}

// token signs the claims of a good token, changed; header likewise.
func (g *google) token(t *testing.T, header, change map[string]any) string {
	t.Helper()
	h := map[string]any{"alg": "RS256", "typ": "JWT", "kid": "g1"}
	maps.Copy(h, header)
	c := map[string]any{
		"iss": g.URL, "aud": "https://plant/events", "sub": "1234", "email": pusher, "email_verified": true,
		"iat": noon.Unix(), "exp": noon.Add(time.Hour).Unix(),
	}
	maps.Copy(c, change)
	maps.DeleteFunc(c, func(_ string, v any) bool { return v == nil })
	encode := func(v any) string {
		b, err := json.Marshal(v)
		require.NoError(t, err)
		return base64.RawURLEncoding.EncodeToString(b)
	}
	text := encode(h) + "." + encode(c)
	sum := sha256.Sum256([]byte(text))
	signature, err := rsa.SignPKCS1v15(rand.Reader, g.key, crypto.SHA256, sum[:])
	require.NoError(t, err)
	return text + "." + base64.RawURLEncoding.EncodeToString(signature)
}

func (g *google) config() auth.OIDCConfig {
	return auth.OIDCConfig{Issuer: g.URL, Audience: "https://plant/events", Emails: []string{pusher}, Now: at(noon)}
}

func bearing(token string) *http.Request {
	r := httptest.NewRequest(http.MethodPost, "/events/embed", nil)
	r.Header.Set("Authorization", "Bearer "+token)
	return r
}

func code(t *testing.T, err error) domain.Code {
	t.Helper()
	var refusal *domain.Error
	require.ErrorAs(t, err, &refusal)
	return refusal.Code
}

func TestOIDC(t *testing.T) {
	t.Parallel()
	g := newGoogle(t)
	o, err := auth.NewOIDC(g.config())
	require.NoError(t, err)
	good := g.token(t, nil, nil)
	parts := strings.Split(good, ".")
	for range 5 {
		require.NoError(t, o.Authenticate(bearing(good)))
	}
	require.EqualValues(t, 1, g.fetches.Load(), "the keys are kept")

	for name, token := range map[string]string{
		"not a token":       "abc",
		"10 KiB":            g.token(t, nil, map[string]any{"padding": strings.Repeat("a", 10<<10)}),
		"tampered":          parts[0] + "." + parts[1] + "." + parts[2][:10] + "AAAA" + parts[2][14:],
		"alg none":          base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none"}`)) + "." + parts[1] + ".",
		"alg HS256":         g.token(t, map[string]any{"alg": "HS256"}, nil),
		"other issuer":      g.token(t, nil, map[string]any{"iss": "https://accounts.google.com"}),
		"other audience":    g.token(t, nil, map[string]any{"aud": "https://other"}),
		"no audience":       g.token(t, nil, map[string]any{"aud": nil}),
		"other e-mail":      g.token(t, nil, map[string]any{"email": "evil@example.com"}),
		"no e-mail":         g.token(t, nil, map[string]any{"email": nil}),
		"unverified":        g.token(t, nil, map[string]any{"email_verified": false}),
		"verified missing":  g.token(t, nil, map[string]any{"email_verified": nil}),
		"verified is text":  g.token(t, nil, map[string]any{"email_verified": "true"}),
		"no sub":            g.token(t, nil, map[string]any{"sub": nil}),
		"no iat":            g.token(t, nil, map[string]any{"iat": nil}),
		"issued tomorrow":   g.token(t, nil, map[string]any{"iat": noon.Add(2 * time.Minute).Unix()}),
		"expired":           g.token(t, nil, map[string]any{"exp": noon.Add(-time.Minute).Unix()}),
		"no exp":            g.token(t, nil, map[string]any{"exp": nil}),
		"lives a day":       g.token(t, nil, map[string]any{"exp": noon.Add(24 * time.Hour).Unix()}),
		"another key's kid": g.token(t, map[string]any{"kid": "g2"}, nil),
	} {
		require.Equal(t, domain.CodeUnauthenticated, code(t, o.Authenticate(bearing(token))), name)
	}
	require.Equal(t, domain.CodeUnauthenticated, code(t, o.Authenticate(httptest.NewRequest(http.MethodPost, "/", nil))))
	require.NoError(t, o.Authenticate(bearing(good)), "and the good one still passes")
}

func TestOIDCInventedKidsDoNotFloodTheIssuer(t *testing.T) {
	t.Parallel()
	g := newGoogle(t)
	o, err := auth.NewOIDC(g.config())
	require.NoError(t, err)
	for i := range 50 {
		require.Error(t, o.Authenticate(bearing(g.token(t, map[string]any{"kid": fmt.Sprint("invented-", i)}, nil))))
	}
	require.LessOrEqual(t, g.fetches.Load(), int32(5))
}

func TestOIDCRecovers(t *testing.T) {
	t.Parallel()
	g := newGoogle(t)
	g.down.Store(true)
	o, err := auth.NewOIDC(g.config())
	require.NoError(t, err, "making one touches no network")
	good := g.token(t, nil, nil)
	require.Equal(t, domain.CodeUnavailable, code(t, o.Authenticate(bearing(good))))
	g.down.Store(false)
	require.NoError(t, o.Authenticate(bearing(good)), "a failed fetch is not kept")
}

func TestOIDCUnreachable(t *testing.T) {
	t.Parallel()
	g := newGoogle(t)
	cfg := g.config()
	cfg.Client = g.Client()
	good := g.token(t, nil, nil)
	g.Close()
	o, err := auth.NewOIDC(cfg)
	require.NoError(t, err)
	require.Equal(t, domain.CodeUnavailable, code(t, o.Authenticate(bearing(good))))
}

func TestOIDCRequire(t *testing.T) {
	t.Parallel()
	g := newGoogle(t)
	o, err := auth.NewOIDC(g.config())
	require.NoError(t, err)
	h := o.Require(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }))

	w := httptest.NewRecorder()
	h.ServeHTTP(w, bearing(g.token(t, nil, nil)))
	require.Equal(t, 204, w.Code)

	w = httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/events/embed", nil))
	require.Equal(t, 401, w.Code)
	require.NotEmpty(t, w.Header().Get("WWW-Authenticate"))
}

func TestNewOIDCRefuses(t *testing.T) {
	t.Parallel()
	good := auth.OIDCConfig{Issuer: "https://accounts.google.com", Audience: "a", Emails: []string{pusher}}
	_, err := auth.NewOIDC(good)
	require.NoError(t, err)
	for name, change := range map[string]func(*auth.OIDCConfig){
		"no issuer":    func(c *auth.OIDCConfig) { c.Issuer = "" },
		"http":         func(c *auth.OIDCConfig) { c.Issuer = "http://accounts.google.com" },
		"file":         func(c *auth.OIDCConfig) { c.Issuer = "file:///etc" },
		"no audience":  func(c *auth.OIDCConfig) { c.Audience = "" },
		"no e-mail":    func(c *auth.OIDCConfig) { c.Emails = nil },
		"empty e-mail": func(c *auth.OIDCConfig) { c.Emails = []string{""} },
	} {
		c := good
		change(&c)
		_, err := auth.NewOIDC(c)
		require.Error(t, err, name)
	}
}
