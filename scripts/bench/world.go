package bench

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	secretmanager "cloud.google.com/go/secretmanager/apiv1"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/dlai-sd/plant/migrations"
	"github.com/dlai-sd/plant/scripts/localstack/ephemeral"
	"github.com/dlai-sd/plant/scripts/localstack/oidc"
	"github.com/dlai-sd/plant/scripts/localstack/parts"
	"github.com/dlai-sd/plant/scripts/localstack/postgres"
	"github.com/dlai-sd/plant/scripts/localstack/pubsub"
	"github.com/dlai-sd/plant/scripts/localstack/secrets"
	"github.com/dlai-sd/plant/shared/auth"
	"github.com/dlai-sd/plant/shared/domain"
	"github.com/dlai-sd/plant/shared/keys"
	"github.com/dlai-sd/plant/shared/registry"
	"github.com/dlai-sd/plant/shared/store"
)

// What the measured deployment is called.
const (
	origin   = "bench.example/plant"
	project  = "plant-bench"
	issuer   = "https://auth.bench.example"
	audience = "https://api.bench.example"
	pusher   = "push@plant-bench.iam.gserviceaccount.com"
	tenant   = "acme"
	topic    = "plant-events"
	writer   = "plant_writer"

	certifier = "plant_certifier"
)

// The databases: the others are copies of the first before anything is written.
const (
	mainDatabase = "plant"
	fewDatabase  = "plant_few"
	fullDatabase = "plant_full"
	logDatabase  = "plant_log"

	driftDatabase = "plant_drift_check"
)

// world is a deployment on this machine, as `plant run` makes one, for the
// length of a run.
type world struct {
	opts            Options
	postgresVersion string
	install         string // folder of PostgreSQL's programs
	modelDir        string // of the embedding model
	dir             string

	server    *postgres.Server
	passwords map[string]string
	secrets   *keys.Source
	manager   *secrets.Server
	versions  map[domain.KeyUse]string
	tokens    *auth.Secrets
	tokenKeys string
	pubsub    *pubsub.Server
	oidc      *oidc.Issuer

	who     auth.Principal
	decider auth.Principal  // certifies what who wrote
	private *rsa.PrivateKey // the amendment key itself, for raw signatures
	signer  keys.Key        // and as the product holds it
	names   int             // drawn so far

	closers []func() error
}

func newWorld(ctx context.Context, o Options) (*world, error) {
	w := &world{opts: o, passwords: map[string]string{}}
	for _, step := range []func(context.Context) error{
		w.startPostgres, w.startSecrets, w.startEvents, w.prepare, w.addPrincipals, w.openKey, w.copyDatabase,
	} {
		if err := step(ctx); err != nil {
			return nil, errors.Join(err, w.close())
		}
	}
	return w, nil
}

func (w *world) close() error {
	var errs []error
	for i := len(w.closers) - 1; i >= 0; i-- {
		errs = append(errs, w.closers[i]())
	}
	w.closers = nil
	return errors.Join(errs...)
}

func (w *world) closing(f func() error) { w.closers = append(w.closers, f) }

// rounds scales a number of rounds by the effort asked for.
func (w *world) rounds(n int) int { return max(2, int(float64(n)*w.opts.Effort)) }

// stopping runs a stop with a deadline of its own: the run's may be over.
func stopping(stop func(context.Context) error) func() error {
	return func() error {
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		return stop(ctx)
	}
}

func (w *world) startPostgres(ctx context.Context) error {
	cache, err := parts.DefaultDir()
	if err != nil {
		return err
	}
	if w.install, err = postgres.Fetch(ctx, parts.Fetcher{Dir: cache, Report: parts.Lines(os.Stderr)}, 18); err != nil {
		return err
	}
	folder, err := parts.Fetcher{Dir: cache, Report: parts.Lines(os.Stderr)}.Fetch(ctx, parts.Model())
	if err != nil {
		return err
	}
	w.modelDir = parts.ModelDir(folder)
	dir, err := ephemeral.NewDir(ctx)
	if err != nil {
		return err
	}
	w.closing(dir.Remove)
	w.dir = dir.Path
	if w.server, err = postgres.Start(ctx, postgres.Options{Install: w.install, Data: filepath.Join(w.dir, "postgres")}); err != nil {
		return err
	}
	w.closing(stopping(w.server.Stop))
	if err := w.admin(ctx, "postgres", "CREATE DATABASE "+mainDatabase+" TEMPLATE template0 ENCODING 'UTF8'"); err != nil {
		return err
	}
	return w.query(ctx, mainDatabase, "SELECT 'PostgreSQL ' || current_setting('server_version') || ', fsync ' || current_setting('fsync')", &w.postgresVersion)
}

func (w *world) startSecrets(ctx context.Context) error {
	var err error
	if w.manager, err = secrets.Start(filepath.Join(w.dir, "secrets"), 0); err != nil {
		return err
	}
	w.closing(w.manager.Stop)
	client, err := secretmanager.NewClient(ctx, secrets.ClientOptions(w.manager.Addr())...)
	if err != nil {
		return err
	}
	w.closing(client.Close)
	w.secrets = keys.NewSource(client)
	payload, err := auth.NewSecrets("bench")
	if err != nil {
		return err
	}
	if w.tokenKeys, err = w.secrets.Add(ctx, "projects/"+project+"/secrets/plant-jwt-keys", payload); err != nil {
		return err
	}
	w.tokens, err = auth.ParseSecrets(payload)
	return err
}

func (w *world) startEvents(ctx context.Context) error {
	var err error
	if w.oidc, err = oidc.Start(0); err != nil {
		return err
	}
	w.closing(stopping(w.oidc.Stop))
	w.pubsub, err = pubsub.Start(ctx, pubsub.Options{Project: project, Topics: []string{topic}, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return err
	}
	w.closing(stopping(w.pubsub.Stop))
	return nil
}

// prepare brings the schema up and the keys into the ledger.
func (w *world) prepare(ctx context.Context) error {
	if err := w.admin(ctx, mainDatabase, migrations.Bootstrap); err != nil {
		return err
	}
	for _, role := range append(migrations.Roles(), "plant_migrator") {
		w.passwords[role] = rand.Text()
		if err := w.admin(ctx, mainDatabase, fmt.Sprintf("ALTER ROLE %s PASSWORD '%s'", role, w.passwords[role])); err != nil {
			return err
		}
	}
	if err := migrations.Up(ctx, w.url("plant_migrator", mainDatabase), nil); err != nil {
		return err
	}
	return w.asOperator(func(db *store.DB) error {
		ring := registry.Keyring{DB: db, Secrets: w.secrets, Project: project, Origin: origin, Log: slog.New(slog.DiscardHandler)}
		var err error
		w.versions, err = ring.Ensure(ctx, nil)
		return err
	})
}

func (w *world) addPrincipals(ctx context.Context) error {
	w.who = auth.Principal{ID: uuid.NewString(), GovernanceAgent: tenant, Name: "bench", Authorities: []domain.Authority{domain.Author}}
	w.decider = auth.Principal{ID: uuid.NewString(), GovernanceAgent: tenant, Name: "decider", Authorities: []domain.Authority{domain.Genesis}}
	return w.asOperator(func(db *store.DB) error {
		var errs []error
		for _, p := range []auth.Principal{w.who, w.decider} {
			errs = append(errs, db.AddPrincipal(ctx, store.Principal{
				ID: p.ID, GovernanceAgent: tenant, Name: p.Name, Authorities: p.Authorities,
			}))
		}
		return errors.Join(errs...)
	})
}

func (w *world) asOperator(do func(*store.DB) error) error {
	db, err := store.Open(context.Background(), store.Config{URL: w.url("plant_operator", mainDatabase), Pool: 1, Function: "bench"})
	if err != nil {
		return err
	}
	defer db.Close()
	return do(db)
}

func (w *world) openKey(ctx context.Context) error {
	version := w.versions[domain.UseAmendment]
	payload, err := w.secrets.Payload(ctx, version)
	if err != nil {
		return err
	}
	block, _ := pem.Decode(payload)
	if block == nil {
		return errors.New("the amendment key is no PEM")
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return fmt.Errorf("amendment key: %w", err)
	}
	private, ok := parsed.(*rsa.PrivateKey)
	if !ok {
		return errors.New("the amendment key is not RSA")
	}
	private.Precompute()
	w.private = private
	w.signer, err = w.secrets.Key(ctx, version)
	return err
}

func (w *world) copyDatabase(ctx context.Context) error {
	for _, name := range []string{fewDatabase, fullDatabase, logDatabase, driftDatabase} {
		if err := w.admin(ctx, "postgres", "CREATE DATABASE "+name+" TEMPLATE "+mainDatabase); err != nil {
			return err
		}
		if err := w.admin(ctx, name, migrations.Bootstrap); err != nil {
			return err
		}
	}
	return nil
}

func (w *world) url(role, database string) string {
	return w.server.URL(role, w.passwords[role], database)
}

// open opens a database as the product does.
func (w *world) open(role, database string, pool int) (*store.DB, error) {
	db, err := store.Open(context.Background(), store.Config{
		URL: w.url(role, database), Pool: pool, Function: "bench", CrossTenant: role != writer,
	})
	if err != nil {
		return nil, err
	}
	w.closing(func() error { db.Close(); return nil })
	return db, nil
}

// connect opens one connection without the product.
func (w *world) connect(ctx context.Context, role, database string) (*pgx.Conn, error) {
	conn, err := pgx.Connect(ctx, w.url(role, database))
	if err != nil {
		return nil, err
	}
	w.closing(func() error { return conn.Close(context.Background()) })
	return conn, nil
}

func (w *world) asAdmin(ctx context.Context, database string, do func(*pgx.Conn) error) error {
	conn, err := pgx.Connect(ctx, w.server.AdminURLOf(database))
	if err != nil {
		return err
	}
	return errors.Join(do(conn), conn.Close(ctx))
}

func (w *world) admin(ctx context.Context, database, sql string) error {
	return w.asAdmin(ctx, database, func(conn *pgx.Conn) error {
		_, err := conn.Exec(ctx, sql)
		return err
	})
}

func (w *world) query(ctx context.Context, database, sql string, into any) error {
	return w.asAdmin(ctx, database, func(conn *pgx.Conn) error { return conn.QueryRow(ctx, sql).Scan(into) })
}

// service is a registry as the functions have it, without a topic.
func (w *world) service(database string, pool int) (*registry.Service, error) {
	db, err := w.open(writer, database, pool)
	if err != nil {
		return nil, err
	}
	return registry.New(w.registryOf(db, domain.UseAmendment))
}

// registryOf is a registry's configuration, which signs with the key of a use.
func (w *world) registryOf(db *store.DB, use domain.KeyUse) registry.Config {
	return registry.Config{
		DB: db, Keys: w.secrets.Hold(keys.Pinned(w.versions[use]), time.Now), Origin: origin, Log: slog.New(slog.DiscardHandler),
	}
}

func (w *world) token() (string, error) { return w.tokenOf(w.who) }

func (w *world) tokenOf(who auth.Principal) (string, error) {
	token, _, err := auth.Issuer{Secrets: w.tokens, Issuer: issuer, Audience: audience}.Mint(who)
	return token, err
}
