package minilm

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"unsafe"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// ErrWeights is wrapped by every error about the content of
// model.safetensors.
var ErrWeights = errors.New("not the weights of all-MiniLM-L6-v2")

// maxHeader bounds what is parsed; the model's own header has 11 KB.
const maxHeader = 1 << 20

// tensors reads a safetensors file: the header's length (8 bytes, little
// endian), the header (JSON, by name), the values.
// See https://huggingface.co/docs/safetensors.
type tensors struct {
	header map[string]tensor
	values []byte
}

type tensor struct {
	Type    string   `json:"dtype"`
	Shape   []int    `json:"shape"`
	Offsets [2]int64 `json:"data_offsets"`
}

func parseTensors(file []byte) (tensors, error) {
	if len(file) < 8 {
		return tensors{}, fmt.Errorf("%w: the file has %d bytes", ErrWeights, len(file))
	}
	length := binary.LittleEndian.Uint64(file)
	if length > maxHeader || length > uint64(len(file)-8) {
		return tensors{}, fmt.Errorf("%w: its header claims %d bytes", ErrWeights, length)
	}
	var raw map[string]jsontext.Value
	if err := json.Unmarshal(file[8:8+length], &raw); err != nil {
		return tensors{}, fmt.Errorf("%w: its header: %w", ErrWeights, err)
	}
	delete(raw, "__metadata__")
	header := make(map[string]tensor, len(raw))
	for name, value := range raw {
		var one tensor
		if err := json.Unmarshal(value, &one); err != nil {
			return tensors{}, fmt.Errorf("%w: its header: %s: %w", ErrWeights, name, err)
		}
		header[name] = one
	}
	return tensors{header: header, values: file[8+length:]}, nil
}

// floats returns a tensor of the wanted shape as it lies in the file.
func (t tensors) floats(name string, shape ...int) ([]float32, error) {
	found, ok := t.header[name]
	if !ok {
		return nil, fmt.Errorf("%w: %s is missing", ErrWeights, name)
	}
	if found.Type != "F32" || !slices.Equal(found.Shape, shape) {
		return nil, fmt.Errorf("%w: %s is %s %v, not F32 %v", ErrWeights, name, found.Type, found.Shape, shape)
	}
	count := 1
	for _, n := range shape {
		count *= n
	}
	begin, end := found.Offsets[0], found.Offsets[1]
	if begin < 0 || end > int64(len(t.values)) || begin > end || end-begin != int64(count)*4 {
		return nil, fmt.Errorf("%w: %s lies at %d to %d of %d bytes", ErrWeights, name, begin, end, len(t.values))
	}
	first := unsafe.Pointer(&t.values[begin]) // #nosec -- bounds are checked above, alignment below
	if uintptr(first)%4 != 0 {
		return nil, fmt.Errorf("%w: %s is not aligned", ErrWeights, name)
	}
	return unsafe.Slice((*float32)(first), count), nil // #nosec -- as above
}

// littleEndian says whether the file's values are this machine's as they lie.
func littleEndian() bool { return binary.NativeEndian.Uint16([]byte{1, 0}) == 1 }

// reader collects the first error of many reads.
type reader struct {
	tensors
	err error
}

func (r *reader) read(name string, shape ...int) []float32 {
	values, err := r.floats(name, shape...)
	if err != nil && r.err == nil {
		r.err = err
	}
	return values
}
