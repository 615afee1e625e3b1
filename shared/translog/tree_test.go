package translog

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/dlai-sd/plant/shared/ledger"
	"github.com/stretchr/testify/require"
	"golang.org/x/mod/sumdb/tlog"
	"pgregory.net/rapid"
)

// oracle is the tree of golang.org/x/mod/sumdb/tlog, with its own provers.
type oracle []tlog.Hash

func (o *oracle) read(indexes []int64) ([]tlog.Hash, error) {
	out := make([]tlog.Hash, len(indexes))
	for i, at := range indexes {
		out[i] = (*o)[at]
	}
	return out, nil
}

func (o *oracle) append(t require.TestingT, n int64, data []byte) {
	more, err := tlog.StoredHashes(n, data, tlog.HashReaderFunc(o.read))
	require.NoError(t, err)
	*o = append(*o, more...)
}

func entry(n int64) ledger.Hash { return ledger.HashOf(fmt.Appendf(nil, "entry %d", n)) }

// grow returns one tree of size leaves in every form.
func grow(t require.TestingT, size int64) (*Tree, *Range, *oracle) {
	var tree Tree
	var compact Range
	var o oracle
	for n := range size {
		e := entry(n)
		tree.Append(EntryLeaf(e))
		compact.Append(EntryLeaf(e))
		o.append(t, n, e[:])
	}
	return &tree, &compact, &o
}

func toTlog(path []ledger.Hash) []tlog.Hash { return hashes(path) }

func TestProofsAgreeWithOracle(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		size := rapid.Int64Range(1, 300).Draw(t, "size")
		tree, compact, o := grow(t, size)
		nodes := Nodes(tree.Node)
		reader := tlog.HashReaderFunc(o.read)
		want, err := tlog.TreeHash(size, reader)
		require.NoError(t, err)
		root, err := nodes.Root(size)
		require.NoError(t, err)
		require.Equal(t, ledger.Hash(want), root)
		require.Equal(t, root, compact.Root())
		require.Equal(t, size, compact.Size())
		require.Equal(t, root, RootOf(tree.levels[0]))
		require.Equal(t, size, tree.Size())

		part := rapid.Int64Range(1, size).Draw(t, "part")
		partRoot, err := nodes.Root(part)
		require.NoError(t, err)

		index := rapid.Int64Range(0, part-1).Draw(t, "index")
		inclusion, err := nodes.Inclusion(index, part)
		require.NoError(t, err)
		proof, err := tlog.ProveRecord(part, index, reader)
		require.NoError(t, err)
		require.True(t, slices.Equal(toTlog(inclusion), []tlog.Hash(proof)))
		require.NoError(t, CheckInclusion(inclusion, part, partRoot, index, EntryLeaf(entry(index))))

		consistency, err := nodes.Consistency(part, size)
		require.NoError(t, err)
		treeProof, err := tlog.ProveTree(size, part, reader)
		require.NoError(t, err)
		require.True(t, slices.Equal(toTlog(consistency), []tlog.Hash(treeProof)))
		require.NoError(t, CheckConsistency(consistency, size, root, part, partRoot))

		resumed, err := nodes.Range(part)
		require.NoError(t, err)
		for n := part; n < size; n++ {
			resumed.Append(EntryLeaf(entry(n)))
		}
		require.Equal(t, root, resumed.Root())
	})
}

// TestChecksAreStrict: whatever is changed of a path that holds, it holds no more.
func TestChecksAreStrict(t *testing.T) {
	t.Parallel()
	spoil := func(t *rapid.T, path []ledger.Hash) []ledger.Hash {
		path = slices.Clone(path)
		switch rapid.IntRange(0, 3).Draw(t, "how") {
		case 0:
			return append(path, entry(-1))
		case 1:
			if len(path) > 0 {
				return path[1:]
			}
		case 2:
			if len(path) > 0 {
				return path[:len(path)-1]
			}
		}
		if len(path) == 0 {
			return []ledger.Hash{{}}
		}
		at := rapid.IntRange(0, len(path)-1).Draw(t, "at")
		path[at][rapid.IntRange(0, 31).Draw(t, "byte")] ^= 1 << rapid.IntRange(0, 7).Draw(t, "bit")
		return path
	}
	rapid.Check(t, func(t *rapid.T) {
		size := rapid.Int64Range(2, 200).Draw(t, "size")
		tree, compact, _ := grow(t, size)
		nodes, root := Nodes(tree.Node), compact.Root()
		index := rapid.Int64Range(0, size-1).Draw(t, "index")
		path, err := nodes.Inclusion(index, size)
		require.NoError(t, err)
		leaf := EntryLeaf(entry(index))
		require.Error(t, CheckInclusion(spoil(t, path), size, root, index, leaf))
		require.Error(t, CheckInclusion(path, size, root, index, EntryLeaf(entry(index+1))))
		require.Error(t, CheckInclusion(path, size, entry(0), index, leaf))
		other := rapid.Int64Range(-2, size+2).Filter(func(n int64) bool { return n != index }).Draw(t, "other")
		require.Error(t, CheckInclusion(path, size, root, other, leaf))

		from := rapid.Int64Range(1, size).Draw(t, "from")
		fromRoot, err := nodes.Root(from)
		require.NoError(t, err)
		path, err = nodes.Consistency(from, size)
		require.NoError(t, err)
		require.Error(t, CheckConsistency(spoil(t, path), size, root, from, fromRoot))
		require.Error(t, CheckConsistency(path, size, entry(0), from, fromRoot))
		require.Error(t, CheckConsistency(path, size, root, from, entry(0)))
	})
}

func TestTreeBounds(t *testing.T) {
	t.Parallel()
	require.Equal(t, ledger.HashOf(nil), RootOf(nil))
	var empty Tree
	require.Zero(t, empty.Size())
	root, err := Nodes(empty.Node).Root(0)
	require.NoError(t, err)
	require.Equal(t, ledger.HashOf(nil), root)

	tree, compact, _ := grow(t, 7)
	nodes := Nodes(tree.Node)
	for _, at := range []struct{ index, size int64 }{{-1, 7}, {7, 7}, {0, 0}, {6, 6}} {
		_, err := nodes.Inclusion(at.index, at.size)
		require.Error(t, err)
	}
	for _, at := range []struct{ from, to int64 }{{0, 7}, {8, 7}, {-1, 7}} {
		_, err := nodes.Consistency(at.from, at.to)
		require.Error(t, err)
	}
	_, err = nodes.Root(-1)
	require.Error(t, err)
	for _, at := range []struct {
		level int
		index int64
	}{{-1, 0}, {3, 0}, {0, 7}, {0, -1}, {1, 3}} {
		_, err := tree.Node(at.level, at.index)
		require.Error(t, err)
	}
	require.Error(t, CheckInclusion(make([]ledger.Hash, 65), 1<<62, compact.Root(), 0, ledger.Hash{}))
	require.Error(t, CheckConsistency(make([]ledger.Hash, 65), 1<<62, compact.Root(), 1, ledger.Hash{}))
	require.Error(t, CheckInclusion(nil, 1<<62, compact.Root(), 1<<61, ledger.Hash{}))
	require.Error(t, CheckConsistency(nil, 0, ledger.HashOf(nil), 0, ledger.HashOf(nil)))
}

// TestNodesFail: a reader's error comes through, from wherever it is.
func TestNodesFail(t *testing.T) {
	t.Parallel()
	tree, _, _ := grow(t, 13)
	broken := errors.New("broken")
	for left := range 4 {
		reads := 0
		nodes := Nodes(func(level int, index int64) (ledger.Hash, error) {
			if reads++; reads > left {
				return ledger.Hash{}, broken
			}
			return tree.Node(level, index)
		})
		_, err := nodes.Inclusion(11, 13)
		require.ErrorIs(t, err, broken)
		reads = 0
		_, err = nodes.Consistency(11, 13)
		require.ErrorIs(t, err, broken)
	}
	_, err := Nodes(func(int, int64) (ledger.Hash, error) { return ledger.Hash{}, broken }).Root(3)
	require.ErrorIs(t, err, broken)
}

// TestRangeIsCompact: a long tree needs no more hashes than its size has bits.
func TestRangeIsCompact(t *testing.T) {
	t.Parallel()
	var r Range
	leaf := EntryLeaf(entry(0))
	for range 1<<14 - 1 {
		r.Append(leaf)
		require.LessOrEqual(t, len(r.peaks), 14)
	}
	require.Len(t, r.peaks, 14)
	r.Append(leaf)
	require.Len(t, r.peaks, 1)
}
