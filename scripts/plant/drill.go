package main

import (
	"errors"
	"fmt"
	"os/exec"
	"time"

	"github.com/dlai-sd/plant/scripts/drill"
	"github.com/schollz/progressbar/v3"
)

// drillCmd attacks bundles of synthetic deployments.
type drillCmd struct {
	Count int    `help:"Instances of every kind of attack." default:"20"`
	Clean int    `help:"Records that nobody attacks, at least: none may be a false alarm." default:"10000"`
	Seed  uint64 `help:"Repeat a drill's random choices; its keys are new in each."`
}

// drillRow is a kind of attack, for programs.
type drillRow struct {
	Group  string   `json:"group"`
	Attack string   `json:"attack"`
	Should []string `json:"should_find"`
	Tried  int      `json:"tried"`
	Found  int      `json:"found"`
	Script int      `json:"script_agrees"`
	Missed []string `json:"missed,omitzero"`
}

// Run makes deployments, attacks their bundles and prints the table.
func (c drillCmd) Run(a *app) error {
	if c.Count < 1 || c.Clean < 0 {
		return advise(errors.New("--count is at least 1, --clean at least 0"), "plant drill --count 20 --clean 10000")
	}
	o := drill.Options{Count: c.Count, Clean: c.Clean, Seed: c.Seed, Script: min(2, c.Count)}
	if o.Seed == 0 {
		o.Seed = uint64(time.Now().UnixNano()) // #nosec G115 -- any number will do
	}
	if _, err := exec.LookPath("python3"); err != nil {
		o.Script = 0
		fmt.Fprintln(a.stderr, "No python3 here: verify.py is not compared.")
	}
	var bar *progressbar.ProgressBar
	o.Progress = func(done, total int) {
		if bar == nil {
			bar = a.bar(total, "kinds of attack")
		}
		_ = bar.Set(done) // a bar that cannot be drawn stops nothing
	}
	result, err := drill.Run(a.ctx, o)
	if err != nil {
		return advise(err, "plant drill --count 1")
	}
	if err := c.print(a, result); err != nil {
		return err
	}
	if !result.Passed() {
		return advise(errors.New("the drill failed: an attack was not found, or a clean bundle was"),
			fmt.Sprintf("plant drill --seed %d, and the lines NOT FOUND and FALSE ALARM", result.Seed))
	}
	return nil
}

func (c drillCmd) print(a *app, r drill.Result) error {
	rows := make([]drillRow, len(r.Rows))
	for i, row := range r.Rows {
		rows[i] = drillRow{Group: row.Group, Attack: row.Name, Tried: row.Tried, Found: row.Found, Script: row.ScriptAgrees}
		for _, f := range row.Finds {
			rows[i].Should = append(rows[i].Should, f.String())
		}
		rows[i].Missed = append(append([]string{}, row.Missed...), row.ScriptMissed...)
	}
	if !a.json {
		return r.Print(a.stdout)
	}
	return a.print(map[string]any{
		"seed": r.Seed, "passed": r.Passed(), "attacks": rows, "clean_records": r.CleanRecords,
		"clean_bundles": r.CleanBundles, "false_alarms": append([]string{}, r.FalseAlarms...),
	}, nil)
}
