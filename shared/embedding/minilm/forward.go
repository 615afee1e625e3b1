package minilm

import "math"

// rowBlock is how many rows are computed against the same panels before the
// next rows: few enough that they stay in the second-level cache.
const rowBlock = 48

// innerBlock is how many inputs a tile sums up before it writes, so that a
// panel of that height, 12 or 24 KB, stays in the first-level cache.
const innerBlock = 192

// columnGroup is how many outputs are one piece of work.
const columnGroup = 64

// rowGroup is how many rows are one piece of work where rows stand alone.
const rowGroup = 16

// scratch is the memory of one micro-batch.
type scratch struct {
	hidden, update, context []float32 // rows of width
	queries                 []float32 // rows of 3·width: query, key, value
	wide                    []float32 // rows of inner
	heads                   []headScratch
	pieces                  []headOf
}

func newScratch(workers int, k kernel) scratch {
	s := scratch{
		hidden: make([]float32, batchTokens*width), update: make([]float32, batchTokens*width),
		context: make([]float32, batchTokens*width), queries: make([]float32, batchTokens*3*width),
		wide: make([]float32, batchTokens*inner), heads: make([]headScratch, workers),
	}
	for i := range s.heads {
		s.heads[i] = newHeadScratch(k)
	}
	return s
}

// forward computes the mean of the last layer over each text's tokens and puts
// it into the embeddings. The texts stand below each other as one matrix
// without padding.
func (m *Model) forward(batch [][]int32, to []Embedding) {
	s := &m.scratch
	m.crew.begin()
	defer m.crew.end()
	rows := m.embedTokens(batch)
	for i := range m.weights.layers {
		l := &m.weights.layers[i]
		m.apply(&l.attention, s.queries, s.hidden, rows, false)
		m.crew.run(len(s.pieces), func(worker, i int) { m.attend(&s.heads[worker], s.pieces[i]) })
		m.apply(&l.output, s.update, s.context, rows, false)
		m.normalizeRows(rows, l.attentionNorm)
		m.apply(&l.up, s.wide, s.hidden, rows, true)
		m.apply(&l.down, s.update, s.wide, rows, false)
		m.normalizeRows(rows, l.norm)
	}
	first := 0
	for i, ids := range batch {
		meanRows(to[i].Vector, s.hidden[first*width:(first+len(ids))*width])
		first += len(ids)
	}
}

// embedTokens fills hidden with the first layer's input, and lists the pieces
// of work of attention.
func (m *Model) embedTokens(batch [][]int32) (rows int) {
	s, w := &m.scratch, &m.weights
	s.pieces = s.pieces[:0]
	for _, ids := range batch {
		for head := range heads {
			s.pieces = append(s.pieces, headOf{first: rows, rows: len(ids), head: head})
		}
		for position, id := range ids {
			row := s.hidden[rows*width:][:width]
			word := w.words[int(id)*width:][:width]
			for i, kind := range w.kind[:width] {
				row[i] = word[i] + kind
			}
			m.kernel.addNorm(row, w.positions[position*width:][:width], w.norm.gain, w.norm.bias)
			rows++
		}
	}
	return rows
}

// apply computes to = from·weights + bias, then GELU if it is asked for.
func (m *Model) apply(l *linear, to, from []float32, rows int, gelu bool) {
	columns := columnGroup
	if l.outputs < 2*columns*m.crew.workers() {
		columns /= 2
	}
	m.crew.run(l.outputs/columns, func(_, i int) {
		begin, end := i*columns, (i+1)*columns
		evenly(rows, rowBlock, func(first, last int) {
			m.applyBlock(l, to, from, first, last, begin, end)
			if !gelu {
				return
			}
			for r := first; r < last; r++ {
				m.kernel.gelu(to[r*l.outputs+begin : r*l.outputs+end])
			}
		})
	})
}

// applyBlock does rows first to last and columns begin to end.
func (m *Model) applyBlock(l *linear, to, from []float32, first, last, begin, end int) {
	k := &m.kernel
	for input := 0; input < l.inputs; input += innerBlock {
		for column := begin; column < end; column += k.panel {
			b := matrix{l.weights[column*l.inputs+input*k.panel:], k.panel}
			evenly(last-first, k.rows, func(r, next int) {
				a := matrix{from[(first+r)*l.inputs+input:], l.inputs}
				c := matrix{to[(first+r)*l.outputs+column:], l.outputs}
				start := c
				if input == 0 {
					start = matrix{l.bias[column:], 0}
				}
				k.tile(next-r, innerBlock, a, b, start, c)
			})
		}
	}
}

// evenly cuts n into as few ranges of at most most as there can be, all about
// as long: a tile of few rows costs nearly as much as one of many.
func evenly(n, most int, do func(begin, end int)) {
	count := (n + most - 1) / most
	for i := range count {
		do(i*n/count, (i+1)*n/count)
	}
}

// normalizeRows adds update to hidden and normalises each row.
func (m *Model) normalizeRows(rows int, n layerNorm) {
	s := &m.scratch
	m.crew.run((rows+rowGroup-1)/rowGroup, func(_, i int) {
		for r := i * rowGroup; r < min(rows, (i+1)*rowGroup); r++ {
			m.kernel.addNorm(s.hidden[r*width:][:width], s.update[r*width:][:width], n.gain, n.bias)
		}
	})
}

func meanRows(to, rows []float32) {
	clear(to)
	for r := 0; r < len(rows); r += width {
		for i, v := range rows[r:][:width] {
			to[i] += v
		}
	}
	for i := range to {
		to[i] /= float32(len(rows) / width)
	}
}

// normalizeVector brings a vector to length 1; it is false if it has none.
func normalizeVector(v []float32) bool {
	var squares float64
	for _, x := range v {
		squares += float64(x) * float64(x)
	}
	length := math.Sqrt(squares)
	if !(length > 0) || math.IsInf(length, 0) {
		return false
	}
	for i := range v {
		v[i] *= float32(1 / length)
	}
	return true
}
