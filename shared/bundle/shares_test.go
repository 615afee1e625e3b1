package bundle

import (
	"bytes"
	"io/fs"
	"slices"
	"strings"
	"testing"

	"github.com/dlai-sd/plant/shared/ledger"
	"github.com/stretchr/testify/require"
)

// TestVerifyInShares: a file that is read several times is judged alike.
func TestVerifyInShares(t *testing.T) {
	t.Parallel()
	b := sampleBundles()[0]
	whole, err := Verify(b.fsys, b.options)
	require.NoError(t, err)
	require.EqualValues(t, 15, whole.Amendments)
	require.EqualValues(t, 11, whole.Entities)
	for _, chunk := range []int64{1, 1000, 5000} {
		shared, err := verify(b.fsys, b.options, chunk)
		require.NoError(t, err)
		require.Equal(t, whole, shared)
	}
	bad := clone(b.fsys)
	member(t, bad, amendmentsFile, 6, "signature", strings.Repeat("A", 682)+"==")
	_, reasons := judge(t, bad, b.options)
	require.Equal(t, map[string]ledger.Reason{"signature": ledger.ReasonSignatureInvalid}, reasons)
	shared, err := verify(bad, b.options, 700)
	require.NoError(t, err)
	require.Equal(t, reasons, reasonsOf(shared))
}

// scanned is a verifier after its first reading.
type scanned struct {
	*verifier
	scanned *scan
}

func newScan(t *testing.T, fsys fs.FS, o Options) scanned {
	t.Helper()
	v, err := newVerifier(fsys, o, chunk)
	require.NoError(t, err)
	require.NoError(t, v.load())
	s, err := v.scanAll()
	require.NoError(t, err)
	return scanned{v, s}
}

// TestVerifyInAnyOrder: lines that stand in reverse are out of order, and else say
// the same.
func TestVerifyInAnyOrder(t *testing.T) {
	t.Parallel()
	h := newHistory()
	last := h.entries[slices.IndexFunc(h.entries, func(e ledger.Entry) bool { return e.Record.Change == "erased" })]
	h.say(h.keys.amendment, after(last.Amendment, "evolved", `{"name":"Skill 10, best","status":"certified"}`))
	fsys := h.pack(Scope{Type: ScopeGovernanceAgent, ID: "acme"})
	lines := bytes.SplitAfter(bytes.TrimSuffix(fsys[amendmentsFile].Data, []byte("\n")), []byte("\n"))
	lines[len(lines)-1] = append(lines[len(lines)-1], '\n')
	slices.Reverse(lines)
	fsys[amendmentsFile].Data = bytes.Join(lines, nil)
	_, reasons := judge(t, fsys, h.options())
	require.Equal(t, reasonMap{"integrity": ReasonLogOrder}, reasons)

	v := newScan(t, fsys, h.options())
	chains, err := v.chainsOf(v.scanned, 0, 1)
	require.NoError(t, err)
	faults := v.judgeKeys(v.scanned.keys)
	for _, chain := range chains {
		v.judgeChain(v.scanned, chain, faults)
	}
	require.Nil(t, v.integrity.offender, "each chain is judged in log order")
}

// TestSharesAreAPartition: every entity is in exactly one share, with all its
// lines, and shares are about alike.
func TestSharesAreAPartition(t *testing.T) {
	t.Parallel()
	b := sampleBundles()[0]
	v := newScan(t, b.fsys, b.options)
	s := v.scanned
	whole, err := v.chainsOf(s, 0, 1)
	require.NoError(t, err)
	require.Len(t, whole, 11)
	merged := map[string][]line{}
	for share := range int64(3) {
		chains, err := v.chainsOf(s, share, 3)
		require.NoError(t, err)
		require.Less(t, len(chains), len(whole))
		for id, chain := range chains {
			require.NotContains(t, merged, id)
			merged[id] = chain
		}
	}
	require.Equal(t, whole, merged)
}

// TestNothingChangesMeanwhile: a file that is read again must be the one that was read
// before, be it longer, shorter or other.
func TestNothingChangesMeanwhile(t *testing.T) {
	t.Parallel()
	b := sampleBundles()[0]
	line := append(lineOf(b.fsys, amendmentsFile, 1), '\n')
	for name, change := range map[string]func([]byte) []byte{
		"longer":  func(text []byte) []byte { return slices.Concat(text, line) },
		"shorter": func(b []byte) []byte { return b[:bytes.LastIndexByte(b[:len(b)-1], '\n')+1] },
		"other":   func(b []byte) []byte { return bytes.Replace(b, []byte(`"salt"`), []byte(` "salt"`), 1) },
	} {
		fsys := clone(b.fsys)
		v := newScan(t, fsys, b.options)
		fsys[amendmentsFile].Data = change(fsys[amendmentsFile].Data)
		var not *NotBundleError
		for share := range int64(2) {
			_, err := v.chainsOf(v.scanned, share, 2)
			require.ErrorAs(t, err, &not, name)
		}
	}
}

// TestKeysAreBounded: records of signing keys are held in memory, in whichever
// file they stand.
func TestKeysAreBounded(t *testing.T) {
	t.Parallel()
	b := sampleBundles()[0]
	v, err := newVerifier(b.fsys, b.options, chunk)
	require.NoError(t, err)
	s := newScanner(v)
	text := lineOf(b.fsys, keysFile, 1)
	s.scan.keyBytes = maxKeys - int64(len(text))
	require.NoError(t, s.taker(amendmentsFile)(1, text))
	var not *NotBundleError
	require.ErrorAs(t, s.taker(amendmentsFile)(2, text), &not)
	require.NoError(t, s.taker(amendmentsFile)(3, lineOf(b.fsys, amendmentsFile, 1)))
}
