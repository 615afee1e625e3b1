package issuetoken

import (
	"context"
	"errors"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dlai-sd/plant/shared/domain"
	"github.com/dlai-sd/plant/shared/web"
)

// TestComparisonsAreBounded: as many at a time as there are slots; who finds
// none free within the wait is told to come back.
func TestComparisonsAreBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const slots, callers = 3, 10
		var running, most, done, refused atomic.Int32
		c := newComparer(slots, func(_, _ []byte) error {
			if n := running.Add(1); n > most.Load() {
				most.Store(n)
			}
			time.Sleep(900 * time.Millisecond)
			running.Add(-1)
			return nil
		})
		began := time.Now()
		var wg sync.WaitGroup
		for range callers {
			wg.Go(func() {
				same, err := c.compare(t.Context(), nil, nil)
				if err == nil && same {
					done.Add(1)
					return
				}
				refused.Add(1)
				var p *web.Problem
				if assert.ErrorAs(t, err, &p) {
					assert.Equal(t, slotWait, time.Since(began))
					assert.Equal(t, domain.CodeUnavailable, p.Code)
					assert.Equal(t, "1", p.Header.Get("Retry-After"))
				}
			})
		}
		wg.Wait()
		require.EqualValues(t, slots, most.Load())
		require.EqualValues(t, 9, done.Load(), "three rounds begin within two seconds")
		require.EqualValues(t, 1, refused.Load())
		_, err := c.compare(t.Context(), nil, nil)
		require.NoError(t, err, "every slot is free again")
	})
}

func TestComparisonEndsWithItsCaller(t *testing.T) {
	t.Parallel()
	c := newComparer(1, func(_, _ []byte) error { return errors.New("not the secret") })
	c.slots <- struct{}{}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := c.compare(ctx, nil, nil)
	require.ErrorIs(t, err, context.Canceled)
	<-c.slots
	same, err := c.compare(t.Context(), nil, nil)
	require.NoError(t, err)
	require.False(t, same)
}

func TestComparisonGivesItsSlotBack(t *testing.T) {
	t.Parallel()
	c := newComparer(1, func(_, _ []byte) error { panic("out of luck") })
	require.Panics(t, func() { _, _ = c.compare(t.Context(), nil, nil) })
	require.Empty(t, c.slots)
}

// TestBusyFunction: over HTTP a function whose cores are taken answers 503, and
// the core it has serves again once it is free.
func TestBusyFunction(t *testing.T) {
	t.Parallel()
	cores := runtime.GOMAXPROCS(0)
	inside, leave := make(chan struct{}), make(chan struct{})
	var entered atomic.Int32
	k := newKit(t, func(_, _ []byte) error {
		if int(entered.Add(1)) > cores {
			return errors.New("one too many")
		}
		inside <- struct{}{}
		<-leave
		return errors.New("not the secret")
	})
	body := credentialsOf("acme/ci", "x")
	statuses := make(chan int, cores)
	for range cores {
		go func() {
			resp, err := http.Post(k.url+path, web.MediaForm, strings.NewReader(body))
			if err != nil {
				statuses <- 0
				return
			}
			_ = resp.Body.Close()
			statuses <- resp.StatusCode
		}()
	}
	for range cores {
		<-inside
	}
	busy := k.send(t, credentialsOf("acme/cd", "x"), nil)
	close(leave)
	require.Equal(t, http.StatusServiceUnavailable, busy.status)
	require.Equal(t, "1", busy.header.Get("Retry-After"))
	for range cores {
		require.Equal(t, http.StatusUnauthorized, <-statuses)
	}
}
