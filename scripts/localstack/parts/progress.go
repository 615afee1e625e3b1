package parts

import (
	"fmt"
	"io"
	"os"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"
)

// Step is what happens to a part at the moment.
type Step string

// The steps, in their order.
const (
	Download Step = "download"
	Check    Step = "check"
	Unpack   Step = "unpack"
	Ready    Step = "ready"
)

// Event says how far a part is. Bytes and Total count for Download only.
type Event struct {
	Part         string
	Step         Step
	Bytes, Total int64
}

// Report is told every event, one at a time.
type Report func(Event)

func (f Fetcher) report(e Event) {
	if f.Report != nil {
		f.Report(e)
	}
}

// Progress shows events to people: a bar if out is a terminal, else one plain
// line a step. Colour only on a terminal, and never if noColor.
func Progress(out *os.File, noColor bool) Report {
	if term.IsTerminal(int(out.Fd())) {
		return bar(out, !noColor)
	}
	return Lines(out)
}

// Lines writes one line when a step begins.
func Lines(out io.Writer) Report {
	var last Event
	return func(e Event) {
		if e.Part == last.Part && e.Step == last.Step {
			return
		}
		last = e
		switch e.Step {
		case Download:
			fmt.Fprintf(out, "%s: download %.1f MB\n", e.Part, float64(e.Total)/1e6)
		default:
			fmt.Fprintf(out, "%s: %s\n", e.Part, e.Step)
		}
	}
}

func bar(out io.Writer, color bool) Report {
	var current *progressbar.ProgressBar
	return func(e Event) {
		switch {
		case e.Step == Download && current == nil:
			current = newBar(out, e, color)
		case e.Step == Download:
			_ = current.Set64(e.Bytes) // a bar that cannot be drawn stops nothing
		case e.Step == Check && current != nil:
			_ = current.Finish()
			current = nil
		}
	}
}

func newBar(out io.Writer, e Event, color bool) *progressbar.ProgressBar {
	label := e.Part
	if color {
		label = "[cyan]" + label + "[reset]"
	}
	return progressbar.NewOptions64(e.Total,
		progressbar.OptionSetWriter(out),
		progressbar.OptionSetDescription(label),
		progressbar.OptionEnableColorCodes(color),
		progressbar.OptionShowBytes(true),
		progressbar.OptionSetWidth(30),
		progressbar.OptionOnCompletion(func() { fmt.Fprintln(out) }),
	)
}
