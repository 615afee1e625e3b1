//go:build !unix

package minilm

import "os"

// mapping is a file's bytes, on the heap.
type mapping struct{ bytes []byte }

func openMapping(path string) (mapping, error) {
	bytes, err := os.ReadFile(path)
	return mapping{bytes}, err
}

func (mapping) drop() {}

func (mapping) close() error { return nil }

func newArena(floats int) (arena, error) { return arena{mapping{make([]byte, floats*4)}}, nil }
