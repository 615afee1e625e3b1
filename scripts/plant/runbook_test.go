package main

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/dlai-sd/plant/shared/testkit/testdata"
)

// TestRunbook runs every block of infra/RUNBOOK.md that is marked local, in its
// order, against one stack, as a person would who copies them.
func TestRunbook(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile(filepath.Join(testdata.Root(), "infra", "RUNBOOK.md"))
	require.NoError(t, err)
	blocks := localBlocks(string(page))
	require.GreaterOrEqual(t, len(blocks), 6)
	s := start(t, filepath.Join(t.TempDir(), "data"), "NO_COLOR=1")
	s.create(t, "bread", breadBody)
	here := t.TempDir()
	require.NoError(t, os.Symlink(bin, filepath.Join(here, "bin")))
	for _, block := range blocks {
		ctx, cancel := context.WithTimeout(t.Context(), commandTimeout)
		cmd := exec.CommandContext(ctx, "bash", "-euo", "pipefail", "-c", block)
		cmd.Dir, cmd.Env = here, s.env("PLANT_TOKEN="+strings.TrimSpace(must(t, s.env(), "token").stdout))
		out, err := cmd.CombinedOutput()
		cancel()
		require.NoError(t, err, "%s\n%s", block, out)
	}
}

// localBlocks are the blocks of a page that begin with ```sh local.
func localBlocks(page string) []string {
	var blocks []string
	for i, part := range strings.Split(page, "```sh local\n") {
		if i > 0 {
			block, _, _ := strings.Cut(part, "```")
			blocks = append(blocks, block)
		}
	}
	return blocks
}
