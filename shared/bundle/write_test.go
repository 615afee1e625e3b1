package bundle

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"iter"
	"runtime"
	"slices"
	"strings"
	"testing"
	"weak"

	"github.com/dlai-sd/plant/shared/compliance"
	"github.com/dlai-sd/plant/shared/ledger"
	"github.com/stretchr/testify/require"
)

// TestWriteRoundTrip: what is written is read, as a zip, and passes.
func TestWriteRoundTrip(t *testing.T) {
	t.Parallel()
	h := newHistory()
	heads := h.headsRecord(nil)
	for _, scope := range []Scope{{Type: ScopeAll}, {Type: ScopeGovernanceAgent, ID: "borealis"}, {Type: ScopeEntity, ID: entityID(10)}} {
		b := written(h.contents(scope, heads))
		require.Equal(t, b, written(h.contents(scope, heads)), "the same contents, the same bytes")
		fsys, err := NewZip(bytes.NewReader(b), int64(len(b)))
		require.NoError(t, err)
		report, err := Verify(fsys, h.options())
		require.NoError(t, err)
		require.Empty(t, reasonsOf(report))
		require.Equal(t, scope, report.Scope)
	}
}

// TestWriteKeepsEverything: what a line holds comes back as it was.
func TestWriteKeepsEverything(t *testing.T) {
	t.Parallel()
	h := newHistory()
	fsys := h.pack(Scope{Type: ScopeAll})
	at := map[string]int{}
	for _, e := range h.entries {
		file := amendmentsFile
		if e.Record.EntityType == signingKey {
			file = keysFile
		}
		at[file]++
		got := must(readLine(file, at[file], lineOf(fsys, file, at[file])))
		require.Equal(t, e, got.entry)
		require.Equal(t, h.inclusion(e.LogIndex), got.inclusion)
	}
	require.Equal(t, Script(), fsys[scriptFile].Data)
	require.Equal(t, h.entries[5].Bytes, fsys[sampleRecord].Data, "an amendment, not a key's record")
}

func TestWriteRefuses(t *testing.T) {
	t.Parallel()
	h := newHistory()
	heads := h.headsRecord(nil)
	broken := errors.New("the database went away")
	for name, c := range map[string]struct {
		do   func(*Contents)
		want error
	}{
		"no scope":                  {func(c *Contents) { c.Scope = Scope{} }, nil},
		"a place in scope all":      {func(c *Contents) { c.Heads.Places = []HeadPlace{{}} }, nil},
		"no place in scope entity":  {func(c *Contents) { c.Scope = Scope{Type: ScopeEntity, ID: "x"} }, nil},
		"a rule set not canonical":  {func(c *Contents) { c.Constitutions = [][]byte{[]byte("{ }")} }, nil},
		"a checklist not canonical": {func(c *Contents) { c.Checklists = [][]byte{[]byte("{ }")} }, nil},
		"a source that fails": {func(c *Contents) {
			c.Amendments = func(yield func(Line, error) bool) { yield(Line{}, broken) }
		}, broken},
		"rule results that fail": {func(c *Contents) {
			c.Compliance = func(yield func(compliance.Result, error) bool) { yield(compliance.Result{}, broken) }
		}, broken},
		"lines in another order": {func(c *Contents) {
			var lines []Line
			for l := range c.Amendments {
				lines = append(lines, l)
			}
			slices.Reverse(lines)
			c.Amendments = linesOf(lines...)
		}, errAscending},
		"a line twice": {func(c *Contents) {
			l := Line{Entry: h.entries[0]}
			c.Keys = linesOf(l, l)
		}, errAscending},
		"a line too long": {func(c *Contents) {
			c.Amendments = linesOf(Line{Entry: ledger.Entry{Amendment: ledger.Amendment{Bytes: make([]byte, maxLine)}}})
		}, errTooLarge},
		"a checkpoint too long": {func(c *Contents) { c.Checkpoint = make([]byte, maxCheckpoint+1) }, errTooLarge},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			contents := h.contents(Scope{Type: ScopeAll}, heads)
			c.do(&contents)
			err := Write(io.Discard, contents)
			require.Error(t, err)
			if c.want != nil {
				require.ErrorIs(t, err, c.want)
			}
		})
	}
	require.ErrorIs(t, Write(full{}, h.contents(Scope{Type: ScopeAll}, heads)), io.ErrShortWrite)
}

func linesOf(lines ...Line) iter.Seq2[Line, error] {
	return func(yield func(Line, error) bool) {
		for _, l := range lines {
			if !yield(l, nil) {
				return
			}
		}
	}
}

type full struct{}

func (full) Write([]byte) (int, error) { return 0, io.ErrShortWrite }

// TestWriteNoBomb: records of nothing but one letter are no zip bomb.
func TestWriteNoBomb(t *testing.T) {
	t.Parallel()
	h := newHistory()
	long := strings.Repeat("a", 1<<20)
	for i := range 3 {
		d := created(60+i, "acme")
		d.State = fmt.Appendf(nil, `{"name":%q,"status":"draft"}`, long)
		h.say(h.keys.amendment, d)
	}
	b := written(h.contents(Scope{Type: ScopeAll}, h.headsRecord(nil)))
	fsys, err := NewZip(bytes.NewReader(b), int64(len(b)))
	require.NoError(t, err)
	report, err := Verify(fsys, h.options())
	require.NoError(t, err)
	require.True(t, report.Passed())
	require.Less(t, len(b), 1<<20, "it is still packed")
}

// TestWriteConstantMemory: lines are not kept.
func TestWriteConstantMemory(t *testing.T) {
	t.Parallel()
	h := newHistory()
	c := h.contents(Scope{Type: ScopeAll}, h.headsRecord(nil))
	c.Heads.Earlier = nil
	e := h.entries[6]
	var old []weak.Pointer[byte]
	c.Amendments = func(yield func(Line, error) bool) {
		for i := range int64(50) {
			l := Line{Entry: e}
			l.LogIndex = 100 + i
			l.Batch = nil
			l.Bytes = slices.Clone(e.Bytes)
			old = append(old, weak.Make(&l.Bytes[0]))
			if !yield(l, nil) {
				return
			}
		}
		runtime.GC()
		for i, p := range old[:49] {
			kept := p.Value() != nil
			require.Equal(t, i == 0, kept, "line %d: only the sample is kept", i)
		}
	}
	require.NoError(t, Write(io.Discard, c))
	require.Len(t, old, 50)
}

// TestWriteRefusesWhatNobodyReads: no line and no file longer than a reader takes.
func TestWriteRefusesWhatNobodyReads(t *testing.T) {
	t.Parallel()
	h := newHistory()
	of := func(size, lines int) Contents {
		c := h.contents(Scope{Type: ScopeAll}, h.headsRecord(nil))
		e := h.entries[6]
		e.Opening = &ledger.Opening{State: bytes.Repeat([]byte("ab"), size/2)}
		var all []Line
		for i := range lines {
			e.LogIndex = int64(100 + i)
			all = append(all, Line{Entry: e})
		}
		c.Keys = linesOf(all...)
		return c
	}
	require.NoError(t, Write(io.Discard, of(maxLine/2, 1)))
	require.ErrorIs(t, Write(io.Discard, of(maxLine, 1)), errTooLarge)
	require.ErrorIs(t, Write(io.Discard, of(maxLine/2, 2*maxKeys/maxLine+1)), errTooLarge)
}
