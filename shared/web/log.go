package web

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"regexp"
	"strings"
)

// The fields of a log line, and there are no others.
const (
	fieldSeverity  = "severity"
	fieldMessage   = "message"
	fieldRequestID = "request_id"
	fieldTrace     = "trace"
	fieldFunction  = "function"
	fieldMethod    = "method"
	fieldPath      = "path"
	fieldStatus    = "status"
	fieldLatency   = "latency_ms"
)

// LevelAlert is for what a person must look at now, such as a record that does not
// agree with what was published: Cloud Logging's CRITICAL, which infra/ turns into
// a mail.
const LevelAlert = slog.LevelError + 4

type loggerKey struct{}

// NewLogger writes one JSON object per line for Google Cloud Logging, with the
// fields severity, message, request_id, trace, function, method, path, status
// and latency_ms. Attributes of any other name, and groups, are dropped: that
// is how nothing a user wrote reaches a log by accident. What a line has to
// say stands in its message; errors go through Describe.
func NewLogger(w io.Writer, function string) *slog.Logger {
	handler := slog.NewJSONHandler(w, &slog.HandlerOptions{ReplaceAttr: onlyOurFields})
	return slog.New(handler).With(fieldFunction, function)
}

// WithLogger gives the work under ctx a logger that belongs to no request.
func WithLogger(ctx context.Context, logger *slog.Logger) context.Context {
	return context.WithValue(ctx, loggerKey{}, logger)
}

// Logger returns the request's logger, whose lines carry its id, trace, method
// and path; else the one of WithLogger; else slog's default.
func Logger(ctx context.Context) *slog.Logger {
	if n := noteFrom(ctx); n != nil {
		return n.logger.With(n.attrs()...)
	}
	if l, ok := ctx.Value(loggerKey{}).(*slog.Logger); ok {
		return l
	}
	return slog.Default()
}

func onlyOurFields(groups []string, a slog.Attr) slog.Attr {
	if len(groups) > 0 {
		return slog.Attr{}
	}
	switch a.Key {
	case slog.LevelKey:
		level, ok := a.Value.Any().(slog.Level)
		if !ok {
			return slog.Attr{}
		}
		return slog.String(fieldSeverity, severity(level))
	case slog.MessageKey:
		return slog.String(fieldMessage, a.Value.String())
	case fieldRequestID, fieldTrace, fieldFunction, fieldMethod, fieldPath, fieldStatus, fieldLatency:
		return a
	}
	return slog.Attr{}
}

// severity is the LogSeverity of Google Cloud Logging.
func severity(l slog.Level) string {
	switch {
	case l < slog.LevelInfo:
		return "DEBUG"
	case l < slog.LevelWarn:
		return "INFO"
	case l < slog.LevelError:
		return "WARNING"
	case l < LevelAlert:
		return "ERROR"
	}
	return "CRITICAL"
}

// knownMethod keeps a made-up method out of the log.
func knownMethod(m string) string {
	switch m {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions:
		return m
	}
	return "OTHER"
}

// plainSegment is a path segment that may be logged though a caller wrote it:
// a UUID, a hash or a number.
var plainSegment = regexp.MustCompile(`^([0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|[0-9a-f]{64}|[0-9]{1,19})$`)

// loggedPath is the path as its route spells it, with those wildcards filled in
// that hold an id: a path too is written by the caller.
func loggedPath(pattern, path string) string {
	if i := strings.IndexByte(pattern, '/'); i >= 0 {
		pattern = pattern[i:]
	} else {
		return "(no route)"
	}
	want, got := strings.Split(pattern, "/"), strings.Split(path, "/")
	for i, segment := range want {
		wild := strings.HasPrefix(segment, "{") && segment != "{$}"
		if wild && i < len(got) && !strings.Contains(segment, "...") && plainSegment.MatchString(got[i]) {
			want[i] = got[i]
		}
	}
	return strings.Join(want, "/")
}
