package web_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/stretchr/testify/require"

	"github.com/dlai-sd/plant/shared/web"
)

// serve sends one request through the whole chain and returns the answer.
func serve(t *testing.T, routes http.Handler, r *http.Request) *http.Response {
	t.Helper()
	return serveWith(t, routes, r, web.Options{})
}

func serveWith(t *testing.T, routes http.Handler, r *http.Request, opts web.Options) *http.Response {
	t.Helper()
	w := httptest.NewRecorder()
	web.Wrap(routes, opts).ServeHTTP(w, r)
	return w.Result()
}

// problem reads a problem document and checks what every one must have.
func problem(t *testing.T, resp *http.Response) web.Problem {
	t.Helper()
	require.Equal(t, "application/problem+json", resp.Header.Get("Content-Type"))
	require.Equal(t, "no-store", resp.Header.Get("Cache-Control"))
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	var p web.Problem
	require.NoError(t, json.Unmarshal(body, &p, json.RejectUnknownMembers(true)), string(body))
	require.Equal(t, resp.StatusCode, p.Status)
	require.Equal(t, "/problems/"+string(p.Code), p.Type)
	require.NotEmpty(t, p.Title)
	require.NotEmpty(t, p.Detail)
	require.NotEmpty(t, p.RequestID)
	require.NotEmpty(t, p.Timestamp)
	require.NotEmpty(t, p.Path)
	require.NotNil(t, p.Violations, "violations is a list, never null")
	return p
}

func post(contentType, body string) *http.Request {
	r := httptest.NewRequest(http.MethodPost, "/api/v1/things", strings.NewReader(body))
	if contentType != "" {
		r.Header.Set("Content-Type", contentType)
	}
	return r
}
