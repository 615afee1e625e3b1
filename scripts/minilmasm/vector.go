package main

import (
	"math"

	"github.com/mmcloughlin/avo/attr"
	"github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

type generator struct {
	*build.Context
	table map[string]operand.Mem
}

// constants lays out a table of numbers, eight times each. The meaning of the
// names is that of exp and gelu in kernel.go.
func (g *generator) constants() {
	g.table = map[string]operand.Mem{}
	base := g.StaticGlobal("numbers")
	g.DataAttributes(attr.RODATA | attr.NOPTR)
	for i, c := range []struct {
		name string
		bits uint32
	}{
		{"log2e", math.Float32bits(math.Log2E)},
		{"half", math.Float32bits(0.5)},
		{"one", math.Float32bits(1)},
		{"ln2Hi", math.Float32bits(0.693359375)},
		{"ln2Lo", math.Float32bits(-2.12194440e-4)},
		{"p0", math.Float32bits(1.9875691500e-4)},
		{"p1", math.Float32bits(1.3981999507e-3)},
		{"p2", math.Float32bits(8.3334519073e-3)},
		{"p3", math.Float32bits(4.1665795894e-2)},
		{"p4", math.Float32bits(1.6666665459e-1)},
		{"p5", math.Float32bits(5.0000001201e-1)},
		{"lowest", math.Float32bits(-87.3)},
		{"bias", 127},
		{"epsilon", math.Float32bits(1e-12)},
		{"rootHalf", math.Float32bits(1 / math.Sqrt2)},
		{"magnitude", 0x7fffffff},
		{"sign", 0x80000000},
		{"e0", math.Float32bits(0.3275911)},
		{"e1", math.Float32bits(1.061405429)},
		{"e2", math.Float32bits(-1.453152027)},
		{"e3", math.Float32bits(1.421413741)},
		{"e4", math.Float32bits(-0.284496736)},
		{"e5", math.Float32bits(0.254829592)},
	} {
		for lane := range 8 {
			g.AddDatum(32*i+4*lane, operand.U32(c.bits))
		}
		g.table[c.name] = base.Offset(32 * i)
	}
}

func (g *generator) param(name string) reg.Register { return g.Load(g.Param(name), g.GP64()) }

func (g *generator) number(name string) operand.Mem { return g.table[name] }

func (g *generator) loaded(name string) reg.VecVirtual {
	y := g.YMM()
	g.VMOVUPS(g.number(name), y)
	return y
}

func (g *generator) finish() {
	g.VZEROUPPER()
	g.RET()
}

// each runs body for eight floats at a time; count is used up.
func (g *generator) each(label string, at, count reg.Register, body func(at operand.Mem)) {
	g.Label(label)
	body(operand.Mem{Base: at})
	g.ADDQ(operand.Imm(32), at)
	g.SUBQ(operand.Imm(8), count)
	g.JNZ(operand.LabelRef(label))
}

// exp replaces x by e^x.
func (g *generator) exp(x reg.VecVirtual) {
	n, p, square := g.YMM(), g.YMM(), g.YMM()
	g.VMAXPS(g.number("lowest"), x, x)
	g.VMOVUPS(g.number("half"), n)
	g.VFMADD231PS(g.number("log2e"), x, n)
	g.VROUNDPS(operand.Imm(1), n, n)
	g.VFNMADD231PS(g.number("ln2Hi"), n, x)
	g.VFNMADD231PS(g.number("ln2Lo"), n, x)
	g.VMOVUPS(g.number("p0"), p)
	for _, name := range []string{"p1", "p2", "p3", "p4", "p5"} {
		g.VFMADD213PS(g.number(name), x, p)
	}
	g.VMULPS(x, x, square)
	g.VFMADD213PS(x, square, p)
	g.VADDPS(g.number("one"), p, p)
	g.VCVTPS2DQ(n, n)
	g.VPADDD(g.number("bias"), n, n)
	g.VPSLLD(operand.Imm(23), n, n)
	g.VMULPS(n, p, x)
}

func (g *generator) gelu() {
	g.function("gelu8", "func(x *float32, n int)", "gelu8 replaces x by x·Φ(x). n is a positive multiple of 8.")
	at, count := g.param("x"), g.param("n")
	g.each("next", at, count, func(at operand.Mem) {
		x, z, t, p, sign := g.YMM(), g.YMM(), g.YMM(), g.YMM(), g.YMM()
		g.VMOVUPS(at, x)
		g.VANDPS(g.number("magnitude"), x, z)
		g.VMULPS(g.number("rootHalf"), z, z)
		g.VMOVUPS(g.number("one"), t)
		g.VFMADD231PS(g.number("e0"), z, t)
		one := g.loaded("one")
		g.VDIVPS(t, one, t)
		g.VMOVUPS(g.number("e1"), p)
		for _, name := range []string{"e2", "e3", "e4", "e5"} {
			g.VFMADD213PS(g.number(name), t, p)
		}
		g.VMULPS(t, p, p)
		g.VMULPS(z, z, z)
		g.VXORPS(g.number("sign"), z, z)
		g.exp(z)
		g.VMULPS(z, p, p) // 1 - erf|z|
		g.VSUBPS(p, one, p)
		g.VANDPS(g.number("sign"), x, sign)
		g.VORPS(sign, p, p)
		g.VADDPS(one, p, p)
		g.VMULPS(g.number("half"), x, x)
		g.VMULPS(p, x, x)
		g.VMOVUPS(x, at)
	})
	g.finish()
}
