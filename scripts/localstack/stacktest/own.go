package stacktest

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/dlai-sd/plant/scripts/localstack/ephemeral"
	"github.com/dlai-sd/plant/scripts/localstack/parts"
	"github.com/dlai-sd/plant/scripts/localstack/postgres"
)

// Fetcher brings the parts for a server of a test's own, from the folder that all
// tests share.
func Fetcher(t testing.TB) parts.Fetcher {
	t.Helper()
	f, err := fetcher()
	if err != nil {
		t.Fatalf("the folder of the downloaded parts: %v", err)
	}
	return f
}

func fetcher() (parts.Fetcher, error) {
	dir := os.Getenv("PLANT_CACHE")
	if dir == "" {
		var err error
		if dir, err = parts.DefaultDir(); err != nil {
			return parts.Fetcher{}, err
		}
	}
	return parts.Fetcher{Dir: dir, Report: parts.Lines(os.Stderr)}, nil
}

// DurablePostgres starts a PostgreSQL of the test's own, with fsync on, whose data
// outlives kill -9. maxConnections 0 is the server's own default. It ends with the
// test.
func DurablePostgres(t testing.TB, maxConnections int) *postgres.Server {
	t.Helper()
	install, err := postgres.Fetch(t.Context(), Fetcher(t), 18)
	if err != nil {
		t.Fatalf("no PostgreSQL for the test: %v", err)
	}
	dir, err := ephemeral.NewDir(t.Context())
	if err != nil {
		t.Fatalf("no PostgreSQL for the test: %v", err)
	}
	t.Cleanup(func() {
		if err := dir.Remove(); err != nil {
			t.Errorf("remove the test's PostgreSQL: %v", err)
		}
	})
	server, err := postgres.Start(t.Context(), postgres.Options{
		Install: install, Data: filepath.Join(dir.Path, "postgres"), MaxConnections: maxConnections,
	})
	if err != nil {
		t.Fatalf("no PostgreSQL for the test: %v", err)
	}
	t.Cleanup(func() {
		if err := server.Stop(context.WithoutCancel(t.Context())); err != nil {
			t.Errorf("stop the test's PostgreSQL: %v", err)
		}
	})
	return server
}
