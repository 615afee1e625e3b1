package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/sethvargo/go-envconfig"
)

// maxAuditBudget leaves a request of 25 s the time for one more chunk.
const maxAuditBudget = 15 * time.Second

// Config is what a function is told from outside. There is no default for
// anything that decides whom to trust.
type Config struct {
	Function string `env:"FUNCTION_TARGET"`
	Port     int    `env:"PORT, default=8080"`
	Host     string `env:"HOST"` // empty: every interface, as Cloud Run wants it
	Origin   string `env:"PLANT_ORIGIN"`
	Project  string `env:"GOOGLE_CLOUD_PROJECT"`

	DatabaseURL string `env:"DATABASE_URL"`
	Instance    string `env:"INSTANCE_CONNECTION_NAME"`
	IAMUser     string `env:"DB_IAM_USER"`
	Database    string `env:"DB_NAME"`
	Pool        int    `env:"DB_POOL, default=1"`

	SecretManager string `env:"SECRET_MANAGER_ENDPOINT"` // a local server without TLS; empty: Google's
	AmendmentKey  string `env:"AMENDMENT_KEY"`
	CertifyingKey string `env:"CERTIFICATION_KEY"`
	CheckpointKey string `env:"CHECKPOINT_KEY"`
	HeadsKey      string `env:"HEADS_KEY"`
	TokenKeys     string `env:"JWT_KEYS"`
	TokenIssuer   string `env:"TOKEN_ISSUER"`
	TokenAudience string `env:"TOKEN_AUDIENCE"`

	// Where checkpoints are published: a bucket of Cloud Storage, or a folder.
	CheckpointBucket string `env:"CHECKPOINT_BUCKET"`
	CheckpointDir    string `env:"CHECKPOINT_DIR"`

	AuditBudget time.Duration `env:"AUDIT_BUDGET, default=12s"` // of a request of 25 s

	Topic     string `env:"PUBSUB_TOPIC, default=plant-events"`
	DeadTopic string `env:"PUBSUB_DEAD_LETTER_TOPIC, default=plant-dead-letter"`

	// Where dead letters wait, to be counted; empty: they are not.
	DeadSubscription string `env:"PUBSUB_DEAD_LETTER_SUBSCRIPTION"`

	// Part of the budget at which batch work is held; 1: all of it is spent.
	HoldAt float64 `env:"BUDGET_HOLD_AT, default=1.0"`

	OIDCIssuer         string `env:"OIDC_ISSUER, default=https://accounts.google.com"`
	PushAudience       string `env:"PUSH_AUDIENCE"`
	PushServiceAccount string `env:"PUSH_SERVICE_ACCOUNT"`

	CORSOrigins string `env:"CORS_ORIGINS"`

	RedisURL  string `env:"REDIS_URL"` // a cache of embeddings; empty: none
	ModelDir  string `env:"MODEL_DIR"` // holds model.safetensors and vocab.txt
	Model     string `env:"EMBED_MODEL, default=all-MiniLM-L6-v2/mean-1"`
	NextModel string `env:"EMBED_NEXT_MODEL"` // is filled beside EMBED_MODEL, before a switch
	Threads   int    `env:"EMBED_THREADS, default=0"`
	EmbedURL  string `env:"EMBED_URL"` // of embed; empty: no warning of near-duplicates
}

// readConfig reads the environment through lookup and refuses what cannot be right,
// in one sentence, before anything is opened. An empty value is none.
func readConfig(ctx context.Context, lookup envconfig.Lookuper) (c Config, err error) {
	set := envconfig.LookuperFunc(func(name string) (string, bool) {
		value, _ := lookup.Lookup(name)
		return value, value != ""
	})
	read := func(lookup envconfig.Lookuper) error {
		return envconfig.ProcessWith(ctx, &envconfig.Config{Target: &c, Lookuper: lookup})
	}
	together := func(envconfig.Lookuper) error { return c.agrees() }
	for _, step := range []func(envconfig.Lookuper) error{refuseMalformed, refuseMissing, read, together} {
		if err := step(set); err != nil {
			return c, fmt.Errorf("configuration: %w", err)
		}
	}
	return c, nil
}

// agrees refuses values that are well by themselves, but not together.
func (c Config) agrees() error {
	if (c.DatabaseURL == "") == (c.Instance == "") {
		return errors.New("set either DATABASE_URL or INSTANCE_CONNECTION_NAME (with DB_IAM_USER and DB_NAME)")
	}
	if c.Instance != "" && (c.IAMUser == "" || c.Database == "") {
		return errors.New("INSTANCE_CONNECTION_NAME needs DB_IAM_USER and DB_NAME")
	}
	if c.Function == auditRun && (c.CheckpointBucket == "") == (c.CheckpointDir == "") {
		return fmt.Errorf("%s needs either CHECKPOINT_BUCKET or CHECKPOINT_DIR", c.Function)
	}
	if c.NextModel == c.Model {
		return errors.New("EMBED_NEXT_MODEL must be another model than EMBED_MODEL")
	}
	return nil
}
