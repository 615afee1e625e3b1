// Package stacktest gives tests a real PostgreSQL and a real Redis. Only tests
// import it.
//
// A package that uses it has
//
//	func TestMain(m *testing.M) { stacktest.Main(m) }
//
// TEST_POSTGRES_URL (a superuser's) and TEST_REDIS_URL name the servers to
// use; scripts/localstack/cmd/teststack sets them for a whole `go test ./...`.
// Without them the package's test process starts its own servers at the first
// use. Servers that cannot start fail the test; it never skips.
//
// TEST_MODEL_DIR names the folder of the embedding model; see ModelDir.
//
// PLANT_CACHE names the folder of the downloaded parts, TEST_POSTGRES_VERSION
// the major version to start, 16 or 18.
package stacktest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/dlai-sd/plant/scripts/localstack/ephemeral"
	"github.com/dlai-sd/plant/scripts/localstack/postgres"
	"github.com/dlai-sd/plant/scripts/localstack/redis"
)

const (
	startDeadline = 5 * time.Minute // a first download included
	stopDeadline  = 30 * time.Second
)

// servers are what this test process started itself. There is one, because
// one process has one set of servers, whichever test asks first.
var servers = &own{}

type own struct {
	mu       sync.Mutex
	managed  bool // Main is there to stop them
	stopped  bool
	dir      *ephemeral.Dir
	postgres *postgres.Server
	redis    *redis.Server
	failed   map[string]error // by server: why it did not start
}

// Main runs the package's tests, stops the servers that they started, also on
// Ctrl-C, and exits.
func Main(m *testing.M) {
	interrupted := make(chan os.Signal, 1)
	signal.Notify(interrupted, os.Interrupt, syscall.SIGTERM)
	servers.mu.Lock()
	servers.managed = true
	servers.mu.Unlock()
	done := make(chan int)
	go func() { done <- m.Run() }()
	code := 130
	select {
	case code = <-done:
	case <-interrupted:
	}
	if err := servers.stop(); err != nil {
		fmt.Fprintln(os.Stderr, "stop the test servers:", err)
		code = max(code, 1)
	}
	os.Exit(code)
}

// AdminURL is a superuser's connection string to the cluster's database
// postgres.
func AdminURL(t testing.TB) string {
	t.Helper()
	if url := os.Getenv("TEST_POSTGRES_URL"); url != "" {
		return url
	}
	url, err := servers.postgresURL()
	if err != nil {
		t.Fatalf("no PostgreSQL for the tests: %v", err)
	}
	return url
}

func redisURL(t testing.TB) string {
	t.Helper()
	if url := os.Getenv("TEST_REDIS_URL"); url != "" {
		return url
	}
	url, err := servers.redisURL()
	if err != nil {
		t.Fatalf("no Redis for the tests: %v", err)
	}
	return url
}

func (o *own) postgresURL() (string, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	err := o.once("postgres", o.postgres != nil, func(ctx context.Context, opts ephemeral.Options) (err error) {
		if o.dir, err = ephemeral.NewDir(ctx); err != nil {
			return err
		}
		o.postgres, err = o.dir.Postgres(ctx, opts)
		return err
	})
	if err != nil {
		return "", err
	}
	return o.postgres.AdminURL(), nil
}

func (o *own) redisURL() (string, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	err := o.once("redis", o.redis != nil, func(ctx context.Context, opts ephemeral.Options) (err error) {
		o.redis, err = ephemeral.Redis(ctx, opts)
		return err
	})
	if err != nil {
		return "", err
	}
	return o.redis.URL(), nil
}

// once starts a server unless it runs, or failed to before. o.mu is held.
func (o *own) once(name string, running bool, start func(context.Context, ephemeral.Options) error) error {
	if !o.managed {
		return errors.New("the package needs: func TestMain(m *testing.M) { stacktest.Main(m) }")
	}
	if o.stopped {
		return errors.New("the tests are over")
	}
	if running {
		return nil
	}
	if err, tried := o.failed[name]; tried {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), startDeadline)
	defer cancel()
	opts, err := options()
	if err == nil {
		err = start(ctx, opts)
	}
	if err != nil {
		if o.failed == nil {
			o.failed = map[string]error{}
		}
		o.failed[name] = err
	}
	return err
}

func options() (ephemeral.Options, error) {
	from, err := fetcher()
	if err != nil {
		return ephemeral.Options{}, err
	}
	opts := ephemeral.Options{Fetcher: from}
	if version := os.Getenv("TEST_POSTGRES_VERSION"); version != "" {
		major, err := strconv.Atoi(version)
		if err != nil {
			return ephemeral.Options{}, fmt.Errorf("TEST_POSTGRES_VERSION is %q: it must be 16 or 18", version)
		}
		opts.Major = major
	}
	return opts, nil
}

func (o *own) stop() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.stopped = true
	ctx, cancel := context.WithTimeout(context.Background(), stopDeadline)
	defer cancel()
	var err error
	if o.postgres != nil {
		err = errors.Join(err, o.postgres.Stop(ctx))
	}
	if o.redis != nil {
		err = errors.Join(err, o.redis.Stop(ctx))
	}
	if o.dir != nil {
		err = errors.Join(err, o.dir.Remove())
	}
	return err
}
