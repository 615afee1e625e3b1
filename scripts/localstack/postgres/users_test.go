package postgres_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	osexec "os/exec"
	"os/user"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/dlai-sd/plant/scripts/localstack/postgres"
)

const helperEnv = "POSTGRES_TEST_HELPER" // installation and data folder, a colon between

// helper is another process: it starts a server, prints the server's process
// number and stops it when its input ends.
func helper() int {
	install, data, _ := strings.Cut(os.Getenv(helperEnv), ":")
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	s, err := postgres.Start(ctx, postgres.Options{Install: install, Data: data, Unsafe: true})
	if err != nil {
		fmt.Println("failed:", err)
		return 1
	}
	fmt.Println(s.PID())
	if _, err := io.Copy(io.Discard, os.Stdin); err != nil {
		return 1
	}
	if err := s.Stop(ctx); err != nil {
		fmt.Println("failed:", err)
		return 1
	}
	return 0
}

// startHelper runs helper, as the given user if any, and returns its first
// line and a way to end it.
func startHelper(t *testing.T, program, data string, as *syscall.Credential) (*osexec.Cmd, io.Closer, string) {
	t.Helper()
	cmd := osexec.CommandContext(t.Context(), program)
	cmd.Env = append(os.Environ(), helperEnv+"="+install(t, 18)+":"+data)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: as}
	cmd.Dir = "/"
	stdin, err := cmd.StdinPipe()
	require.NoError(t, err)
	stdout, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	line, err := bufio.NewReader(stdout).ReadString('\n')
	require.NoError(t, err)
	require.NotContains(t, line, "failed")
	return cmd, stdin, strings.TrimSpace(line)
}

func TestNoServerOutlivesAKilledParent(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		t.Skip("orphans are prevented on Linux only")
	}
	data := filepath.Join(folder(t), "pg")
	cmd, _, line := startHelper(t, os.Args[0], data, nil)
	pid, err := strconv.Atoi(line)
	require.NoError(t, err)
	require.True(t, alive(pid))
	require.NoError(t, cmd.Process.Kill())
	require.Error(t, cmd.Wait())
	require.Eventually(t, func() bool { return !alive(pid) }, 10*time.Second, 10*time.Millisecond)

	next := start(t, postgres.Options{Install: install(t, 18), Data: data, Unsafe: true})
	require.Equal(t, 1, query[int](t, next.AdminURL(), "SELECT 1"))
}

func TestAsAnOrdinaryUser(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("we are an ordinary user: every other test shows it")
	}
	u, err := user.Lookup("nobody")
	require.NoError(t, err)
	uid, err := strconv.Atoi(u.Uid)
	require.NoError(t, err)
	gid, err := strconv.Atoi(u.Gid)
	require.NoError(t, err)

	dir := folder(t)
	require.NoError(t, os.Chown(dir, uid, gid))
	program := filepath.Join(dir, "helper")
	copyFile(t, os.Args[0], program)
	cmd, stdin, _ := startHelper(t, program, filepath.Join(dir, "pg"), &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)})
	require.NoError(t, stdin.Close())
	require.NoError(t, cmd.Wait())
}

func TestAsRootInAClosedFolderIsASentence(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("only root runs PostgreSQL as somebody else")
	}
	closed := filepath.Join(folder(t), "closed")
	require.NoError(t, os.Mkdir(closed, 0o700))
	_, err := postgres.Start(t.Context(), postgres.Options{Install: install(t, 18), Data: filepath.Join(closed, "pg")})
	require.ErrorContains(t, err, "may not enter "+closed)
	require.ErrorContains(t, err, "/var/lib/plant")
}

// alive reports whether the process exists and is more than a zombie.
func alive(pid int) bool {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return false
	}
	state := strings.Fields(string(b[strings.LastIndexByte(string(b), ')')+1:]))[0]
	return state != "Z" && state != "X"
}

// sleeper starts a program that does nothing until the test ends.
func sleeper(t *testing.T) int {
	t.Helper()
	cmd := osexec.CommandContext(t.Context(), "sleep", "600")
	if os.Geteuid() == 0 {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	}
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		require.NoError(t, cmd.Process.Kill())
		require.Error(t, cmd.Wait())
	})
	return cmd.Process.Pid
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	b, err := os.ReadFile(from)
	require.NoError(t, err)
	// A process that another test forks in the meantime would hold the file open
	// for writing, and nobody can run it then (ETXTBSY).
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	require.NoError(t, os.WriteFile(to, b, 0o755)) // #nosec -- it is a program
}
