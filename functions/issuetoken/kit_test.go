package issuetoken

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/google/uuid"
	"github.com/pb33f/libopenapi"
	validator "github.com/pb33f/libopenapi-validator"
	"github.com/stretchr/testify/require"

	"github.com/dlai-sd/plant/scripts/localstack/stacktest"
	"github.com/dlai-sd/plant/shared/auth"
	"github.com/dlai-sd/plant/shared/domain"
	"github.com/dlai-sd/plant/shared/store"
	"github.com/dlai-sd/plant/shared/testkit/harness"
	"github.com/dlai-sd/plant/shared/web"
	"github.com/dlai-sd/plant/shared/web/openapi"
)

func TestMain(m *testing.M) { stacktest.Main(m) }

const path = "/api/v1/auth/token"

// clock is a test's time.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func newClock() *clock { return &clock{now: time.Now()} }

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// fakeHash stands for a secret's bcrypt hash where a test has many attempts;
// tests that compare in earnest use auth.NewClientSecret.
func fakeHash(secret string) string { return "$2a$fake$" + secret }

// counter compares fake hashes and remembers the hashes it was asked about.
type counter struct {
	mu    sync.Mutex
	asked [][]byte
}

func (c *counter) compare(hash, secret []byte) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.asked = append(c.asked, bytes.Clone(hash))
	if string(hash) != fakeHash(string(secret)) {
		return errors.New("not the secret")
	}
	return nil
}

// taken are the hashes since the last call.
func (c *counter) taken() [][]byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	asked := c.asked
	c.asked = nil
	return asked
}

// kit is a deployment with the function on it.
type kit struct {
	*harness.Deployment
	clock    *clock
	counter  *counter
	operator *store.DB
	log      *syncBuffer
	url      string
}

// newKit serves the function with fake hashes; compare, if not nil, replaces
// how they are compared.
func newKit(t *testing.T, compare func(hash, secret []byte) error) *kit {
	t.Helper()
	k := &kit{Deployment: harness.New(t), clock: newClock(), counter: &counter{}, log: &syncBuffer{}}
	k.operator = k.Open(t, "plant_operator", 2)
	if compare == nil {
		compare = k.counter.compare
	}
	k.url = k.serve(t, Config{
		DB: k.Open(t, "plant_authenticator", 2), Issuer: k.issuer(k.Tokens), Compare: compare, Now: k.clock.Now,
	})
	return k
}

func (k *kit) issuer(secrets *auth.Secrets) auth.Issuer {
	return auth.Issuer{Secrets: secrets, Issuer: harness.Issuer, Audience: harness.Audience}
}

// serve runs a service as functions does, and returns its URL.
func (k *kit) serve(t *testing.T, c Config) string {
	t.Helper()
	s, err := New(c)
	require.NoError(t, err)
	var mux web.Mux
	mux.Handle("POST "+path, Handlers(s)["issueToken"])
	server := httptest.NewServer(web.Wrap(&mux, web.Options{Logger: web.NewLogger(k.log, "issue-token")}))
	t.Cleanup(server.Close)
	return server.URL
}

// add makes a principal of acme whose secret is its name, doubled.
func (k *kit) add(t *testing.T, name string) store.Principal {
	t.Helper()
	p := store.Principal{
		ID: uuid.NewString(), GovernanceAgent: "acme", Name: name, Authorities: []domain.Authority{domain.Author},
	}
	require.NoError(t, k.operator.AddPrincipalWithSecret(t.Context(), p, fakeHash(name+name)))
	return p
}

// form is a body with the grant and these fields.
func form(pairs ...string) string {
	v := url.Values{"grant_type": {"client_credentials"}}
	for i := 0; i < len(pairs); i += 2 {
		v.Add(pairs[i], pairs[i+1])
	}
	return v.Encode()
}

func credentialsOf(id, secret string) string { return form("client_id", id, "client_secret", secret) }

type answer struct {
	status int
	header http.Header
	body   []byte
}

// send posts a body; header values replace the usual ones.
func (k *kit) send(t *testing.T, body string, header http.Header) answer {
	t.Helper()
	return k.sendTo(t, k.url+path, body, header)
}

func (k *kit) sendTo(t *testing.T, address, body string, header http.Header) answer {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, address, strings.NewReader(body))
	require.NoError(t, err)
	req.Header.Set("Content-Type", web.MediaForm)
	for name, values := range header {
		req.Header[name] = values
	}
	resp, err := http.DefaultTransport.RoundTrip(req)
	require.NoError(t, err)
	defer func() { _ = resp.Body.Close() }()
	got, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	a := answer{resp.StatusCode, resp.Header, got}
	a.checkContract(t, req)
	return a
}

var contract = sync.OnceValues(func() (validator.Validator, error) {
	document, err := libopenapi.NewDocument(openapi.Document())
	if err != nil {
		return nil, err
	}
	v, errs := validator.NewValidator(document)
	return v, errors.Join(errs...)
})

// checkContract holds an answer to openapi.yaml.
func (a answer) checkContract(t *testing.T, req *http.Request) {
	t.Helper()
	api, err := contract()
	require.NoError(t, err)
	ok, faults := api.ValidateHttpResponse(req, &http.Response{
		StatusCode: a.status, Header: a.header, Body: io.NopCloser(bytes.NewReader(a.body)), Request: req,
	})
	require.True(t, ok, "%d %s: %v", a.status, a.body, faults)
}

// token is the token of a success.
func (a answer) token(t *testing.T) token {
	t.Helper()
	require.Equal(t, http.StatusOK, a.status, "%s", a.body)
	var got token
	require.NoError(t, json.Unmarshal(a.body, &got, json.RejectUnknownMembers(true)))
	return got
}

func (a answer) problem(t *testing.T) web.Problem {
	t.Helper()
	require.Equal(t, "application/problem+json", a.header.Get("Content-Type"))
	var p web.Problem
	require.NoError(t, json.Unmarshal(a.body, &p, json.RejectUnknownMembers(true)), "%s", a.body)
	require.Equal(t, a.status, p.Status)
	return p
}

// alike is what must be the same in answers that must not differ.
func (a answer) alike(t *testing.T) string {
	t.Helper()
	p := a.problem(t)
	p.RequestID, p.Timestamp = "", ""
	h := a.header.Clone()
	h.Del("X-Request-Id")
	h.Del("Date")
	return fmt.Sprintf("%+v %v", p, h)
}

// syncBuffer is a log that several goroutines write.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}
