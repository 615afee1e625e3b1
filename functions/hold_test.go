package main

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/sethvargo/go-envconfig"
	"github.com/stretchr/testify/require"

	"github.com/dlai-sd/plant/scripts/localstack/stacktest"
	"github.com/dlai-sd/plant/shared/domain"
	"github.com/dlai-sd/plant/shared/embedding"
	"github.com/dlai-sd/plant/shared/embedding/minilm"
	"github.com/dlai-sd/plant/shared/keys"
	"github.com/dlai-sd/plant/shared/registry"
	"github.com/dlai-sd/plant/shared/registry/vectors"
	"github.com/dlai-sd/plant/shared/store"
	"github.com/dlai-sd/plant/shared/testkit/harness"
	"github.com/dlai-sd/plant/shared/web"
)

// openAs opens the kit's database as a role.
func (k *kit) openAs(t *testing.T, role string) *store.DB {
	t.Helper()
	db, err := store.Open(t.Context(), store.Config{URL: k.As(role), Pool: 2})
	require.NoError(t, err)
	t.Cleanup(db.Close)
	return db
}

// lines is a log that several write to.
type lines struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *lines) has(words ...string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for line := range strings.Lines(l.text.String()) {
		all := true
		for _, word := range words {
			all = all && strings.Contains(line, word)
		}
		if all {
			return true
		}
	}
	return false
}

// serveLogged serves a function and keeps what it logs.
func (k *kit) serveLogged(t *testing.T, function string, changes map[string]string) (*server, *lines) {
	t.Helper()
	cfg, err := readConfig(t.Context(), envconfig.MapLookuper(k.settings(t, function, changes)))
	require.NoError(t, err)
	log := &lines{}
	d := &deps{cfg: cfg, log: web.NewLogger(log, function), now: time.Now}
	t.Cleanup(func() { _ = d.close() })
	h, err := d.handler(t.Context())
	require.NoError(t, err)
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return &server{url: s.URL}, log
}

type heldRun struct {
	ID       string `json:"id"`
	Status   string `json:"status"`
	Entities int64  `json:"entities"`
	Phase    string `json:"phase"`
	Hold     *struct {
		Since  time.Time `json:"since"`
		By     string    `json:"by"`
		Reason string    `json:"reason"`
	} `json:"hold"`
}

func (r heldRun) requireHeld(t *testing.T, reason string) {
	t.Helper()
	require.Equal(t, "held", r.Status)
	require.NotNil(t, r.Hold)
	require.Equal(t, reason, r.Hold.Reason)
	require.Equal(t, "operator", r.Hold.By)
	require.False(t, r.Hold.Since.IsZero())
}

type sweptView struct {
	Asked int `json:"runs_asked_for"`
}

func (s *server) sweep(t *testing.T) int {
	t.Helper()
	a := s.do(t, call{method: "POST", path: "/events/sequence", token: serviceToken(t)})
	require.Equal(t, 200, a.status, "%s", a.body)
	return as[sweptView](t, a).Asked
}

func (s *server) tick(t *testing.T, path string) {
	t.Helper()
	require.Equal(t, http.StatusNoContent, s.do(t, call{method: "POST", path: path, token: serviceToken(t)}).status)
}

// TestAHoldStopsBatchWork: runs that somebody asks for wait and say so, the clock begins
// none, the log says it; what people wait for goes on. Lifted, the runs are asked for by
// the next sweep, each once, and end.
func TestAHoldStopsBatchWork(t *testing.T) {
	t.Parallel()
	const reason = "Too dear: who embeds all night?"
	b := newBoard(t)
	audit, auditLog := b.serveLogged(t, auditRun, nil)
	check, checkLog := b.serveLogged(t, driftCheck, nil)
	finder := b.serve(t, embedder, nil)
	operator := b.openAs(t, "plant_operator")
	auditor := b.Token(t, b.PlatformPrincipal(t, "inspection", domain.Auditor, domain.Guardian))
	require.NoError(t, operator.SetHold(t.Context(), true, "An older reason."))
	require.NoError(t, operator.SetHold(t.Context(), false, "An older end."))
	require.NoError(t, operator.SetHold(t.Context(), true, reason))

	begun := audit.post(t, auditor, "/api/v1/audit/run", `{"scope":"all"}`)
	require.Equal(t, 202, begun.status, "%s", begun.body)
	as[heldRun](t, begun).requireHeld(t, reason)
	checked := check.post(t, auditor, "/api/v1/drift/run", allOfIt)
	require.Equal(t, 202, checked.status, "%s", checked.body)
	as[heldRun](t, checked).requireHeld(t, reason)
	for range 2 {
		b.deliver(t, audit, "/events/audit", "audit.continued")
		b.deliver(t, check, "/events/drift", "drift.continued")
	}
	run := as[heldRun](t, audit.get(t, auditor, begun.header.Get("Location")))
	run.requireHeld(t, reason)
	require.Equal(t, 1, b.count(t, "audit_run WHERE id = $1 AND phase = 'log' AND position = ''", run.ID), "no chunk was done")
	report := as[heldRun](t, check.get(t, auditor, checked.header.Get("Location")))
	report.requireHeld(t, reason)
	require.Equal(t, "vectors", report.Phase)
	as[struct {
		Items []heldRun `json:"items"`
	}](t, check.get(t, auditor, "/api/v1/drift/reports")).Items[0].requireHeld(t, reason)

	audit.tick(t, "/events/audit")
	check.tick(t, "/events/drift")
	require.Zero(t, b.count(t, "audit_run WHERE principal_id IS NULL"))
	require.Zero(t, b.count(t, "drift_run WHERE principal_id IS NULL"))
	require.True(t, auditLog.has(`"WARNING"`, "the daily audit is held"))
	require.True(t, auditLog.has(`"WARNING"`, "run "+run.ID+" is held: batch work was stopped by the operator at "))
	require.True(t, checkLog.has(`"WARNING"`, "the daily drift check is held"))
	require.False(t, auditLog.has("Too dear"), "what somebody wrote is in no log")
	b.admin(t, `UPDATE drift_run SET updated_at = now() - interval '1 hour', asked_at = now() - interval '6 minutes'`) // before the hold, in vain
	require.Zero(t, audit.sweep(t), "nothing is asked for that would be held")

	b.goesOn(t, audit, finder)

	require.NoError(t, operator.SetHold(t.Context(), false, "It was the import."))
	require.Equal(t, "running", as[heldRun](t, audit.get(t, auditor, begun.header.Get("Location"))).Status)
	before := len(b.messages())
	require.Equal(t, 2, audit.sweep(t), "what was held is asked for at once")
	require.Len(t, b.messages(), before+2)
	require.Zero(t, audit.sweep(t), "and not again before it stood still")
	for range 20 {
		b.deliver(t, audit, "/events/audit", "audit.continued")
		b.deliver(t, check, "/events/drift", "drift.continued")
		run = as[heldRun](t, audit.get(t, auditor, begun.header.Get("Location")))
		report = as[heldRun](t, check.get(t, auditor, checked.header.Get("Location")))
		if run.Status == "finished" && report.Status == "finished" {
			break
		}
	}
	require.Equal(t, "finished", run.Status)
	require.Nil(t, run.Hold)
	require.Equal(t, "finished", report.Status)
	require.NoError(t, operator.SetHold(t.Context(), true, reason))
	require.Equal(t, "finished", as[heldRun](t, audit.get(t, auditor, begun.header.Get("Location"))).Status, "what has ended is not held")
	require.Equal(t, "finished", as[heldRun](t, check.get(t, auditor, checked.header.Get("Location"))).Status)
}

// goesOn does what people wait for: it is never held.
func (b *board) goesOn(t *testing.T, audit, finder *server) {
	t.Helper()
	id := b.create(t, skills, plain("Welding")).ID
	b.deliver(t, finder, "/events/embed", ".created")
	b.submit(t, skills, id)
	require.Equal(t, "certified", *b.must(t, skills, id, yes).Status)
	found := as[struct {
		Items []any `json:"items"`
	}](t, finder.get(t, b.token, "/api/v1/search?q=welding"))
	require.NotEmpty(t, found.Items)
	require.False(t, as[tamperingView](t, audit.get(t, b.token, "/api/v1/audit/tampering/"+id)).Tampered)
	audit.sequence(t)
	require.Equal(t, 200, audit.do(t, call{method: "GET", path: "/api/v1/audit/export?scope=entity&id=" + id, token: b.token}).status)
}

// TestARunThatStandsStillIsAskedFor: whose event is lost goes on by the sweep, and is
// asked for ever more seldom; what moves is left alone.
func TestARunThatStandsStillIsAskedFor(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	s := k.serve(t, auditRun, nil)
	for table, rest := range map[string]string{"audit_run": ", since", "drift_run": ""} {
		phase, value := "entities", ", 'epoch'"
		if rest == "" {
			phase, value = "vectors", ""
		}
		insert := `INSERT INTO ` + table + ` (id, principal_id, phase, updated_at` + rest + `) VALUES (gen_random_uuid(), gen_random_uuid(), '` + phase + `', now() - interval '%s'` + value + `)`
		k.admin(t, fmt.Sprintf(insert, "4 minutes"))
		require.Zero(t, s.sweep(t), table)
		k.admin(t, fmt.Sprintf(insert, "6 minutes"))
		require.Equal(t, 1, s.sweep(t), table)
		require.Zero(t, s.sweep(t), "%s: it was asked for", table)
		// Asked for 20 minutes after it stood still: again after 20 more.
		at := `UPDATE ` + table + ` SET updated_at = now() - interval '%s', asked_at = now() - interval '%s'`
		k.admin(t, fmt.Sprintf(at, "39 minutes", "19 minutes"))
		require.Zero(t, s.sweep(t), table)
		k.admin(t, fmt.Sprintf(at, "41 minutes", "21 minutes"))
		require.Equal(t, 2, s.sweep(t), table)
		k.admin(t, fmt.Sprintf(at, "10 minutes", "11 minutes"))
		require.Equal(t, 2, s.sweep(t), "%s: it moved since it was asked for", table)
		k.admin(t, fmt.Sprintf(at, "4 minutes", "30 minutes"))
		require.Zero(t, s.sweep(t), "%s: it has just moved", table)
		k.admin(t, `UPDATE `+table+` SET phase = 'done', finished_at = now(), updated_at = now() - interval '1 hour', asked_at = NULL`)
		require.Zero(t, s.sweep(t), "%s: it has ended", table)
	}
	kinds := map[string]int{}
	for _, m := range k.messages() {
		kinds[m.Attributes["type"]]++
	}
	require.Equal(t, map[string]int{"plant.audit.continued": 5, "plant.drift.continued": 5}, kinds)
}

// TestTwoSweepsAtOnce: what one asks for the other passes over, and does not wait for.
func TestTwoSweepsAtOnce(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	s := k.serve(t, auditRun, nil)
	k.admin(t, `INSERT INTO drift_run (id, phase, updated_at) VALUES (gen_random_uuid(), 'vectors', now() - interval '1 hour')`)
	conn, err := pgx.Connect(t.Context(), k.URL)
	require.NoError(t, err)
	defer func() { _ = conn.Close(context.WithoutCancel(t.Context())) }()
	other, err := conn.Begin(t.Context())
	require.NoError(t, err)
	_, err = other.Exec(t.Context(), `SELECT FROM drift_run FOR UPDATE`)
	require.NoError(t, err)
	require.Zero(t, s.sweep(t))
	require.NoError(t, other.Rollback(t.Context()))
	require.Equal(t, 1, s.sweep(t))
}

// TestABackfillIsHeld stops one between two batches, and does not let it begin again.
func TestABackfillIsHeld(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	k.bulk(t, 300) // more than two batches
	operator, db := k.openAs(t, "plant_operator"), k.Open(t, "plant_embedder", 1)
	model, err := minilm.Open(stacktest.ModelDir(t), minilm.Options{})
	require.NoError(t, err)
	t.Cleanup(func() { _ = model.Close() })
	service, err := registry.New(registry.Config{
		DB: db, Keys: k.Secrets.Hold(keys.Pinned(k.Keys[domain.UseAmendment]), time.Now), Origin: harness.Origin, Log: slog.New(slog.DiscardHandler),
	})
	require.NoError(t, err)
	recipe := embedding.Recipes()[0]
	maker := vectors.New(service, db, embedding.NewEmbedder(model, nil, slog.New(slog.DiscardHandler)), []embedding.Recipe{recipe})
	batches := 0
	n, err := maker.Backfill(t.Context(), recipe, func(int) {
		batches++
		require.NoError(t, operator.SetHold(t.Context(), true, "Too dear."))
	})
	var held *store.HeldError
	require.ErrorAs(t, err, &held)
	require.Contains(t, err.Error(), "by the operator: Too dear.")
	require.Equal(t, 1, batches)
	require.Equal(t, n, k.count(t, "embedding"))
	again, err := maker.Backfill(t.Context(), recipe, func(int) {})
	require.ErrorAs(t, err, &held)
	require.Zero(t, again)
	require.NoError(t, operator.SetHold(t.Context(), false, "Paid for."))
	rest, err := maker.Backfill(t.Context(), recipe, func(int) {})
	require.NoError(t, err)
	require.Equal(t, 300, n+rest)
}
