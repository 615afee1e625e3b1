package ledger

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// TestOriginAt: each entry names the deployment that was in force at its place, and
// none that was before or came after.
func TestOriginAt(t *testing.T) {
	t.Parallel()
	const second, third = "second.example/plant", "third.example/plant"
	forked, faults := NewKeyring(third, rootKey().id, keyLog(), Earlier{Origin: testOrigin, Below: 5}, Earlier{Origin: second, Below: 9})
	require.Equal(t, []Reason{"", "", ""}, reasons(faults))
	require.Equal(t, []string{testOrigin, second, third}, forked.Origins())
	one, _ := NewKeyring(testOrigin, rootKey().id, keyLog())
	require.Equal(t, []string{testOrigin}, one.Origins())
	born := func(origin string) Amendment {
		s := amendmentKey().sealer()
		s.Origin = origin
		sealed, err := s.Seal([]Draft{skill(60)})
		require.NoError(t, err)
		return sealed[0]
	}
	for _, c := range []struct {
		at     int64
		origin string
	}{{3, testOrigin}, {4, testOrigin}, {5, second}, {8, second}, {9, third}, {1 << 40, third}} {
		require.Equal(t, c.origin, forked.OriginAt(c.at), c.at)
		require.Equal(t, testOrigin, one.OriginAt(c.at), c.at)
		for _, origin := range forked.Origins() {
			want := Reason("")
			if origin != c.origin {
				want = ReasonOriginWrong
			}
			require.Equal(t, []Reason{want}, reasons(forked.Judge(log(c.at, born(origin)))), "%d %s", c.at, origin)
		}
	}
	_, faults = NewKeyring(third, rootKey().id, keyLog(), Earlier{Origin: testOrigin, Below: 2})
	require.Equal(t, []Reason{"", "", ReasonOriginWrong}, reasons(faults), "a key's record too")
}
