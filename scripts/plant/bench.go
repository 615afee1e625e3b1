package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/dlai-sd/plant/scripts/bench"
)

// benchCmd measures what this machine makes of every goal.
type benchCmd struct {
	Only    string  `help:"Regular expression of the measurements to run: ${measurements}."`
	Effort  float64 `help:"Scales the number of rounds." default:"1"`
	Out     string  `help:"Write the report as JSON to this file, beside the table." type:"path"`
	Profile string  `help:"Write a CPU profile to this file." name:"cpuprofile" type:"path"`
}

// measurements are the names that --only picks from.
func measurements() string { return strings.Join(bench.Names(), ", ") }

// Run measures and prints the table. A goal that is missed is a row that says so.
func (c benchCmd) Run(a *app) error {
	only, err := regexp.Compile(c.Only)
	if err != nil || c.Effort <= 0 {
		return advise(errors.Join(err, errors.New("--only is a regular expression, --effort above 0")), "plant bench --only '^(pure|create)$' --effort 0.5")
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	report, broke := bench.Run(a.ctx, bench.Options{
		Functions: filepath.Join(filepath.Dir(self), "functions"), Only: only, Effort: c.Effort, Profile: c.Profile,
	}, a.stderr)
	if report == nil {
		return orAdvise(broke, "plant bench --only pure, with the binary functions beside plant (make build)")
	}
	if c.Out != "" {
		b, err := json.Marshal(report, jsontext.WithIndent("  "), json.Deterministic(true))
		if err == nil {
			err = os.WriteFile(c.Out, append(b, '\n'), 0o644) // #nosec -- a report is no secret
		}
		broke = errors.Join(broke, err)
	}
	return errors.Join(broke, a.print(report, func() { fmt.Fprintf(a.stdout, "%s", report.Table()) }))
}
