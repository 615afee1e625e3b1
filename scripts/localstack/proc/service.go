package proc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Service is a process that is to run until it is stopped.
type Service struct {
	Spec
	ReadyURL   string        // answers GET with 200 when the service is ready
	ReadyWait  time.Duration // how long that may take; 0: 30 s
	Grace      time.Duration // between SIGTERM and SIGKILL; 0: 10 s
	MinBackoff time.Duration // before the first restart; 0: 100 ms
	MaxBackoff time.Duration // 0: 5 s
	GiveUp     int           // restarts in a row that did not become ready; 0: 10
	Logger     *slog.Logger  // told of deaths and restarts; required
}

const (
	readyEvery   = 20 * time.Millisecond
	healthyAfter = 10 * time.Second // then a death is a new misfortune, not the same
)

// Supervised is a service under supervision.
type Supervised struct {
	service Service
	client  *http.Client
	life    context.Context // ends with Stop
	end     context.CancelFunc
	over    chan struct{} // closed when nobody restarts the service any more

	mu       sync.Mutex
	process  *Process
	asked    bool // the last death was Kill's
	restarts int
	err      error // why supervision ended by itself
}

// Supervise starts a service and returns when it is ready. From then on a
// service that dies unasked is started again, after a pause that doubles. An
// error quotes the service's last lines.
func Supervise(ctx context.Context, service Service) (*Supervised, error) {
	service = withDefaults(service)
	s := &Supervised{
		service: service, over: make(chan struct{}),
		client: &http.Client{Timeout: time.Second, Transport: &http.Transport{DisableKeepAlives: true}},
	}
	s.life, s.end = context.WithCancel(context.WithoutCancel(ctx))
	process, err := s.launch(ctx)
	if err != nil {
		s.end()
		return nil, err
	}
	s.process = process
	go s.watch()
	return s, nil
}

func withDefaults(s Service) Service {
	for value, standard := range map[*time.Duration]time.Duration{
		&s.ReadyWait: 30 * time.Second, &s.Grace: 10 * time.Second,
		&s.MinBackoff: 100 * time.Millisecond, &s.MaxBackoff: 5 * time.Second,
	} {
		if *value == 0 {
			*value = standard
		}
	}
	if s.GiveUp == 0 {
		s.GiveUp = 10
	}
	return s
}

// launch starts the process and waits until it is ready; if it does not get
// there it is gone.
func (s *Supervised) launch(ctx context.Context) (*Process, error) {
	process, err := Start(s.service.Spec)
	if err != nil {
		return nil, err
	}
	if err := s.ready(ctx, process); err != nil {
		err = fmt.Errorf("%s: %w; its last lines:\n  %s", s.service.Name, err, strings.Join(process.Tail(), "\n  "))
		return nil, errors.Join(err, process.Kill())
	}
	return process, nil
}

func (s *Supervised) ready(ctx context.Context, process *Process) error {
	limit, cancel := context.WithTimeout(ctx, s.service.ReadyWait)
	defer cancel()
	alive, release := process.While(limit)
	defer release()
	tick := time.NewTicker(readyEvery)
	defer tick.Stop()
	for {
		err := s.ask(alive)
		if err == nil {
			return nil
		}
		select {
		case <-tick.C:
		case <-process.Done():
			return fmt.Errorf("ended before it was ready (%v)", process.Err())
		case <-limit.Done():
			return fmt.Errorf("not ready in time (%w): %w", context.Cause(limit), err)
		}
	}
}

// ask makes one GET; the beginning of an unready answer is in the error.
func (s *Supervised) ask(ctx context.Context) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.service.ReadyURL, nil)
	if err != nil {
		return err
	}
	resp, err := s.client.Do(req)
	if err != nil {
		return err
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, 500))
	if err := errors.Join(err, resp.Body.Close()); err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("status %d: %s", resp.StatusCode, body)
	}
	return nil
}

// watch restarts the service until Stop, or until it gives up.
func (s *Supervised) watch() {
	defer close(s.over)
	quick, unready := 0, 0
	for {
		begun := time.Now()
		process := s.current()
		select {
		case <-process.Done():
		case <-s.life.Done():
			return
		}
		if s.wasAsked() || time.Since(begun) > healthyAfter {
			quick = 0
		}
		s.service.Logger.Warn("service ended unasked", slog.String("service", s.service.Name), slog.Any("status", process.Err()))
		for {
			quick++
			if !s.pause(quick) {
				return
			}
			next, err := s.launch(s.life)
			if err == nil {
				unready = 0
				s.replace(next)
				break
			}
			if unready++; s.life.Err() != nil || unready >= s.service.GiveUp {
				s.giveUp(err)
				return
			}
			s.service.Logger.Warn("service does not start", slog.String("service", s.service.Name), slog.Int("attempt", unready))
		}
	}
}

// pause waits before restart number n in a row, or reports false at the end.
func (s *Supervised) pause(n int) bool {
	wait := s.service.MinBackoff
	for i := 1; i < n && wait < s.service.MaxBackoff; i++ {
		wait *= 2
	}
	timer := time.NewTimer(min(wait, s.service.MaxBackoff))
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-s.life.Done():
		return false
	}
}

func (s *Supervised) replace(p *Process) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.process = p
	s.restarts++
}

func (s *Supervised) giveUp(err error) {
	if s.life.Err() != nil {
		return
	}
	s.service.Logger.Error("service given up", slog.String("service", s.service.Name))
	s.mu.Lock()
	defer s.mu.Unlock()
	s.err = err
}

func (s *Supervised) wasAsked() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	asked := s.asked
	s.asked = false
	return asked
}

func (s *Supervised) current() *Process {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.process
}

// PID is the process id of the service as it runs now.
func (s *Supervised) PID() int { return s.current().PID() }

// Restarts counts how often it was started again.
func (s *Supervised) Restarts() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.restarts
}

// Done is closed when nobody restarts the service any more: after Stop, or
// when it was given up.
func (s *Supervised) Done() <-chan struct{} { return s.over }

// Err says, once Done is closed, why the service was given up; nil after Stop.
func (s *Supervised) Err() error {
	<-s.over
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

// Ready asks until the service is ready or ctx ends.
func (s *Supervised) Ready(ctx context.Context) error {
	tick := time.NewTicker(readyEvery)
	defer tick.Stop()
	for {
		err := s.ask(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-tick.C:
		case <-s.over:
			return fmt.Errorf("%s is stopped: %w", s.service.Name, err)
		case <-ctx.Done():
			return fmt.Errorf("%s is not ready: %w", s.service.Name, err)
		}
	}
}

// Kill is kill -9 of the service as it runs now, a crash for tests; it is
// started again at once.
func (s *Supervised) Kill() error {
	s.mu.Lock()
	s.asked = true
	process := s.process
	s.mu.Unlock()
	return process.Kill()
}

// Stop ends supervision and then the service: SIGTERM, and SIGKILL after the
// grace or when ctx ends.
func (s *Supervised) Stop(ctx context.Context) error {
	s.end()
	<-s.over
	if err := s.current().Stop(ctx, Step{Signal: syscall.SIGTERM, Wait: s.service.Grace}); err != nil {
		return fmt.Errorf("stop %s: %w", s.service.Name, err)
	}
	return nil
}
