// Package minilm runs the sentence embedding model all-MiniLM-L6-v2 (BERT
// with 6 layers and a width of 384, mean pooling) in Go, in 32-bit floats, with
// the results of the reference implementation to five decimals.
//
// A [Model] may be used by any number of goroutines. It computes one
// micro-batch at a time, on all its threads; callers wait their turn in order,
// or until their context ends.
package minilm

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"sync"
)

// The shape of the model.
const (
	// Dimensions is the length of a vector.
	Dimensions = 384

	width     = Dimensions
	inner     = 1536
	layers    = 6
	heads     = 12
	headWidth = width / heads
	positions = 512
)

// batchTokens bounds the tokens that are computed together, and with them the
// memory that a computation takes.
const batchTokens = 512

// MaxThreads bounds the helpers: beyond it the pieces of work get too small.
const MaxThreads = 16

// Errors a caller may want to tell apart.
var (
	ErrClosed    = errors.New("the model is closed")
	ErrNotFinite = errors.New("the model computed a vector that is not finite")
)

// Options say how a model runs. The zero value is good.
type Options struct {
	// Threads is how many processors an inference uses. 0, or more than there
	// are: all.
	Threads int
}

// Embedding is what the model makes of a text.
type Embedding struct {
	// Vector has Dimensions values and length 1.
	Vector []float32
	// Truncated says that the text has more than MaxTokens tokens and that the
	// rest had no part in the vector.
	Truncated bool
}

// Model is all-MiniLM-L6-v2, ready to run.
type Model struct {
	tokenizer *Tokenizer
	kernel    kernel
	weights   weights
	crew      *crew
	scratch   scratch

	file   mapping
	packed arena

	turn   chan struct{} // holds an element while a micro-batch is computed
	closed chan struct{}
	close  func() error
}

// Open reads model.safetensors and vocab.txt of a folder. The first stays
// mapped: it must not change until Close. A file that is not what it should be
// is an error that wraps ErrWeights or ErrVocabulary.
func Open(dir string, opts Options) (*Model, error) { return open(dir, opts, fastest()) }

func open(dir string, opts Options, k kernel) (_ *Model, failed error) {
	if !littleEndian() {
		return nil, errors.New("open the embedding model: this machine is big-endian, the weights are not")
	}
	m := &Model{kernel: k, crew: newCrew(threads(opts.Threads)), turn: make(chan struct{}, 1), closed: make(chan struct{})}
	m.close = sync.OnceValue(m.release)
	defer func() {
		if failed != nil {
			failed = fmt.Errorf("open the embedding model: %w", errors.Join(failed, m.Close()))
		}
	}()
	vocabulary := make(chan error, 1)
	go func() { vocabulary <- m.openTokenizer(dir) }()
	weights := m.openWeights(dir)
	if err := errors.Join(weights, <-vocabulary); err != nil {
		return nil, err
	}
	m.scratch = newScratch(m.crew.workers(), m.kernel)
	return m, nil
}

func threads(wanted int) int {
	available := min(runtime.GOMAXPROCS(0), MaxThreads)
	if wanted <= 0 {
		return available
	}
	return min(wanted, available)
}

func (m *Model) openTokenizer(dir string) error {
	vocabulary, err := os.ReadFile(filepath.Join(dir, "vocab.txt")) // #nosec -- the operator names the folder
	if err != nil {
		return err
	}
	if m.tokenizer, err = NewTokenizer(string(vocabulary)); err != nil {
		return err
	}
	if n := m.tokenizer.size(); n != vocabularySize {
		return fmt.Errorf("%w: it has %d pieces, not %d", ErrVocabulary, n, vocabularySize)
	}
	return nil
}

func (m *Model) openWeights(dir string) (err error) {
	if m.file, err = openMapping(filepath.Join(dir, "model.safetensors")); err != nil {
		return err
	}
	parsed, err := parseTensors(m.file.bytes)
	if err != nil {
		return err
	}
	if m.packed, err = newArena(packedSize); err != nil {
		return err
	}
	if m.weights, err = readWeights(parsed, m.packed.floats(), m.kernel.panel, m.crew); err != nil {
		return err
	}
	m.file.drop()
	return nil
}

// Accelerated says whether there is a kernel for this machine; without one an
// inference takes ten times longer.
func (m *Model) Accelerated() bool { return m.kernel.name != portable().name }

// Kernel names the arithmetic in use: avx512, avx2 or portable.
func (m *Model) Kernel() string { return m.kernel.name }

// Threads is how many processors an inference uses.
func (m *Model) Threads() int { return m.crew.workers() }

// Truncated says whether a text has more tokens than the model reads.
func (m *Model) Truncated(text string) bool {
	_, truncated := m.tokenizer.Tokens(text)
	return truncated
}

// Embed returns the embeddings of the texts, in their order. Not a bit of a
// text's vector depends on its neighbours, on the threads or on which of the
// kernels in assembly made it; the portable kernel's differ after the fifth
// decimal. An error is ErrClosed, ErrNotFinite or the context's.
func (m *Model) Embed(ctx context.Context, texts []string) ([]Embedding, error) {
	embeddings := make([]Embedding, len(texts))
	batch := make([][]int32, len(texts))
	for i, text := range texts {
		batch[i], embeddings[i].Truncated = m.tokenizer.Tokens(text)
		embeddings[i].Vector = make([]float32, Dimensions)
	}
	for begin := 0; begin < len(batch); {
		end := microBatch(batch, begin)
		if err := m.takeTurn(ctx); err != nil {
			return nil, err
		}
		m.forward(batch[begin:end], embeddings[begin:end])
		<-m.turn
		begin = end
	}
	for _, e := range embeddings {
		if !normalizeVector(e.Vector) {
			return nil, ErrNotFinite
		}
	}
	return embeddings, nil
}

// microBatch returns where the micro-batch that starts at begin ends.
func microBatch(batch [][]int32, begin int) (end int) {
	tokens := 0
	for end = begin; end < len(batch); end++ {
		if tokens += len(batch[end]); tokens > batchTokens {
			break
		}
	}
	return end
}

func (m *Model) takeTurn(ctx context.Context) error {
	if err := context.Cause(ctx); err != nil {
		return fmt.Errorf("wait for the model: %w", err)
	}
	select {
	case m.turn <- struct{}{}:
	case <-m.closed:
		return ErrClosed
	case <-ctx.Done():
		return fmt.Errorf("wait for the model: %w", context.Cause(ctx))
	}
	select {
	case <-m.closed:
		<-m.turn
		return ErrClosed
	default:
		return nil
	}
}

// Close waits for the micro-batch that is being computed, ends the helpers and
// frees the memory. Later calls return what the first returned.
func (m *Model) Close() error { return m.close() }

func (m *Model) release() error {
	close(m.closed)
	m.turn <- struct{}{}
	defer func() { <-m.turn }()
	m.crew.close()
	return errors.Join(m.packed.close(), m.file.close())
}
