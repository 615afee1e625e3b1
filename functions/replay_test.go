package main

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"cloud.google.com/go/pubsub/v2/pstest"
	"github.com/go-json-experiment/json"
	"github.com/stretchr/testify/require"

	"github.com/dlai-sd/plant/shared/domain"
	"github.com/dlai-sd/plant/shared/drift"
	"github.com/dlai-sd/plant/shared/testkit/harness"
)

// breakingAll is a constitution that nothing passes.
func breakingAll() string {
	c := domain.Founding()
	c.Version++
	c.Rules = append(slices.Clone(c.Rules), domain.Rule{
		ID: "L2-NOTHING", Kinds: []string{"*"}, Text: "Nothing passes.", Remediation: "None.", Check: &domain.Check{Field: "/name", OneOf: []string{"a name that nothing has"}},
	})
	document, err := json.Marshal(c)
	if err != nil {
		panic(err) // the founding one, with a rule more
	}
	return string(document)
}

type replayPart struct {
	Items []struct {
		ID         string             `json:"id"`
		Owner      string             `json:"governance_agent_id"`
		Violations []domain.Violation `json:"violations"`
	} `json:"items"`
	Next   *string          `json:"next_cursor"`
	Judged int64            `json:"judged"`
	Broken int64            `json:"broken"`
	Scope  string           `json:"scope"`
	ByRule map[string]int64 `json:"by_rule"`
}

const replayRoute = "/api/v1/constitution/replay"

// replay goes through all parts of a replay.
func (w *sky) replay(t *testing.T, token, body string) (ids []string, all replayPart) {
	t.Helper()
	all.ByRule = map[string]int64{}
	path := replayRoute + "?limit=2"
	for range 300 {
		a := w.certify.do(t, call{method: "POST", path: path, token: token, body: body})
		require.Equal(t, http.StatusOK, a.status, "%s", a.body)
		part := as[replayPart](t, a)
		all.Scope = part.Scope
		for _, one := range part.Items {
			ids = append(ids, one.ID)
		}
		all.Judged, all.Broken = all.Judged+part.Judged, all.Broken+part.Broken
		for rule, n := range part.ByRule {
			all.ByRule[rule] += n
		}
		if part.Next == nil {
			return ids, all
		}
		path = replayRoute + "?limit=2&cursor=" + *part.Next
	}
	require.Fail(t, "the replay does not end")
	return nil, all
}

// standings are the status and alignment of all skills by their ids.
func (w *sky) standings(t *testing.T) map[string]string {
	t.Helper()
	all := map[string]string{}
	path := skills + "?limit=100"
	for {
		a := as[page[driftView]](t, w.at[skills].get(t, w.token, path))
		for _, one := range a.Items {
			all[string(one.ID)] = string(one.Status) + " " + one.Alignment
		}
		if a.Next == nil {
			return all
		}
		path = skills + "?limit=100&cursor=" + *a.Next
	}
}

// enacted brings the newest enactment's event to the drift check, twice as Pub/Sub may, and
// carries everything that follows to its end.
func (w *sky) enacted(t *testing.T) driftReport {
	t.Helper()
	said := slices.DeleteFunc(w.messages(), func(m *pstest.Message) bool { return m.Attributes["type"] != drift.EventEnacted })
	require.NotEmpty(t, said)
	newest := said[len(said)-1]
	before := len(as[page[driftReport]](t, w.drift.get(t, w.guardian, "/api/v1/drift/reports")).Items)
	for range 2 {
		a := w.drift.push(t, "/events/drift", newest.Data, newest.Attributes)
		require.Equal(t, http.StatusNoContent, a.status, "%s", a.body)
	}
	runs := as[page[driftReport]](t, w.drift.get(t, w.guardian, "/api/v1/drift/reports")).Items
	require.Len(t, runs, before+1, "one run of an enactment")
	for range 20 {
		r := as[driftReport](t, w.drift.get(t, w.guardian, "/api/v1/drift/reports/"+runs[0].ID))
		if r.Status == "finished" {
			w.deliver(t, w.certify, "/events/certify", "reaffirmation.due")
			return r
		}
		w.deliver(t, w.drift, "/events/drift", "drift.continued")
	}
	require.Fail(t, "the run does not end")
	return driftReport{}
}

// certifyMany certifies skills fifty at a time.
func (w *sky) certifyMany(t *testing.T, ids []string) {
	t.Helper()
	for some := range slices.Chunk(ids, 50) {
		var items []string
		for _, id := range some {
			w.submit(t, skills, id)
			items = append(items, fmt.Sprintf(`{"id":%q,"decision":"certify"}`, id))
		}
		a := w.certify.post(t, w.bearer, "/api/v1/certify/batch", `{"items":[`+strings.Join(items, ",")+`]}`)
		require.Equal(t, http.StatusOK, a.status, "%s", a.body)
	}
}

// TestAConstitutionThatBreaksThreeOfFiveHundred: a replay finds exactly those, enacting it
// marks exactly those and reaffirms the others, putting the one before in force again
// restores exactly those.
func TestAConstitutionThatBreaksThreeOfFiveHundred(t *testing.T) {
	t.Parallel()
	w := newSky(t, 0)
	const n, certified, active = 500, 60, 10
	var items []string
	for i := range n {
		name := fmt.Sprintf("Skill %d-1", i)
		if i == 0 || i == active || i == n-1 { // one of each: active, certified, a draft
			name = fmt.Sprintf("Skill %d odd", i)
		}
		items = append(items, plain(name))
	}
	a := w.at[skills].post(t, w.token, skills+"/batch", `{"items":[`+strings.Join(items, ",")+`]}`)
	require.Less(t, a.status, 300, "%s", a.body)
	var ids []string
	for _, one := range as[page[wrote]](t, a).Items {
		ids = append(ids, one.ID)
	}
	require.Len(t, ids, n)
	w.certifyMany(t, ids[:certified])
	for _, id := range ids[:active] {
		w.mustChange(t, skills, http.MethodPost, id, "/transitions", `{"to":"active"}`)
	}
	odd := []string{ids[0], ids[active], ids[n-1]}
	before, amendments := w.standings(t), w.count(t, "amendment")
	require.Equal(t, "active aligned", before[odd[0]])
	require.Equal(t, "certified aligned", before[odd[1]])

	law := harness.Amended(t, numbered)
	body := fmt.Sprintf(`{"document":%s}`, law.Document())
	for _, token := range []string{w.guardian, w.token} {
		found, all := w.replay(t, token, body)
		require.Equal(t, odd, found)
		require.EqualValues(t, n, all.Judged)
		require.EqualValues(t, 3, all.Broken)
		require.Equal(t, map[string]string{w.guardian: "platform", w.token: "governance_agent"}[token], all.Scope)
		require.Equal(t, map[string]int64{"L2-SKILL-NUMBERED": 3}, all.ByRule)
	}
	_, theirs := w.author(t, "globex")
	mine := w.at[skills].create(t, theirs, plain("Mine odd"))
	found, all := w.replay(t, theirs, body)
	require.Equal(t, []string{string(mine.ID)}, found, "a tenant's own alone")
	require.EqualValues(t, 1, all.Judged)
	found, _ = w.replay(t, w.guardian, fmt.Sprintf(`{"sha256":%q}`, domain.Founding().Hash()))
	require.Empty(t, found)
	require.Equal(t, amendments+1, w.count(t, "amendment"), "nothing but that skill was written")
	require.Equal(t, before, w.standings(t))

	five := w.fivePeople(t, w.certify)
	id := five.carry(t, law, 4)
	r := w.enacted(t)
	require.ElementsMatch(t, append([]string{string(mine.ID)}, odd...), r.of(drift.ReasonShort))
	now := w.standings(t)
	for i, want := range []string{"under_review drifted", "under_review drifted", "draft requires_review"} {
		require.Equal(t, want, now[odd[i]])
		fell := w.look(t, skills, odd[i])
		require.Equal(t, law.Hash(), fell.Drift.Constitution)
		require.Contains(t, fell.Reason, "L2-SKILL-NUMBERED")
		now[odd[i]] = before[odd[i]]
	}
	require.Equal(t, before, now, "the other 497 are what they were")
	require.Equal(t, n-3, w.count(t, "amendment WHERE change = 'reaffirmed'"))
	require.Zero(t, w.enactedAgain(t).Figures[drift.FigureReaffirm], "all of them were judged")

	five.post(t, five.governor, id+"/rollback", `{"reasons":["It stops the import."]}`, http.StatusOK)
	r = w.enacted(t)
	require.Empty(t, r.of(drift.ReasonShort))
	require.Equal(t, before, w.standings(t), "exactly what it was")
	require.Equal(t, 2*(n-3)+4, w.count(t, "amendment WHERE change = 'reaffirmed'"))
	for _, id := range odd {
		back := w.look(t, skills, id)
		last := back.History[len(back.History)-1]
		require.Equal(t, "system/certify", last.Author)
		require.Contains(t, back.Reason, "enactment 2")
	}
	audit := w.serve(t, auditRun, nil)
	audit.sequence(t)
	require.Empty(t, w.audit(t, audit, w.Token(t, w.PlatformPrincipal(t, "auditor", domain.Auditor)), allOfIt).Findings)
}

// enactedAgain is a run that somebody asks for under the same constitution.
func (w *sky) enactedAgain(t *testing.T) driftReport {
	t.Helper()
	r := w.run(t, w.guardian, allOfIt)
	require.Empty(t, r.of(drift.ReasonShort))
	return r
}

// TestReplayRefuses what is no constitution, or not one question.
func TestReplayRefuses(t *testing.T) {
	t.Parallel()
	w := newSky(t, 0)
	w.create(t, skills, plain("One"))
	w.create(t, skills, plain("Two"))
	ask := func(query, body string) int {
		return w.certify.do(t, call{method: "POST", path: replayRoute + query, token: w.token, body: body}).status
	}
	for _, body := range []string{`{}`, `{"sha256":"x"}`, `{"sha256":"` + strings.Repeat("A", 64) + `"}`, fmt.Sprintf(`{"document":%s,"sha256":%q}`, breakingAll(), domain.Founding().Hash())} {
		require.Equal(t, 400, ask("", body), body)
	}
	require.Equal(t, 404, ask("", `{"sha256":"`+strings.Repeat("a", 64)+`"}`))
	require.Equal(t, 422, ask("", `{"document":{}}`))
	wrong := w.certify.do(t, call{method: "POST", path: replayRoute, token: w.token, body: `{"document":{"rules":[{"check":"tags"}]}}`})
	require.Contains(t, string(wrong.body), `\"/rules/0/check\" is unknown there, or of another type`)
	require.NotContains(t, string(wrong.body), "domain.")
	all := fmt.Sprintf(`{"document":%s}`, breakingAll())
	first := as[replayPart](t, w.certify.do(t, call{method: "POST", path: replayRoute + "?limit=1", token: w.token, body: all}))
	require.Len(t, first.Items, 1)
	require.Equal(t, 200, ask("?cursor="+*first.Next, all))
	require.Equal(t, 400, ask("?cursor="+*first.Next, fmt.Sprintf(`{"sha256":%q}`, domain.Founding().Hash())), "a cursor goes with its document")
}
