package web

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"runtime"
	"runtime/debug"
	"time"

	"github.com/dlai-sd/plant/shared/domain"
)

// maxHeaderBytes bounds the request line and headers together: a bearer token
// of the greatest size that is judged at all (8 KiB) fits several times.
const maxHeaderBytes = 32 << 10

// Options say how Wrap serves. Zero durations mean the defaults.
type Options struct {
	Logger  *slog.Logger // of NewLogger
	Project string       // Google Cloud project of the traces; "" for none
	Origins Origins      // who may call from a browser

	Read    time.Duration // to read the body; default 15 s
	Write   time.Duration // to finish the response; default 30 s
	Timeout time.Duration // of the context; default 25 s, so that a 503 still gets out
}

// Handler is what Wrap makes.
type Handler struct {
	routes http.Handler
	opts   Options
	gate   *gate
}

// Wrap puts around the routes what every request gets: a request id and a
// trace, one log line, deadlines, security headers, CORS, a problem document in
// place of a panic, and a count that Drain waits for.
func Wrap(routes http.Handler, opts Options) *Handler {
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	opts.Read = orDefault(opts.Read, 15*time.Second)
	opts.Write = orDefault(opts.Write, 30*time.Second)
	opts.Timeout = orDefault(opts.Timeout, 25*time.Second)
	return &Handler{routes: routes, opts: opts, gate: newGate()}
}

func orDefault(d, byDefault time.Duration) time.Duration {
	if d == 0 {
		return byDefault
	}
	return d
}

// Drain refuses new requests with 503 and returns when those in flight are
// done, or with an error when ctx ends first.
func (h *Handler) Drain(ctx context.Context) error { return h.gate.drain(ctx) }

// ServeHTTP serves one request.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	began := time.Now()
	ctx, cancel := context.WithTimeout(r.Context(), h.opts.Timeout)
	defer cancel()
	n := h.newNote(r)
	r = r.WithContext(context.WithValue(ctx, noteKey{}, n))
	seen := &observed{ResponseWriter: w, note: n}

	head := w.Header()
	head.Set("X-Request-Id", n.requestID)
	head.Set("X-Content-Type-Options", "nosniff")
	head.Set("Cache-Control", "no-store")
	head.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")

	defer func() { h.logLine(r, seen, time.Since(began)) }()
	if !h.gate.enter() {
		head.Set("Connection", "close")
		Fail(seen, r, Refuse(domain.CodeUnavailable, "This instance is shutting down; try again."))
		return
	}
	defer h.gate.leave()
	h.serve(seen, r)
}

func (h *Handler) newNote(r *http.Request) *note {
	return &note{
		logger: h.opts.Logger, project: h.opts.Project,
		method: r.Method, rawPath: r.URL.Path,
		requestID: requestIDOf(r.Header), traceparent: traceparentOf(r.Header),
	}
}

// serve runs the routes; a panic in them becomes a 500, or, when the response
// has already begun, an aborted connection, so that nobody takes half an answer
// for a whole one.
func (h *Handler) serve(w *observed, r *http.Request) {
	defer func() {
		recovered := recover()
		if recovered == nil {
			return
		}
		if err, ok := recovered.(error); ok && errors.Is(err, http.ErrAbortHandler) {
			abort(w)
		}
		err := panicked{recovered, debug.Stack()}
		if w.status != 0 {
			w.note.fail(internal(err))
			abort(w)
		}
		Fail(w, r, err)
	}()
	if headerBytes(r) > maxHeaderBytes {
		Fail(w, r, Refuse(CodeHeadersTooLarge, ""))
		return
	}
	h.setDeadlines(w, r)
	if h.opts.Origins.answer(w, r) {
		return
	}
	h.routes.ServeHTTP(w, r)
}

// abort breaks the connection off by its own hand before it panics: the functions
// framework recovers every panic, and would end half an answer as if it were whole.
func abort(w http.ResponseWriter) {
	if conn, _, err := http.NewResponseController(w).Hijack(); err == nil {
		_ = conn.Close()
	}
	panic(http.ErrAbortHandler)
}

// setDeadlines bounds how long the client may take. The read deadline is lifted
// at the body's end: after that net/http reads ahead to notice a client that
// leaves, and a deadline would look like one.
func (h *Handler) setDeadlines(w http.ResponseWriter, r *http.Request) {
	rc := http.NewResponseController(w)
	now := time.Now()
	// A server that has no deadlines is a test's recorder: nothing to bound.
	_ = rc.SetWriteDeadline(now.Add(h.opts.Write))
	if r.Body == nil || r.Body == http.NoBody {
		return
	}
	_ = rc.SetReadDeadline(now.Add(h.opts.Read))
	r.Body = &timedBody{ReadCloser: r.Body, lift: func() { _ = rc.SetReadDeadline(time.Time{}) }}
}

type timedBody struct {
	io.ReadCloser
	lift func()
}

func (b *timedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err == io.EOF {
		b.lift()
	}
	return n, err
}

func headerBytes(r *http.Request) int {
	size := len(r.Method) + len(r.RequestURI) + len(r.Host)
	for name, values := range r.Header {
		for _, v := range values {
			size += len(name) + len(v) + 4 // ": " and the line's end
		}
	}
	return size
}

// observed remembers the status that was sent.
type observed struct {
	http.ResponseWriter
	note   *note
	status int
}

func (o *observed) WriteHeader(status int) {
	if o.status == 0 && status >= http.StatusOK {
		o.status = status
	}
	o.ResponseWriter.WriteHeader(status)
}

func (o *observed) Write(b []byte) (int, error) {
	if o.status == 0 {
		o.status = http.StatusOK
	}
	return o.ResponseWriter.Write(b)
}

// Unwrap lets http.ResponseController through.
func (o *observed) Unwrap() http.ResponseWriter { return o.ResponseWriter }

// panicked is a recovered panic. What was thrown may hold anything, so only a
// runtime error's text and the stack are told.
type panicked struct {
	value any
	stack []byte
}

func (p panicked) Error() string {
	if err, ok := p.value.(runtime.Error); ok {
		return fmt.Sprintf("panic: %s\n%s", err, p.stack)
	}
	return fmt.Sprintf("panic: a %T\n%s", p.value, p.stack)
}

// logLine writes the request's one line.
func (h *Handler) logLine(r *http.Request, w *observed, took time.Duration) {
	status := w.status
	if status == 0 {
		status = http.StatusOK
	}
	level, message := slog.LevelInfo, "ok"
	if p := w.note.failure(); p != nil {
		message = string(p.Code)
		switch {
		case errors.Is(p.Err, context.Canceled): // the client left: nobody's failure
		case p.Status >= http.StatusInternalServerError:
			level, message = slog.LevelError, failureText(p)
		case p.Status == http.StatusTooManyRequests, p.Status == http.StatusUnauthorized:
			level = slog.LevelWarn
		}
	}
	attrs := append(w.note.attrs(), fieldStatus, status, fieldLatency, took.Milliseconds())
	h.opts.Logger.Log(context.WithoutCancel(r.Context()), level, message, attrs...)
}

func failureText(p *Problem) string {
	text := string(p.Code)
	if p.Incident != "" {
		text += " " + p.Incident
	}
	var thrown panicked
	switch {
	case errors.As(p.Err, &thrown):
		text += ": " + thrown.Error()
	case p.Err != nil:
		text += ": " + Describe(p.Err)
	}
	return text
}
