package main

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"cloud.google.com/go/pubsub/v2"
	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"github.com/google/uuid"
	"github.com/sethvargo/go-envconfig"
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

type driftReport struct {
	ID       string           `json:"id"`
	Status   string           `json:"status"`
	Figures  map[string]int64 `json:"figures"`
	Findings []struct {
		EntityID     string `json:"entity_id"`
		Owner        string `json:"governance_agent_id"`
		Reason       string `json:"reason"`
		StabilityPPM *int64 `json:"stability_ppm"`
	} `json:"findings"`
}

// driftView is an entity as these tests look at it.
type driftView struct {
	view
	Alignment string                `json:"amendment_alignment"`
	Reason    string                `json:"status_reason"`
	Drift     *domain.Drift         `json:"drift_detector"`
	Embedding *domain.Embedding     `json:"embedding"`
	Certified *domain.Certification `json:"genesis_certification"`
}

// sky is a board with the drift check, as of a moment.
type sky struct {
	*board
	drift    *server
	guardian string // the platform's
}

func newSky(t *testing.T, later time.Duration) *sky {
	t.Helper()
	w := &sky{board: newBoard(t)}
	w.drift = w.serveLater(t, later)
	w.guardian = w.Token(t, w.PlatformPrincipal(t, "vision", domain.Guardian))
	return w
}

// serveLater serves the drift check with a clock of its own.
func (w *sky) serveLater(t *testing.T, later time.Duration) *server {
	t.Helper()
	cfg, err := readConfig(t.Context(), envconfig.MapLookuper(w.settings(t, driftCheck, nil)))
	require.NoError(t, err)
	d := &deps{cfg: cfg, log: slog.New(slog.DiscardHandler), now: func() time.Time { return time.Now().Add(later) }}
	t.Cleanup(func() { _ = d.close() })
	h, err := d.handler(t.Context())
	require.NoError(t, err)
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return &server{url: s.URL}
}

// run begins a run and carries it to its end, delivering its events as Pub/Sub does.
func (w *sky) run(t *testing.T, token, order string) driftReport {
	t.Helper()
	begun := w.drift.post(t, token, "/api/v1/drift/run", order)
	require.Equal(t, 202, begun.status, "%s", begun.body)
	for range 20 {
		if r := as[driftReport](t, w.drift.get(t, token, begun.header.Get("Location"))); r.Status == "finished" {
			return r
		}
		w.deliver(t, w.drift, "/events/drift", "drift.continued")
	}
	require.Fail(t, "the run does not end")
	return driftReport{}
}

func (r driftReport) of(reason string) (ids []string) {
	for _, f := range r.Findings {
		if f.Reason == reason {
			ids = append(ids, f.EntityID)
		}
	}
	return ids
}

func (w *sky) look(t *testing.T, collection, id string) driftView {
	t.Helper()
	return as[driftView](t, w.at[collection].get(t, w.token, collection+"/"+id))
}

const allOfIt = `{"scope":"all"}`

// TestDriftOfVectors: a poisoned vector is found by its meaning, made again, recorded
// and announced; one that was only scratched is made good; the others are left alone,
// and the next run finds nothing.
func TestDriftOfVectors(t *testing.T) {
	t.Parallel()
	w := newSky(t, 0)
	e := w.serve(t, embedder, nil)
	var ids []string
	for i := range 5 {
		ids = append(ids, w.create(t, skills, plain(fmt.Sprint("Welding ", i))).ID)
	}
	w.deliver(t, e, "/events/embed", ".created")
	good := w.look(t, skills, ids[0])
	require.NotNil(t, good.Embedding)
	clean := w.run(t, w.guardian, allOfIt)
	require.EqualValues(t, 5, clean.Figures[drift.FigureChecked])
	require.Empty(t, clean.Findings)

	w.tamper(t,
		`UPDATE embedding SET vector = array_fill(0.05, ARRAY[384])::vector WHERE entity_id = '`+ids[0]+`'`,
		`UPDATE embedding SET vector = (vector * array_fill(1.0001, ARRAY[384])::vector) WHERE entity_id = '`+ids[1]+`'`,
		`DELETE FROM embedding WHERE entity_id = '`+ids[2]+`'`)
	r := w.run(t, w.guardian, allOfIt)
	require.Equal(t, []string{ids[0]}, r.of(drift.ReasonVectorDrifted))
	require.Equal(t, []string{ids[1]}, r.of(drift.ReasonVectorDiffers))
	require.Equal(t, []string{ids[2]}, r.of(drift.ReasonVectorMissing))
	require.Len(t, r.Findings, 3)
	for _, f := range r.Findings {
		if f.Reason == drift.ReasonVectorDrifted {
			require.Less(t, *f.StabilityPPM, int64(850_000))
		}
	}
	now := w.look(t, skills, ids[0])
	require.Equal(t, good.Version+1, now.Version)
	require.Equal(t, "drifted", now.History[len(now.History)-1].Change)
	require.Equal(t, "system/drift-check", now.History[len(now.History)-1].Author)
	require.Less(t, *now.Drift.StabilityPPM, int64(850_000))
	require.False(t, now.Drift.RegeneratedAt.IsZero())
	require.Equal(t, embedding.EntityModelID, now.Drift.ModelID)
	require.Equal(t, "aligned", now.Alignment)
	require.Equal(t, *good.Embedding, *now.Embedding, "the same text has the same vector")
	require.Equal(t, good.Version, w.look(t, skills, ids[1]).Version, "what is as it was signed again needs no record")
	announced := 0
	for _, m := range w.messages() {
		if m.Attributes["type"] == "plant.skill.drifted" && m.Attributes["ce-subject"] == ids[0] {
			announced++
		}
	}
	require.Equal(t, 1, announced)
	require.Empty(t, w.run(t, w.guardian, allOfIt).Findings, "all of it is mended")
}

// TestDriftOfCertifications: what is over goes under review and can be certified again;
// what soon will be is named.
func TestDriftOfCertifications(t *testing.T) {
	t.Parallel()
	w := newSky(t, 20*24*time.Hour)
	expired, soon, fine := w.create(t, skills, plain("One")).ID, w.create(t, skills, plain("Two")).ID, w.create(t, skills, plain("Three")).ID
	for id, days := range map[string]int{expired: 10, soon: 40, fine: 200} {
		w.submit(t, skills, id)
		w.must(t, skills, id, fmt.Sprintf(`{"decision":"certify","expires_at":%q}`, time.Now().AddDate(0, 0, days).Format(time.RFC3339)))
	}
	r := w.run(t, w.guardian, allOfIt)
	require.Equal(t, []string{expired}, r.of(drift.ReasonEnded))
	require.Equal(t, []string{soon}, r.of(drift.ReasonEnding))
	now := w.look(t, skills, expired)
	require.Equal(t, "under_review", now.Status)
	require.Equal(t, "requires_review", now.Alignment)
	require.Contains(t, now.Reason, "ended")
	require.NotNil(t, now.Certified, "to be seen until it is replaced")
	require.Equal(t, "certified", w.look(t, skills, soon).Status)
	w.tamper(t, `UPDATE entity SET status = 'certified' WHERE id = '`+expired+`'`)
	require.Empty(t, w.run(t, w.guardian, allOfIt).of(drift.ReasonEnded), "what only the row says is the audit's")
	w.admin(t, `UPDATE entity SET status = 'under_review' WHERE id = '`+expired+`'`)
	require.Equal(t, "certified", *w.must(t, skills, expired, yes).Status)
	require.Equal(t, "aligned", w.look(t, skills, expired).Alignment)
}

// numbered wants a name that ends in a number from 1 on.
func numbered(c *domain.Constitution) {
	c.Rules = append(c.Rules, domain.Rule{
		ID: "L2-SKILL-NUMBERED", Kinds: []string{"skill"}, Text: "A skill's name ends in a number.", Remediation: "Give it one.",
		Check: &domain.Check{Field: "/name", Pattern: "[1-9]$"},
	})
}

// TestDriftOfTheConstitution: what was last amended under another constitution is
// judged again. Who passes is reaffirmed by certify, in one batch; who fails goes under
// review, and only the governor brings it back.
func TestDriftOfTheConstitution(t *testing.T) {
	t.Parallel()
	w := newSky(t, 0)
	var ids []string
	for i := range 4 {
		id := w.create(t, skills, plain(fmt.Sprint("Skill ", i))).ID
		w.submit(t, skills, id)
		w.must(t, skills, id, yes)
		ids = append(ids, id)
	}
	draft := w.create(t, skills, plain("Draft")).ID
	w.Enact(t, harness.Amended(t, numbered))
	w.deliver(t, w.serve(t, embedder, nil), "/events/embed", ".created") // records under it, and judges nothing
	r := w.run(t, w.guardian, allOfIt)
	require.ElementsMatch(t, []string{ids[0], draft}, r.of(drift.ReasonShort))
	require.EqualValues(t, 3, r.Figures[drift.FigureReaffirm])
	failed := w.look(t, skills, ids[0])
	require.Equal(t, "under_review", failed.Status)
	require.Equal(t, "drifted", failed.Alignment)
	require.Equal(t, domain.Certified, failed.Drift.PriorStatus)
	require.Equal(t, "draft", w.look(t, skills, draft).Status)
	require.Equal(t, "requires_review", w.look(t, skills, draft).Alignment)

	for range 2 { // delivered twice, it is done once
		w.deliver(t, w.certify, "/events/certify", "reaffirmation.due")
	}
	for _, id := range ids[1:] {
		now := w.look(t, skills, id)
		last := now.History[len(now.History)-1]
		require.Equal(t, "reaffirmed", last.Change)
		require.Equal(t, "certified", now.Status)
		require.Equal(t, 1, w.count(t, "amendment WHERE entity_id = $1 AND change = 'reaffirmed'", id))
	}
	require.Equal(t, 1, w.count(t, "(SELECT DISTINCT batch_id FROM amendment WHERE change = 'reaffirmed') b"), "one signature")
	require.Zero(t, w.count(t, "amendment WHERE entity_id = $1 AND change = 'reaffirmed'", ids[0]))
	again := w.run(t, w.guardian, allOfIt)
	require.Zero(t, again.Figures[drift.FigureReaffirm])
	require.Empty(t, again.of(drift.ReasonShort))

	require.Equal(t, 422, w.decide(t, w.bearer, skills, ids[0], yes).status, "it is the governor's")
}

// TestTamperingUntilTheGovernorDecides goes from a row that was changed by hand to the
// governor's decision: found by an audit, marked once however often it is said, not
// certified until it is decided.
func TestTamperingUntilTheGovernorDecides(t *testing.T) {
	t.Parallel()
	w := newSky(t, 0)
	audit := w.serve(t, auditRun, nil)
	id := w.create(t, skills, plain("Welding")).ID
	other := w.create(t, skills, plain("Other")).ID
	broken := w.create(t, skills, plain("Broken")).ID
	gone := w.create(t, skills, plain("Gone")).ID
	for _, one := range []string{id, other} {
		w.submit(t, skills, one)
		w.must(t, skills, one, yes)
	}
	w.mustChange(t, skills, http.MethodPatch, gone, "", `{"tags":["x"]}`)
	audit.sequence(t)
	w.tamper(t,
		`UPDATE entity SET name = 'Forged', name_key = 'forged', status = 'active' WHERE id = '`+id+`'`,
		`UPDATE opening SET state = replace(state, 'Does it.', 'Did it.') WHERE entity_id = '`+broken+`'`,
		`DELETE FROM opening WHERE entity_id = '`+gone+`' AND seq > 1`, `DELETE FROM amendment WHERE entity_id = '`+gone+`' AND seq > 1`,
		`UPDATE entity e SET (version, version_hash, etag_hash, updated_at) = (SELECT 1, a.hash, a.hash, a.recorded_at FROM amendment a WHERE a.entity_id = e.id) WHERE id = '`+gone+`'`,
		`ALTER TABLE amendment ENABLE TRIGGER USER`, `ALTER TABLE entity ENABLE TRIGGER USER`) // and covers the traces
	auditor := w.Token(t, w.PlatformPrincipal(t, "auditor", domain.Auditor))
	require.NotZero(t, w.audit(t, audit, auditor, allOfIt).Count)
	dead := w.deadTopic(t)
	_, err := broker().GServer.CreateSubscription(t.Context(), &pubsubpb.Subscription{
		Name: "projects/" + harness.Project + "/subscriptions/" + dead, Topic: "projects/" + harness.Project + "/topics/" + dead, AckDeadlineSeconds: 10,
	})
	require.NoError(t, err)
	w.drift = w.serve(t, driftCheck, map[string]string{"PUBSUB_DEAD_LETTER_TOPIC": dead, "PUBSUB_DEAD_LETTER_SUBSCRIPTION": dead})
	for range 2 {
		w.deliver(t, w.drift, "/events/drift", ".tampered")
	}
	require.Empty(t, w.audit(t, audit, auditor, fmt.Sprintf(`{"scope":"entity","id":%q}`, id)).Findings, "the mark is signed onto what was signed, and the row follows")
	now := w.look(t, skills, id)
	require.Equal(t, "requires_review", now.Alignment)
	require.Equal(t, "Welding", now.Name)
	require.Equal(t, "certified", now.Status)
	require.False(t, now.Drift.TamperingFoundAt.IsZero())
	require.Equal(t, 1, w.count(t, "amendment WHERE entity_id = $1 AND change = 'drifted'", id))
	require.Zero(t, w.count(t, "amendment WHERE entity_id = $1 AND change = 'drifted'", other))

	// What ends in a forgery, and what the log knows more of, is not signed onto.
	for _, one := range []string{broken, gone} {
		require.Zero(t, w.count(t, "amendment WHERE entity_id = $1 AND change = 'drifted'", one))
		reasons := ""
		for _, m := range w.messagesOf(dead) {
			if m.Attributes["ce-subject"] == one {
				reasons = m.Attributes["reason"]
			}
		}
		require.Contains(t, reasons, "nothing can be signed onto this chain")
	}
	r := w.run(t, w.guardian, allOfIt)
	require.Equal(t, []string{id}, r.of(drift.ReasonTampered))
	for range 2 { // nothing is taken away by counting
		require.EqualValues(t, len(w.messagesOf(dead)), r.Figures[drift.FigureDead])
		r = w.run(t, w.guardian, allOfIt)
	}

	refused := w.decide(t, w.bearer, skills, id, yes)
	require.Equal(t, http.StatusConflict, refused.status, "%s", refused.body)
	clear := `{"to":"certified","reason":"The row was restored from the record; the account is closed."}`
	author := w.Token(t, w.Principal(t, "acme", domain.Author, domain.Architect, domain.Guardian, domain.Genesis))
	require.Equal(t, http.StatusForbidden, w.moveAs(t, author, id, clear).status)
	governor := w.Token(t, w.PlatformPrincipal(t, "governor", domain.Governor))
	require.Equal(t, http.StatusUnprocessableEntity, w.moveAs(t, governor, id, `{"to":"certified"}`).status, "without a reason")
	require.Equal(t, http.StatusOK, w.moveAs(t, governor, id, clear).status)
	now = w.look(t, skills, id)
	require.Equal(t, "aligned", now.Alignment)
	require.Nil(t, now.Drift)
	require.Equal(t, http.StatusConflict, w.moveAs(t, w.token, id, clear).status, "there is nothing to decide")
	w.deliver(t, w.drift, "/events/drift", ".tampered")
	require.Equal(t, "aligned", w.look(t, skills, id).Alignment, "an old event marks nothing anew")
	w.must(t, skills, id, yes)
}

func (w *sky) moveAs(t *testing.T, token, id, body string) answer {
	t.Helper()
	return w.at[skills].do(t, call{method: "POST", path: skills + "/" + id + "/transitions", token: token, body: body, header: map[string]string{
		"If-Match": w.etag(t, skills, id), "Idempotency-Key": uuid.NewString(),
	}})
}

// TestDriftOfWorkflows: an agent whose step was lost is given its hint again; what
// nobody decides is named.
func TestDriftOfWorkflows(t *testing.T) {
	t.Parallel()
	w := newSky(t, 100*time.Hour)
	g := w.ground(t, "Yard")
	for _, one := range [][2]string{{industries, g.industry}, {skills, g.skill}, {jobRoles, g.role}} {
		w.submit(t, one[0], one[1])
		w.must(t, one[0], one[1], yes)
	}
	waits := w.create(t, skills, plain("Waiting")).ID
	w.submit(t, skills, waits)
	before := w.hints(g.agent)
	r := w.run(t, w.guardian, allOfIt)
	require.Equal(t, []string{g.agent}, r.of(drift.ReasonStalled))
	require.Equal(t, []string{waits}, r.of(drift.ReasonUndecided))
	require.Equal(t, before+1, w.hints(g.agent))
	w.deliver(t, w.at[agents], "/events/manufacture", "agent.assigned")
	require.Equal(t, "under_review", w.look(t, agents, g.agent).Status)
	w.admin(t, `INSERT INTO outbox (id, type, subject, governance_agent_id, data, created_at) VALUES ($1, 'plant.skill.created', $1, 'acme', '{}', now() - interval '1 hour')`, uuid.NewString())
	require.NotZero(t, w.run(t, w.guardian, allOfIt).Figures[drift.FigureUnsent])
}

func (w *sky) hints(id string) (n int) {
	for _, m := range w.messages() {
		if m.Attributes["type"] == "plant.agent.assigned" && m.Attributes["ce-subject"] == id {
			n++
		}
	}
	return n
}

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
	w.tamper(t, `UPDATE embedding SET vector = array_fill(0.05, ARRAY[384])::vector`)
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
	require.EqualValues(t, n, run.Figures[drift.ReasonVectorDrifted])
	require.Equal(t, n, w.count(t, "drift_finding WHERE run_id = $1", run.ID))
	require.Equal(t, n, w.count(t, "amendment WHERE change = 'drifted'"))
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
