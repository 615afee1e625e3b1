package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

type runCmd struct {
	Port      int    `help:"Port of the gateway, on 127.0.0.1." default:"8080" env:"PLANT_PORT"`
	Functions string `help:"The functions' binary; beside plant by default." type:"path"`
	Cache     string `help:"Folder of the downloaded parts." env:"PLANT_CACHE" type:"path"`
	Postgres  int    `help:"Major version of the embedded PostgreSQL." default:"18" enum:"16,18"`

	Origin string `help:"The origin that the log was forked to (plant log fork); it stays that of the data folder." env:"PLANT_ORIGIN"`

	DatabaseURL string `help:"An administrator's address of a real PostgreSQL database to use instead." env:"DATABASE_URL"`
	RedisURL    string `help:"The address of a real Redis to use instead." env:"REDIS_URL"`
}

const (
	startTimeout = 5 * time.Minute // a first download included
	stopTimeout  = 40 * time.Second
)

// Run starts everything, says how to use it, and stops everything at Ctrl-C, or
// when a part of it is gone for good.
func (c runCmd) Run(a *app) error {
	s := &stack{cmd: c, app: a}
	began := time.Now()
	start, cancel := context.WithTimeout(a.ctx, startTimeout)
	defer cancel()
	err := s.start(start)
	if err == nil {
		s.greet(time.Since(began))
		err = s.wait()
	}
	if a.ctx.Err() != nil {
		fmt.Fprintln(a.stderr, "\nStopping.")
		err = nil // Ctrl-C also ends a start; what failed because of it is no failure
	}
	stop, cancelStop := context.WithTimeout(context.WithoutCancel(a.ctx), stopTimeout)
	defer cancelStop()
	return explain(errors.Join(err, s.stop(stop)))
}

// explain adds what to try to the failures that a machine brings about.
func explain(err error) error {
	var h *hint
	switch {
	case err == nil, errors.As(err, &h):
		return err
	case errors.Is(err, syscall.ENOSPC):
		return advise(err, "free some disk space (about 400 MB are needed) and run the same command again")
	case errors.Is(err, syscall.EACCES):
		return advise(err, "run as the user who owns the folder, or choose another one with --dir")
	default:
		return advise(err, "the last lines of each part are in the folder logs of --dir")
	}
}

// defaultDir is the data folder that every command looks for by itself.
const defaultDir = ".plant"

func (s *stack) greet(took time.Duration) {
	token, _, err := s.app.mint(demoAgent, demoName, false)
	if err != nil {
		token = "(plant token says why there is none: " + err.Error() + ")"
	}
	url := s.app.settings.URL
	here, elsewhere := s.app.dir, ""
	if near, ok := nearby(s.app.dir); ok {
		here = near
	}
	if here != defaultDir {
		elsewhere = "export PLANT_DIR=" + s.app.dir + "\n  "
	}
	fmt.Fprintf(s.app.stdout, `
Plant is running at %[1]s (ready after %[2]s). Ctrl-C stops it; the data stays in %[3]s.
The API, to read: %[1]s/docs

A token for %[4]s of the governance agent %[5]s, good for 30 minutes (another one: bin/plant token):

%[6]s

Three commands to try, in another terminal:

  %[7]sexport PLANT_TOKEN=$(bin/plant token)

  curl -s %[1]s/api/v1/genesis/skills -H "Authorization: Bearer $PLANT_TOKEN" \
    -H 'Content-Type: application/json' -H "Idempotency-Key: first-skill" \
    -d '{"name":"Bread baking","description":"Makes bread that people come back for.","category":"domain_expertise","external_id":"bread"}'

  bin/plant show bread --record --out /tmp/bread

%[8]s`, url, took.Round(100*time.Millisecond), here, demoName, demoAgent, strings.TrimSpace(token), elsewhere, s.warning())
}

// nearby is a folder's path from where we are, if it is below.
func nearby(dir string) (string, bool) {
	wd, err := os.Getwd()
	if err != nil {
		return "", false
	}
	path, err := filepath.Rel(wd, dir)
	return path, err == nil && filepath.IsLocal(path)
}

// wait returns when the user stops the stack, or with the part that ended.
func (s *stack) wait() error {
	select {
	case <-s.app.ctx.Done():
		return nil
	case name := <-s.gone:
		return advise(fmt.Errorf("%s ended", name), "look into the folder logs of "+s.app.dir)
	}
}

// remove deletes a file that may not be there.
func remove(name string) error {
	if err := os.Remove(name); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}
