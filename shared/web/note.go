package web

import (
	"context"
	"log/slog"
	"sync"
)

// note is what the parts of one request tell its log line. It is shared by
// every context made from the request's, so that an inner handler that copies
// the request still reaches it.
type note struct {
	logger  *slog.Logger
	project string
	method  string
	rawPath string

	mu          sync.Mutex
	requestID   string
	traceparent string
	pattern     string
	problem     *Problem
}

type noteKey struct{}

func noteFrom(ctx context.Context) *note {
	n, _ := ctx.Value(noteKey{}).(*note)
	return n
}

func (n *note) origin() (requestID, traceparent string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.requestID, n.traceparent
}

func (n *note) route(pattern string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.pattern = pattern
}

func (n *note) fail(p *Problem) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.problem = p
}

func (n *note) failure() *Problem {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.problem
}

// attrs are the fields of every line that belongs to the request.
func (n *note) attrs() []any {
	n.mu.Lock()
	defer n.mu.Unlock()
	return []any{
		fieldRequestID, n.requestID,
		fieldTrace, traceOf(n.project, n.traceparent),
		fieldMethod, knownMethod(n.method),
		fieldPath, loggedPath(n.pattern, n.rawPath),
	}
}
