package bundle

import (
	"testing"
	"testing/fstest"

	"github.com/dlai-sd/plant/shared/ledger"
	"github.com/dlai-sd/plant/shared/translog"
	"github.com/stretchr/testify/require"
)

const (
	secondOrigin = "plant.example/bundle-test-2"
	thirdOrigin  = "plant.example/bundle-test-3"
)

// fork lets the history go on under another origin from its first good entries;
// change, if there is one, changes the statement before it is signed.
func (h *history) fork(by rsaKey, origin string, good int64, change func(*translog.Fork)) {
	checkpoint := translog.Checkpoint{Origin: h.origin(), Size: good, Root: translog.RootOf(nil)}
	if good > 0 {
		checkpoint.Root = h.roots[good-1]
	}
	f := translog.Fork{
		Origin: origin, FromOrigin: h.origin(), Number: 4, Good: checkpoint, KeyID: by.id, RecordedAt: h.now(),
		Lost: translog.Checkpoint{Origin: h.origin(), Size: h.next() + 7, Root: ledger.HashOf([]byte("lost"))},
	}
	if change != nil {
		change(&f)
	}
	statement := must(f.Bytes())
	h.forks = append(h.forks, ForkStatement{LogIndex: h.next(), Statement: statement, Signature: must(ledger.Sign(by.private, statement))})
	h.log(ledger.HashOf(statement))
	h.forked = origin
}

// forkedHistory is one that was forked twice: from 16 entries with 2 behind them,
// and from nothing that was published.
func forkedHistory() *history {
	h := newHistory()
	h.say(h.keys.amendment, created(70, "acme"))
	h.headsRecord(nil)
	h.fork(h.keys.root, secondOrigin, 16, nil)
	h.say(h.keys.amendment, created(71, "acme"), created(72, "borealis"))
	h.headsRecord(nil)
	h.fork(h.keys.root, thirdOrigin, 0, nil)
	skill := h.say(h.keys.amendment, created(73, "borealis"))[0]
	h.say(h.keys.amendment, after(skill, "evolved", `{"name":"Later","status":"draft"}`))
	return h
}

// TestForkedLog: a log that was forked verifies under its newest origin, in every
// scope, by both verifiers, against checkpoints of every origin that it continues.
func TestForkedLog(t *testing.T) {
	t.Parallel()
	h := forkedHistory()
	old := newHistory() // other entries than h's
	kept := func(origin string, size int64) []byte {
		return must(translog.Checkpoint{Origin: origin, Size: size, Root: h.roots[size-1]}.Sign(h.keys.checkpoint))
	}
	lost := must(translog.Checkpoint{Origin: testOrigin, Size: 18, Root: old.roots[15]}.Sign(h.keys.checkpoint))
	huge := must(translog.Checkpoint{Origin: testOrigin, Size: 1000, Root: old.roots[15]}.Sign(h.keys.checkpoint))
	script := scriptCases{t: t, dir: t.TempDir()}
	heads := h.headsRecord(nil)
	for _, scope := range []Scope{{Type: ScopeAll}, {Type: ScopeGovernanceAgent, ID: "borealis"}, {Type: ScopeEntity, ID: entityID(73)}, {Type: ScopeEntity, ID: entityID(10)}} {
		fsys := h.packHeads(scope, heads)
		for name, c := range map[string]struct {
			seen   []byte
			origin string
			want   reasonMap
		}{
			"nothing seen":                   {nil, thirdOrigin, reasonMap{}},
			"the old origin's":               {kept(testOrigin, 16), thirdOrigin, reasonMap{}},
			"an origin's that is none of it": {kept("elsewhere", 17), thirdOrigin, reasonMap{"freshness": ReasonSeenInvalid}},
			"one that was given up":          {lost, thirdOrigin, reasonMap{"freshness": ReasonSeenInconsistent}},
			"a larger one, given up":         {huge, thirdOrigin, reasonMap{"freshness": ReasonRollback}},
		} {
			o := h.options()
			o.Seen, o.Origin, o.Scope = c.seen, c.origin, &scope
			_, reasons := judge(t, fsys, o)
			require.Equal(t, c.want, reasons, "%s: %s", scope, name)
			script.add(name, fsys, o)
		}
		for _, origin := range []string{testOrigin, secondOrigin} {
			o := h.options()
			o.Origin = origin
			_, reasons := judge(t, fsys, o)
			require.Equal(t, ledger.ReasonOriginWrong, reasons["signature"], "who expects an older origin is told so")
			script.add(origin, fsys, o)
		}
	}
	python(t)
	script.run()
}

// TestForksFound: a fork is a root's, in its place, of this log, and explains nothing
// that it does not speak of.
func TestForksFound(t *testing.T) {
	t.Parallel()
	script := scriptCases{t: t, dir: t.TempDir()}
	build := func(make func(*history)) *history {
		h := newHistory()
		make(h)
		h.say(h.keys.amendment, created(80, "acme"))
		return h
	}
	forks := func(t *testing.T, fsys fstest.MapFS, change func([]any) []any) {
		edited(t, fsys, headsFile, func(o object) { o["forks"] = change(o["forks"].([]any)) })
	}
	sound := func(h *history) { h.fork(h.keys.root, secondOrigin, 16, nil) }
	for _, scope := range []Scope{{Type: ScopeAll}, {Type: ScopeGovernanceAgent, ID: "acme"}} {
		for name, c := range map[string]struct {
			h       *history
			edit    func(*testing.T, fstest.MapFS)
			verdict string
			want    ledger.Reason
		}{
			"by no root": {build(func(h *history) { h.fork(h.keys.amendment, secondOrigin, 16, nil) }), nil, "signature", ledger.ReasonKeyMayNotSign},
			"by an unknown key": {build(func(h *history) {
				h.fork(h.keys.root, secondOrigin, 16, func(f *translog.Fork) { f.KeyID = ledger.HashOf(nil).String() })
			}), nil, "signature", ledger.ReasonKeyUnknown},
			"another's signature": {build(sound), func(t *testing.T, fsys fstest.MapFS) {
				forks(t, fsys, func(l []any) []any { l[0].(object)["signature"] = "QQ=="; return l })
			}, "signature", ledger.ReasonSignatureInvalid},
			"to another log": {build(func(h *history) {
				h.fork(h.keys.root, "elsewhere", 16, nil)
				h.forked = secondOrigin
			}), nil, "signature", ledger.ReasonOriginWrong},
			"from another log": {build(func(h *history) {
				h.fork(h.keys.root, secondOrigin, 16, func(f *translog.Fork) { f.FromOrigin = "elsewhere" })
			}), nil, "signature", ledger.ReasonOriginWrong},
			"no statement": {build(sound), func(t *testing.T, fsys fstest.MapFS) {
				forks(t, fsys, func(l []any) []any { l[0].(object)["statement"] = "{}"; return l })
			}, "signature", ledger.ReasonOriginWrong},
			"left out": {build(sound), func(t *testing.T, fsys fstest.MapFS) {
				member(t, fsys, headsFile, 0, "forks", nil)
			}, "signature", ledger.ReasonOriginWrong},
			"of more entries than stand before it": {build(func(h *history) {
				h.fork(h.keys.root, secondOrigin, 16, func(f *translog.Fork) { f.Good.Size = h.next() + 1 })
			}), nil, "signature", translog.ReasonForkMalformed},
			"from another root": {build(func(h *history) {
				h.fork(h.keys.root, secondOrigin, 16, func(f *translog.Fork) { f.Good.Root[0]++ })
			}), nil, "completeness", ReasonForkInconsistent},
			"from nothing, with a root": {build(func(h *history) {
				h.fork(h.keys.root, secondOrigin, 0, func(f *translog.Fork) { f.Good.Root[0]++ })
			}), nil, "completeness", ReasonForkInconsistent},
			"without its path": {build(sound), func(t *testing.T, fsys fstest.MapFS) {
				forks(t, fsys, func(l []any) []any { l[0].(object)["inclusion"] = []any{}; return l })
			}, "completeness", ReasonInclusionInvalid},
			"in another place": {build(sound), func(t *testing.T, fsys fstest.MapFS) {
				forks(t, fsys, func(l []any) []any { l[0].(object)["log_index"] = 17; return l })
			}, "completeness", map[bool]ledger.Reason{true: ReasonLogEntryDuplicate, false: ReasonInclusionInvalid}[scope.Type == ScopeAll]},
		} {
			fsys := c.h.pack(scope)
			if c.edit != nil {
				c.edit(t, fsys)
			}
			_, reasons := judge(t, fsys, c.h.options())
			require.Equal(t, c.want, reasons[c.verdict], "%s: %s: %v", scope, name, reasons)
			o := c.h.options()
			o.WithoutRules = true
			script.add(name, fsys, o)
		}
	}
	h := build(sound)
	for name, change := range map[string]func([]any) []any{
		"twice":            func(l []any) []any { return append(l, l[0]) },
		"a member unknown": func(l []any) []any { l[0].(object)["x"] = 1; return l },
		"a member missing": func(l []any) []any { delete(l[0].(object), "inclusion"); return l },
	} {
		fsys := h.pack(Scope{Type: ScopeAll})
		forks(t, fsys, change)
		_, err := Verify(fsys, h.options())
		requireNotBundle(t, err)
		require.Error(t, err, name)
		script.add(name, fsys, h.options())
	}
	python(t)
	script.run()
}

// TestForkDoesNotCoverWhatComesAfter: behind the fork's own index only the new origin
// is named, before it only the old one.
func TestForkDoesNotCoverWhatComesAfter(t *testing.T) {
	t.Parallel()
	late := newHistory()
	late.fork(late.keys.root, secondOrigin, 16, nil)
	late.forked = ""
	late.say(late.keys.amendment, created(80, "acme"))
	late.forked = secondOrigin
	early := newHistory()
	early.forked = secondOrigin
	early.say(early.keys.amendment, created(80, "acme"))
	early.forked = ""
	early.fork(early.keys.root, secondOrigin, 16, nil)
	for _, h := range []*history{late, early} {
		report, reasons := judge(t, h.pack(Scope{Type: ScopeAll}), h.options())
		require.Equal(t, reasonMap{"signature": ledger.ReasonOriginWrong}, reasons)
		require.Equal(t, entityID(80), report.Signature.Offender.EntityID)
	}
}

func (h *history) origin() string {
	if h.forked != "" {
		return h.forked
	}
	return testOrigin
}
