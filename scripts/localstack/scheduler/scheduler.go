// Package scheduler calls HTTP endpoints at an interval, each call with an
// identity token, as Cloud Scheduler does.
package scheduler

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"sync"
	"time"
)

// Job is one endpoint.
type Job struct {
	Name     string
	URL      string // gets an empty POST
	Audience string // of the token; "": URL
	Interval time.Duration
	AtStart  bool          // also at once, before the first interval has passed
	Deadline time.Duration // of one call; 0: 3 minutes, as Cloud Scheduler's
}

// Options say what to call. All are required; Client may be nil.
type Options struct {
	Jobs   []Job
	Token  func(audience string) (string, error)
	Logger *slog.Logger
	Client *http.Client
}

// Scheduler is a running scheduler.
type Scheduler struct {
	opts   Options
	ctx    context.Context
	cancel context.CancelFunc
	owners sync.WaitGroup
}

// Start begins; the first call of a job comes after one interval. A job never
// overlaps itself: a call that takes longer than the interval delays the next.
func Start(ctx context.Context, opts Options) (*Scheduler, error) {
	if opts.Client == nil {
		opts.Client = &http.Client{Transport: &http.Transport{IdleConnTimeout: time.Minute}}
	}
	s := &Scheduler{opts: opts}
	s.ctx, s.cancel = context.WithCancel(context.WithoutCancel(ctx))
	for _, job := range opts.Jobs {
		if job.Interval <= 0 {
			s.cancel()
			return nil, fmt.Errorf("job %s: the interval must be positive", job.Name)
		}
	}
	for _, job := range opts.Jobs {
		if job.Deadline == 0 {
			job.Deadline = 3 * time.Minute
		}
		s.owners.Go(func() { s.own(job) })
	}
	return s, nil
}

// Stop ends calls in flight and waits for every job's end.
func (s *Scheduler) Stop() {
	s.cancel()
	s.owners.Wait()
	s.opts.Client.CloseIdleConnections()
}

func (s *Scheduler) own(job Job) {
	tick := time.NewTicker(job.Interval)
	defer tick.Stop()
	if job.AtStart {
		s.callAndTell(job)
	}
	for {
		select {
		case <-s.ctx.Done():
			return
		case <-tick.C:
		}
		if s.ctx.Err() != nil { // both were ready
			return
		}
		s.callAndTell(job)
	}
}

func (s *Scheduler) callAndTell(job Job) {
	if err := s.call(job); err != nil && s.ctx.Err() == nil {
		s.opts.Logger.Warn("scheduled call failed", slog.String("job", job.Name), slog.String("error", err.Error()))
	}
}

func (s *Scheduler) call(job Job) error {
	ctx, cancel := context.WithTimeout(s.ctx, job.Deadline)
	defer cancel()
	audience := job.Audience
	if audience == "" {
		audience = job.URL
	}
	token, err := s.opts.Token(audience)
	if err != nil {
		return fmt.Errorf("token: %w", err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, job.URL, http.NoBody)
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+token)
	req.Header.Set("User-Agent", "Google-Cloud-Scheduler")
	req.Header.Set("X-CloudScheduler", "true")
	req.Header.Set("X-CloudScheduler-JobName", job.Name)
	resp, err := s.opts.Client.Do(req)
	if err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, io.LimitReader(resp.Body, 64<<10))
	if err := errors.Join(err, resp.Body.Close()); err != nil {
		return fmt.Errorf("read the answer: %w", err)
	}
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		return fmt.Errorf("status %d", resp.StatusCode)
	}
	return nil
}
