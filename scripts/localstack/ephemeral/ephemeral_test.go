package ephemeral_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/dlai-sd/plant/scripts/localstack/ephemeral"
)

func TestNewDirRemovesWhatKilledRunsLeftAndNothingElse(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	left := filepath.Join(os.TempDir(), fmt.Sprintf("plant-ephemeral-%d-1", os.Geteuid()))
	foreign := filepath.Join(os.TempDir(), "plant-ephemeral-other-1")
	for _, dir := range []string{left, foreign} {
		require.NoError(t, os.MkdirAll(filepath.Join(dir, "postgres"), 0o700))
	}
	held, err := ephemeral.NewDir(t.Context())
	require.NoError(t, err)
	second, err := ephemeral.NewDir(t.Context())
	require.NoError(t, err)
	require.NoDirExists(t, left)
	require.DirExists(t, foreign)
	require.DirExists(t, held.Path)
	info, err := os.Stat(second.Path)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o755), info.Mode().Perm(), "PostgreSQL's user may enter")
	for _, dir := range []*ephemeral.Dir{held, second} {
		require.NoError(t, dir.Remove())
		require.NoDirExists(t, dir.Path)
	}
}
