package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
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

// TestForkedLocally: a data folder whose database is set back to an older copy says
// that its log is stopped, and after a fork the same folder goes on under the new
// origin, and under no other.
func TestForkedLocally(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "data")
	kept := filepath.Join(t.TempDir(), "kept")
	s := start(t, dir)
	first := s.published(t, 1)
	s.interrupt(t)
	origin := strings.TrimSpace(s.read(t, filepath.Join(dir, "origin")))
	where := &stack{app: &app{ctx: t.Context(), dir: dir}}
	require.NoError(t, where.readOrigin(t.Context()))
	cluster, err := where.postgresFolder()
	require.NoError(t, err)
	run := func(name string, args ...string) {
		out, err := exec.CommandContext(t.Context(), name, args...).CombinedOutput()
		require.NoError(t, err, "%s", out)
	}
	run("cp", "-a", cluster, kept)

	s = start(t, dir)
	s.create(t, "bread", breadBody)
	s.interrupt(t)
	s = start(t, dir) // its first call of the sequencer publishes what was created
	s.published(t, first+1)
	s.interrupt(t)
	run("rm", "-rf", cluster)
	run("cp", "-a", kept, cluster)

	const next = "plant.local/next"
	s = start(t, dir)
	require.Contains(t, s.read(t, s.out), "Careful: the log is stopped (rolled_back)")
	present := plant(t, s.env(), "log", "fork", origin)
	require.Equal(t, 1, present.code)
	require.Contains(t, present.stderr, origin+" is the present origin of this log")
	require.Contains(t, present.stderr, "NEW-ORIGIN")
	require.Contains(t, must(t, s.env(), "log", "fork", next).stdout, "PLANT_ORIGIN="+next+" make run")
	status := plant(t, s.env(), "log", "status")
	require.Equal(t, 1, status.code)
	require.Contains(t, status.stdout, "forked to   "+next)
	require.Contains(t, status.stderr, "Try: start the functions with PLANT_ORIGIN="+next)
	require.NotContains(t, status.stderr, "log fork NEW-ORIGIN")
	require.Contains(t, plant(t, s.env(), "doctor").stdout, "was forked to "+next)
	s.interrupt(t)

	other := plant(t, environment("PLANT_DIR="+dir, "PLANT_ORIGIN=plant.local/other"), "run", "--port", "0")
	require.Equal(t, 1, other.code)
	require.Contains(t, other.stderr, "was not forked to it")
	require.Equal(t, origin+"\n", s.read(t, filepath.Join(dir, "origin")))

	s = start(t, dir, "PLANT_ORIGIN="+next)
	require.NotContains(t, s.read(t, s.out), "Careful")
	s.published(t, first+2)
	s.interrupt(t)
	s = start(t, dir) // said once, it stays
	require.NotContains(t, s.read(t, s.out), "Careful")
	require.Contains(t, must(t, s.env(), "log", "status").stdout, "origin      "+next)
	s.create(t, "bread", breadBody)
}

// published waits for a checkpoint of at least this number and returns its number.
func (s *running) published(t *testing.T, least int64) (number int64) {
	t.Helper()
	require.Eventually(t, func() bool {
		var status struct {
			Published int64 `json:"published"`
		}
		require.NoError(t, json.Unmarshal([]byte(must(t, s.env(), "--json", "log", "status").stdout), &status))
		number = status.Published
		return number >= least
	}, 90*time.Second, time.Second)
	return number
}
