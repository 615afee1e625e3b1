package main

import (
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/sethvargo/go-envconfig"
	"github.com/stretchr/testify/require"

	"github.com/dlai-sd/plant/shared/domain"
	"github.com/dlai-sd/plant/shared/drift"
	"github.com/dlai-sd/plant/shared/embedding"
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
		Detail       string `json:"detail"`
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

// TestDriftOfVectors: a vector that was signed and does not stand for its text is found
// by its meaning, made again, recorded and announced; one that is lost is made again;
// the others are left alone, and the next run finds nothing.
func TestDriftOfVectors(t *testing.T) {
	t.Parallel()
	w := newSky(t, 0)
	e := w.serve(t, embedder, nil)
	var ids []string
	for i := range 4 {
		ids = append(ids, w.create(t, skills, plain(fmt.Sprint("Welding ", i))).ID)
	}
	w.deliver(t, e, "/events/embed", ".created")
	good := w.look(t, skills, ids[0])
	require.NotNil(t, good.Embedding)
	clean := w.run(t, w.guardian, allOfIt)
	require.EqualValues(t, 4, clean.Figures[drift.FigureChecked])
	require.Empty(t, clean.Findings)

	w.signs(t, embedding.EntityModelID, ids[0])
	signed := w.look(t, skills, ids[0])
	w.tamper(t, `DELETE FROM embedding WHERE entity_id = '`+ids[1]+`'`)
	r := w.run(t, w.guardian, allOfIt)
	require.Equal(t, []string{ids[0]}, r.of(drift.ReasonVectorDrifted))
	require.Equal(t, []string{ids[1]}, r.of(drift.ReasonVectorMissing))
	require.Len(t, r.Findings, 2)
	for _, f := range r.Findings {
		if f.Reason == drift.ReasonVectorDrifted {
			require.Less(t, *f.StabilityPPM, int64(850_000))
		}
	}
	now := w.look(t, skills, ids[0])
	require.Equal(t, signed.Version+1, now.Version)
	require.Equal(t, "drifted", now.History[len(now.History)-1].Change)
	require.Equal(t, "system/drift-check", now.History[len(now.History)-1].Author)
	require.Less(t, *now.Drift.StabilityPPM, int64(850_000))
	require.False(t, now.Drift.RegeneratedAt.IsZero())
	require.Equal(t, embedding.EntityModelID, now.Drift.ModelID)
	require.Equal(t, "aligned", now.Alignment)
	require.Equal(t, *good.Embedding, *now.Embedding, "the same text has the same vector")
	announced := 0
	for _, m := range w.messages() {
		if m.Attributes["type"] == "plant.skill.drifted" && m.Attributes["ce-subject"] == ids[0] {
			announced++
		}
	}
	require.Equal(t, 1, announced)
	for _, id := range ids {
		require.Zero(t, w.alarms(id), "nobody touched what was signed")
	}
	require.Empty(t, w.run(t, w.guardian, allOfIt).Findings, "all of it is mended")
}

// TestAReplacedVectorIsTampering, whatever it is like and whoever sees it first: a drift
// check that comes before any audit says what was signed and what it found, announces
// it, and then makes the vector again. The mark stays until the governor decides.
func TestAReplacedVectorIsTampering(t *testing.T) {
	t.Parallel()
	w := newSky(t, 0)
	audits := w.serve(t, auditRun, nil)
	e := w.serve(t, embedder, nil)
	replaced, scratched := w.create(t, skills, plain("Welding")).ID, w.create(t, skills, plain("Riveting")).ID
	other := w.create(t, skills, `{"name":"Baking","description":"Bread that people come back for.","category":"domain_expertise"}`).ID
	w.deliver(t, e, "/events/embed", ".created")
	for _, id := range []string{replaced, scratched} {
		w.submit(t, skills, id)
		w.must(t, skills, id, yes)
	}
	signed := w.look(t, skills, replaced).Embedding
	w.tamper(t,
		`UPDATE embedding SET (vector, vector_sha256) = (SELECT o.vector, o.vector_sha256 FROM embedding o WHERE o.entity_id = '`+other+`') WHERE entity_id = '`+replaced+`'`,
		`UPDATE embedding SET vector = (vector * array_fill(1.0001, ARRAY[384])::vector) WHERE entity_id = '`+scratched+`'`)
	auditor := w.Token(t, w.Principal(t, "acme", domain.Auditor))
	tampering := func(id string) tamperingView {
		return as[tamperingView](t, audits.get(t, auditor, "/api/v1/audit/tampering/"+id))
	}
	require.True(t, tampering(replaced).Tampered)

	r := w.run(t, w.guardian, allOfIt)
	require.ElementsMatch(t, []string{replaced, scratched}, r.of(drift.ReasonVectorDiffers))
	require.Empty(t, r.of(drift.ReasonVectorDrifted), "it did not move by itself")
	require.Len(t, r.Findings, 2)
	for _, f := range r.Findings {
		if f.EntityID == replaced {
			require.Less(t, *f.StabilityPPM, int64(850_000))
			require.Contains(t, f.Detail, signed.VectorSHA256, "what was signed")
			require.Contains(t, f.Detail, w.look(t, skills, other).Embedding.VectorSHA256, "what was there")
		}
	}
	for _, id := range []string{replaced, scratched} {
		require.False(t, tampering(id).Tampered, "it was made again")
		require.Equal(t, 1, w.alarms(id))
	}
	require.Zero(t, w.alarms(other))
	w.deliver(t, w.drift, "/events/drift", ".tampered")
	for _, id := range []string{replaced, scratched} {
		now := w.look(t, skills, id)
		require.Equal(t, "requires_review", now.Alignment)
		require.Equal(t, "certified", now.Status)
		require.False(t, now.Drift.TamperingFoundAt.IsZero())
	}
	require.Equal(t, *signed, *w.look(t, skills, replaced).Embedding)
	architect := w.Token(t, w.Principal(t, "acme", domain.Author, domain.Architect))
	for _, move := range [][2]string{
		{`{"to":"active"}`, domain.TamperedReason}, {`{"to":"deprecated","reason":"Old."}`, domain.TamperedReason + "\nOld."},
	} {
		require.Equal(t, http.StatusOK, w.moveAs(t, architect, scratched, move[0]).status)
		require.Equal(t, move[1], w.look(t, skills, scratched).Reason, "until the governor decides")
		require.False(t, w.look(t, skills, scratched).TamperProof)
	}
	governor := w.Token(t, w.PlatformPrincipal(t, "governor", domain.Governor))
	require.Equal(t, http.StatusOK, w.moveAs(t, governor, scratched, `{"to":"deprecated","reason":"Restored."}`).status)
	require.Equal(t, "Restored.", w.look(t, skills, scratched).Reason)
	require.True(t, w.look(t, skills, scratched).TamperProof)
	require.Empty(t, w.run(t, w.guardian, allOfIt).of(drift.ReasonVectorDiffers), "it is said once")
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
