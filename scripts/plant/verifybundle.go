package main

import (
	"strconv"
	"time"

	"github.com/dlai-sd/plant/scripts/verifycmd"
	"golang.org/x/term"
)

// verifyCmd is plant-verify as a command of this one.
type verifyCmd struct{ verifycmd.Command }

// Run judges the bundle; a verdict that fails is an exit code, already told.
func (c verifyCmd) Run(a *app) error {
	code := c.Command.Run(verifycmd.Streams{
		Stdout: a.stdout, Stderr: a.stderr, Terminal: term.IsTerminal(int(a.stderr.Fd())), // #nosec -- a file descriptor
		JSON: a.json, Clock: time.Now,
	})
	if code != verifycmd.Passed {
		return exitCode(code)
	}
	return nil
}

// exitCode is a failure that was told already.
type exitCode int

func (e exitCode) Error() string { return "exit code " + strconv.Itoa(int(e)) }
