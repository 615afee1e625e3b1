package translog_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/dlai-sd/plant/shared/ledger"
	"github.com/dlai-sd/plant/shared/translog"
)

// TestClimbIsInclusion: the path made while leaves go by is the one from a tree
// that is held whole.
func TestClimbIsInclusion(t *testing.T) {
	t.Parallel()
	var tree translog.Tree
	var leaves []ledger.Hash
	for size := int64(1); size <= 70; size++ {
		leaves = append(leaves, translog.Leaf([]byte{byte(size)}))
		tree.Append(leaves[size-1])
		for index := range size {
			climb, err := translog.NewClimb(index, size)
			require.NoError(t, err)
			for _, leaf := range leaves[:size-1] {
				climb.Append(leaf)
			}
			_, err = climb.Path()
			require.Error(t, err, "a leaf is missing")
			climb.Append(leaves[size-1])
			got, err := climb.Path()
			require.NoError(t, err)
			want, err := translog.Nodes(tree.Node).Inclusion(index, size)
			require.NoError(t, err)
			require.Equal(t, want, got)
		}
	}
	for _, bad := range [][2]int64{{0, 0}, {-1, 3}, {3, 3}} {
		_, err := translog.NewClimb(bad[0], bad[1])
		require.Error(t, err)
	}
}
