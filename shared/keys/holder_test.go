package keys_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/dlai-sd/plant/shared/domain"
	"github.com/dlai-sd/plant/shared/keys"
)

// twoVersions stores two keys and returns a Holder that reads the version that
// current names, with a clock that the test moves.
func twoVersions(t *testing.T) (h *keys.Holder, f *fake, current *atomic.Value, clock *atomic.Int64) {
	t.Helper()
	s, f := newSource(t)
	for range 2 {
		_, err := s.Add(t.Context(), secret, pkcs8(t, ed(t)))
		require.NoError(t, err)
	}
	current, clock = &atomic.Value{}, &atomic.Int64{}
	current.Store(first)
	locate := func(context.Context) (string, error) { return current.Load().(string), nil }
	return s.Hold(locate, func() time.Time { return time.Unix(clock.Load(), 0) }), f, current, clock
}

func TestHolderReadsOnce(t *testing.T) {
	t.Parallel()
	h, f, _, _ := twoVersions(t)
	var all sync.WaitGroup
	for range 16 {
		all.Go(func() {
			k, err := h.Key(t.Context())
			if err != nil || k.Version() != first {
				t.Errorf("key: %v, %v", k, err)
			}
		})
	}
	all.Wait()
	require.Equal(t, 1, f.readCount())
}

func TestHolderDoesNotKeepErrors(t *testing.T) {
	t.Parallel()
	h, f, _, _ := twoVersions(t)
	f.set(func(f *fake) { f.fail = status.Error(codes.Internal, "down") })
	_, err := h.Key(t.Context())
	require.Equal(t, domain.CodeUnavailable, codeOf(err))
	f.set(func(f *fake) { f.fail = nil })
	_, err = h.Key(t.Context())
	require.NoError(t, err)
}

func TestHolderReload(t *testing.T) {
	t.Parallel()
	h, f, current, clock := twoVersions(t)
	old, err := h.Key(t.Context())
	require.NoError(t, err)

	_, err = h.Reload(t.Context(), old.ID())
	require.Equal(t, domain.CodeUnavailable, codeOf(err), "the secret still holds the old key")
	require.Equal(t, 2, f.readCount())

	current.Store(second)
	_, err = h.Reload(t.Context(), old.ID())
	require.Equal(t, domain.CodeUnavailable, codeOf(err), "not twice a minute")
	require.Equal(t, 2, f.readCount())

	clock.Add(60)
	var all sync.WaitGroup
	for range 16 {
		all.Go(func() {
			k, err := h.Reload(t.Context(), old.ID())
			if err != nil || k.Version() != second {
				t.Errorf("reload: %v, %v", k, err)
			}
		})
	}
	all.Wait()
	require.Equal(t, 3, f.readCount(), "one read for all of them")

	k, err := h.Key(t.Context())
	require.NoError(t, err)
	require.Equal(t, second, k.Version())

	f.set(func(f *fake) { f.fail = status.Error(codes.Internal, "down") })
	clock.Add(60)
	_, err = h.Reload(t.Context(), k.ID())
	require.Equal(t, domain.CodeUnavailable, codeOf(err))
	_, err = h.Key(t.Context())
	require.NoError(t, err, "a failed reload loses nothing")
}

func TestHolderGivesUpWaiting(t *testing.T) {
	t.Parallel()
	h, f, _, _ := twoVersions(t)
	reading, proceed := make(chan struct{}), make(chan struct{})
	f.set(func(f *fake) { f.onAccess = func() { close(reading); <-proceed } })
	done := make(chan error)
	go func() { _, err := h.Key(t.Context()); done <- err }()
	<-reading
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := h.Key(ctx)
	require.ErrorIs(t, err, context.Canceled)
	close(proceed)
	require.NoError(t, <-done)
}

func TestHolderLocate(t *testing.T) {
	t.Parallel()
	s, _ := newSource(t)
	lost := errors.New("nobody knows")
	_, err := s.Hold(func(context.Context) (string, error) { return "", lost }, nil).Key(t.Context())
	require.ErrorIs(t, err, lost)

	version, err := s.Add(t.Context(), secret, pkcs8(t, ed(t)))
	require.NoError(t, err)
	k, err := s.Hold(keys.Pinned(version), nil).Key(t.Context())
	require.NoError(t, err)
	require.Equal(t, version, k.Version())
}
