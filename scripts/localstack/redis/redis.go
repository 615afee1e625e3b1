// Package redis runs a Redis server of its own: on loopback, with a random
// password, keeping nothing on disk.
package redis

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	client "github.com/redis/go-redis/v9"

	"github.com/dlai-sd/plant/scripts/localstack/parts"
	"github.com/dlai-sd/plant/scripts/localstack/port"
	"github.com/dlai-sd/plant/scripts/localstack/proc"
)

const (
	startDeadline = 20 * time.Second
	portAttempts  = 5
	retryEvery    = 10 * time.Millisecond
)

// Options say which server to start. Binary is required.
type Options struct {
	Binary    string    // see Fetch
	Port      int       // of 127.0.0.1; 0: any free one
	Databases int       // 0: 16
	MemoryMB  int       // what it keeps before it forgets the least used; 0: 256
	Log       io.Writer // gets the server's lines; nil: nobody
}

// Server is a running server. Its methods may be called from any goroutine.
type Server struct {
	opts     Options
	password string

	mu      sync.Mutex
	port    int
	process *proc.Process
}

// Fetch downloads Redis, once, and returns its server program.
func Fetch(ctx context.Context, fetcher parts.Fetcher) (binary string, err error) {
	folder, err := fetcher.Fetch(ctx, parts.Redis())
	if err != nil {
		return "", err
	}
	return parts.RedisServer(folder), nil
}

// Start starts a server and returns when it answers. Its errors say what to
// do.
func Start(ctx context.Context, opts Options) (*Server, error) {
	if opts.Databases == 0 {
		opts.Databases = 16
	}
	if opts.MemoryMB == 0 {
		opts.MemoryMB = 256
	}
	s := &Server{opts: opts, password: rand.Text()}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.launch(ctx); err != nil {
		return nil, err
	}
	return s, nil
}

// URL is the connection string of database 0.
func (s *Server) URL() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.url()
}

func (s *Server) url() string {
	u := url.URL{Scheme: "redis", User: url.UserPassword("", s.password), Host: "127.0.0.1:" + strconv.Itoa(s.port), Path: "/0"}
	return u.String()
}

// PID is the server's process id.
func (s *Server) PID() int { return s.current().PID() }

// Done is closed when the server as it runs now has ended.
func (s *Server) Done() <-chan struct{} { return s.current().Done() }

func (s *Server) current() *proc.Process {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.process
}

// Stop ends the server.
func (s *Server) Stop(ctx context.Context) error {
	return s.current().Stop(ctx, proc.Step{Signal: syscall.SIGTERM, Wait: 5 * time.Second})
}

// Kill is kill -9: a crash, and everything in it is gone.
func (s *Server) Kill() error { return s.current().Kill() }

// Restart starts the server again, empty, on the same port and with the same
// password after Kill or Stop.
func (s *Server) Restart(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.process.Ended() {
		return errors.New("restart Redis: it is still running")
	}
	s.opts.Port = s.port
	return s.launch(ctx)
}

var errPortTaken = errors.New("port taken")

// launch starts the server; a free port that somebody took first is replaced
// by another. s.mu is held.
func (s *Server) launch(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startDeadline)
	defer cancel()
	for range portAttempts {
		err := s.launchOnce(ctx)
		if !errors.Is(err, errPortTaken) {
			return err
		}
		if s.opts.Port != 0 {
			return fmt.Errorf("start Redis: port %d of 127.0.0.1 is in use: stop what listens there or choose another port", s.opts.Port)
		}
	}
	return fmt.Errorf("start Redis: %d free ports in a row were taken by others first: run again", portAttempts)
}

func (s *Server) launchOnce(ctx context.Context) error {
	s.port = s.opts.Port
	if s.port == 0 {
		free, err := port.Free(1)
		if err != nil {
			return err
		}
		s.port = free[0]
	}
	config, err := s.config()
	if err != nil {
		return err
	}
	defer os.Remove(config)
	s.process, err = proc.Start(proc.Spec{
		Name: "redis", Path: s.opts.Binary, Args: []string{config}, Dir: "/",
		Env: []string{"LC_ALL=C"}, Output: s.opts.Log, OrphanSignal: syscall.SIGTERM,
	})
	if err != nil {
		return fmt.Errorf("start Redis: %w", err)
	}
	if err := s.ready(ctx); err != nil {
		return errors.Join(err, s.process.Kill())
	}
	return nil
}

// config writes the settings into a file of ours alone: arguments can be read
// by everybody on the machine.
func (s *Server) config() (string, error) {
	f, err := os.CreateTemp("", "plant-redis-*.conf")
	if err != nil {
		return "", fmt.Errorf("write Redis' settings: %w", err)
	}
	settings := []string{
		"bind 127.0.0.1", "port " + strconv.Itoa(s.port), "requirepass " + s.password,
		"databases " + strconv.Itoa(s.opts.Databases), "save \"\"", "appendonly no", "daemonize no",
		"maxmemory " + strconv.Itoa(s.opts.MemoryMB) + "mb", "maxmemory-policy allkeys-lru",
	}
	_, err = f.WriteString(strings.Join(settings, "\n") + "\n")
	if err := errors.Join(err, f.Close()); err != nil {
		return "", errors.Join(fmt.Errorf("write Redis' settings: %w", err), os.Remove(f.Name()))
	}
	return f.Name(), nil
}

// ready asks until the server answers, has ended, or ctx is over.
func (s *Server) ready(ctx context.Context) error {
	opts, err := client.ParseURL(s.url())
	if err != nil {
		return fmt.Errorf("connection string: %w", err)
	}
	opts.MaxRetries, opts.DialTimeout, opts.ReadTimeout = -1, time.Second, time.Second
	c := client.NewClient(opts)
	defer c.Close()
	alive, release := s.process.While(ctx)
	defer release()
	tick := time.NewTicker(retryEvery)
	defer tick.Stop()
	for {
		err := s.ping(alive, c)
		if err == nil {
			return nil
		}
		if s.process.Ended() {
			return s.whyEnded()
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("redis did not become ready: %w; its last lines:\n  %s", err, strings.Join(s.process.Tail(), "\n  "))
		}
	}
}

// ping knocks first: the client would log each refused connection.
func (s *Server) ping(ctx context.Context, c *client.Client) error {
	dialer := net.Dialer{Timeout: time.Second}
	conn, err := dialer.DialContext(ctx, "tcp", "127.0.0.1:"+strconv.Itoa(s.port))
	if err != nil {
		return err
	}
	if err := conn.Close(); err != nil {
		return err
	}
	return c.Ping(ctx).Err()
}

func (s *Server) whyEnded() error {
	said := strings.Join(s.process.Tail(), "\n  ")
	if strings.Contains(said, "Address already in use") {
		return errPortTaken
	}
	return fmt.Errorf("redis ended at once (%v); its last lines:\n  %s", s.process.Err(), said)
}
