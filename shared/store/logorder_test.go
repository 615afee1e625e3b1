package store

import (
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/dlai-sd/plant/shared/domain"
)

func order(list []waiting) (names []string) {
	for _, w := range inOrder(list) {
		names = append(names, string(w.EntityID))
	}
	return names
}

// TestInOrder: time is the order wherever it can be; causes come before effects
// wherever clocks say otherwise.
func TestInOrder(t *testing.T) {
	t.Parallel()
	intro := func(key, by string) waiting { return waiting{EntityID: domain.ID(key), Seq: 1, Key: key, SignedBy: by} }
	other := func(id string) waiting { return waiting{EntityID: domain.ID(id), Rank: 1, SignedBy: "k"} }
	end := func(key, by string) waiting {
		return waiting{EntityID: domain.ID(key), Seq: 2, Rank: 2, Key: key, SignedBy: by, Ends: true}
	}
	said := func(key, by string, seq int64) waiting {
		return waiting{EntityID: domain.ID(key), Seq: seq, Rank: 2, Key: key, SignedBy: by}
	}
	for name, c := range map[string]struct {
		list []waiting
		want []string
	}{
		"as they came":               {[]waiting{intro("r", "r"), intro("a", "r"), other("x"), other("b"), end("a", "r")}, []string{"r", "a", "x", "b", "a"}},
		"the introducer is first":    {[]waiting{intro("a", "r2"), intro("r2", "r"), intro("r", "r")}, []string{"r", "r2", "a"}},
		"a root's end is last":       {[]waiting{end("r", "r2"), end("a", "r"), end("b", "r")}, []string{"a", "b", "r"}},
		"who ends itself":            {[]waiting{end("r", "r"), end("a", "r")}, []string{"a", "r"}},
		"along an entity":            {[]waiting{said("a", "r", 3), end("a", "r")}, []string{"a", "a"}},
		"a circle stays as it is":    {[]waiting{end("a", "b"), end("b", "a")}, []string{"a", "b"}},
		"nothing":                    {nil, nil},
		"others keep their places":   {[]waiting{other("z"), other("a"), other("m")}, []string{"z", "a", "m"}},
		"an end beside nothing else": {[]waiting{end("a", "r")}, []string{"a"}},
	} {
		require.Equal(t, c.want, order(c.list), name)
	}
	seqs := inOrder([]waiting{said("a", "r", 3), end("a", "r")})
	require.EqualValues(t, 2, seqs[0].Seq)
}

// TestInOrderIsAnOrder: nothing is lost, and whatever the clocks said, nobody signs
// after its end or before its introduction.
func TestInOrderIsAnOrder(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 12).Draw(t, "keys")
		var history []waiting // a real history: each is signed by a key that is in force then
		names := "abcdefghijkl"
		for i := range n {
			by := names[:1]
			if i > 0 {
				j := rapid.IntRange(0, i-1).Draw(t, "by")
				by = names[j : j+1]
			}
			history = append(history, waiting{EntityID: domain.ID(names[i : i+1]), Seq: 1, Key: names[i : i+1], SignedBy: by})
		}
		var ends []waiting
		for i := n - 1; i > 0; i-- { // ended by any that is introduced before it: those still live
			j := rapid.IntRange(0, i-1).Draw(t, "ends")
			ends = append(ends, waiting{EntityID: domain.ID(names[i : i+1]), Seq: 2, Rank: 2, Key: names[i : i+1], SignedBy: names[j : j+1], Ends: true})
		}
		list := append(rapid.Permutation(history).Draw(t, "introductions"), rapid.Permutation(ends).Draw(t, "ends")...)
		got := inOrder(list)
		require.ElementsMatch(t, append(history, ends...), got)
		known, ended := map[string]bool{}, map[string]bool{}
		for _, w := range got {
			require.True(t, known[w.SignedBy] || w.SignedBy == w.Key && w.Seq == 1, "%s before its introduction", w.SignedBy)
			require.False(t, ended[w.SignedBy], "%s after its end", w.SignedBy)
			known[w.Key], ended[w.Key] = true, w.Ends
		}
	})
}
