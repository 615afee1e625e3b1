package web

import (
	"net/http"
	"slices"
	"time"

	"github.com/dlai-sd/plant/shared/domain"
)

// The codes that only HTTP knows; the others are in package domain.
const (
	CodeIdempotencyKeyMissing domain.Code = "idempotency_key_missing" // 400
	CodeMethodNotAllowed      domain.Code = "method_not_allowed"      // 405
	CodeUnsupportedMediaType  domain.Code = "unsupported_media_type"  // 415
	CodePreconditionRequired  domain.Code = "precondition_required"   // 428
	CodeTooManyRequests       domain.Code = "too_many_requests"       // 429
	CodeHeadersTooLarge       domain.Code = "headers_too_large"       // 431
)

// CodeInfo is a row of the table of codes: the HTTP status and title that go
// with a code, the sentence that stands in when the error brings none, and how
// long a caller should wait before another try (zero: no Retry-After).
type CodeInfo struct {
	Code       domain.Code
	Status     int
	Title      string
	Detail     string
	RetryAfter time.Duration
}

// Codes is the one table from code to HTTP: what is not in it is an internal
// error. It is ordered by status.
func Codes() []CodeInfo {
	return []CodeInfo{
		{domain.CodeMalformed, http.StatusBadRequest, "Malformed request", "The request is not what the contract says.", 0},
		{CodeIdempotencyKeyMissing, http.StatusBadRequest, "Idempotency-Key missing", "Every write needs an Idempotency-Key header of 1 to 255 printable ASCII characters.", 0},
		{domain.CodeUnauthenticated, http.StatusUnauthorized, "Not authenticated", "The request carries no valid bearer token.", 0},
		{domain.CodeForbidden, http.StatusForbidden, "Not allowed", "The caller may not do this.", 0},
		{domain.CodeNotFound, http.StatusNotFound, "Not found", "There is nothing here that the caller may see.", 0},
		{CodeMethodNotAllowed, http.StatusMethodNotAllowed, "Method not allowed", "This path does not have this method; Allow names those it has.", 0},
		{domain.CodeDuplicate, http.StatusConflict, "Duplicate", "The name or external id is already taken.", 0},
		{domain.CodeIllegalMove, http.StatusConflict, "Illegal move", "The lifecycle has no such move from the present status.", 0},
		{domain.CodeGone, http.StatusGone, "Gone", "This was archived or erased; its history can still be read.", 0},
		{domain.CodeStale, http.StatusPreconditionFailed, "Stale", "If-Match names an older version than the present one.", 0},
		{domain.CodeTooLarge, http.StatusRequestEntityTooLarge, "Body too large", "The body is larger than this route takes.", 0},
		{CodeUnsupportedMediaType, http.StatusUnsupportedMediaType, "Unsupported media type", "The body's Content-Type is not one that this route takes.", 0},
		{domain.CodeRuleViolated, http.StatusUnprocessableEntity, "Rule violated", "One or more rules say no; violations names them.", 0},
		{domain.CodeIdempotencyReused, http.StatusUnprocessableEntity, "Idempotency-Key reused", "This Idempotency-Key came before with another body.", 0},
		{CodePreconditionRequired, http.StatusPreconditionRequired, "If-Match missing", "This change needs an If-Match header with the current ETag.", 0},
		{CodeTooManyRequests, http.StatusTooManyRequests, "Too many requests", "Too many requests at once; try again later.", time.Second},
		{CodeHeadersTooLarge, http.StatusRequestHeaderFieldsTooLarge, "Headers too large", "The request line and headers are larger than 32 KiB.", 0},
		{domain.CodeInternal, http.StatusInternalServerError, "Internal error", "", 0},
		{domain.CodeUnavailable, http.StatusServiceUnavailable, "Unavailable", "This cannot be answered now; try again later.", time.Second},
	}
}

// StatusOf returns the status that goes with a code, 500 if it is in no row.
func StatusOf(code domain.Code) int {
	if row, known := lookup(code); known {
		return row.Status
	}
	return http.StatusInternalServerError
}

// lookup returns the row of a code.
func lookup(code domain.Code) (CodeInfo, bool) {
	codes := Codes()
	i := slices.IndexFunc(codes, func(row CodeInfo) bool { return row.Code == code })
	if i < 0 {
		return CodeInfo{}, false
	}
	return codes[i], true
}
