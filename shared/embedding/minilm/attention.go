package minilm

import "math"

// headOf is one head of one text.
type headOf struct{ first, rows, head int }

// headScratch is what one worker needs for a head.
type headScratch struct {
	keys   []float32 // [rows/panel][headWidth][panel]
	values []float32 // [headWidth/panel][rows][panel]
	scores []float32 // as many rows as a tile has
	zero   matrix    // what a product without a bias starts from
}

func newHeadScratch(k kernel) headScratch {
	return headScratch{
		keys: make([]float32, MaxTokens*headWidth), values: make([]float32, MaxTokens*headWidth),
		scores: make([]float32, k.rows*MaxTokens),
		zero:   matrix{make([]float32, k.panel), 0},
	}
}

// attend computes one head's part of context: softmax(query·keyᵀ/√headWidth)
// times value.
func (m *Model) attend(h *headScratch, p headOf) {
	const stride = 3 * width
	k, from := &m.kernel, m.scratch.queries[p.first*stride+p.head*headWidth:]
	padded := (p.rows + k.panel - 1) / k.panel * k.panel
	h.pack(from[width:], from[2*width:], p.rows, padded, k.panel)
	scale := float32(1 / math.Sqrt(headWidth))
	evenly(p.rows, k.rows, func(r, next int) {
		rows, query := next-r, matrix{from[r*stride:], stride}
		for column := 0; column < padded; column += k.panel {
			k.tile(rows, headWidth, query, matrix{h.keys[column*headWidth:], k.panel}, h.zero, matrix{h.scores[column:], padded})
		}
		for i := range rows {
			k.softmax(h.scores[i*padded:][:padded], p.rows, scale)
		}
		for column := 0; column < headWidth; column += k.panel {
			to := m.scratch.context[(p.first+r)*width+p.head*headWidth+column:]
			k.tile(rows, p.rows, matrix{h.scores, padded}, matrix{h.values[column*p.rows:], k.panel}, h.zero, matrix{to, width})
		}
	})
}

// pack brings keys and values, rows of three widths, into panels.
func (h *headScratch) pack(keys, values []float32, rows, padded, panel int) {
	const stride = 3 * width
	clear(h.keys[:padded*headWidth])
	for r := range rows {
		to := h.keys[r/panel*panel*headWidth+r%panel:]
		for i, v := range keys[r*stride:][:headWidth] {
			to[i*panel] = v
		}
		for column := 0; column < headWidth; column += panel {
			copy(h.values[(column*rows + r*panel):][:panel], values[r*stride+column:])
		}
	}
}
