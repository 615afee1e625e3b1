//go:build unix

package minilm

import (
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// mapping is a file's bytes, in the page cache or on the heap.
type mapping struct {
	bytes  []byte
	mapped bool
}

// openMapping maps a file, or reads it where the file system cannot map.
func openMapping(path string) (m mapping, failed error) {
	f, err := os.Open(path) // #nosec -- the operator names the folder
	if err != nil {
		return mapping{}, err
	}
	defer func() { failed = errors.Join(failed, f.Close()) }()
	info, err := f.Stat()
	if err != nil {
		return mapping{}, err
	}
	if bytes, err := unix.Mmap(int(f.Fd()), 0, int(info.Size()), unix.PROT_READ, unix.MAP_SHARED); err == nil {
		return mapping{bytes: bytes, mapped: true}, nil
	}
	bytes, err := io.ReadAll(f)
	return mapping{bytes: bytes}, err
}

// drop gives the pages back; those that are read again come back.
func (m mapping) drop() {
	if m.mapped {
		_ = unix.Madvise(m.bytes, unix.MADV_DONTNEED) // saves memory, changes nothing else
	}
}

func (m mapping) close() error {
	if !m.mapped {
		return nil
	}
	if err := unix.Munmap(m.bytes); err != nil {
		return fmt.Errorf("unmap: %w", err)
	}
	return nil
}

// newArena returns memory for floats outside the heap, where it does not
// double what the garbage collector allows, on large pages where the system
// has them: the weights are read from end to end for every short text.
func newArena(floats int) (arena, error) {
	bytes, err := unix.Mmap(-1, 0, floats*4, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err != nil {
		return arena{}, fmt.Errorf("reserve %d bytes for the weights: %w", floats*4, err)
	}
	adviseHuge(bytes)
	return arena{mapping{bytes: bytes, mapped: true}}, nil
}
