package main

import (
	"archive/zip"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
)

// made creates an entity as curl would.
func (s *running) made(t *testing.T, path, body string) string {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.url+path, strings.NewReader(body))
	require.NoError(t, err)
	r.Header.Set("Authorization", "Bearer "+strings.TrimSpace(must(t, s.env(), "token").stdout))
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Idempotency-Key", uuid.NewString())
	answer, err := http.DefaultClient.Do(r)
	require.NoError(t, err)
	defer func() { _ = answer.Body.Close() }()
	require.Equal(t, http.StatusCreated, answer.StatusCode, path)
	var c created
	require.NoError(t, json.UnmarshalRead(answer.Body, &c))
	return c.ID
}

// testExport: the evidence of an agent goes to a file, and the file to a verifier
// that knows nothing but the root key, the origin and what it has seen before.
func testExport(t *testing.T, s *running) {
	industry := s.made(t, "/api/v1/genesis/industries", `{"name":"Export gardening"}`)
	skill := s.made(t, "/api/v1/genesis/skills", `{"name":"Export pruning","description":"Cuts.","category":"technical"}`)
	role := s.made(t, "/api/v1/genesis/job-roles", fmt.Sprintf(`{"name":"Export gardener","required_skills":[%q],"seniority_level":"mid","industry_id":%q}`, skill, industry))
	agent := s.made(t, "/api/v1/agents", fmt.Sprintf(`{"name":"Export Ada","skill_id":%q,"job_role_id":%q,"industry_id":%q}`, skill, role, industry))

	dir := t.TempDir()
	root, first, second, seen := filepath.Join(dir, "root.pem"), filepath.Join(dir, "skill.zip"), filepath.Join(dir, "agent.zip"), filepath.Join(dir, "seen")
	require.NoError(t, os.WriteFile(root, []byte(must(t, s.env(), "keys", "pem").stdout), 0o600))
	origin := strings.TrimSpace(s.read(t, filepath.Join(s.dir, "origin")))
	verify := func(file string, more ...string) result {
		return plant(t, nil, append([]string{"verify", file, "--trust", root, "--origin", origin}, more...)...)
	}

	require.Contains(t, must(t, s.env(), "export", "entity:"+skill, "--out", first).stdout, " records under a log of ")
	judged := verify(first)
	require.Equal(t, 0, judged.code, judged.stdout+judged.stderr)
	note := bundleFile(t, first, "checkpoint")
	require.NoError(t, os.WriteFile(seen, note, 0o600))

	must(t, s.env(), "export", "--agent", agent, "--seen", seen, "--out", second)
	judged = verify(second, "--seen", seen)
	require.Equal(t, 0, judged.code, judged.stdout+judged.stderr)
	require.Contains(t, judged.stdout, "Export Ada")
	require.Contains(t, judged.stdout, "was not certified")

	for _, bad := range [][]string{{"all"}, {"governance_agent:demo"}, {"entity:" + uuid.NewString()}, {"--agent", skill}, {}, {"all", "--at", "2026-01-01"}, {"moon"}} {
		refused := plant(t, s.env(), append([]string{"export", "--out", filepath.Join(dir, "no.zip")}, bad...)...)
		require.Equal(t, 1, refused.code, bad)
		require.Contains(t, refused.stderr, "Try:", bad)
	}
	early := plant(t, s.env(), "export", "--agent", agent, "--at", "2020-01-01", "--out", filepath.Join(dir, "no.zip"))
	require.Equal(t, 1, early.code)
	require.Contains(t, early.stderr, "was not born yet")
	require.Contains(t, early.stderr, "Try: a later --at")
	require.NoFileExists(t, filepath.Join(dir, "no.zip"))
}

// bundleFile reads a file of a bundle.
func bundleFile(t *testing.T, zipped, name string) []byte {
	t.Helper()
	r, err := zip.OpenReader(zipped)
	require.NoError(t, err)
	defer func() { _ = r.Close() }()
	f, err := r.Open(name)
	require.NoError(t, err)
	b, err := io.ReadAll(f)
	require.NoError(t, err)
	return b
}
