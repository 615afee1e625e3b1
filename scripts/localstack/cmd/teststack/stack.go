package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/dlai-sd/plant/scripts/localstack/ephemeral"
	"github.com/dlai-sd/plant/scripts/localstack/parts"
	"github.com/dlai-sd/plant/scripts/localstack/postgres"
	"github.com/dlai-sd/plant/scripts/localstack/redis"
)

// stack holds what was started, and where the tests find what they need.
type stack struct {
	dir         *ephemeral.Dir
	postgres    *postgres.Server
	redis       *redis.Server
	postgresURL string
	redisURL    string
	modelDir    string
}

// start starts what no variable names.
func (s *stack) start(ctx context.Context, opts ephemeral.Options) (err error) {
	s.postgresURL = given("TEST_POSTGRES_URL", "DATABASE_URL")
	s.redisURL = given("TEST_REDIS_URL", "REDIS_URL")
	if s.postgresURL == "" {
		if s.dir, err = ephemeral.NewDir(ctx); err != nil {
			return err
		}
		if s.postgres, err = s.dir.Postgres(ctx, opts); err != nil {
			return fmt.Errorf("start PostgreSQL: %w", err)
		}
		s.postgresURL = s.postgres.AdminURL()
	}
	if s.redisURL == "" {
		if s.redis, err = ephemeral.Redis(ctx, opts); err != nil {
			return fmt.Errorf("start Redis: %w", err)
		}
		s.redisURL = s.redis.URL()
	}
	return s.fetchModel(ctx, opts.Fetcher)
}

// fetchModel downloads the embedding model unless a variable names it.
func (s *stack) fetchModel(ctx context.Context, fetcher parts.Fetcher) error {
	if s.modelDir = given("TEST_MODEL_DIR"); s.modelDir != "" {
		return nil
	}
	folder, err := fetcher.Fetch(ctx, parts.Model())
	if err != nil {
		return err
	}
	s.modelDir = parts.ModelDir(folder)
	return nil
}

func (s *stack) environment() []string {
	return []string{"TEST_POSTGRES_URL=" + s.postgresURL, "TEST_REDIS_URL=" + s.redisURL, "TEST_MODEL_DIR=" + s.modelDir}
}

func (s *stack) stop(ctx context.Context) error {
	var err error
	if s.postgres != nil {
		err = errors.Join(err, s.postgres.Stop(ctx))
	}
	if s.redis != nil {
		err = errors.Join(err, s.redis.Stop(ctx))
	}
	if s.dir != nil {
		err = errors.Join(err, s.dir.Remove())
	}
	return err
}

func given(names ...string) string {
	for _, name := range names {
		if value := os.Getenv(name); value != "" {
			return value
		}
	}
	return ""
}
