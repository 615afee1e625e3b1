package minilm

import "golang.org/x/sys/cpu"

//go:generate go run ../../../scripts/minilmasm -out tile_amd64.s -stubs tile_amd64.go -pkg minilm

// fastest returns the best kernel for this machine.
func fastest() kernel {
	if !cpu.X86.HasAVX2 || !cpu.X86.HasFMA {
		return portable()
	}
	return kernel{accelerated: true, tile: tileAVX2, gelu: geluAVX2, softmax: softmaxAVX2, addNorm: addNormAVX2}
}

// tileAVX2 checks the bounds, which the assembly does not.
func tileAVX2(rows, inner int, a, b, start, c matrix) {
	_, _ = a.values[(rows-1)*a.stride+inner-1], b.values[(inner-1)*b.stride+panel-1]
	_, _ = start.values[(rows-1)*start.stride+panel-1], c.values[(rows-1)*c.stride+panel-1]
	as, bs, ss, cs := 4*a.stride, 4*b.stride, 4*start.stride, 4*c.stride
	if rows == 6 {
		tile6(inner, &a.values[0], as, &b.values[0], bs, &start.values[0], ss, &c.values[0], cs)
		return
	}
	done := 0
	if rows >= 4 {
		tile4(inner, &a.values[0], as, &b.values[0], bs, &start.values[0], ss, &c.values[0], cs)
		done = 4
	}
	if rows-done >= 2 {
		tile2(inner, &a.values[done*a.stride], as, &b.values[0], bs, &start.values[done*start.stride], ss, &c.values[done*c.stride], cs)
		done += 2
	}
	if rows-done == 1 {
		tile1(inner, &a.values[done*a.stride], as, &b.values[0], bs, &start.values[done*start.stride], ss, &c.values[done*c.stride], cs)
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
