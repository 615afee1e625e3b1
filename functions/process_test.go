package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	secretmanager "cloud.google.com/go/secretmanager/apiv1"
	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/dlai-sd/plant/scripts/localstack/secrets"
	"github.com/dlai-sd/plant/shared/domain"
	"github.com/dlai-sd/plant/shared/keys"
	"github.com/dlai-sd/plant/shared/testkit/harness"
)

// patience bounds what a test waits for a process.
const patience = 30 * time.Second

// TestProcess runs the built binary, as Cloud Run does.
func TestProcess(t *testing.T) {
	t.Parallel()
	binary := filepath.Join(t.TempDir(), "functions")
	out, err := exec.CommandContext(t.Context(), "go", "build", "-o", binary, ".").CombinedOutput()
	require.NoError(t, err, "%s", out)
	k := newKit(t)
	t.Run("routes", func(t *testing.T) {
		t.Parallel()
		out, err := exec.CommandContext(t.Context(), binary, "routes").Output()
		require.NoError(t, err)
		require.Equal(t, Routes(), as[[]Route](t, answer{body: out}))
	})
	t.Run("refuses", func(t *testing.T) { t.Parallel(); refusesToStart(t, k, binary) })
	t.Run("opens nothing", func(t *testing.T) { t.Parallel(); refusesBeforeItOpens(t, binary) })
	t.Run("drains", func(t *testing.T) { t.Parallel(); drains(t, k, binary) })
}

// start is the binary with an environment of its own and nothing inherited.
func start(t *testing.T, binary string, env map[string]string) *exec.Cmd {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, binary)
	cmd.Env = []string{"PUBSUB_EMULATOR_HOST=" + broker().Addr}
	for name, value := range env {
		cmd.Env = append(cmd.Env, name+"="+value)
	}
	return cmd
}

// refusesToStart: whatever is wrong is said in one sentence on stderr, and the
// process ends with 1 without having served.
func refusesToStart(t *testing.T, k *kit, binary string) {
	older := newKit(t)
	older.admin(t, `DELETE FROM goose_db_version WHERE version_id = (SELECT max(version_id) FROM goose_db_version)`)
	weak := weakSecrets(t, k)
	for name, c := range map[string]struct {
		function string
		change   map[string]string
		says     string
	}{
		"unknown function":   {createSkill, map[string]string{"FUNCTION_TARGET": "create-magic"}, "FUNCTION_TARGET must be one of create-skill, "},
		"no function":        {createSkill, map[string]string{"FUNCTION_TARGET": ""}, "FUNCTION_TARGET"},
		"nothing at all":     {createSkill, map[string]string{"FUNCTION_TARGET": "", "PLANT_ORIGIN": "", "GOOGLE_CLOUD_PROJECT": ""}, "FUNCTION_TARGET"},
		"no origin":          {createSkill, map[string]string{"PLANT_ORIGIN": ""}, "PLANT_ORIGIN"},
		"bad origin":         {createSkill, map[string]string{"PLANT_ORIGIN": "Not An Origin"}, "PLANT_ORIGIN must be"},
		"no database":        {createSkill, map[string]string{"DATABASE_URL": ""}, "DATABASE_URL"},
		"two databases":      {createSkill, map[string]string{"INSTANCE_CONNECTION_NAME": "a:b:c"}, "DATABASE_URL"},
		"half a database":    {createSkill, map[string]string{"DATABASE_URL": "", "INSTANCE_CONNECTION_NAME": "a:b:c"}, "DB_IAM_USER"},
		"bad database":       {createSkill, map[string]string{"DATABASE_URL": "postgres://user:hunter2@:bad:/"}, "DATABASE_URL must be"},
		"database away":      {createSkill, map[string]string{"DATABASE_URL": "postgres://u:hunter2@127.0.0.1:1/x"}, "database unavailable"},
		"pool":               {createSkill, map[string]string{"DB_POOL": "0"}, "DB_POOL"},
		"pool, not a number": {createSkill, map[string]string{"DB_POOL": "many"}, "DB_POOL must be a whole number"},
		"misspelt":           {createSkill, map[string]string{"PLANT_ORIGN": "x/1"}, "PLANT_ORIGN is no variable"},
		"port":               {createSkill, map[string]string{"PORT": "99999"}, "PORT"},
		"issuer":             {auditRun, map[string]string{"OIDC_ISSUER": "nonsense"}, "OIDC_ISSUER"},
		"issuer without TLS": {auditRun, map[string]string{"OIDC_ISSUER": "http://issuer.example"}, "https"},
		"origins":            {createSkill, map[string]string{"CORS_ORIGINS": "*"}, "CORS_ORIGINS"},
		"no key":             {createSkill, map[string]string{"AMENDMENT_KEY": ""}, "AMENDMENT_KEY"},
		"unpinned key":       {createSkill, map[string]string{"AMENDMENT_KEY": "projects/p/secrets/s/versions/latest"}, "versions/N"},
		"absent key":         {createSkill, map[string]string{"AMENDMENT_KEY": "projects/" + harness.Project + "/secrets/none/versions/1"}, "NotFound"},
		"no token settings":  {createSkill, map[string]string{"JWT_KEYS": "", "TOKEN_ISSUER": "", "TOKEN_AUDIENCE": ""}, "JWT_KEYS, TOKEN_AUDIENCE, TOKEN_ISSUER"},
		"no push settings":   {auditRun, map[string]string{"PUSH_AUDIENCE": "", "PUSH_SERVICE_ACCOUNT": ""}, "PUSH_AUDIENCE, PUSH_SERVICE_ACCOUNT"},
		"no log keys":        {auditRun, map[string]string{"CHECKPOINT_KEY": "", "HEADS_KEY": ""}, "CHECKPOINT_KEY, HEADS_KEY"},
		"no checkpoints":     {auditRun, map[string]string{"CHECKPOINT_DIR": ""}, "CHECKPOINT_BUCKET or CHECKPOINT_DIR"},
		"two of them":        {auditRun, map[string]string{"CHECKPOINT_BUCKET": "bucket"}, "CHECKPOINT_BUCKET or CHECKPOINT_DIR"},
		"older schema":       {createSkill, map[string]string{"DATABASE_URL": older.As("plant_writer")}, "run plant migrate up"},
		"older schema, too":  {auditRun, map[string]string{"DATABASE_URL": older.As("plant_auditor")}, "run plant migrate up"},
		"short secret":       {createSkill, weak("short"), "at least 32"},
		"default secret":     {createSkill, weak("default"), "not random"},
		"no secret":          {createSkill, weak("none"), "token secrets"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cmd := start(t, binary, k.settings(t, c.function, c.change))
			var stdout, stderr bytes.Buffer
			cmd.Stdout, cmd.Stderr = &stdout, &stderr
			var exit *exec.ExitError
			require.ErrorAs(t, cmd.Run(), &exit)
			require.Equal(t, 1, exit.ExitCode())
			require.Empty(t, stdout.String())
			said := stderr.String()
			require.True(t, strings.HasPrefix(said, "functions: "), said)
			require.Equal(t, 1, strings.Count(said, "\n"), said)
			require.Contains(t, said, c.says)
			require.NotContains(t, said, "hunter2")
		})
	}
}

// refusesBeforeItOpens: a malformed value stops the process before it has asked anybody
// for anything: the one address that it knows is never called.
func refusesBeforeItOpens(t *testing.T, binary string) {
	var called atomic.Int32
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return // the test is over
			}
			called.Add(1)
			_ = conn.Close()
		}
	}()
	for name, c := range malformed() {
		env := enough()
		env["DATABASE_URL"], env["SECRET_MANAGER_ENDPOINT"] = "postgres://u:p@"+l.Addr().String()+"/x", l.Addr().String()
		env[name] = c.refused[0]
		cmd := start(t, binary, env)
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		var exit *exec.ExitError
		require.ErrorAs(t, cmd.Run(), &exit)
		require.Equal(t, 1, exit.ExitCode())
		require.Equal(t, "functions: configuration: "+name+" must be "+descriptions()[name].form.words+"\n", stderr.String())
	}
	require.Zero(t, called.Load())
}

// weakSecrets is a Secret Manager with the right signing key and token secrets
// that nobody drew at random.
func weakSecrets(t *testing.T, k *kit) func(name string) map[string]string {
	t.Helper()
	fake, err := secrets.Start(t.TempDir(), 0)
	require.NoError(t, err)
	t.Cleanup(func() { _ = fake.Stop() })
	client, err := secretmanager.NewClient(t.Context(), secrets.ClientOptions(fake.Addr())...)
	require.NoError(t, err)
	t.Cleanup(func() { _ = client.Close() })
	source := keys.NewSource(client)
	add := func(name string, payload []byte) string {
		version, err := source.Add(t.Context(), "projects/"+harness.Project+"/secrets/"+name, payload)
		require.NoError(t, err)
		return version
	}
	pem, err := k.Secrets.Payload(t.Context(), k.Keys[domain.UseAmendment])
	require.NoError(t, err)
	key := add("key", pem)
	versions := map[string]string{
		"short":   add("short", []byte(`{"keys":[{"kid":"1","secret":"c2hvcnQ="}]}`)),
		"default": add("default", []byte(`{"keys":[{"kid":"1","secret":"Y2hhbmdlLW1lLWNoYW5nZS1tZS1jaGFuZ2UtbWUtY2hhbmdlLW1l"}]}`)),
		"none":    add("none", []byte(`{"keys":[]}`)),
	}
	return func(name string) map[string]string {
		return map[string]string{"SECRET_MANAGER_ENDPOINT": fake.Addr(), "AMENDMENT_KEY": key, "JWT_KEYS": versions[name]}
	}
}

// drains: after SIGTERM new requests are turned away, the one in flight gets its
// answer, and the process ends with 0.
func drains(t *testing.T, k *kit, binary string) {
	_, token := k.author(t, "acme")
	port := freePort(t)
	cmd := start(t, binary, k.settings(t, createSkill, map[string]string{"PORT": port, "HOST": "127.0.0.1", "DB_POOL": "2"}))
	log, err := os.Create(filepath.Join(t.TempDir(), "log"))
	require.NoError(t, err)
	cmd.Stdout, cmd.Stderr = log, log
	require.NoError(t, cmd.Start())
	s := &server{url: "http://127.0.0.1:" + port}
	status := func() int {
		resp, err := http.Get(s.url + "/health")
		if err != nil {
			return 0
		}
		_ = resp.Body.Close()
		return resp.StatusCode
	}
	require.Eventually(t, func() bool { return status() == 200 }, patience, 10*time.Millisecond)
	require.Equal(t, 200, s.do(t, call{method: "GET", path: "/ready"}).status)

	body := plain("In flight")
	conn, reader := begin(t, "127.0.0.1:"+port, token, len(body))
	require.NoError(t, cmd.Process.Signal(syscall.SIGTERM))
	require.Eventually(t, func() bool { return status() == http.StatusServiceUnavailable }, patience, 5*time.Millisecond)
	turnedAway := s.do(t, call{method: "GET", path: skills, token: token})
	require.Equal(t, "unavailable", turnedAway.problem(t).Code)
	require.NotEmpty(t, turnedAway.header.Get("Retry-After"))

	_, err = io.WriteString(conn, body)
	require.NoError(t, err)
	resp, err := http.ReadResponse(reader, nil)
	require.NoError(t, err)
	defer func() { _ = resp.Body.Close() }()
	answered, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.Equal(t, 201, resp.StatusCode, "%s", answered)
	require.NoError(t, cmd.Wait(), "ends with 0")
	require.Equal(t, 1, k.count(t, "entity WHERE name = 'In flight'"))

	lines, err := os.ReadFile(log.Name())
	require.NoError(t, err)
	require.Contains(t, string(lines), `"message":"stopped"`)
	require.NotContains(t, string(lines), "In flight", "what a user wrote is in no log")
	require.NotContains(t, string(lines), token)
}

// begin sends a create up to its body and returns when the function waits for
// that.
func begin(t *testing.T, address, token string, length int) (net.Conn, *bufio.Reader) {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	require.NoError(t, conn.SetDeadline(time.Now().Add(patience)))
	_, err = fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nIdempotency-Key: %s\r\n"+
		"Content-Type: application/json\r\nContent-Length: %d\r\nExpect: 100-continue\r\n\r\n", skills, token, uuid.NewString(), length)
	require.NoError(t, err)
	reader := bufio.NewReader(conn)
	line, err := reader.ReadString('\n')
	require.NoError(t, err)
	require.Contains(t, line, "100 Continue")
	_, err = reader.ReadString('\n')
	require.NoError(t, err)
	return conn, reader
}

func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer func() { _ = l.Close() }()
	return strconv.Itoa(l.Addr().(*net.TCPAddr).Port)
}

// TestSlowBodyIsCutOff: a client that does not send what it announced is
// answered and disconnected after fifteen seconds.
func TestSlowBodyIsCutOff(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("waits for the read deadline")
	}
	k := newKit(t)
	s := k.serve(t, createSkill, nil)
	_, token := k.author(t, "acme")
	began := time.Now()
	conn, reader := begin(t, strings.TrimPrefix(s.url, "http://"), token, 1000)
	_, err := io.WriteString(conn, `{"name":"`)
	require.NoError(t, err)
	resp, err := http.ReadResponse(reader, nil)
	require.NoError(t, err)
	defer func() { _ = resp.Body.Close() }()
	require.Equal(t, 400, resp.StatusCode)
	_, err = io.Copy(io.Discard, resp.Body)
	require.NoError(t, err)
	require.Less(t, time.Since(began), 20*time.Second)
	_, err = reader.ReadByte()
	require.True(t, errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET), "the connection ends: %v", err)
	require.Zero(t, k.skillsWritten(t)["entity"])
}
