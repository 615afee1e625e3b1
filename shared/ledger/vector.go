package ledger

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"math"
)

// ErrVector says that a vector is not the one that was signed.
var ErrVector = errors.New("the vector is not the one whose hash the state names")

// CheckVector reports whether a vector is the one that a state names in
// embedding.vector_sha256: the SHA-256, in lower-case hex, of its values as IEEE 754
// binary32, little-endian. Else it returns ErrVector.
func CheckVector(vectorSHA256 string, vector []float32) error {
	b := make([]byte, 0, 4*len(vector))
	for _, v := range vector {
		b = binary.LittleEndian.AppendUint32(b, math.Float32bits(v))
	}
	if sum := sha256.Sum256(b); hex.EncodeToString(sum[:]) != vectorSHA256 {
		return ErrVector
	}
	return nil
}
