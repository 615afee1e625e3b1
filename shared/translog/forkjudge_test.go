package translog

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/dlai-sd/plant/shared/ledger"
)

// TestJudgeFork: a statement counts only whole, of entries that stand before it, in
// favour of the log that is expected, and signed by a root in force where it stands.
func TestJudgeFork(t *testing.T) {
	t.Parallel()
	root, second, heads := rootKey(), newRSA(), headsKey()
	const may = `,"may_sign":["introduced","retired","revoked"]`
	introduced := keyRecord(1, second.private.Public(), ledger.UseRoot, "introduced", may, nil)
	revoked := keyRecord(1, second.private.Public(), ledger.UseRoot, "revoked", may+`,"invalid_from":3,"status":"revoked"`, &introduced)
	ring := ringOf(t, introduced, keyRecord(2, heads.private.Public(), ledger.UseHeads, "introduced", "", nil), revoked)
	statement := func(signer rsaKey, edit func(*Fork)) (b, signature []byte) {
		t.Helper()
		f := Fork{
			Origin: "new.example/log", FromOrigin: testOrigin, Number: 7,
			Lost: Checkpoint{Size: 10, Root: entry(1)}, Good: Checkpoint{Size: 5, Root: entry(2)}, KeyID: signer.id, RecordedAt: testTime,
		}
		edit(&f)
		b, err := f.Bytes()
		require.NoError(t, err)
		return b, must(ledger.Sign(signer.private, b))
	}
	as := func(*Fork) {}
	good, signature := statement(root, as)
	anew := func(f *Fork) { f.Good.Size, f.Good.Root = 0, RootOf(nil) }
	by := func(signer rsaKey) [2][]byte { b, s := statement(signer, anew); return [2][]byte{b, s} }
	flipped := append([]byte{signature[0] ^ 1}, signature[1:]...)
	posing, _ := statement(heads, func(f *Fork) { f.KeyID = root.id })
	for name, c := range map[string]struct {
		said   [2][]byte
		at     int64
		origin string
		want   ledger.Reason
	}{
		"as it should be":                 {[2][]byte{good, signature}, 6, "new.example/log", ""},
		"right behind the last good one":  {[2][]byte{good, signature}, 5, "new.example/log", ""},
		"of an entry not yet there":       {[2][]byte{good, signature}, 4, "new.example/log", ReasonForkMalformed},
		"not a statement":                 {[2][]byte{good[1:], signature}, 6, "new.example/log", ReasonForkMalformed},
		"to another log":                  {[2][]byte{good, signature}, 6, "other.example/log", ledger.ReasonOriginWrong},
		"to the log that it begins anew":  {[2][]byte{good, signature}, 6, testOrigin, ledger.ReasonOriginWrong},
		"one bit of the signature":        {[2][]byte{good, flipped}, 6, "new.example/log", ledger.ReasonSignatureInvalid},
		"another statement's signature":   {[2][]byte{[]byte(strings.Replace(string(good), `"good_size":5`, `"good_size":4`, 1)), signature}, 6, "new.example/log", ledger.ReasonSignatureInvalid},
		"no signature":                    {[2][]byte{good, nil}, 6, "new.example/log", ledger.ReasonSignatureInvalid},
		"signed by another than it names": {[2][]byte{posing, must(ledger.Sign(heads.private, posing))}, 6, "new.example/log", ledger.ReasonSignatureInvalid},
		"a key that is no root":           {by(heads), 6, "new.example/log", ledger.ReasonKeyMayNotSign},
		"a key that nobody introduced":    {by(newRSA()), 6, "new.example/log", ledger.ReasonKeyUnknown},
		"a root not yet in force":         {by(second), 1, "new.example/log", ledger.ReasonKeyNotInForce},
		"a second root":                   {by(second), 2, "new.example/log", ""},
		"a root that was revoked by then": {by(second), 3, "new.example/log", ledger.ReasonKeyRevoked},
	} {
		err := JudgeFork(ring, c.said[0], c.said[1], c.at, c.origin)
		require.Equal(t, c.want, ledger.ReasonOf(err), "%s: %v", name, err)
		require.Equal(t, c.want == "", err == nil, name)
	}
}

// TestHeadsOfTheOriginThen: a heads record names the origin of its place, also in a
// log that was forked since.
func TestHeadsOfTheOriginThen(t *testing.T) {
	t.Parallel()
	root, heads := rootKey(), headsKey()
	entries := []ledger.Entry{
		{Amendment: keyRecord(0, root.private.Public(), ledger.UseRoot, "introduced", `,"may_sign":["introduced","retired","revoked"]`, nil)},
		{Amendment: keyRecord(1, heads.private.Public(), ledger.UseHeads, "introduced", "", nil), LogIndex: 1},
	}
	ring, faults := ledger.NewKeyring("new.example/log", root.id, entries, ledger.Earlier{Origin: testOrigin, Below: 8})
	require.Equal(t, []*ledger.Fault{nil, nil}, faults)
	for _, c := range []struct {
		at     int64
		origin string
		want   ledger.Reason
	}{
		{7, testOrigin, ""},
		{8, testOrigin, ledger.ReasonOriginWrong},
		{7, "new.example/log", ledger.ReasonOriginWrong},
		{8, "new.example/log", ""},
	} {
		h, err := NewHeads(c.origin, heads.id, c.at, testTime, testRows())
		require.NoError(t, err)
		err = JudgeHeads(ring, h.Bytes(), must(ledger.Sign(heads.private, h.Bytes())), c.at)
		require.Equal(t, c.want, ledger.ReasonOf(err), "%d %s: %v", c.at, c.origin, err)
	}
}
