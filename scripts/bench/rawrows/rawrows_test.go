package rawrows

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestColumns: the rows of a bulk insert, turned on their side.
func TestColumns(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		values []any
		want   any
	}{
		{[]any{"a", "b"}, []string{"a", "b"}},
		{[]any{1, int64(2)}, []int64{1, 2}},
		{[]any{true, false}, []bool{true, false}},
		{[]any{at}, []time.Time{at}},
		{[]any{nil, []byte{1}}, [][]byte{nil, {1}}},
	} {
		column := emptyColumn(c.values[0])
		for _, v := range c.values {
			column = appended(column, v)
		}
		require.Equal(t, c.want, column)
	}
}
