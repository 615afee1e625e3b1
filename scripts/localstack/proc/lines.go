package proc

import (
	"bytes"
	"io"
	"sync"
)

const (
	kept     = 50      // lines remembered
	lineMost = 8 << 10 // bytes of one line; the rest of it starts a new one
)

// lines splits what a process writes into lines, hands each on with a prefix
// and remembers the last ones.
type lines struct {
	mu      sync.Mutex
	prefix  string
	out     io.Writer // may be nil
	partial []byte
	last    []string
}

func newLines(name string, out io.Writer) *lines {
	return &lines{prefix: "[" + name + "] ", out: out}
}

// Write never fails: a log that cannot be written must not stop the process.
func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for rest := p; len(rest) > 0; {
		line, after, ended := bytes.Cut(rest, []byte("\n"))
		if room := lineMost - len(l.partial); len(line) > room {
			line, after, ended = rest[:room], rest[room:], true
		}
		l.partial = append(l.partial, line...)
		rest = after
		if ended {
			l.emit()
		}
	}
	return len(p), nil
}

func (l *lines) flush() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.partial) > 0 {
		l.emit()
	}
}

func (l *lines) emit() {
	text := string(bytes.TrimSuffix(l.partial, []byte("\r")))
	l.partial = l.partial[:0]
	l.last = append(l.last, text)
	if len(l.last) > kept {
		l.last = l.last[len(l.last)-kept:]
	}
	if l.out != nil {
		_, _ = io.WriteString(l.out, l.prefix+text+"\n")
	}
}

func (l *lines) tail() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]string{}, l.last...)
}
