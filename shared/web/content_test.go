package web_test

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/dlai-sd/plant/shared/web"
)

func TestWriteContent(t *testing.T) {
	t.Parallel()
	get := func(method string, known ...string) *httptest.ResponseRecorder {
		r := httptest.NewRequest(method, "/", nil)
		r.Header["If-None-Match"] = known
		w := httptest.NewRecorder()
		web.WriteContent(w, r, web.Content{MediaType: "application/octet-stream", Cache: web.CacheForever, Body: []byte("tile")})
		return w
	}
	whole := get("GET")
	tag := whole.Header().Get("ETag")
	require.Equal(t, "tile", whole.Body.String())
	require.Equal(t, "4", whole.Header().Get("Content-Length"))
	require.Equal(t, "application/octet-stream", whole.Header().Get("Content-Type"))
	require.Equal(t, web.CacheForever, whole.Header().Get("Cache-Control"))
	require.Empty(t, get("HEAD").Body.String())
	for _, known := range []string{tag, "W/" + tag, `"x", ` + tag, "*"} {
		w := get("GET", known)
		require.Equal(t, http.StatusNotModified, w.Code, known)
		require.Empty(t, w.Body.String())
		require.Equal(t, tag, w.Header().Get("ETag"))
	}
	require.Equal(t, http.StatusOK, get("GET", `"x"`).Code)
	require.Equal(t, http.StatusOK, get("GET", "").Code)
}
