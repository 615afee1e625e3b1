package bundle

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/dlai-sd/plant/shared/ledger"
	"github.com/stretchr/testify/require"
)

// withhold leaves the opening of an entity's version out of every bundle.
func (h *history) withhold(t *testing.T, n int, seq int64) {
	t.Helper()
	at := slices.IndexFunc(h.entries, func(e ledger.Entry) bool {
		return e.Record.EntityID == entityID(n) && e.Record.Seq == seq
	})
	require.GreaterOrEqual(t, at, 0)
	h.entries[at].Opening = nil
}

// reshare writes a further version of skill 53 after the date is moved past it.
func (h *history) reshare(state string) {
	at := slices.IndexFunc(h.entries, func(e ledger.Entry) bool {
		return e.Record.EntityID == entityID(53) && e.Record.Seq == 2
	})
	h.say(h.keys.amendment, after(h.entries[at].Amendment, "evolved", state))
}

// TestAgentShowsWhatWasShared: of another tenant's entity counts the newest
// version that the exporter could see.
func TestAgentShowsWhatWasShared(t *testing.T) {
	t.Parallel()
	h := newAgentHistory()
	h.reshare(`{"name":"Secret plan","status":"draft","visibility":"public"}`)
	h.withhold(t, 53, 3)
	h.restsOn = []string{entityID(50), entityID(51), entityID(52), entityID(53), entityID(54), entityID(59)}
	scope := AgentAt(entityID(50), h.now()) // the agent rests on 59 by now, in no team
	report, reasons := judge(t, h.pack(scope), h.options())
	require.Empty(t, reasons)
	require.Contains(t, report.Agent.Sentence, `skill "Listening" (active, as shown last before then)`)
	require.Contains(t, report.Agent.Sentence, "was under_review (version 5); it was not certified")
	at := slices.IndexFunc(report.Agent.RestsOn, func(r ThingReport) bool { return r.ID == entityID(53) })
	require.EqualValues(t, 3, report.Agent.RestsOn[at].Seq)
	require.EqualValues(t, 2, report.Agent.RestsOn[at].ShownSeq)
	require.EqualValues(t, 2, report.Agent.RestsOn[at].Withheld)
}

// TestAgentWithheldRole: what a foreign role required is not seen if nothing of
// the role was shared; the report says that.
func TestAgentWithheldRole(t *testing.T) {
	t.Parallel()
	h := newAgentHistory()
	h.withhold(t, 52, 1)
	h.restsOn = []string{entityID(50), entityID(51), entityID(52), entityID(54), entityID(55)}
	report, reasons := judge(t, h.pack(AgentAt(entityID(50), h.date)), h.options())
	require.Empty(t, reasons)
	require.Contains(t, report.Agent.Sentence, "job role "+entityID(52)+" of genesis (its state then is not in the bundle)")
}

// TestAgentErased: the agent's own state can be gone too, and then says nothing.
func TestAgentErased(t *testing.T) {
	t.Parallel()
	h := newAgentHistory()
	last := h.entries[len(h.entries)-1].Amendment
	h.say(h.keys.amendment, after(last, "erased", `{"erased_seqs":[1,2,3,4],"name":"Ada"}`))
	for seq := range int64(4) {
		h.withhold(t, 50, seq+1)
	}
	h.restsOn = []string{entityID(50)}
	report, reasons := judge(t, h.pack(AgentAt(entityID(50), h.date)), h.options())
	require.Empty(t, reasons)
	require.Contains(t, report.Agent.Sentence, "was at version 4, whose state was erased since.")
	require.False(t, report.Agent.Certified)
}

// TestAgentExpired: a certification counts until it expires.
func TestAgentExpired(t *testing.T) {
	t.Parallel()
	for expires, want := range map[time.Duration]bool{-time.Second: false, 0: false, time.Second: true} {
		h := newAgentHistory()
		last := h.entries[len(h.entries)-1].Amendment
		at := h.now()
		state := fmt.Sprintf(`{"status":"deprecated","name":"Ada",`+certifiedState, "") + "}"
		state = strings.Replace(state, `"checklist_sha256":""`, fmt.Sprintf(`"checklist_sha256":"x","expires_at":%q`, at.Add(expires).Format(ledger.TimeLayout)), 1)
		h.say(h.keys.amendment, after(last, "evolved", state))
		h.restsOn = []string{entityID(50)}
		report, reasons := judge(t, h.pack(AgentAt(entityID(50), at)), h.options())
		require.Empty(t, reasons)
		require.Equal(t, want, report.Agent.Certified, "%s", expires)
		require.Equal(t, want, strings.Contains(report.Agent.Sentence, "; certified by "))
	}
}

// TestAgentVerdictsFirst: no sentence where one of three verdicts fails.
func TestAgentVerdictsFirst(t *testing.T) {
	t.Parallel()
	b := agentBundle()
	for file, value := range map[string]string{checkpointFile: "", "checklists/x.json": "{}"} {
		bad := clone(b.fsys)
		f := *bad[manifestFile]
		f.Data = []byte(value)
		bad[file] = &f
		report, reasons := judge(t, bad, b.options)
		require.NotEmpty(t, reasons)
		require.Empty(t, report.Agent.Sentence, file)
	}
	o := b.options
	o.Now = o.Now.AddDate(1, 0, 0)
	report, reasons := judge(t, b.fsys, o)
	require.Equal(t, reasonMap{"freshness": ReasonStale}, reasons)
	require.NotEmpty(t, report.Agent.Sentence, "an old bundle still proves what was")
}

// TestAgentForms: places belong to scope agent, all of them named, and to no other.
func TestAgentForms(t *testing.T) {
	t.Parallel()
	agent, all := agentBundle(), sampleBundles()[0]
	for name, c := range map[string]struct {
		bundle sampleBundle
		file   string
		change func(object)
	}{
		"no places":        {agent, headsFile, func(o object) { delete(o, "entities") }},
		"a place unnamed":  {agent, headsFile, func(o object) { delete(o["entities"].([]any)[0].(object), "entity_id") }},
		"a place unowned":  {agent, headsFile, func(o object) { delete(o["entities"].([]any)[0].(object), "owner") }},
		"one place":        {agent, headsFile, func(o object) { o["entity"] = o["entities"].([]any)[0] }},
		"places elsewhere": {all, headsFile, func(o object) { o["entities"] = []any{} }},
		"no date":          {agent, manifestFile, func(o object) { delete(o["scope"].(object), "at") }},
		"another form":     {agent, manifestFile, func(o object) { o["scope"].(object)["at"] = "2026-01-31T12:00:00Z" }},
		"a date elsewhere": {all, manifestFile, func(o object) { o["scope"].(object)["at"] = "2026-01-31T12:00:00.000000Z" }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			fsys := clone(c.bundle.fsys)
			edited(t, fsys, c.file, c.change)
			_, err := Verify(fsys, c.bundle.options)
			var not *NotBundleError
			require.ErrorAs(t, err, &not)
		})
	}
}

// TestAgentNotCommitted: a state that no record commits to is not told of.
func TestAgentNotCommitted(t *testing.T) {
	t.Parallel()
	h := newAgentHistory()
	for i, e := range h.entries {
		if e.Record.EntityID == entityID(50) && e.Record.Change == "moved" {
			forged := *e.Opening
			forged.State = []byte(strings.Replace(string(forged.State), "Ada", "Eve", 1))
			h.entries[i].Opening = &forged
		}
	}
	report, reasons := judge(t, h.pack(AgentAt(entityID(50), h.date)), h.options())
	require.Equal(t, reasonMap{"integrity": ledger.ReasonStateHashMismatch}, reasons)
	require.Equal(t, "Ada", report.Agent.Name)
	require.EqualValues(t, 3, report.Agent.ShownSeq)
}
