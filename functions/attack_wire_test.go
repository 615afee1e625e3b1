package main

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/url"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// wire stands between a function and PostgreSQL and writes down what passes:
// which statement was executed, how many rows came back, and how it ended.
type wire struct {
	url string

	mu    sync.Mutex
	trace []string
}

// tapped puts a wire in front of a database.
func tapped(t *testing.T, database string) *wire {
	t.Helper()
	u, err := url.Parse(database)
	require.NoError(t, err)
	target := u.Host
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	u.Host = listener.Addr().String()
	q := u.Query()
	q.Set("sslmode", "disable")
	u.RawQuery = q.Encode()
	w := &wire{url: u.String()}
	var open sync.WaitGroup
	t.Cleanup(func() { _ = listener.Close(); open.Wait() })
	open.Go(func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			server, err := net.Dial("tcp", target)
			if err != nil {
				_ = client.Close()
				continue
			}
			t.Cleanup(func() { _, _ = client.Close(), server.Close() })
			c := &conversation{wire: w, statements: map[string]string{}}
			open.Go(func() { c.copy(server, client, c.asked, true) })
			open.Go(func() { c.copy(client, server, c.answered, false) })
		}
	})
	return w
}

// take returns what passed since it was asked last.
func (w *wire) take() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	trace := w.trace
	w.trace = nil
	return trace
}

// ping is what the pool asks of a connection that has rested for a second.
const ping = "-- ping"

// conversation is one connection's.
type conversation struct {
	*wire
	statements map[string]string // by name
	bound      string
	waiting    []string // executed, not answered yet
	rows       int
}

// copy passes on messages of the PostgreSQL protocol (version 3) and shows each
// to note. The client's first message has no type.
func (c *conversation) copy(to, from net.Conn, note func(kind byte, body []byte), startup bool) {
	defer func() { _ = to.Close() }()
	head := make([]byte, 5)
	for {
		h := head
		if startup {
			h = head[1:]
		}
		if _, err := io.ReadFull(from, h); err != nil {
			return
		}
		message := make([]byte, len(h)-4+int(binary.BigEndian.Uint32(h[len(h)-4:])))
		copy(message, h)
		if _, err := io.ReadFull(from, message[len(h):]); err != nil {
			return
		}
		if !startup {
			note(message[0], message[5:])
		}
		startup = false
		if _, err := to.Write(message); err != nil {
			return
		}
	}
}

func (c *conversation) asked(kind byte, body []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	fields := bytes.SplitN(body, []byte{0}, 3)
	switch kind {
	case 'P': // Parse: name, text
		c.statements[string(fields[0])] = string(fields[1])
	case 'B': // Bind: portal, name
		c.bound = c.statements[string(fields[1])]
	case 'E':
		c.waiting = append(c.waiting, c.bound)
	case 'Q':
		c.waiting = append(c.waiting, string(fields[0]))
	}
}

func (c *conversation) answered(kind byte, body []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	end := func(how string) {
		if len(c.waiting) > 0 && c.waiting[0] != ping {
			c.trace = append(c.trace, fmt.Sprintf("%s → %d rows, %s", c.waiting[0], c.rows, how))
		}
		c.waiting = c.waiting[min(1, len(c.waiting)):]
		c.rows = 0
	}
	switch kind {
	case 'D':
		c.rows++
	case 'C', 'I':
		end(string(bytes.TrimRight(body, "\x00")))
	case 'E':
		end("error " + codeIn(body))
	case 'Z': // ready for more: what was queued behind an error was skipped
		c.waiting = nil
	}
}

// codeIn finds the SQLSTATE of an ErrorResponse.
func codeIn(body []byte) string {
	for field := range bytes.SplitSeq(body, []byte{0}) {
		if len(field) > 0 && field[0] == 'C' {
			return string(field[1:])
		}
	}
	return ""
}
