package translog

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/dlai-sd/plant/shared/ledger"
)

func leafAt(i int64) ledger.Hash { return EntryLeaf(ledger.HashOf(fmt.Appendf(nil, "entry %d", i))) }

// grown is the same tree twice: in tiles, grown in steps, and in memory.
func grown(steps []int) (Tiles, *Tree) {
	tiles, tree := Tiles{}, &Tree{}
	for _, n := range steps {
		size := tree.Size()
		leaves := make([]ledger.Hash, n)
		for i := range leaves {
			leaves[i] = leafAt(size + int64(i))
			tree.Append(leaves[i])
		}
		edge := Tiles{} // what a sequencer reads back
		for _, id := range EdgeTiles(size) {
			edge[id] = tiles[id]
		}
		for _, id := range edge.Grow(size, leaves) {
			tiles[id] = edge[id]
		}
	}
	return tiles, tree
}

func only(tiles Tiles, ids []TileID) Tiles {
	some := Tiles{}
	for _, id := range ids {
		some[id] = tiles[id]
	}
	return some
}

// TestTilesAreTheTree: roots and paths from the tiles that they are said to need,
// and no others, are those of the tree.
func TestTilesAreTheTree(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		tiles, tree := grown(rapid.SliceOfN(rapid.IntRange(1, 700), 1, 6).Draw(t, "steps"))
		whole := Nodes(tree.Node)
		to := rapid.Int64Range(1, tree.Size()).Draw(t, "to")
		from := rapid.Int64Range(1, to).Draw(t, "from")
		index := rapid.Int64Range(0, to-1).Draw(t, "index")

		want, err := whole.Root(to)
		require.NoError(t, err)
		got, err := Nodes(only(tiles, EdgeTiles(to)).Node).Root(to)
		require.NoError(t, err)
		require.Equal(t, want, got)

		path, err := Nodes(only(tiles, InclusionTiles(index, to)).Node).Inclusion(index, to)
		require.NoError(t, err)
		require.NoError(t, CheckInclusion(path, to, want, index, leafAt(index)))

		older, err := whole.Root(from)
		require.NoError(t, err)
		path, err = Nodes(only(tiles, ConsistencyTiles(from, to)).Node).Consistency(from, to)
		require.NoError(t, err)
		require.NoError(t, CheckConsistency(path, to, want, from, older))
	})
}

func TestTilesThatAreNotThere(t *testing.T) {
	t.Parallel()
	tiles, _ := grown([]int{300})
	for _, at := range []struct {
		level int
		index int64
	}{{0, 300}, {0, -1}, {-1, 0}, {1, 150}, {8, 1}, {16, 0}, {5, 9}} {
		_, err := tiles.Node(at.level, at.index)
		require.Error(t, err, at)
	}
	_, err := tiles.Node(8, 0)
	require.NoError(t, err)
	require.Empty(t, EdgeTiles(0))
	require.Equal(t, []TileID{{1, 0}}, EdgeTiles(256))
	require.Equal(t, []TileID{{0, 273}, {1, 1}, {2, 0}}, EdgeTiles(70_000), "the specification's example")
}

func TestTilePaths(t *testing.T) {
	t.Parallel()
	for path, want := range map[string]TileRef{
		"0/000":                               {TileID: TileID{0, 0}, Width: 256},
		"1/000.p/17":                          {TileID: TileID{1, 0}, Width: 17},
		"0/x001/x234/067":                     {TileID: TileID{0, 1234067}, Width: 256},
		"63/x001/000.p/255":                   {TileID: TileID{63, 1000}, Width: 255},
		"entries/x001/000":                    {Entries: true, TileID: TileID{0, 1000}, Width: 256},
		"entries/x273.p/1":                    {},
		"entries/273.p/112":                   {Entries: true, TileID: TileID{0, 273}, Width: 112},
		"":                                    {},
		"0":                                   {},
		"0/":                                  {},
		"64/000":                              {},
		"00/000":                              {},
		"-1/000":                              {},
		"0/00":                                {},
		"0/0000":                              {},
		"0/x000/001":                          {},
		"0/001/x234/067":                      {},
		"0/000.p/0":                           {},
		"0/000.p/256":                         {},
		"0/000.p/007":                         {},
		"0/000.p/7/":                          {},
		"0/000/":                              {},
		"0/-01":                               {},
		"0/+01":                               {},
		"entries":                             {},
		"data/000":                            {},
		"0/x999/x999/x999/x999/x999/x999/999": {},
	} {
		got, err := ParseTilePath(path)
		if want.Width == 0 {
			require.Error(t, err, path)
			continue
		}
		require.NoError(t, err, path)
		require.Equal(t, want, got, path)
		require.Equal(t, path, got.Path())
	}
}

func FuzzParseTilePath(f *testing.F) {
	f.Add("0/x001/x234/067.p/3")
	f.Add("entries/000")
	f.Fuzz(func(t *testing.T, path string) {
		if ref, err := ParseTilePath(path); err == nil {
			require.Equal(t, path, ref.Path())
		}
	})
}

func TestEntryBundleAndProofText(t *testing.T) {
	t.Parallel()
	one := ledger.HashOf([]byte("1"))
	require.Equal(t, append(append([]byte{0, 32}, one[:]...), append([]byte{0, 32}, one[:]...)...), EntryBundle([]ledger.Hash{one, one}))
	require.Equal(t, "c2sp.org/tlog-proof@v1\nindex 0\n\norigin\n", string(ProofText(0, nil, []byte("origin\n"))))
	require.Equal(t, "c2sp.org/tlog-proof@v1\nindex 7\na4ayc/80/OGda4BO/1o/V0etpOqiLx1JwB5S3beHW0s=\n\nc", string(ProofText(7, []ledger.Hash{one}, []byte("c"))))
}
