package main

import (
	"fmt"
	"io"
	"os"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"
)

// print writes a result: as JSON where that was asked for, else as text.
func (a *app) print(result any, text func()) error {
	if !a.json {
		text()
		return nil
	}
	b, err := json.Marshal(result, jsontext.WithIndent("  "), json.Deterministic(true))
	if err != nil {
		return fmt.Errorf("write result: %w", err)
	}
	_, err = fmt.Fprintf(a.stdout, "%s\n", b)
	return err
}

// counted is a number with its noun, whose plural has an s.
func counted(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// noColor reports whether the user asked for plain output (no-color.org).
func noColor() bool { return os.Getenv("NO_COLOR") != "" }

// terminal reports whether somebody watches stderr.
func (a *app) terminal() bool {
	return term.IsTerminal(int(a.stderr.Fd())) // #nosec -- a file descriptor
}

// bar is a progress bar on a terminal, and nothing elsewhere.
func (a *app) bar(total int, what string) *progressbar.ProgressBar {
	var out io.Writer = io.Discard
	if a.terminal() {
		out = a.stderr
	}
	bar := progressbar.NewOptions(total,
		progressbar.OptionSetWriter(out), progressbar.OptionSetDescription(what), progressbar.OptionShowCount(),
		progressbar.OptionThrottle(100*time.Millisecond), progressbar.OptionClearOnFinish(),
		progressbar.OptionEnableColorCodes(!noColor()), progressbar.OptionSetWidth(30))
	_ = bar.RenderBlank() // a bar that cannot be drawn stops nothing
	return bar
}
