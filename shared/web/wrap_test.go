package web_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/dlai-sd/plant/shared/web"
)

const traceID = "4bf92f3577b34da6a3ce929d0e0e4736"

func TestRequestID(t *testing.T) {
	t.Parallel()
	for given, kept := range map[string]bool{
		"abc-123":                true,
		strings.Repeat("a", 64):  true,
		"":                       false,
		strings.Repeat("a", 65):  false,
		"a b":                    false,
		"a\nseverity: EMERGENCY": false,
		"ünïcode":                false,
	} {
		var inside string
		r := get("/")
		r.Header["X-Request-Id"] = []string{given}
		resp := serve(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { inside = web.RequestID(r.Context()) }), r)
		require.Equal(t, inside, resp.Header.Get("X-Request-ID"))
		require.True(t, web.ValidRequestID(inside))
		require.Equal(t, kept, inside == given, given)
	}
}

func TestTrace(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct{ header, value, want string }{
		"W3C":          {"Traceparent", "00-" + traceID + "-00f067aa0ba902b7-01", "00-" + traceID + "-00f067aa0ba902b7-01"},
		"Google":       {"X-Cloud-Trace-Context", traceID + "/1;o=1", "00-" + traceID + "-0000000000000001-00"},
		"Google short": {"X-Cloud-Trace-Context", traceID, "00-" + traceID + "-"},
		"zero":         {"Traceparent", "00-" + strings.Repeat("0", 32) + "-00f067aa0ba902b7-01", ""},
		"zero span":    {"Traceparent", "00-" + traceID + "-0000000000000000-01", ""},
		"garbage":      {"Traceparent", "x\ny", ""},
		"upper case":   {"Traceparent", "00-" + strings.ToUpper(traceID) + "-00f067aa0ba902b7-01", ""},
		"missing":      {"X-Nothing", "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var inside string
			r := get("/")
			r.Header.Set(test.header, test.value)
			serve(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { inside = web.Traceparent(r.Context()) }), r)
			require.True(t, web.ValidTraceparent(inside), inside)
			require.True(t, strings.HasPrefix(inside, test.want), inside)
			if test.want == "" {
				require.NotContains(t, inside, traceID)
				require.NotEqual(t, test.value, inside)
			}
		})
	}
	require.Empty(t, web.RequestID(context.Background()))
	require.Empty(t, web.Traceparent(context.Background()))
}

func TestSecurityHeaders(t *testing.T) {
	t.Parallel()
	for _, status := range []int{200, 404} {
		resp := serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) }), get("/"))
		require.Equal(t, "nosniff", resp.Header.Get("X-Content-Type-Options"))
		require.Equal(t, "no-store", resp.Header.Get("Cache-Control"))
		require.Contains(t, resp.Header.Get("Content-Security-Policy"), "default-src 'none'")
	}
}

func TestHeadersTooLarge(t *testing.T) {
	t.Parallel()
	r := get("/")
	r.Header.Set("Authorization", "Bearer "+strings.Repeat("a", 10<<10))
	require.Equal(t, 200, serve(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}), r).StatusCode, "10 KiB is for the token's judge")
	r.Header.Set("X-More", strings.Repeat("a", 23<<10))
	require.Equal(t, 431, problem(t, serve(t, failing(nil), r)).Status)
}

func TestPanic(t *testing.T) {
	t.Parallel()
	p := problem(t, serve(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("user wrote this") }), get("/")))
	require.Equal(t, 500, p.Status)
	require.NotContains(t, p.Detail, "user wrote")

	require.PanicsWithValue(t, http.ErrAbortHandler, func() {
		serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, "half of it")
			panic("too late for a problem")
		}), get("/"))
	})
	require.PanicsWithValue(t, http.ErrAbortHandler, func() {
		serve(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }), get("/"))
	})
}

// deadlines is a response writer that remembers the deadlines it was given.
type deadlines struct {
	*httptest.ResponseRecorder
	read, write []time.Time
}

func (d *deadlines) SetReadDeadline(at time.Time) error  { d.read = append(d.read, at); return nil }
func (d *deadlines) SetWriteDeadline(at time.Time) error { d.write = append(d.write, at); return nil }

func TestDeadlines(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		now := time.Now()
		w := &deadlines{ResponseRecorder: httptest.NewRecorder()}
		var until time.Time
		routes := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			until, _ = r.Context().Deadline()
			require.Equal(t, []time.Time{now.Add(15 * time.Second)}, w.read, "while the body is read")
			_, err := io.ReadAll(r.Body)
			require.NoError(t, err)
			require.Equal(t, time.Time{}, w.read[len(w.read)-1], "lifted at its end")
		})
		web.Wrap(routes, web.Options{}).ServeHTTP(w, post("application/json", "{}"))
		require.Equal(t, []time.Time{now.Add(30 * time.Second)}, w.write)
		require.Equal(t, now.Add(25*time.Second), until)

		w = &deadlines{ResponseRecorder: httptest.NewRecorder()}
		bodiless := httptest.NewRequest(http.MethodGet, "/", http.NoBody)
		web.Wrap(http.NotFoundHandler(), web.Options{}).ServeHTTP(w, bodiless)
		require.Empty(t, w.read, "without a body nothing is read")
		require.Len(t, w.write, 1)
	})
}

func TestContextDeadlineIs503(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		slow := web.Endpoint(
			func(*http.Request) (struct{}, error) { return struct{}{}, nil },
			func(ctx context.Context, _ struct{}) (struct{}, error) {
				<-ctx.Done()
				return struct{}{}, fmt.Errorf("read head: %w", ctx.Err())
			})
		resp := serve(t, slow, get("/"))
		require.Equal(t, 503, problem(t, resp).Status)
		require.NotEmpty(t, resp.Header.Get("Retry-After"))
	})
}

func TestCORS(t *testing.T) {
	t.Parallel()
	const portal = "https://portal.example.com"
	origins, err := web.ParseOrigins(portal + ", http://localhost:3000,")
	require.NoError(t, err)
	m := &web.Mux{}
	m.Handle("POST /things", failing(nil))
	ask := func(method, origin, asks string) *http.Response {
		r := httptest.NewRequest(method, "/things", nil)
		r.Header.Set("Origin", origin)
		if asks != "" {
			r.Header.Set("Access-Control-Request-Method", asks)
		}
		return serveWith(t, m, r, web.Options{Origins: origins})
	}
	preflight := ask("OPTIONS", portal, "POST")
	require.Equal(t, 204, preflight.StatusCode)
	require.Equal(t, portal, preflight.Header.Get("Access-Control-Allow-Origin"))
	require.Contains(t, preflight.Header.Get("Access-Control-Allow-Headers"), "Idempotency-Key")
	require.Contains(t, preflight.Header.Get("Access-Control-Allow-Methods"), "PATCH")
	require.Empty(t, preflight.Header.Get("Access-Control-Allow-Credentials"))

	simple := ask("POST", portal, "")
	require.Equal(t, 200, simple.StatusCode)
	require.Equal(t, portal, simple.Header.Get("Access-Control-Allow-Origin"))
	require.Equal(t, "ETag, Link, Location, Retry-After, X-Request-ID, Idempotency-Replayed", simple.Header.Get("Access-Control-Expose-Headers"))
	require.Equal(t, "Origin", simple.Header.Get("Vary"))

	for _, stranger := range []string{"https://evil.example", portal + ".evil.example", "https://PORTAL.example.com", "null", "http://portal.example.com"} {
		resp := ask("OPTIONS", stranger, "POST")
		require.Equal(t, 405, resp.StatusCode, stranger)
		require.Empty(t, resp.Header.Get("Access-Control-Allow-Origin"), stranger)
		require.Equal(t, "Origin", resp.Header.Get("Vary"), stranger)
	}
	require.Empty(t, serve(t, m, get("/things")).Header.Get("Vary"), "without origins there is no CORS")
}

func TestParseOriginsRefuses(t *testing.T) {
	t.Parallel()
	for _, list := range []string{"*", "null", "https://*", "portal.example.com", "https://a.example/", "https://a.example/x", "http://a.example", "HTTPS://a.example", "https://user@a.example", "ftp://a.example", "https://a.example?x", "https://"} {
		_, err := web.ParseOrigins(list)
		require.Error(t, err, list)
	}
	_, err := web.ParseOrigins("")
	require.NoError(t, err)
}

func TestDrain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		proceed := make(chan struct{})
		h := web.Wrap(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-proceed }), web.Options{})
		first := httptest.NewRecorder()
		done := make(chan struct{})
		go func() { defer close(done); h.ServeHTTP(first, get("/")) }()
		synctest.Wait()

		short, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		err := h.Drain(short)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.ErrorContains(t, err, "1 requests")

		late := httptest.NewRecorder()
		h.ServeHTTP(late, get("/"))
		require.Equal(t, 503, problem(t, late.Result()).Status)
		require.Equal(t, "close", late.Header().Get("Connection"))

		close(proceed)
		require.NoError(t, h.Drain(t.Context()), "and it can be asked again")
		<-done
		require.Equal(t, 200, first.Code)
	})
}

func TestDrainIdle(t *testing.T) {
	t.Parallel()
	require.NoError(t, web.Wrap(http.NotFoundHandler(), web.Options{}).Drain(t.Context()))
}

func TestHealthAndReady(t *testing.T) {
	t.Parallel()
	require.Equal(t, 200, serve(t, web.Health(), get("/health")).StatusCode)

	synctest.Test(t, func(t *testing.T) {
		hangs := func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }
		fine := func(context.Context) error { return nil }
		resp := serve(t, web.Ready(time.Second, web.Check{Name: "schema", Run: fine}, web.Check{Name: "keys", Run: fine}), get("/ready"))
		body, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		require.Equal(t, 200, resp.StatusCode)
		require.Equal(t, `{"status":"ok","checks":{"keys":"ok","schema":"ok"}}`, string(body))

		var log bytes.Buffer
		broken := func(context.Context) error { return errors.New("password is hunter2") }
		resp = serveWith(t, web.Ready(time.Second, web.Check{Name: "schema", Run: hangs}, web.Check{Name: "keys", Run: broken}, web.Check{Name: "constitution", Run: fine}),
			get("/ready"), web.Options{Logger: web.NewLogger(&log, "f")})
		body, err = io.ReadAll(resp.Body)
		require.NoError(t, err)
		require.Equal(t, 503, resp.StatusCode)
		require.NotEmpty(t, resp.Header.Get("Retry-After"))
		require.Equal(t, `{"status":"failed","checks":{"constitution":"ok","keys":"failed","schema":"failed"}}`, string(body))
		require.Contains(t, log.String(), "not ready: schema: context deadline exceeded")
	})
}

func TestAdopt(t *testing.T) {
	t.Parallel()
	trace := "00-" + traceID + "-00f067aa0ba902b7-01"
	serve(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		was := web.RequestID(r.Context())
		web.Adopt(r.Context(), "not valid!", "nor this")
		require.Equal(t, was, web.RequestID(r.Context()))
		web.Adopt(r.Context(), "origin-7", trace)
		require.Equal(t, "origin-7", web.RequestID(r.Context()))
		require.Equal(t, trace, web.Traceparent(r.Context()))
	}), get("/"))
	web.Adopt(context.Background(), "x", trace) // outside a request: nothing to change
}

// TestAbortedIsNeverWhole: whoever stands around the handler may recover its panic and
// add words of his own; half an answer does not arrive as a whole one all the same.
func TestAbortedIsNeverWhole(t *testing.T) {
	t.Parallel()
	h := web.Wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		web.Stream(w, r, "application/zip", "x.zip", func(_ context.Context, to io.Writer) error {
			_, _ = to.Write(bytes.Repeat([]byte("x"), 1<<16))
			return errors.New("the database is away")
		})
	}), web.Options{})
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			if recover() != nil {
				_, _ = io.WriteString(w, "error during user function execution")
			}
		}()
		h.ServeHTTP(w, r)
	}))
	t.Cleanup(s.Close)
	response, err := s.Client().Get(s.URL)
	require.NoError(t, err)
	defer func() { _ = response.Body.Close() }()
	_, err = io.ReadAll(response.Body)
	require.ErrorIs(t, err, io.ErrUnexpectedEOF)
}
