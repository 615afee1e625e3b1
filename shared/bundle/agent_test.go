package bundle

import (
	"fmt"
	"slices"
	"testing"
	"testing/fstest"
	"time"

	"github.com/dlai-sd/plant/shared/domain/canonical"
	"github.com/dlai-sd/plant/shared/ledger"
	"github.com/stretchr/testify/require"
)

func draftOf(n int, entityType, owner, state string) ledger.Draft {
	d := created(n, owner)
	d.EntityType, d.State = entityType, must(canonical.Form([]byte(state)))
	return d
}

func ids(members string, numbers ...int) string {
	args := make([]any, len(numbers))
	for i, n := range numbers {
		args[i] = entityID(n)
	}
	return fmt.Sprintf(members, args...)
}

const certifiedState = `"genesis_certification":{"certification_id":"c-1","certified_at":"2026-01-31T12:00:20.000000Z","certified_by":"genesis/g","checklist_sha256":%q,"passed":42}`

// newAgentHistory writes an agent of acme (50) with its skill (51) and team (55);
// role (52), the role's second skill (53) and industry (54) are genesis's and
// shared. Skill 59 and agent 58 are nobody's support. h.date is after the
// certification and before the agent's last amendment.
func newAgentHistory() *history {
	h, _, _ := newKeyedHistory()
	k := h.keys
	shared := `,"status":"active","visibility":"public"}`
	h.say(k.amendment, draftOf(53, "skill", "genesis", `{"name":"Listening","status":"draft"}`))
	first := h.entries[len(h.entries)-1].Amendment
	h.say(k.amendment, after(first, "evolved", `{"name":"Listening"`+shared),
		draftOf(54, "industry", "genesis", `{"name":"Gardening"`+shared), draftOf(59, "skill", "genesis", `{"name":"Other"`+shared))
	h.say(k.amendment, draftOf(51, "skill", "acme", `{"name":"Pruning","status":"active"}`))
	h.headsRecord(nil)
	h.say(k.amendment, draftOf(52, "job_role", "genesis", ids(`{"industry_id":%q,"name":"Gardener","required_skills":[%q,%q]`, 54, 51, 53)+shared))
	team := draftOf(55, "team", "acme", ids(`{"job_role_id":%q,"name":"Hedge","status":"active"}`, 52))
	agent := ids(`"industry_id":%q,"job_role_id":%q,"name":"Ada","skill_id":%q`, 54, 52, 51)
	born := h.say(k.amendment, draftOf(50, "agent", "acme", `{"status":"draft",`+agent+`}`), team,
		draftOf(58, "agent", "acme", `{"name":"Bob","status":"draft",`+ids(`"skill_id":%q}`, 59)))[0]
	member := agent + ids(`,"team_id":%q`, 55)
	joined := h.say(k.amendment, after(born, "assigned", `{"status":"under_review",`+member+`}`))[0]
	proof := fmt.Sprintf(certifiedState, ledger.HashOf([]byte(testChecklist)).String())
	certified := h.say(k.certification, after(joined, "certified", `{"status":"certified",`+proof+`,`+member+`}`))[0]
	active := h.say(k.amendment, after(certified, "moved", `{"status":"active",`+proof+`,`+member+`}`))[0]
	h.date = active.Record.RecordedAt
	h.say(k.amendment, after(active, "drifted", `{"status":"under_review",`+ids(`"job_role_id":%q,"skill_id":%q,"name":"Ada"}`, 52, 59)))
	// An exporter of acme's does not see what genesis did not share.
	at := slices.IndexFunc(h.entries, func(e ledger.Entry) bool { return e.Hash == first.Hash })
	h.entries[at].Opening = nil
	for _, n := range []int{50, 51, 52, 53, 54, 55} {
		h.restsOn = append(h.restsOn, entityID(n))
	}
	return h
}

func agentBundle() sampleBundle { return sampleBundles()[5] }

func TestAgentSentence(t *testing.T) {
	t.Parallel()
	h := newAgentHistory()
	rules, list := ledger.HashOf([]byte(testRules)), ledger.HashOf([]byte(testChecklist))
	rests := `: job role "Gardener" (active), skill "Pruning" (active), skill "Listening" (active), industry "Gardening" (active), team "Hedge" (active).`
	by := "acme/0198c0de-0000-7000-8000-0000000000aa"
	for _, c := range []struct {
		at     time.Time
		rests  []int
		phrase string
	}{
		{h.date, nil, fmt.Sprintf(`On %s, agent "Ada" (%s) of acme was active (version 4); certified by %s on %s under constitution %s and checklist %q`,
			stamp(h.date), entityID(50), by, stamp(h.date.Add(-time.Second)), rules, list.String()) + rests},
		{h.date.Add(-2 * time.Second), nil, fmt.Sprintf(`On %s, agent "Ada" (%s) of acme was under_review (version 2); it was not certified`,
			stamp(h.date.Add(-2*time.Second)), entityID(50)) + rests},
		{testStart, []int{50}, "On 2026-01-31T12:00:00Z, no agent " + entityID(50) + " was recorded yet."},
	} {
		h.restsOn = h.restsOn[:6]
		if c.rests != nil {
			h.restsOn = []string{entityID(50)}
		}
		scope := AgentAt(entityID(50), c.at)
		report, reasons := judge(t, h.pack(scope), h.options())
		require.Empty(t, reasons)
		require.Equal(t, c.phrase, report.Agent.Sentence)
		require.Equal(t, scope, report.Scope)
		h.restsOn = append([]string{}, entityID(50), entityID(51), entityID(52), entityID(53), entityID(54), entityID(55))
	}
}

func TestAgentReport(t *testing.T) {
	t.Parallel()
	b := agentBundle()
	report, reasons := judge(t, b.fsys, b.options)
	require.Empty(t, reasons)
	require.True(t, report.Agent.Certified)
	require.True(t, report.Agent.Certification.HasChecklist)
	require.Len(t, report.Agent.RestsOn, 5)
	require.Equal(t, ThingReport{
		ID: entityID(53), EntityType: "skill", Owner: "genesis", Name: "Listening", Status: "active", Seq: 2, ShownSeq: 2,
		RecordedAt: report.Agent.RestsOn[2].RecordedAt, Withheld: 1,
	}, report.Agent.RestsOn[2])
	require.NotContains(t, report.Unjudged, "checklists/"+ledger.HashOf([]byte(testChecklist)).String()+".json")

	bad := clone(b.fsys)
	member(t, bad, amendmentsFile, 3, "signature", "QQ==")
	report, _ = judge(t, bad, b.options)
	require.Empty(t, report.Agent.Sentence, "what is not signed proves nothing")
}

func TestVerifyAgentFinds(t *testing.T) {
	t.Parallel()
	find := func(fsys fstest.MapFS, n int, change string) int {
		for i := range jsonLines(fsys[amendmentsFile].Data) {
			l := must(readLine(amendmentsFile, i+1, lineOf(fsys, amendmentsFile, i+1)))
			if l.entry.Record.EntityID == entityID(n) && l.entry.Record.Change == change {
				return i + 1
			}
		}
		panic("no such line")
	}
	places := func(change func([]any) []any) func(*testing.T, *history, fstest.MapFS) {
		return func(t *testing.T, _ *history, fsys fstest.MapFS) {
			edited(t, fsys, headsFile, func(o object) { o["entities"] = change(o["entities"].([]any)) })
		}
	}
	for name, c := range map[string]struct {
		do   func(t *testing.T, h *history, fsys fstest.MapFS)
		want reasonMap
	}{
		"a role left out": {func(_ *testing.T, _ *history, fsys fstest.MapFS) {
			without(fsys, amendmentsFile, find(fsys, 52, "created"))
		}, reasonMap{"integrity": ReasonRuleResultWrong, "completeness": ReasonReferenceMissing}},
		"a skill of the role left out": {func(_ *testing.T, _ *history, fsys fstest.MapFS) {
			without(fsys, amendmentsFile, find(fsys, 53, "created"), find(fsys, 53, "evolved"))
			delete(fsys, sampleRecord)
			delete(fsys, sampleSignature)
		}, reasonMap{"integrity": ReasonRuleResultWrong, "completeness": ReasonReferenceMissing}},
		"the agent's last amendment left out": {func(_ *testing.T, _ *history, fsys fstest.MapFS) {
			without(fsys, amendmentsFile, find(fsys, 50, "drifted"))
		}, reasonMap{"integrity": ReasonRuleResultWrong, "completeness": ReasonEntityHeadMismatch}},
		"the certification left out": {func(_ *testing.T, _ *history, fsys fstest.MapFS) {
			without(fsys, amendmentsFile, find(fsys, 50, "certified"))
		}, reasonMap{"integrity": ledger.ReasonSeqGap}},
		"the agent left out": {func(_ *testing.T, _ *history, fsys fstest.MapFS) {
			without(fsys, amendmentsFile, find(fsys, 50, "created"), find(fsys, 50, "assigned"), find(fsys, 50, "certified"), find(fsys, 50, "moved"), find(fsys, 50, "drifted"))
		}, reasonMap{"integrity": ledger.ReasonOpeningMissing, "completeness": ReasonReferenceMissing}},
		"an own opening withheld": {func(t *testing.T, _ *history, fsys fstest.MapFS) {
			member(t, fsys, amendmentsFile, find(fsys, 51, "created"), "opening", nil)
		}, reasonMap{"integrity": ledger.ReasonOpeningMissing}},
		"a date beyond the heads record": {func(t *testing.T, h *history, fsys fstest.MapFS) {
			member(t, fsys, manifestFile, 0, "scope", AgentAt(entityID(50), h.now()))
		}, reasonMap{"completeness": ReasonAtBeyondHeads}},
		"an earlier date": {func(t *testing.T, _ *history, fsys fstest.MapFS) {
			member(t, fsys, manifestFile, 0, "scope", AgentAt(entityID(50), testStart))
		}, reasonMap{"completeness": ReasonOutOfScope}},
		"a skill as the agent": {func(t *testing.T, h *history, fsys fstest.MapFS) {
			member(t, fsys, manifestFile, 0, "scope", AgentAt(entityID(51), h.date))
		}, reasonMap{"integrity": "", "completeness": ReasonReferenceMissing}},
		"a place left out":  {places(func(p []any) []any { return p[1:] }), reasonMap{"completeness": ReasonEntityHeadMismatch}},
		"no last place":     {places(func(p []any) []any { return p[:5] }), reasonMap{"completeness": ReasonEntityHeadMismatch}},
		"a place too many":  {places(func(p []any) []any { return append(p, p[5]) }), reasonMap{"completeness": ReasonEntityHeadMismatch}},
		"places in reverse": {places(func(p []any) []any { slices.Reverse(p); return p }), reasonMap{"completeness": ReasonEntityHeadMismatch}},
		"a place renamed":   {places(func(p []any) []any { p[0].(object)["entity_id"] = entityID(49); return p }), reasonMap{"completeness": ReasonEntityHeadMismatch}},
		"a place of another": {places(func(p []any) []any {
			p[0].(object)["index"], p[0].(object)["path"] = p[1].(object)["index"], p[1].(object)["path"]
			return p
		}), reasonMap{"completeness": ReasonEntityHeadMismatch}},
		"no salt of the other tenant": {func(t *testing.T, _ *history, fsys fstest.MapFS) {
			edited(t, fsys, headsFile, func(o object) { delete(o["salts"].(object), "genesis") })
		}, reasonMap{"completeness": ReasonTenantMissing}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newAgentHistory()
			fsys := h.pack(AgentAt(entityID(50), h.date))
			c.do(t, h, fsys)
			_, reasons := judge(t, fsys, h.options())
			for verdict, reason := range c.want {
				if reason == "" {
					delete(reasons, verdict)
					delete(c.want, verdict)
				}
			}
			require.Equal(t, c.want, reasons)
		})
	}
}

// TestAgentOutOfScope: what the agent does not rest on has no place in its bundle.
func TestAgentOutOfScope(t *testing.T) {
	t.Parallel()
	h := newAgentHistory()
	h.restsOn = append(h.restsOn, entityID(58))
	_, reasons := judge(t, h.pack(AgentAt(entityID(50), h.date)), h.options())
	require.Equal(t, reasonMap{"completeness": ReasonOutOfScope}, reasons)
}
