package main

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"github.com/jackc/pgx/v5"
	goredis "github.com/redis/go-redis/v9"

	"github.com/dlai-sd/plant/migrations"
	"github.com/dlai-sd/plant/scripts/localstack/parts"
	"github.com/dlai-sd/plant/scripts/localstack/postgres"
	"github.com/dlai-sd/plant/scripts/localstack/redis"
)

const databaseName = "plant"

func (s *stack) fetcher() (parts.Fetcher, error) {
	dir := s.cmd.Cache
	if dir == "" {
		var err error
		if dir, err = parts.DefaultDir(); err != nil {
			return parts.Fetcher{}, err
		}
	}
	return parts.Fetcher{Dir: dir, Report: parts.Progress(s.app.stderr, noColor())}, nil
}

// startPostgres starts the embedded server, or takes the real one that
// DATABASE_URL names, and makes database and roles ready.
func (s *stack) startPostgres(ctx context.Context) error {
	adminURL := s.cmd.DatabaseURL
	if adminURL == "" {
		var err error
		if adminURL, err = s.embeddedPostgres(ctx); err != nil {
			return err
		}
	}
	if err := bootstrap(ctx, adminURL); err != nil {
		return advise(err, "DATABASE_URL must be an administrator's address of a PostgreSQL 16 or newer with pgvector 0.8")
	}
	return s.setPasswords(ctx, adminURL)
}

func (s *stack) embeddedPostgres(ctx context.Context) (string, error) {
	fetcher, err := s.fetcher()
	if err != nil {
		return "", err
	}
	install, err := postgres.Fetch(ctx, fetcher, s.cmd.Postgres)
	if err != nil {
		return "", advise(err, "mend that, choose another cache folder with PLANT_CACHE, or set DATABASE_URL to a PostgreSQL of your own")
	}
	data, err := s.postgresFolder()
	if err != nil {
		return "", err
	}
	server, err := postgres.Start(ctx, postgres.Options{Install: install, Data: data, Log: s.logs.writer("postgres")})
	if err != nil {
		return "", err
	}
	s.closing("PostgreSQL", server.Stop)
	s.watch("PostgreSQL", server.Done())
	return createDatabase(ctx, server)
}

// postgresFolder is in the data folder. PostgreSQL refuses to run as root, so
// root's cluster belongs to another user, who may not enter root's folders: it
// has a place of its own, one for each data folder and origin. A data folder
// that is removed and made anew has another origin, and so another cluster.
func (s *stack) postgresFolder() (string, error) {
	if os.Geteuid() != 0 {
		return filepath.Join(s.app.dir, "postgres"), nil
	}
	dir, err := filepath.Abs(s.app.dir)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256([]byte(dir + "\n" + s.origins[0])) // a fork moves no cluster
	folder := filepath.Join("/var/lib/plant", hex.EncodeToString(sum[:6]))
	if err := os.MkdirAll(folder, 0o755); err != nil { // #nosec -- PostgreSQL's user must enter it
		return "", err
	}
	return filepath.Join(folder, "postgres"), nil
}

func createDatabase(ctx context.Context, server *postgres.Server) (string, error) {
	conn, err := pgx.Connect(ctx, server.AdminURL())
	if err != nil {
		return "", fmt.Errorf("connect: %w", err)
	}
	defer func() { _ = conn.Close(ctx) }()
	var exists bool
	if err := conn.QueryRow(ctx, `SELECT EXISTS (SELECT 1 FROM pg_database WHERE datname = $1)`, databaseName).Scan(&exists); err != nil {
		return "", err
	}
	if !exists {
		if _, err := conn.Exec(ctx, "CREATE DATABASE "+databaseName+" TEMPLATE template0 ENCODING 'UTF8'"); err != nil {
			return "", fmt.Errorf("create database: %w", err)
		}
	}
	return server.AdminURLOf(databaseName), nil
}

// setPasswords draws a new password for each role, which only this run's
// processes know.
func (s *stack) setPasswords(ctx context.Context, adminURL string) error {
	conn, err := pgx.Connect(ctx, adminURL)
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	defer func() { _ = conn.Close(ctx) }()
	s.passwords = map[string]string{}
	for _, role := range append(migrations.Roles(), "plant_migrator") {
		s.passwords[role] = rand.Text()
		// A role and a password made of letters and digits: nothing to quote.
		if _, err := conn.Exec(ctx, fmt.Sprintf("ALTER ROLE %s PASSWORD '%s'", role, s.passwords[role])); err != nil {
			return fmt.Errorf("set the password of %s: %w", role, err)
		}
	}
	u, err := url.Parse(adminURL)
	if err != nil || u.Host == "" {
		return advise(errors.New("DATABASE_URL is not of the form postgres://…"), "DATABASE_URL=postgres://user:password@host:5432/database")
	}
	s.database = func(role string) string {
		as := *u
		as.User = url.UserPassword(role, s.passwords[role])
		return as.String()
	}
	return nil
}

func (s *stack) startRedis(ctx context.Context) error {
	if s.redisURL = s.cmd.RedisURL; s.redisURL != "" {
		return advise(answers(ctx, s.redisURL), "REDIS_URL=redis://:password@host:6379/0, of a Redis that this machine reaches")
	}
	fetcher, err := s.fetcher()
	if err != nil {
		return err
	}
	binary, err := redis.Fetch(ctx, fetcher)
	if err != nil {
		return advise(err, "mend that, choose another cache folder with PLANT_CACHE, or set REDIS_URL to a Redis of your own")
	}
	server, err := redis.Start(ctx, redis.Options{Binary: binary, Log: s.logs.writer("redis")})
	if err != nil {
		return err
	}
	s.closing("Redis", server.Stop)
	s.watch("Redis", server.Done())
	s.redisURL = server.URL()
	return nil
}

// fetchModel fetches the embedding model, or takes the folder that MODEL_DIR names.
func (s *stack) fetchModel(ctx context.Context) error {
	if s.app.settings.ModelDir != "" {
		return nil
	}
	fetcher, err := s.fetcher()
	if err != nil {
		return err
	}
	folder, err := fetcher.Fetch(ctx, parts.Model())
	s.app.settings.ModelDir = parts.ModelDir(folder)
	return advise(err, "mend that, choose another cache folder with PLANT_CACHE, or set MODEL_DIR to a folder with model.safetensors and vocab.txt")
}

// answers reports whether a Redis can be reached. Its errors do not repeat the
// address, which may hold a password.
func answers(ctx context.Context, address string) error {
	options, err := goredis.ParseURL(address)
	if err != nil {
		return errors.New("REDIS_URL is not of the form redis://…")
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	dialer := net.Dialer{}
	conn, err := dialer.DialContext(ctx, options.Network, options.Addr) // the client would log every failed try
	if err != nil {
		return fmt.Errorf("reach the Redis of REDIS_URL: %w", err)
	}
	_ = conn.Close() // it was a look
	c := goredis.NewClient(options)
	if err := c.Ping(ctx).Err(); err != nil {
		return errors.Join(fmt.Errorf("reach the Redis of REDIS_URL: %w", err), c.Close())
	}
	return c.Close()
}

// watch reports a server that ends while the stack runs.
func (s *stack) watch(name string, done <-chan struct{}) {
	go func() {
		<-done
		select {
		case s.gone <- name:
		default: // the stack is stopping already
		}
	}()
}
