package main

import (
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

func (g *generator) softmax() {
	g.function("softmax8", "func(x *float32, n int, scale float32)",
		"softmax8 replaces x by softmax(scale·x). n is a positive multiple of 8.")
	x, n := g.param("x"), g.param("n")
	scale := g.broadcast("scale")
	at, count := g.GP64(), g.GP64()
	restart := func() {
		g.MOVQ(x, at)
		g.MOVQ(n, count)
	}

	top := g.YMM()
	restart()
	g.VMOVUPS(operand.Mem{Base: at}, top)
	g.each("top", at, count, func(at operand.Mem) { g.VMAXPS(at, top, top) })
	g.fold(top, g.VMAXPS)
	g.VMULPS(scale, top, top)

	sum := g.YMM()
	g.VXORPS(sum, sum, sum)
	restart()
	g.each("exp", at, count, func(at operand.Mem) {
		v := g.YMM()
		g.VMOVUPS(at, v)
		g.VFMSUB213PS(top, scale, v)
		g.exp(v)
		g.VMOVUPS(v, at)
		g.VADDPS(v, sum, sum)
	})
	g.fold(sum, g.VADDPS)
	inverse := g.loaded("one")
	g.VDIVPS(sum, inverse, inverse)

	restart()
	g.each("divide", at, count, func(at operand.Mem) {
		v := g.YMM()
		g.VMULPS(at, inverse, v)
		g.VMOVUPS(v, at)
	})
	g.finish()
}

func (g *generator) addNorm() {
	g.function("addNorm8", "func(x, y, gain, bias *float32, n int)",
		"addNorm8 replaces x by x+y, normalised to mean 0 and variance 1, times gain plus bias.",
		"n is a positive multiple of 8.")
	x, y, n := g.param("x"), g.param("y"), g.param("n")
	gain, bias := g.param("gain"), g.param("bias")
	at, count, share := g.GP64(), g.GP64(), g.YMM()
	restart := func() {
		g.MOVQ(x, at)
		g.MOVQ(n, count)
	}
	g.share(n, share)

	mean := g.YMM()
	g.VXORPS(mean, mean, mean)
	restart()
	g.each("add", at, count, func(at operand.Mem) {
		v := g.YMM()
		g.VMOVUPS(at, v)
		g.VADDPS(operand.Mem{Base: y}, v, v)
		g.VMOVUPS(v, at)
		g.VADDPS(v, mean, mean)
		g.ADDQ(operand.Imm(32), y)
	})
	g.fold(mean, g.VADDPS)
	g.VMULPS(share, mean, mean)

	squares := g.YMM()
	g.VXORPS(squares, squares, squares)
	restart()
	g.each("square", at, count, func(at operand.Mem) {
		v := g.YMM()
		g.VMOVUPS(at, v)
		g.VSUBPS(mean, v, v)
		g.VFMADD231PS(v, v, squares)
	})
	g.fold(squares, g.VADDPS)
	scale := g.loaded("one")
	g.VMULPS(share, squares, squares)
	g.VADDPS(g.number("epsilon"), squares, squares)
	g.VSQRTPS(squares, squares)
	g.VDIVPS(squares, scale, scale)

	restart()
	g.each("scale", at, count, func(at operand.Mem) {
		v := g.YMM()
		g.VMOVUPS(at, v)
		g.VSUBPS(mean, v, v)
		g.VMULPS(scale, v, v)
		g.VMULPS(operand.Mem{Base: gain}, v, v)
		g.VADDPS(operand.Mem{Base: bias}, v, v)
		g.VMOVUPS(v, at)
		g.ADDQ(operand.Imm(32), gain)
		g.ADDQ(operand.Imm(32), bias)
	})
	g.finish()
}

// share puts 1/n into every lane.
func (g *generator) share(n, share reg.Register) {
	count := g.YMM()
	g.VMOVQ(n, count.AsX())
	g.VPBROADCASTD(count.AsX(), count)
	g.VCVTDQ2PS(count, count)
	g.VMOVUPS(g.number("one"), share)
	g.VDIVPS(count, share, share)
}

func (g *generator) broadcast(param string) reg.VecVirtual {
	y := g.YMM()
	address, err := g.Param(param).Resolve()
	if err != nil {
		panic(err)
	}
	g.VBROADCASTSS(address.Addr, y)
	return y
}

// fold combines the eight lanes and puts the result into all of them.
func (g *generator) fold(y reg.VecVirtual, combine func(...operand.Op)) {
	other := g.YMM()
	g.VPERM2F128(operand.Imm(1), y, y, other)
	combine(other, y, y)
	g.VSHUFPS(operand.Imm(0b01_00_11_10), y, y, other)
	combine(other, y, y)
	g.VSHUFPS(operand.Imm(0b10_11_00_01), y, y, other)
	combine(other, y, y)
}
