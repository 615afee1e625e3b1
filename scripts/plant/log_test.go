package main

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/stretchr/testify/require"
)

// testLog: the stack's scheduler keeps the log, and the command line sees that it
// and what is published agree; a log that is sound is not forked.
func testLog(t *testing.T, s *running) {
	var status struct {
		Origin        string `json:"origin"`
		Size          int64  `json:"size"`
		Published     int64  `json:"published"`
		PublishedSize int64  `json:"published_size"`
	}
	require.Eventually(t, func() bool {
		require.NoError(t, json.Unmarshal([]byte(must(t, s.env(), "--json", "log", "status").stdout), &status))
		return status.Published > 0
	}, 90*time.Second, time.Second)
	require.Greater(t, status.PublishedSize, int64(5))
	require.FileExists(t, filepath.Join(s.dir, "checkpoints", "000000000001"))
	require.Contains(t, must(t, s.env(), "log", "status").stdout, "published   checkpoint ")
	refused := plant(t, s.env(), "log", "fork", "plant.local/again")
	require.Equal(t, 1, refused.code)
	require.Contains(t, refused.stderr, "the log can go on")

	// Checkpoints of another log under the next number stop it, and it is said.
	elsewhere := t.TempDir()
	require.NoError(t, os.Mkdir(filepath.Join(elsewhere, "checkpoints"), 0o700))
	stopped := plant(t, append(s.env(), "CHECKPOINT_DIR="+elsewhere), "log", "status")
	require.Equal(t, 1, stopped.code)
	require.Contains(t, stopped.stderr, "the log is stopped (lost)")
	require.Contains(t, stopped.stderr, "Try:")
}
