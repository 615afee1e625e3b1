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
// with a code, the sentence that stands in when the error brings none, how long
// a caller should wait before another try (zero: no Retry-After), and what its
// page says: when it happens, and what a caller does about it.
type CodeInfo struct {
	Code       domain.Code
	Status     int
	Title      string
	Detail     string
	RetryAfter time.Duration
	When       string
	Remedy     string
}

// Codes is the one table from code to HTTP: what is not in it is an internal
// error. It is ordered by status.
func Codes() []CodeInfo {
	return []CodeInfo{
		{
			Code: domain.CodeMalformed, Status: http.StatusBadRequest, Title: "Malformed request",
			Detail: "The request is not what the contract says.",
			When:   "The body, a parameter or a header is not what the contract says: a name that is unknown, misspelled or repeated, a value of the wrong form, data after the object, or a query parameter that this route does not have.",
			Remedy: "Read detail; for a body, violations point at each place with a JSON Pointer. Compare the request with the contract and send it again, under the same Idempotency-Key if you like: nothing was written.",
		},
		{
			Code: CodeIdempotencyKeyMissing, Status: http.StatusBadRequest, Title: "Idempotency-Key missing",
			Detail: "Every write needs an Idempotency-Key header of 1 to 255 printable ASCII characters.",
			When:   "A write came without an Idempotency-Key header.",
			Remedy: "Draw a new key for each thing that you want to happen once, such as a UUID, and send the same key with every repeat of that request.",
		},
		{
			Code: domain.CodeUnauthenticated, Status: http.StatusUnauthorized, Title: "Not authenticated",
			Detail: "The request carries no valid bearer token.",
			When:   "There is no Authorization header, or its token is malformed, expired, of another deployment, or signed with a key that is not in use. The answer never says which.",
			Remedy: "Get a new token from /api/v1/auth/token, and send it as Authorization: Bearer followed by the token. Tokens hold for 30 minutes. From the token endpoint itself: check the client id and the secret.",
		},
		{
			Code: domain.CodeForbidden, Status: http.StatusForbidden, Title: "Not allowed",
			Detail: "The caller may not do this.",
			When:   "The principal is known but lacks the authority that this change needs, over the governance agent that owns the entity; or it was disabled after its token was issued.",
			Remedy: "Ask somebody who has the authority that detail names, or have an operator give it to this principal and get a new token: a token carries the authorities of the moment it was issued.",
		},
		{
			Code: domain.CodeNotFound, Status: http.StatusNotFound, Title: "Not found",
			Detail: "There is nothing here that the caller may see.",
			When:   "There is no such path or entity, it is of another kind, or it is private to another governance agent. All of these answer alike, so that nothing can be guessed.",
			Remedy: "Check the path and the id. What another governance agent owns can be read once it is public and certified.",
		},
		{
			Code: CodeMethodNotAllowed, Status: http.StatusMethodNotAllowed, Title: "Method not allowed",
			Detail: "This path does not have this method; Allow names those it has.",
			When:   "The path exists, but not with this method.",
			Remedy: "Use one of the methods that the Allow header names.",
		},
		{
			Code: domain.CodeDuplicate, Status: http.StatusConflict, Title: "Duplicate",
			Detail: "The name or external id is already taken.",
			When:   "A living entity of the same kind and governance agent has the same name (compared case-folded and in Unicode normal form C), or some entity, living or archived, has the same external_id; or an agent of the team has the same skill and job role.",
			Remedy: "Find the other one with name_prefix or external_id on the list, and change that one, or choose another name. To repeat a request safely use the same Idempotency-Key instead.",
		},
		{
			Code: domain.CodeIllegalMove, Status: http.StatusConflict, Title: "Illegal move",
			Detail: "The lifecycle has no such move from the present status.",
			When:   "The entity is not in a status from which this move leads: an archived entity does not come back, and only certification certifies.",
			Remedy: "Read the entity, look at its status, and choose a move that begins there.",
		},
		{
			Code: domain.CodeTampered, Status: http.StatusConflict, Title: "Not what was signed",
			Detail: "What is stored is not what was signed, so nothing is signed onto it.",
			When:   "The newest record of the entity, its state or its signature was changed in the database by hand: a change that was signed onto it would vouch for it. Operators were alerted.",
			Remedy: "Nothing can be changed here until an operator has put the record right, from a bundle or a backup; GET /api/v1/audit/tampering/{id} names what was found. Everything that was exported before still verifies.",
		},
		{
			Code: domain.CodeGone, Status: http.StatusGone, Title: "Gone",
			Detail: "This was archived or erased; its history can still be read.",
			When:   "The entity was archived. Nothing was removed.",
			Remedy: "Read its /amendments, or an earlier ?version= or ?at=. If it has a successor, superseded_by in its last version names it.",
		},
		{
			Code: domain.CodeStale, Status: http.StatusPreconditionFailed, Title: "Stale",
			Detail: "If-Match names an older version than the present one.",
			When:   "Somebody changed the entity after you read it. changes lists what you have not seen, with the fields that each amendment touched.",
			Remedy: "Read the entity again, decide whether your change still makes sense, and send it with the new ETag (it is in current_etag) and a new Idempotency-Key.",
		},
		{
			Code: domain.CodeTooLarge, Status: http.StatusRequestEntityTooLarge, Title: "Body too large",
			Detail: "The body is larger than this route takes.",
			When:   "A body has more than 256 KiB, that of a batch more than 4 MiB, or one item of a batch more than 256 KiB.",
			Remedy: "Send less: split a batch, shorten texts.",
		},
		{
			Code: CodeUnsupportedMediaType, Status: http.StatusUnsupportedMediaType, Title: "Unsupported media type",
			Detail: "The body's Content-Type is not one that this route takes.",
			When:   "The Content-Type is missing or another one, or the body is compressed.",
			Remedy: "Send the media type that the Accept header of the answer names (application/json; application/merge-patch+json for PATCH; a form for a token), without Content-Encoding.",
		},
		{
			Code: domain.CodeRuleViolated, Status: http.StatusUnprocessableEntity, Title: "Rule violated",
			Detail: "One or more rules say no; violations names them.",
			When:   "The request is well formed, but the entity would break a rule of the constitution (L0-…, L1-…) or of form (FORM-…), or it names something that does not exist or that you may not see.",
			Remedy: "violations holds every broken rule with its field, a message and a remediation. Mend all of them and send the request again. With ?validate_only=true you can ask without writing.",
		},
		{
			Code: domain.CodeIdempotencyReused, Status: http.StatusUnprocessableEntity, Title: "Idempotency-Key reused",
			Detail: "This Idempotency-Key came before with another body.",
			When:   "The same principal used this key on this route before, with other bytes (for a change also: another If-Match or path).",
			Remedy: "Use a new key for a new request. To repeat one, send exactly the same bytes.",
		},
		{
			Code: CodePreconditionRequired, Status: http.StatusPreconditionRequired, Title: "If-Match missing",
			Detail: "This change needs an If-Match header with the current ETag.",
			When:   "A change of an entity came without If-Match, so it could overwrite what somebody else wrote.",
			Remedy: "Read the entity and send its ETag, in its double quotes, as If-Match.",
		},
		{
			Code: CodeTooManyRequests, Status: http.StatusTooManyRequests, Title: "Too many requests", RetryAfter: time.Second,
			Detail: "Too many requests at once; try again later.",
			When:   "The allowance of the principal or of the address is used up: attempts to get a token are counted whatever their outcome.",
			Remedy: "Wait as many seconds as Retry-After says. Keep a token for its 30 minutes instead of asking for a new one each time.",
		},
		{
			Code: CodeHeadersTooLarge, Status: http.StatusRequestHeaderFieldsTooLarge, Title: "Headers too large",
			Detail: "The request line and headers are larger than 32 KiB.",
			When:   "The request line and the headers together have more than 32 KiB.",
			Remedy: "Send fewer or shorter headers and parameters; cookies mean nothing here.",
		},
		{
			Code: domain.CodeInternal, Status: http.StatusInternalServerError, Title: "Internal error",
			When:   "Something failed on our side. What it was is in our log, and never in the answer.",
			Remedy: "Repeat the request with the same Idempotency-Key. If it fails again, report it and name the incident and the request_id.",
		},
		{
			Code: domain.CodeUnavailable, Status: http.StatusServiceUnavailable, Title: "Unavailable", RetryAfter: time.Second,
			Detail: "This cannot be answered now; try again later.",
			When:   "A part that this needs is busy or away, the answer took too long, or this instance is stopping. A write may or may not have happened.",
			Remedy: "Wait as many seconds as Retry-After says and repeat the request with the same Idempotency-Key: it will not happen twice.",
		},
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
