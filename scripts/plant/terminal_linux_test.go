package main

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// testBar imports on a terminal: there is a progress bar, on stderr alone, and
// with NO_COLOR it has no colours.
func testBar(t *testing.T, s *running) {
	var lines []string
	for i := range 300 {
		lines = append(lines, fmt.Sprintf(`{"id":"bar-%d","title":"Bar %d","description":"One of many."}`, i, i))
	}
	cmd := exec.CommandContext(t.Context(), filepath.Join(bin, "plant"), "import", jsonl(t, lines...), "--category", "technical", "--verify")
	cmd.Env = s.env("NO_COLOR=1", "TERM=xterm")
	said := onTerminal(t, cmd)
	for _, what := range []string{"importing", "verifying", "0/300"} {
		require.Contains(t, said, what)
	}
	require.NotRegexp(t, `\x1b\[[0-9;]*m`, said, "NO_COLOR")
}

// onTerminal runs a command whose stderr is a terminal (pty(7)) and returns what
// came out there.
func onTerminal(t *testing.T, cmd *exec.Cmd) string {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Skipf("this machine gives no terminals: %v", err)
	}
	defer func() { _ = master.Close() }()
	fd := int(master.Fd()) // #nosec -- a file descriptor
	number, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	require.NoError(t, err)
	require.NoError(t, unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0))
	require.NoError(t, unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &unix.Winsize{Row: 24, Col: 120}))
	terminal, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0)
	require.NoError(t, err)
	var stdout strings.Builder
	cmd.Stdout, cmd.Stderr = &stdout, terminal
	require.NoError(t, cmd.Start())
	require.NoError(t, terminal.Close())
	said, _ := io.ReadAll(master) // ends with EIO when the last writer has gone
	require.NoError(t, cmd.Wait())
	require.Contains(t, stdout.String(), "300 created")
	return string(said)
}
