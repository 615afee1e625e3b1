package scheduler_test

import (
	"bytes"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/dlai-sd/plant/scripts/localstack/scheduler"
)

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func answer(status int) *http.Response {
	return &http.Response{StatusCode: status, Body: io.NopCloser(strings.NewReader(""))}
}

func options(f roundTrip, jobs ...scheduler.Job) scheduler.Options {
	return scheduler.Options{
		Jobs: jobs, Client: &http.Client{Transport: f}, Logger: slog.New(slog.DiscardHandler),
		Token: func(audience string) (string, error) { return "for:" + audience, nil },
	}
}

func TestCallsAtTheInterval(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		begun := time.Now()
		var at []time.Duration
		s, err := scheduler.Start(t.Context(), options(func(r *http.Request) (*http.Response, error) {
			require.Equal(t, http.MethodPost, r.Method)
			require.Equal(t, "Bearer for:http://x/events/sequence", r.Header.Get("Authorization"))
			require.Equal(t, "sequence", r.Header.Get("X-CloudScheduler-JobName"))
			at = append(at, time.Since(begun))
			return answer(http.StatusInternalServerError), nil // a failure stops nothing
		}, scheduler.Job{Name: "sequence", URL: "http://x/events/sequence", Interval: time.Minute}))
		require.NoError(t, err)
		time.Sleep(3*time.Minute + time.Second)
		s.Stop()
		time.Sleep(time.Hour)
		require.Equal(t, []time.Duration{time.Minute, 2 * time.Minute, 3 * time.Minute}, at)
	})
}

func TestCallsAtTheStart(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		begun := time.Now()
		var at []time.Duration
		s, err := scheduler.Start(t.Context(), options(func(*http.Request) (*http.Response, error) {
			at = append(at, time.Since(begun))
			return answer(http.StatusOK), nil
		}, scheduler.Job{Name: "sequence", URL: "http://x", Interval: time.Minute, AtStart: true}))
		require.NoError(t, err)
		time.Sleep(time.Minute + time.Second)
		s.Stop()
		require.Equal(t, []time.Duration{0, time.Minute}, at)
	})
}

func TestEveryCallHasADeadlineAndNoneOverlaps(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var lasted []time.Duration
		opts := options(func(r *http.Request) (*http.Response, error) {
			begun := time.Now()
			<-r.Context().Done()
			lasted = append(lasted, time.Since(begun))
			return nil, r.Context().Err()
		}, scheduler.Job{Name: "slow", URL: "http://x", Audience: "y", Interval: time.Second, Deadline: 10 * time.Second})
		var log bytes.Buffer
		opts.Logger = slog.New(slog.NewTextHandler(&log, nil))
		s, err := scheduler.Start(t.Context(), opts)
		require.NoError(t, err)
		time.Sleep(25 * time.Second)
		s.Stop()
		require.Equal(t, []time.Duration{10 * time.Second, 10 * time.Second}, lasted[:2])
		require.LessOrEqual(t, len(lasted), 3)
		require.Contains(t, log.String(), "job=slow")
	})
}

func TestIntervalMustBePositive(t *testing.T) {
	t.Parallel()
	_, err := scheduler.Start(t.Context(), options(nil, scheduler.Job{Name: "j", URL: "http://x"}))
	require.ErrorContains(t, err, "positive")
}
