package rehearsal

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/dlai-sd/plant/shared/testkit/testdata"
)

// This version goes on serving while the next one's migrations run and infra/deploy.sh
// shifts one function after the other: no request fails. Before the migrations the
// next version gets no traffic, and nobody notices either.
//
// UPGRADE_FROM names a folder with the source of an earlier version: then the way is
// from that to this.
func TestRollingUpgrade(t *testing.T) {
	old, next := version{}, version{}
	if before := os.Getenv("UPGRADE_FROM"); before != "" {
		old, next = build(t, "before", before), build(t, "now", testdata.Root())
	} else {
		old, next = build(t, "now", testdata.Root()), nextVersion(t)
	}
	d := setUp(t, old)
	d.serve(old)
	token := d.principal(old, "founder", "author")
	stop := d.load(token)
	control := httptest.NewServer(d.control(next))
	t.Cleanup(control.Close)

	require.Error(t, d.rollOut(control.URL), "the schema is older than the next version: it may not serve")
	for _, s := range d.services {
		require.Contains(t, s.serving.name, old.name)
	}
	began := time.Now()
	d.plant(next, "migrate", "up")
	migrated := time.Now()
	require.NoError(t, d.rollOut(control.URL))
	for _, s := range d.services {
		require.Contains(t, s.serving.name, next.name)
	}
	l := stop()
	require.Empty(t, l.failed)
	require.Greater(t, len(l.took), 50)
	l.report(t, began, migrated)
}

// rollOut runs the script of Cloud Build, with stand-ins for gcloud and curl.
func (d *deployment) rollOut(control string) error {
	dir := d.t.TempDir()
	for _, name := range []string{"gcloud", "curl"} {
		script := "#!/bin/bash\n" + standIn + "=" + name + " exec " + os.Args[0] + ` "$@"` + "\n"
		require.NoError(d.t, os.WriteFile(filepath.Join(dir, name), []byte(script), 0o755)) // #nosec -- it is a program
	}
	image := filepath.Join(dir, "image")
	require.NoError(d.t, os.WriteFile(image, []byte("r/p/plant/plant@sha256:0123\n"), 0o600))
	cmd := exec.CommandContext(d.t.Context(), "bash", filepath.Join(testdata.Root(), "infra/deploy.sh"), "us-central1", image, strings.Join(d.functions, " "))
	cmd.Env = append(os.Environ(), "PATH="+dir+":"+os.Getenv("PATH"), "CONTROL="+control, "SMOKE_ATTEMPTS=20", "SMOKE_PAUSE=0.1")
	out, err := cmd.CombinedOutput()
	d.t.Logf("%s", out)
	return err
}

// control does what gcloud and curl are asked for.
func (d *deployment) control(next version) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		args := r.FormValue("args")
		words := strings.Fields(args)
		var err error
		switch s := d.named(words); {
		case r.FormValue("as") == "curl":
			err = d.smoke(r.Context(), words[len(words)-1])
		case strings.Contains(args, "traffic.filter"):
			fmt.Fprintln(w, s.serving.name)
		case strings.Contains(args, "latestCreatedRevisionName"):
			fmt.Fprintln(w, s.newest.name)
		case strings.Contains(args, "status.url"):
			fmt.Fprintln(w, "https://"+s.name+".run.example")
		case strings.HasPrefix(args, "run deploy"):
			err = d.deploy(context.WithoutCancel(r.Context()), s, next)
		case strings.Contains(args, "--to-revisions="+s.newest.name+"=100"):
			err = s.shift(s.newest)
		default:
			err = fmt.Errorf("not understood: %s", args)
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusTeapot)
		}
	})
}

// named is the service that a command names.
func (d *deployment) named(words []string) *service {
	for _, w := range words {
		if s := d.services[w]; s != nil {
			return s
		}
	}
	return nil
}

// smoke asks a service, or its candidate, whether it is ready.
func (d *deployment) smoke(ctx context.Context, address string) error {
	host, candidate := strings.CutPrefix(strings.TrimPrefix(address, "https://"), "candidate---")
	name, _, _ := strings.Cut(host, ".")
	s := d.services[name]
	if candidate {
		return healthy(ctx, s.newest.address.String()+"/ready")
	}
	return healthy(ctx, s.server.URL+"/ready")
}

// load is what callers saw.
type load struct {
	turns  map[string]*sync.Mutex // one at each function, see ask
	mu     sync.Mutex
	took   []sample
	failed []string

	overtaken int // edits that versions up to migration 012 refused because a vector was made meanwhile
}

type sample struct {
	at   time.Time
	took time.Duration
}

// load lets three callers create, read, list and amend until stop is called.
func (d *deployment) load(token string) (stop func() *load) {
	l := load{turns: map[string]*sync.Mutex{skills: {}, changes: {}}}
	ctx, cancel := context.WithCancel(d.t.Context())
	var callers sync.WaitGroup
	for caller := range 3 {
		callers.Go(func() {
			for n := 0; ctx.Err() == nil; n++ {
				made := l.ask(d, http.MethodPost, skills, token, skill(fmt.Sprintf("Skill %d of %d", n, caller)), "")
				if made.status != http.StatusCreated {
					continue
				}
				path := skills + "/" + made.text(d.t, "id")
				seen := l.ask(d, http.MethodGet, path, token, "", "")
				l.ask(d, http.MethodPatch, path, token, `{"tags":["upgraded"]}`, seen.etag)
				l.ask(d, http.MethodGet, skills+"?limit=5", token, "", "")
				l.ask(d, http.MethodGet, changes+"?limit=5", token, "", "")
			}
		})
	}
	return func() *load { cancel(); callers.Wait(); return &l }
}

// ask sends a request once the one before it at that function is answered: each has one
// connection, and how long the others wait for it depends on the machine, not on the
// upgrade. Callers of the other function go on meanwhile.
func (l *load) ask(d *deployment, method, path, token, body, etag string) answer {
	for prefix, turn := range l.turns {
		if strings.HasPrefix(path, prefix) {
			turn.Lock()
			defer turn.Unlock()
		}
	}
	began := time.Now()
	a, err := d.call(d.t.Context(), method, path, token, body, etag)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.took = append(l.took, sample{began, time.Since(began)})
	if os.Getenv("UPGRADE_FROM") != "" && a.status == http.StatusPreconditionFailed && strings.Contains(string(a.body), `"changes":[{"seq":2,"change":"embedded"`) {
		l.overtaken++
		return a
	}
	if err != nil || a.status >= 300 {
		l.failed = append(l.failed, fmt.Sprintf("%s %s: %d %v %s", method, path, a.status, err, a.body))
	}
	return a
}

// report says how the requests that were made while the migrations ran compare with
// as many before. It is said, not judged: the machine has other work.
func (l *load) report(t *testing.T, began, migrated time.Time) {
	var before, during []time.Duration
	for _, s := range l.took {
		end := s.at.Add(s.took)
		switch {
		case end.Before(began):
			before = append(before, s.took)
		case s.at.Before(migrated):
			during = append(during, s.took)
		}
	}
	before = before[max(0, len(before)-len(during)):]
	t.Logf("%d requests, none failed (%d overtaken by a vector); migrations took %s", len(l.took), l.overtaken, migrated.Sub(began).Round(time.Millisecond))
	if len(during) > 0 && len(before) > 0 {
		t.Logf("median latency of %d requests while they ran / before: %s / %s, ratio %.2f; longest while they ran: %s", len(during),
			median(during), median(before), float64(median(during))/float64(median(before)), slices.Max(during).Round(time.Millisecond))
	}
}

func median(all []time.Duration) time.Duration {
	sorted := slices.Sorted(slices.Values(all))
	return sorted[len(sorted)/2]
}
