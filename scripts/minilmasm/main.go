// Minilmasm writes the AVX2 and AVX-512 kernels of shared/embedding/minilm; go
// generate in that folder calls it.
package main

import (
	"flag"
	"fmt"
	"io"
	"os"

	"github.com/mmcloughlin/avo/attr"
	"github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/pass"
	"github.com/mmcloughlin/avo/printer"
)

func main() {
	flags := flag.NewFlagSet("minilmasm", flag.ExitOnError) // avo has its own in the default set
	out := flags.String("out", "", "`file` for the assembly")
	stubs := flags.String("stubs", "", "`file` for the Go declarations")
	pkg := flags.String("pkg", "minilm", "`package` of the declarations")
	if err := flags.Parse(os.Args[1:]); err != nil {
		os.Exit(2)
	}
	if err := write(*out, *stubs, *pkg); err != nil {
		fmt.Fprintln(os.Stderr, "minilmasm:", err)
		os.Exit(1)
	}
}

func write(out, stubs, pkg string) error {
	assembly, err := os.Create(out)
	if err != nil {
		return err
	}
	declarations, err := os.Create(stubs)
	if err != nil {
		return err
	}
	if err := generate(assembly, declarations, pkg); err != nil {
		return err
	}
	if err := assembly.Close(); err != nil {
		return err
	}
	return declarations.Close()
}

// generate writes the same bytes however often it is called.
func generate(assembly, declarations io.Writer, pkg string) error {
	g := &generator{Context: build.NewContext()}
	g.constants()
	for _, s := range shapes {
		for rows := 1; rows <= s.rows; rows++ {
			g.tile(s, rows)
		}
	}
	g.gelu()
	g.softmax()
	g.addNorm()
	file, err := g.Result()
	if err != nil {
		return err
	}
	config := printer.Config{Name: "scripts/minilmasm", Pkg: pkg}
	return pass.Concat(
		pass.Compile,
		&pass.Output{Writer: nopCloser{assembly}, Printer: printer.NewGoAsm(config)},
		&pass.Output{Writer: nopCloser{declarations}, Printer: printer.NewStubs(config)},
	).Execute(file)
}

type nopCloser struct{ io.Writer }

func (nopCloser) Close() error { return nil }

// function begins a function that calls nothing and whose pointers stay here.
func (g *generator) function(name, signature string, doc ...string) {
	g.Function(name)
	g.Attributes(attr.NOSPLIT)
	g.Pragma("noescape")
	g.SignatureExpr(signature)
	g.Doc(doc...)
}
