// Package postgres runs a PostgreSQL server of its own: on loopback, with a
// random password, as an ordinary user even if we are root.
package postgres

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/dlai-sd/plant/scripts/localstack/parts"
	"github.com/dlai-sd/plant/scripts/localstack/proc"
)

const (
	startDeadline = 60 * time.Second // crash recovery included
	portAttempts  = 5
	superuser     = "postgres"
)

// Options say which server to start. Install and Data are required.
type Options struct {
	Install        string    // folder of bin, lib and share; see parts.PostgresDir
	Data           string    // folder for the cluster and its password; created if missing
	Port           int       // of 127.0.0.1; 0: any free one
	MaxConnections int       // 0: 100
	Unsafe         bool      // for tests: no fsync, no full-page writes, no autovacuum; survives a crash of the server, not of the machine
	Log            io.Writer // gets the server's lines; nil: nobody
	Settings       map[string]string
	Patience       time.Duration // how long another server of this data folder, or its children, may take to end; 0: 15 s
}

// Server is a running server. Its methods may be called from any goroutine.
type Server struct {
	opts     Options
	user     runAs
	password string

	mu      sync.Mutex
	port    int
	process *proc.Process
}

// Start makes the cluster if the data folder is new, starts the server and
// returns when it answers. Its errors say what to do.
func Start(ctx context.Context, opts Options) (*Server, error) {
	if opts.MaxConnections == 0 {
		opts.MaxConnections = 100
	}
	if opts.Patience == 0 {
		opts.Patience = patience
	}
	data, err := filepath.Abs(opts.Data)
	if err != nil {
		return nil, fmt.Errorf("data folder: %w", err)
	}
	opts.Data = data
	ctx, cancel := context.WithTimeout(ctx, startDeadline)
	defer cancel()
	user, err := chooseUser(opts.Data, opts.Install)
	if err != nil {
		return nil, err
	}
	s := &Server{opts: opts, user: user}
	if s.password, err = s.prepare(ctx); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.launch(ctx); err != nil {
		return nil, err
	}
	return s, nil
}

// AdminURL is the superuser's connection string to the database postgres.
func (s *Server) AdminURL() string { return s.AdminURLOf("postgres") }

// AdminURLOf is the superuser's connection string to a database.
func (s *Server) AdminURLOf(database string) string { return s.URL(superuser, s.password, database) }

// URL is a connection string for a login and a database of this server.
func (s *Server) URL(user, password, database string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.url(user, password, database)
}

func (s *Server) url(user, password, database string) string {
	u := url.URL{
		Scheme: "postgres", User: url.UserPassword(user, password),
		Host: "127.0.0.1:" + strconv.Itoa(s.port), Path: "/" + database,
		RawQuery: "sslmode=disable",
	}
	return u.String()
}

// Port is the port the server listens on.
func (s *Server) Port() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.port
}

// PID is the process id of the postmaster.
func (s *Server) PID() int { return s.current().PID() }

// Done is closed when the server as it runs now has ended.
func (s *Server) Done() <-chan struct{} { return s.current().Done() }

// Tail returns the last lines of the server's log.
func (s *Server) Tail() []string { return s.current().Tail() }

func (s *Server) current() *proc.Process {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.process
}

// Stop ends the server: connections are cut and all is written (fast), after
// 10 s without the writing (immediate), then by force.
func (s *Server) Stop(ctx context.Context) error {
	return s.current().Stop(ctx,
		proc.Step{Signal: syscall.SIGINT, Wait: 10 * time.Second},
		proc.Step{Signal: syscall.SIGQUIT, Wait: 5 * time.Second})
}

// Kill is kill -9 of the server and its children: a crash.
func (s *Server) Kill() error { return s.current().Kill() }

// Restart starts the server again on the same port after Kill or Stop, or
// after it ended by itself, and returns when it answers. Connection strings
// stay valid.
func (s *Server) Restart(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startDeadline)
	defer cancel()
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.process.Ended() {
		return errors.New("restart PostgreSQL: it is still running")
	}
	s.opts.Port = s.port
	return s.launch(ctx)
}

func (s *Server) cluster() string { return filepath.Join(s.opts.Data, "cluster") }

func (s *Server) binary(name string) string { return filepath.Join(s.opts.Install, "bin", name) }

// environment leaves out ours: PGDATA and its like must not reach the server.
func environment() []string {
	return []string{"LC_ALL=C", "TZ=UTC", "PATH=/usr/bin:/bin"}
}

func (s *Server) arguments(port int) []string {
	settings := map[string]string{
		"listen_addresses":        "127.0.0.1",
		"port":                    strconv.Itoa(port),
		"unix_socket_directories": "",
		"max_connections":         strconv.Itoa(s.opts.MaxConnections),
		"logging_collector":       "off",
		"log_destination":         "stderr",
		"log_timezone":            "UTC",
		"timezone":                "UTC",
		"lc_messages":             "C",
	}
	if s.opts.Unsafe {
		settings["fsync"] = "off"
		settings["full_page_writes"] = "off"
		settings["autovacuum"] = "off"
	}
	for name, value := range s.opts.Settings {
		settings[name] = value
	}
	args := []string{"-D", s.cluster()}
	for name, value := range settings {
		args = append(args, "-c", name+"="+value)
	}
	return args
}

// Fetch downloads PostgreSQL, once, and returns the installation of a major
// version: 16 or 18.
func Fetch(ctx context.Context, fetcher parts.Fetcher, major int) (install string, err error) {
	if major != 16 && major != 18 {
		return "", fmt.Errorf("PostgreSQL %d is not offered: choose 16 or 18", major)
	}
	folder, err := fetcher.Fetch(ctx, parts.Postgres())
	if err != nil {
		return "", err
	}
	return parts.PostgresDir(folder, major), nil
}

func lastWords(lines []string) string {
	if len(lines) > 8 {
		lines = lines[len(lines)-8:]
	}
	return strings.Join(lines, "\n  ")
}

// major reads the installation's version from its own catalogue, PG_VERSION's
// counterpart that needs no process.
func major(install string) (string, error) {
	b, err := os.ReadFile(filepath.Join(install, "share", "postgresql", "postgres.bki"))
	if err != nil {
		return "", fmt.Errorf("%s is not a PostgreSQL installation: %w", install, err)
	}
	first, _, _ := strings.Cut(string(b), "\n")
	version, ok := strings.CutPrefix(first, "# PostgreSQL ")
	if !ok {
		return "", fmt.Errorf("%s does not name its version", install)
	}
	return strings.TrimSpace(version), nil
}
