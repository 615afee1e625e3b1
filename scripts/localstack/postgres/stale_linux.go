package postgres

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// removeStalePID removes postmaster.pid if the process it names is not a
// server of this cluster: after a crash its number may belong to another
// program, and PostgreSQL would wait for that one for ever. The shared memory
// of this cluster, which PostgreSQL also looks at, still guards against two.
func (s *Server) removeStalePID() error {
	file := filepath.Join(s.cluster(), "postmaster.pid")
	b, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read postmaster.pid: %w", err)
	}
	first, _, _ := strings.Cut(string(b), "\n")
	pid, err := strconv.Atoi(first)
	if err != nil {
		return nil
	}
	command, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "cmdline"))
	if err != nil || len(command) == 0 || strings.Contains(string(command), s.cluster()) || strings.HasPrefix(string(command), "postgres:") {
		return nil
	}
	if err := os.Remove(file); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove a stale postmaster.pid: %w", err)
	}
	return nil
}
