package issuetoken

import (
	"encoding/base64"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"golang.org/x/crypto/bcrypt"

	"github.com/dlai-sd/plant/shared/auth"
	"github.com/dlai-sd/plant/shared/domain"
	"github.com/dlai-sd/plant/shared/registry/api"
	"github.com/dlai-sd/plant/shared/store"
	"github.com/dlai-sd/plant/shared/web"
)

// registry serves POST /api/v1/genesis/skills as create-skill does.
func (k *kit) registry(t *testing.T, secrets *auth.Secrets) string {
	t.Helper()
	issuer := k.issuer(secrets)
	v, err := auth.NewVerifier(secrets, issuer.Issuer, issuer.Audience, k.clock.Now)
	require.NoError(t, err)
	const skills = "/api/v1/genesis/skills"
	var mux web.Mux
	mux.Handle("POST "+skills, auth.Bearer(v, api.New[domain.Skill](k.Service(t, 2), skills).Create("createSkill")))
	server := httptest.NewServer(web.Wrap(&mux, web.Options{}))
	t.Cleanup(server.Close)
	return server.URL + skills
}

// create makes a skill and returns the status.
func create(t *testing.T, address, token string) int {
	t.Helper()
	body := `{"name":"` + uuid.NewString() + `","description":"Does it.","category":"technical"}`
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, address, strings.NewReader(body))
	require.NoError(t, err)
	req.Header = http.Header{
		"Content-Type": {"application/json"}, "Idempotency-Key": {uuid.NewString()}, "Authorization": {"Bearer " + token},
	}
	resp, err := http.DefaultTransport.RoundTrip(req)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	return resp.StatusCode
}

// TestLifeOfASecret: from a secret as the command line makes it to an entity,
// with bcrypt in earnest.
func TestLifeOfASecret(t *testing.T) {
	t.Parallel()
	k := newKit(t, bcrypt.CompareHashAndPassword)
	skills := k.registry(t, k.Tokens)
	secret, hash, err := auth.NewClientSecret()
	require.NoError(t, err)
	p := store.Principal{
		ID: uuid.NewString(), GovernanceAgent: "acme", Name: "ci",
		Authorities: []domain.Authority{domain.Author}, Platform: []domain.Authority{domain.Auditor},
	}
	require.NoError(t, k.operator.AddPrincipalWithSecret(t.Context(), p, hash))

	a := k.send(t, credentialsOf("acme/ci", secret), nil)
	got := a.token(t)
	require.Equal(t, "Bearer", got.TokenType)
	require.InDelta(t, 1800, got.ExpiresIn, 1)
	require.Equal(t, "author platform:auditor", got.Scope)
	require.Equal(t, p.ID, got.PrincipalID)
	require.Equal(t, "acme", got.GovernanceAgent)
	require.Equal(t, "application/json", a.header.Get("Content-Type"))
	require.Equal(t, "no-store", a.header.Get("Cache-Control"))
	require.Equal(t, "no-cache", a.header.Get("Pragma"))
	require.Equal(t, 201, create(t, skills, got.AccessToken))

	require.NoError(t, k.operator.SetPrincipalDisabled(t.Context(), p.ID, true))
	require.Equal(t, 403, create(t, skills, got.AccessToken), "disabled means now")
	require.Equal(t, 401, k.send(t, credentialsOf("acme/ci", secret), nil).status)
	require.NoError(t, k.operator.SetPrincipalDisabled(t.Context(), p.ID, false))
	require.Equal(t, 201, create(t, skills, got.AccessToken))

	second, hash, err := auth.NewClientSecret()
	require.NoError(t, err)
	require.NoError(t, k.operator.SetPrincipalSecret(t.Context(), p.ID, hash))
	require.Equal(t, 401, k.send(t, credentialsOf("acme/ci", secret), nil).status, "the old secret is over")
	require.Equal(t, 201, create(t, skills, k.send(t, credentialsOf("acme/ci", second), nil).token(t).AccessToken))

	k.clock.pass(auth.TokenTTL + 2*time.Minute)
	require.Equal(t, 401, create(t, skills, got.AccessToken), "30 minutes, and a minute of skew")
}

func basicOf(id, secret string) http.Header {
	return http.Header{"Authorization": {"Basic " + base64.StdEncoding.EncodeToString([]byte(id+":"+secret))}}
}

func TestWaysToAsk(t *testing.T) {
	t.Parallel()
	k := newKit(t, nil)
	k.add(t, "ci")
	k.add(t, "50% of: a+b")
	odd := url.QueryEscape("acme/50% of: a+b")
	for name, c := range map[string]struct {
		body   string
		header http.Header
	}{
		"body":               {credentialsOf("acme/ci", "cici"), nil},
		"charset":            {credentialsOf("acme/ci", "cici"), http.Header{"Content-Type": {web.MediaForm + "; charset=UTF-8"}}},
		"odd name in a body": {credentialsOf("acme/50% of: a+b", "50% of: a+b50% of: a+b"), nil},
		"basic":              {form(), basicOf("acme/ci", "cici")},
		"basic, escaped":     {form(), basicOf("acme%2Fci", "cici")},
		"basic, odd name":    {form(), basicOf(odd, url.QueryEscape("50% of: a+b50% of: a+b"))},
		"basic in lower case": {form(), http.Header{
			"Authorization": {strings.Replace(basicOf("acme/ci", "cici").Get("Authorization"), "Basic", "basic", 1)},
		}},
		"basic and empty fields": {form("client_id", "", "client_secret", ""), basicOf("acme/ci", "cici")},
		"scope":                  {form("client_id", "acme/ci", "client_secret", "cici", "scope", "genesis"), nil},
		"unknown parameters":     {form("client_id", "acme/ci", "client_secret", "cici", "audience", "x", "resource", "y"), nil},
	} {
		got := k.send(t, c.body, c.header).token(t)
		require.Equal(t, "author", got.Scope, name)
		require.Len(t, k.counter.taken(), 1, name)
	}
}

func TestRefused(t *testing.T) {
	t.Parallel()
	k := newKit(t, nil)
	k.add(t, "ci")
	good := credentialsOf("acme/ci", "cici")
	wrongType := func(media string) http.Header { return http.Header{"Content-Type": {media}} }
	for _, c := range []struct {
		name, query, body string
		header            http.Header
		status            int
		code              domain.Code
		oauth             string
	}{
		{"grant type missing", "", "client_id=acme%2Fci&client_secret=cici", nil, 400, domain.CodeMalformed, "invalid_request"},
		{"grant type empty", "", "grant_type=&client_id=acme%2Fci&client_secret=cici", nil, 400, domain.CodeMalformed, "invalid_request"},
		{"wrong grant type", "", "grant_type=password&client_id=acme%2Fci&client_secret=cici", nil, 400, domain.CodeMalformed, "unsupported_grant_type"},
		{"grant type in capitals", "", "grant_type=Client_Credentials&client_id=acme%2Fci&client_secret=cici", nil, 400, domain.CodeMalformed, "unsupported_grant_type"},
		{"nothing", "", "", nil, 400, domain.CodeMalformed, "invalid_request"},
		{"no id", "", form("client_secret", "cici"), nil, 401, domain.CodeUnauthenticated, "invalid_client"},
		{"no secret", "", form("client_id", "acme/ci"), nil, 401, domain.CodeUnauthenticated, "invalid_client"},
		{"empty secret", "", credentialsOf("acme/ci", ""), nil, 401, domain.CodeUnauthenticated, "invalid_client"},
		{"body and basic", "", good, basicOf("acme/ci", "cici"), 400, domain.CodeMalformed, "invalid_request"},
		{"id in the body and basic", "", form("client_id", "acme/ci"), basicOf("acme/ci", "cici"), 400, domain.CodeMalformed, "invalid_request"},
		{"another scheme", "", form(), http.Header{"Authorization": {"Bearer cici"}}, 401, domain.CodeUnauthenticated, "invalid_client"},
		{"another scheme and a body", "", good, http.Header{"Authorization": {"Bearer cici"}}, 400, domain.CodeMalformed, "invalid_request"},
		{"basic without base64", "", form(), http.Header{"Authorization": {"Basic acme/ci:cici"}}, 401, domain.CodeUnauthenticated, "invalid_client"},
		{"basic without a colon", "", form(), http.Header{"Authorization": {"Basic YWNtZQ=="}}, 401, domain.CodeUnauthenticated, "invalid_client"},
		{"basic with half an escape", "", form(), basicOf("acme/ci%", "cici"), 401, domain.CodeUnauthenticated, "invalid_client"},
		{"basic twice", "", form(), http.Header{"Authorization": {basicOf("acme/ci", "cici").Get("Authorization"), "Basic eDp5"}}, 401, domain.CodeUnauthenticated, "invalid_client"},
		{"secret twice", "", good + "&client_secret=cici", nil, 400, domain.CodeMalformed, "invalid_request"},
		{"grant type twice", "", good + "&grant_type=client_credentials", nil, 400, domain.CodeMalformed, "invalid_request"},
		{"something unknown twice", "", good + "&x=1&x=2", nil, 400, domain.CodeMalformed, "invalid_request"},
		{"not form-encoded", "", good + "&x=%zz", nil, 400, domain.CodeMalformed, "invalid_request"},
		{"secret in the URL", "?client_secret=cici", form("client_id", "acme/ci"), nil, 400, domain.CodeMalformed, "invalid_request"},
		{"an empty query", "?", good, nil, 400, domain.CodeMalformed, "invalid_request"},
		{"JSON", "", `{"grant_type":"client_credentials"}`, wrongType("application/json"), 415, web.CodeUnsupportedMediaType, "invalid_request"},
		{"no type", "", good, wrongType(""), 415, web.CodeUnsupportedMediaType, "invalid_request"},
		{"compressed", "", good, http.Header{"Content-Encoding": {"gzip"}}, 415, web.CodeUnsupportedMediaType, "invalid_request"},
		{"too large", "", good + "&x=" + strings.Repeat("x", web.LimitForm), nil, 413, domain.CodeTooLarge, "invalid_request"},
		{"secret of 73 bytes", "", credentialsOf("acme/ci", strings.Repeat("s", 73)), nil, 422, domain.CodeRuleViolated, "invalid_request"},
		{"secret of 73 bytes, unknown", "", credentialsOf("acme/nobody", strings.Repeat("s", 73)), nil, 422, domain.CodeRuleViolated, "invalid_request"},
		{"secret of 73 bytes in basic", "", form(), basicOf("acme/ci", strings.Repeat("s", 73)), 422, domain.CodeRuleViolated, "invalid_request"},
	} {
		a := k.sendTo(t, k.url+path+c.query, c.body, c.header)
		p := a.problem(t)
		require.Equal(t, c.status, a.status, c.name)
		require.Equal(t, c.code, p.Code, c.name)
		require.Equal(t, c.oauth, p.OAuth, c.name)
		require.NotContains(t, string(a.body), "cici", c.name)
		if c.status == 401 {
			require.Equal(t, `Basic realm="plant", charset="UTF-8"`, a.header.Get("WWW-Authenticate"))
		}
		require.Empty(t, k.counter.taken(), "%s costs a comparison", c.name)
	}
	require.Equal(t, 200, k.send(t, good, nil).status, "none of it counted against anybody")
	require.Equal(t, 401, k.send(t, credentialsOf("acme/ci", strings.Repeat("s", 72)), nil).status)
	require.Len(t, k.counter.taken(), 2)
}

// TestRefusedAlike: who is unknown, disabled, without a secret or brings a wrong
// one cannot be told from another, neither by the answer nor by the work done.
func TestRefusedAlike(t *testing.T) {
	t.Parallel()
	k := newKit(t, nil)
	k.add(t, "ci")
	disabled := k.add(t, "off")
	require.NoError(t, k.operator.SetPrincipalDisabled(t.Context(), disabled.ID, true))
	require.NoError(t, k.operator.AddPrincipal(t.Context(), store.Principal{
		ID: uuid.NewString(), GovernanceAgent: "acme", Name: "bare",
	}))
	wrong := k.send(t, credentialsOf("acme/ci", "wrong"), nil).alike(t)
	require.Equal(t, [][]byte{[]byte(fakeHash("cici"))}, k.counter.taken())
	for name, c := range map[string]struct {
		id, secret string
		known      bool
	}{
		"another principal's secret":    {"acme/ci", "offoff", true},
		"a prefix of the secret":        {"acme/ci", "cic", true},
		"disabled":                      {"acme/off", "offoff", true},
		"disabled, wrong":               {"acme/off", "wrong", true},
		"without a secret":              {"acme/bare", "barebare", false},
		"unknown name":                  {"acme/nobody", "cici", false},
		"name in capitals":              {"acme/CI", "cici", false},
		"unknown governance agent":      {"globex/ci", "cici", false},
		"impossible governance agent":   {"ACME/ci", "cici", false},
		"no governance agent":           {"ci", "cici", false},
		"a UUID":                        {disabled.ID, "offoff", false},
		"name too long":                 {"acme/" + strings.Repeat("n", 201), "cici", false},
		"NUL":                           {"acme/ci\x00", "cici", false},
		"SQL":                           {"acme/ci' OR '1'='1", "cici", false},
		"NUL in the secret":             {"acme/ci", "cici\x00", true},
		"another tenant's name, spaces": {"acme/ci ", "cici", false},
	} {
		require.Equal(t, wrong, k.send(t, credentialsOf(c.id, c.secret), nil).alike(t), name)
		asked := k.counter.taken()
		require.Len(t, asked, 1, "%s: exactly one comparison", name)
		if !c.known {
			cost, err := bcrypt.Cost(asked[0])
			require.NoError(t, err, name)
			require.Equal(t, auth.ClientSecretCost, cost, "the dummy costs what a real hash does")
		}
		require.Equal(t, wrong, k.send(t, form(), basicOf(url.QueryEscape(c.id), url.QueryEscape(c.secret))).alike(t), name)
		k.counter.taken()
		k.clock.pass(time.Minute)
	}
}

// TestKeyRotation: after a rotation the new key signs and the old one's tokens
// still hold; once the old one is gone, they do not.
func TestKeyRotation(t *testing.T) {
	t.Parallel()
	k := newKit(t, nil)
	k.add(t, "ci")
	first, second := keyOf(t, "2026-01"), keyOf(t, "2026-02")
	before, during, after := secretsOf(t, first), secretsOf(t, second, first), secretsOf(t, second)
	ask := func(secrets *auth.Secrets) string {
		address := k.serve(t, Config{
			DB: k.Open(t, "plant_authenticator", 1), Issuer: k.issuer(secrets), Compare: k.counter.compare, Now: k.clock.Now,
		})
		return k.sendTo(t, address+path, credentialsOf("acme/ci", "cici"), nil).token(t).AccessToken
	}
	old, fresh := ask(before), ask(during)
	require.Equal(t, 201, create(t, k.registry(t, before), old))
	rotated := k.registry(t, during)
	require.Equal(t, 201, create(t, rotated, old), "the old key still verifies")
	require.Equal(t, 201, create(t, rotated, fresh))
	require.Equal(t, 401, create(t, k.registry(t, before), fresh), "the first key signs, and that is the new one")
	gone := k.registry(t, after)
	require.Equal(t, 401, create(t, gone, old), "a key that is gone verifies nothing")
	require.Equal(t, 201, create(t, gone, fresh))
}

// keyOf makes the document of one key.
func keyOf(t *testing.T, kid string) string {
	t.Helper()
	payload, err := auth.NewSecrets(kid)
	require.NoError(t, err)
	return strings.TrimSuffix(strings.TrimPrefix(string(payload), `{"keys":[`), `]}`)
}

func secretsOf(t *testing.T, keys ...string) *auth.Secrets {
	t.Helper()
	s, err := auth.ParseSecrets([]byte(`{"keys":[` + strings.Join(keys, ",") + `]}`))
	require.NoError(t, err)
	return s
}
