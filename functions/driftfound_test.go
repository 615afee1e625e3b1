package main

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/dlai-sd/plant/shared/domain"
	"github.com/dlai-sd/plant/shared/drift"
	"github.com/dlai-sd/plant/shared/embedding"
	"github.com/dlai-sd/plant/shared/keys"
	"github.com/dlai-sd/plant/shared/registry"
	"github.com/dlai-sd/plant/shared/store"
	"github.com/dlai-sd/plant/shared/testkit/harness"
)

// TestVectorsThatAreNotAsSigned: of what is kept with a vector everything is compared;
// what stands for another text, or was made by a model that nobody has here, is not.
func TestVectorsThatAreNotAsSigned(t *testing.T) {
	t.Parallel()
	w := newSky(t, 0)
	e := w.serve(t, embedder, nil)
	made := map[string]string{}
	for _, name := range []string{"text", "hash", "model", "other"} {
		made[name] = w.create(t, skills, plain("Welding "+name)).ID
	}
	w.deliver(t, e, "/events/embed", ".created")
	made["strange"] = w.create(t, skills, plain("Strange")).ID
	made["elsewhere"] = w.create(t, skills, plain("Elsewhere")).ID
	w.signs(t, "nobody-has-it", made["strange"])
	w.signs(t, embedding.EntityModelID, made["elsewhere"], made["other"])
	w.tamper(t,
		`UPDATE embedding SET text_sha256 = sha256('x') WHERE entity_id = '`+made["text"]+`'`,
		`UPDATE embedding SET vector_sha256 = sha256('x') WHERE entity_id = '`+made["hash"]+`'`,
		`UPDATE embedding SET model_id = 'another' WHERE entity_id = '`+made["model"]+`'`,
		`UPDATE entity SET embedding = jsonb_set(embedding, '{model_id}', '"another"') WHERE id = '`+made["model"]+`'`,
		`DELETE FROM embedding WHERE entity_id = '`+made["other"]+`'`)
	r := w.run(t, w.guardian, allOfIt)
	require.ElementsMatch(t, []string{made["text"], made["hash"]}, r.of(drift.ReasonVectorDiffers))
	for _, name := range []string{"text", "hash"} {
		require.Equal(t, 1, w.alarms(made[name]), "near or not, somebody changed it")
	}
	require.ElementsMatch(t, []string{made["model"], made["other"]}, r.of(drift.ReasonVectorMissing))
	require.Len(t, r.Findings, 4, "nothing is known of a vector for another text, and of another model's")
	require.EqualValues(t, 5, r.Figures[drift.FigureChecked], "all but the strange")

	// What was signed of another vector than the one that is made is signed anew with it.
	w.admin(t, `UPDATE entity SET embedding = jsonb_set(embedding, '{model_id}', '"`+embedding.EntityModelID+`"') WHERE id = '`+made["model"]+`'`)
	require.Empty(t, w.run(t, w.guardian, allOfIt).Findings)
}

// signs gives skills another vector of a model than is made here, as embed does.
func (w *sky) signs(t *testing.T, model string, ids ...string) {
	t.Helper()
	db := w.Open(t, "plant_embedder", 1)
	service, err := registry.New(registry.Config{
		DB: db, Keys: w.Secrets.Hold(keys.Pinned(w.Keys[domain.UseAmendment]), time.Now), Origin: harness.Origin, Log: slog.New(slog.DiscardHandler),
	})
	require.NoError(t, err)
	values := make([]float32, 384)
	values[0] = 1
	var meanings []registry.Meaning
	for _, id := range ids {
		now, err := service.Newest(t.Context(), registry.System("embed"), "", domain.ID(id))
		require.NoError(t, err)
		var text [sha256.Size]byte
		if named := now.Entity.Governed.Embedding; named != nil {
			_, err = hex.Decode(text[:], []byte(named.TextSHA256))
			require.NoError(t, err)
		}
		meanings = append(meanings, registry.Meaning{Entity: now.Entity, Vectors: []store.Vector{{
			EntityID: domain.ID(id), Kind: domain.KindSkill, ModelID: model, Text: "x", TextSHA256: text, Values: values,
			VectorSHA256: embedding.VectorHash(values),
		}}})
	}
	require.NoError(t, service.Embed(t.Context(), registry.Request{Who: registry.System("embed")}, meanings, nil))
}

// TestTheUnsoundAreNotJudged: what is not as it was signed is named and left alone,
// and so is what is archived.
func TestTheUnsoundAreNotJudged(t *testing.T) {
	t.Parallel()
	w := newSky(t, 0)
	state, row := w.create(t, skills, plain("State odd")).ID, w.create(t, skills, plain("Row 1")).ID
	gone, odd := w.create(t, skills, plain("Gone 1")).ID, w.create(t, skills, plain("Odd")).ID
	w.mustChange(t, skills, http.MethodPost, gone, "/transitions", `{"to":"archived","reason":"Over."}`)
	w.tamper(t, `UPDATE opening SET state = replace(state, 'Does', 'Did') WHERE entity_id = '`+state+`'`,
		`UPDATE entity SET version_hash = sha256('x') WHERE id = '`+row+`'`)
	law := harness.Amended(t, numbered)
	found, all := w.replay(t, w.guardian, fmt.Sprintf(`{"document":%s}`, law.Document()))
	require.Equal(t, []string{odd}, found)
	require.EqualValues(t, 1, all.Judged, "neither what is archived nor what is unsound")
	w.Enact(t, law)
	r := w.run(t, w.guardian, allOfIt)
	require.ElementsMatch(t, []string{state, row}, r.of(drift.ReasonUnsound))
	require.Equal(t, []string{odd}, r.of(drift.ReasonShort))
	require.Zero(t, r.Figures[drift.FigureReaffirm])
	w.create(t, skills, plain("Fine 1"))
	w.Enact(t, harness.Amended(t, func(c *domain.Constitution) { numbered(c); c.Version++ }))
	require.EqualValues(t, 1, w.run(t, w.guardian, allOfIt).Figures[drift.FigureReaffirm])
	w.deliver(t, w.certify, "/events/certify", "reaffirmation.due")
	require.Equal(t, 1, w.count(t, "amendment WHERE change = 'reaffirmed'"))
}

// TestWhoseNextStepIsLost: an agent in draft whose ground is certified and who is in a
// team by the author's last word, and one that was certified; nobody else. What is
// young has not stalled.
func TestWhoseNextStepIsLost(t *testing.T) {
	t.Parallel()
	w := newSky(t, 100*time.Hour)
	certify := func(list ...[2]string) {
		for _, one := range list {
			w.submit(t, one[0], one[1])
			w.must(t, one[0], one[1], yes)
		}
	}
	agent := func(name, skill, role, industry string) string {
		return w.create(t, agents, fmt.Sprintf(`{"name":%q,"skill_id":%q,"job_role_id":%q,"industry_id":%q}`, name, skill, role, industry)).ID
	}
	joins := func(id, team string) {
		w.mustChange(t, agents, http.MethodPost, id, "/assign-team", fmt.Sprintf(`{"team_id":%q}`, team))
	}
	lost, pier, dock := w.ground(t, "Yard"), w.ground(t, "Pier"), w.ground(t, "Dock")
	certify([2]string{skills, lost.skill}, [2]string{jobRoles, lost.role}, [2]string{skills, dock.skill})
	w.certifyAll(t, pier)
	agent("Alone", lost.skill, lost.role, lost.industry)
	green := w.create(t, skills, plain("Green")).ID
	joins(agent("Unskilled", green, lost.role, lost.industry), lost.team)
	back := agent("Taken back", dock.skill, lost.role, lost.industry)
	joins(back, lost.team)
	w.submit(t, agents, back)
	w.mustChange(t, agents, http.MethodPost, back, "/transitions", `{"to":"draft"}`)

	r := w.run(t, w.guardian, allOfIt)
	require.ElementsMatch(t, []string{lost.agent, pier.agent}, r.of(drift.ReasonStalled))
	asked := func(id string) (kinds []string) {
		for _, m := range slices.Backward(w.messages()) {
			if m.Attributes["ce-subject"] == id {
				return []string{m.Attributes["type"]}
			}
		}
		return nil
	}
	require.Equal(t, []string{"plant.agent.assigned"}, asked(lost.agent))
	require.Equal(t, []string{"plant.agent.certified"}, asked(pier.agent))
	w.submit(t, skills, green)
	w.drift = w.serveLater(t, 0)
	r = w.run(t, w.guardian, allOfIt)
	require.Empty(t, r.of(drift.ReasonStalled), "it was asked for a moment ago")
	require.Empty(t, r.of(drift.ReasonUndecided))
}

// hears delivers that another constitution came into force, as Pub/Sub does.
func (w *sky) hears(t *testing.T) {
	t.Helper()
	attributes := maps.Clone(w.messages()[0].Attributes)
	attributes["type"], attributes["ce-type"], attributes["ce-id"] = drift.EventEnacted, drift.EventEnacted, uuid.Must(uuid.NewV7()).String()
	a := w.drift.push(t, "/events/drift", w.messages()[0].Data, attributes)
	require.Equal(t, http.StatusNoContent, a.status, "%s", a.body)
}

// TestWhichRunGoesOn: what a deployment is founded on begins no run; an enactment's goes
// on when it is said again, and the clock's call takes up the run of its own day.
func TestWhichRunGoesOn(t *testing.T) {
	t.Parallel()
	w := newSky(t, 0)
	w.create(t, skills, plain("Odd"))
	w.hears(t)
	require.Zero(t, w.count(t, "drift_run"))

	w.Enact(t, harness.Amended(t, numbered))
	w.hears(t)
	w.admin(t, `INSERT INTO drift_run (id, phase, started_at, updated_at) VALUES (gen_random_uuid(), 'vectors', now() - interval '1 day', now())`)
	for range 2 {
		require.Equal(t, http.StatusNoContent, w.drift.do(t, call{method: "POST", path: "/events/drift", token: serviceToken(t)}).status)
	}
	require.Equal(t, 1, w.count(t, "drift_run WHERE finished_at IS NOT NULL"))
	require.Equal(t, 1, w.count(t, "drift_run WHERE finished_at IS NOT NULL AND enactment IS NULL AND started_at > now() - interval '1 hour'"))
	for range 2 {
		w.hears(t)
	}
	require.Equal(t, 1, w.count(t, "drift_run WHERE finished_at IS NOT NULL AND enactment IS NOT NULL"))
	require.Equal(t, 3, w.count(t, "drift_run"))
}

// TestATenantsRunIsOfItsOwn: it looks at what the tenant owns, and counts nothing of the
// platform's.
func TestATenantsRunIsOfItsOwn(t *testing.T) {
	t.Parallel()
	w := newSky(t, 100*time.Hour)
	mine := w.create(t, skills, plain("Mine")).ID
	w.submit(t, skills, mine)
	w.author(t, "globex")
	w.admin(t, `INSERT INTO outbox (id, type, subject, governance_agent_id, data, created_at) VALUES ($1, 'plant.skill.created', $1, 'acme', '{}', now() - interval '1 hour')`, uuid.NewString())
	w.deliver(t, w.drift, "/events/drift", ".created", ".moved")
	require.Zero(t, w.count(t, "amendment WHERE change = 'drifted'"), "only an audit says what was tampered with")
	theirs := w.run(t, w.guardian, `{"scope":"governance_agent","id":"globex"}`)
	require.Empty(t, theirs.Findings)
	require.Zero(t, theirs.Figures[drift.FigureUnsent])
	own := w.run(t, w.guardian, `{"scope":"governance_agent","id":"acme"}`)
	require.Equal(t, []string{mine}, own.of(drift.ReasonUndecided))
	require.Zero(t, own.Figures[drift.FigureUnsent])
	auditor := w.Token(t, w.PlatformPrincipal(t, "board", domain.Auditor))
	require.Equal(t, []string{mine}, as[driftReport](t, w.drift.get(t, auditor, "/api/v1/drift/reports/"+own.ID)).of(drift.ReasonUndecided))
}
