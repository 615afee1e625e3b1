package main

import (
	"fmt"

	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// shape is a family of tiles: two vectors wide and up to rows high, so that at
// full height every register but the few that hold inputs is a sum.
type shape struct {
	name   string
	lanes  int // floats of a vector
	rows   int
	vector func(*generator) reg.VecVirtual
}

var shapes = []shape{
	{"AVX2", 8, 6, func(g *generator) reg.VecVirtual { return g.YMM() }},
	{"AVX512", 16, 12, func(g *generator) reg.VecVirtual { return g.ZMM() }},
}

// tile makes rows × 2·lanes sums of products.
func (g *generator) tile(s shape, rows int) {
	name := fmt.Sprintf("tile%s%d", s.name, rows)
	g.function(name,
		"func(inner int, a *float32, aStride int, b *float32, bStride int, start *float32, startStride int, c *float32, cStride int)",
		fmt.Sprintf("%s computes c = start + a·b for %d by %d sums. Strides are in bytes.", name, rows, 2*s.lanes))
	inner, a, aStride := g.param("inner"), g.param("a"), g.param("aStride")
	b, bStride := g.param("b"), g.param("bStride")
	sums := make([][2]reg.VecVirtual, rows)
	from, stride := g.param("start"), g.param("startStride")
	for r := range sums {
		sums[r] = [2]reg.VecVirtual{s.vector(g), s.vector(g)}
		g.VMOVUPS(operand.Mem{Base: from}, sums[r][0])
		g.VMOVUPS(operand.Mem{Base: from, Disp: 4 * s.lanes}, sums[r][1])
		if r < rows-1 {
			g.ADDQ(stride, from)
		}
	}
	row := g.rowsOf(a, aStride, rows)
	left, right := s.vector(g), s.vector(g)
	values := [2]reg.VecVirtual{s.vector(g), s.vector(g)}
	g.Label("next")
	g.VMOVUPS(operand.Mem{Base: b}, left)
	g.VMOVUPS(operand.Mem{Base: b, Disp: 4 * s.lanes}, right)
	for r := range sums {
		v := values[r%2]
		g.VBROADCASTSS(row[r], v)
		g.VFMADD231PS(left, v, sums[r][0])
		g.VFMADD231PS(right, v, sums[r][1])
	}
	g.ADDQ(operand.Imm(4), a)
	g.ADDQ(bStride, b)
	g.DECQ(inner)
	g.JNZ(operand.LabelRef("next"))
	to, stride := g.param("c"), g.param("cStride")
	for r := range sums {
		g.VMOVUPS(sums[r][0], operand.Mem{Base: to})
		g.VMOVUPS(sums[r][1], operand.Mem{Base: to, Disp: 4 * s.lanes})
		if r < rows-1 {
			g.ADDQ(stride, to)
		}
	}
	g.finish()
}

// rowsOf addresses the rows of a matrix from one base, so that one addition
// moves all of them on: the even factors of the stride are an odd one, scaled.
func (g *generator) rowsOf(base, stride reg.Register, rows int) []operand.Mem {
	all := make([]operand.Mem, rows)
	odd := map[int]reg.Register{1: stride}
	for r := range all {
		if r == 0 {
			all[r] = operand.Mem{Base: base}
			continue
		}
		factor, scale := r, uint8(1)
		for factor%2 == 0 {
			factor, scale = factor/2, scale*2
		}
		if odd[factor] == nil {
			index := g.GP64()
			g.LEAQ(operand.Mem{Base: odd[factor-2], Index: stride, Scale: 2}, index)
			odd[factor] = index
		}
		all[r] = operand.Mem{Base: base, Index: odd[factor], Scale: scale}
	}
	return all
}
