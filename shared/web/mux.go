package web

import (
	"net/http"
	"path"

	"github.com/dlai-sd/plant/shared/domain"
)

// Mux is net/http's ServeMux, with problem documents for 404 and 405 and
// without redirects: a path that is not clean is not found. A GET route also
// answers HEAD.
type Mux struct{ routes http.ServeMux }

// Handle registers a handler for a ServeMux pattern such as "GET /skills/{id}".
// It panics where the pattern is malformed or conflicts with an earlier one.
func (m *Mux) Handle(pattern string, h http.Handler) { m.routes.Handle(pattern, h) }

// ServeHTTP serves the route that matches, or a problem document.
func (m *Mux) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	handler, pattern := m.routes.Handler(r)
	if pattern == "" || !clean(r.URL.Path) {
		Fail(w, r, refusalOf(handler, r))
		return
	}
	if n := noteFrom(r.Context()); n != nil {
		n.route(pattern)
	}
	m.routes.ServeHTTP(w, r)
}

// clean reports whether a path is one that ServeMux would not redirect.
func clean(p string) bool {
	return p == "/" || p == path.Clean(p) || p == path.Clean(p)+"/"
}

// refusalOf asks ServeMux's own handler for the request it will not serve
// whether the path has other methods, and which.
func refusalOf(handler http.Handler, r *http.Request) error {
	refused := headersOnly{header: http.Header{}}
	if clean(r.URL.Path) {
		handler.ServeHTTP(&refused, r)
	}
	if refused.status != http.StatusMethodNotAllowed {
		return Refuse(domain.CodeNotFound, "There is no such path.")
	}
	allow := refused.header.Get("Allow")
	p := Refuse(CodeMethodNotAllowed, "This path answers only %s.", allow)
	p.Header = http.Header{"Allow": {allow}}
	return p
}

// headersOnly takes the status and headers of a response and drops its body.
type headersOnly struct {
	header http.Header
	status int
}

func (h *headersOnly) Header() http.Header         { return h.header }
func (h *headersOnly) Write(b []byte) (int, error) { return len(b), nil }
func (h *headersOnly) WriteHeader(status int)      { h.status = status }
