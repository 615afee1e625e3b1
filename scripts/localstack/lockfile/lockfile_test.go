package lockfile_test

import (
	"bufio"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/dlai-sd/plant/scripts/localstack/lockfile"
)

const holdEnv = "LOCKFILE_TEST_HOLD"

func TestMain(m *testing.M) {
	if dir := os.Getenv(holdEnv); dir != "" {
		hold(dir)
		return
	}
	os.Exit(m.Run())
}

// hold takes the folder's lock, says so on stdout and waits to be killed.
func hold(dir string) {
	if _, err := lockfile.Folder(dir); err != nil {
		os.Exit(3)
	}
	os.Stdout.WriteString("held\n")
	bufio.NewReader(os.Stdin).ReadByte()
}

func TestFolderNamesTheOtherProcessAndIsFreeAfterItsKill(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "data")
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), holdEnv+"="+dir)
	stdin, err := cmd.StdinPipe()
	require.NoError(t, err)
	defer stdin.Close()
	stdout, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	line, err := bufio.NewReader(stdout).ReadString('\n')
	require.NoError(t, err)
	require.Equal(t, "held\n", line)

	_, err = lockfile.Folder(dir)
	var held *lockfile.HeldError
	require.ErrorAs(t, err, &held)
	require.Equal(t, cmd.Process.Pid, held.PID)
	require.ErrorContains(t, err, "process "+strconv.Itoa(cmd.Process.Pid))
	require.ErrorContains(t, err, "choose another folder")

	require.NoError(t, cmd.Process.Kill())
	require.Error(t, cmd.Wait())
	lock, err := lockfile.Folder(dir)
	require.NoError(t, err)
	require.NoError(t, lock.Release())
}

func TestWaitGetsTheLockOnceItIsReleased(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "lock")
	first, err := lockfile.Try(path)
	require.NoError(t, err)

	short, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond)
	defer cancel()
	_, err = lockfile.Wait(short, path)
	require.ErrorIs(t, err, context.DeadlineExceeded)

	got := make(chan error, 1)
	go func() {
		second, err := lockfile.Wait(t.Context(), path)
		if err == nil {
			err = second.Release()
		}
		got <- err
	}()
	require.NoError(t, first.Release())
	require.NoError(t, <-got)
}
