package main

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/dlai-sd/plant/scripts/localstack/docs"
	"github.com/dlai-sd/plant/scripts/localstack/gateway"
	"github.com/dlai-sd/plant/scripts/localstack/port"
	"github.com/dlai-sd/plant/scripts/localstack/proc"
	"github.com/dlai-sd/plant/scripts/localstack/pubsub"
	"github.com/dlai-sd/plant/scripts/localstack/scheduler"
	"github.com/dlai-sd/plant/shared/domain"
	"github.com/dlai-sd/plant/shared/web"
	"github.com/dlai-sd/plant/shared/web/openapi"
)

// route is a line of the functions' own table; its other members matter to
// others.
type route struct {
	Pattern  string `json:"pattern"`
	Function string `json:"function"`
	Access   string `json:"access"`
}

// roles says as which database role each function works.
var roles = map[string]string{ // a table that nobody changes
	"create-skill": "plant_writer",
	"create-role":  "plant_writer",
	"birth-agent":  "plant_writer",
	"certify":      "plant_certifier",
	"embed":        "plant_embedder",
	"audit-run":    "plant_auditor",
	"drift-check":  "plant_drift",
	"issue-token":  "plant_authenticator",
}

// startFunctions starts each function as a process of its own, the gateway in
// front of them, and the scheduler.
func (s *stack) startFunctions(ctx context.Context) error {
	if err := s.superviseAll(ctx); err != nil {
		return err
	}
	if err := s.startGateway(s.targets); err != nil {
		return err
	}
	return s.startScheduler(ctx, s.targets)
}

// embedPort is where callers of the embedding service know it.
const embedPort = 8005

// choosePorts gives each function its address. It is done before anything starts:
// Pub/Sub is told where to push to before there is anybody.
func (s *stack) choosePorts() error {
	s.ports, s.targets = map[string]*port.Held{}, map[string]string{}
	for _, r := range s.routes {
		if s.ports[r.Function] != nil {
			continue
		}
		held, err := holdPort(r.Function)
		if err != nil {
			return err
		}
		s.ports[r.Function] = held
		s.targets[r.Function] = "http://127.0.0.1:" + strconv.Itoa(held.Port)
		s.closing("port of "+r.Function, func(context.Context) error { _ = held.Release(); return nil })
	}
	return nil
}

// holdPort takes a port for a function: for embed the one where it is known, if that
// is free.
func holdPort(function string) (*port.Held, error) {
	if function == "embed" {
		if held, err := port.HoldThis(embedPort); err == nil {
			return held, nil
		}
	}
	return port.Hold()
}

// How often the scheduler begins an audit and a drift check of everything.
const (
	auditEvery = 24 * time.Hour
	driftEvery = 24 * time.Hour
)

// embedFilter lets through what changes an entity's meaning.
const embedFilter = `attributes.type="plant.skill.created" OR attributes.type="plant.skill.evolved"` +
	` OR attributes.type="plant.job_role.created" OR attributes.type="plant.job_role.evolved"` +
	` OR attributes.type="plant.industry.created" OR attributes.type="plant.industry.evolved"`

// What may make an agent's next step due: what happened to it, and what it may
// have waited for.
const (
	manufactureFilter = `attributes.type="plant.agent.created" OR attributes.type="plant.agent.assigned"` +
		` OR attributes.type="plant.agent.evolved" OR attributes.type="plant.agent.certified"`
	waitingFilter = `attributes.type="plant.skill.certified" OR attributes.type="plant.job_role.certified"`
)

// everyKind lets through one change of every kind. A filter has at most 256 bytes,
// so each change has a subscription of its own.
func everyKind(change string) string {
	var types []string
	for _, kind := range domain.Kinds() {
		types = append(types, fmt.Sprintf(`attributes.type="plant.%s.%s"`, kind, change))
	}
	return strings.Join(types, " OR ")
}

// subscriptions are who is pushed what, as in the cloud.
func (s *stack) subscriptions() []pubsub.Subscription {
	push := func(name, function, path, filter string) pubsub.Subscription {
		return pubsub.Subscription{
			Name: name, Topic: eventsTopic, Filter: filter, PushURL: s.targets[function] + path, Audience: pushAudience,
			MaxAttempts: 20, MinBackoff: time.Second, MaxBackoff: time.Minute, DeadLetterTopic: deadTopic,
		}
	}
	budget := push("budget", "audit-run", "/events/budget", "") // whatever is said of it
	budget.Topic = budgetTopic
	return []pubsub.Subscription{
		budget,
		push("embed", "embed", "/events/embed", embedFilter),
		push("manufacture", "birth-agent", "/events/manufacture", manufactureFilter),
		push("manufacture-waiting", "birth-agent", "/events/manufacture", waitingFilter),
		push("certify-moved", "certify", "/events/certify", everyKind("moved")),
		push("certify-evolved", "certify", "/events/certify", everyKind("evolved")),
		push("certify-decertified", "certify", "/events/certify", everyKind("decertified")),
		push("audit-run", "audit-run", "/events/audit", `attributes.type="plant.audit.continued"`),
		push("certify-reaffirm", "certify", "/events/certify", `attributes.type="plant.reaffirmation.due"`),
		push("drift", "drift-check", "/events/drift", `attributes.type="plant.drift.continued"`),
		push("drift-enacted", "drift-check", "/events/drift", `attributes.type="plant.constitution.enacted"`),
		push("drift-tampered", "drift-check", "/events/drift", everyKind("tampered")+` OR attributes.type="plant.entity.tampered"`),
		{Name: deadSubscription, Topic: deadTopic},
	}
}

func (s *stack) functionsBinary() (string, error) {
	binary := s.cmd.Functions
	if binary == "" {
		self, err := os.Executable()
		if err != nil {
			return "", err
		}
		binary = filepath.Join(filepath.Dir(self), "functions")
	}
	if _, err := os.Stat(binary); err != nil {
		return "", advise(fmt.Errorf("the functions' binary is not at %s", binary), "make run, or make build and then bin/plant run")
	}
	return binary, nil
}

const rebuild = "make build, so that both binaries are of the same source"

func readRoutes(ctx context.Context, binary string) ([]route, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	out, err := exec.CommandContext(ctx, binary, "routes").Output() // #nosec -- the binary that was built with this one
	if err != nil {
		return nil, advise(fmt.Errorf("ask %s for its routes: %w", binary, err), rebuild)
	}
	var routes []route
	if err := json.Unmarshal(bytes.TrimSpace(out), &routes); err != nil {
		return nil, advise(fmt.Errorf("ask %s for its routes: %w", binary, err), rebuild)
	}
	return routes, nil
}

func (s *stack) superviseAll(ctx context.Context) error {
	for _, name := range slices.Sorted(maps.Keys(s.ports)) {
		if err := s.ports[name].Release(); err != nil {
			return err
		}
		running, err := proc.Supervise(ctx, proc.Service{
			Spec: proc.Spec{
				Name: name, Path: s.binary, Env: s.environment(name, s.ports[name].Port), Output: s.logs.writer(name),
			},
			ReadyURL: s.targets[name] + "/ready", Logger: slog.New(slog.NewTextHandler(s.logs.writer("stack"), nil)),
		})
		if err != nil {
			return err
		}
		s.closing(name, running.Stop)
		s.watch(name, running.Done())
	}
	return nil
}

// environment is all that a function is told, and only what it needs.
func (s *stack) environment(function string, listen int) []string {
	st := s.app.settings
	return []string{
		"FUNCTION_TARGET=" + function, "HOST=127.0.0.1", "PORT=" + strconv.Itoa(listen),
		"PLANT_ORIGIN=" + st.Origin, "GOOGLE_CLOUD_PROJECT=" + localProject,
		"DATABASE_URL=" + s.database(roles[function]), "DB_POOL=4", "REDIS_URL=" + s.redisURL,
		"SECRET_MANAGER_ENDPOINT=" + st.SecretManager, "AMENDMENT_KEY=" + st.AmendmentKey, "CERTIFICATION_KEY=" + st.CertifyingKey, "JWT_KEYS=" + st.TokenKeys,
		"CHECKPOINT_KEY=" + st.CheckpointKey, "HEADS_KEY=" + st.HeadsKey, "CHECKPOINT_DIR=" + st.CheckpointDir,
		"TOKEN_ISSUER=" + localIssuer, "TOKEN_AUDIENCE=" + localAudience,
		"PUBSUB_EMULATOR_HOST=" + s.pubsub.Addr(), "PUBSUB_TOPIC=" + eventsTopic,
		"PUBSUB_DEAD_LETTER_SUBSCRIPTION=" + deadSubscription,
		"OIDC_ISSUER=" + s.issuer.URL(), "PUSH_AUDIENCE=" + pushAudience, "PUSH_SERVICE_ACCOUNT=" + pushAccount,
		"CORS_ORIGINS=http://localhost:3000,http://127.0.0.1:3000", "MODEL_DIR=" + st.ModelDir, "EMBED_URL=" + s.targets["embed"],
	}
}

func (s *stack) startGateway(targets map[string]string) error {
	var doors []gateway.Route
	for _, r := range s.routes {
		if r.Access != "trusted" { // Pub/Sub and the scheduler call the functions themselves
			doors = append(doors, gateway.Route{Pattern: r.Pattern, Target: r.Function})
		}
	}
	documentation, err := docs.New(openapi.Document())
	if err != nil {
		return err
	}
	log := slog.New(slog.NewTextHandler(s.logs.writer("gateway"), nil))
	door, err := gateway.Start(gateway.Options{
		Port: s.cmd.Port, Targets: targets, Routes: doors, Pages: map[string]http.Handler{"/docs": documentation},
		NotFound: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			web.Fail(w, r, web.Refuse(domain.CodeNotFound, "There is no such path."))
		}),
		Unavailable: func(w http.ResponseWriter, r *http.Request, target string, err error) {
			log.WarnContext(r.Context(), "target does not answer", "target", target, "error", err.Error())
			web.Fail(w, r, web.Refuse(domain.CodeUnavailable, "The function is not reachable now; try again."))
		},
	})
	if err != nil {
		return err
	}
	s.closing("gateway", door.Stop)
	s.app.settings.URL = door.URL()
	return nil
}

func (s *stack) startScheduler(ctx context.Context, targets map[string]string) error {
	jobs, err := scheduler.Start(context.WithoutCancel(ctx), scheduler.Options{
		Jobs: []scheduler.Job{{
			Name: "sequence", URL: targets["audit-run"] + "/events/sequence", Audience: pushAudience, Interval: sequenceEvery,
			AtStart: true, // what the start wrote is in the log at once
		}, {
			Name: "audit", URL: targets["audit-run"] + "/events/audit", Audience: pushAudience, Interval: auditEvery,
		}, {
			Name: "drift", URL: targets["drift-check"] + "/events/drift", Audience: pushAudience, Interval: driftEvery,
			AtStart: true, // one a day, however often the stack is started
		}},
		Token: s.token, Logger: slog.New(slog.NewTextHandler(s.logs.writer("scheduler"), nil)),
	})
	if err != nil {
		return err
	}
	s.closing("scheduler", func(context.Context) error { jobs.Stop(); return nil })
	return nil
}
