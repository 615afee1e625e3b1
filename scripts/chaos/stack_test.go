package chaos

import (
	"context"
	"log/slog"
	"net/http"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/dlai-sd/plant/scripts/localstack/gateway"
	"github.com/dlai-sd/plant/scripts/localstack/oidc"
	"github.com/dlai-sd/plant/scripts/localstack/port"
	"github.com/dlai-sd/plant/scripts/localstack/postgres"
	"github.com/dlai-sd/plant/scripts/localstack/proc"
	"github.com/dlai-sd/plant/scripts/localstack/pubsub"
	"github.com/dlai-sd/plant/scripts/localstack/stacktest"
	"github.com/dlai-sd/plant/shared/domain"
	"github.com/dlai-sd/plant/shared/testkit/harness"
)

const (
	topic        = "plant-events"
	deadTopic    = "plant-dead-letter"
	pushAudience = "https://chaos.test.example/events"
	pusher       = "push@plant-test.iam.gserviceaccount.com"
	skillsPath   = "/api/v1/genesis/skills"
	startMost    = 2 * time.Minute
)

// stack is a deployment made to be killed: PostgreSQL that really writes to the
// disk, two processes of create-skill, one of them behind the gateway, one of
// audit-run, and Pub/Sub with a consumer.
type stack struct {
	*harness.Deployment
	server *postgres.Server
	create [2]*proc.Supervised
	audit  *proc.Supervised
	issuer *oidc.Issuer
	broker *pubsub.Server

	checkpoints string // folder
	resumed     atomic.Int64

	doors    []string // base URLs that lead to create-skill
	sequence string   // where the scheduler calls
}

// begin starts everything but the consumer, which has to be there first.
func begin(t *testing.T, consumer *consumer) *stack {
	t.Helper()
	s := &stack{issuer: consumer.issuer, checkpoints: t.TempDir()}
	s.server = stacktest.DurablePostgres(t, 0)
	s.Deployment = harness.On(t, newDatabase(t, s.server))
	s.startBroker(t, consumer)
	s.startFunctions(t)
	return s
}

func newDatabase(t *testing.T, server *postgres.Server) string {
	t.Helper()
	require.NoError(t, postgres.Execute(t.Context(), server.AdminURL(), "CREATE DATABASE plant"))
	return server.AdminURLOf("plant")
}

func (s *stack) startBroker(t *testing.T, c *consumer, more ...pubsub.Subscription) {
	t.Helper()
	var err error
	s.broker, err = pubsub.Start(t.Context(), pubsub.Options{
		Project: harness.Project, Topics: []string{topic, deadTopic},
		Subscriptions: append(more, pubsub.Subscription{
			Name: "chaos", Topic: topic, Filter: `hasPrefix(attributes.type, "plant.skill.")`, PushURL: c.server.URL,
			Audience: pushAudience, MaxAttempts: 100, MinBackoff: time.Millisecond, MaxBackoff: 50 * time.Millisecond,
			DeadLetterTopic: deadTopic,
		}),
		Token:  func(audience string) (string, error) { return s.issuer.Token(audience, pusher) },
		Logger: slog.New(slog.DiscardHandler),
	})
	require.NoError(t, err)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), startMost)
		defer cancel()
		require.NoError(t, s.broker.Stop(ctx))
	})
}

func (s *stack) startFunctions(t *testing.T) {
	t.Helper()
	binary := buildFunctions(t)
	ports, err := port.Free(3)
	require.NoError(t, err)
	s.create[0] = s.supervise(t, binary, "create-skill", "plant_writer", ports[0])
	s.create[1] = s.supervise(t, binary, "create-skill", "plant_writer", ports[1])
	s.audit = s.supervise(t, binary, "audit-run", "plant_auditor", ports[2])
	s.sequence = local(ports[2]) + "/events/sequence"
	s.doors = []string{s.openGateway(t, local(ports[0])), local(ports[1])}
}

func buildFunctions(t *testing.T) string {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "functions")
	build, err := exec.CommandContext(t.Context(), "go", "build", "-o", binary, "../../functions").CombinedOutput()
	require.NoError(t, err, string(build))
	return binary
}

func local(port int) string { return "http://127.0.0.1:" + strconv.Itoa(port) }

func (s *stack) supervise(t *testing.T, binary, function, role string, listen int, more ...string) *proc.Supervised {
	t.Helper()
	running, err := proc.Supervise(t.Context(), proc.Service{
		Spec: proc.Spec{Name: function, Path: binary, Env: append([]string{
			"FUNCTION_TARGET=" + function, "HOST=127.0.0.1", "PORT=" + strconv.Itoa(listen),
			"PLANT_ORIGIN=" + harness.Origin, "GOOGLE_CLOUD_PROJECT=" + harness.Project,
			"DATABASE_URL=" + s.As(role), "DB_POOL=4", "SECRET_MANAGER_ENDPOINT=" + s.SecretsAddr,
			"AMENDMENT_KEY=" + s.Keys[domain.UseAmendment], "JWT_KEYS=" + s.TokensVersion,
			"CHECKPOINT_KEY=" + s.Keys[domain.UseCheckpoint], "HEADS_KEY=" + s.Keys[domain.UseHeads], "CHECKPOINT_DIR=" + s.checkpoints,
			"TOKEN_ISSUER=" + harness.Issuer, "TOKEN_AUDIENCE=" + harness.Audience,
			"PUBSUB_EMULATOR_HOST=" + s.broker.Addr(), "PUBSUB_TOPIC=" + topic,
			"OIDC_ISSUER=" + s.issuer.URL(), "PUSH_AUDIENCE=" + pushAudience, "PUSH_SERVICE_ACCOUNT=" + pusher,
		}, more...)},
		// While PostgreSQL is away a function cannot start: that is no reason to give up.
		ReadyURL: local(listen) + "/ready", ReadyWait: time.Minute, MinBackoff: 20 * time.Millisecond,
		MaxBackoff: 500 * time.Millisecond, GiveUp: 1000, Logger: slog.New(slog.DiscardHandler),
	})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, running.Stop(context.WithoutCancel(t.Context()))) })
	return running
}

func (s *stack) openGateway(t *testing.T, target string) string {
	t.Helper()
	g, err := gateway.Start(gateway.Options{
		Targets: map[string]string{"create-skill": target}, Routes: []gateway.Route{{Pattern: "POST " + skillsPath, Target: "create-skill"}},
		NotFound: http.NotFoundHandler(),
		Unavailable: func(w http.ResponseWriter, _ *http.Request, _ string, _ error) {
			w.WriteHeader(http.StatusServiceUnavailable)
		},
	})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, g.Stop(context.WithoutCancel(t.Context()))) })
	return g.URL()
}
