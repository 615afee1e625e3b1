// Package ephemeral starts servers that live as long as one run and keep
// nothing: what the tests work on. They give up safety for speed.
package ephemeral

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"

	"github.com/dlai-sd/plant/scripts/localstack/lockfile"
	"github.com/dlai-sd/plant/scripts/localstack/parts"
	"github.com/dlai-sd/plant/scripts/localstack/postgres"
	"github.com/dlai-sd/plant/scripts/localstack/redis"
)

const (
	prefix      = "plant-ephemeral-"
	connections = 300
	databases   = 1024
)

// Dir is a temporary folder that every user may enter, since PostgreSQL runs
// as another one if we are root. It is removed by Remove, or, if we are
// killed, by the next NewDir.
type Dir struct {
	Path string
	lock *lockfile.Lock
}

// NewDir removes what killed processes left and makes a new folder.
func NewDir(ctx context.Context) (dir *Dir, failed error) {
	uid := strconv.Itoa(os.Geteuid())
	mine, err := lockfile.Wait(ctx, filepath.Join(os.TempDir(), "plant-ephemeral."+uid+".lock"))
	if err != nil {
		return nil, fmt.Errorf("make a temporary folder: %w", err)
	}
	defer func() { failed = errors.Join(failed, mine.Release()) }()
	if err := sweep(prefix + uid + "-"); err != nil {
		return nil, fmt.Errorf("remove what killed runs left: %w", err)
	}
	path, err := os.MkdirTemp("", prefix+uid+"-")
	if err != nil {
		return nil, fmt.Errorf("make a temporary folder: %w", err)
	}
	if err := os.Chmod(path, 0o755); err != nil { // #nosec -- PostgreSQL's user must enter it
		return nil, fmt.Errorf("make a temporary folder: %w", err)
	}
	lock, err := lockfile.Folder(path)
	if err != nil {
		return nil, fmt.Errorf("make a temporary folder: %w", err)
	}
	return &Dir{Path: path, lock: lock}, nil
}

// Remove deletes the folder.
func (d *Dir) Remove() error {
	return errors.Join(os.RemoveAll(d.Path), d.lock.Release())
}

// sweep deletes the folders whose process is gone.
func sweep(prefix string) error {
	left, err := filepath.Glob(filepath.Join(os.TempDir(), prefix+"*"))
	if err != nil {
		return err
	}
	for _, path := range left {
		lock, err := lockfile.Folder(path)
		var held *lockfile.HeldError
		if errors.As(err, &held) {
			continue
		}
		if err != nil {
			return err
		}
		if err := errors.Join(os.RemoveAll(path), lock.Release()); err != nil {
			return err
		}
	}
	return nil
}

// Options say where the parts come from and which PostgreSQL to start.
type Options struct {
	Fetcher parts.Fetcher
	Major   int       // 0: 18
	Log     io.Writer // nil: nobody
}

// Postgres starts an unsafe server in the folder.
func (d *Dir) Postgres(ctx context.Context, opts Options) (*postgres.Server, error) {
	if opts.Major == 0 {
		opts.Major = 18
	}
	install, err := postgres.Fetch(ctx, opts.Fetcher, opts.Major)
	if err != nil {
		return nil, err
	}
	return postgres.Start(ctx, postgres.Options{
		Install: install, Data: filepath.Join(d.Path, "postgres"), Unsafe: true,
		MaxConnections: connections, Log: opts.Log,
		Settings: map[string]string{
			"wal_level": "minimal", "max_wal_senders": "0", "checkpoint_timeout": "1h", "jit": "off",
		},
	})
}

// Redis starts a server with many databases, so that each test has its own.
func Redis(ctx context.Context, opts Options) (*redis.Server, error) {
	binary, err := redis.Fetch(ctx, opts.Fetcher)
	if err != nil {
		return nil, err
	}
	return redis.Start(ctx, redis.Options{Binary: binary, Databases: databases, Log: opts.Log})
}
