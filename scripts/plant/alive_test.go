package main

import (
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// birth tells a process from a later one of the same number.
type birth struct {
	pid     int
	started string // in clock ticks after boot
}

// status is what proc_pid_stat(5) says of a process: its parent, state, birth
// and program.
type status struct {
	birth
	parent  int
	state   string
	program string
}

func statusOf(pid int) (status, bool) {
	b, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	if err != nil {
		return status{}, false
	}
	open, shut := strings.IndexByte(string(b), '('), strings.LastIndexByte(string(b), ')')
	fields := strings.Fields(string(b[shut+1:]))
	parent, err := strconv.Atoi(fields[1])
	return status{birth{pid, fields[19]}, parent, fields[0], string(b[open+1 : shut])}, err == nil
}

// descendants lists what a process started and what that started, by program.
func descendants(t *testing.T, pid int) map[birth]string {
	t.Helper()
	if runtime.GOOS != "linux" {
		t.Skip("processes are counted through /proc, which only Linux has")
	}
	entries, err := os.ReadDir("/proc")
	require.NoError(t, err)
	children := map[int][]status{}
	for _, e := range entries {
		if n, err := strconv.Atoi(e.Name()); err == nil {
			if s, ok := statusOf(n); ok {
				children[s.parent] = append(children[s.parent], s)
			}
		}
	}
	found := map[birth]string{}
	for queue := children[pid]; len(queue) > 0; queue = queue[1:] {
		found[queue[0].birth] = queue[0].program
		queue = append(queue, children[queue[0].pid]...)
	}
	return found
}

// left are those of the processes that still run.
func left(processes map[birth]string) []string {
	var names []string
	for b, name := range processes {
		if s, ok := statusOf(b.pid); ok && s.started == b.started && s.state != "Z" && s.state != "X" {
			names = append(names, name)
		}
	}
	return names
}
