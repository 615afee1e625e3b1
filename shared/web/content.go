package web

import (
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"strings"
)

// How long an answer that is not JSON may be kept.
const (
	CacheForever    = "public, max-age=31536000, immutable"
	CacheRevalidate = "no-cache" // kept, and asked for again with its ETag
)

// Content is an answer of bytes that are public and served as they are.
type Content struct {
	MediaType string
	Cache     string // the Cache-Control
	Body      []byte
}

// WriteContent sends content with a strong ETag of its bytes, or 304 to whoever
// has it.
func WriteContent(w http.ResponseWriter, r *http.Request, c Content) {
	sum := sha256.Sum256(c.Body)
	tag := ETag(hex.EncodeToString(sum[:]))
	w.Header().Set("Cache-Control", c.Cache)
	w.Header().Set("ETag", tag)
	if hasTag(r.Header.Values("If-None-Match"), tag) {
		write(w, r, http.StatusNotModified, nil)
		return
	}
	w.Header().Set("Content-Type", c.MediaType)
	write(w, r, http.StatusOK, c.Body)
}

// hasTag reports whether a list of entity tags names one (RFC 9110 §13.1.2: weakly
// compared).
func hasTag(values []string, tag string) bool {
	for _, value := range values {
		for one := range strings.SplitSeq(value, ",") {
			if one = strings.TrimSpace(one); one == "*" || strings.TrimPrefix(one, "W/") == tag {
				return true
			}
		}
	}
	return false
}
