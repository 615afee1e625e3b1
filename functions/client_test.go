package main

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/dlai-sd/plant/shared/web/openapi"
)

// generator is the public one that makes a client of openapi.yaml as it stands.
const generator = "github.com/oapi-codegen/oapi-codegen/v2/cmd/oapi-codegen@v2.8.2"

// TestGeneratedClient: whoever generates a client from the contract can work with
// it, without a line of its own about HTTP. The generator comes from the Go
// module proxy; where that cannot be reached the test is skipped, unless
// PLANT_CLIENT_TEST=required, as in make client-test.
func TestGeneratedClient(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	require.NoError(t, os.CopyFS(dir, os.DirFS("testdata/client")))
	require.NoError(t, os.Mkdir(filepath.Join(dir, "client"), 0o700))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "openapi.yaml"), openapi.Document(), 0o600))
	for _, fetch := range [][]string{{"run", generator, "-version"}, {"mod", "download"}} {
		out, err := goTool(t, dir, nil, fetch...)
		if err != nil && os.Getenv("PLANT_CLIENT_TEST") != "required" {
			t.Skipf("the generator cannot be fetched from the Go module proxy: %v: %.300s", err, out)
		}
		require.NoError(t, err, "%s", out)
	}
	out, err := goTool(t, dir, nil, "run", generator, "-generate", "types,client", "-package", "client",
		"-o", filepath.Join("client", "client.gen.go"), "openapi.yaml")
	require.NoError(t, err, "%s", out)
	require.NotContains(t, string(out), "WARNING", "the generator takes the document as it is")

	p := newPlatform(t)
	out, err = goTool(t, dir, []string{"PLANT_TOKEN=" + p.token}, "run", ".", p.door(t))
	require.NoError(t, err, "%s", out)
	for _, kind := range []string{"Industry", "Skill", "JobRole", "Agent", "Team"} {
		require.Contains(t, string(out), kind+" created, changed, listed, found, read, archived\n")
	}
}

// goTool runs the go command in a folder.
func goTool(t *testing.T, dir string, env []string, args ...string) ([]byte, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "go", args...) // #nosec -- what stands in this file
	cmd.Dir, cmd.Env = dir, append(os.Environ(), env...)
	return cmd.CombinedOutput()
}

// door is one address for all collections, as the front end is.
func (p *platform) door(t *testing.T) string {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for collection, at := range p.at {
			if strings.HasPrefix(r.URL.Path, collection) {
				target, err := url.Parse(at.url)
				if err != nil {
					http.Error(w, err.Error(), http.StatusInternalServerError)
					return
				}
				httputil.NewSingleHostReverseProxy(target).ServeHTTP(w, r)
				return
			}
		}
		http.NotFound(w, r)
	}))
	t.Cleanup(s.Close)
	return s.URL
}
