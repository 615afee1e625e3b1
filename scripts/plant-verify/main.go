// plant-verify judges a bundle offline: it links no database, no RPC and no HTTP,
// and takes nothing from the bundle that its user did not vouch for.
package main

import (
	"fmt"
	"io"
	"os"
	"time"

	"github.com/alecthomas/kong"
	"github.com/dlai-sd/plant/scripts/verifycmd"
	"golang.org/x/term"
)

type cli struct {
	verifycmd.Command

	JSON bool `help:"The result as JSON, for programs." name:"json"`
}

func main() {
	os.Exit(execute(os.Args[1:], os.Stdout, os.Stderr, term.IsTerminal(int(os.Stderr.Fd()))))
}

// execute runs one command line and returns its exit code.
func execute(args []string, stdout, stderr io.Writer, terminal bool) int {
	var c cli
	exited := -1
	parser, err := kong.New(&c, kong.Name("plant-verify"),
		kong.Description("Check a bundle of Plant's ledger, offline: who said what, under which rules, and that nobody changed it since."),
		kong.Writers(stdout, stderr), kong.Exit(func(code int) { exited = code }))
	if err != nil {
		_, _ = fmt.Fprintln(stderr, "plant-verify:", err)
		return verifycmd.NotJudged
	}
	if len(args) == 0 {
		args = []string{"--help"}
	}
	_, err = parser.Parse(args)
	if exited >= 0 {
		return exited
	}
	if err != nil {
		_, _ = fmt.Fprintf(stderr, "plant-verify: %v\nTry: plant-verify --help\n", err)
		return verifycmd.NotJudged
	}
	return c.Run(verifycmd.Streams{Stdout: stdout, Stderr: stderr, Terminal: terminal, JSON: c.JSON, Clock: time.Now})
}
