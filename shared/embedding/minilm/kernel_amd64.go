package minilm

import "golang.org/x/sys/cpu"

//go:generate go run ../../../scripts/minilmasm -out asm_amd64.s -stubs asm_amd64.go

// fastest returns the best kernel for this machine.
func fastest() kernel {
	all := kernels()
	return all[len(all)-1]
}

// kernels are those that this machine can run, the fastest last.
func kernels() []kernel {
	all := []kernel{portable()}
	if !cpu.X86.HasAVX2 || !cpu.X86.HasFMA {
		return all
	}
	k := kernel{name: "avx2", panel: 16, gelu: geluAVX2, softmax: softmaxAVX2, addNorm: addNormAVX2}
	k.useTiles(tileAVX21, tileAVX22, tileAVX23, tileAVX24, tileAVX25, tileAVX26)
	all = append(all, k)
	if cpu.X86.HasAVX512F {
		k.name, k.panel = "avx512", 32
		k.useTiles(tileAVX5121, tileAVX5122, tileAVX5123, tileAVX5124, tileAVX5125, tileAVX5126,
			tileAVX5127, tileAVX5128, tileAVX5129, tileAVX51210, tileAVX51211, tileAVX51212)
		all = append(all, k)
	}
	return all
}

// assembledTile is a tile of some height: pointers, and strides in bytes.
type assembledTile func(inner int, a *float32, aStride int, b *float32, bStride int, start *float32, startStride int, c *float32, cStride int)

// useTiles takes one tile for each number of rows.
func (k *kernel) useTiles(tiles ...assembledTile) {
	panel := k.panel
	k.rows = len(tiles)
	k.tile = func(rows, inner int, a, b, start, c matrix) {
		// The assembly does not check the bounds.
		_, _ = a.values[(rows-1)*a.stride+inner-1], b.values[(inner-1)*b.stride+panel-1]
		_, _ = start.values[(rows-1)*start.stride+panel-1], c.values[(rows-1)*c.stride+panel-1]
		tiles[rows-1](inner, &a.values[0], 4*a.stride, &b.values[0], 4*b.stride, &start.values[0], 4*start.stride, &c.values[0], 4*c.stride)
	}
}

func geluAVX2(x []float32) { gelu8(&x[0], len(x)) }

func softmaxAVX2(x []float32, n int, scale float32) {
	for i := n; i < len(x); i++ {
		x[i] = -1e30 // e to the power of it is 0
	}
	softmax8(&x[0], len(x), scale)
	clear(x[n:])
}

func addNormAVX2(x, y, gain, bias []float32) {
	_, _, _, _ = x[width-1], y[width-1], gain[width-1], bias[width-1]
	addNorm8(&x[0], &y[0], &gain[0], &bias[0], width)
}
