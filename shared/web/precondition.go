package web

import (
	"net/http"
	"regexp"
	"strings"

	"github.com/dlai-sd/plant/shared/domain"
)

// strongTag is an entity tag that is not weak (RFC 9110 §8.8.3).
var strongTag = regexp.MustCompile(`^"([\x21\x23-\x7e]{1,128})"$`)

// idempotencyKey is what a key may be: 1 to 255 printable ASCII characters.
var idempotencyKey = regexp.MustCompile(`^[\x20-\x7e]{1,255}$`)

// ETag is the strong entity tag of a version's hash.
func ETag(hash string) string { return `"` + hash + `"` }

// ParseIfMatch returns the tag inside an If-Match header's value. It must be
// exactly one strong tag: a write means one version, so "*", lists and weak
// tags are refused with 400. Whether it is the present one is not checked.
func ParseIfMatch(value string) (string, error) {
	m := strongTag.FindStringSubmatch(value)
	switch {
	case m != nil:
		return m[1], nil
	case value == "*":
		return "", Refuse(domain.CodeMalformed, "If-Match must name the version that is being changed; * does not.")
	case strings.HasPrefix(value, "W/"):
		return "", Refuse(domain.CodeMalformed, "If-Match takes a strong ETag; this one is weak.")
	}
	return "", Refuse(domain.CodeMalformed, "If-Match takes exactly one ETag as the API gave it, in its double quotes.")
}

// IfMatch returns the one tag of the request's If-Match header; without one the
// request is refused with 428.
func IfMatch(r *http.Request) (string, error) {
	values := r.Header.Values("If-Match")
	switch len(values) {
	case 0:
		return "", Refuse(CodePreconditionRequired, "")
	case 1:
		return ParseIfMatch(values[0])
	}
	return "", Refuse(domain.CodeMalformed, "Send If-Match once.")
}

// IdempotencyKey returns the request's Idempotency-Key; without one, or with
// one that is not 1 to 255 printable ASCII characters, the request is refused
// with 400.
func IdempotencyKey(r *http.Request) (string, error) {
	values := r.Header.Values("Idempotency-Key")
	switch {
	case len(values) == 0 || len(values) == 1 && values[0] == "":
		return "", Refuse(CodeIdempotencyKeyMissing, "")
	case len(values) > 1:
		return "", Refuse(domain.CodeMalformed, "Send Idempotency-Key once.")
	case !idempotencyKey.MatchString(values[0]):
		return "", Refuse(domain.CodeMalformed, "Idempotency-Key must be 1 to 255 printable ASCII characters.")
	}
	return values[0], nil
}
