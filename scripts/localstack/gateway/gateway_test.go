package gateway_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/stretchr/testify/require"

	"github.com/dlai-sd/plant/scripts/localstack/gateway"
)

// target answers with its name and what it was asked.
func target(t *testing.T, name string, ready int) string {
	t.Helper()
	mux := http.NewServeMux()
	mux.HandleFunc("/ready", func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(ready)
		fmt.Fprint(w, `{"detail":"no keys"}`)
	})
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Seen-For", r.Header.Get("X-Forwarded-For"))
		w.Header().Set("X-Seen-Host", r.Header.Get("X-Forwarded-Host"))
		w.Header().Set("X-Seen-Proto", r.Header.Get("X-Forwarded-Proto"))
		fmt.Fprintf(w, "%s %s %s", name, r.Method, r.URL.RequestURI())
	})
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	return server.URL
}

func start(t *testing.T, targets map[string]string, routes ...gateway.Route) *gateway.Gateway {
	t.Helper()
	g, err := gateway.Start(options(targets, routes...))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, g.Stop(context.Background())) })
	return g
}

func options(targets map[string]string, routes ...gateway.Route) gateway.Options {
	return gateway.Options{
		Targets: targets, Routes: routes,
		NotFound: problem(http.StatusNotFound),
		Unavailable: func(w http.ResponseWriter, r *http.Request, target string, _ error) {
			w.Header().Set("X-Target", target)
			problem(http.StatusServiceUnavailable).ServeHTTP(w, r)
		},
	}
}

func problem(status int) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/problem+json")
		w.WriteHeader(status)
	})
}

func get(t *testing.T, method, url string, header http.Header) (*http.Response, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, nil)
	require.NoError(t, err)
	req.Header = header
	resp, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	return resp, string(body)
}

func TestRoutes(t *testing.T) {
	t.Parallel()
	g := start(t, map[string]string{"skill": target(t, "skill", 200), "certify": target(t, "certify", 200)},
		gateway.Route{Pattern: "POST /genesis/skills", Target: "skill"},
		gateway.Route{Pattern: "GET /genesis/skills/{id}", Target: "skill"},
		gateway.Route{Pattern: "PATCH /genesis/skills/{id}", Target: "skill"},
		gateway.Route{Pattern: "POST /genesis/skills/{id}/certify", Target: "certify"},
		gateway.Route{Pattern: "GET /shared", Target: "skill"},
		gateway.Route{Pattern: "POST /shared", Target: "certify"},
		gateway.Route{Pattern: "GET /log/tile/", Target: "certify"})
	tests := []struct{ method, path, want string }{
		{"POST", "/genesis/skills", "skill POST /genesis/skills"},
		{"GET", "/genesis/skills/7?view=basic&q=a%2Fb", "skill GET /genesis/skills/7?view=basic&q=a%2Fb"},
		{"DELETE", "/genesis/skills/7", "skill DELETE /genesis/skills/7"}, // the function says 405
		{"POST", "/genesis/skills/7/certify", "certify POST /genesis/skills/7/certify"},
		{"GET", "/shared", "skill GET /shared"},
		{"POST", "/shared", "certify POST /shared"},
		{"GET", "/log/tile/0/x001/067", "certify GET /log/tile/0/x001/067"},
	}
	for _, tt := range tests {
		resp, body := get(t, tt.method, g.URL()+tt.path, nil)
		require.Equal(t, http.StatusOK, resp.StatusCode, tt.path)
		require.Equal(t, tt.want, body)
	}
	resp, _ := get(t, "GET", g.URL()+"/nowhere", nil)
	require.Equal(t, http.StatusNotFound, resp.StatusCode)
	require.Equal(t, "application/problem+json", resp.Header.Get("Content-Type"))
}

func TestOwnPages(t *testing.T) {
	t.Parallel()
	opts := options(map[string]string{"a": target(t, "a", 200)}, gateway.Route{Pattern: "GET /x", Target: "a"})
	opts.Pages = map[string]http.Handler{"/docs": http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, "the page")
	})}
	g, err := gateway.Start(opts)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, g.Stop(context.Background())) })
	_, body := get(t, "GET", g.URL()+"/docs", nil)
	require.Equal(t, "the page", body)
	resp, _ := get(t, "GET", g.URL()+"/docs/deeper", nil)
	require.Equal(t, http.StatusNotFound, resp.StatusCode)

	opts.Pages["/x"] = opts.Pages["/docs"]
	opts.Routes = append(opts.Routes, gateway.Route{Pattern: "/x", Target: "a"})
	_, err = gateway.Start(opts)
	require.Error(t, err, "a page does not hide a route")
}

func TestForwardedHeadersAreOurs(t *testing.T) {
	t.Parallel()
	g := start(t, map[string]string{"a": target(t, "a", 200)}, gateway.Route{Pattern: "/x", Target: "a"})
	resp, _ := get(t, "GET", g.URL()+"/x", http.Header{"X-Forwarded-For": {"6.6.6.6"}, "X-Forwarded-Host": {"evil"}})
	require.Equal(t, "127.0.0.1", resp.Header.Get("X-Seen-For"))
	require.Equal(t, strings.TrimPrefix(g.URL(), "http://"), resp.Header.Get("X-Seen-Host"))
	require.Equal(t, "http", resp.Header.Get("X-Seen-Proto"))
}

func TestTargetThatIsDown(t *testing.T) {
	t.Parallel()
	down := httptest.NewServer(nil)
	down.Close()
	g := start(t, map[string]string{"a": down.URL}, gateway.Route{Pattern: "/x", Target: "a"})
	resp, _ := get(t, "GET", g.URL()+"/x", nil)
	require.Equal(t, http.StatusServiceUnavailable, resp.StatusCode)
	require.Equal(t, "a", resp.Header.Get("X-Target"))
	require.Equal(t, "application/problem+json", resp.Header.Get("Content-Type"))
}

func TestAnswersAreNotBuffered(t *testing.T) {
	t.Parallel()
	more := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "13") // without it the proxy of net/http would never buffer
		fmt.Fprintln(w, "first")
		_ = http.NewResponseController(w).Flush()
		<-more
		fmt.Fprintln(w, "second")
	}))
	t.Cleanup(server.Close)
	g := start(t, map[string]string{"a": server.URL}, gateway.Route{Pattern: "/x", Target: "a"})
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, g.URL()+"/x", nil)
	require.NoError(t, err)
	resp, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	defer resp.Body.Close()
	lines := bufio.NewReader(resp.Body)
	line, err := lines.ReadString('\n')
	require.NoError(t, err)
	require.Equal(t, "first\n", line)
	close(more)
	line, err = lines.ReadString('\n')
	require.NoError(t, err)
	require.Equal(t, "second\n", line)
}

func TestReadyIsAllOfThem(t *testing.T) {
	t.Parallel()
	down := httptest.NewServer(nil)
	down.Close()
	tests := map[string]struct {
		targets map[string]string
		status  int
		want    gateway.Readiness
	}{
		"ready": {
			map[string]string{"a": target(t, "a", 200), "b": target(t, "b", 200)},
			200,
			gateway.Readiness{Status: "ready", Functions: map[string]gateway.Target{"a": {Ready: true, Status: 200}, "b": {Ready: true, Status: 200}}},
		},
		"unready": {
			map[string]string{"a": target(t, "a", 503), "b": target(t, "b", 200), "c": down.URL},
			503,
			gateway.Readiness{Status: "unready", Functions: map[string]gateway.Target{
				"a": {Status: 503, Reason: "no keys"}, "b": {Ready: true, Status: 200}, "c": {Reason: "it does not answer"},
			}},
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := start(t, tt.targets)
			resp, body := get(t, "GET", g.URL()+"/ready", nil)
			require.Equal(t, tt.status, resp.StatusCode)
			var got gateway.Readiness
			require.NoError(t, json.Unmarshal([]byte(body), &got))
			require.Equal(t, tt.want, got)
			resp, body = get(t, "GET", g.URL()+"/health", nil)
			require.Equal(t, http.StatusOK, resp.StatusCode)
			require.JSONEq(t, `{"status":"ok"}`, body)
		})
	}
}

func TestBadRoutesAreErrors(t *testing.T) {
	t.Parallel()
	targets := map[string]string{"a": "http://127.0.0.1:1", "b": "http://127.0.0.1:1"}
	for name, routes := range map[string][]gateway.Route{
		"unknown target": {{Pattern: "/x", Target: "c"}},
		"malformed":      {{Pattern: "/{", Target: "a"}},
		"conflict":       {{Pattern: "/{x}/y", Target: "a"}, {Pattern: "/y/{x}", Target: "b"}},
		"twice":          {{Pattern: "GET /x", Target: "a"}, {Pattern: "GET /x", Target: "b"}},
	} {
		_, err := gateway.Start(options(targets, routes...))
		require.Error(t, err, name)
	}
	_, err := gateway.Start(options(map[string]string{"a": "nonsense"}))
	require.ErrorContains(t, err, "not a base URL")
}

func TestPortInUseIsASentence(t *testing.T) {
	t.Parallel()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer ln.Close()
	opts := options(nil)
	opts.Port = ln.Addr().(*net.TCPAddr).Port
	_, err = gateway.Start(opts)
	require.ErrorContains(t, err, "choose another port")
}
