package main

import (
	"fmt"

	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// tile makes rows × 16 sums of products: two accumulators a row, so that with
// six rows twelve multiplications are under way at once, as the two units with
// a latency of four or five cycles need.
func (g *generator) tile(rows int) {
	g.function(fmt.Sprintf("tile%d", rows),
		"func(inner int, a *float32, aStride int, b *float32, bStride int, start *float32, startStride int, c *float32, cStride int)",
		fmt.Sprintf("tile%d computes c = start + a·b for %d rows and 16 columns. Strides are in bytes.", rows, rows))
	inner, a, aStride := g.param("inner"), g.param("a"), g.param("aStride")
	b, bStride := g.param("b"), g.param("bStride")
	sums := make([][2]reg.VecVirtual, rows)
	from, stride := g.param("start"), g.param("startStride")
	for r := range sums {
		sums[r] = [2]reg.VecVirtual{g.YMM(), g.YMM()}
		g.VMOVUPS(operand.Mem{Base: from}, sums[r][0])
		g.VMOVUPS(operand.Mem{Base: from, Disp: 32}, sums[r][1])
		if r < rows-1 {
			g.ADDQ(stride, from)
		}
	}
	lower := a // rows 3 to 5: an address has no factor 3
	if rows > 3 {
		lower = g.GP64()
		g.LEAQ(operand.Mem{Base: a, Index: aStride, Scale: 2}, lower)
		g.ADDQ(aStride, lower)
	}
	b0, b1 := g.YMM(), g.YMM()
	values := [2]reg.VecVirtual{g.YMM(), g.YMM()}
	g.Label("next")
	g.VMOVUPS(operand.Mem{Base: b}, b0)
	g.VMOVUPS(operand.Mem{Base: b, Disp: 32}, b1)
	for r := range sums {
		v := values[r%2]
		g.VBROADCASTSS(rowOf(a, lower, aStride, r), v)
		g.VFMADD231PS(b0, v, sums[r][0])
		g.VFMADD231PS(b1, v, sums[r][1])
	}
	g.ADDQ(operand.Imm(4), a)
	if rows > 3 {
		g.ADDQ(operand.Imm(4), lower)
	}
	g.ADDQ(bStride, b)
	g.DECQ(inner)
	g.JNZ(operand.LabelRef("next"))
	to, stride := g.param("c"), g.param("cStride")
	for r := range sums {
		g.VMOVUPS(sums[r][0], operand.Mem{Base: to})
		g.VMOVUPS(sums[r][1], operand.Mem{Base: to, Disp: 32})
		if r < rows-1 {
			g.ADDQ(stride, to)
		}
	}
	g.finish()
}

// rowOf addresses a row: a, a+stride, a+2·stride, then the same from lower.
func rowOf(a, lower, stride reg.Register, row int) operand.Mem {
	base := a
	if row >= 3 {
		base = lower
	}
	switch row % 3 {
	case 0:
		return operand.Mem{Base: base}
	case 1:
		return operand.Mem{Base: base, Index: stride, Scale: 1}
	default:
		return operand.Mem{Base: base, Index: stride, Scale: 2}
	}
}
