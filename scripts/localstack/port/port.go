// Package port picks TCP ports on the loopback interface.
package port

import (
	"errors"
	"fmt"
	"net"
)

// Free returns n different ports of 127.0.0.1 that nobody listens on now.
// Somebody else may take one before its user does: whoever starts a server on
// such a port tries again with another.
func Free(n int) ([]int, error) {
	var (
		ports     []int
		listeners []net.Listener
		failed    error
	)
	for range n {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			failed = fmt.Errorf("find a free port: %w", err)
			break
		}
		listeners = append(listeners, ln)
		ports = append(ports, ln.Addr().(*net.TCPAddr).Port)
	}
	for _, ln := range listeners {
		failed = errors.Join(failed, ln.Close())
	}
	if failed != nil {
		return nil, failed
	}
	return ports, nil
}

// Taken reports whether port cannot be listened on at 127.0.0.1.
func Taken(port int) bool {
	ln, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		return true
	}
	return ln.Close() != nil
}

// Held is a port that nobody else can take until it is released.
type Held struct {
	Port int
	hold net.Listener
}

// Hold takes a free port of 127.0.0.1 for a server that is started later, so that
// its address can be told before. Whoever connects meanwhile is cut off by Release.
func Hold() (*Held, error) { return HoldThis(0) }

// HoldThis is Hold for a certain port.
func HoldThis(port int) (*Held, error) {
	ln, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		return nil, fmt.Errorf("hold a port: %w", err)
	}
	return &Held{ln.Addr().(*net.TCPAddr).Port, ln}, nil
}

// Release lets the port go; the server is started at once.
func (h *Held) Release() error { return h.hold.Close() }
