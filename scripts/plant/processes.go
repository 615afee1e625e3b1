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
	"time"

	"github.com/go-json-experiment/json"

	"github.com/dlai-sd/plant/scripts/deliveries"
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
	return s.startScheduler(ctx)
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

// How soon an event is tried again: nobody waits for minutes on their own machine.
const (
	minBackoff = time.Second
	maxBackoff = time.Minute
)

// subscriptions are who is pushed what, as in the cloud.
func (s *stack) subscriptions() []pubsub.Subscription {
	all := []pubsub.Subscription{{Name: deliveries.DeadLetters, Topic: deliveries.Dead}}
	for _, d := range deliveries.Subscriptions() {
		all = append(all, pubsub.Subscription{
			Name: d.ID(), Topic: d.Topic, Filter: d.Filter(), PushURL: s.targets[d.Function] + d.Path(), Audience: pushAudience,
			MaxAttempts: deliveries.Attempts, MinBackoff: minBackoff, MaxBackoff: maxBackoff, DeadLetterTopic: deliveries.Dead,
		})
	}
	return all
}

// jobs are what the clock begins.
func (s *stack) jobs() []scheduler.Job {
	var all []scheduler.Job
	for _, j := range deliveries.Jobs() {
		all = append(all, scheduler.Job{
			Name: j.Name, URL: s.targets[j.Function] + j.Path(), Audience: pushAudience, Interval: j.Every, AtStart: j.AtStart,
		})
	}
	return all
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
		"PUBSUB_EMULATOR_HOST=" + s.pubsub.Addr(), "PUBSUB_TOPIC=" + deliveries.Events,
		"PUBSUB_DEAD_LETTER_SUBSCRIPTION=" + deliveries.DeadLetters,
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

func (s *stack) startScheduler(ctx context.Context) error {
	jobs, err := scheduler.Start(context.WithoutCancel(ctx), scheduler.Options{
		Jobs:  s.jobs(),
		Token: s.token, Logger: slog.New(slog.NewTextHandler(s.logs.writer("scheduler"), nil)),
	})
	if err != nil {
		return err
	}
	s.closing("scheduler", func(context.Context) error { jobs.Stop(); return nil })
	return nil
}
