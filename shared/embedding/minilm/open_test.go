package minilm

import (
	"encoding/binary"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// shapes are the tensors that Open asks for.
func shapes() map[string][]int {
	all := map[string][]int{
		"embeddings.word_embeddings.weight":       {vocabularySize, width},
		"embeddings.position_embeddings.weight":   {positions, width},
		"embeddings.token_type_embeddings.weight": {2, width},
	}
	pair := func(name string, shape ...int) { all[name+".weight"], all[name+".bias"] = shape, shape[:1] }
	pair("embeddings.LayerNorm", width)
	for i := range layers {
		at := "encoder.layer." + string(rune('0'+i)) + "."
		for _, name := range []string{"attention.self.query", "attention.self.key", "attention.self.value", "attention.output.dense"} {
			pair(at+name, width, width)
		}
		pair(at+"intermediate.dense", inner, width)
		pair(at+"output.dense", width, inner)
		pair(at+"attention.output.LayerNorm", width)
		pair(at+"output.LayerNorm", width)
	}
	return all
}

// header describes a file with all tensors, in the order of their names.
func header() (tensors map[string]tensor, size int64) {
	tensors = map[string]tensor{}
	for _, name := range slices.Sorted(maps.Keys(shapes())) {
		shape, bytes := shapes()[name], int64(4)
		for _, n := range shape {
			bytes *= int64(n)
		}
		tensors[name] = tensor{Type: "F32", Shape: shape, Offsets: [2]int64{size, size + bytes}}
		size += bytes
	}
	return tensors, size
}

func encodeHeader(t testing.TB, tensors map[string]tensor) []byte {
	t.Helper()
	text, err := json.Marshal(tensors)
	require.NoError(t, err)
	text = append(text, strings.Repeat(" ", 8-len(text)%8)...)
	return append(binary.LittleEndian.AppendUint64(nil, uint64(len(text))), text...)
}

// writeModel writes a model of the right shape whose values are all 0, as a
// file with holes.
func writeModel(t testing.TB, head []byte, size int64) (dir string) {
	t.Helper()
	dir = t.TempDir()
	path := filepath.Join(dir, "model.safetensors")
	require.NoError(t, os.WriteFile(path, head, 0o600))
	require.NoError(t, os.Truncate(path, int64(len(head))+size))
	small := smallVocabulary()
	vocabulary := small + manyLines(vocabularySize-strings.Count(small, "\n"))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "vocab.txt"), []byte(vocabulary), 0o600))
	return dir
}

func emptyModel(t testing.TB) (dir string) {
	t.Helper()
	tensors, size := header()
	return writeModel(t, encodeHeader(t, tensors), size)
}

func TestOpenRefusesOtherWeights(t *testing.T) {
	t.Parallel()
	const word, bias = "embeddings.word_embeddings.weight", "encoder.layer.5.output.dense.bias"
	for name, spoil := range map[string]func(tensors map[string]tensor){
		"missing":    func(tensors map[string]tensor) { delete(tensors, bias) },
		"other type": func(tensors map[string]tensor) { change(tensors, word, func(w *tensor) { w.Type = "F16" }) },
		"transposed": func(tensors map[string]tensor) { change(tensors, word, func(w *tensor) { slices.Reverse(w.Shape) }) },
		"flat":       func(tensors map[string]tensor) { change(tensors, word, func(w *tensor) { w.Shape = w.Shape[:1] }) },
		"beyond":     func(tensors map[string]tensor) { shift(tensors, bias, 1<<40) },
		"before":     func(tensors map[string]tensor) { shift(tensors, bias, -1<<40) },
		"unaligned":  func(tensors map[string]tensor) { shift(tensors, "encoder.layer.0.output.dense.bias", 1) },
		"short":      func(tensors map[string]tensor) { change(tensors, word, func(w *tensor) { w.Offsets[1] -= 4 }) },
		"backward": func(tensors map[string]tensor) {
			change(tensors, word, func(w *tensor) { slices.Reverse(w.Offsets[:]) })
		},
		"whole range": func(tensors map[string]tensor) {
			change(tensors, bias, func(w *tensor) { w.Offsets = [2]int64{-1 << 63, 1<<63 - 1} })
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tensors, size := header()
			spoil(tensors)
			_, err := Open(writeModel(t, encodeHeader(t, tensors), size), Options{})
			require.ErrorIs(t, err, ErrWeights)
		})
	}
}

func change(tensors map[string]tensor, name string, f func(*tensor)) {
	one := tensors[name]
	f(&one)
	tensors[name] = one
}

func shift(tensors map[string]tensor, name string, by int64) {
	change(tensors, name, func(w *tensor) { w.Offsets[0], w.Offsets[1] = w.Offsets[0]+by, w.Offsets[1]+by })
}

func TestOpenRefusesOtherFiles(t *testing.T) {
	t.Parallel()
	tensors, size := header()
	good := encodeHeader(t, tensors)
	for name, head := range map[string][]byte{
		"nothing":          {},
		"seven bytes":      good[:7],
		"length only":      good[:8],
		"half a header":    good[:len(good)/2],
		"enormous length":  slices.Concat(binary.LittleEndian.AppendUint64(nil, 1<<63), good[8:]),
		"length of 2 MiB":  slices.Concat(binary.LittleEndian.AppendUint64(nil, 2<<20), good[8:]),
		"not JSON":         slices.Concat(good[:8], make([]byte, len(good)-8)),
		"not a map":        append(binary.LittleEndian.AppendUint64(nil, 2), "[]"...),
		"names of numbers": append(binary.LittleEndian.AppendUint64(nil, 7), `{"a":1}`...),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := Open(writeModel(t, head, 0), Options{})
			require.ErrorIs(t, err, ErrWeights)
		})
	}
	_, err := Open(writeModel(t, good, size-4), Options{})
	require.ErrorIs(t, err, ErrWeights, "cut short")
	_, err = Open(t.TempDir(), Options{})
	require.ErrorIs(t, err, os.ErrNotExist)
}

func TestOpenRefusesAnotherVocabulary(t *testing.T) {
	t.Parallel()
	dir := emptyModel(t)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "vocab.txt"), []byte(smallVocabulary()), 0o600))
	_, err := Open(dir, Options{})
	require.ErrorIs(t, err, ErrVocabulary)
	require.NoError(t, os.Remove(filepath.Join(dir, "vocab.txt")))
	_, err = Open(dir, Options{})
	require.ErrorIs(t, err, os.ErrNotExist)
}

func TestParseTensorsOfAnything(t *testing.T) {
	t.Parallel()
	tensors, _ := header()
	good := append(encodeHeader(t, tensors), make([]byte, 64<<10)...)
	rapid.Check(t, func(t *rapid.T) {
		file := slices.Clone(good)
		for range rapid.IntRange(1, 8).Draw(t, "changes") {
			at := rapid.IntRange(0, len(file)-64<<10).Draw(t, "at")
			file[at] = rapid.SampledFrom([]byte("0123456789-{}[]\",:x\x00\xff")).Draw(t, "to")
		}
		parsed, err := parseTensors(file[:rapid.IntRange(0, len(file)).Draw(t, "length")])
		if err != nil {
			require.ErrorIs(t, err, ErrWeights)
			return
		}
		for name, shape := range shapes() {
			values, err := parsed.floats(name, shape...)
			require.True(t, (err == nil) == (len(values) > 0))
		}
	})
}
