// Package bench measures every goal, each as a ratio to a bound that is measured in
// the same run, turn by turn with what it bounds, so that a noisy machine moves both. It
// starts its own PostgreSQL with fsync on, keys, Pub/Sub and functions, and leaves
// nothing behind. A goal that is missed is a row that says below, not an error.
package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"runtime/pprof"
	"slices"
	"time"
)

// limit is how long a whole run may take.
const limit = 20 * time.Minute

// Options say what to measure, and with what.
type Options struct {
	Functions string         // binary of the functions
	Only      *regexp.Regexp // of the measurements by name; nil: all
	Effort    float64        // scales the number of rounds
	Profile   string         // file for a CPU profile of this process; "": none
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

// Names are the measurements', in the order of running.
func Names() (list []string) {
	for _, m := range measurements() {
		list = append(list, m.name)
	}
	return list
}

// Run measures, and says on progress how far it is. Where something broke, the report
// holds what was measured beside it.
func Run(ctx context.Context, o Options, progress io.Writer) (report *Report, failed error) {
	if o.Only != nil && !slices.ContainsFunc(Names(), o.Only.MatchString) {
		return nil, fmt.Errorf("no measurement is named like %s", o.Only)
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	fmt.Fprintln(progress, "bench: starting PostgreSQL (fsync on), keys and Pub/Sub")
	w, err := newWorld(ctx, o)
	if err != nil {
		return nil, err
	}
	defer func() { failed = errors.Join(failed, w.close()) }()
	stopProfile, err := profileTo(o.Profile)
	if err != nil {
		return nil, err
	}
	report, broke := measureAll(ctx, w, progress)
	return report, errors.Join(broke, stopProfile())
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
		if w.opts.Only != nil && !w.opts.Only.MatchString(m.name) {
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
