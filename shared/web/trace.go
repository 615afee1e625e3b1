package web

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"net/http"
	"regexp"
	"strconv"
	"strings"

	"github.com/google/uuid"
)

// The shapes of what a caller may send along: a request id, a W3C trace
// context (version 00) and Google's own trace header.
var (
	requestIDShape   = regexp.MustCompile(`^[A-Za-z0-9-]{1,64}$`)
	traceparentShape = regexp.MustCompile(`^00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$`)
	cloudTraceShape  = regexp.MustCompile(`^([0-9a-f]{32})(?:/([0-9]{1,20}))?(?:;o=[01])?$`)
)

const (
	noTrace = "00000000000000000000000000000000"
	noSpan  = "0000000000000000"
)

// RequestID returns the id of the request that ctx belongs to; "" outside one.
func RequestID(ctx context.Context) string {
	if note := noteFrom(ctx); note != nil {
		id, _ := note.origin()
		return id
	}
	return ""
}

// Traceparent returns the W3C trace context that outgoing calls and events
// carry; "" outside a request.
func Traceparent(ctx context.Context) string {
	if note := noteFrom(ctx); note != nil {
		_, trace := note.origin()
		return trace
	}
	return ""
}

// Adopt makes the rest of this request part of the one that caused it: an
// event's handler logs under the request id and trace of the event. Values that
// do not have the right shape change nothing.
func Adopt(ctx context.Context, requestID, traceparent string) {
	note := noteFrom(ctx)
	if note == nil {
		return
	}
	note.mu.Lock()
	defer note.mu.Unlock()
	if ValidRequestID(requestID) {
		note.requestID = requestID
	}
	if ValidTraceparent(traceparent) {
		note.traceparent = traceparent
	}
}

// ValidRequestID reports whether s may be a request id.
func ValidRequestID(s string) bool { return requestIDShape.MatchString(s) }

// ValidTraceparent reports whether s is a trace context of version 00 whose ids
// are not all zero (W3C Trace Context §3.2).
func ValidTraceparent(s string) bool {
	return traceparentShape.MatchString(s) && s[3:35] != noTrace && s[36:52] != noSpan
}

// requestIDOf takes the caller's id, or makes one.
func requestIDOf(h http.Header) string {
	if id := h.Get("X-Request-Id"); ValidRequestID(id) {
		return id
	}
	return uuid.NewString()
}

// traceparentOf takes the caller's trace, or begins one that is not sampled.
func traceparentOf(h http.Header) string {
	if given := h.Get("Traceparent"); ValidTraceparent(given) {
		return given
	}
	if m := cloudTraceShape.FindStringSubmatch(h.Get("X-Cloud-Trace-Context")); m != nil && m[1] != noTrace {
		span, err := strconv.ParseUint(m[2], 10, 64)
		if err == nil && span != 0 {
			return "00-" + m[1] + "-" + hex.EncodeToString(binary.BigEndian.AppendUint64(nil, span)) + "-00"
		}
		return "00-" + m[1] + "-" + randomHex(8) + "-00"
	}
	return "00-" + randomHex(16) + "-" + randomHex(8) + "-00"
}

func randomHex(n int) string {
	b := make([]byte, n)
	_, _ = rand.Read(b) // never fails: see crypto/rand
	return hex.EncodeToString(b)
}

// traceOf is the trace as Google Cloud Logging names it, or the bare id where
// there is no project.
func traceOf(project, traceparent string) string {
	id, _, _ := strings.Cut(strings.TrimPrefix(traceparent, "00-"), "-")
	if project == "" || id == "" {
		return id
	}
	return "projects/" + project + "/traces/" + id
}
