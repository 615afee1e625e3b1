// Package embedding turns what entities mean into vectors.
package embedding

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"math"

	"github.com/dlai-sd/plant/shared/embedding/minilm"
)

// Embedder computes embeddings.
type Embedder struct {
	Model *minilm.Model
}

// Vectors computes the embeddings of texts, in their order.
func (e *Embedder) Vectors(ctx context.Context, texts []string) ([][]float32, error) {
	made, err := e.Model.Embed(ctx, texts)
	vectors := make([][]float32, len(made))
	for i, m := range made {
		vectors[i] = m.Vector
	}
	return vectors, err
}

// VectorHash is the SHA-256 of a vector's float32 values, little-endian.
func VectorHash(v []float32) [32]byte {
	b := make([]byte, 0, 4*len(v))
	for _, x := range v {
		b = binary.LittleEndian.AppendUint32(b, math.Float32bits(x))
	}
	return sha256.Sum256(b)
}
