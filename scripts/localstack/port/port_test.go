package port_test

import (
	"net"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/dlai-sd/plant/scripts/localstack/port"
)

func TestFreePortsDiffer(t *testing.T) {
	t.Parallel()
	ports, err := port.Free(16)
	require.NoError(t, err)
	seen := map[int]bool{}
	for _, p := range ports {
		require.False(t, seen[p])
		seen[p] = true
	}
	require.Len(t, seen, 16)
}

func TestTaken(t *testing.T) {
	t.Parallel()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer ln.Close()
	require.True(t, port.Taken(ln.Addr().(*net.TCPAddr).Port))
}

func TestHold(t *testing.T) {
	t.Parallel()
	held, err := port.Hold()
	require.NoError(t, err)
	require.True(t, port.Taken(held.Port))
	_, err = port.HoldThis(held.Port)
	require.Error(t, err)
	require.NoError(t, held.Release())
	again, err := port.HoldThis(held.Port)
	require.NoError(t, err)
	require.NoError(t, again.Release())
}
