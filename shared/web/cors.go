package web

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// What browsers may send and read across origins. Credentials are never
// allowed: callers authenticate with a bearer token, not with a cookie.
const (
	corsMethods = "GET, HEAD, POST, PATCH, DELETE"
	corsRequest = "Authorization, Content-Type, Idempotency-Key, If-Match, If-None-Match, Traceparent, X-Request-ID"
	corsExpose  = "ETag, Link, Location, Retry-After, X-Request-ID, Idempotency-Replayed"
	corsMaxAge  = "600"
)

// Origins are the web origins whose pages may read our answers.
type Origins struct{ exact []string }

// ParseOrigins reads a comma-separated list of exact origins such as
// "https://portal.example.com"; an empty one allows none. "*", "null", a path
// and plain http but to a loopback host are refused.
func ParseOrigins(list string) (Origins, error) {
	var o Origins
	for item := range strings.SplitSeq(list, ",") {
		item = strings.TrimSpace(item)
		if item == "" {
			continue
		}
		u, err := url.Parse(item)
		if err != nil || u.Host == "" || strings.Contains(item, "*") || item != u.Scheme+"://"+u.Host || item != strings.ToLower(item) {
			return Origins{}, fmt.Errorf("CORS origin %q: write scheme://host[:port] in lower case, nothing else", item)
		}
		if u.Scheme != "https" && (u.Scheme != "http" || !loopback(u.Hostname())) {
			return Origins{}, fmt.Errorf("CORS origin %q: it must be https, or http to this machine", item)
		}
		o.exact = append(o.exact, item)
	}
	return o, nil
}

func loopback(host string) bool {
	return host == "localhost" || host == "127.0.0.1" || host == "::1"
}

// answer adds the CORS headers and reports whether the request was a preflight,
// which it has then answered (Fetch Standard §3.3).
func (o Origins) answer(w http.ResponseWriter, r *http.Request) bool {
	if len(o.exact) == 0 {
		return false
	}
	h := w.Header()
	h.Add("Vary", "Origin")
	origin := r.Header.Get("Origin")
	if !slices.Contains(o.exact, origin) {
		return false
	}
	h.Set("Access-Control-Allow-Origin", origin)
	if r.Method != http.MethodOptions || r.Header.Get("Access-Control-Request-Method") == "" {
		h.Set("Access-Control-Expose-Headers", corsExpose)
		return false
	}
	h.Set("Access-Control-Allow-Methods", corsMethods)
	h.Set("Access-Control-Allow-Headers", corsRequest)
	h.Set("Access-Control-Max-Age", corsMaxAge)
	h.Add("Vary", "Access-Control-Request-Method, Access-Control-Request-Headers")
	w.WriteHeader(http.StatusNoContent)
	return true
}
