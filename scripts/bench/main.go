// Bench measures every goal of writing, deciding and checking, each as a ratio to a bound that
// is measured in the same run, turn by turn with what it bounds, so that a noisy
// machine moves both. It starts its own PostgreSQL with fsync on, keys, Pub/Sub
// and functions, and leaves nothing behind. A goal that is missed is a line that
// says below; the exit code is 1 only where something broke.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"runtime/pprof"
	"syscall"
	"time"
)

// limit is how long a whole run may take.
const limit = 20 * time.Minute

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// options are the command line's.
type options struct {
	functions string         // binary of the functions
	json      string         // file for the report, "-": stdout instead of the table
	only      *regexp.Regexp // which measurements
	effort    float64        // scales the number of rounds
	profile   string         // file for a CPU profile of this process
}

func parse(args []string, stderr io.Writer) (options, error) {
	var o options
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.StringVar(&o.functions, "functions", besideUs("functions"), "binary of the functions")
	flags.StringVar(&o.json, "json", "", "write the report as JSON to this file; - for stdout instead of the table")
	flags.Float64Var(&o.effort, "effort", 1, "scale the number of rounds")
	flags.StringVar(&o.profile, "cpuprofile", "", "write a CPU profile of this process to this file")
	only := flags.String("only", "", "regular expression of the measurements to run: "+names())
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	var err error
	o.only, err = regexp.Compile(*only)
	return o, err
}

func besideUs(name string) string {
	self, err := os.Executable()
	if err != nil {
		return name
	}
	return filepath.Join(filepath.Dir(self), name)
}

// measurement is one group of rows that are measured together.
type measurement struct {
	name string
	run  func(context.Context, *world) ([]Row, error)
}

// measurements in the order of running: small ones before the database is full,
// processes last.
func measurements() []measurement {
	return []measurement{
		{"pure", measurePure},
		{"evolve", measureEvolve},
		{"seal", measureSeal},
		{"overhead", measureOverhead},
		{"create", measureCreate},
		{"layer", measureLayer},
		{"read", measureRead},
		{"bulk", measureBulk},
		{"certify", measureCertify},
		{"flat", measureFlat},
		{"log", measureLog},
		{"drift", measureDrift},
		{"process", measureProcess},
	}
}

func names() string {
	var list string
	for _, m := range measurements() {
		list += " " + m.name
	}
	return list
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) (failed error) {
	o, err := parse(args, stderr)
	if errors.Is(err, flag.ErrHelp) {
		return nil
	}
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	fmt.Fprintln(stderr, "bench: starting PostgreSQL (fsync on), keys and Pub/Sub")
	w, err := newWorld(ctx, o)
	if err != nil {
		return err
	}
	defer func() { failed = errors.Join(failed, w.close()) }()
	stopProfile, err := profileTo(o.profile)
	if err != nil {
		return err
	}
	report, broke := measureAll(ctx, w, stderr)
	return errors.Join(broke, stopProfile(), report.write(o.json, stdout))
}

// profileTo begins a CPU profile, if a file is named, and returns what ends it.
func profileTo(file string) (stop func() error, err error) {
	if file == "" {
		return func() error { return nil }, nil
	}
	out, err := os.Create(file) //nolint:gosec // the user's own choice
	if err != nil {
		return nil, err
	}
	if err := pprof.StartCPUProfile(out); err != nil {
		return nil, errors.Join(err, out.Close())
	}
	return func() error { pprof.StopCPUProfile(); return out.Close() }, nil
}

// measureAll runs the measurements that were asked for. One that breaks leaves
// the others alone.
func measureAll(ctx context.Context, w *world, stderr io.Writer) (*Report, error) {
	report := newReport(w.postgresVersion)
	var broke error
	for _, m := range measurements() {
		if !w.opts.only.MatchString(m.name) {
			continue
		}
		fmt.Fprintln(stderr, "bench:", m.name)
		rows, err := m.run(ctx, w)
		report.Rows = append(report.Rows, rows...)
		if err != nil {
			broke = errors.Join(broke, fmt.Errorf("%s: %w", m.name, err))
		}
	}
	report.finish()
	return report, broke
}
