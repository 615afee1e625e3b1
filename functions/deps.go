package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"time"

	"cloud.google.com/go/pubsub/v2"
	secretmanager "cloud.google.com/go/secretmanager/apiv1"
	"google.golang.org/api/option"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/dlai-sd/plant/functions/auditrun"
	"github.com/dlai-sd/plant/functions/birthagent"
	"github.com/dlai-sd/plant/functions/certify"
	"github.com/dlai-sd/plant/functions/createrole"
	"github.com/dlai-sd/plant/functions/createskill"
	"github.com/dlai-sd/plant/functions/issuetoken"
	"github.com/dlai-sd/plant/migrations"
	"github.com/dlai-sd/plant/shared/auth"
	"github.com/dlai-sd/plant/shared/domain"
	"github.com/dlai-sd/plant/shared/event"
	"github.com/dlai-sd/plant/shared/keys"
	"github.com/dlai-sd/plant/shared/registry"
	"github.com/dlai-sd/plant/shared/registry/api"
	"github.com/dlai-sd/plant/shared/sequencer"
	"github.com/dlai-sd/plant/shared/store"
	"github.com/dlai-sd/plant/shared/web"
	"github.com/dlai-sd/plant/shared/web/openapi"
)

const (
	startTimeout = 20 * time.Second // for everything that is read at start
	readyTimeout = 3 * time.Second  // for one check of /ready
)

// deps is what one function opened, and closes in the end. Only what the
// function needs is opened.
type deps struct {
	cfg     Config
	log     *slog.Logger
	db      *store.DB
	topic   *event.Publisher
	dead    *event.Publisher
	outbox  *event.Outbox
	secrets *keys.Source
	signer  *keys.Holder
	amender *keys.Holder // of a function that signs with two keys
	tokens  *auth.Secrets
	bearer  *auth.Verifier
	push    *auth.OIDC

	sequencer *sequencer.Sequencer
	letters   event.Letters
	now       func() time.Time // of the drift check; nil: the machine's

	closers []func() error
}

// function is what a FUNCTION_TARGET serves.
type function struct {
	handlers map[string]http.Handler // by operation
	checks   []web.Check
	standing bool // what a caller may read depends on what it holds at this moment

	// expired makes, for an operation, what notes whoever comes with a token that is over.
	expired func(operation string) func(*http.Request, auth.Principal)
}

// open makes the function that the configuration names.
func (d *deps) open(ctx context.Context) (function, error) {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	switch d.cfg.Function {
	case createSkill, createRole, birthAgent:
		return d.openRegistry(ctx)
	case certifier:
		return d.openCertify(ctx)
	case embedder:
		return d.openEmbed(ctx)
	case auditRun:
		return d.openAuditRun(ctx)
	case driftCheck:
		return d.openDriftCheck(ctx)
	case issueToken:
		return d.openIssueToken(ctx)
	}
	return function{}, fmt.Errorf("configuration: FUNCTION_TARGET is none of %v", Functions())
}

// openRegistry opens the functions that write entities on behalf of their
// callers: they differ in their operations alone.
func (d *deps) openRegistry(ctx context.Context) (function, error) {
	if err := inOrder(ctx, d.openDatabase, d.openTopic, d.openSigner, d.openBearer); err != nil {
		return function{}, err
	}
	s, err := registry.New(registry.Config{DB: d.db, Keys: d.signer, Origin: d.cfg.Origin, Outbox: d.outbox, Log: d.log})
	if err != nil {
		return function{}, err
	}
	f := function{checks: []web.Check{d.schemaCheck(), d.constitutionCheck(), d.keyCheck(d.signer)}}
	switch d.cfg.Function {
	case createSkill:
		f.handlers = createskill.Handlers(s, d.neighbours(), skills)
	case createRole:
		f.handlers = createrole.Handlers(s, d.neighbours(), jobRoles, industries)
	case birthAgent:
		if err := d.openPush(ctx); err != nil {
			return function{}, err
		}
		recipe, err := d.recipeInUse()
		if err != nil {
			return function{}, err
		}
		f.handlers = birthagent.Handlers(s, recipe.ModelID, d.dead.DeadLetter, teams, agents)
	}
	return f, nil
}

// openCertify opens the function that decides. Its own key signs decisions alone;
// what becomes of the constitution the amendment key signs.
func (d *deps) openCertify(ctx context.Context) (function, error) {
	if err := inOrder(ctx, d.openDatabase, d.openTopic, d.openCertifyingKey, d.openAmendingKey, d.openBearer, d.openPush); err != nil {
		return function{}, err
	}
	c, err := registry.NewCertifier(
		registry.Config{DB: d.db, Keys: d.signer, Origin: d.cfg.Origin, Outbox: d.outbox, Log: d.log})
	if err != nil {
		return function{}, err
	}
	amending := registry.Config{DB: d.db, Keys: d.amender, Origin: d.cfg.Origin, Outbox: d.outbox, Log: d.log}
	e, err := registry.NewEvolution(amending, registry.GateChecks{Replay: c.Broken})
	if err != nil {
		return function{}, err
	}
	m, err := registry.NewMarker(amending)
	if err != nil {
		return function{}, err
	}
	s := certify.Service{Certifier: c, Evolution: e, Marker: m, Dead: d.dead.DeadLetter}
	checks := []web.Check{d.schemaCheck(), d.constitutionCheck(), d.keyCheck(d.signer), d.keyCheck(d.amender)}
	return function{handlers: s.Handlers(), checks: checks, standing: true, expired: s.Expired}, nil
}

// neighbours warns of near-duplicates, where embed can be asked.
func (d *deps) neighbours() *api.Neighbours {
	if d.cfg.EmbedURL == "" {
		return nil
	}
	return api.NewNeighbours(d.cfg.EmbedURL)
}

func (d *deps) openAuditRun(ctx context.Context) (function, error) {
	if err := inOrder(ctx, d.openDatabase, d.openTopic, d.openPush, d.openBearer, d.openLog); err != nil {
		return function{}, err
	}
	return function{
		handlers: auditrun.Handlers(d.db, d.outbox, d.sequencer, d.dead.DeadLetter, d.cfg.AuditBudget, d.cfg.HoldAt),
		checks:   []web.Check{d.schemaCheck(), d.constitutionCheck()},
		standing: true,
	}, nil
}

func (d *deps) openIssueToken(ctx context.Context) (function, error) {
	if err := inOrder(ctx, d.openDatabase, d.openTokens); err != nil {
		return function{}, err
	}
	s, err := issuetoken.New(issuetoken.Config{
		DB: d.db, Issuer: auth.Issuer{Secrets: d.tokens, Issuer: d.cfg.TokenIssuer, Audience: d.cfg.TokenAudience},
	})
	if err != nil {
		return function{}, err
	}
	handlers := issuetoken.Handlers(s)
	maps.Copy(handlers, documents())
	return function{handlers: handlers, checks: []web.Check{d.schemaCheck()}}, nil
}

// documents are the operations that need nothing at all.
func documents() map[string]http.Handler {
	return map[string]http.Handler{
		"getContract": openapi.Handler(), "listProblems": web.ProblemIndex(), "getProblem": web.ProblemPage(),
	}
}

// inOrder opens one thing after the other and stops at the first that cannot be:
// one cause, one sentence.
func inOrder(ctx context.Context, steps ...func(context.Context) error) error {
	for _, open := range steps {
		if err := open(ctx); err != nil {
			return err
		}
	}
	return nil
}

// openDatabase refuses a schema older than this binary. A newer one is fine:
// migrations stay compatible with the version before.
func (d *deps) openDatabase(ctx context.Context) error {
	var err error
	d.db, err = store.Open(ctx, store.Config{
		URL: d.cfg.DatabaseURL, Instance: d.cfg.Instance, IAMUser: d.cfg.IAMUser, Name: d.cfg.Database,
		Pool: d.cfg.Pool, Function: d.cfg.Function, CrossTenant: slices.Contains(crossTenant(), d.cfg.Function),
	})
	if err != nil {
		return err
	}
	d.closers = append(d.closers, func() error { d.db.Close(); return nil })
	return d.schemaCheck().Run(ctx)
}

// crossTenant lists the functions whose database role reads what all tenants own.
func crossTenant() []string { return []string{embedder, auditRun, certifier, driftCheck} }

func (d *deps) openTopic(ctx context.Context) error {
	client, err := pubsub.NewClient(ctx, d.cfg.Project)
	if err != nil {
		return fmt.Errorf("open Pub/Sub: %w", err)
	}
	d.topic = event.NewPublisher(client, d.cfg.Topic)
	d.outbox = event.NewOutbox(d.db, d.topic, "//"+d.cfg.Origin)
	d.dead = event.NewPublisher(client, d.cfg.DeadTopic)
	d.letters = event.Letters{Client: client, Subscription: "projects/" + d.cfg.Project + "/subscriptions/" + d.cfg.DeadSubscription}
	d.closers = append(d.closers, func() error { d.topic.Stop(); d.dead.Stop(); return client.Close() })
	return nil
}

func (d *deps) openSecrets(ctx context.Context) error {
	if d.secrets != nil {
		return nil
	}
	client, err := secretmanager.NewClient(ctx, localSecrets(d.cfg.SecretManager)...)
	if err != nil {
		return fmt.Errorf("open Secret Manager: %w", err)
	}
	d.secrets = keys.NewSource(client)
	d.closers = append(d.closers, client.Close)
	return nil
}

// localSecrets are the options for a Secret Manager on this machine; none for
// Google's.
func localSecrets(endpoint string) []option.ClientOption {
	if endpoint == "" {
		return nil
	}
	return []option.ClientOption{
		option.WithEndpoint(endpoint), option.WithoutAuthentication(),
		option.WithGRPCDialOption(grpc.WithTransportCredentials(insecure.NewCredentials())),
	}
}

// openSigner reads the amendment key once; a key that cannot be read stops the
// start.
func (d *deps) openSigner(ctx context.Context) (err error) {
	d.signer, err = d.openKey(ctx, d.cfg.AmendmentKey)
	return err
}

// openAmendingKey is openSigner for a function whose own key is another.
func (d *deps) openAmendingKey(ctx context.Context) (err error) {
	d.amender, err = d.openKey(ctx, d.cfg.AmendmentKey)
	return err
}

// openCertifyingKey is openSigner for the key that decisions are signed with.
func (d *deps) openCertifyingKey(ctx context.Context) (err error) {
	d.signer, err = d.openKey(ctx, d.cfg.CertifyingKey)
	return err
}

func (d *deps) openKey(ctx context.Context, version string) (*keys.Holder, error) {
	if err := d.openSecrets(ctx); err != nil {
		return nil, err
	}
	held := d.secrets.Hold(registry.Successor(d.secrets, d.db, version), time.Now)
	_, err := held.Key(ctx)
	return held, err
}

// openTokens reads the secrets that tokens are signed with.
func (d *deps) openTokens(ctx context.Context) error {
	if err := d.openSecrets(ctx); err != nil {
		return err
	}
	payload, err := d.secrets.Payload(ctx, d.cfg.TokenKeys)
	if err != nil {
		return err
	}
	if d.tokens, err = auth.ParseSecrets(payload); err != nil {
		return fmt.Errorf("JWT_KEYS: %w", err)
	}
	return nil
}

func (d *deps) openBearer(ctx context.Context) error {
	if err := d.openTokens(ctx); err != nil {
		return err
	}
	var err error
	d.bearer, err = auth.NewVerifier(d.tokens, d.cfg.TokenIssuer, d.cfg.TokenAudience, time.Now)
	return err
}

func (d *deps) openPush(context.Context) (err error) {
	d.push, err = auth.NewOIDC(auth.OIDCConfig{
		Issuer: d.cfg.OIDCIssuer, Audience: d.cfg.PushAudience, Emails: []string{d.cfg.PushServiceAccount},
	})
	return err
}

// close closes in the reverse order of opening.
func (d *deps) close() error {
	var errs []error
	for i := len(d.closers) - 1; i >= 0; i-- {
		errs = append(errs, d.closers[i]())
	}
	return errors.Join(errs...)
}

func (d *deps) schemaCheck() web.Check {
	return web.Check{Name: "schema", Run: func(ctx context.Context) error {
		version, err := d.db.SchemaVersion(ctx)
		if err != nil {
			return fmt.Errorf("schema version: %w", err)
		}
		if latest := migrations.Latest(); version < latest {
			return fmt.Errorf("the schema is at version %d, this binary needs %d: run plant migrate up", version, latest)
		}
		return nil
	}}
}

func (d *deps) constitutionCheck() web.Check {
	return web.Check{Name: "constitution", Run: func(ctx context.Context) error {
		inForce, err := d.db.InForce(ctx)
		if err != nil {
			return fmt.Errorf("constitution in force: %w", err)
		}
		if _, err := domain.ReadConstitution(inForce.Document); err != nil {
			return fmt.Errorf("deploy a binary that can: %w", err)
		}
		return nil
	}}
}

// keyCheck asks whether the ledger has the key in force.
func (d *deps) keyCheck(of *keys.Holder) web.Check {
	return web.Check{Name: "keys", Run: func(ctx context.Context) error {
		key, err := of.Key(ctx)
		if err != nil {
			return err
		}
		return d.db.KeyInForce(ctx, key.ID())
	}}
}
