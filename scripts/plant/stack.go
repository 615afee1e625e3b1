package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"

	"github.com/dlai-sd/plant/migrations"
	"github.com/dlai-sd/plant/scripts/deliveries"
	"github.com/dlai-sd/plant/scripts/localstack/lockfile"
	"github.com/dlai-sd/plant/scripts/localstack/oidc"
	"github.com/dlai-sd/plant/scripts/localstack/port"
	"github.com/dlai-sd/plant/scripts/localstack/pubsub"
	"github.com/dlai-sd/plant/scripts/localstack/secrets"
	"github.com/dlai-sd/plant/shared/auth"
	"github.com/dlai-sd/plant/shared/domain"
	"github.com/dlai-sd/plant/shared/keys"
	"github.com/dlai-sd/plant/shared/registry"
	"github.com/dlai-sd/plant/shared/store"
)

// What the local deployment is called.
const (
	localProject  = "plant-local"
	localIssuer   = "https://plant.local/issue-token"
	localAudience = "https://plant.local/api"
	pushAudience  = "https://plant.local/events"
	pushAccount   = "push@plant-local.iam.gserviceaccount.com"
)

// stack is everything that plant run starts, in the order of starting; it stops
// in the reverse order.
type stack struct {
	cmd runCmd
	app *app

	logs    *logs
	gone    chan string // names of parts that ended unasked
	closers []closer
	holds   bool // the data folder is ours

	binary  string // of the functions
	routes  []route
	ports   map[string]*port.Held // by function
	targets map[string]string     // their base URLs

	origins   []string          // of the log: as it began, and those that it was forked to since
	passwords map[string]string // of the database's roles
	keyring   map[domain.KeyUse]string
	secrets   *secrets.Server
	issuer    *oidc.Issuer
	pubsub    *pubsub.Server
	database  func(role string) string
	redisURL  string
}

type closer struct {
	name  string
	close func(context.Context) error
}

func (s *stack) closing(name string, f func(context.Context) error) {
	s.closers = append(s.closers, closer{name, f})
}

// start brings everything up. Each step is harmless when repeated, so a start
// that was interrupted is finished by the next one.
func (s *stack) start(ctx context.Context) error {
	s.gone = make(chan string, 16)
	lock, err := lockfile.Folder(s.app.dir)
	var held *lockfile.HeldError
	if errors.As(err, &held) {
		return advise(err, "use the stack that runs there, or start another one with --dir and another --port")
	}
	if err != nil {
		return err
	}
	s.closing("lock", func(context.Context) error { return lock.Release() })
	s.holds = true
	if err := s.prepare(ctx); err != nil {
		return err
	}
	if s.logs, err = openLogs(filepath.Join(s.app.dir, "logs")); err != nil {
		return err
	}
	s.closing("logs", func(context.Context) error { return s.logs.close() })
	for _, step := range []struct {
		what string
		run  func(context.Context) error
	}{
		{"origin", s.readOrigin},
		{"PostgreSQL", s.startPostgres},
		{"Redis", s.startRedis},
		{"embedding model", s.fetchModel},
		{"Secret Manager", s.startSecrets},
		{"Pub/Sub", s.startPubSub},
		{"schema", s.migrate},
		{"log", s.followFork},
		{"keys", s.ensureKeys},
		{"catalogue", s.seed},
		{"functions", s.startFunctions},
	} {
		fmt.Fprintf(s.app.stderr, "  %s\n", step.what)
		if err := step.run(ctx); err != nil {
			return fmt.Errorf("%s: %w", step.what, err)
		}
	}
	return s.app.settings.save(s.app.dir)
}

// prepare finds out what can be found out before anything is started, and
// removes the addresses of a stack that was killed.
func (s *stack) prepare(ctx context.Context) error {
	if err := remove(stackFile(s.app.dir)); err != nil {
		return err
	}
	if port.Taken(s.cmd.Port) {
		return advise(fmt.Errorf("port %d of 127.0.0.1 is in use", s.cmd.Port), fmt.Sprintf("make run PORT=%d", s.cmd.Port+1))
	}
	var err error
	if s.binary, err = s.functionsBinary(); err != nil {
		return err
	}
	if s.routes, err = readRoutes(ctx, s.binary); err != nil {
		return err
	}
	return s.choosePorts()
}

// stop ends everything in the reverse order of starting. The addresses go
// first, if they are ours: another stack may hold the folder.
func (s *stack) stop(ctx context.Context) error {
	var errs []error
	if s.holds {
		errs = append(errs, remove(stackFile(s.app.dir)))
	}
	for i := len(s.closers) - 1; i >= 0; i-- {
		c := s.closers[i]
		if err := c.close(ctx); err != nil {
			errs = append(errs, fmt.Errorf("stop %s: %w", c.name, err))
		}
	}
	return errors.Join(errs...)
}

func (s *stack) startSecrets(context.Context) error {
	var err error
	if s.secrets, err = secrets.Start(filepath.Join(s.app.dir, "secrets"), 0); err != nil {
		return err
	}
	s.closing("Secret Manager", func(context.Context) error { return s.secrets.Stop() })
	s.app.settings.SecretManager = s.secrets.Addr()
	return nil
}

func (s *stack) startPubSub(ctx context.Context) error {
	var err error
	if s.issuer, err = oidc.Start(0); err != nil {
		return err
	}
	s.closing("OpenID Connect issuer", s.issuer.Stop)
	s.pubsub, err = pubsub.Start(ctx, pubsub.Options{
		Project: localProject, Topics: deliveries.Topics(), Subscriptions: s.subscriptions(),
		Token: s.token, Logger: slog.New(slog.NewTextHandler(s.logs.writer("pubsub"), nil)),
	})
	if err != nil {
		return err
	}
	s.closing("Pub/Sub", s.pubsub.Stop)
	s.app.settings.PubSub = s.pubsub.Addr()
	return nil
}

// token is what Pub/Sub and the scheduler bring to the functions.
func (s *stack) token(audience string) (string, error) { return s.issuer.Token(audience, pushAccount) }

func (s *stack) migrate(ctx context.Context) error {
	st := &s.app.settings
	st.MigratorURL, st.OperatorURL = s.database("plant_migrator"), s.database("plant_operator")
	st.WriterURL, st.CertifierURL = s.database("plant_writer"), s.database("plant_certifier")
	st.EmbedderURL, st.AuditorURL = s.database("plant_embedder"), s.database("plant_auditor")
	return migrations.Up(ctx, st.MigratorURL, func(name string) { fmt.Fprintf(s.app.stderr, "    %s\n", name) })
}

// ensureKeys makes what is missing of the signing keys and the token secret.
func (s *stack) ensureKeys(ctx context.Context) error {
	source, closeSource, err := s.app.openSecrets()
	if err != nil {
		return err
	}
	defer closeSource()
	secret := "projects/" + localProject + "/secrets/plant-jwt-keys"
	version := secret + "/versions/1"
	if _, err := source.Payload(ctx, version); err != nil {
		payload, err := auth.NewSecrets("local-1")
		if err != nil {
			return err
		}
		if version, err = source.Add(ctx, secret, payload); err != nil {
			return err
		}
	}
	s.app.settings.TokenKeys = version
	db, err := s.app.openDB(s.app.settings.OperatorURL, "PLANT_OPERATOR_DATABASE_URL")
	if err != nil {
		return err
	}
	defer db.Close()
	if err := ownRoot(ctx, db, source); err != nil {
		return err
	}
	ring := registry.Keyring{
		DB: db, Secrets: source, Project: localProject, Origin: s.app.settings.Origin, Log: slog.New(slog.DiscardHandler),
	}
	s.keyring, err = ring.Ensure(ctx, func(use domain.KeyUse) { fmt.Fprintf(s.app.stderr, "    %s\n", use) })
	st := &s.app.settings
	st.CertifyingKey = s.keyring[domain.UseCertification]
	st.AmendmentKey, st.CheckpointKey, st.HeadsKey = s.keyring[domain.UseAmendment], s.keyring[domain.UseCheckpoint], s.keyring[domain.UseHeads]
	return err
}

// ownRoot refuses a database whose records another data folder's root vouches
// for: a second root there could never be trusted.
func ownRoot(ctx context.Context, db *store.DB, source *keys.Source) error {
	known, err := db.SigningKeys(ctx)
	if err != nil {
		return err
	}
	for _, k := range known {
		if k.Use != domain.UseRoot {
			continue
		}
		root, err := source.Key(ctx, "projects/"+localProject+"/secrets/plant-root-key/versions/1")
		if err != nil || root.ID() != k.KeyID {
			return advise(fmt.Errorf("the database holds records under the root key %s, whose private half is not in this data folder", k.KeyID),
				"the data folder that this database was first used with (--dir), or a new database")
		}
		return nil
	}
	return nil
}

func (s *stack) seed(ctx context.Context) error {
	db, err := s.app.openDB(s.app.settings.OperatorURL, "PLANT_OPERATOR_DATABASE_URL")
	if err != nil {
		return err
	}
	defer db.Close()
	if _, err := findPrincipal(ctx, db, demoAgent, demoName, true); err != nil {
		return err
	}
	done, err := s.app.seed(ctx)
	if done.Created > 0 {
		fmt.Fprintf(s.app.stderr, "    %d entities\n", done.Created)
	}
	return err
}
