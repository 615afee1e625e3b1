package main

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"cloud.google.com/go/pubsub/v2"
	"github.com/stretchr/testify/require"

	"github.com/dlai-sd/plant/scripts/localstack/stacktest"
	"github.com/dlai-sd/plant/shared/domain"
	"github.com/dlai-sd/plant/shared/drift"
	"github.com/dlai-sd/plant/shared/embedding"
	"github.com/dlai-sd/plant/shared/embedding/minilm"
	"github.com/dlai-sd/plant/shared/event"
	"github.com/dlai-sd/plant/shared/job"
	"github.com/dlai-sd/plant/shared/keys"
	"github.com/dlai-sd/plant/shared/registry"
	"github.com/dlai-sd/plant/shared/store"
	"github.com/dlai-sd/plant/shared/testkit/harness"
)

// TestDriftReportsAreTheirOwners: a tenant sees what was counted and found of its own,
// and nobody else's runs.
func TestDriftReportsAreTheirOwners(t *testing.T) {
	t.Parallel()
	w := newSky(t, 100*time.Hour)
	mine := w.create(t, skills, plain("Mine")).ID
	w.submit(t, skills, mine)
	_, theirs := w.author(t, "globex")
	made := w.at[skills].create(t, theirs, plain("Theirs"))
	a := w.at[skills].do(t, call{method: "POST", path: skills + "/" + string(made.ID) + "/transitions", token: theirs, body: `{"to":"under_review"}`, header: map[string]string{"If-Match": `"` + made.VersionHash + `"`}})
	require.Equal(t, 200, a.status, "%s", a.body)
	all := w.run(t, w.guardian, allOfIt)
	require.ElementsMatch(t, []string{mine, string(made.ID)}, all.of(drift.ReasonUndecided))
	require.Equal(t, http.StatusNoContent, w.drift.do(t, call{method: "POST", path: "/events/drift", token: serviceToken(t)}).status)
	require.Equal(t, http.StatusNoContent, w.drift.do(t, call{method: "POST", path: "/events/drift", token: serviceToken(t)}).status)
	require.Equal(t, 1, w.count(t, "drift_run WHERE principal_id IS NULL"), "one a day")

	for token, id := range map[string]string{w.token: mine, theirs: string(made.ID)} {
		own := as[driftReport](t, w.drift.get(t, token, "/api/v1/drift/reports/"+all.ID))
		require.Equal(t, []string{id}, own.of(drift.ReasonUndecided))
		require.EqualValues(t, 1, own.Figures[drift.ReasonUndecided])
		require.NotEmpty(t, as[page[driftReport]](t, w.drift.get(t, token, "/api/v1/drift/reports?limit=1")).Items)
	}
	guardian := w.Token(t, w.Principal(t, "globex", domain.Guardian))
	own := w.run(t, guardian, `{"scope":"governance_agent","id":"globex"}`)
	require.Equal(t, []string{string(made.ID)}, own.of(drift.ReasonUndecided))
	require.Equal(t, 404, w.drift.do(t, call{method: "GET", path: "/api/v1/drift/reports/" + own.ID, token: w.token}).status)
	for _, r := range as[page[driftReport]](t, w.drift.get(t, w.token, "/api/v1/drift/reports")).Items {
		require.NotEqual(t, own.ID, r.ID)
	}
	require.Equal(t, 403, w.drift.post(t, guardian, "/api/v1/drift/run", allOfIt).status)
	require.Equal(t, 404, w.drift.post(t, guardian, "/api/v1/drift/run", `{"scope":"governance_agent","id":"acme"}`).status)
	require.Equal(t, 403, w.drift.post(t, theirs, "/api/v1/drift/run", `{"scope":"governance_agent","id":"globex"}`).status)
	require.Equal(t, 400, w.drift.post(t, guardian, "/api/v1/drift/run", `{"scope":"moon"}`).status)
}

func (w *sky) driftService(t *testing.T) (*registry.Service, *store.DB) {
	t.Helper()
	db := w.Open(t, "plant_drift", 4)
	service, err := registry.New(registry.Config{
		DB: db, Keys: w.Secrets.Hold(keys.Pinned(w.Keys[domain.UseAmendment]), time.Now), Origin: harness.Origin, Log: slog.New(slog.DiscardHandler),
	})
	require.NoError(t, err)
	return service, db
}

// TestDriftOnce: a run whose workers die at every chunk, and that many carry on at once,
// finds each thing once and ends.
func TestDriftOnce(t *testing.T) {
	t.Parallel()
	w := newSky(t, 0)
	service, db := w.driftService(t)
	const n = 200 // more than a chunk
	var items []string
	for i := range n {
		items = append(items, fmt.Sprintf(`{"name":"S %d","description":"Does it.","category":"technical"}`, i))
	}
	a := w.at[skills].post(t, w.token, skills+"/batch", `{"items":[`+strings.Join(items, ",")+`]}`)
	require.Less(t, a.status, 300, "%s", a.body)
	w.deliver(t, w.serve(t, embedder, nil), "/events/embed", ".created")
	ids := idsOf(t, a)
	w.signs(t, embedding.EntityModelID, ids[:n/2]...)
	w.tamper(t, `UPDATE embedding SET vector = array_fill(0.05, ARRAY[384])::vector WHERE entity_id IN ('`+strings.Join(ids[n/2:], `','`)+`')`)
	model, err := minilm.Open(stacktest.ModelDir(t), minilm.Options{})
	require.NoError(t, err)
	t.Cleanup(func() { _ = model.Close() })
	c := &drift.Checker{
		Desk: job.Desk{Outbox: w.outbox(t, db), Logger: slog.New(slog.DiscardHandler), Now: time.Now, Held: db.Held}, DB: db, Registry: service,
		Embedder: embedding.NewEmbedder(model, nil, slog.New(slog.DiscardHandler)),
	}
	run, err := c.Start(t.Context(), store.DriftRun{}, "")
	require.NoError(t, err)
	for i := range 50 {
		ctx, cancel := context.WithTimeout(t.Context(), time.Duration(i)*20*time.Millisecond)
		_ = c.Continue(ctx, run.ID) // dies somewhere
		cancel()
		var both sync.WaitGroup
		for range 2 {
			both.Go(func() { require.NoError(t, c.Continue(t.Context(), run.ID)) })
		}
		both.Wait()
		if run, err = db.DriftRun(t.Context(), "", run.ID); err == nil && run.Phase == store.PhaseDone {
			break
		}
	}
	require.Equal(t, store.PhaseDone, run.Phase)
	require.EqualValues(t, n, run.Figures[drift.FigureChecked])
	require.EqualValues(t, n/2, run.Figures[drift.ReasonVectorDrifted])
	require.EqualValues(t, n/2, run.Figures[drift.ReasonVectorDiffers])
	require.Equal(t, n, w.count(t, "drift_finding WHERE run_id = $1", run.ID))
	require.Equal(t, n/2, w.count(t, "amendment WHERE change = 'drifted'"))
	alarms := map[string]bool{} // an event that is sent twice is one
	for _, m := range w.messages() {
		if m.Attributes["type"] == "plant.skill.tampered" {
			alarms[m.Attributes["ce-id"]] = true
		}
	}
	require.LessOrEqual(t, len(alarms), n/2)
	require.GreaterOrEqual(t, len(alarms)+w.count(t, "outbox WHERE type = 'plant.skill.tampered'"), n/2)
}

func (k *kit) outbox(t *testing.T, db *store.DB) *event.Outbox {
	t.Helper()
	client, err := pubsub.NewClient(t.Context(), harness.Project)
	require.NoError(t, err)
	topic := event.NewPublisher(client, k.topic)
	t.Cleanup(func() { topic.Stop(); _ = client.Close() })
	return event.NewOutbox(db, topic, "//"+harness.Origin)
}

// TestDriftThroughput compares a run over embedded entities with the embedder alone on
// the same texts. PLANT_DRIFT_COUNT says how many; without it a few.
func TestDriftThroughput(t *testing.T) {
	w := newSky(t, 0)
	service, db := w.driftService(t)
	n := 64
	if text := os.Getenv("PLANT_DRIFT_COUNT"); text != "" {
		var err error
		n, err = strconv.Atoi(text)
		require.NoError(t, err)
	}
	for begin := 0; begin < n; begin += 500 {
		var items []string
		for i := begin; i < min(n, begin+500); i++ {
			items = append(items, fmt.Sprintf(`{"name":"Skill %d","description":"Joins part %d to part %d and checks the seam by eye.","category":"technical"}`, i, i, i+1))
		}
		a := w.at[skills].post(t, w.token, skills+"/batch", `{"items":[`+strings.Join(items, ",")+`]}`)
		require.Less(t, a.status, 300, "%s", a.body)
	}
	w.deliver(t, w.serve(t, embedder, nil), "/events/embed", ".created")
	model, err := minilm.Open(stacktest.ModelDir(t), minilm.Options{})
	require.NoError(t, err)
	t.Cleanup(func() { _ = model.Close() })
	maker := embedding.NewEmbedder(model, nil, slog.New(slog.DiscardHandler))
	c := &drift.Checker{
		Desk: job.Desk{Outbox: w.outbox(t, db), Logger: slog.New(slog.DiscardHandler), Now: time.Now, Budget: time.Hour, Held: db.Held}, DB: db, Registry: service,
		Embedder: maker,
	}
	texts := make([]embedding.Entity, n)
	for i := range texts {
		texts[i] = embedding.Entity{Name: fmt.Sprintf("Skill %d", i), Description: fmt.Sprintf("Joins part %d to part %d and checks the seam by eye.", i, i+1)}
	}
	begun := time.Now()
	for some := range slices.Chunk(texts, 128) {
		_, err := maker.Entities(t.Context(), embedding.Recipes()[0], some)
		require.NoError(t, err)
	}
	alone := time.Since(begun)
	begun = time.Now()
	run, err := c.Start(t.Context(), store.DriftRun{}, "")
	require.NoError(t, err)
	require.NoError(t, c.Continue(t.Context(), run.ID))
	whole := time.Since(begun)
	run, err = db.DriftRun(t.Context(), "", run.ID)
	require.NoError(t, err)
	require.Equal(t, store.PhaseDone, run.Phase)
	require.EqualValues(t, n, run.Figures[drift.FigureChecked])
	t.Logf("%d embedded entities: %.0f a second, %.2f of the embedder's own %.0f", n, float64(n)/whole.Seconds(), alone.Seconds()/whole.Seconds(), float64(n)/alone.Seconds())
}
