package main

import (
	"io"
	"net/http"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/stretchr/testify/require"

	"github.com/dlai-sd/plant/shared/web/openapi"
)

// TestSession is the README's first session on one stack, then that stack's end
// in two ways, each followed by a start that finds everything again.
func TestSession(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "data")
	s := start(t, dir, "NO_COLOR=1")
	bread := s.create(t, "bread", breadBody)
	t.Run("together", func(t *testing.T) { // returns when all of its parts have
		for name, part := range map[string]func(*testing.T, *running){
			"greeting":     testGreeting,
			"documents":    testDocuments,
			"token":        testToken,
			"repeat":       testRepeat,
			"show":         testShow,
			"record":       testRecord,
			"batch record": testBatchRecord,
			"import":       testImport,
			"refused line": testRefusedLine,
			"import kinds": testImportKinds,
			"downloads":    testDownloads,
			"seed":         testSeed,
			"operator":     testOperator,
			"log":          testLog,
			"drill":        testDrillOurs,
			"export":       testExport,
			"second run":   testSecondRun,
			"port in use":  testPortInUse,
			"not found":    testNotFound,
			"bar":          testBar,
			"doctor":       testDoctor,
			"restore test": testRestore,
		} {
			t.Run(name, func(t *testing.T) { t.Parallel(); part(t, s) })
		}
	})
	keys := must(t, s.env(), "keys", "list").stdout
	origin := s.read(t, filepath.Join(dir, "origin"))
	same := func(t *testing.T, s *running) {
		t.Helper()
		require.Equal(t, keys, must(t, s.env(), "keys", "list").stdout)
		require.Equal(t, origin, s.read(t, filepath.Join(dir, "origin")))
		history := must(t, s.env(), "show", "bread", "--history")
		require.Contains(t, history.stdout, bread.VersionHash)
		require.Regexp(t, "Verified here: signature, opening and link of [12] amendments.", history.stderr)
		require.Equal(t, "Genesis catalogue: 0 created, 60 already there.\n", must(t, s.env(), "seed").stdout)
	}
	t.Run("Ctrl-C", func(t *testing.T) {
		all := descendants(t, s.process.PID())
		s.interrupt(t)
		require.NoError(t, s.process.Err(), "exit code 0")
		require.Empty(t, left(all), "processes left behind")
		require.Contains(t, s.read(t, s.err), "Stopping.")
		require.NoFileExists(t, stackFile(dir), "it holds passwords of a stack that is gone")
		gone := plant(t, s.env(), "show", "bread")
		require.Equal(t, 1, gone.code)
		require.Contains(t, gone.stderr, "no stack runs here")
	})
	s.interrupt(t) // where processes cannot be counted, the part above was skipped
	again := start(t, dir)
	t.Run("found again", func(t *testing.T) { same(t, again) })
	t.Run("kill -9", func(t *testing.T) {
		all := descendants(t, again.process.PID())
		require.GreaterOrEqual(t, len(all), 4, "two functions, PostgreSQL, Redis")
		require.NoError(t, syscall.Kill(again.process.PID(), syscall.SIGKILL))
		<-again.process.Done()
		require.Eventually(t, func() bool { return len(left(all)) == 0 }, readyTimeout, tick, "orphans")
		gone := plant(t, again.env(), "show", "bread")
		require.Equal(t, 1, gone.code)
		require.Contains(t, gone.stderr, "connection refused")
		require.Contains(t, gone.stderr, "Try: "+startStack)
		same(t, start(t, dir))
	})
}

// created is what the tests need of an answer.
type created struct {
	ID          string `json:"id"`
	VersionHash string `json:"version_hash"`
}

const breadBody = `{"name":"Bread baking","description":"Makes bread that people come back for.",` +
	`"category":"domain_expertise","external_id":"bread"}`

// post sends a skill as curl would.
func (s *running) post(t *testing.T, key, body string) *http.Response {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.url+skillsPath, strings.NewReader(body))
	require.NoError(t, err)
	r.Header.Set("Authorization", "Bearer "+strings.TrimSpace(must(t, s.env(), "token").stdout))
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Idempotency-Key", key)
	answer, err := http.DefaultClient.Do(r)
	require.NoError(t, err)
	t.Cleanup(func() { _ = answer.Body.Close() })
	return answer
}

func (s *running) create(t *testing.T, key, body string) created {
	t.Helper()
	answer := s.post(t, key, body)
	require.Equal(t, http.StatusCreated, answer.StatusCode)
	var c created
	require.NoError(t, json.UnmarshalRead(answer.Body, &c))
	return c
}

func testGreeting(t *testing.T, s *running) {
	out, err := s.read(t, s.out), s.read(t, s.err)
	require.Contains(t, out, "Plant is running at "+s.url)
	require.Contains(t, out, "bin/plant show bread --record")
	require.Contains(t, out, "export PLANT_DIR="+s.dir, "the commands must find this stack")
	require.Contains(t, out, s.url+"/docs")
	require.NotContains(t, out, "introduced")
	for _, step := range []string{"PostgreSQL", "001_base_entity.sql", "root", "60 entities", "functions"} {
		require.Contains(t, err, step, "progress goes to stderr")
		require.NotContains(t, out, "  "+step+"\n")
	}
	require.NotContains(t, out+err, "\x1b", "no terminal, and NO_COLOR")
}

// testDocuments: the page that the greeting names is there without a token, and
// so is whatever it leads to.
func testDocuments(t *testing.T, s *running) {
	page := s.fetch(t, "/docs")
	require.Contains(t, page, `id="operation-createSkill"`)
	within := regexp.MustCompile(`href="(/[^"#]*)"`).FindAllStringSubmatch(page, -1)
	require.NotEmpty(t, within)
	for _, link := range within {
		s.fetch(t, link[1])
	}
	require.Equal(t, string(openapi.Document()), s.fetch(t, "/api/v1/openapi.yaml"))
	require.Contains(t, s.fetch(t, "/problems/stale"), "When it happens")
}

// fetch reads a page that is open to anybody.
func (s *running) fetch(t *testing.T, path string) string {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.url+path, nil)
	require.NoError(t, err)
	answer, err := http.DefaultClient.Do(r)
	require.NoError(t, err)
	defer func() { _ = answer.Body.Close() }()
	require.Equal(t, http.StatusOK, answer.StatusCode, path)
	body, err := io.ReadAll(answer.Body)
	require.NoError(t, err)
	return string(body)
}

func testToken(t *testing.T, s *running) {
	var m minted
	require.NoError(t, json.Unmarshal([]byte(must(t, s.env(), "--json", "token").stdout), &m))
	require.Equal(t, "Bearer", m.TokenType)
	require.Len(t, strings.Split(m.AccessToken, "."), 3)

	unknown := plant(t, s.env(), "token", "--name", "nobody")
	require.Equal(t, 1, unknown.code)
	require.Empty(t, unknown.stdout)
	require.Contains(t, unknown.stderr, "Try: plant token --create")

	// Another governance agent's token sees nothing of what is private.
	other := strings.TrimSpace(must(t, s.env(), "token", "--governance-agent", "rival", "--create").stdout)
	hidden := plant(t, s.env("PLANT_TOKEN="+other), "show", "bread")
	require.Equal(t, 1, hidden.code)
	require.Contains(t, hidden.stderr, errNotFound.Error())

	forged := plant(t, s.env("PLANT_TOKEN="+other[:len(other)-6]+"AAAAAA"), "show", "bread")
	require.Equal(t, 1, forged.code)
	require.Contains(t, forged.stderr, "401")
	require.Contains(t, forged.stderr, "Try: export PLANT_TOKEN=")
	require.NotContains(t, forged.stderr, other[:20], "no token in a message")
}

func testRepeat(t *testing.T, s *running) {
	answer := s.post(t, "bread", breadBody)
	require.Equal(t, http.StatusCreated, answer.StatusCode)
	require.Equal(t, "true", answer.Header.Get("Idempotency-Replayed"))
	var c created
	require.NoError(t, json.UnmarshalRead(answer.Body, &c))
	require.Contains(t, must(t, s.env(), "show", "bread", "--history").stdout, c.VersionHash)
}

func testShow(t *testing.T, s *running) {
	var entity struct {
		ID          string            `json:"id"`
		Name        string            `json:"name"`
		TamperProof bool              `json:"tamper_proof"`
		L0          map[string]string `json:"l0_compliance_status"`
	}
	require.NoError(t, json.Unmarshal([]byte(must(t, s.env(), "show", "bread").stdout), &entity))
	require.Equal(t, "Bread baking", entity.Name)
	require.True(t, entity.TamperProof)
	require.Len(t, entity.L0, 5)
	require.Equal(t, must(t, s.env(), "show", "bread").stdout, must(t, s.env(), "show", entity.ID).stdout, "by id")

	history := must(t, s.env(), "--json", "show", "bread", "--history")
	var chain []struct {
		Change string `json:"change"`
		Record string `json:"record"`
	}
	require.NoError(t, json.Unmarshal([]byte(history.stdout), &chain))
	require.Equal(t, "created", chain[0].Change)
	for _, later := range chain[1:] {
		require.Equal(t, "embedded", later.Change)
	}
	require.Contains(t, history.stderr, "Verified here")
}

func testNotFound(t *testing.T, s *running) {
	for _, args := range [][]string{
		{"show", "no-such-thing"},
		{"show", "01890000-0000-7000-8000-000000000000"},
		{"show", "01890000-0000-7000-8000-000000000000", "--history"},
		{"show", "bread", "--record", "--seq", "7"},
	} {
		r := plant(t, s.env(), args...)
		require.Equal(t, 1, r.code, args)
		require.Empty(t, r.stdout, args)
		require.Contains(t, r.stderr, "Try: ", args)
	}
}

func testSeed(t *testing.T, s *running) {
	var done seeded
	require.NoError(t, json.Unmarshal([]byte(must(t, s.env(), "--json", "seed").stdout), &done))
	require.Equal(t, seeded{Created: 0, Present: 60}, done)
}

func testOperator(t *testing.T, s *running) {
	var list []listedKey
	require.NoError(t, json.Unmarshal([]byte(must(t, s.env(), "--json", "keys", "list").stdout), &list))
	uses := make([]string, len(list))
	for i, k := range list {
		uses[i] = string(k.Use)
		require.Equal(t, "active", string(k.Status))
		require.Regexp(t, "^[0-9a-f]{64}$", k.KeyID)
	}
	require.Equal(t, []string{"root", "amendment", "certification", "heads", "checkpoint"}, uses)
	require.Contains(t, must(t, s.env(), "keys", "list").stdout, list[0].KeyID)
	again := must(t, s.env(), "keys", "init")
	require.Empty(t, again.stderr, "nothing was missing")

	status := must(t, s.env(), "migrate", "status").stdout
	require.Contains(t, status, "001_base_entity.sql")
	require.NotContains(t, status, "pending")
	require.Contains(t, must(t, s.env(), "migrate", "up").stdout, "The schema is at version")
}

func testSecondRun(t *testing.T, s *running) {
	r := plant(t, s.env(), "run", "--port", "0")
	require.Equal(t, 1, r.code)
	require.Contains(t, r.stderr, "the data folder "+s.dir+" is in use")
	require.Contains(t, r.stderr, "held by process "+itoa(s.process.PID()))
	require.Contains(t, r.stderr, "Try: ")
	require.Empty(t, r.stdout)
	require.FileExists(t, stackFile(s.dir), "the running stack keeps its addresses")
	must(t, s.env(), "show", "bread")
}

func testPortInUse(t *testing.T, s *running) {
	_, port, _ := strings.Cut(strings.TrimPrefix(s.url, "http://"), ":")
	r := plant(t, environment(), "run", "--port", port, "--dir", t.TempDir())
	require.Equal(t, 1, r.code)
	require.Contains(t, r.stderr, "port "+port+" of 127.0.0.1 is in use")
	require.Contains(t, r.stderr, "Try: make run PORT=")
	require.NotContains(t, r.stderr, "PostgreSQL", "nothing was started")
}
