package main

import (
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/stretchr/testify/require"

	"github.com/dlai-sd/plant/scripts/localstack/oidc"
	"github.com/dlai-sd/plant/shared/auth"
	"github.com/dlai-sd/plant/shared/domain"
	"github.com/dlai-sd/plant/shared/testkit/harness"
)

// bearers are Authorization headers that must not be taken for a principal's.
func bearers(t *testing.T, k *kit, who auth.Principal) map[string]string {
	t.Helper()
	mint := func(change func(*auth.Issuer)) string {
		i := auth.Issuer{Secrets: k.Tokens, Issuer: harness.Issuer, Audience: harness.Audience}
		change(&i)
		token, _, err := i.Mint(who)
		require.NoError(t, err)
		return token
	}
	good := mint(func(*auth.Issuer) {})
	parts := strings.Split(good, ".")
	payload, err := auth.NewSecrets("unknown")
	require.NoError(t, err)
	others, err := auth.ParseSecrets(payload)
	require.NoError(t, err)
	payload, err = auth.NewSecrets("test") // the kid that is known, with another secret
	require.NoError(t, err)
	forged, err := auth.ParseSecrets(payload)
	require.NoError(t, err)
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	asymmetric := jwt.NewWithClaims(jwt.SigningMethodRS256, jwt.MapClaims{
		"iss": harness.Issuer, "aud": harness.Audience, "sub": who.ID, "governance_agent_id": who.GovernanceAgent,
		"iat": time.Now().Unix(), "exp": time.Now().Add(time.Minute).Unix(), "authorities": []string{"author"},
	})
	asymmetric.Header["kid"], asymmetric.Header["typ"] = "test", "plant-access+jwt"
	rs256, err := asymmetric.SignedString(key)
	require.NoError(t, err)
	none := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none","kid":"test","typ":"plant-access+jwt"}`))
	at := func(d time.Duration) func(*auth.Issuer) {
		return func(i *auth.Issuer) { i.Now = func() time.Time { return time.Now().Add(d) } }
	}
	return map[string]string{
		"none":           "",
		"empty":          "Bearer ",
		"Basic":          "Basic dXNlcjpwYXNz",
		"no scheme":      good,
		"two tokens":     "Bearer " + good + " " + good,
		"not a token":    "Bearer abc",
		"alg none":       "Bearer " + none + "." + parts[1] + ".",
		"RS256":          "Bearer " + rs256,
		"expired":        "Bearer " + mint(at(-2*time.Hour)),
		"not yet":        "Bearer " + mint(at(10*time.Minute)),
		"other audience": "Bearer " + mint(func(i *auth.Issuer) { i.Audience = "https://other.example" }),
		"other issuer":   "Bearer " + mint(func(i *auth.Issuer) { i.Issuer = "https://other.example" }),
		"unknown kid":    "Bearer " + mint(func(i *auth.Issuer) { i.Secrets = others }),
		"forged":         "Bearer " + mint(func(i *auth.Issuer) { i.Secrets = forged }),
		"tampered":       "Bearer " + parts[0] + "." + strings.Replace(parts[1], parts[1][20:24], "AAAA", 1) + "." + parts[2],
		"cut off":        "Bearer " + good[:len(good)-2],
		"10 KiB":         "Bearer " + good + strings.Repeat("a", 10<<10),
		"a service's":    "Bearer " + serviceToken(t),
	}
}

func TestBadTokens(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	s := k.serve(t, createSkill, nil)
	who, token := k.author(t, "acme")
	id := s.create(t, token, plain("There")).ID
	before := k.skillsWritten(t)
	for name, header := range bearers(t, k, who) {
		for _, c := range []call{
			{method: "POST", path: skills, body: plain(name)},
			{method: "POST", path: skills, body: `not even JSON`},
			{method: "POST", path: skills + "/batch", body: `{"items":[` + plain(name) + `]}`},
			{method: "GET", path: skills},
			{method: "GET", path: skills + "/" + string(id)},
			{method: "GET", path: skills + "/" + string(id) + "/amendments"},
		} {
			c.header = map[string]string{"Authorization": header}
			a := s.do(t, c)
			require.Equal(t, 401, a.status, "%s: %s", name, a.body)
			require.Equal(t, "unauthenticated", a.problem(t).Code)
			require.Equal(t, "The request carries no valid bearer token.", a.problem(t).Detail, "and never why")
			require.NotEmpty(t, a.header.Get("WWW-Authenticate"))
		}
	}
	require.Equal(t, before, k.skillsWritten(t))
	for _, scheme := range []string{"bearer ", "BEARER "} { // RFC 9110: schemes have no case
		a := s.do(t, call{method: "GET", path: skills, header: map[string]string{"Authorization": scheme + token}})
		require.Equal(t, 200, a.status, "%s", a.body)
	}
}

func TestTrustedRouteTakesOnlyServices(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	s := k.serve(t, auditRun, nil)
	google, err := issuer()
	require.NoError(t, err)
	_, principal := k.author(t, "acme")
	mint := func(change func(*oidc.Claims)) string {
		c := oidc.Claims{Audience: pushAudience, Subject: "1", Email: pusher, EmailVerified: true}
		change(&c)
		token, err := google.Mint(c)
		require.NoError(t, err)
		return token
	}
	ask := func(token string) answer {
		return s.do(t, call{method: "POST", path: "/events/sequence", token: token})
	}
	require.Equal(t, 200, ask(mint(func(*oidc.Claims) {})).status)
	for name, token := range map[string]string{
		"none":           "",
		"a principal's":  principal,
		"wrong audience": mint(func(c *oidc.Claims) { c.Audience = "https://other.example" }),
		"wrong e-mail":   mint(func(c *oidc.Claims) { c.Email = "evil@plant-test.iam.gserviceaccount.com" }),
		"unverified":     mint(func(c *oidc.Claims) { c.EmailVerified = false }),
		"wrong issuer":   mint(func(c *oidc.Claims) { c.Issuer = "https://accounts.google.com" }),
		"expired":        mint(func(c *oidc.Claims) { c.IssuedAt = time.Now().Add(-2 * time.Hour) }),
	} {
		a := ask(token)
		require.Equal(t, 401, a.status, "%s: %s", name, a.body)
	}
	for _, path := range []string{skills, skills + "/batch"} {
		require.Equal(t, 404, s.do(t, call{method: "POST", path: path, token: principal, body: "{}"}).status)
	}
}

// TestCursorsStayInTheirList: a cursor of another order, of another list, or one
// that was made up is refused, or moves only within what the caller sees.
func TestCursorsStayInTheirList(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	s := k.serve(t, createSkill, nil)
	_, token := k.author(t, "acme")
	first, second := s.create(t, token, plain("One")), s.create(t, token, plain("Two"))
	next := *as[page[view]](t, s.get(t, token, skills+"?limit=1")).Next
	encode := func(text string) string { return base64.RawURLEncoding.EncodeToString([]byte(text)) }
	chain := skills + "/" + string(first.ID) + "/amendments"
	for name, path := range map[string]string{
		"another order":            skills + "?order_by=name&cursor=" + next,
		"the other direction":      skills + "?order_by=-created_at&cursor=" + next,
		"another list":             chain + "?cursor=" + next,
		"a time that is none":      skills + "?cursor=" + encode(`{"o":"created_at","k":"never","i":"`+string(first.ID)+`"}`),
		"an id that is none":       skills + "?cursor=" + encode(`{"o":"created_at","k":"2026-01-31T12:00:00Z","i":"x"}`),
		"a number that is none":    chain + "?cursor=" + encode(`{"o":"seq","k":"x","i":"`+string(first.ID)+`"}`),
		"another entity's chain":   chain + "?cursor=" + encode(`{"o":"seq","k":"1","i":"`+string(second.ID)+`"}`),
		"more members":             skills + "?cursor=" + encode(`{"o":"created_at","k":"2026-01-31T12:00:00Z","i":"`+string(first.ID)+`","x":1}`),
		"NUL":                      skills + "?order_by=name&cursor=" + encode(`{"o":"name","k":"\u0000","i":"`+string(first.ID)+`"}`),
		"a year that no one means": skills + "?cursor=" + encode(`{"o":"created_at","k":"99999-01-31T12:00:00Z","i":"`+string(first.ID)+`"}`),
	} {
		a := s.do(t, call{method: "GET", path: path, token: token})
		require.Equal(t, 400, a.status, "%s: %s", name, a.body)
		require.Equal(t, "malformed", a.problem(t).Code)
	}
	made := encode(`{"o":"name","k":"one","i":"` + string(domain.ID("01890000-0000-7000-8000-000000000000")) + `"}`)
	require.Len(t, as[page[view]](t, s.get(t, token, skills+"?order_by=name&cursor="+made)).Items, 2)
}

func TestHead(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	s := k.serve(t, createSkill, nil)
	_, token := k.author(t, "acme")
	made := s.create(t, token, plain("One"))
	for path, status := range map[string]int{
		"/health": 200, "/ready": 200, skills: 200, skills + "/" + string(made.ID): 200, skills + "/x": 404, "/nothing": 404, skills + "/batch": 404,
	} {
		head := s.do(t, call{method: "HEAD", path: path, token: token})
		get := s.do(t, call{method: "GET", path: path, token: token})
		require.Equal(t, status, head.status, path)
		require.Equal(t, get.status, head.status)
		require.Empty(t, head.body)
		require.Equal(t, get.header.Get("ETag"), head.header.Get("ETag"))
		require.Equal(t, get.header.Get("Content-Type"), head.header.Get("Content-Type"))
	}
}

func TestRequestID(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	s := k.serve(t, createSkill, nil)
	for given, kept := range map[string]bool{
		"import-42": true, strings.Repeat("a", 64): true, strings.Repeat("a", 65): false, "a b": false, "<script>": false, "ä": false, "": false,
	} {
		a := s.do(t, call{method: "GET", path: "/nothing", header: map[string]string{"X-Request-ID": given}})
		require.Equal(t, kept, a.header.Get("X-Request-Id") == given, given)
	}
}

func TestCORS(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	s := k.serve(t, createSkill, nil)
	_, token := k.author(t, "acme")
	preflight := func(origin string) answer {
		return s.do(t, call{method: "OPTIONS", path: skills, header: map[string]string{
			"Origin": origin, "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization,idempotency-key",
		}})
	}
	allowed := preflight(portal)
	require.Equal(t, http.StatusNoContent, allowed.status)
	require.Equal(t, portal, allowed.header.Get("Access-Control-Allow-Origin"))
	require.Contains(t, allowed.header.Get("Access-Control-Allow-Headers"), "Idempotency-Key")
	require.Empty(t, allowed.header.Get("Access-Control-Allow-Credentials"))
	for _, origin := range []string{"https://evil.example", portal + ".evil.example", "http://portal.test.example", "null"} {
		denied := preflight(origin)
		require.Equal(t, 405, denied.status)
		require.Empty(t, denied.header.Get("Access-Control-Allow-Origin"))
	}
	a := s.do(t, call{method: "GET", path: skills, token: token, header: map[string]string{"Origin": portal}})
	require.Equal(t, portal, a.header.Get("Access-Control-Allow-Origin"))
	require.Contains(t, a.header.Get("Access-Control-Expose-Headers"), "ETag")
	a = s.do(t, call{method: "GET", path: skills, token: token, header: map[string]string{"Origin": "https://evil.example"}})
	require.Empty(t, a.header.Get("Access-Control-Allow-Origin"))
}
