package table_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/dlai-sd/plant/scripts/drill/table"
)

func TestEveryGroupHasOneHeading(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	require.NoError(t, table.Print(&b, []table.Line{
		{On: "bundles", Group: "openings", Attack: "first", Tried: 1, Found: 1},
		{On: "bundles", Group: "vectors", Attack: "second", Tried: 1, Found: 1},
		{On: "bundles", Group: "openings", Attack: "third", Tried: 2, Found: 1, Missed: []string{"nothing"}},
		{On: "databases", Group: "openings", Attack: "fourth"},
	}))
	require.Regexp(t, `(?s)BUNDLES: OPENINGS .*first .*1 of 1.*third .*1 of 2.*BUNDLES: VECTORS .*second .*DATABASES: OPENINGS .*fourth .*nothing to attack.*NOT FOUND: bundles, openings, third: nothing`, b.String())
	require.Equal(t, 1, strings.Count(b.String(), "BUNDLES: OPENINGS"))
}
