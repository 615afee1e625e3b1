package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// asCommand tells this program to be teststack instead of its tests, or a command
// that says so and waits.
const asCommand = "TESTSTACK_TEST_AS_COMMAND"

func TestMain(m *testing.M) {
	switch os.Getenv(asCommand) {
	case "":
		os.Exit(m.Run())
	case "waits":
		fmt.Println("waiting")
		<-time.After(time.Minute)
		fmt.Println("no signal came")
	default:
		main()
	}
}

// started is a teststack whose command waits and whose servers answer.
type started struct {
	cmd   *exec.Cmd
	hosts []string
	rest  io.Reader
}

func command(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, os.Args[0], args...)
	for _, v := range os.Environ() {
		name, _, _ := strings.Cut(v, "=")
		switch name {
		case "DATABASE_URL", "REDIS_URL", "TEST_POSTGRES_URL", "TEST_REDIS_URL", "TEST_MODEL_DIR":
		default:
			cmd.Env = append(cmd.Env, v)
		}
	}
	cmd.Env = append(cmd.Env, asCommand+"=1")
	cmd.Stderr = os.Stderr
	return cmd
}

func start(t *testing.T, script string) started {
	t.Helper()
	cmd := command(t.Context(), "--", "sh", "-c", `echo "$TEST_POSTGRES_URL"; echo "$TEST_REDIS_URL"; `+script, os.Args[0])
	stdout, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	lines := bufio.NewReader(stdout)
	s := started{cmd: cmd, rest: lines}
	for range 2 {
		line, err := lines.ReadString('\n')
		require.NoError(t, err)
		u, err := url.Parse(strings.TrimSpace(line))
		require.NoError(t, err)
		s.hosts = append(s.hosts, u.Host)
		require.True(t, answers(u.Host))
	}
	return s
}

func answers(host string) bool {
	conn, err := net.DialTimeout("tcp", host, time.Second)
	if err != nil {
		return false
	}
	return conn.Close() == nil
}

func TestExitCodeIsTheCommandsAndServersStop(t *testing.T) {
	t.Parallel()
	s := start(t, "exit 7")
	var exit *exec.ExitError
	require.ErrorAs(t, s.cmd.Wait(), &exit)
	require.Equal(t, 7, exit.ExitCode())
	for _, host := range s.hosts {
		require.False(t, answers(host))
	}
}

// The command is a shell and its child, and the signal is for both. The child says
// itself that it waits: a SIGINT that comes between a shell's vfork and its child's
// exec is lost to the child (dash catches SIGINT and its vforked child shares the
// handler), and the shell puts its own off until the child ends.
func TestSignalsReachTheCommandAndServersStop(t *testing.T) {
	t.Parallel()
	for name, sig := range map[string]syscall.Signal{"interrupt": syscall.SIGINT, "terminate": syscall.SIGTERM} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := start(t, asCommand+`=waits "$0"; echo never`)
			rest := bufio.NewReader(s.rest)
			line, err := rest.ReadString('\n')
			require.NoError(t, err)
			require.Equal(t, "waiting\n", line)
			require.NoError(t, s.cmd.Process.Signal(sig))
			said, err := io.ReadAll(rest) // ends when the last holder of stdout is gone
			require.NoError(t, err)
			require.Empty(t, said)
			var exit *exec.ExitError
			require.ErrorAs(t, s.cmd.Wait(), &exit)
			require.Equal(t, 128+int(sig), exit.ExitCode())
			for _, host := range s.hosts {
				require.False(t, answers(host))
			}
		})
	}
}

func TestNothingOutlivesAKilledTeststack(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		t.Skip("orphans are prevented on Linux only")
	}
	s := start(t, "exec sleep 600")
	require.NoError(t, s.cmd.Process.Kill())
	_, err := io.Copy(io.Discard, s.rest) // ends when the last holder of stdout is gone
	require.NoError(t, err)
	require.Error(t, s.cmd.Wait())
	for _, host := range s.hosts {
		require.Eventually(t, func() bool { return !answers(host) }, 10*time.Second, 10*time.Millisecond)
	}
}

func TestGivenServersAreUsed(t *testing.T) {
	t.Parallel()
	cmd := command(t.Context(), "--", "sh", "-c", `echo "$TEST_POSTGRES_URL $TEST_REDIS_URL $TEST_MODEL_DIR"`)
	cmd.Env = append(cmd.Env, "DATABASE_URL=postgres://given/x", "REDIS_URL=redis://given/0", "TEST_MODEL_DIR=given/model")
	out, err := cmd.Output()
	require.NoError(t, err)
	require.Equal(t, "postgres://given/x redis://given/0 given/model\n", string(out))
}

func TestUsageAndUnknownCommand(t *testing.T) {
	t.Parallel()
	var exit *exec.ExitError
	cmd := command(t.Context())
	cmd.Stderr = nil
	require.ErrorAs(t, cmd.Run(), &exit)
	require.Equal(t, 2, exit.ExitCode())
	cmd = command(t.Context(), "--", "no-such-command-anywhere")
	cmd.Stderr = nil
	cmd.Env = append(cmd.Env, "DATABASE_URL=postgres://given/x", "REDIS_URL=redis://given/0")
	require.ErrorAs(t, cmd.Run(), &exit)
	require.Equal(t, 127, exit.ExitCode())
}
