package web_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/dlai-sd/plant/shared/domain"
	"github.com/dlai-sd/plant/shared/web"
)

// failing answers every request with err.
func failing(err error) http.Handler {
	return web.Endpoint(
		func(*http.Request) (struct{}, error) { return struct{}{}, nil },
		func(context.Context, struct{}) (struct{}, error) { return struct{}{}, err })
}

func get(target string) *http.Request { return httptest.NewRequest(http.MethodGet, target, nil) }

func TestProblemOfEveryCode(t *testing.T) {
	t.Parallel()
	want := map[domain.Code]int{
		"malformed": 400, "idempotency_key_missing": 400, "unauthenticated": 401, "forbidden": 403, "not_found": 404,
		"method_not_allowed": 405, "duplicate": 409, "illegal_move": 409, "tampered": 409, "gone": 410, "stale": 412, "too_large": 413,
		"unsupported_media_type": 415, "rule_violated": 422, "idempotency_key_reused": 422, "precondition_required": 428,
		"too_many_requests": 429, "headers_too_large": 431, "internal": 500, "unavailable": 503,
	}
	require.Len(t, web.Codes(), len(want))
	require.Equal(t, 409, web.StatusOf(domain.CodeDuplicate))
	require.Equal(t, 500, web.StatusOf("invented"))
	for _, row := range web.Codes() {
		t.Run(string(row.Code), func(t *testing.T) {
			t.Parallel()
			require.Equal(t, want[row.Code], row.Status)
			violation := domain.Violation{Rule: "L1-SKILL-01", Field: "/name", Message: "empty", Remediation: "name it"}
			refusal := &domain.Error{Code: row.Code, Detail: "What happened.", Violations: []domain.Violation{violation}, Err: errors.New("the cause")}
			resp := serve(t, failing(fmt.Errorf("amend: %w", refusal)), get("/x"))
			p := problem(t, resp)
			require.Equal(t, row.Status, p.Status)
			require.Equal(t, row.Code, p.Code)
			require.Equal(t, row.Title, p.Title)
			require.NotContains(t, p.Detail, "cause")
			require.Equal(t, row.Status == 401, resp.Header.Get("WWW-Authenticate") != "")
			require.Equal(t, row.Status == 429 || row.Status == 503, resp.Header.Get("Retry-After") != "")
			if row.Code == domain.CodeInternal {
				require.NotContains(t, p.Detail, "happened")
				require.Empty(t, p.Violations)
				return
			}
			require.Equal(t, "What happened.", p.Detail)
			require.Equal(t, []domain.Violation{violation}, p.Violations)
		})
	}
}

func TestProblemWithoutDetailHasOne(t *testing.T) {
	t.Parallel()
	for _, row := range web.Codes() {
		p := problem(t, serve(t, failing(&domain.Error{Code: row.Code}), get("/x")))
		require.NotEmpty(t, p.Detail, row.Code)
	}
}

func TestProblemOfOtherErrors(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		err    error
		status int
		code   domain.Code
	}{
		"unknown error": {errors.New(`ERROR: duplicate key value (SQLSTATE 23505)`), 500, domain.CodeInternal},
		"unknown code":  {&domain.Error{Code: "invented", Detail: "secret"}, 500, domain.CodeInternal},
		"deadline":      {fmt.Errorf("read head: %w", context.DeadlineExceeded), 503, domain.CodeUnavailable},
		"client left":   {fmt.Errorf("read head: %w", context.Canceled), 503, domain.CodeUnavailable},
		"problem":       {fmt.Errorf("x: %w", web.Refuse(web.CodePreconditionRequired, "")), 428, web.CodePreconditionRequired},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := problem(t, serve(t, failing(test.err), get("/x")))
			require.Equal(t, test.status, p.Status)
			require.Equal(t, test.code, p.Code)
			require.NotContains(t, p.Detail, "SQLSTATE")
			require.NotContains(t, p.Detail, "secret")
			require.Equal(t, test.status == 500, p.Incident != "")
		})
	}
}

func TestProblemStale(t *testing.T) {
	t.Parallel()
	hash := strings.Repeat("ab", 32)
	changes := []web.Change{{Seq: 4, Change: "evolved", RecordedAt: "2026-01-31T12:00:00Z", Fields: []string{"description"}}}
	resp := serve(t, failing(web.Stale(hash, changes)), get("/x"))
	p := problem(t, resp)
	require.Equal(t, http.StatusPreconditionFailed, p.Status)
	require.Equal(t, `"`+hash+`"`, p.CurrentETag)
	require.Equal(t, `"`+hash+`"`, resp.Header.Get("ETag"))
	require.Equal(t, changes, p.Changes)
}

func TestProblemRetryLater(t *testing.T) {
	t.Parallel()
	resp := serve(t, failing(web.RetryLater(domain.CodeUnavailable, 1500*time.Millisecond, errors.New("pool is busy"))), get("/x"))
	require.Equal(t, "2", resp.Header.Get("Retry-After"))
	require.NotContains(t, problem(t, resp).Detail, "pool")
}

func TestProblemIsNotShared(t *testing.T) {
	t.Parallel()
	shared := web.Refuse(domain.CodeForbidden, "No.")
	routes := failing(shared)
	first, second := get("/first"), get("/second")
	first.Header.Set("X-Request-ID", "one")
	require.Equal(t, "one", problem(t, serve(t, routes, first)).RequestID)
	require.NotEqual(t, "one", problem(t, serve(t, routes, second)).RequestID)
	require.Empty(t, shared.RequestID, "the caller's value is left alone")
	require.Equal(t, "forbidden: No.", shared.Error())
}

func TestProblemWithABrokenText(t *testing.T) {
	t.Parallel()
	p := problem(t, serve(t, failing(domain.Refuse(domain.CodeNotFound, "%s", "a\xff")), get("/x")))
	require.Equal(t, "a\ufffd", p.Detail)
}

type created struct {
	ID string `json:"id"`
}

func (created) StatusCode() int            { return http.StatusCreated }
func (c created) SetHeaders(h http.Header) { h.Set("Location", "/things/"+c.ID) }

type notModified struct{}

func (notModified) StatusCode() int { return http.StatusNotModified }

func TestEndpoint(t *testing.T) {
	t.Parallel()
	nothing := func(*http.Request) (struct{}, error) { return struct{}{}, nil }
	m := &web.Mux{}
	m.Handle("GET /created", web.Endpoint(nothing, func(context.Context, struct{}) (created, error) { return created{"7"}, nil }))
	m.Handle("GET /none", web.Endpoint(nothing, func(context.Context, struct{}) (web.NoContent, error) { return web.NoContent{}, nil }))
	m.Handle("GET /same", web.Endpoint(nothing, func(context.Context, struct{}) (notModified, error) { return notModified{}, nil }))
	m.Handle("GET /map", web.Endpoint(nothing, func(context.Context, struct{}) (map[string]int, error) {
		return map[string]int{"b": 2, "c": 3, "a": 1}, nil
	}))
	m.Handle("GET /unencodable", web.Endpoint(nothing, func(context.Context, struct{}) (chan int, error) { return nil, nil }))
	m.Handle("GET /undecoded", web.Endpoint(
		func(*http.Request) (struct{}, error) { return struct{}{}, web.Refuse(domain.CodeMalformed, "no") },
		func(context.Context, struct{}) (created, error) { panic("must not be called") }))

	for _, test := range []struct {
		method, path string
		status       int
		body         string
	}{
		{"GET", "/created", 201, `{"id":"7"}`},
		{"HEAD", "/created", 201, ``},
		{"GET", "/none", 204, ``},
		{"GET", "/same", 304, ``},
		{"GET", "/map", 200, `{"a":1,"b":2,"c":3}`},
	} {
		resp := serve(t, m, httptest.NewRequest(test.method, test.path, nil))
		body, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		require.Equal(t, test.status, resp.StatusCode, test.path)
		require.Equal(t, test.body, string(body), test.path)
		if test.path == "/created" {
			require.Equal(t, "/things/7", resp.Header.Get("Location"))
			require.Equal(t, "10", resp.Header.Get("Content-Length"))
			require.Equal(t, "application/json", resp.Header.Get("Content-Type"))
		}
	}
	require.Equal(t, 500, problem(t, serve(t, m, get("/unencodable"))).Status)
	require.Equal(t, 400, problem(t, serve(t, m, get("/undecoded"))).Status)
}

func TestMuxRefuses(t *testing.T) {
	t.Parallel()
	m := &web.Mux{}
	ok := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, r.PathValue("id")) })
	m.Handle("GET /skills/{id}", ok)
	m.Handle("PATCH /skills/{id}", ok)
	m.Handle("GET /log/tile/{rest...}", ok)
	for _, test := range []struct {
		method, path string
		status       int
		allow        string
	}{
		{"GET", "/skills/7", 200, ""},
		{"HEAD", "/skills/7", 200, ""},
		{"GET", "/log/tile/0/x001/067", 200, ""},
		{"GET", "/", 404, ""},
		{"GET", "/skills", 404, ""},
		{"GET", "/skills/7/", 404, ""},
		{"GET", "//skills/7", 404, ""},
		{"GET", "/x/../skills/7", 404, ""},
		{"GET", "/skills/./7", 404, ""},
		{"POST", "/x/../skills/7", 404, ""},
		{"POST", "/skills/7", 405, "GET, HEAD, PATCH"},
		{"OPTIONS", "/skills/7", 405, "GET, HEAD, PATCH"},
		{"BREW", "/skills/7", 405, "GET, HEAD, PATCH"},
	} {
		resp := serve(t, m, httptest.NewRequest(test.method, test.path, nil))
		require.Equal(t, test.status, resp.StatusCode, test.method+" "+test.path)
		if test.status != 200 {
			problem(t, resp)
		}
		require.Equal(t, test.allow, resp.Header.Get("Allow"))
	}
}
