package chaos

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/dlai-sd/plant/scripts/localstack/port"
	"github.com/dlai-sd/plant/scripts/localstack/proc"
	"github.com/dlai-sd/plant/scripts/localstack/pubsub"
	"github.com/dlai-sd/plant/scripts/localstack/stacktest"
	"github.com/dlai-sd/plant/shared/domain"
	"github.com/dlai-sd/plant/shared/event"
	"github.com/dlai-sd/plant/shared/testkit/harness"
)

const (
	runsPath    = "/api/v1/audit/run"
	exportsPath = "/api/v1/audit/exports"
	ofNorth     = `{"scope":"governance_agent","id":"north"}`
	ofAll       = `{"scope":"all"}`
	audited     = 800 // skills, of which every twentieth was changed by hand
)

// watch is a stack with two processes of audit-run. Each has a subscription of its
// own, so every part of a run comes twice at once: one process hands on after each
// chunk, the other works on.
type watch struct {
	*stack
	both   [2]*proc.Supervised
	at     [2]string
	token  string
	client *http.Client
}

func beginWatch(t *testing.T, c *consumer) *watch {
	t.Helper()
	w := &watch{stack: &stack{issuer: c.issuer, checkpoints: t.TempDir()}, client: &http.Client{Timeout: time.Minute}}
	w.server = stacktest.DurablePostgres(t, 0)
	w.Deployment = harness.On(t, newDatabase(t, w.server))
	ports, err := port.Free(len(w.both))
	require.NoError(t, err)
	var subscriptions []pubsub.Subscription
	for i, p := range ports {
		w.at[i] = local(p)
		// A process that is away for a second finds its letters among the dead.
		subscriptions = append(subscriptions, pubsub.Subscription{
			Name: fmt.Sprint("audit-", i), Topic: topic, Filter: `hasPrefix(attributes.type, "plant.audit.")`, PushURL: w.at[i] + "/events/audit",
			Audience: pushAudience, MaxAttempts: 20, MinBackoff: time.Millisecond, MaxBackoff: 50 * time.Millisecond, DeadLetterTopic: deadTopic,
		})
	}
	w.startBroker(t, c, subscriptions...)
	binary := buildFunctions(t)
	for i, budget := range []string{"0s", "12s"} {
		w.both[i] = w.supervise(t, binary, "audit-run", "plant_auditor", ports[i], "AUDIT_BUDGET="+budget)
	}
	w.audit, w.sequence = w.both[0], w.at[0]+"/events/sequence"
	w.token = w.Token(t, w.PlatformPrincipal(t, "board", domain.Auditor))
	return w
}

// TestAuditKills: the processes of audit-run and PostgreSQL are killed with signal 9
// while runs of the audit and exports follow each other. In the end every run that was
// begun is over and found what an undisturbed one finds, each finding once and with one
// alarm, and every bundle of every export proves what it says.
func TestAuditKills(t *testing.T) {
	t.Parallel()
	d := throw(t)
	kills := int(setting(t, "CHAOS_AUDIT_KILLS", 3)) // #nosec -- small
	c := listen(t, d.of("audit consumer", 0))
	w := beginWatch(t, c)
	ctx, end := context.WithTimeout(t.Context(), wholeRun)
	defer end()
	service, north := w.Service(t, 2), w.Principal(t, "north", domain.Author)
	for range audited / 400 {
		require.NoError(t, writeSkills(ctx, service, north, 400))
	}
	victims := w.tamper(t)
	w.settle(ctx, t)
	for _, scope := range []string{ofNorth, ofAll} {
		w.run(ctx, scope)
	}
	w.settle(ctx, t)
	undisturbed := w.runs(t)
	require.Len(t, undisturbed, 2)

	work, stop := context.WithCancel(ctx)
	var working sync.WaitGroup
	for n := range 2 {
		decide := d.of("who audits", n)
		working.Go(func() {
			for work.Err() == nil {
				w.run(work, []string{ofNorth, ofAll}[decide.IntN(2)])
			}
		})
	}
	exports := 0
	working.Go(func() { exports = w.exportUntil(work, t, d.of("who exports", 0)) })
	working.Go(func() { w.tick(work, d.of("clock", 0)) })
	south, decide, did := w.Principal(t, "south", domain.Author), d.of("audit killer", 0), 0
	for k := range kills {
		if err := writeSkills(ctx, service, south, 1); err != nil { // the log grows, and exports are cut anew
			require.NoError(t, ctx.Err())
		}
		did = w.awaitAudit(ctx, did)
		pause(ctx, time.Duration(decide.Int64N(int64(100*time.Millisecond))))
		if k%10 == 9 {
			require.NoError(t, w.server.Kill())
			require.NoError(t, w.server.Restart(ctx))
			continue
		}
		victim := w.both[decide.IntN(len(w.both))]
		require.NoError(t, victim.Kill())
		require.NoError(t, victim.Ready(ctx))
	}
	stop()
	working.Wait()
	require.NoError(t, ctx.Err())
	w.settle(ctx, t)

	runs := w.runs(t)
	for id, r := range runs {
		r.as(t, id, undisturbed, w.count(t, "SELECT count(*) FROM amendment"))
	}
	w.alarmed(t, c, victims, len(runs))
	kept := w.fetchAll(ctx, t)
	logIsWhole(t, w.Deployment, w.checkpoints)
	t.Logf("%d kills (%d and %d restarts): %d runs of %d entities, each with the %d findings of an undisturbed one; %d resumed; %d exports, %d fetched meanwhile; %d alarms, %d deliveries",
		kills, w.both[0].Restarts(), w.both[1].Restarts(), len(runs), audited, audited/20+audited/100, w.resumed.Load(), kept, exports,
		len(runs)*len(victims), c.deliveries)
}

// tamper changes columns by hand, of every twentieth skill one and of every hundredth
// two. It returns their ids.
func (w *watch) tamper(t *testing.T) map[string]bool {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), w.URL)
	require.NoError(t, err)
	defer func() { _ = conn.Close(context.WithoutCancel(t.Context())) }()
	const victims = `(SELECT id FROM (SELECT id, row_number() OVER (ORDER BY id) AS n FROM skill) s WHERE n % `
	_, err = conn.Exec(t.Context(), `BEGIN; ALTER TABLE entity DISABLE TRIGGER USER; ALTER TABLE skill DISABLE TRIGGER USER;
		UPDATE skill SET category = 'soft_skill' WHERE id IN `+victims+`20 = 0);
		UPDATE entity SET governance_notes = 'forged' WHERE id IN `+victims+`100 = 0);
		ALTER TABLE entity ENABLE TRIGGER USER; ALTER TABLE skill ENABLE TRIGGER USER; COMMIT`)
	require.NoError(t, err)
	rows, err := conn.Query(t.Context(), `SELECT id::text FROM skill WHERE category = 'soft_skill'`)
	require.NoError(t, err)
	ids, err := pgx.CollectRows(rows, pgx.RowTo[string])
	require.NoError(t, err)
	require.Len(t, ids, audited/20)
	list := map[string]bool{}
	for _, id := range ids {
		list[id] = true
	}
	return list
}

// ask sends a request to one of the processes; it fails while that one is away.
func (w *watch) ask(ctx context.Context, method, path, body string) ([]byte, error) {
	r, err := http.NewRequestWithContext(ctx, method, w.at[rand.IntN(len(w.at))]+path, strings.NewReader(body)) // #nosec -- whoever is there
	if err != nil {
		return nil, err
	}
	r.Header.Set("Authorization", "Bearer "+w.token)
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	response, err := w.client.Do(r)
	if err != nil {
		return nil, err
	}
	defer func() { _ = response.Body.Close() }()
	answer, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode >= http.StatusBadRequest {
		err = fmt.Errorf("%s %s answers %d: %s", method, path, response.StatusCode, answer)
	}
	return answer, err
}

// insist asks until there is an answer.
func (w *watch) insist(ctx context.Context, method, path, body string) (answer []byte, err error) {
	for {
		if answer, err = w.ask(ctx, method, path, body); err == nil || ctx.Err() != nil {
			return answer, err
		}
		pause(ctx, 20*time.Millisecond)
	}
}

type standing struct {
	ID     string `json:"id"`
	Status string `json:"status"`
	Bundle string `json:"bundle"`
}

func read(answer []byte, err error) (s standing, _ error) {
	if err == nil {
		err = json.Unmarshal(answer, &s)
	}
	return s, err
}

// run begins a run and waits for its end. Whoever asked and got no answer has perhaps
// begun one too: that one also ends, or the test fails.
func (w *watch) run(ctx context.Context, scope string) {
	begun, err := read(w.insist(ctx, http.MethodPost, runsPath, scope))
	for err == nil && begun.Status != "finished" {
		pause(ctx, 20*time.Millisecond)
		begun, err = read(w.insist(ctx, http.MethodGet, "/api/v1/audit/runs/"+begun.ID, ""))
	}
}

// tick is the scheduler, only more often, and now and then five minutes pass for the
// runs that are not over.
func (w *watch) tick(ctx context.Context, decide *rand.Rand) {
	for ctx.Err() == nil {
		_ = w.age(ctx)
		if decide.IntN(8) == 0 {
			_ = w.ageRuns(ctx)
		}
		_, _ = w.sweep(ctx)
		pause(ctx, 250*time.Millisecond)
	}
}

func (w *watch) ageRuns(ctx context.Context) error {
	conn, err := pgx.Connect(ctx, w.URL)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	_, err = conn.Exec(ctx, `UPDATE audit_run SET updated_at = updated_at - interval '5 min 1 s', asked_at = asked_at - interval '5 min 1 s'
		WHERE finished_at IS NULL`)
	return err
}

// awaitAudit waits until runs have got on, so that kills strike work and not a process
// that starts; two seconds are enough all the same.
func (w *watch) awaitAudit(ctx context.Context, did int) int {
	for end := time.Now().Add(2 * time.Second); time.Now().Before(end) && ctx.Err() == nil; pause(ctx, 5*time.Millisecond) {
		conn, err := pgx.Connect(ctx, w.URL)
		if err != nil {
			continue
		}
		var now int
		err = conn.QueryRow(ctx, `SELECT coalesce(sum(entities + entries), 0)::int FROM audit_run`).Scan(&now)
		_ = conn.Close(context.WithoutCancel(ctx))
		if err == nil && now > did {
			return now
		}
	}
	return did
}

// settle carries everything that was begun to its end: as long as something gets on it
// is patient, however slow the machine is.
func (w *watch) settle(ctx context.Context, t *testing.T) {
	t.Helper()
	for _, p := range w.both {
		require.NoError(t, p.Ready(ctx))
	}
	var before, left string
	for still := 0; still < 300; still++ {
		require.NoError(t, w.age(ctx))
		require.NoError(t, w.ageRuns(ctx))
		_, err := w.sweep(ctx)
		require.NoError(t, err, "with everything up a sweep succeeds")
		if left = w.left(t); left == "0 events, 0 runs, 0 amendments" {
			return
		}
		if now := left + w.reached(t); now != before {
			before, still = now, 0
		}
		pause(ctx, 100*time.Millisecond)
	}
	require.Fail(t, "runs of the audit do not end", "left: %s; %s", left, w.reached(t))
}

func (w *watch) left(t *testing.T) string {
	t.Helper()
	return fmt.Sprintf("%d events, %d runs, %d amendments", w.count(t, "SELECT count(*) FROM outbox"),
		w.count(t, "SELECT count(*) FROM audit_run WHERE finished_at IS NULL"), w.count(t, "SELECT count(*) FROM log_pending"))
}

// reached is how far the runs are that are not over.
func (w *watch) reached(t *testing.T) (where string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), w.URL)
	require.NoError(t, err)
	defer func() { _ = conn.Close(context.WithoutCancel(t.Context())) }()
	require.NoError(t, conn.QueryRow(t.Context(), `SELECT coalesce(string_agg(to_jsonb(r)::text, E'\n' ORDER BY id), '')
		FROM (SELECT id, phase, position, entities, entries FROM audit_run WHERE finished_at IS NULL) r`).Scan(&where))
	return where
}

// judgement is what a run found.
type judgement struct {
	scope                                   string
	entities, amendments, entries, findings int
	found                                   string // all of it, in order
}

// runs are the judgements of the runs that are over, by their ids.
func (w *watch) runs(t *testing.T) map[string]judgement {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), w.URL)
	require.NoError(t, err)
	defer func() { _ = conn.Close(context.WithoutCancel(t.Context())) }()
	rows, err := conn.Query(t.Context(), `SELECT id::text, coalesce(governance_agent_id, ''), entities, amendments, entries, findings, coalesce((
			SELECT string_agg(concat_ws(' | ', governance_agent_id, entity_type, entity_id, seq, reason, expected, found), E'\n'
				ORDER BY entity_id, seq, reason, expected, found) FROM audit_finding f WHERE f.run_id = r.id), '')
		FROM audit_run r WHERE finished_at IS NOT NULL`)
	require.NoError(t, err)
	list := map[string]judgement{}
	var id, tenant string
	var j judgement
	_, err = pgx.ForEachRow(rows, []any{&id, &tenant, &j.entities, &j.amendments, &j.entries, &j.findings, &j.found}, func() error {
		if j.scope = ofAll; tenant != "" {
			j.scope = ofNorth
		}
		list[id] = j
		return nil
	})
	require.NoError(t, err)
	return list
}

// as: a run of a governance agent that nobody wrote to is exactly the undisturbed one;
// one of everything found the same, and looked at what was added since at most.
func (j judgement) as(t *testing.T, id string, undisturbed map[string]judgement, amendments int) {
	t.Helper()
	var want judgement
	for _, u := range undisturbed {
		if u.scope == j.scope {
			want = u
		}
	}
	require.Positive(t, want.findings)
	require.Equal(t, want.findings, strings.Count(want.found, "\n")+1)
	if j.scope == ofNorth {
		require.Equal(t, want, j, id)
		return
	}
	require.Equal(t, want.found, j.found, id)
	require.Equal(t, want.findings, j.findings, id)
	require.GreaterOrEqual(t, j.entities, want.entities, id)
	require.GreaterOrEqual(t, j.amendments, want.amendments, id)
	require.GreaterOrEqual(t, j.entries, want.entries, id)
	require.LessOrEqual(t, j.amendments, amendments, id)
	require.Equal(t, j.entities-want.entities, j.amendments-want.amendments, "whatever was added has one amendment: %s", id)
}

// alarmed: each run alarmed once of each victim, however often it was delivered, and
// of nobody else.
func (w *watch) alarmed(t *testing.T, c *consumer, victims map[string]bool, runs int) {
	t.Helper()
	alarms := func() (n int) {
		c.mu.Lock()
		defer c.mu.Unlock()
		for _, events := range c.effects {
			n += len(tampered(events))
		}
		return n
	}
	require.Eventually(t, func() bool { return alarms() >= runs*len(victims) }, startMost, 10*time.Millisecond, "alarms are missing")
	c.mu.Lock()
	defer c.mu.Unlock()
	for id, events := range c.effects {
		want := 0
		if victims[id] {
			want = runs
		}
		require.Len(t, tampered(events), want, id)
	}
}

func tampered(events []event.Event) (list []event.Event) {
	for _, e := range events {
		if e.Type == "plant.skill.tampered" {
			list = append(list, e)
		}
	}
	return list
}
