package minilm

import "math"

// kernel is the arithmetic that takes the time, in assembly or in plain Go.
// Slices are as long as their strides need; no kernel reads beyond them.
type kernel struct {
	name string
	// rows and panel are the height that a tile has at most and its width. 64
	// is a multiple of the width.
	rows, panel int
	// tile computes c = start + a·b for a of rows×inner and b of inner×panel.
	tile func(rows, inner int, a, b, start, c matrix)
	// gelu replaces x by x·Φ(x). Its length is a multiple of 8.
	gelu func(x []float32)
	// softmax replaces x[:n] by softmax(scale·x[:n]), and the rest by 0. Its
	// length is a multiple of 8 and n is positive.
	softmax func(x []float32, n int, scale float32)
	// addNorm replaces x by its sum with y, normalised to mean 0 and variance
	// 1, times gain plus bias. All have width values.
	addNorm func(x, y, gain, bias []float32)
}

// matrix is rows of floats; stride is from one row to the next.
type matrix struct {
	values []float32
	stride int
}

// normEpsilon is the model's layer_norm_eps.
const normEpsilon = 1e-12

// portablePanel is the width of the portable tile.
const portablePanel = 16

// portable is the kernel of machines without one of their own.
func portable() kernel {
	return kernel{name: "portable", rows: 6, panel: portablePanel, tile: tileGo, gelu: geluGo, softmax: softmaxGo, addNorm: addNormGo}
}

func tileGo(rows, inner int, a, b, start, c matrix) {
	for r := range rows {
		row := a.values[r*a.stride:][:inner]
		for column := 0; column < portablePanel; column += 8 {
			in := start.values[r*start.stride+column:][:8]
			s0, s1, s2, s3, s4, s5, s6, s7 := in[0], in[1], in[2], in[3], in[4], in[5], in[6], in[7]
			for i, v := range row {
				w := b.values[i*b.stride+column:][:8]
				s0 += v * w[0]
				s1 += v * w[1]
				s2 += v * w[2]
				s3 += v * w[3]
				s4 += v * w[4]
				s5 += v * w[5]
				s6 += v * w[6]
				s7 += v * w[7]
			}
			out := c.values[r*c.stride+column:][:8]
			out[0], out[1], out[2], out[3], out[4], out[5], out[6], out[7] = s0, s1, s2, s3, s4, s5, s6, s7
		}
	}
}

// exp is e^x for x that is at most slightly positive, within 2e-7 of it
// (Cephes, expf).
func exp(x float32) float32 {
	if x < -87.3 {
		return 0
	}
	n := float32(math.Floor(float64(x*math.Log2E + 0.5)))
	x -= n * 0.693359375
	x += n * 2.12194440e-4
	p := float32(1.9875691500e-4)
	p = p*x + 1.3981999507e-3
	p = p*x + 8.3334519073e-3
	p = p*x + 4.1665795894e-2
	p = p*x + 1.6666665459e-1
	p = p*x + 5.0000001201e-1
	p = p*x*x + x + 1
	return p * math.Float32frombits(uint32(int32(n)+127)<<23)
}

// geluGo takes erf from Abramowitz and Stegun 7.1.26, within 1.5e-7.
func geluGo(x []float32) {
	for i, v := range x {
		z := float32(math.Abs(float64(v))) * (1 / math.Sqrt2)
		t := 1 / (1 + 0.3275911*z)
		p := ((((1.061405429*t-1.453152027)*t+1.421413741)*t-0.284496736)*t + 0.254829592) * t
		rest := p * exp(-z*z) // 1 - erf(z)
		if v >= 0 {
			x[i] = v * (1 - 0.5*rest)
		} else {
			x[i] = v * 0.5 * rest
		}
	}
}

func softmaxGo(x []float32, n int, scale float32) {
	top := x[0]
	for _, v := range x[1:n] {
		top = max(top, v)
	}
	var sum float32
	for i, v := range x[:n] {
		x[i] = exp((v - top) * scale)
		sum += x[i]
	}
	for i := range x[:n] {
		x[i] /= sum
	}
	clear(x[n:])
}

func addNormGo(x, y, gain, bias []float32) {
	var sum, squares float32
	for i, v := range y {
		x[i] += v
		sum += x[i]
	}
	mean := sum / width
	for _, v := range x {
		squares += (v - mean) * (v - mean)
	}
	scale := float32(1 / math.Sqrt(float64(squares/width)+normEpsilon))
	for i, v := range x {
		x[i] = (v-mean)*scale*gain[i] + bias[i]
	}
}
