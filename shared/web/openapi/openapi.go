// Package openapi holds the contract of the HTTP API (OpenAPI 3.1), for whoever
// serves it or checks against it.
package openapi

import (
	"crypto/sha256"
	_ "embed" // the document
	"encoding/hex"
	"net/http"
	"strconv"
	"strings"

	"github.com/dlai-sd/plant/shared/web"
)

//go:embed openapi.yaml
var document string

// MediaType is the document's (RFC 9512).
const MediaType = "application/yaml"

// Document returns openapi.yaml as it stands in the repository.
func Document() []byte { return []byte(document) }

// Handler serves the document with a strong ETag, and 304 to whoever names it
// in If-None-Match. A cache may keep it and must ask whether it still holds.
func Handler() http.Handler {
	sum := sha256.Sum256([]byte(document))
	etag := web.ETag(hex.EncodeToString(sum[:]))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, err := web.Query(r); err != nil {
			web.Fail(w, r, err)
			return
		}
		h := w.Header()
		h.Set("ETag", etag)
		h.Set("Cache-Control", "no-cache")
		if names(r.Header.Values("If-None-Match"), etag) {
			w.WriteHeader(http.StatusNotModified)
			return
		}
		h.Set("Content-Type", MediaType)
		h.Set("Content-Length", strconv.Itoa(len(document)))
		if r.Method != http.MethodHead {
			_, _ = w.Write([]byte(document)) // a client that has gone needs no answer
		}
	})
}

// names reports whether If-None-Match names a tag, by the weak comparison that
// RFC 9110 §13.1.2 asks for.
func names(values []string, etag string) bool {
	for _, value := range values {
		for one := range strings.SplitSeq(value, ",") {
			one = strings.TrimPrefix(strings.TrimSpace(one), "W/")
			if one == etag || one == "*" {
				return true
			}
		}
	}
	return false
}
