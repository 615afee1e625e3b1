package bundle

import (
	"bytes"
	"encoding/pem"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/dlai-sd/plant/shared/ledger"
	"github.com/dlai-sd/plant/shared/translog"
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/stretchr/testify/require"
)

func TestVerifyEveryScope(t *testing.T) {
	t.Parallel()
	for _, b := range sampleBundles() {
		t.Run(b.scope.String(), func(t *testing.T) {
			t.Parallel()
			for _, seen := range [][]byte{nil, b.seen, b.same} {
				o := b.options
				o.Seen, o.Scope = seen, &b.scope
				report, reasons := judge(t, b.fsys, o)
				require.Empty(t, reasons)
				require.True(t, report.Passed())
				require.Equal(t, []string{"VERIFY.md", "verify.py"}, report.Unjudged)
				require.Equal(t, b.scope, report.Scope)
				require.Equal(t, must(translog.ReadCheckpoint(b.same)).Size, report.LogSize)
			}
		})
	}
}

// TestVerifyRollback: a log that is smaller than the one seen.
func TestVerifyRollback(t *testing.T) {
	t.Parallel()
	h := newHistory()
	fsys, o := h.pack(Scope{Type: ScopeAll}), h.options()
	h.say(h.keys.amendment, created(40, "acme"))
	o.Seen = h.checkpoint(h.tree.Size())
	_, reasons := judge(t, fsys, o)
	require.Equal(t, reasonMap{"freshness": ReasonRollback}, reasons)
}

// member sets a member of a JSON file, or of one of its lines (from 1).
func member(t testing.TB, fsys fstest.MapFS, file string, number int, name string, value any) {
	t.Helper()
	lines := bytes.SplitAfter(fsys[file].Data, []byte("\n"))
	at := max(number-1, 0)
	var object map[string]jsontext.Value
	require.NoError(t, json.Unmarshal(lines[at], &object))
	if value == nil {
		delete(object, name)
	} else {
		object[name] = encode(value)
	}
	lines[at] = append(encode(object), '\n')
	fsys[file].Data = bytes.Join(lines, nil)
}

// edited gives a JSON file's members to change.
func edited(t testing.TB, fsys fstest.MapFS, file string, change func(object)) {
	t.Helper()
	var o object
	require.NoError(t, json.Unmarshal(fsys[file].Data, &o))
	change(o)
	fsys[file].Data = encode(o)
}

// without leaves lines (from 1) out of a file.
func without(fsys fstest.MapFS, file string, numbers ...int) {
	var kept []byte
	for i, line := range bytes.SplitAfter(fsys[file].Data, []byte("\n")) {
		if !slices.Contains(numbers, i+1) {
			kept = append(kept, line...)
		}
	}
	fsys[file].Data = kept
}

func lineOf(fsys fstest.MapFS, file string, number int) []byte {
	return bytes.SplitAfter(fsys[file].Data, []byte("\n"))[number-1]
}

type reasonMap = map[string]ledger.Reason

func TestVerifyFinds(t *testing.T) {
	t.Parallel()
	const all, acme, ring, one = 0, 1, 2, 3
	for _, c := range []struct {
		name string
		base int
		do   func(t *testing.T, fsys fstest.MapFS, o *Options)
		want reasonMap
	}{
		{"another origin in the manifest", all, func(t *testing.T, fsys fstest.MapFS, _ *Options) {
			member(t, fsys, manifestFile, 0, "origin", "elsewhere")
		}, reasonMap{"signature": ledger.ReasonOriginWrong}},
		{"a scope that is not required", all, func(_ *testing.T, _ fstest.MapFS, o *Options) {
			o.Scope = &Scope{Type: ScopeGovernanceAgent, ID: "acme"}
		}, reasonMap{"completeness": ReasonScopeMismatch}},
		{
			"no entry 0", acme, func(_ *testing.T, fsys fstest.MapFS, _ *Options) { without(fsys, keysFile, 1) },
			reasonMap{"signature": ledger.ReasonRootUntrusted, "completeness": ReasonTenantCountMismatch, "freshness": ReasonHeadsInvalid, "integrity": ledger.ReasonOpeningMissing},
		},
		{
			"the revocation left out", acme, func(_ *testing.T, fsys fstest.MapFS, _ *Options) { without(fsys, keysFile, 6) },
			reasonMap{"completeness": ReasonTenantRootMismatch},
		},
		{"the revocation among the amendments", acme, func(_ *testing.T, fsys fstest.MapFS, _ *Options) {
			fsys[amendmentsFile].Data = slices.Concat(lineOf(fsys, amendmentsFile, 1), lineOf(fsys, amendmentsFile, 2),
				lineOf(fsys, amendmentsFile, 3), lineOf(fsys, keysFile, 6), lineOf(fsys, amendmentsFile, 4), lineOf(fsys, amendmentsFile, 5))
			without(fsys, keysFile, 6)
		}, reasonMap{"integrity": ReasonRecordMisplaced, "completeness": ReasonOutOfScope}},
		{"an amendment among the keys", acme, func(_ *testing.T, fsys fstest.MapFS, _ *Options) {
			fsys[keysFile].Data = append(fsys[keysFile].Data, lineOf(fsys, amendmentsFile, 5)...)
			without(fsys, amendmentsFile, 5)
		}, reasonMap{"integrity": ReasonRecordMisplaced}},
		{
			"the newest left out", acme, func(_ *testing.T, fsys fstest.MapFS, _ *Options) { without(fsys, amendmentsFile, 5) },
			reasonMap{"integrity": ReasonRuleResultWrong, "completeness": ReasonTenantCountMismatch},
		},
		{
			"an entry left out of all", all, func(_ *testing.T, fsys fstest.MapFS, _ *Options) { without(fsys, amendmentsFile, 9) },
			reasonMap{"integrity": ReasonRuleResultWrong, "completeness": ReasonLogEntryMissing},
		},
		{"an entry twice", all, func(_ *testing.T, fsys fstest.MapFS, _ *Options) {
			fsys[amendmentsFile].Data = append(lineOf(fsys, amendmentsFile, 1), fsys[amendmentsFile].Data...)
		}, reasonMap{"integrity": ReasonLogOrder, "completeness": ReasonLogEntryDuplicate}},
		{"lines exchanged", all, func(_ *testing.T, fsys fstest.MapFS, _ *Options) {
			fsys[amendmentsFile].Data = slices.Concat(lineOf(fsys, amendmentsFile, 2), lineOf(fsys, amendmentsFile, 1), fsys[amendmentsFile].Data)
			without(fsys, amendmentsFile, 3, 4)
		}, reasonMap{"integrity": ReasonLogOrder}},
		{"an amendment passed off as a heads record", all, func(t *testing.T, fsys fstest.MapFS, _ *Options) {
			hidden := must(readLine(amendmentsFile, 9, lineOf(fsys, amendmentsFile, 9)))
			without(fsys, amendmentsFile, 9)
			edited(t, fsys, headsFile, func(o object) {
				o["earlier"] = append(o["earlier"].([]any), object{"log_index": hidden.entry.LogIndex, "hash": hidden.entry.Hash})
			})
		}, reasonMap{"integrity": ReasonRuleResultWrong, "completeness": ReasonTenantCountMismatch}},
		{"an older heads record left out", all, func(t *testing.T, fsys fstest.MapFS, _ *Options) {
			member(t, fsys, headsFile, 0, "earlier", nil)
		}, reasonMap{"completeness": ReasonLogEntryMissing}},
		{"another hash of an older heads record", all, func(t *testing.T, fsys fstest.MapFS, _ *Options) {
			edited(t, fsys, headsFile, func(o object) { o["earlier"].([]any)[0].(object)["hash"] = ledger.HashOf(nil) })
		}, reasonMap{"completeness": ReasonLogRootMismatch}},
		{"another path of the heads record", acme, func(t *testing.T, fsys fstest.MapFS, _ *Options) {
			member(t, fsys, headsFile, 0, "inclusion", []ledger.Hash{})
		}, reasonMap{"completeness": ReasonInclusionInvalid}},
		{"no salt", acme, func(t *testing.T, fsys fstest.MapFS, _ *Options) {
			edited(t, fsys, headsFile, func(o object) { delete(o["salts"].(object), "acme") })
		}, reasonMap{"completeness": ReasonTenantMissing}},
		{"no salt of the keyring", one, func(t *testing.T, fsys fstest.MapFS, _ *Options) {
			edited(t, fsys, headsFile, func(o object) { delete(o["salts"].(object), "keyring") })
		}, reasonMap{"completeness": ReasonTenantMissing}},
		{"no salt of the entity's owner", one, func(t *testing.T, fsys fstest.MapFS, _ *Options) {
			edited(t, fsys, headsFile, func(o object) { delete(o["salts"].(object), "borealis") })
		}, reasonMap{"completeness": ReasonTenantMissing}},
		{"another place of the entity", one, func(t *testing.T, fsys fstest.MapFS, _ *Options) {
			edited(t, fsys, headsFile, func(o object) { o["entity"].(object)["index"] = 2 })
		}, reasonMap{"completeness": ReasonEntityHeadMismatch}},
		{"another owner of the entity", one, func(t *testing.T, fsys fstest.MapFS, _ *Options) {
			edited(t, fsys, headsFile, func(o object) { o["entity"].(object)["owner"] = "acme" })
		}, reasonMap{"completeness": ReasonEntityHeadMismatch}},
		{"another entity than the scope's", one, func(t *testing.T, fsys fstest.MapFS, _ *Options) {
			member(t, fsys, manifestFile, 0, "scope", Scope{Type: ScopeEntity, ID: entityID(20)})
		}, reasonMap{"completeness": ReasonOutOfScope}},
		{"a checkpoint that is none", acme, func(_ *testing.T, fsys fstest.MapFS, _ *Options) {
			fsys[checkpointFile].Data = []byte("plant.example/bundle-test\n17\n")
		}, reasonMap{"signature": translog.ReasonCheckpointMalformed, "completeness": translog.ReasonCheckpointMalformed}},
		{"a checkpoint that is none, against one seen", acme, func(t *testing.T, fsys fstest.MapFS, o *Options) {
			fsys[checkpointFile].Data = []byte("plant.example/bundle-test\n17\n")
			o.Seen = sampleBundles()[acme].seen
		}, reasonMap{"signature": translog.ReasonCheckpointMalformed, "completeness": translog.ReasonCheckpointMalformed, "freshness": ReasonCheckpointInvalid}},
		{"a checkpoint of an unknown key", acme, func(_ *testing.T, fsys fstest.MapFS, _ *Options) {
			lines := strings.SplitAfter(string(fsys[checkpointFile].Data), "\n")
			fsys[checkpointFile].Data = []byte(strings.Join(lines[:4], "") + "— plant.example/bundle-test AAAAAAAA\n")
		}, reasonMap{"signature": translog.ReasonCheckpointSignatureInvalid}},
		{"a checkpoint comes after records", acme, func(t *testing.T, fsys fstest.MapFS, _ *Options) {
			fsys[checkpointFile].Data[3] ^= 1
			member(t, fsys, amendmentsFile, 3, "signature", "QQ==")
		}, reasonMap{"signature": ledger.ReasonSignatureInvalid}},
		{"a whole file comes before records", acme, func(t *testing.T, fsys fstest.MapFS, _ *Options) {
			member(t, fsys, amendmentsFile, 2, "opening", object{"salt": ledger.Hash{}, "state": "{}"})
			fsys[amendmentsFile].Data = append(fsys[amendmentsFile].Data, lineOf(fsys, amendmentsFile, 5)...)
		}, reasonMap{"integrity": ReasonLogOrder}},
		{"a heads record that is none", acme, func(t *testing.T, fsys fstest.MapFS, _ *Options) {
			member(t, fsys, headsFile, 0, "record", "{}")
		}, reasonMap{"signature": translog.ReasonHeadsMalformed, "completeness": translog.ReasonHeadsMalformed, "freshness": ReasonHeadsInvalid}},
		{"a constitution of another name", acme, func(_ *testing.T, fsys fstest.MapFS, _ *Options) {
			fsys["constitutions/"+strings.Repeat("0", 64)+".json"] = &fstest.MapFile{Data: []byte(testRules), Mode: 0o644}
		}, reasonMap{"integrity": ReasonConstitutionMalformed}},
		{"a constitution that is not canonical", acme, func(_ *testing.T, fsys fstest.MapFS, _ *Options) {
			fsys["constitutions/"+ledger.HashOf([]byte("{ }")).String()+".json"] = &fstest.MapFile{Data: []byte("{ }"), Mode: 0o644}
		}, reasonMap{"integrity": ReasonConstitutionMalformed}},
		{"a constitution changed", acme, func(_ *testing.T, fsys fstest.MapFS, _ *Options) {
			fsys["constitutions/"+ledger.HashOf([]byte(testRules)).String()+".json"].Data[2] = 'x'
		}, reasonMap{"integrity": ledger.ReasonConstitutionUnknown}},
		{"the PEM file of a key nobody introduced", acme, func(_ *testing.T, fsys fstest.MapFS, _ *Options) {
			fsys["keys/"+strings.Repeat("0", 64)+".pem"] = &fstest.MapFile{Data: pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY"}), Mode: 0o644}
		}, reasonMap{"signature": ReasonPEMMismatch}},
		{"the PEM file of another key", acme, func(_ *testing.T, fsys fstest.MapFS, _ *Options) {
			k := keysOnce()
			fsys["keys/"+k.root.id+".pem"].Data = fsys["keys/"+k.checkpointID+".pem"].Data
		}, reasonMap{"signature": ReasonPEMMismatch}},
		{
			"half a sample", acme, func(_ *testing.T, fsys fstest.MapFS, _ *Options) { delete(fsys, sampleSignature) },
			reasonMap{"signature": ReasonSampleInvalid},
		},
		{"a sample signed in a batch", all, func(_ *testing.T, fsys fstest.MapFS, _ *Options) {
			l := must(readLine(amendmentsFile, 3, lineOf(fsys, amendmentsFile, 3)))
			fsys[sampleRecord].Data, fsys[sampleSignature].Data = l.entry.Bytes, l.entry.Signature
		}, reasonMap{"signature": ReasonSampleInvalid}},
		{"no sample", acme, func(_ *testing.T, fsys fstest.MapFS, _ *Options) {
			delete(fsys, sampleSignature)
			delete(fsys, sampleRecord)
		}, reasonMap{}},
		{"a record that is none", ring, func(t *testing.T, fsys fstest.MapFS, _ *Options) {
			member(t, fsys, keysFile, 6, "record", "{}")
		}, reasonMap{"signature": ledger.ReasonRecordMalformed, "integrity": ledger.ReasonRecordMalformed, "completeness": ReasonInclusionInvalid}},
		{"no proof from the size that was seen", acme, func(t *testing.T, fsys fstest.MapFS, o *Options) {
			member(t, fsys, headsFile, 0, "consistency", nil)
			o.Seen = sampleBundles()[acme].seen
		}, reasonMap{"freshness": ReasonSeenInconsistent}},
		{
			"another fork was seen", all, func(_ *testing.T, _ fstest.MapFS, o *Options) { o.Seen = sampleBundles()[acme].seen },
			reasonMap{"freshness": ReasonSeenInconsistent},
		},
		{"another fork was seen, by a tenant", acme, func(_ *testing.T, _ fstest.MapFS, o *Options) {
			o.Seen = sampleBundles()[all].seen
		}, reasonMap{"freshness": ReasonSeenInconsistent}},
		{
			"another fork of the same size was seen", acme, func(_ *testing.T, _ fstest.MapFS, o *Options) { o.Seen = sampleBundles()[all].same },
			reasonMap{"freshness": ReasonSeenInconsistent},
		},
		{"the whole log is not there, one was seen", all, func(_ *testing.T, fsys fstest.MapFS, o *Options) {
			without(fsys, amendmentsFile, 3, 4, 5)
			o.Seen = sampleBundles()[all].seen
		}, reasonMap{"integrity": ReasonRuleResultWrong, "completeness": ReasonLogEntryMissing, "freshness": ReasonSeenInconsistent}},
		{
			"what was seen is no checkpoint", all, func(_ *testing.T, _ fstest.MapFS, o *Options) { o.Seen = []byte{} },
			reasonMap{"freshness": ReasonSeenInvalid},
		},
		{"old", all, func(_ *testing.T, _ fstest.MapFS, o *Options) { o.MaxAge = time.Minute }, reasonMap{"freshness": ReasonStale}},
		{"just not old", all, func(_ *testing.T, _ fstest.MapFS, o *Options) { o.MaxAge = time.Hour + time.Second }, reasonMap{}},
		{
			"ahead", all, func(_ *testing.T, _ fstest.MapFS, o *Options) { o.Now = o.Now.Add(-time.Hour - 12*time.Second) },
			reasonMap{"freshness": ReasonFromTheFuture},
		},
		{"just not ahead", all, func(_ *testing.T, _ fstest.MapFS, o *Options) { o.Now = o.Now.Add(-time.Hour - 11*time.Second) }, reasonMap{}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			b := sampleBundles()[c.base]
			fsys, o := clone(b.fsys), b.options
			c.do(t, fsys, &o)
			report, reasons := judge(t, fsys, o)
			require.Equal(t, c.want, reasons)
			for _, v := range report.Verdicts() {
				if v.Offender != nil {
					require.NotEmpty(t, v.Offender.File)
					require.Contains(t, v.Offender.String(), string(v.Offender.Reason)+" in "+v.Offender.File)
				}
			}
		})
	}
}

// TestVerifyHeadsSigned: what a signer of heads can get wrong although it signs.
func TestVerifyHeadsSigned(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		change func(*translog.Heads)
		want   reasonMap
	}{
		{"another size", func(h *translog.Heads) { h.LogSize++ }, reasonMap{"completeness": ReasonHeadsNotLast}},
		{"more entities", func(h *translog.Heads) { h.Entities++ }, reasonMap{"completeness": translog.ReasonEntitiesMismatch}},
		{"more tenants", func(h *translog.Heads) { h.Tenants++ }, reasonMap{"completeness": translog.ReasonTenantsCountMismatch}},
		{"another root", func(h *translog.Heads) { h.Root = ledger.Hash{} }, reasonMap{"completeness": translog.ReasonHeadsRootMismatch}},
		{
			"another context", func(h *translog.Heads) { h.Context = ledger.ContextAmendment },
			reasonMap{"signature": ledger.ReasonContextWrong, "freshness": ReasonHeadsInvalid},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			h := newHistory()
			fsys := h.packHeads(Scope{Type: ScopeAll}, h.headsRecord(c.change))
			_, reasons := judge(t, fsys, h.options())
			require.Equal(t, c.want, reasons)
		})
	}
	t.Run("an amendment after it", func(t *testing.T) {
		t.Parallel()
		h := newHistory()
		heads := h.headsRecord(nil)
		h.say(h.keys.amendment, created(40, "zephyr"))
		_, reasons := judge(t, h.packHeads(Scope{Type: ScopeGovernanceAgent, ID: "acme"}, heads), h.options())
		require.Equal(t, reasonMap{"completeness": ReasonHeadsNotLast}, reasons)
	})
	t.Run("a tenant that nobody shows", func(t *testing.T) {
		t.Parallel()
		h := newHistory()
		extra := h.say(h.keys.amendment, created(40, "zephyr"))[0]
		heads := h.headsRecord(nil)
		fsys := h.packHeads(Scope{Type: ScopeAll}, heads)
		without(fsys, amendmentsFile, 10)
		edited(t, fsys, headsFile, func(o object) {
			o["earlier"] = append(o["earlier"].([]any), object{"log_index": heads.at - 1, "hash": extra.Hash})
		})
		_, reasons := judge(t, fsys, h.options())
		require.Equal(t, reasonMap{"integrity": ReasonRuleResultWrong, "completeness": ReasonTenantExtra}, reasons)
	})
}

// TestVerifyMisplacedRevocation: a revocation counts in whichever file it stands.
func TestVerifyMisplacedRevocation(t *testing.T) {
	t.Parallel()
	h := newHistory()
	skill := h.say(h.keys.amendment, created(50, "acme"))[0]
	h.say(h.keys.certification, after(skill, "certified", `{"name":"Skill 50","status":"certified"}`))
	fsys := h.pack(Scope{Type: ScopeAll})
	_, reasons := judge(t, fsys, h.options())
	require.Equal(t, reasonMap{"signature": ledger.ReasonKeyRevoked}, reasons)
	fsys[amendmentsFile].Data = append(fsys[amendmentsFile].Data, lineOf(fsys, keysFile, 6)...)
	without(fsys, keysFile, 6)
	_, reasons = judge(t, fsys, h.options())
	require.Equal(t, reasonMap{"signature": ledger.ReasonKeyRevoked, "integrity": ReasonLogOrder}, reasons)
}

func TestVerifyOptions(t *testing.T) {
	t.Parallel()
	b := sampleBundles()[0]
	for name, change := range map[string]func(*Options){
		"trust":  func(o *Options) { o.Trust = nil },
		"origin": func(o *Options) { o.Origin = "" },
		"now":    func(o *Options) { o.Now = time.Time{} },
		"age":    func(o *Options) { o.MaxAge = -1 },
	} {
		o := b.options
		change(&o)
		_, err := Verify(b.fsys, o)
		require.Error(t, err, name)
		var not *NotBundleError
		require.NotErrorAs(t, err, &not)
	}
	o := b.options
	o.Trust = &keysOnce().amendment.private.PublicKey
	_, reasons := judge(t, b.fsys, o)
	require.Equal(t, ledger.ReasonRootUntrusted, reasons["signature"])
}

func TestScope(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"all", "governance_agent:acme", "entity:x"} {
		s, err := ParseScope(text)
		require.NoError(t, err)
		require.Equal(t, text, s.String())
	}
	for _, text := range []string{"agent:x@2026-01-31", "agent:x@2026-01-31T00:00:00Z", "agent:x@2026-01-31T01:00:00+01:00"} {
		s, err := ParseScope(text)
		require.NoError(t, err)
		require.Equal(t, "agent:x@2026-01-31T00:00:00.000000Z", s.String())
		again, err := ParseScope(s.String())
		require.NoError(t, err)
		require.Equal(t, s, again)
	}
	for _, text := range []string{"", "all:", "all:x", "entity", "entity:", "tenant:x", "agent:x", "agent:x@", "agent:@2026-01-31", "agent:x@today", "all@2026-01-31"} {
		_, err := ParseScope(text)
		require.Error(t, err, text)
	}
}

func TestReportAsJSON(t *testing.T) {
	t.Parallel()
	b := sampleBundles()[0]
	fsys := clone(b.fsys)
	without(fsys, amendmentsFile, 9)
	report, _ := judge(t, fsys, b.options)
	out := string(must(json.Marshal(report)))
	require.Contains(t, out, `"completeness":{"name":"completeness","passed":false,"offender":{"reason":"log_entry_missing","file":"amendments.jsonl","log_index":15`)
	require.Contains(t, out, `"freshness":{"name":"freshness","passed":true}`)
	require.Contains(t, fmt.Sprint(report.Completeness.Offender), "log index 15")
}
