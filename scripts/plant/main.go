// plant is the command line: it runs the whole stack on this machine, migrates
// and seeds a database, and reads, imports and shows what the registry holds.
// Results go to stdout, progress to stderr; the exit code is 0, 1 when the work
// failed, 2 when the command was not understood, 3 when batch work is held.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/alecthomas/kong"

	"github.com/dlai-sd/plant/shared/store"
)

// cli is the command line; each command is a file of this folder.
type cli struct {
	Dir  string `help:"Folder of the local stack's data." default:".plant" env:"PLANT_DIR" type:"path"`
	JSON bool   `help:"Results as JSON, for programs." name:"json"`

	Run          runCmd          `cmd:"" help:"Run the whole stack on this machine until Ctrl-C."`
	Demo         demoCmd         `cmd:"" help:"Start a stack, create a skill, prove its record, stop; leaves nothing behind."`
	Migrate      migrateCmd      `cmd:"" help:"Bring a database's schema up to date."`
	Seed         seedCmd         `cmd:"" help:"Write the Genesis catalogue; what is there already stays as it is."`
	Principal    principalCmd    `cmd:"" help:"Who may call: the principals and their secrets."`
	Token        tokenCmd        `cmd:"" help:"Make a bearer token for a principal, good for 30 minutes."`
	Keys         keysCmd         `cmd:"" help:"The signing keys."`
	Log          logCmd          `cmd:"" help:"The log: how it stands, and a new beginning after a restored backup."`
	Import       importCmd       `cmd:"" help:"Bring in a catalogue, over HTTP: JSON Lines of any kind, O*NET or ESCO."`
	Events       eventsCmd       `cmd:"" help:"The events between functions."`
	Embed        embedCmd        `cmd:"" help:"The vectors by which entities are found."`
	Hold         holdCmd         `cmd:"" help:"The switch that holds batch work: audits, drift checks, backfills. Interactive work is never held."`
	Constitution constitutionCmd `cmd:"" help:"The rules in force: show, replay, propose, judge, enact, roll back."`
	Show         showCmd         `cmd:"" help:"Show an entity, its history, or the proof of its newest record."`
	Export       exportCmd       `cmd:"" help:"Write the evidence of a scope to a file: a bundle that a stranger can check."`
	Verify       verifyCmd       `cmd:"" help:"Check a bundle, offline: four verdicts."`
	Doctor       doctorCmd       `cmd:"" help:"Look at a deployment and say what is wrong with it, and what to do: exit 0 well, 1 findings, 2 cannot look."`
	Drill        drillCmd        `cmd:"" help:"Attack bundles and databases in every known way, copies of yours too; all must be found."`
	Bench        benchCmd        `cmd:"" help:"Measure every goal against a bound of the same run."`
}

// app is what every command gets: where to write, and what it was told.
type app struct {
	ctx      context.Context
	stdout   io.Writer
	stderr   *os.File
	dir      string
	json     bool
	settings settings
}

// hint is an error with what to try next.
type hint struct {
	err error
	try string
}

func (h *hint) Error() string { return h.err.Error() }
func (h *hint) Unwrap() error { return h.err }

// advise adds what to try to an error.
func advise(err error, try string) error {
	if err == nil {
		return nil
	}
	return &hint{err, try}
}

// orAdvise adds what to try unless the error says so itself.
func orAdvise(err error, try string) error {
	var h *hint
	if errors.As(err, &h) {
		return err
	}
	return advise(err, try)
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second Ctrl-C ends at once what does not stop
	code := execute(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// newParser makes the parser of command lines.
func newParser(c *cli, stdout, stderr io.Writer, exit func(code int)) (*kong.Kong, error) {
	return kong.New(c, kong.Name("plant"),
		kong.Description("The registry of record for AI agents: what an agent was certified to do, who said so, and that nobody changed it since."),
		kong.Vars{"measurements": measurements()}, kong.Writers(stdout, stderr), kong.Exit(exit), kong.UsageOnError())
}

// execute runs one command line and returns its exit code.
func execute(ctx context.Context, args []string, stdout io.Writer, stderr *os.File) int {
	var c cli
	exited := -1
	parser, err := newParser(&c, stdout, stderr, func(code int) { exited = code })
	if err != nil {
		fmt.Fprintln(stderr, "plant:", err)
		return 2
	}
	if len(args) == 0 {
		args = []string{"--help"}
	}
	command, err := parser.Parse(args)
	if exited >= 0 {
		return exited
	}
	if err != nil {
		fmt.Fprintf(stderr, "plant: %v\nTry: %s --help\n", err, meant(err))
		return 2
	}
	settings, err := loadSettings(ctx, c.Dir)
	if err == nil {
		err = command.Run(&app{ctx: ctx, stdout: stdout, stderr: stderr, dir: c.Dir, json: c.JSON, settings: settings})
	}
	return report(stderr, err)
}

// meant is the command that a line which was not understood began with.
func meant(err error) string {
	words := []string{"plant"}
	var failed *kong.ParseError
	if errors.As(err, &failed) {
		for _, p := range failed.Context.Path {
			if p.Command != nil {
				words = append(words, p.Command.Name)
			}
		}
	}
	return strings.Join(words, " ")
}

// codeHeld is the exit code of what was not done because batch work is held.
const codeHeld = 3

// report says what failed and what to try, and returns the exit code.
func report(stderr io.Writer, err error) int {
	if err == nil {
		return 0
	}
	var code exitCode
	if errors.As(err, &code) {
		return int(code)
	}
	fmt.Fprintln(stderr, "plant:", err)
	if held := new(store.HeldError); errors.As(err, &held) {
		fmt.Fprintln(stderr, "Try: the same command once plant hold off has lifted it")
		return codeHeld
	}
	var h *hint
	if !errors.As(err, &h) {
		h = &hint{try: "plant --help"}
	}
	fmt.Fprintln(stderr, "Try:", h.try)
	return 1
}
