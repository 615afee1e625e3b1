package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/dlai-sd/plant/shared/testkit/testdata"
	"github.com/stretchr/testify/require"
)

func TestExecute(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(testdata.Dir(t), "ledger")
	trust := filepath.Join(dir, "keys", "root0.public.pem")
	all := filepath.Join(dir, "bundles", "all")
	for name, c := range map[string]struct {
		args       []string
		code       int
		out, fails string
	}{
		"help":      {nil, 0, "Exit code 0: all pass", ""},
		"passes":    {[]string{all, "--trust", trust, "--origin", "plant.example/ledger-a", "--now", "2026-01-31T13:50:50Z", "--scope", "all"}, 0, "All four verdicts pass", ""},
		"json":      {[]string{all, "--trust", trust, "--origin", "plant.example/ledger-a", "--now", "2026-01-31T13:50:50Z", "--json"}, 0, `"passed": true`, ""},
		"fails":     {[]string{all, "--trust", trust, "--origin", "x", "--max-age", "1h"}, 1, "FAILED", ""},
		"no origin": {[]string{all, "--trust", trust}, 2, "", "Try: plant-verify --help"},
		"unknown":   {[]string{"--nonsense"}, 2, "", "Try: plant-verify --help"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var out, stderr bytes.Buffer
			require.Equal(t, c.code, execute(c.args, &out, &stderr, false))
			require.Contains(t, out.String(), c.out)
			require.Contains(t, stderr.String(), c.fails)
		})
	}
}

// TestCompilesToWebAssembly: the verifier can run in a page and in a sandbox.
func TestCompilesToWebAssembly(t *testing.T) {
	t.Parallel()
	for _, system := range []string{"wasip1", "js"} {
		t.Run(system, func(t *testing.T) {
			t.Parallel()
			cmd := exec.CommandContext(t.Context(), "go", "build", "-o", filepath.Join(t.TempDir(), "verify.wasm"), ".")
			cmd.Env = append(os.Environ(), "GOOS="+system, "GOARCH=wasm")
			out, err := cmd.CombinedOutput()
			require.NoError(t, err, "%s", out)
		})
	}
}
