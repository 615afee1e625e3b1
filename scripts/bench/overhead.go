package bench

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"syscall"
	"time"

	"github.com/dlai-sd/plant/shared/domain"
	"github.com/dlai-sd/plant/shared/web"
)

// limitOverhead is the CPU time of HTTP, authentication and routing, in µs a
// request.
const limitOverhead = 150

// measureOverhead measures the CPU time of a request that asks nothing of the
// database: bearer token, routing, strict decoding of 2 KB, encoding the answer,
// one log line.
func measureOverhead(ctx context.Context, w *world) ([]Row, error) {
	echo := web.Endpoint(func(r *http.Request) (domain.Input[domain.Skill], error) {
		in, _, err := web.Body[domain.Input[domain.Skill]](r, web.LimitBody)
		return in, err
	}, func(_ context.Context, in domain.Input[domain.Skill]) (domain.Input[domain.Skill], error) {
		return in, nil
	})
	handler, err := w.around("POST "+skillsPath, echo)
	if err != nil {
		return nil, err
	}
	function, err := w.startFunction(ctx, "create-skill", 1)
	if err != nil {
		return nil, err
	}
	defer function.stop()
	times, err := interleave(ctx, w.rounds(10), w.echoes(handler, 300),
		w.refusals(function, 500, "", http.StatusBadRequest), w.refusals(function, 500, "none", http.StatusUnprocessableEntity))
	if err != nil {
		return nil, err
	}
	return []Row{
		limited("overhead: token, routing, decode, encode", "µs CPU", scaled(times[0], 1e6), limitOverhead),
		limited("overhead: function, net/http, refused as malformed", "µs CPU", scaled(times[1], 1e6), limitOverhead),
		told("refused by a rule, which the database says is in force", "µs CPU", scaled(times[2], 1e6)),
	}, nil
}

// echoes serves requests without a network and counts this process's CPU time.
func (w *world) echoes(handler http.Handler, n int) arm {
	return func(ctx context.Context) (time.Duration, error) {
		requests, answers := make([]*http.Request, n), make([]*httptest.ResponseRecorder, n)
		for i := range n {
			var err error
			if requests[i], err = w.post(ctx, "http://bench.example", ""); err != nil {
				return 0, err
			}
			answers[i] = httptest.NewRecorder()
		}
		began, err := processorTime()
		if err != nil {
			return 0, err
		}
		for i := range n {
			handler.ServeHTTP(answers[i], requests[i])
		}
		ended, err := processorTime()
		if err != nil {
			return 0, err
		}
		for _, a := range answers {
			if a.Code != http.StatusOK {
				return 0, fmt.Errorf("the echo answers %d: %s", a.Code, a.Body)
			}
		}
		return (ended - began) / time.Duration(n), nil
	}
}

// refusals posts to a function what it refuses, and counts its CPU time: skills of a
// category that is none, or with "" skills whose JSON lacks its end.
func (w *world) refusals(f *function, n int, category string, status int) arm {
	client := &http.Client{Timeout: 30 * time.Second}
	return func(ctx context.Context) (time.Duration, error) {
		requests := make([]*http.Request, n)
		for i := range requests {
			var err error
			if requests[i], err = w.post(ctx, f.url, category); err != nil {
				return 0, err
			}
			if r := requests[i]; status == http.StatusBadRequest {
				r.ContentLength--
				r.Body = io.NopCloser(io.LimitReader(r.Body, r.ContentLength))
			}
		}
		began, err := f.cpu()
		if err != nil {
			return 0, err
		}
		for _, r := range requests {
			if err := expect(client, r, status); err != nil {
				return 0, err
			}
		}
		ended, err := f.cpu()
		return (ended - began) / time.Duration(n), err
	}
}

// processorTime is what this process has used so far, user and system.
func processorTime() (time.Duration, error) {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		return 0, err
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano()), nil
}
