// Package embedding says what a vector of this system is: by which model, from
// which text, how it is hashed, cached and asked for over HTTP. The model
// itself is package minilm.
package embedding

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"math"

	"github.com/dlai-sd/plant/shared/embedding/minilm"
)

const (
	// ModelID names the vector of one text: all-MiniLM-L6-v2, normalised.
	ModelID = "all-MiniLM-L6-v2"
	// EntityModelID names what is stored of an entity: the mean of two such
	// vectors. See EntityTexts.
	EntityModelID = ModelID + "/mean-1"
	// Dimensions is the length of either.
	Dimensions = minilm.Dimensions
)

// lengthTolerance is how far from 1 the length of a normalised vector may be.
// It is 32-bit arithmetic's error a thousand times over.
const lengthTolerance = 1e-3

// ErrInvalid is wrapped by every error about a vector that no text has.
var ErrInvalid = errors.New("not a vector of the model")

// Embedding is the vector of a text.
type Embedding struct {
	// Vector has Dimensions values and length 1. It may be shared: callers do
	// not change it.
	Vector []float32 `json:"embedding"`
	// Truncated says that the text is longer than the model reads, and that
	// the rest had no part in the vector.
	Truncated bool `json:"truncated"`
}

// EntityTexts are the texts whose vectors make an entity's: its name, and its
// name with its description. One without a description is its name alone, and
// so is its vector.
func EntityTexts(name, description string) []string {
	if description == "" {
		return []string{name}
	}
	return []string{name, name + ". " + description}
}

// EntityTextHash identifies the text of an entity, name and description apart:
// SHA-256 of the name, or if there is a description of the name, a zero byte
// and the description. Neither can hold a zero byte.
func EntityTextHash(name, description string) [sha256.Size]byte {
	if description == "" {
		return TextHash(name)
	}
	return TextHash(name + "\x00" + description)
}

// Mean is the vector stored for an entity, from those of its EntityTexts:
// value by value their mean, summed in the order given in 32-bit floats. It is
// not normalised again; search compares it by inner product. All vectors have
// Dimensions values.
func Mean(vectors ...[]float32) []float32 {
	mean := make([]float32, Dimensions)
	for _, vector := range vectors {
		for i, v := range vector[:Dimensions] {
			mean[i] += v
		}
	}
	for i := range mean {
		mean[i] /= float32(len(vectors))
	}
	return mean
}

// TextHash is the SHA-256 of a text's bytes.
func TextHash(text string) [sha256.Size]byte { return sha256.Sum256([]byte(text)) }

// VectorHash is the SHA-256 of Bytes: what a signed record says of a vector.
// -0 and 0 are told apart, as their bits are.
func VectorHash(vector []float32) [sha256.Size]byte { return sha256.Sum256(Bytes(vector)) }

// Bytes are the values in their order, each as IEEE 754 binary32, little
// endian.
func Bytes(vector []float32) []byte {
	bytes := make([]byte, 0, 4*len(vector))
	for _, v := range vector {
		bytes = binary.LittleEndian.AppendUint32(bytes, math.Float32bits(v))
	}
	return bytes
}

// parse is the reverse of Bytes. The length is a multiple of four.
func parse(bytes []byte) []float32 {
	vector := make([]float32, len(bytes)/4)
	for i := range vector {
		vector[i] = math.Float32frombits(binary.LittleEndian.Uint32(bytes[4*i:]))
	}
	return vector
}

// Valid checks that a vector can be that of a text: Dimensions values, finite,
// of length 1. Its error wraps ErrInvalid.
func Valid(vector []float32) error {
	length, err := measure(vector)
	if err == nil && math.Abs(length-1) > lengthTolerance {
		err = fmt.Errorf("%w: its length is %g", ErrInvalid, length)
	}
	return err
}

// ValidEntity checks that a vector can be that of an entity: the mean of
// vectors of length 1 is not longer, and not 0.
func ValidEntity(vector []float32) error {
	length, err := measure(vector)
	if err == nil && (length == 0 || length > 1+lengthTolerance) {
		err = fmt.Errorf("%w: its length is %g", ErrInvalid, length)
	}
	return err
}

func measure(vector []float32) (length float64, err error) {
	if len(vector) != Dimensions {
		return 0, fmt.Errorf("%w: it has %d values", ErrInvalid, len(vector))
	}
	for _, v := range vector {
		length += float64(v) * float64(v)
	}
	if length = math.Sqrt(length); math.IsNaN(length) || math.IsInf(length, 0) {
		return 0, fmt.Errorf("%w: it is not finite", ErrInvalid)
	}
	return length, nil
}
