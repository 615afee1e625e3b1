// Package harness gives a test a deployment of its own: a migrated database
// with a keyring, a Secret Manager that holds the private keys, a topic, and
// principals with tokens. Only tests import it; a package that does has
//
//	func TestMain(m *testing.M) { stacktest.Main(m) }
package harness

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	secretmanager "cloud.google.com/go/secretmanager/apiv1"
	"github.com/go-json-experiment/json"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/dlai-sd/plant/migrations"
	"github.com/dlai-sd/plant/scripts/localstack/lockfile"
	"github.com/dlai-sd/plant/scripts/localstack/secrets"
	"github.com/dlai-sd/plant/scripts/localstack/stacktest"
	"github.com/dlai-sd/plant/shared/auth"
	"github.com/dlai-sd/plant/shared/domain"
	"github.com/dlai-sd/plant/shared/keys"
	"github.com/dlai-sd/plant/shared/registry"
	"github.com/dlai-sd/plant/shared/store"
)

// What every test deployment is called.
const (
	Origin   = "test.example/plant"
	Project  = "plant-test"
	Issuer   = "https://auth.test.example"
	Audience = "https://api.test.example"
)

// password is that of every role in a test cluster, which listens on loopback
// and lives as long as the run.
const password = "test-only"

// Deployment is one test's own.
type Deployment struct {
	URL     string // of the database, as its administrator
	Secrets *keys.Source
	Keys    map[domain.KeyUse]string // secret version of each use
	Tokens  *auth.Secrets

	SecretsAddr   string
	TokensVersion string
}

// New clones a database and opens what belongs to it. Everything ends with the
// test.
func New(t testing.TB) *Deployment {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	d := &Deployment{Keys: map[domain.KeyUse]string{}}
	d.openSecrets(ctx, t)
	template := stacktest.TemplateDB(t, "plant", d.templateHash(ctx, t), func(adminURL string) error {
		return d.prepare(context.WithoutCancel(ctx), adminURL)
	})
	d.URL = stacktest.CloneDB(t, template)
	d.grantConnect(ctx, t)
	return d
}

// On prepares an empty database of a server of the test's own, which adminURL
// names as a superuser, and opens what belongs to it.
func On(t testing.TB, adminURL string) *Deployment {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	d := &Deployment{URL: adminURL, Keys: map[domain.KeyUse]string{}}
	d.openSecrets(ctx, t)
	require.NoError(t, d.prepare(ctx, adminURL))
	return d
}

// openSecrets serves the keys that all test processes share: RSA-4096 keys take
// seconds to make, so they are made once per machine. They sign nothing but
// tests.
func (d *Deployment) openSecrets(ctx context.Context, t testing.TB) {
	folder := keysFolder(t)
	lock, err := lockfile.Wait(ctx, folder+".lock")
	require.NoError(t, err)
	defer func() { require.NoError(t, lock.Release()) }()
	d.serveSecrets(ctx, t, folder)
	for _, use := range registry.KeyUses() {
		d.Keys[use] = d.ensureKey(ctx, t, use)
	}
	d.ensureTokens(ctx, t)
}

// serveSecrets makes the Secret Manager over a folder the deployment's.
func (d *Deployment) serveSecrets(ctx context.Context, t testing.TB, folder string) {
	server, err := secrets.Start(folder, 0)
	require.NoError(t, err)
	t.Cleanup(func() { _ = server.Stop() })
	client, err := secretmanager.NewClient(ctx, secrets.ClientOptions(server.Addr())...)
	require.NoError(t, err)
	t.Cleanup(func() { _ = client.Close() })
	d.SecretsAddr, d.Secrets = server.Addr(), keys.NewSource(client)
}

// OwnSecrets gives the deployment a Secret Manager of its own, with copies of the keys
// that all tests share, and returns the keyring over it: rotation adds versions, which
// the other tests must not see.
func (d *Deployment) OwnSecrets(t testing.TB) registry.Keyring {
	t.Helper()
	shared := d.Secrets
	d.serveSecrets(t.Context(), t, filepath.Join(t.TempDir(), "secrets"))
	for _, version := range append(slices.Collect(maps.Values(d.Keys)), d.TokensVersion) {
		payload, err := shared.Payload(t.Context(), version)
		require.NoError(t, err)
		added, err := d.Secrets.Add(t.Context(), strings.TrimSuffix(version, "/versions/1"), payload)
		require.NoError(t, err)
		require.Equal(t, version, added)
	}
	return registry.Keyring{
		DB: d.Open(t, "plant_operator", 1), Secrets: d.Secrets, Project: Project, Origin: Origin, Log: slog.New(slog.DiscardHandler),
	}
}

func keysFolder(t testing.TB) string {
	cache, err := os.UserCacheDir()
	if err != nil {
		cache = os.TempDir()
	}
	folder := filepath.Join(cache, "plant", "test-only-keys-"+strconv.Itoa(os.Getuid()))
	require.NoError(t, os.MkdirAll(folder, 0o700))
	return folder
}

func (d *Deployment) ensureKey(ctx context.Context, t testing.TB, use domain.KeyUse) string {
	secret := fmt.Sprintf("projects/%s/secrets/plant-%s-key", Project, use)
	version := secret + "/versions/1"
	if _, err := d.Secrets.Payload(ctx, version); err == nil {
		return version
	}
	algorithm := keys.RSA4096
	if use == domain.UseCheckpoint {
		algorithm = keys.Ed25519
	}
	made, _, err := d.Secrets.Create(ctx, secret, algorithm)
	require.NoError(t, err)
	require.Equal(t, version, made)
	return version
}

func (d *Deployment) ensureTokens(ctx context.Context, t testing.TB) {
	secret := "projects/" + Project + "/secrets/plant-jwt-keys"
	d.TokensVersion = secret + "/versions/1"
	payload, err := d.Secrets.Payload(ctx, d.TokensVersion)
	if err != nil {
		payload, err = auth.NewSecrets("test")
		require.NoError(t, err)
		_, err = d.Secrets.Add(ctx, secret, payload)
		require.NoError(t, err)
	}
	d.Tokens, err = auth.ParseSecrets(payload)
	require.NoError(t, err)
}

// templateHash changes with whatever the template holds: schema, keys, origin,
// constitution.
func (d *Deployment) templateHash(ctx context.Context, t testing.TB) string {
	h := sha256.New()
	names, err := fs.Glob(migrations.FS, "*.sql")
	require.NoError(t, err)
	for _, name := range names {
		b, err := migrations.FS.ReadFile(name)
		require.NoError(t, err)
		h.Write(b)
	}
	for _, use := range registry.KeyUses() {
		key, err := d.Secrets.Key(ctx, d.Keys[use])
		require.NoError(t, err)
		h.Write([]byte(key.ID()))
	}
	h.Write([]byte(Origin + domain.Founding().Hash()))
	return hex.EncodeToString(h.Sum(nil))[:16]
}

// prepare migrates a new database and introduces the keys.
func (d *Deployment) prepare(ctx context.Context, adminURL string) error {
	admin, err := pgx.Connect(ctx, adminURL)
	if err != nil {
		return fmt.Errorf("connect as administrator: %w", err)
	}
	defer func() { _ = admin.Close(ctx) }()
	if _, err := admin.Exec(ctx, migrations.Bootstrap); err != nil {
		return fmt.Errorf("bootstrap: %w", err)
	}
	for _, role := range append(migrations.Roles(), "plant_migrator") {
		if _, err := admin.Exec(ctx, fmt.Sprintf("ALTER ROLE %s PASSWORD '%s'", role, password)); err != nil {
			return fmt.Errorf("password of %s: %w", role, err)
		}
	}
	if err := migrations.Up(ctx, as(adminURL, "plant_migrator"), nil); err != nil {
		return err
	}
	db, err := store.Open(ctx, store.Config{URL: as(adminURL, "plant_operator"), Pool: 1, Function: "test"})
	if err != nil {
		return err
	}
	defer db.Close()
	ring := registry.Keyring{DB: db, Secrets: d.Secrets, Project: Project, Origin: Origin, Log: slog.New(slog.DiscardHandler)}
	_, err = ring.Ensure(ctx, nil)
	return err
}

// grantConnect repeats the bootstrap's database privileges: a clone does not
// inherit them.
func (d *Deployment) grantConnect(ctx context.Context, t testing.TB) {
	admin, err := pgx.Connect(ctx, d.URL)
	require.NoError(t, err)
	defer func() { _ = admin.Close(ctx) }()
	_, err = admin.Exec(ctx, migrations.Bootstrap)
	require.NoError(t, err)
}

// As is the database's address for a role.
func (d *Deployment) As(role string) string { return as(d.URL, role) }

func as(adminURL, role string) string {
	u, err := url.Parse(adminURL)
	if err != nil {
		panic(err) // the test cluster's own address
	}
	u.User = url.UserPassword(role, password)
	return u.String()
}

// Open opens the database as a role.
func (d *Deployment) Open(t testing.TB, role string, pool int) *store.DB {
	t.Helper()
	db, err := store.Open(t.Context(), store.Config{URL: d.As(role), Pool: pool, Function: "test"})
	require.NoError(t, err)
	t.Cleanup(db.Close)
	return db
}

// Service is a registry as the writing functions have it, without a topic.
func (d *Deployment) Service(t testing.TB, pool int) *registry.Service {
	t.Helper()
	s, err := registry.New(registry.Config{
		DB: d.Open(t, "plant_writer", pool), Keys: d.Secrets.Hold(keys.Pinned(d.Keys[domain.UseAmendment]), time.Now),
		Origin: Origin, Log: slog.New(slog.DiscardHandler),
	})
	require.NoError(t, err)
	return s
}

// Principal adds a principal of a governance agent.
func (d *Deployment) Principal(t testing.TB, governanceAgent string, authorities ...domain.Authority) auth.Principal {
	t.Helper()
	return d.add(t, auth.Principal{GovernanceAgent: governanceAgent, Authorities: authorities})
}

// PlatformPrincipal adds a principal that holds authorities over what any
// governance agent owns.
func (d *Deployment) PlatformPrincipal(t testing.TB, governanceAgent string, platform ...domain.Authority) auth.Principal {
	t.Helper()
	return d.add(t, auth.Principal{GovernanceAgent: governanceAgent, Platform: platform})
}

func (d *Deployment) add(t testing.TB, p auth.Principal) auth.Principal {
	t.Helper()
	p.ID = uuid.NewString()
	p.Name = "test-" + p.ID[:8]
	db := d.Open(t, "plant_operator", 1)
	require.NoError(t, db.AddPrincipal(t.Context(), store.Principal{
		ID: p.ID, GovernanceAgent: p.GovernanceAgent, Name: p.Name, Authorities: p.Authorities, Platform: p.Platform,
	}))
	return p
}

// Token mints a bearer token for a principal.
func (d *Deployment) Token(t testing.TB, p auth.Principal) string {
	t.Helper()
	token, _, err := auth.Issuer{Secrets: d.Tokens, Issuer: Issuer, Audience: Audience}.Mint(p)
	require.NoError(t, err)
	return token
}

// Amended is the founding constitution with changes, in its next version.
func Amended(t testing.TB, change func(*domain.Constitution)) domain.Constitution {
	t.Helper()
	c := domain.Founding()
	c.Rules = slices.Clone(c.Rules)
	c.Version++
	change(&c)
	document, err := json.Marshal(c)
	require.NoError(t, err)
	amended, err := domain.ReadConstitution(document)
	require.NoError(t, err)
	return amended
}

// Enact puts a constitution in force as nobody may: by the database's owner, with no
// amendment that says so.
func (d *Deployment) Enact(t testing.TB, c domain.Constitution) {
	t.Helper()
	d.EnactDocument(t, c.Document())
}

// EnactDocument is Enact of what need not be a constitution.
func (d *Deployment) EnactDocument(t testing.TB, document []byte) {
	t.Helper()
	admin, err := pgx.Connect(t.Context(), d.URL)
	require.NoError(t, err)
	defer func() { _ = admin.Close(t.Context()) }()
	_, err = admin.Exec(t.Context(), `SET ROLE plant_owner`)
	require.NoError(t, err)
	_, err = admin.Exec(t.Context(), `INSERT INTO constitution (sha256, document, version)
		VALUES (sha256(convert_to($1, 'UTF8')), $1, '2') ON CONFLICT DO NOTHING`, string(document))
	require.NoError(t, err)
	tx, err := admin.Begin(t.Context())
	require.NoError(t, err)
	_, err = tx.Exec(t.Context(), `SELECT pg_advisory_xact_lock(hashtextextended('plant.constitution', 0))`)
	require.NoError(t, err)
	_, err = tx.Exec(t.Context(), `ALTER TABLE enactment DROP CONSTRAINT IF EXISTS enactment_n_check`)
	require.NoError(t, err)
	_, err = tx.Exec(t.Context(), `INSERT INTO enactment (n, sha256)
		SELECT max(n) + 1, sha256(convert_to($1, 'UTF8')) FROM enactment`, string(document))
	require.NoError(t, err)
	require.NoError(t, tx.Commit(t.Context()))
}
