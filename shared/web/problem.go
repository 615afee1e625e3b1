package web

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"net/http"
	"strconv"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/uuid"

	"github.com/dlai-sd/plant/shared/domain"
)

// typePrefix begins every problem type. RFC 9457 §3.1.1 allows a relative
// reference with a full path: the same on every deployment, whatever its host,
// and never a promise about a domain name that a deployment does not own.
const typePrefix = "/problems/"

const problemMediaType = "application/problem+json"

// Problem is a problem document (RFC 9457) and an error: a function that needs
// more than a domain.Error can say returns one. Status, Title, Type, Path,
// RequestID and Timestamp are filled in when it is written.
type Problem struct {
	Type       string             `json:"type"`
	Title      string             `json:"title"`
	Status     int                `json:"status"`
	Detail     string             `json:"detail"`
	Code       domain.Code        `json:"code"`
	RequestID  string             `json:"request_id"`
	Timestamp  string             `json:"timestamp"`
	Path       string             `json:"path"`
	Violations []domain.Violation `json:"violations"`

	// Incident is the opaque id under which an internal error was logged.
	Incident string `json:"incident,omitempty"`
	// CurrentETag and Changes say, in a 412, what the caller does not know yet.
	CurrentETag string   `json:"current_etag,omitempty"`
	Changes     []Change `json:"changes,omitempty"`

	// OAuth is RFC 6749's error code (§5.2), which a client of the token
	// endpoint looks for in a member of this name.
	OAuth string `json:"error,omitempty"`

	// Header is added to the response.
	Header http.Header `json:"-"`
	// Err is the cause: for the log, never for the caller.
	Err error `json:"-"`
}

// Change is one amendment that a stale writer has not seen: its number, what
// kind of change it was, when (RFC 3339) and which fields it touched.
type Change struct {
	Seq        int64    `json:"seq"`
	Change     string   `json:"change"`
	RecordedAt string   `json:"recorded_at"`
	Fields     []string `json:"fields"`
}

// Refuse makes a Problem of a code and a formatted sentence for the caller.
func Refuse(code domain.Code, format string, args ...any) *Problem {
	return &Problem{Code: code, Detail: fmt.Sprintf(format, args...)}
}

// Stale is the 412 of a write whose If-Match is old: hash is the newest one
// that counts for the ETag, changes what happened since the one it named.
func Stale(hash string, changes []Change) *Problem {
	etag := ETag(hash)
	return &Problem{
		Code: domain.CodeStale, CurrentETag: etag, Changes: changes,
		Header: http.Header{"Etag": {etag}},
	}
}

// RetryLater is a 429 or 503 that says when to try again, in whole seconds
// rounded up. err, which may be nil, is for the log.
func RetryLater(code domain.Code, after time.Duration, err error) *Problem {
	return &Problem{Code: code, Header: http.Header{"Retry-After": {seconds(after)}}, Err: err}
}

// Error describes the problem for a log.
func (p *Problem) Error() string {
	if p.Err != nil {
		return fmt.Sprintf("%s: %s: %v", p.Code, p.Detail, p.Err)
	}
	return fmt.Sprintf("%s: %s", p.Code, p.Detail)
}

// Unwrap returns the cause.
func (p *Problem) Unwrap() error { return p.Err }

// Fail writes err as a problem document and notes it for the request's log
// line. A Problem and a domain.Error show their own texts; a deadline that
// passed, or a client that left, is 503; anything else is a 500 that shows an
// opaque incident id and nothing of err.
func Fail(w http.ResponseWriter, r *http.Request, err error) {
	p := problemOf(err)
	p.RequestID = RequestID(r.Context())
	p.Timestamp = time.Now().UTC().Format(time.RFC3339)
	p.Path = r.URL.EscapedPath()
	if note := noteFrom(r.Context()); note != nil {
		note.fail(p)
	}
	body, err := json.Marshal(p, json.Deterministic(true), jsontext.AllowInvalidUTF8(true))
	if err != nil {
		http.Error(w, http.StatusText(http.StatusInternalServerError), http.StatusInternalServerError)
		return
	}
	h := w.Header()
	for name := range h {
		if describesBody(name) {
			h.Del(name)
		}
	}
	maps.Copy(h, p.Header)
	h.Set("Content-Type", problemMediaType)
	h.Set("Cache-Control", "no-store")
	write(w, r, p.Status, body)
}

// describesBody reports whether a header speaks of the success that did not
// happen, so that a problem must not carry it.
func describesBody(name string) bool {
	switch name {
	case "Etag", "Content-Type", "Content-Length", "Content-Encoding", "Last-Modified", "Location", "Link":
		return true
	}
	return false
}

// problemOf makes the problem of an error, complete but for what the request
// adds. The error is copied: a caller may return one value many times.
func problemOf(err error) *Problem {
	var p *Problem
	var refusal *domain.Error
	switch {
	case errors.As(err, &p):
		copied := *p
		p = &copied
	case errors.As(err, &refusal):
		p = &Problem{Code: refusal.Code, Detail: refusal.Detail, Violations: refusal.Violations, Err: refusal.Err}
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		p = &Problem{Code: domain.CodeUnavailable, Detail: "This took too long; try again later.", Err: err}
	default:
		p = &Problem{Code: domain.CodeInternal, Err: err}
	}
	row, known := lookup(p.Code)
	if !known || p.Code == domain.CodeInternal {
		return internal(err)
	}
	p.Type, p.Status, p.Title = typePrefix+string(p.Code), row.Status, row.Title
	if p.Detail == "" {
		p.Detail = row.Detail
	}
	p.Header = headersFor(row, p.Header)
	return p
}

// internal is the problem of an error that is ours: nothing of it is shown.
func internal(err error) *Problem {
	row, _ := lookup(domain.CodeInternal)
	id := uuid.NewString()
	return &Problem{
		Type: typePrefix + string(row.Code), Status: row.Status, Title: row.Title, Code: row.Code,
		Detail: "Something failed on our side. When you report it, name incident " + id + ".", Incident: id, Err: err,
	}
}

// headersFor completes a problem's headers with those its status requires
// (RFC 9110 §15.5.2, §15.6.4; RFC 6585 §4).
func headersFor(row CodeInfo, given http.Header) http.Header {
	h := given.Clone()
	if h == nil {
		h = http.Header{}
	}
	if row.RetryAfter > 0 && h.Get("Retry-After") == "" {
		h.Set("Retry-After", seconds(row.RetryAfter))
	}
	if row.Status == http.StatusUnauthorized && h.Get("WWW-Authenticate") == "" {
		h.Set("WWW-Authenticate", `Bearer realm="plant"`)
	}
	return h
}

// seconds is d as whole seconds, rounded up, at least 1.
func seconds(d time.Duration) string {
	return strconv.Itoa(max(1, int(math.Ceil(d.Seconds()))))
}
