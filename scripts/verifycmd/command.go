// Package verifycmd is the command that judges a bundle: plant-verify, which is
// nothing else, and plant verify. It reads the files it is told to and writes to
// the streams it is given; it opens no connection.
package verifycmd

import (
	"crypto/rsa"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/dlai-sd/plant/shared/bundle"
	"github.com/dlai-sd/plant/shared/ledger"
)

// Exit codes.
const (
	Passed    = 0 // all four verdicts pass
	Failed    = 1 // a verdict fails
	NotJudged = 2 // not a bundle, or the command was not understood
)

// Command is the command line, for kong.
type Command struct {
	Bundle string        `arg:"" help:"The bundle: a zip, or the folder it unpacks to."`
	Trust  string        `help:"PEM file of the root key that you trust. Take it from whoever runs the log, not from the bundle." required:"" placeholder:"ROOT.PEM"`
	Origin string        `help:"The log that you expect." required:"" placeholder:"ORIGIN"`
	Scope  string        `help:"Refuse a bundle of another scope: all, governance_agent:ID, entity:ID or agent:ID@DATE." placeholder:"SCOPE"`
	MaxAge time.Duration `help:"How old the heads record may be." default:"26h"`
	Now    string        `help:"Judge as of this time (RFC 3339) instead of now." placeholder:"TIME"`
	Seen   string        `help:"The checkpoint that you kept from an earlier bundle of this log." placeholder:"FILE"`
}

// Help is what kong prints below the flags.
func (Command) Help() string {
	return `Four verdicts, each with its first offender: signature, integrity, completeness, freshness.

Exit code 0: all pass; 1: one fails; 2: not a bundle. Keep the bundle's file "checkpoint" and give it as --seen next time: then a log that was rewritten in between is found.`
}

// Streams are where a command writes.
type Streams struct {
	Stdout, Stderr io.Writer
	Terminal       bool             // Stderr is one: progress is shown
	JSON           bool             // the result is for a program
	Clock          func() time.Time // the time where --now is not given
}

// usageError is an option that cannot be used, with what to try.
type usageError struct {
	err error
	try string
}

func (e *usageError) Error() string { return e.err.Error() }
func (e *usageError) Unwrap() error { return e.err }

// Run judges the bundle, writes what it found, and returns the exit code.
func (c Command) Run(s Streams) int {
	report, err := c.judge(s)
	if err != nil {
		refuse(s, err)
		return NotJudged
	}
	if err := tell(s, c.Bundle, report); err != nil {
		refuse(s, &usageError{err, "write the result to a place with room"})
		return NotJudged
	}
	if !report.Passed() {
		return Failed
	}
	return Passed
}

func (c Command) judge(s Streams) (bundle.Report, error) {
	o, err := c.options(s)
	if err != nil {
		return bundle.Report{}, err
	}
	opened, err := bundle.Open(c.Bundle)
	if err != nil {
		return bundle.Report{}, err
	}
	if s.Terminal {
		p := progress{to: s.Stderr, percent: -1}
		o.Progress = p.show
		defer p.clear()
	}
	report, err := bundle.Verify(opened, o)
	if closeErr := opened.Close(); err == nil && closeErr != nil {
		err = fmt.Errorf("close %s: %w", c.Bundle, closeErr)
	}
	return report, err
}

func (c Command) options(s Streams) (bundle.Options, error) {
	o := bundle.Options{Origin: c.Origin, MaxAge: c.MaxAge}
	var err error
	if o.Trust, err = readTrust(c.Trust); err != nil {
		return o, err
	}
	if err := ledger.CheckOrigin(c.Origin); err != nil {
		return o, &usageError{fmt.Errorf("--origin: %w", err), "the origin as the log's operator publishes it, such as plant.example/ledger"}
	}
	if c.MaxAge <= 0 {
		return o, &usageError{errors.New("--max-age: not a positive duration"), "--max-age 26h"}
	}
	if c.Now != "" {
		if o.Now, err = time.Parse(time.RFC3339, c.Now); err != nil {
			return o, &usageError{fmt.Errorf("--now: %w", err), "--now 2026-01-31T12:00:00Z"}
		}
	} else {
		o.Now = s.Clock()
	}
	if c.Scope != "" {
		scope, err := bundle.ParseScope(c.Scope)
		if err != nil {
			return o, &usageError{fmt.Errorf("--scope: %w", err), "--scope governance_agent:acme"}
		}
		o.Scope = &scope
	}
	if c.Seen != "" {
		if o.Seen, err = readSmall(c.Seen); err != nil {
			return o, &usageError{fmt.Errorf("--seen: %w", err), "the file named checkpoint of an earlier bundle of this log"}
		}
	}
	return o, nil
}

func readTrust(name string) (*rsa.PublicKey, error) {
	text, err := readSmall(name)
	if err != nil {
		return nil, &usageError{fmt.Errorf("--trust: %w", err), "the path of the root's public key, a PEM file"}
	}
	key, err := bundle.ParseTrust(text)
	if err != nil {
		return nil, &usageError{err, "openssl pkey -pubin -in " + name + " -text: it should be an RSA public key of 4096 bits"}
	}
	return key, nil
}

// maxSmall is more than any key or checkpoint is.
const maxSmall = 1 << 20

// readSmall reads a file that is small if it is what it should be.
func readSmall(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	b, err := io.ReadAll(io.LimitReader(f, maxSmall+1))
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err == nil && len(b) > maxSmall {
		err = fmt.Errorf("%s is larger than any such file", name)
	}
	return b, err
}

// progress shows on a terminal how far a verification is.
type progress struct {
	to      io.Writer
	percent int64
}

func (p *progress) show(done, total int64) {
	if total == 0 {
		return
	}
	if now := done * 100 / total; now != p.percent {
		p.percent = now
		_, _ = fmt.Fprintf(p.to, "\rchecking %3d %%", now) // what cannot be shown stops nothing
	}
}

func (p *progress) clear() { _, _ = fmt.Fprint(p.to, "\r               \r") }
