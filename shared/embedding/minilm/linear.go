package minilm

import "unsafe"

// arena is the memory that the packed weights lie in.
type arena struct{ mapping }

func (a arena) floats() []float32 {
	if len(a.bytes) == 0 {
		return nil
	}
	return unsafe.Slice((*float32)(unsafe.Pointer(&a.bytes[0])), len(a.bytes)/4) // #nosec -- page-aligned, its own length
}

// linear is one or more linear layers of the same input, side by side: its
// weights lie in panels as wide as the kernel's tile,
// [outputs/panel][inputs][panel].
type linear struct {
	inputs, outputs int
	weights, bias   []float32
}

// part is a linear layer as the file has it: [outputs][inputs].
type part struct{ weights, bias []float32 }

// packedSize is how many floats all linear layers have together.
const packedSize = layers * (3*width*width + width*width + 2*width*inner)

// pack copies the parts into memory, which has the right size.
func pack(memory []float32, panel, inputs int, parts ...part) linear {
	l := linear{inputs: inputs, weights: memory}
	for _, p := range parts {
		for first := 0; first < len(p.bias); first += panel {
			packPanel(memory[:inputs*panel], p.weights[first*inputs:(first+panel)*inputs], panel, inputs)
			memory = memory[inputs*panel:]
		}
		l.bias = append(l.bias, p.bias...)
	}
	l.outputs = len(l.bias)
	return l
}

// packPanel transposes a panel's rows, eight columns at a time so that both sides
// stay in the cache.
func packPanel(to, from []float32, panel, inputs int) {
	for i := 0; i < inputs; i += 8 {
		for column := range panel {
			source := from[column*inputs+i:][:8]
			target := to[i*panel+column:][:7*panel+1]
			for j, v := range source {
				target[j*panel] = v
			}
		}
	}
}
