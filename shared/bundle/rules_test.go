package bundle

import (
	"bytes"
	"fmt"
	"io"
	"iter"
	"runtime"
	"strings"
	"testing"
	"testing/fstest"
	"weak"

	"github.com/dlai-sd/plant/shared/compliance"
	"github.com/dlai-sd/plant/shared/ledger"
	"github.com/stretchr/testify/require"
)

// ruled is a history with two skills more: one that keeps every rule that its state
// decides, and one that breaks three.
func ruled() *history {
	h := newHistory()
	good, bad := created(60, "acme"), created(61, "acme")
	good.State = []byte(`{"category":"technical","description":"Joins metal","name":"Welding","status":"draft","visibility":"private"}`)
	bad.State = []byte(`{"category":"magic","name":"Wishing","status":"draft","tags":[" "],"visibility":"private"}`)
	h.say(h.keys.amendment, good, bad)
	return h
}

// TestRuleResults: every entity whose newest state is there has its result, and the
// verifier says how many break a rule.
func TestRuleResults(t *testing.T) {
	t.Parallel()
	h := ruled()
	fsys := h.pack(Scope{Type: ScopeAll})
	report, reasons := judge(t, fsys, h.options())
	require.Empty(t, reasons)
	require.Equal(t, RulesReport{Judged: 8, Violating: 7}, report.Rules, "six skills of the history have no category")
	text := string(fsys[complianceFile].Data)
	law := ledger.HashOf([]byte(testRules)).String()
	require.Contains(t, text, fmt.Sprintf(`{"constitution":%q,"entity_id":%q,"failed":[],"passed":["FORM-ATTRIBUTES","FORM-ID","FORM-LIMIT","FORM-TAGS","FORM-VISIBILITY","L0-01","L1-SKILL-01","L1-SKILL-02","L1-SKILL-03"],"seq":1}`, law, entityID(60)))
	require.Contains(t, text, fmt.Sprintf(`"entity_id":%q,"failed":["FORM-TAGS","L1-SKILL-02","L1-SKILL-03"],"passed":["FORM-ATTRIBUTES"`, entityID(61)))
	require.NotContains(t, report.Unjudged, complianceFile)

	// The newest version's, whatever came before.
	require.Contains(t, text, fmt.Sprintf(`"entity_id":%q`, entityID(10)))
	require.Regexp(t, entityID(10)+`"[^\n]*"seq":4}`, text)

	// Left out altogether it says nothing, and the verifier's own run is the same.
	delete(fsys, complianceFile)
	report, reasons = judge(t, fsys, h.options())
	require.Empty(t, reasons)
	require.Equal(t, RulesReport{Judged: 8, Violating: 7}, report.Rules)
}

// TestRuleResultsFind: each way of saying what the rules do not.
func TestRuleResultsFind(t *testing.T) {
	t.Parallel()
	h := ruled()
	base := h.pack(Scope{Type: ScopeAll})
	is := func(reason ledger.Reason) reasonMap { return reasonMap{"integrity": reason} }
	replaced := func(from, to string) func(string) string {
		return func(text string) string { return strings.Replace(text, from, to, 1) }
	}
	bad := strings.Index(string(base[complianceFile].Data), entityID(61))
	cases := map[string]struct {
		do     func(string) string
		want   reasonMap
		script bool // verify.py sees it too: it has no rules
	}{
		"a rule that is broken called kept": {replaced(`"failed":["FORM-TAGS","L1-SKILL-02","L1-SKILL-03"]`, `"failed":["FORM-TAGS","L1-SKILL-02"]`), is(ReasonRuleResultWrong), false},
		"none called broken":                {replaced(`"failed":["FORM-TAGS","L1-SKILL-02","L1-SKILL-03"]`, `"failed":[]`), is(ReasonRuleResultWrong), false},
		"a rule that is kept called broken": {func(s string) string {
			return strings.Replace(s, `"failed":[]`, `"failed":["L1-SKILL-01"]`, 1)
		}, is(ReasonRuleResultWrong), false},
		"a rule kept that nobody judged": {replaced(`"passed":["FORM-ATTRIBUTES"`, `"passed":["FORM-ATTRIBUTES","FORM-FOUR-EYES"`), is(ReasonRuleResultWrong), false},
		"an entity left out": {func(s string) string {
			from, to := strings.LastIndex(s[:bad], ",\n"), strings.Index(s[bad:], "}")
			return s[:from] + s[bad+to+1:]
		}, is(ReasonRuleResultMissing), false},
		"nothing at all":              {func(string) string { return `{"results":[]}` }, is(ReasonRuleResultMissing), false},
		"another version":             {replaced(`"seq":4`, `"seq":3`), is(ReasonRuleResultWrong), true},
		"under other rules":           {replaced(`"constitution":"`+ledger.HashOf([]byte(testRules)).String(), `"constitution":"`+strings.Repeat("0", 64)), is(ReasonRuleResultWrong), true},
		"of an entity not there":      {replaced(entityID(61), entityID(6)), is(ReasonRuleResultWrong), true},
		"of a key":                    {replaced(entityID(61), entityID(2)), is(ReasonRuleResultWrong), true},
		"two of one":                  {replaced(entityID(61), entityID(60)), is(ReasonComplianceMalformed), true},
		"rules out of order":          {replaced(`"L1-SKILL-02","L1-SKILL-03"],"passed"`, `"L1-SKILL-03","L1-SKILL-02"],"passed"`), is(ReasonComplianceMalformed), true},
		"a rule twice":                {replaced(`["FORM-ATTRIBUTES"`, `["FORM-ATTRIBUTES","FORM-ATTRIBUTES"`), is(ReasonComplianceMalformed), true},
		"a member nobody knows":       {replaced(`{"results"`, `{"more":1,"results"`), is(ReasonComplianceMalformed), true},
		"a member in a result":        {replaced(`"failed"`, `"more":1,"failed"`), is(ReasonComplianceMalformed), true},
		"a member missing":            {replaced(`,"seq":4`, ``), is(ReasonComplianceMalformed), true},
		"a negative version":          {replaced(`"seq":4`, `"seq":-4`), is(ReasonComplianceMalformed), true},
		"null":                        {replaced(`"failed":[]`, `"failed":null`), is(ReasonComplianceMalformed), true},
		"results twice":               {replaced(`{"results"`, `{"results":[],"results"`), is(ReasonComplianceMalformed), true},
		"no results":                  {func(string) string { return `{}` }, is(ReasonComplianceMalformed), true},
		"a constitution that is none": {replaced(`{"results"`, `{"constitution":"x","results"`), is(ReasonComplianceMalformed), true},
		"cut short":                   {func(s string) string { return s[:len(s)-5] }, is(ReasonComplianceMalformed), true},
		"something behind":            {func(s string) string { return s + "{}" }, is(ReasonComplianceMalformed), true},
		"nothing":                     {func(string) string { return "" }, is(ReasonComplianceMalformed), true},
		"more than entities": {func(s string) string {
			many := ""
			for i := range 20 {
				many += fmt.Sprintf(`{"constitution":"%064d","entity_id":%q,"failed":[],"passed":[],"seq":1},`, 0, entityID(100+i))
			}
			return strings.Replace(s, "[\n", "[\n"+many, 1)
		}, is(ReasonComplianceMalformed), true},
		"a constitution beside them": {replaced(`{"results"`, `{"constitution":"`+strings.Repeat("0", 64)+`","results"`), reasonMap{}, true},
		"white space":                {replaced(`,"seq"`, ` ,  "seq"`), reasonMap{}, true},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			fsys := clone(base)
			before := string(fsys[complianceFile].Data)
			fsys[complianceFile].Data = []byte(c.do(before))
			require.NotEqual(t, before, string(fsys[complianceFile].Data))
			report, reasons := judge(t, fsys, h.options())
			require.Equal(t, c.want, reasons, "%v", report.Integrity.Offender)
			if o := report.Integrity.Offender; o != nil {
				require.Equal(t, complianceFile, o.File)
				require.Nil(t, o.LogIndex)
			}
		})
	}
	t.Run("verify.py", func(t *testing.T) {
		t.Parallel()
		python(t)
		script := scriptCases{t: t, dir: t.TempDir()}
		for name, c := range cases {
			fsys := clone(base)
			fsys[complianceFile].Data = []byte(c.do(string(fsys[complianceFile].Data)))
			o := h.options()
			o.WithoutRules = true
			script.add(name, fsys, o)
			_, reasons := judge(t, fsys, o)
			require.Equal(t, c.script, len(reasons) > 0 || len(c.want) == 0, "%s: %v", name, reasons)
		}
		script.run()
	})
}

// TestRuleResultsHostile: a result without end is not held in memory.
func TestRuleResultsHostile(t *testing.T) {
	t.Parallel()
	h := ruled()
	fsys := h.pack(Scope{Type: ScopeAll})
	for name, text := range map[string]string{
		"an endless text":  `{"results":[{"entity_id":"` + strings.Repeat("a", 1<<20),
		"endless space":    `{"results":` + strings.Repeat(" ", 1<<20),
		"nested":           `{"results":[` + strings.Repeat("[", 1<<20),
		"an endless name":  `{"` + strings.Repeat("a", 1<<20),
		"no UTF-8":         "{\"results\":[\"\xff\"]}",
		"half a surrogate": `{"results":[{"entity_id":"\ud800"}]}`,
	} {
		bad := clone(fsys)
		bad[complianceFile].Data = []byte(text)
		_, reasons := judge(t, bad, h.options())
		require.Equal(t, reasonMap{"integrity": ReasonComplianceMalformed}, reasons, name)
	}
	r := &rationed{r: strings.NewReader(strings.Repeat("x", 100)), left: 200, total: 50}
	_, err := io.ReadAll(r)
	require.ErrorIs(t, err, errTooLarge)
	require.ErrorIs(t, r.failed, errTooLarge)
	bad := clone(fsys)
	bad[complianceFile] = &fstest.MapFile{Mode: 0o755 | 1<<31}
	_, err = Verify(bad, h.options())
	requireNotBundle(t, err)
}

// TestWriteResultsConstantMemory: results are not kept, and none is too long to read.
func TestWriteResultsConstantMemory(t *testing.T) {
	t.Parallel()
	var old []weak.Pointer[byte]
	err := writeResults(io.Discard, func(yield func(compliance.Result, error) bool) {
		for i := range 50 {
			id := []byte(fmt.Sprint("id", i))
			old = append(old, weak.Make(&id[0]))
			if !yield(compliance.Result{EntityID: string(id)}, nil) {
				return
			}
		}
		runtime.GC()
		for _, p := range old[:49] {
			require.Nil(t, p.Value())
		}
	})
	require.NoError(t, err)
	require.Len(t, old, 50)
	err = writeResults(io.Discard, func(yield func(compliance.Result, error) bool) {
		yield(compliance.Result{EntityID: strings.Repeat("x", maxResult)}, nil)
	})
	require.ErrorIs(t, err, errTooLarge)
	var none bytes.Buffer
	require.NoError(t, writeResults(&none, func(func(compliance.Result, error) bool) {}))
	require.Equal(t, "{\"results\":[\n]}\n", none.String())
}

// results are the rule results of the entities that are chosen: none but where a
// record names rules that the build has.
func (h *history) results(chosen func(ledger.Record) bool) iter.Seq2[compliance.Result, error] {
	return func(yield func(compliance.Result, error) bool) {
		rules := compliance.Among([][]byte{[]byte(testRules)})
		newest, order := map[string]ledger.Amendment{}, []string{}
		for _, e := range h.entries {
			id := e.Record.EntityID
			if _, known := newest[id]; !known && chosen(e.Record) {
				order = append(order, id)
			}
			newest[id] = e.Amendment
		}
		for _, id := range order {
			if j, ok, err := rules.Judge(newest[id]); ok && !yield(j.Result(newest[id].Record), err) {
				return
			}
		}
	}
}

// lines are the entries that are chosen, as a writer takes them.
func (h *history) lines(chosen func(ledger.Record) bool) iter.Seq2[Line, error] {
	return func(yield func(Line, error) bool) {
		for _, e := range h.entries {
			if chosen(e.Record) && !yield(Line{e, h.inclusion(e.LogIndex)}, nil) {
				return
			}
		}
	}
}
