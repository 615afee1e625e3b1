package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/dlai-sd/plant/scripts/localstack/proc"
)

// bin is the folder of the two binaries, built once before the tests.
var bin string

func TestMain(m *testing.M) { os.Exit(buildAndRun(m)) }

func buildAndRun(m *testing.M) int {
	var err error
	if bin, err = os.MkdirTemp("", "plant-test-bin-"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() { _ = os.RemoveAll(bin) }()
	build := exec.CommandContext(context.Background(), "go", "build", "-o", bin, "../../functions", ".")
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build: %v\n%s", err, out)
		return 1
	}
	return m.Run()
}

const (
	commandTimeout = 2 * time.Minute
	readyTimeout   = 5 * time.Minute // a first download included
	tick           = 20 * time.Millisecond
)

// environment is ours without what would tell plant where things are; PLANT_CACHE
// stays, so that parts are not downloaded again. Later entries win.
func environment(extra ...string) []string {
	told := []string{
		"DATABASE_URL", "REDIS_URL", "GOOGLE_CLOUD_PROJECT", "SECRET_MANAGER_ENDPOINT", "AMENDMENT_KEY", "JWT_KEYS",
		"CHECKPOINT_KEY", "HEADS_KEY", "CHECKPOINT_DIR", "CHECKPOINT_BUCKET",
		"TOKEN_ISSUER", "TOKEN_AUDIENCE", "PUBSUB_EMULATOR_HOST", "NO_COLOR",
	}
	var env []string
	for _, line := range os.Environ() {
		name, _, _ := strings.Cut(line, "=")
		if name != "PLANT_CACHE" && (strings.HasPrefix(name, "PLANT_") || slices.Contains(told, name)) {
			continue
		}
		env = append(env, line)
	}
	return append(env, extra...)
}

// result is what a command line said and how it ended.
type result struct {
	code           int
	stdout, stderr string
}

// plant runs one command line to its end.
func plant(t *testing.T, env []string, args ...string) result {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), commandTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, filepath.Join(bin, "plant"), args...)
	cmd.Env, cmd.Dir = env, t.TempDir()
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil {
		require.ErrorAs(t, err, &exit, "plant %v", args)
	}
	return result{cmd.ProcessState.ExitCode(), stdout.String(), stderr.String()}
}

// must runs a command line that is to succeed and returns its result.
func must(t *testing.T, env []string, args ...string) result {
	t.Helper()
	r := plant(t, env, args...)
	require.Equal(t, 0, r.code, "plant %v\n%s%s", args, r.stdout, r.stderr)
	return r
}

// running is a `plant run`.
type running struct {
	dir      string
	url      string
	process  *proc.Process
	out, err string // files
}

// start runs a stack in a data folder and returns when it says that it is
// ready. It is stopped with the test, and what it keeps elsewhere is removed.
func start(t *testing.T, dir string, env ...string) *running {
	t.Helper()
	s := launch(t, dir, env...)
	require.Eventually(t, func() bool {
		return s.process.Ended() || strings.Contains(s.read(t, s.out), "is running at")
	}, readyTimeout, tick, "the stack never became ready")
	require.False(t, s.process.Ended(), "the stack ended: %s", s.read(t, s.err))
	settings, err := loadSettings(t.Context(), dir)
	require.NoError(t, err)
	s.url = settings.URL
	return s
}

func launch(t *testing.T, dir string, env ...string) *running {
	t.Helper()
	said := t.TempDir()
	s := &running{dir: dir, out: filepath.Join(said, "out"), err: filepath.Join(said, "err")}
	stdout, err := os.Create(s.out)
	require.NoError(t, err)
	stderr, err := os.Create(s.err)
	require.NoError(t, err)
	s.process, err = proc.Start(proc.Spec{
		Name: "plant", Path: filepath.Join(bin, "plant"), Args: []string{"run", "--port", "0", "--dir", dir},
		Env: environment(env...), Dir: said, Stdout: stdout, Stderr: stderr,
	})
	require.NoError(t, errors.Join(err, stdout.Close(), stderr.Close()))
	t.Cleanup(func() {
		steps := proc.Step{Signal: syscall.SIGTERM, Wait: stopTimeout}
		require.NoError(t, s.process.Stop(context.WithoutCancel(t.Context()), steps))
		removeCluster(t, dir)
	})
	return s
}

// removeCluster removes the cluster that root's stack keeps outside its folder.
func removeCluster(t *testing.T, dir string) {
	t.Helper()
	s := stack{app: &app{ctx: t.Context(), dir: dir}}
	if err := s.readOrigin(t.Context()); err == nil {
		require.NoError(t, s.forget())
	}
}

func (s *running) read(t *testing.T, file string) string {
	t.Helper()
	b, err := os.ReadFile(file) // #nosec -- the test's own
	require.NoError(t, err)
	return string(b)
}

// env is the environment of commands that speak to the stack.
func (s *running) env(extra ...string) []string {
	return environment(append([]string{"PLANT_DIR=" + s.dir}, extra...)...)
}

// interrupt is Ctrl-C; it returns when the stack has ended.
func (s *running) interrupt(t *testing.T) {
	t.Helper()
	require.NoError(t, s.process.Signal(syscall.SIGINT))
	<-s.process.Done()
}
