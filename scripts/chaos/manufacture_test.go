package chaos

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/dlai-sd/plant/scripts/localstack/oidc"
	"github.com/dlai-sd/plant/scripts/localstack/port"
	"github.com/dlai-sd/plant/scripts/localstack/proc"
	"github.com/dlai-sd/plant/scripts/localstack/pubsub"
	"github.com/dlai-sd/plant/scripts/localstack/stacktest"
	"github.com/dlai-sd/plant/shared/auth"
	"github.com/dlai-sd/plant/shared/domain"
	"github.com/dlai-sd/plant/shared/keys"
	"github.com/dlai-sd/plant/shared/registry"
	"github.com/dlai-sd/plant/shared/store"
	"github.com/dlai-sd/plant/shared/testkit/harness"
)

// factory is a deployment of what manufactures agents. Every event is delivered by
// two subscriptions at once: each comes at least twice.
type factory struct {
	*stack
	birth, certify *proc.Supervised
	door           string // of certify
	genesis        auth.Principal
	token          string
}

// TestManufacturing: agents are born into teams, submitted, decided about and put to
// work while every function and PostgreSQL are killed and each event comes twice and
// out of order. In the end each agent is active, or back in draft with the reasons
// and out of its team; every step happened once, and every chain verifies.
func TestManufacturing(t *testing.T) {
	t.Parallel()
	d := throw(t)
	f := openFactory(t)
	total := int(setting(t, "CHAOS_AGENTS", 20)) // #nosec -- small
	began := time.Now()
	f.bear(t, total)
	ctx, cancel := context.WithTimeout(t.Context(), wholeRun)
	defer cancel()
	over, end := context.WithCancel(ctx)
	var storm sync.WaitGroup
	kills := 0
	storm.Go(func() { f.sweepUntil(over) })
	storm.Go(func() { kills = f.kill(over, t, d.of("kill", 0)) })
	storm.Go(func() { f.decide(over, d.of("decide", 0)) })
	require.Eventually(t, func() bool {
		return f.looks(t, `SELECT count(*) FROM entity e WHERE entity_type = 'agent' AND (status = 'active' OR status = 'draft'
			AND EXISTS (SELECT FROM amendment a WHERE a.entity_id = e.id AND a.change = 'rejected'))`) == total
	}, wholeRun, 200*time.Millisecond, "agents are left on the way")
	end()
	storm.Wait()
	t.Logf("%d agents in %v; %d kills; %d active, %d sent back", total, time.Since(began).Round(time.Millisecond), kills,
		f.count(t, "SELECT count(*) FROM entity WHERE entity_type = 'agent' AND status = 'active'"),
		f.count(t, "SELECT count(*) FROM entity WHERE entity_type = 'agent' AND status = 'draft'"))
	f.isSound(t, total)
}

func openFactory(t *testing.T) *factory {
	t.Helper()
	var held [3]*port.Held
	var err error
	for i := range held {
		held[i], err = port.Hold()
		require.NoError(t, err)
	}
	f := &factory{stack: &stack{sequence: local(held[2].Port) + "/events/sequence"}, door: local(held[1].Port)}
	f.checkpoints = t.TempDir()
	f.issuer, err = oidc.Start(0)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, f.issuer.Stop(context.WithoutCancel(t.Context()))) })
	f.server = stacktest.DurablePostgres(t, 0)
	f.Deployment = harness.On(t, newDatabase(t, f.server))
	push := func(name, url string) pubsub.Subscription {
		return pubsub.Subscription{
			Name: name, Topic: topic, PushURL: url, Audience: pushAudience, MaxAttempts: 10_000,
			MinBackoff: 5 * time.Millisecond, MaxBackoff: 300 * time.Millisecond, DeadLetterTopic: deadTopic,
		}
	}
	birth, certify := local(held[0].Port)+"/events/manufacture", f.door+"/events/certify"
	f.broker, err = pubsub.Start(t.Context(), pubsub.Options{
		Project: harness.Project, Topics: []string{topic, deadTopic},
		Subscriptions: []pubsub.Subscription{push("birth-1", birth), push("birth-2", birth), push("certify-1", certify), push("certify-2", certify)},
		Token:         func(audience string) (string, error) { return f.issuer.Token(audience, pusher) },
		Logger:        slog.New(slog.DiscardHandler),
	})
	require.NoError(t, err)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), startMost)
		defer cancel()
		require.NoError(t, f.broker.Stop(ctx))
	})
	binary := buildFunctions(t)
	for _, h := range held {
		require.NoError(t, h.Release())
	}
	f.birth = f.supervise(t, binary, "birth-agent", "plant_writer", held[0].Port)
	f.certify = f.supervise(t, binary, "certify", "plant_certifier", held[1].Port, "CERTIFICATION_KEY="+f.Keys[domain.UseCertification])
	f.audit = f.supervise(t, binary, "audit-run", "plant_auditor", held[2].Port)
	f.genesis = f.PlatformPrincipal(t, "genesis-board", domain.Genesis)
	f.token = f.Token(t, f.genesis)
	return f
}

// bear makes agents two by two, each pair in a team of its own: born as if their
// function had died before it announced anything.
func (f *factory) bear(t *testing.T, agents int) {
	t.Helper()
	s, who := f.Service(t, 2), f.Principal(t, "acme", domain.Author)
	ask := func() registry.Request {
		return registry.Request{Who: who, Route: "chaos", Key: uuid.NewString()}
	}
	make := func(facts domain.Facts, more ...domain.ID) domain.ID {
		w, err := s.Create(t.Context(), ask(), facts, domain.Settable{}, more...)
		require.NoError(t, err)
		return w.Entity.ID
	}
	industry := make(domain.Industry{Name: "Ships"})
	one := make(domain.Skill{Name: "Welding", Description: "Welds.", Category: "technical"})
	two := make(domain.Skill{Name: "Riveting", Description: "Rivets.", Category: "technical"})
	role := make(domain.JobRole{Name: "Fitter", RequiredSkills: []domain.ID{one, two}, SeniorityLevel: "mid"})
	decisions := []registry.Decision{}
	for _, id := range []domain.ID{one, two, role} {
		_, err := s.Amend(t.Context(), ask(), id, [32]byte{}, domain.MoveTo{To: domain.UnderReview})
		require.NoError(t, err)
		decisions = append(decisions, registry.Decision{ID: id, Verdict: registry.VerdictCertify})
	}
	c, err := registry.NewCertifier(registry.Config{
		DB: f.Open(t, "plant_certifier", 1), Keys: f.Secrets.Hold(keys.Pinned(f.Keys[domain.UseCertification]), time.Now),
		Origin: harness.Origin, Log: slog.New(slog.DiscardHandler),
	})
	require.NoError(t, err)
	done, err := c.DecideAll(t.Context(), registry.Request{Who: f.genesis, Route: "chaos", Key: uuid.NewString()}, decisions)
	require.NoError(t, err)
	for _, o := range done.Outcomes {
		require.True(t, o.Recorded, "%+v", o)
	}
	for i := range agents / 2 {
		a := make(domain.Agent{Name: fmt.Sprint("A", i), SkillID: one, JobRoleID: role, IndustryID: industry})
		b := make(domain.Agent{Name: fmt.Sprint("B", i), SkillID: two, JobRoleID: role, IndustryID: industry})
		make(domain.Team{Name: fmt.Sprint("T", i), JobRoleID: role}, a, b)
	}
}

// kill kills a function, or PostgreSQL, again and again.
func (f *factory) kill(ctx context.Context, t *testing.T, decide *rand.Rand) (n int) {
	harm := []func() error{f.birth.Kill, f.certify.Kill, f.birth.Kill, f.certify.Kill, f.audit.Kill, func() error {
		if err := f.server.Kill(); err != nil {
			return err
		}
		return f.server.Restart(context.WithoutCancel(ctx))
	}}
	for ctx.Err() == nil {
		pause(ctx, time.Duration(100+decide.IntN(900))*time.Millisecond)
		if err := harm[decide.IntN(len(harm))](); err != nil && ctx.Err() == nil {
			t.Logf("a kill missed: %v", err)
		}
		n++
	}
	return n
}

// decide is the genesis board: it takes what waits and certifies it, or sends one
// in five back, and insists under the same key until it is answered.
func (f *factory) decide(ctx context.Context, dice *rand.Rand) {
	verdict := map[string]string{}
	for ctx.Err() == nil {
		pause(ctx, 50*time.Millisecond)
		body, status := f.call(ctx, http.MethodGet, "/api/v1/certify/queue?limit=20", "", "")
		var queue struct {
			Items []struct {
				ID          string `json:"id"`
				VersionHash string `json:"version_hash"`
			} `json:"items"`
		}
		if status != http.StatusOK || json.Unmarshal(body, &queue) != nil {
			continue
		}
		for _, w := range queue.Items {
			key := w.ID + w.VersionHash[:16]
			if verdict[key] == "" {
				verdict[key] = `{"decision":"certify"}`
				if dice.IntN(5) == 0 {
					verdict[key] = `{"decision":"reject","reasons":["Not this one."]}`
				}
			}
			for status := 0; ctx.Err() == nil && (status == 0 || status >= 500); {
				_, status = f.call(ctx, http.MethodPost, "/api/v1/agents/"+w.ID+"/certify", key, verdict[key])
			}
		}
	}
}

func (f *factory) call(ctx context.Context, method, path, key, body string) ([]byte, int) {
	r, err := http.NewRequestWithContext(ctx, method, f.door+path, strings.NewReader(body))
	if err != nil {
		return nil, 0
	}
	r.Header.Set("Authorization", "Bearer "+f.token)
	if key != "" {
		r.Header.Set("Idempotency-Key", key)
		r.Header.Set("Content-Type", "application/json")
	}
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		pause(ctx, 20*time.Millisecond)
		return nil, 0
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return nil, 0
	}
	return text, response.StatusCode
}

// looks counts while PostgreSQL may be away: then there is nothing to see.
func (f *factory) looks(t *testing.T, query string) (n int) {
	conn, err := pgx.Connect(t.Context(), f.URL)
	if err != nil {
		return 0
	}
	defer func() { _ = conn.Close(context.WithoutCancel(t.Context())) }()
	if conn.QueryRow(t.Context(), query).Scan(&n) != nil {
		return 0
	}
	return n
}

// isSound: each step once, nothing half done, and every chain verifies.
func (f *factory) isSound(t *testing.T, agents int) {
	t.Helper()
	zero := func(what, query string) {
		t.Helper()
		require.Zero(t, f.count(t, "SELECT count(*) FROM "+query), what)
	}
	const ofAgents = "amendment WHERE entity_type = 'agent' AND "
	zero("a step happened twice", `(SELECT FROM `+ofAgents+`change IN ('created', 'certified', 'rejected')
		GROUP BY entity_id, change HAVING count(*) > 1) x`)
	zero("submitted and activated once each", `(SELECT FROM entity e JOIN amendment a ON a.entity_id = e.id WHERE e.entity_type = 'agent'
		AND a.change = 'moved' GROUP BY e.id, e.status HAVING count(*) <> CASE e.status WHEN 'active' THEN 2 ELSE 1 END) x`)
	zero("certified and sent back", `(SELECT FROM `+ofAgents+`change IN ('certified', 'rejected') GROUP BY entity_id HAVING count(*) <> 1) x`)
	zero("sent back without a reason", "entity WHERE entity_type = 'agent' AND status = 'draft' AND status_reason IS NULL")
	zero("sent back, and still in a team that has another", `agent a JOIN entity e USING (id) WHERE e.status = 'draft' AND a.team_id IS NOT NULL
		AND EXISTS (SELECT FROM agent o WHERE o.team_id = a.team_id AND o.id <> a.id)`)
	zero("a team without an agent", "team t WHERE NOT EXISTS (SELECT FROM agent a WHERE a.team_id = t.id)")
	zero("active without a certification", "entity WHERE entity_type = 'agent' AND status = 'active' AND genesis_certification IS NULL")
	db := f.Open(t, "plant_certifier", 2)
	list, err := db.List(t.Context(), "acme", store.Filter{Kind: domain.KindAgent}, store.ByCreated, nil, agents+1)
	require.NoError(t, err)
	require.Len(t, list, agents)
	for _, l := range list {
		proofs, err := db.Proofs(t.Context(), "acme", domain.KindAgent, l.Entity.ID, 0, 1<<20)
		require.NoError(t, err)
		require.NoError(t, verify(proofs))
	}
}
