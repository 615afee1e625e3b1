package web

import (
	"context"
	"fmt"
	"sync"
)

// gate counts the requests in flight and can be closed to new ones.
type gate struct {
	mu       sync.Mutex
	inFlight int
	closed   bool
	empty    chan struct{} // closed when the gate is closed and nobody is inside
}

func newGate() *gate { return &gate{empty: make(chan struct{})} }

// enter reports whether the gate is open; whoever got in must leave.
func (g *gate) enter() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		return false
	}
	g.inFlight++
	return true
}

func (g *gate) leave() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.inFlight--
	if g.closed && g.inFlight == 0 {
		close(g.empty)
	}
}

func (g *gate) drain(ctx context.Context) error {
	g.close()
	select {
	case <-g.empty:
		return nil
	case <-ctx.Done():
		g.mu.Lock()
		defer g.mu.Unlock()
		return fmt.Errorf("%d requests still in flight: %w", g.inFlight, ctx.Err())
	}
}

func (g *gate) close() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		return
	}
	g.closed = true
	if g.inFlight == 0 {
		close(g.empty)
	}
}
