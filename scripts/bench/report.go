package bench

import (
	"bytes"
	"fmt"
	"math"
	"os"
	"runtime"
	"strings"
	"text/tabwriter"
	"time"
)

// Row is one result: what was measured, what bounds it, and their ratio.
type Row struct {
	Name    string  `json:"name"`
	Value   float64 `json:"value"` // median
	Bound   float64 `json:"bound"` // median, in the same unit
	BoundBy string  `json:"bound_by"`
	Unit    string  `json:"unit"`
	Ratio   float64 `json:"ratio"` // median of the rounds' ratios
	Low     float64 `json:"low"`   // their first quartile
	High    float64 `json:"high"`  // their third
	Quiet   float64 `json:"quiet"` // ratio of the best tenths: what a machine of our own would say
	Rounds  int     `json:"rounds"`
	Goal    *Goal   `json:"goal,omitempty"` // of the ratio; none: said for information
	Met     *bool   `json:"met,omitempty"`
	Note    string  `json:"note,omitempty"`
}

// perSecond is the unit of rates, of which more is better; of all others less is.
const perSecond = "/s"

// Goal is what a ratio should be: at least or at most so much.
type Goal struct {
	AtLeast float64 `json:"at_least,omitzero"`
	AtMost  float64 `json:"at_most,omitzero"`
}

func atLeast(x float64) *Goal { return &Goal{AtLeast: x} }

func atMost(x float64) *Goal { return &Goal{AtMost: x} }

func (g Goal) met(ratio float64) bool {
	if g.AtLeast > 0 {
		return ratio >= g.AtLeast
	}
	return ratio <= g.AtMost
}

// String writes the goal as the notes do.
func (g Goal) String() string {
	if g.AtLeast > 0 {
		return "≥ " + number(g.AtLeast)
	}
	return "≤ " + number(g.AtMost)
}

// compared makes a row of what was measured and of its bound, round by round.
func compared(name, unit, boundBy string, values, bounds []float64, goal *Goal) Row {
	ratios := perRound(len(values), func(r int) float64 { return values[r] / bounds[r] })
	best := 0.1
	if unit == perSecond {
		best = 0.9
	}
	return Row{
		Name: name, Unit: unit, BoundBy: boundBy, Value: median(values), Bound: median(bounds),
		Ratio: median(ratios), Low: quantile(ratios, 0.25), High: quantile(ratios, 0.75), Rounds: len(values), Goal: goal,
		Quiet: quantile(values, best) / quantile(bounds, best),
	}
}

// limited makes a row whose bound is a fixed limit.
func limited(name, unit string, values []float64, most float64) Row {
	bounds := perRound(len(values), func(int) float64 { return most })
	return compared(name, unit, "limit", values, bounds, atMost(1))
}

// told makes a row that only informs.
func told(name, unit string, values []float64) Row {
	return Row{Name: name, Unit: unit, Value: median(values), Low: quantile(values, 0.25), High: quantile(values, 0.75), Rounds: len(values)}
}

// scaled multiplies values, such as seconds to milliseconds.
func scaled(values []float64, by float64) []float64 {
	return perRound(len(values), func(r int) float64 { return values[r] * by })
}

// rates are operations a second, of seconds an operation.
func rates(values []float64) []float64 {
	return perRound(len(values), func(r int) float64 { return 1 / values[r] })
}

// Report is a whole run.
type Report struct {
	Started  time.Time `json:"started"`
	Seconds  float64   `json:"seconds"`
	Cores    int       `json:"cores"`
	Platform string    `json:"platform"`
	Go       string    `json:"go"`
	Postgres string    `json:"postgres"`
	Load     string    `json:"load,omitempty"` // of the machine, before and after
	Rows     []Row     `json:"rows"`
}

func newReport(postgresVersion string) *Report {
	return &Report{
		Started: time.Now().UTC(), Cores: runtime.GOMAXPROCS(0), Platform: runtime.GOOS + "/" + runtime.GOARCH,
		Go: runtime.Version(), Postgres: postgresVersion, Load: load(),
	}
}

func (r *Report) finish() {
	r.Seconds = math.Round(time.Since(r.Started).Seconds())
	if r.Load != "" {
		r.Load += " → " + load()
	}
	for i := range r.Rows {
		if g := r.Rows[i].Goal; g != nil {
			met := g.met(r.Rows[i].Ratio)
			r.Rows[i].Met = &met
		}
	}
}

// load is the machine's load average of the last minute, "" where there is none
// to read.
func load() string {
	b, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return ""
	}
	one, _, _ := strings.Cut(string(b), " ")
	return one
}

// write writes the table to stdout and, if a file is named, the JSON to it.
// Table is the report as text, a row a line.
func (r *Report) Table() []byte {
	var out bytes.Buffer
	fmt.Fprintf(&out, "%d cores, %s, %s, %s, load %s, %.0f s\n\n", r.Cores, r.Platform, r.Go, r.Postgres, r.Load, r.Seconds)
	t := tabwriter.NewWriter(&out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "what\tmeasured\tbound\tratio\tquartiles\tquiet\trounds\tgoal\t")
	for _, row := range r.Rows {
		fmt.Fprintln(t, row.line())
	}
	_ = t.Flush() // a buffer takes everything
	for _, row := range r.Rows {
		if row.Note != "" {
			fmt.Fprintf(&out, "\n%s: %s\n", row.Name, row.Note)
		}
	}
	return out.Bytes()
}

func (r Row) line() string {
	measured, bound, ratio, quiet, goal := number(r.Value)+" "+r.Unit, "", "", "", ""
	if r.BoundBy != "" {
		bound, ratio, quiet = number(r.Bound)+" ("+r.BoundBy+")", number(r.Ratio), number(r.Quiet)
	}
	if r.Goal != nil {
		goal = r.Goal.String() + " below"
		if r.Met != nil && *r.Met {
			goal = r.Goal.String() + " ok"
		}
	}
	spread := number(r.Low) + " to " + number(r.High)
	if r.Rounds == 0 {
		measured, spread = "left out", ""
	}
	return fmt.Sprintf("%s\t%s\t%s\t%s\t%s\t%s\t%d\t%s\t", r.Name, measured, bound, ratio, spread, quiet, r.Rounds, goal)
}

// number writes three significant digits.
func number(x float64) string {
	switch a := math.Abs(x); {
	case a >= 100:
		return fmt.Sprintf("%.0f", x)
	case a >= 10:
		return fmt.Sprintf("%.1f", x)
	case a >= 1:
		return fmt.Sprintf("%.2f", x)
	}
	return fmt.Sprintf("%.3f", x)
}
