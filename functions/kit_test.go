package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"cloud.google.com/go/pubsub/v2/pstest"
	"github.com/go-json-experiment/json"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/sethvargo/go-envconfig"
	"github.com/stretchr/testify/require"

	"github.com/dlai-sd/plant/scripts/localstack/oidc"
	"github.com/dlai-sd/plant/scripts/localstack/stacktest"
	"github.com/dlai-sd/plant/shared/auth"
	"github.com/dlai-sd/plant/shared/domain"
	"github.com/dlai-sd/plant/shared/registry"
	"github.com/dlai-sd/plant/shared/testkit/harness"
)

const (
	pushAudience = "https://audit-run.test.example"
	pusher       = "push@plant-test.iam.gserviceaccount.com"
	portal       = "https://portal.test.example"
)

// broker is the Pub/Sub of all tests of this package; each has its own topic.
var broker = sync.OnceValue(func() *pstest.Server { return pstest.NewServer() })

// issuer stands where Google's stands for the callers of /events.
var issuer = sync.OnceValues(func() (*oidc.Issuer, error) { return oidc.Start(0) })

func TestMain(m *testing.M) {
	if err := os.Setenv("PUBSUB_EMULATOR_HOST", broker().Addr); err != nil {
		panic(err)
	}
	stacktest.Main(m)
}

// kit is a deployment with a topic, and what its functions are told.
type kit struct {
	*harness.Deployment
	topic       string
	checkpoints string // folder

	replay func(context.Context, domain.Constitution) (int64, error) // of certify
}

func newKit(t *testing.T) *kit {
	t.Helper()
	k := &kit{Deployment: harness.New(t), topic: "plant-events-" + uuid.NewString(), checkpoints: t.TempDir()}
	k.createTopic(t)
	return k
}

func (k *kit) createTopic(t *testing.T) {
	t.Helper()
	_, err := broker().GServer.CreateTopic(t.Context(), &pubsubpb.Topic{Name: k.topicName()})
	require.NoError(t, err)
}

func (k *kit) topicName() string { return "projects/" + harness.Project + "/topics/" + k.topic }

// messagesOf are those that were published to another topic.
func (k *kit) messagesOf(topic string) []*pstest.Message {
	full := "projects/" + harness.Project + "/topics/" + topic
	return slices.DeleteFunc(broker().Messages(), func(m *pstest.Message) bool { return m.Topic != full })
}

// deadTopic makes a topic for dead letters.
func (k *kit) deadTopic(t *testing.T) string {
	t.Helper()
	name := "dead-" + uuid.NewString()
	_, err := broker().GServer.CreateTopic(t.Context(), &pubsubpb.Topic{Name: "projects/" + harness.Project + "/topics/" + name})
	require.NoError(t, err)
	return name
}

// messages are those that were published to the kit's topic.
func (k *kit) messages() []*pstest.Message {
	return slices.DeleteFunc(broker().Messages(), func(m *pstest.Message) bool { return m.Topic != k.topicName() })
}

// settings are a function's environment, with changes; an empty value is unset.
func (k *kit) settings(t *testing.T, function string, changes map[string]string) map[string]string {
	t.Helper()
	google, err := issuer()
	require.NoError(t, err)
	role := map[string]string{
		createSkill: "plant_writer", createRole: "plant_writer", birthAgent: "plant_writer",
		auditRun: "plant_auditor", issueToken: "plant_authenticator", embedder: "plant_embedder", certifier: "plant_certifier",
		driftCheck: "plant_drift",
	}[function]
	env := map[string]string{
		"FUNCTION_TARGET": function, "PLANT_ORIGIN": harness.Origin, "GOOGLE_CLOUD_PROJECT": harness.Project,
		"DATABASE_URL": k.As(role), "DB_POOL": "4", "SECRET_MANAGER_ENDPOINT": k.SecretsAddr,
		"AMENDMENT_KEY": k.Keys[domain.UseAmendment], "CERTIFICATION_KEY": k.Keys[domain.UseCertification], "JWT_KEYS": k.TokensVersion,
		"CHECKPOINT_KEY": k.Keys[domain.UseCheckpoint], "HEADS_KEY": k.Keys[domain.UseHeads], "CHECKPOINT_DIR": k.checkpoints,
		"TOKEN_ISSUER": harness.Issuer, "TOKEN_AUDIENCE": harness.Audience, "PUBSUB_TOPIC": k.topic,
		"OIDC_ISSUER": google.URL(), "PUSH_AUDIENCE": pushAudience, "PUSH_SERVICE_ACCOUNT": pusher, "CORS_ORIGINS": portal,
	}
	if function == embedder || function == driftCheck {
		env["MODEL_DIR"] = stacktest.ModelDir(t)
	}
	maps.Copy(env, changes)
	maps.DeleteFunc(env, func(_, value string) bool { return value == "" })
	return env
}

// serve runs a function as a process would, behind a test's server.
func (k *kit) serve(t *testing.T, function string, changes map[string]string) *server {
	t.Helper()
	cfg, err := readConfig(t.Context(), envconfig.MapLookuper(k.settings(t, function, changes)))
	require.NoError(t, err)
	d := &deps{cfg: cfg, log: slog.New(slog.DiscardHandler), replay: k.replay}
	t.Cleanup(func() { _ = d.close() })
	h, err := d.handler(t.Context())
	require.NoError(t, err)
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return &server{url: s.URL}
}

// admin runs a statement as the database's administrator, to whom no policy
// applies.
func (k *kit) admin(t *testing.T, sql string, args ...any) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), k.URL)
	require.NoError(t, err)
	defer func() { _ = conn.Close(context.WithoutCancel(t.Context())) }()
	_, err = conn.Exec(t.Context(), sql, args...)
	require.NoError(t, err)
}

// count counts rows as the administrator.
func (k *kit) count(t *testing.T, from string, args ...any) (n int) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), k.URL)
	require.NoError(t, err)
	defer func() { _ = conn.Close(context.WithoutCancel(t.Context())) }()
	require.NoError(t, conn.QueryRow(t.Context(), "SELECT count(*) FROM "+from, args...).Scan(&n))
	return n
}

// skillsWritten counts what a tenant could have written: nothing else is in a
// new deployment but its keys.
func (k *kit) skillsWritten(t *testing.T) map[string]int {
	t.Helper()
	written := map[string]int{}
	for _, table := range []string{"skill", "outbox", "idempotency_key", "inbox"} {
		written[table] = k.count(t, table)
	}
	for _, table := range []string{"entity", "amendment"} {
		written[table] = k.count(t, table+" WHERE entity_type <> 'signing_key'")
	}
	written["opening"] = k.count(t, "opening o JOIN entity e ON e.id = o.entity_id WHERE e.entity_type <> 'signing_key'")
	return written
}

// author is a principal that may write, with its token.
func (k *kit) author(t *testing.T, governanceAgent string) (auth.Principal, string) {
	t.Helper()
	p := k.Principal(t, governanceAgent, domain.Author)
	return p, k.Token(t, p)
}

// serviceToken is what Scheduler brings.
func serviceToken(t *testing.T) string {
	t.Helper()
	google, err := issuer()
	require.NoError(t, err)
	token, err := google.Token(pushAudience, pusher)
	require.NoError(t, err)
	return token
}

// requestOf is a request to the registry, beside the API, as another function
// makes one.
func requestOf(who auth.Principal) registry.Request {
	return registry.Request{Who: who, Route: "test", Key: uuid.NewString()}
}

// server is a function under test.
type server struct{ url string }

// call is a request. Header values replace the usual ones; an empty one removes.
type call struct {
	method, path, token, body string
	header                    map[string]string
}

// answer is a response that was read to its end and kept to the contract.
type answer struct {
	status int
	header http.Header
	body   []byte
}

// do sends a call. A write gets a fresh Idempotency-Key and a JSON body's type.
func (s *server) do(t *testing.T, c call) answer {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), c.method, s.url+c.path, strings.NewReader(c.body))
	require.NoError(t, err)
	if c.token != "" {
		req.Header.Set("Authorization", "Bearer "+c.token)
	}
	if c.method == http.MethodPost {
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set("Idempotency-Key", uuid.NewString())
	}
	for name, value := range c.header {
		req.Header.Set(name, value)
		if value == "" {
			req.Header.Del(name)
		}
	}
	resp, err := http.DefaultTransport.RoundTrip(req)
	require.NoError(t, err)
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	a := answer{status: resp.StatusCode, header: resp.Header, body: body}
	a.checkAlways(t, c)
	checkContract(t, c, req, a)
	return a
}

// get is a GET that must succeed.
func (s *server) get(t *testing.T, token, path string) answer {
	t.Helper()
	a := s.do(t, call{method: "GET", path: path, token: token})
	require.Equal(t, 200, a.status, "%s", a.body)
	return a
}

// post is a POST with a fresh Idempotency-Key.
func (s *server) post(t *testing.T, token, path, body string) answer {
	t.Helper()
	return s.do(t, call{method: "POST", path: path, token: token, body: body})
}

// create makes a skill.
func (s *server) create(t *testing.T, token, body string) view {
	t.Helper()
	a := s.post(t, token, skills, body)
	require.Equal(t, 201, a.status, "%s", a.body)
	return as[view](t, a)
}

// as decodes an answer; members that a type leaves out are not its test's.
func as[T any](t *testing.T, a answer) (v T) {
	t.Helper()
	require.NoError(t, json.Unmarshal(a.body, &v), "%s", a.body)
	return v
}

// plain is the least that a skill needs.
func plain(name string) string {
	return fmt.Sprintf(`{"name":%q,"description":"Does it.","category":"technical"}`, name)
}

// checkAlways holds every answer to what all of them have.
func (a answer) checkAlways(t *testing.T, c call) {
	t.Helper()
	require.Regexp(t, `^[A-Za-z0-9-]{1,64}$`, a.header.Get("X-Request-Id"))
	require.Equal(t, "nosniff", a.header.Get("X-Content-Type-Options"))
	kept := c.path == contractPath && a.header.Get("Cache-Control") == "no-cache" || strings.HasPrefix(c.path, "/log/") && a.status < 400
	if !kept { // the contract and the log alone may be kept
		require.Equal(t, "no-store", a.header.Get("Cache-Control"))
	}
	require.Contains(t, a.header.Get("Content-Security-Policy"), "default-src 'none'")
	if a.status < 400 || a.header.Get("Content-Type") == "application/json" || c.method == http.MethodHead {
		return
	}
	p := a.problem(t)
	require.Equal(t, "application/problem+json", a.header.Get("Content-Type"))
	require.Equal(t, "/problems/"+p.Code, p.Type)
	require.NotEmpty(t, p.Title)
	require.NotEmpty(t, p.Detail)
	require.Equal(t, a.status, p.Status)
	require.Equal(t, a.header.Get("X-Request-Id"), p.RequestID)
	require.NotEmpty(t, p.Timestamp)
	path, _, _ := strings.Cut(c.path, "?")
	require.Equal(t, path, p.Path)
	require.NotNil(t, p.Violations)
	for _, v := range p.Violations {
		require.NotEmpty(t, v.Rule)
		require.NotEmpty(t, v.Message)
		require.NotEmpty(t, v.Remediation, v.Rule)
	}
	for _, internal := range []string{"SQLSTATE", "postgres", "pgx", "goroutine", ".go:", "jwt", "json:", "panic"} {
		require.NotContains(t, string(a.body), internal)
	}
}

// problem is the document that an error answers with, all of its members there.
func (a answer) problem(t *testing.T) problem {
	t.Helper()
	var p problem
	require.NoError(t, json.Unmarshal(bytes.TrimSpace(a.body), &p, json.RejectUnknownMembers(true)), "%s", a.body)
	return p
}

type problem struct {
	Type        string             `json:"type"`
	Title       string             `json:"title"`
	Status      int                `json:"status"`
	Detail      string             `json:"detail"`
	Code        string             `json:"code"`
	RequestID   string             `json:"request_id"`
	Timestamp   string             `json:"timestamp"`
	Path        string             `json:"path"`
	Violations  []domain.Violation `json:"violations"`
	Incident    string             `json:"incident"`
	OAuth       string             `json:"error"`
	CurrentETag string             `json:"current_etag"` // of a 412
	Changes     []struct {
		Seq        int64    `json:"seq"`
		Change     string   `json:"change"`
		RecordedAt string   `json:"recorded_at"`
		Fields     []string `json:"fields"`
	} `json:"changes"`
}

// view is a skill as the tests look at it.
type view struct {
	ID          domain.ID   `json:"id"`
	Name        string      `json:"name"`
	Description string      `json:"description"`
	Category    string      `json:"category"`
	ExternalID  string      `json:"external_id"`
	Visibility  string      `json:"visibility"`
	Status      string      `json:"status"`
	Tags        []string    `json:"tags"`
	Custom      any         `json:"custom_attributes"`
	Notes       string      `json:"governance_notes"`
	ParentID    domain.ID   `json:"parent_id"`
	Children    []domain.ID `json:"child_ids"`
	Owner       string      `json:"governance_agent_id"`
	Version     int64       `json:"version"`
	VersionHash string      `json:"version_hash"`
	CreatedAt   string      `json:"created_at"`
	UpdatedAt   string      `json:"updated_at"`
	TamperProof bool        `json:"tamper_proof"`
	AppendOnly  bool        `json:"append_only"`

	L0      map[string]string `json:"l0_compliance_status"`
	Chain   []string          `json:"hash_chain_sha256"`
	History []struct {
		Seq    int64  `json:"seq"`
		Change string `json:"change"`
		Author string `json:"author"`
		Hash   string `json:"hash"`
	} `json:"amendment_history"`
	Count int64 `json:"amendment_count"`
}

// page is a list of anything.
type page[T any] struct {
	Items []T     `json:"items"`
	Next  *string `json:"next_cursor"`
}
