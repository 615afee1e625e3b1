package domain

import "fmt"

// Code names a reason for refusing. The HTTP edge has one table from Code to
// status and title; clients may depend on codes, never on texts.
type Code string

// The codes that the domain, the registry and the store decide.
const (
	CodeMalformed         Code = "malformed"              // not what the contract says: 400
	CodeUnauthenticated   Code = "unauthenticated"        // no or no valid token: 401
	CodeForbidden         Code = "forbidden"              // authenticated, but not allowed: 403
	CodeNotFound          Code = "not_found"              // absent, or not yours to see: 404
	CodeDuplicate         Code = "duplicate"              // name or external_id taken: 409
	CodeIllegalMove       Code = "illegal_move"           // the lifecycle has no such move: 409
	CodeTampered          Code = "tampered"               // what is stored is not what was signed: 409
	CodeGone              Code = "gone"                   // archived or erased: 410
	CodeStale             Code = "stale"                  // If-Match names an older version: 412
	CodeTooLarge          Code = "too_large"              // body beyond its limit: 413
	CodeRuleViolated      Code = "rule_violated"          // one or more rules say no: 422
	CodeIdempotencyReused Code = "idempotency_key_reused" // same key, another body: 422
	CodeUnavailable       Code = "unavailable"            // try again later: 503
	CodeInternal          Code = "internal"               // our fault: 500
)

// Error is a refusal: what kind, a sentence for the caller, and the rules that
// were broken. Err, if set, is the cause; it is for logs and never for callers.
type Error struct {
	Code       Code
	Detail     string
	Violations []Violation
	Err        error
}

// Error describes the refusal for a log.
func (e *Error) Error() string {
	if e.Err != nil {
		return fmt.Sprintf("%s: %s: %v", e.Code, e.Detail, e.Err)
	}
	return fmt.Sprintf("%s: %s", e.Code, e.Detail)
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Refuse makes an Error of a code and a formatted sentence.
func Refuse(code Code, format string, args ...any) *Error {
	return &Error{Code: code, Detail: fmt.Sprintf(format, args...)}
}
