package web_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/stretchr/testify/require"

	"github.com/dlai-sd/plant/shared/domain"
	"github.com/dlai-sd/plant/shared/web"
)

const marker = "USERWROTETHIS"

// sqlError is what a database driver returns: its text quotes values.
type sqlError struct{}

func (sqlError) Error() string    { return `ERROR: invalid input syntax for type uuid: ` + marker }
func (sqlError) SQLState() string { return "22P02" }

type line struct {
	Severity  string `json:"severity"`
	Message   string `json:"message"`
	RequestID string `json:"request_id"`
	Trace     string `json:"trace"`
	Function  string `json:"function"`
	Method    string `json:"method"`
	Path      string `json:"path"`
	Status    int    `json:"status"`
	Latency   *int64 `json:"latency_ms"`
}

// logged runs one request and returns the log it made, parsed and as it is.
func logged(t *testing.T, routes http.Handler, r *http.Request) ([]line, string) {
	t.Helper()
	var log bytes.Buffer
	func() {
		defer func() { _ = recover() }() // an aborted connection panics on purpose
		web.Wrap(routes, web.Options{Logger: web.NewLogger(&log, "create-skill"), Project: "p1"}).ServeHTTP(httptest.NewRecorder(), r)
	}()
	var lines []line
	for text := range strings.SplitSeq(strings.TrimSpace(log.String()), "\n") {
		var l line
		require.NoError(t, json.Unmarshal([]byte(text), &l, json.RejectUnknownMembers(true)), text)
		lines = append(lines, l)
	}
	return lines, log.String()
}

func TestLogLine(t *testing.T) {
	t.Parallel()
	m := &web.Mux{}
	m.Handle("GET /skills/{id}", failing(nil))
	r := get("/skills/0190a0c0-0000-7000-8000-000000000000?secret=" + marker)
	r.Header.Set("X-Request-ID", "req-1")
	r.Header.Set("Traceparent", "00-"+traceID+"-00f067aa0ba902b7-01")
	lines, raw := logged(t, m, r)
	require.Len(t, lines, 1)
	require.NotNil(t, lines[0].Latency)
	lines[0].Latency = nil
	require.Equal(t, line{
		Severity: "INFO", Message: "ok", RequestID: "req-1", Trace: "projects/p1/traces/" + traceID, Function: "create-skill",
		Method: "GET", Path: "/skills/0190a0c0-0000-7000-8000-000000000000", Status: 200,
	}, lines[0])
	require.NotContains(t, raw, marker)

	var fields map[string]any
	require.NoError(t, json.Unmarshal([]byte(raw), &fields))
	require.Equal(t, []string{"function", "latency_ms", "message", "method", "path", "request_id", "severity", "status", "trace"},
		slices.Sorted(maps.Keys(fields)), "exactly these")
}

func TestLogSeverity(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		err      error
		severity string
		message  string
	}{
		{domain.Refuse(domain.CodeNotFound, "x"), "INFO", "not_found"},
		{domain.Refuse(domain.CodeUnauthenticated, "x"), "WARNING", "unauthenticated"},
		{web.RetryLater(web.CodeTooManyRequests, 1, nil), "WARNING", "too_many_requests"},
		{fmt.Errorf("read: %w", context.Canceled), "INFO", "unavailable"},
		{fmt.Errorf("read head: %w", context.DeadlineExceeded), "ERROR", "unavailable: read head: context deadline exceeded"},
	} {
		lines, _ := logged(t, failing(test.err), get("/"))
		require.Len(t, lines, 1)
		require.Equal(t, test.severity, lines[0].Severity)
		require.Equal(t, test.message, lines[0].Message)
	}
	lines, _ := logged(t, failing(fmt.Errorf("insert skill: %w", sqlError{})), get("/"))
	require.Regexp(t, `^internal [0-9a-f-]{36}: insert skill: SQLSTATE 22P02$`, lines[0].Message)
}

func TestLogOfAPanic(t *testing.T) {
	t.Parallel()
	lines, _ := logged(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		var none []int
		_ = none[len(none)]
	}), get("/"))
	require.Equal(t, "ERROR", lines[0].Severity)
	require.Contains(t, lines[0].Message, "index out of range")
	require.Contains(t, lines[0].Message, "log_test.go", "the stack")
	require.Equal(t, 500, lines[0].Status)

	lines, _ = logged(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "half")
		panic("late")
	}), get("/"))
	require.Contains(t, lines[0].Message, "panic: a string", "also when it is too late for a problem")
}

// TestNothingUserWrittenIsLogged sends the marker wherever a caller can write
// and lets every way of failing carry it, and then looks for it in the log.
func TestNothingUserWrittenIsLogged(t *testing.T) {
	t.Parallel()
	m := &web.Mux{}
	for path, h := range map[string]http.Handler{
		"POST /things/{id}": things(),
		"POST /domain":      failing(&domain.Error{Code: domain.CodeRuleViolated, Detail: marker, Violations: []domain.Violation{{Message: marker}}, Err: errors.New(marker)}),
		"POST /database":    failing(fmt.Errorf("insert skill: %w", sqlError{})),
		"POST /quoted":      failing(fmt.Errorf("no category %q, nor '%s', nor `%s`", marker, marker, marker)),
		"POST /foreign":     failing(&foreign{}),
		"POST /unavailable": failing(&domain.Error{Code: domain.CodeUnavailable, Detail: marker, Err: sqlError{}}),
		"POST /panic":       http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(marker) }),
		"POST /panicerror":  http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(sqlError{}) }),
		"POST /attributes": http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			web.Logger(r.Context()).Info("skill created", "name", marker, slog.Group("g", "status", marker), slog.Any("body", []string{marker}))
			web.Logger(r.Context()).WithGroup(marker).Info("grouped", "status", marker)
		}),
		"POST /files/{rest...}": failing(nil),
	} {
		m.Handle(path, h)
	}
	for _, path := range []string{"/things/" + marker, "/domain", "/database", "/quoted", "/foreign", "/unavailable", "/panic", "/panicerror", "/attributes", "/files/" + marker + "/" + marker, "/" + marker, "//" + marker} {
		for _, method := range []string{"POST", "GET", marker} {
			r := httptest.NewRequest(method, path+"?q="+marker, strings.NewReader(`{"`+marker+`":"`+marker+`"}`))
			r.Header.Set("Content-Type", "application/json")
			for _, name := range []string{"Authorization", "User-Agent", "Idempotency-Key", "If-Match", "Traceparent", "X-Cloud-Trace-Context", "Cookie", "Referer", "X-Forwarded-For", "Origin"} {
				r.Header.Set(name, marker)
			}
			r.Header.Set("X-Request-ID", marker+" ")
			r.Host = marker
			_, raw := logged(t, m, r)
			require.NotContains(t, strings.ToUpper(raw), marker, method+" "+path)
		}
	}
}

type foreign struct{}

func (*foreign) Error() string { return "parse " + marker }

func TestDescribe(t *testing.T) {
	t.Parallel()
	timeout := &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED}
	for want, err := range map[string]error{
		"":                                      nil,
		"closed":                                errors.New("closed"),
		"read head: closed":                     fmt.Errorf("read head: %w", errors.New("closed")),
		"a: b: SQLSTATE 22P02":                  fmt.Errorf("a: %w", fmt.Errorf("b: %w", sqlError{})),
		"a: *web_test.foreign":                  fmt.Errorf("a: %w", &foreign{}),
		"read: closed":                          fmt.Errorf("read: %w", fmt.Errorf("%w at "+marker, errors.New("closed"))),
		"closed; SQLSTATE 22P02":                errors.Join(errors.New("closed"), sqlError{}),
		"connect: dial tcp: connection refused": fmt.Errorf("connect: %w", timeout),
		"not_found":                             domain.Refuse(domain.CodeNotFound, "%s", marker),
		"unavailable: closed":                   &domain.Error{Code: domain.CodeUnavailable, Detail: marker, Err: errors.New("closed")},
		"forbidden: closed":                     &web.Problem{Code: domain.CodeForbidden, Detail: marker, Err: errors.New("closed")},
		"unknown target \"…\"":                  errors.New(`unknown target "x"`),
		"*web_test.hollow":                      &hollow{},
	} {
		require.Equal(t, want, web.Describe(err))
	}
	require.LessOrEqual(t, len(web.Describe(errors.New(strings.Repeat("é", 5000)))), 1003)
	endless := &loop{}
	require.NotEmpty(t, web.Describe(endless), "it ends")
}

type hollow struct{}

func (*hollow) Error() string { return marker }
func (*hollow) Unwrap() error { return nil }

type loop struct{}

func (*loop) Error() string   { return "loop" }
func (l *loop) Unwrap() error { return l }

func TestLoggerOutsideRequests(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	ctx := web.WithLogger(context.Background(), web.NewLogger(&out, "audit-run"))
	web.Logger(ctx).Debug("hidden")
	web.Logger(ctx).Warn("swept", "name", marker)
	require.Equal(t, `{"severity":"WARNING","message":"swept","function":"audit-run"}`+"\n", out.String())
	require.Same(t, slog.Default(), web.Logger(context.Background()))
}

// What Cloud Logging calls each level; alerts are made of the last.
func TestSeverities(t *testing.T) {
	t.Parallel()
	for level, want := range map[slog.Level]string{
		slog.LevelInfo: "INFO", slog.LevelWarn: "WARNING", slog.LevelError: "ERROR", web.LevelAlert: "CRITICAL",
	} {
		var out bytes.Buffer
		web.NewLogger(&out, "audit-run").Log(t.Context(), level, "x")
		require.Contains(t, out.String(), `"severity":"`+want+`"`)
	}
}
