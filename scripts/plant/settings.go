package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	secretmanager "cloud.google.com/go/secretmanager/apiv1"
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/sethvargo/go-envconfig"

	"github.com/dlai-sd/plant/scripts/localstack/secrets"
	"github.com/dlai-sd/plant/shared/keys"
	"github.com/dlai-sd/plant/shared/store"
)

// settings are where the deployment is. They come from the local stack, if one
// runs in the data folder, and from the environment, which wins.
type settings struct {
	URL   string `json:"url" env:"PLANT_URL, overwrite"`
	Token string `json:"-" env:"PLANT_TOKEN, overwrite"`

	MigratorURL string `json:"migrator_url" env:"PLANT_MIGRATOR_DATABASE_URL, overwrite"`
	OperatorURL string `json:"operator_url" env:"PLANT_OPERATOR_DATABASE_URL, overwrite"`
	WriterURL   string `json:"writer_url" env:"PLANT_WRITER_DATABASE_URL, overwrite"`

	CertifierURL string `json:"certifier_url" env:"PLANT_CERTIFIER_DATABASE_URL, overwrite"`
	EmbedderURL  string `json:"embedder_url" env:"PLANT_EMBEDDER_DATABASE_URL, overwrite"`
	AuditorURL   string `json:"auditor_url" env:"PLANT_AUDITOR_DATABASE_URL, overwrite"`
	ModelDir     string `json:"model_dir" env:"MODEL_DIR, overwrite"`
	PubSub       string `json:"pubsub" env:"PUBSUB_EMULATOR_HOST, overwrite"`

	Instance string `json:"-" env:"INSTANCE_CONNECTION_NAME, overwrite"`
	IAMUser  string `json:"-" env:"DB_IAM_USER, overwrite"`
	Database string `json:"-" env:"DB_NAME, overwrite"`

	Project       string `json:"project" env:"GOOGLE_CLOUD_PROJECT, overwrite"`
	Origin        string `json:"origin" env:"PLANT_ORIGIN, overwrite"`
	SecretManager string `json:"secret_manager" env:"SECRET_MANAGER_ENDPOINT, overwrite"`
	AmendmentKey  string `json:"amendment_key" env:"AMENDMENT_KEY, overwrite"`
	CertifyingKey string `json:"certification_key" env:"CERTIFICATION_KEY, overwrite"`
	CheckpointKey string `json:"checkpoint_key" env:"CHECKPOINT_KEY, overwrite"`
	HeadsKey      string `json:"heads_key" env:"HEADS_KEY, overwrite"`
	// Where checkpoints are published: a bucket of Cloud Storage, or a folder.
	CheckpointBucket string `json:"checkpoint_bucket,omitzero" env:"CHECKPOINT_BUCKET, overwrite"`
	CheckpointDir    string `json:"checkpoint_dir" env:"CHECKPOINT_DIR, overwrite"`

	TokenKeys     string `json:"token_keys" env:"JWT_KEYS, overwrite"`
	TokenIssuer   string `json:"token_issuer" env:"TOKEN_ISSUER, overwrite"`
	TokenAudience string `json:"token_audience" env:"TOKEN_AUDIENCE, overwrite"`
}

const startStack = "start the local stack with: make run"

func stackFile(dir string) string { return filepath.Join(dir, "stack.json") }

func loadSettings(ctx context.Context, dir string) (settings, error) {
	var s settings
	b, err := os.ReadFile(stackFile(dir))
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return s, advise(fmt.Errorf("read the local stack's addresses: %w", err), "the user who owns the folder, or another folder with --dir")
	default:
		if err := json.Unmarshal(b, &s); err != nil {
			return s, advise(fmt.Errorf("%s is damaged: %w", stackFile(dir), err), "stop the stack, delete the file, "+startStack)
		}
	}
	if err := envconfig.Process(ctx, &s); err != nil {
		return s, fmt.Errorf("environment: %w", err)
	}
	return s, nil
}

// save writes the addresses for the other commands, readable by this user
// alone: they hold passwords.
func (s settings) save(dir string) error {
	b, err := json.Marshal(s, jsontext.WithIndent("  "))
	if err != nil {
		return err
	}
	temporary := stackFile(dir) + ".new"
	if err := os.WriteFile(temporary, b, 0o600); err != nil {
		return err
	}
	return os.Rename(temporary, stackFile(dir))
}

// need returns a setting, or says which variable would set it.
func need(value, variable string) (string, error) {
	if value == "" {
		return "", advise(fmt.Errorf("no stack runs here and %s is not set", variable), startStack+", or set "+variable)
	}
	return value, nil
}

// openDB opens a database as one of the roles; it needs one connection. In the
// cloud it is the Cloud SQL instance, as the account that the job runs as.
func (a *app) openDB(url, variable string) (*store.DB, error) {
	if s := a.settings; url == "" && s.Instance != "" {
		return store.Open(a.ctx, store.Config{Instance: s.Instance, IAMUser: s.IAMUser, Name: s.Database, Pool: 1, Function: "plant"})
	}
	url, err := need(url, variable)
	if err != nil {
		return nil, err
	}
	return store.Open(a.ctx, store.Config{URL: url, Pool: 1, Function: "plant"})
}

// openSecrets opens Secret Manager, a local one if the settings name it.
func (a *app) openSecrets() (*keys.Source, func(), error) {
	options := secrets.ClientOptions(a.settings.SecretManager)
	if a.settings.SecretManager == "" {
		options = nil
	}
	client, err := secretmanager.NewClient(a.ctx, options...)
	if err != nil {
		return nil, nil, advise(fmt.Errorf("open Secret Manager: %w", err), startStack+", or log in with: gcloud auth application-default login")
	}
	return keys.NewSource(client), func() { _ = client.Close() }, nil
}
