package rehearsal

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	secretmanager "cloud.google.com/go/secretmanager/apiv1"
	"github.com/go-json-experiment/json"
	"github.com/stretchr/testify/require"

	"github.com/dlai-sd/plant/scripts/localstack/gateway"
	"github.com/dlai-sd/plant/scripts/localstack/lockfile"
	"github.com/dlai-sd/plant/scripts/localstack/oidc"
	"github.com/dlai-sd/plant/scripts/localstack/postgres"
	"github.com/dlai-sd/plant/scripts/localstack/pubsub"
	"github.com/dlai-sd/plant/scripts/localstack/secrets"
	"github.com/dlai-sd/plant/scripts/localstack/stacktest"
	"github.com/dlai-sd/plant/shared/auth"
	"github.com/dlai-sd/plant/shared/keys"
)

// deployment is the plan, brought to life on this machine.
type deployment struct {
	t         *testing.T
	plan      plan
	functions []string // that the code serves, of those in the plan
	routes    []route
	services  map[string]*service
	logins    map[string]string // database URL by login
	admin     string            // database URL of the administrator
	secrets   string
	issuer    *oidc.Issuer
	broker    *pubsub.Server
	redis     string
	log       string // folder of checkpoints
	door      string // base URL of the front door
	token     string // of the command line
}

type route struct {
	Pattern  string `json:"pattern"`
	Function string `json:"function"`
	Access   string `json:"access"`
}

// setUp does what the runbook's first deployment does with a version, up to the
// functions.
func setUp(t *testing.T, v version) *deployment {
	t.Helper()
	d := &deployment{t: t, plan: readPlan(t), services: map[string]*service{}, log: t.TempDir(), redis: stacktest.Redis(t)}
	out, err := exec.CommandContext(t.Context(), v.program("functions"), "routes").Output()
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(out, &d.routes))
	for _, r := range d.routes {
		if d.services[r.Function] == nil {
			require.Contains(t, d.plan.Services, r.Function)
			d.services[r.Function] = newService(t, r.Function)
		}
	}
	d.functions = slices.Sorted(maps.Keys(d.services))
	d.startDatabase(v)
	d.plant(v, "migrate", "up")
	d.startGoogle()
	d.makeKeys(v)
	d.openDoor()
	return d
}

var granted = regexp.MustCompile(`GRANT (\S+) TO "([^"]+)"`)

// startDatabase starts a server as small as db-f1-micro, with an administrator that
// is no superuser, as on Cloud SQL, and logins that Cloud SQL would have made.
func (d *deployment) startDatabase(v version) {
	t := d.t
	server := stacktest.DurablePostgres(t, 25)
	password := rand.Text()
	d.logins = map[string]string{}
	statements := []string{"CREATE ROLE administrator LOGIN CREATEROLE CREATEDB PASSWORD '" + password + "'"}
	for _, g := range granted.FindAllStringSubmatch(d.plan.DatabaseGrants, -1) {
		statements = append(statements, fmt.Sprintf(`CREATE ROLE "%s" LOGIN PASSWORD '%s'`, g[2], password))
		d.logins[g[2]] = server.URL(g[2], password, "plant")
	}
	d.execute(server.AdminURL(), append(statements, "CREATE DATABASE plant OWNER administrator TEMPLATE template0 ENCODING 'UTF8'")...)
	d.execute(server.AdminURLOf("plant"), "CREATE EXTENSION vector") // what cloudsqlsuperuser may
	d.admin = server.URL("administrator", password, "plant")
	d.plant(v, "migrate", "bootstrap")
	d.execute(d.admin, strings.Split(d.plan.DatabaseGrants, "\n")...)
}

func (d *deployment) execute(address string, statements ...string) {
	d.t.Helper()
	require.NoError(d.t, postgres.Execute(d.t.Context(), address, statements...))
}

// setting is one that every function has alike.
func (d *deployment) setting(name string) string {
	return d.plan.Services["audit-run"].Values[name]
}

// startGoogle starts what stands for Secret Manager, for whoever signs Google's
// tokens, and for Pub/Sub with the subscriptions of the plan.
func (d *deployment) startGoogle() {
	t := d.t
	cache, err := os.UserCacheDir()
	require.NoError(t, err)
	folder := filepath.Join(cache, "plant", "rehearsal-keys-"+strconv.Itoa(os.Getuid()))
	require.NoError(t, os.MkdirAll(folder, 0o700))
	lock, err := lockfile.Wait(t.Context(), folder+".lock") // RSA keys are dear: one set for a machine
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, lock.Release()) })
	vault, err := secrets.Start(folder, 0)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, vault.Stop()) })
	d.secrets = vault.Addr()
	d.issuer, err = oidc.Start(0)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, d.issuer.Stop(context.WithoutCancel(t.Context()))) })
	d.broker, err = pubsub.Start(t.Context(), pubsub.Options{
		Project: d.setting("GOOGLE_CLOUD_PROJECT"), Topics: []string{d.setting("PUBSUB_TOPIC"), d.setting("PUBSUB_DEAD_LETTER_TOPIC")},
		Subscriptions: d.subscriptions(), Logger: slog.New(slog.DiscardHandler),
		Token: func(audience string) (string, error) {
			return d.issuer.Token(audience, d.setting("PUSH_SERVICE_ACCOUNT"))
		},
	})
	require.NoError(t, err)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), startMost)
		defer cancel()
		require.NoError(t, d.broker.Stop(ctx))
	})
}

// subscriptions are those of the plan whose route the code has: plant-X and
// plant-X-… push to /events/X.
func (d *deployment) subscriptions() []pubsub.Subscription {
	var all []pubsub.Subscription
	for name, s := range d.plan.Subscriptions {
		for _, r := range d.routes {
			path, events := strings.CutPrefix(r.Pattern, "POST /events/")
			if events && (name == "plant-"+path || strings.HasPrefix(name, "plant-"+path+"-")) {
				all = append(all, pubsub.Subscription{
					Name: name, Topic: d.setting("PUBSUB_TOPIC"), Filter: s.Filter, PushURL: d.services[r.Function].server.URL + "/events/" + path,
					Audience: d.setting("PUSH_AUDIENCE"), MaxAttempts: 20, MinBackoff: 100 * time.Millisecond, MaxBackoff: time.Second,
					DeadLetterTopic: d.setting("PUBSUB_DEAD_LETTER_TOPIC"),
				})
			}
		}
	}
	return all
}

func (d *deployment) makeKeys(v version) {
	t := d.t
	client, err := secretmanager.NewClient(t.Context(), secrets.ClientOptions(d.secrets)...)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, client.Close()) })
	source := keys.NewSource(client)
	if _, err := source.Payload(t.Context(), d.setting("JWT_KEYS")); err != nil {
		payload, err := auth.NewSecrets("1")
		require.NoError(t, err)
		secret, _, _ := strings.Cut(d.setting("JWT_KEYS"), "/versions/")
		_, err = source.Add(t.Context(), secret, payload)
		require.NoError(t, err)
	}
	d.plant(v, "keys", "init")
}

func (d *deployment) openDoor() {
	targets := map[string]string{}
	var doors []gateway.Route
	for name, s := range d.services {
		targets[name] = s.server.URL
	}
	for _, r := range d.routes {
		if r.Access != "trusted" {
			doors = append(doors, gateway.Route{Pattern: r.Pattern, Target: r.Function})
		}
	}
	g, err := gateway.Start(gateway.Options{
		Targets: targets, Routes: doors, NotFound: http.NotFoundHandler(),
		Unavailable: func(w http.ResponseWriter, _ *http.Request, _ string, _ error) { w.WriteHeader(http.StatusBadGateway) },
	})
	require.NoError(d.t, err)
	d.t.Cleanup(func() { require.NoError(d.t, g.Stop(context.WithoutCancel(d.t.Context()))) })
	d.door = g.URL()
}

// overrides are all the settings that are not as in production.
func (d *deployment) overrides(function string, values map[string]string) map[string]string {
	here := map[string]string{
		"DATABASE_URL": d.logins[values["DB_IAM_USER"]], "SECRET_MANAGER_ENDPOINT": d.secrets,
		"PUBSUB_EMULATOR_HOST": d.broker.Addr(), "OIDC_ISSUER": d.issuer.URL(),
	}
	if values["EMBED_URL"] != "" {
		here["EMBED_URL"] = d.services["embed"].server.URL
	}
	if values["CHECKPOINT_BUCKET"] != "" {
		here["CHECKPOINT_DIR"] = d.log
	}
	if slices.Contains(d.plan.Services[function].Settings, "REDIS_URL") { // a secret there
		here["REDIS_URL"] = d.redis
	}
	return here
}

// environment is the image's and the plan's, with the overrides.
func (d *deployment) environment(function string, v version) []string {
	values := maps.Clone(d.plan.Services[function].Values)
	here := d.overrides(function, values)
	for _, there := range []string{"INSTANCE_CONNECTION_NAME", "DB_IAM_USER", "DB_NAME", "CHECKPOINT_BUCKET"} {
		delete(values, there)
	}
	maps.Copy(values, here)
	env := slices.Clone(v.env)
	for name, value := range values {
		env = append(env, name+"="+value)
	}
	return env
}

// plant runs the image's command line as the jobs of the plan do.
func (d *deployment) plant(v version, args ...string) []byte {
	d.t.Helper()
	project := d.setting("GOOGLE_CLOUD_PROJECT")
	cmd := exec.CommandContext(d.t.Context(), v.program("plant"), args...)
	cmd.Dir = d.log
	cmd.Env = append(slices.Clone(v.env),
		"PLANT_ADMIN_DATABASE_URL="+d.admin, "PLANT_MIGRATOR_DATABASE_URL="+d.logins["plant-migrate@"+project+".iam"],
		"PLANT_OPERATOR_DATABASE_URL="+d.logins["plant-operator@"+project+".iam"], "PLANT_ORIGIN="+d.setting("PLANT_ORIGIN"),
		"GOOGLE_CLOUD_PROJECT="+project, "SECRET_MANAGER_ENDPOINT="+d.secrets, "PLANT_URL="+d.door, "PLANT_TOKEN="+d.token,
	)
	var said bytes.Buffer
	cmd.Stderr = &said
	out, err := cmd.Output()
	require.NoError(d.t, err, "plant %s: %s%s", args, out, said.Bytes())
	return out
}
