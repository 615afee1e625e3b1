package rehearsal

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/dlai-sd/plant/scripts/localstack/port"
	"github.com/dlai-sd/plant/scripts/localstack/proc"
)

const (
	startMost = 30 * time.Second // the startup probe's 30 tries
	graceMost = 10 * time.Second // Cloud Run's, after SIGTERM
)

// revision is one version of a function, as a process.
type revision struct {
	name    string
	address *url.URL
	process *proc.Process
	took    time.Duration // from its start to the first answer of /ready
	busy    sync.WaitGroup
}

// service stands where Cloud Run's does: one address, and the revision that has
// the traffic.
type service struct {
	name    string
	server  *httptest.Server
	mu      sync.Mutex
	serving *revision
	newest  *revision
}

func newService(t *testing.T, name string) *service {
	t.Helper()
	s := &service{name: name}
	s.server = httptest.NewServer(http.HandlerFunc(s.pass))
	t.Cleanup(s.server.Close)
	return s
}

// pass hands a request to the revision that serves; it counts as that revision's
// until it is answered.
func (s *service) pass(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	to := s.serving
	if to == nil {
		s.mu.Unlock()
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	to.busy.Add(1)
	s.mu.Unlock()
	defer to.busy.Done()
	(&httputil.ReverseProxy{FlushInterval: -1, Rewrite: func(p *httputil.ProxyRequest) { p.SetURL(to.address) }}).ServeHTTP(w, r)
}

// shift gives a revision all the traffic and ends the one before with SIGTERM once
// none of its requests is open, as Cloud Run takes an instance back.
func (s *service) shift(to *revision) error {
	s.mu.Lock()
	old := s.serving
	s.serving = to
	s.mu.Unlock()
	if old == nil || old == to {
		return nil
	}
	old.busy.Wait()
	return old.end()
}

func (r *revision) end() error {
	if err := r.process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	select {
	case <-r.process.Done():
		return r.process.Err()
	case <-time.After(graceMost):
		return r.process.Kill()
	}
}

// start starts a revision and waits for its startup probe.
func start(ctx context.Context, name string, v version, env []string) (*revision, error) {
	free, err := port.Free(1)
	if err != nil {
		return nil, err
	}
	listen := strconv.Itoa(free[0])
	r := &revision{name: name, address: &url.URL{Scheme: "http", Host: net.JoinHostPort("127.0.0.1", listen)}}
	began := time.Now()
	r.process, err = proc.Start(proc.Spec{
		Name: name, Path: v.program("functions"), Dir: v.root, Env: append(env, "HOST=127.0.0.1", "PORT="+listen),
	})
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, startMost)
	defer cancel()
	while, release := r.process.While(ctx)
	defer release()
	for {
		if err = healthy(while, r.address.String()+"/ready"); err == nil {
			r.took = time.Since(began)
			return r, nil
		}
		select {
		case <-while.Done():
			return r, err
		case <-time.After(5 * time.Millisecond):
		}
	}
}

type statusError int

func (e statusError) Error() string { return "status " + strconv.Itoa(int(e)) }

func healthy(ctx context.Context, address string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return err
	}
	answer, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	if err := answer.Body.Close(); err != nil || answer.StatusCode != http.StatusOK {
		return statusError(answer.StatusCode)
	}
	return nil
}

// deploy is what gcloud run deploy --no-traffic does.
func (d *deployment) deploy(ctx context.Context, s *service, v version) error {
	r, err := start(ctx, s.name+"-"+v.name, v, d.environment(s.name, v))
	if err != nil {
		d.t.Logf("%s does not start: %q", r.name, r.process.Tail())
		return err
	}
	s.mu.Lock()
	s.newest = r
	s.mu.Unlock()
	return nil
}

func (d *deployment) serve(v version) {
	for _, name := range d.functions {
		s := d.services[name]
		require.NoError(d.t, d.deploy(d.t.Context(), s, v), name)
		require.NoError(d.t, s.shift(s.newest))
	}
	d.t.Cleanup(func() {
		for _, s := range d.services {
			if s.serving != nil {
				require.NoError(d.t, s.serving.process.Stop(context.WithoutCancel(d.t.Context()), proc.Step{Signal: syscall.SIGTERM, Wait: graceMost}))
			}
		}
	})
}
