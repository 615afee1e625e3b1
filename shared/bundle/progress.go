package bundle

import (
	"io/fs"
	"sync"
)

// meter tells a caller how far the work is: the bytes of all lines, once for
// reading and once for judging them.
type meter struct {
	mu          sync.Mutex
	tell        func(done, total int64)
	done, total int64
}

// measure learns how much there is to do.
func (m *meter) measure(fsys fs.FS, tell func(done, total int64)) {
	if m.tell = tell; tell == nil {
		return
	}
	for _, file := range []string{keysFile, amendmentsFile} {
		if info, err := fs.Stat(fsys, file); err == nil {
			m.total += 2 * info.Size()
		}
	}
}

// add counts bytes as done.
func (m *meter) add(n int) {
	if m.tell == nil {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.done = min(m.done+int64(n), m.total)
	m.tell(m.done, m.total)
}
