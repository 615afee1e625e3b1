package main

import (
	"errors"
	"fmt"
	"os/exec"
	"regexp"
	"slices"
	"time"

	"github.com/schollz/progressbar/v3"

	"github.com/dlai-sd/plant/scripts/drill"
	"github.com/dlai-sd/plant/scripts/drill/table"
	"github.com/dlai-sd/plant/scripts/drill/tamper"
)

// drillCmd attacks what an auditor is given, and what the platform itself keeps.
type drillCmd struct {
	Count        int    `help:"Instances of every kind of attack." default:"20"`
	Clean        int    `help:"Records in bundles that nobody attacks, at least: none may be a false alarm." default:"10000"`
	Seed         uint64 `help:"Repeat a drill's random choices; its keys and ids are new in each."`
	On           string `help:"What to attack: bundles, databases, or all." enum:"all,bundles,databases" default:"all"`
	Only         string `help:"Of the kinds of attack on bundles those whose \"group, name\" this regular expression matches."`
	FromDatabase bool   `help:"Attack copies of this deployment's database (PLANT_AUDITOR_DATABASE_URL) instead of a synthetic one, and no bundles. It is only read."`
	Cache        string `help:"Folder of the downloaded parts." env:"PLANT_CACHE" type:"path"`
	Postgres     int    `help:"Major version of the PostgreSQL that the copies live in." default:"18" enum:"16,18"`
}

// drilled is what both parts found, for programs.
type drilled struct {
	Seed          uint64       `json:"seed"`
	Passed        bool         `json:"passed"`
	Attacks       []table.Line `json:"attacks"`
	CleanRecords  int64        `json:"clean_records"`
	CleanBundles  int          `json:"clean_bundles"`
	CleanEntities int64        `json:"clean_entities"`
	FalseAlarms   []string     `json:"false_alarms"`
}

// Run makes what is attacked, attacks it and prints the table.
func (c drillCmd) Run(a *app) error {
	if c.Count < 1 || c.Clean < 0 {
		return advise(errors.New("--count is at least 1, --clean at least 0"), "plant drill --count 20 --clean 10000")
	}
	if c.FromDatabase && c.On == "bundles" {
		fmt.Fprintln(a.stderr, "plant: --from-database attacks databases, and --on bundles leaves them out\nTry: plant drill --from-database")
		return exitCode(2)
	}
	if c.Seed == 0 {
		c.Seed = uint64(time.Now().UnixNano()) // #nosec G115 -- any number will do
	}
	done := drilled{Seed: c.Seed, FalseAlarms: []string{}}
	if c.On != "databases" && !c.FromDatabase {
		if err := c.bundles(a, &done); err != nil {
			return orAdvise(err, "plant drill --on bundles --count 1")
		}
	}
	if c.On != "bundles" {
		if err := c.databases(a, &done); err != nil {
			return orAdvise(err, "plant drill --on databases --count 1")
		}
	}
	done.Passed = len(done.FalseAlarms) == 0 && !slices.ContainsFunc(done.Attacks, func(l table.Line) bool { return !l.Passed() })
	if err := c.print(a, done); err != nil {
		return err
	}
	if !done.Passed {
		return advise(errors.New("the drill failed: an attack was not found, or what nobody attacked was"),
			c.again()+", and the lines NOT FOUND and FALSE ALARM")
	}
	return nil
}

// again is the command line that repeats this drill.
func (c drillCmd) again() string {
	line := fmt.Sprintf("plant drill --count %d", c.Count)
	if c.On != "databases" && !c.FromDatabase {
		line += fmt.Sprintf(" --clean %d", c.Clean)
	}
	if c.On != "all" {
		line += " --on " + c.On
	}
	if c.FromDatabase {
		line += " --from-database"
	}
	if c.Only != "" {
		line += fmt.Sprintf(" --only %q", c.Only)
	}
	return fmt.Sprintf("%s --seed %d", line, c.Seed)
}

// say tells of a step; on a terminal over what is left of a bar, which is drawn again.
func (a *app) say(what string) {
	if a.terminal() {
		what = fmt.Sprintf("\r%-79s", what)
	}
	fmt.Fprintln(a.stderr, what)
}

// counter is a bar that is drawn at the first step; where there is no terminal, a line
// for every tenth.
func (a *app) counter(what string) func(done, total int) {
	var bar *progressbar.ProgressBar
	said := 0
	if !a.terminal() {
		return func(done, total int) {
			if tenth := 10 * done / max(total, 1); tenth > said {
				said = tenth
				fmt.Fprintf(a.stderr, "%d of %d %s\n", done, total, what)
			}
		}
	}
	return func(done, total int) {
		if bar == nil {
			bar = a.bar(total, what)
		}
		_ = bar.Set(done) // a bar that cannot be drawn stops nothing
	}
}

func (c drillCmd) bundles(a *app, done *drilled) error {
	only, err := regexp.Compile(c.Only)
	if err != nil {
		return advise(err, "plant drill --on bundles --only '^records, '")
	}
	o := drill.Options{Count: c.Count, Clean: c.Clean, Seed: c.Seed, Script: min(2, c.Count), Only: only, Progress: a.counter("kinds of attack on bundles")}
	if _, err := exec.LookPath("python3"); err != nil {
		o.Script = 0
		fmt.Fprintln(a.stderr, "No python3 here: verify.py is not compared.")
	}
	fmt.Fprintf(a.stderr, "Making keys, and bundles with %d records that nobody attacks.\n", c.Clean)
	r, err := drill.Run(a.ctx, o)
	if err != nil {
		return err
	}
	done.Attacks = append(done.Attacks, r.Lines()...)
	done.CleanRecords, done.CleanBundles = r.CleanRecords, r.CleanBundles
	done.FalseAlarms = append(done.FalseAlarms, r.FalseAlarms...)
	return nil
}

func (c drillCmd) databases(a *app, done *drilled) (failed error) {
	fmt.Fprintln(a.stderr, "Making a PostgreSQL for what is attacked, and the database in it.")
	source, stop, err := c.ground(a)
	if err != nil {
		return err
	}
	defer func() { failed = errors.Join(failed, stop()) }()
	r, err := tamper.Run(a.ctx, source, tamper.Options{
		Count: c.Count, Seed: c.Seed, Progress: a.counter("attacks on databases"), Say: a.say,
	})
	var disorder *tamper.NotInOrderError
	switch {
	case errors.As(err, &disorder):
		return advise(err, "POST /api/v1/audit/run with the scope all: it says all of it, and alarms")
	case errors.Is(err, tamper.ErrUnpublished):
		return advise(err, "plant log status; the sequencer publishes every minute")
	case err != nil:
		return err
	}
	done.Attacks = append(done.Attacks, r.Lines()...)
	done.CleanEntities = r.CleanEntities
	done.FalseAlarms = append(done.FalseAlarms, r.FalseAlarms...)
	return nil
}

func (c drillCmd) print(a *app, d drilled) error {
	if a.json {
		return a.print(d, nil)
	}
	if err := table.Print(a.stdout, d.Attacks); err != nil {
		return err
	}
	missed := 0
	for _, l := range d.Attacks {
		if !l.Passed() {
			missed++
		}
	}
	for _, what := range d.FalseAlarms {
		fmt.Fprintf(a.stdout, "FALSE ALARM: %s\n", what)
	}
	_, err := fmt.Fprintf(a.stdout, "%d kinds of attack, %d not found; %d clean records in %d bundles, %d clean entities, %d false alarms; seed %d\n",
		len(d.Attacks), missed, d.CleanRecords, d.CleanBundles, d.CleanEntities, len(d.FalseAlarms), d.Seed)
	return err
}
