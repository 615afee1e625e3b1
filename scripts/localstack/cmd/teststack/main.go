// Teststack starts one PostgreSQL and one Redis for a whole test run, fetches
// the embedding model, tells the tests where they are, and stops the servers
// however the run ends:
//
//	go run ./scripts/localstack/cmd/teststack -- go test ./...
//
// DATABASE_URL or TEST_POSTGRES_URL (a superuser's), and REDIS_URL or
// TEST_REDIS_URL name servers to use instead, TEST_MODEL_DIR a folder with the
// model. The exit code is the command's.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
	"time"

	"github.com/dlai-sd/plant/scripts/localstack/ephemeral"
	"github.com/dlai-sd/plant/scripts/localstack/parts"
	"github.com/dlai-sd/plant/scripts/localstack/proc"
)

const (
	startDeadline = 15 * time.Minute // a first download included
	stopDeadline  = 30 * time.Second
	grace         = 10 * time.Second // of an interrupted command
)

func main() {
	cache := flag.String("cache", os.Getenv("PLANT_CACHE"), "`folder` of the downloaded servers (default: plant in the user's cache folder)")
	major := flag.Int("postgres", 18, "PostgreSQL `version`: 16 or 18")
	flag.Usage = func() {
		fmt.Fprintln(flag.CommandLine.Output(), "usage: teststack [flags] -- command [arguments]")
		flag.PrintDefaults()
	}
	flag.Parse()
	if flag.NArg() == 0 {
		flag.Usage()
		os.Exit(2)
	}
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	code, err := run(signals, *cache, *major, flag.Args())
	if err != nil {
		fmt.Fprintln(os.Stderr, "teststack:", err)
		code = max(code, 1)
	}
	os.Exit(code)
}

// run starts the servers, runs the command and stops the servers.
func run(signals <-chan os.Signal, cache string, major int, command []string) (code int, failed error) {
	dir, err := cacheDir(cache)
	if err != nil {
		return 1, err
	}
	opts := ephemeral.Options{Major: major, Fetcher: parts.Fetcher{
		Dir: dir, Report: parts.Progress(os.Stderr, os.Getenv("NO_COLOR") != ""),
	}}
	s := &stack{}
	defer func() {
		ctx, cancel := context.WithTimeout(context.Background(), stopDeadline)
		defer cancel()
		failed = errors.Join(failed, s.stop(ctx))
	}()
	if interrupted, err := s.startUnless(signals, opts); interrupted || err != nil {
		return 130, err
	}
	return s.runCommand(signals, command)
}

func cacheDir(named string) (string, error) {
	if named != "" {
		return named, nil
	}
	return parts.DefaultDir()
}

// startUnless starts the servers, and gives up at the first signal.
func (s *stack) startUnless(signals <-chan os.Signal, opts ephemeral.Options) (interrupted bool, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), startDeadline)
	defer cancel()
	started := make(chan error, 1)
	go func() { started <- s.start(ctx, opts) }()
	select {
	case err := <-started:
		return false, err
	case <-signals:
		cancel()
		<-started // it failed because we said so, or it is stopped with the rest
		return true, nil
	}
}

// runCommand runs the command in a process group of its own and hands signals
// on to all of it: killed or not, its tests end before their servers.
func (s *stack) runCommand(signals <-chan os.Signal, command []string) (int, error) {
	path, err := exec.LookPath(command[0])
	if err != nil {
		return 127, fmt.Errorf("find the command: %w", err)
	}
	child, err := proc.Start(proc.Spec{
		Name: command[0], Path: path, Args: command[1:], Env: append(os.Environ(), s.environment()...),
		Stdout: os.Stdout, Stderr: os.Stderr, OrphanSignal: syscall.SIGTERM,
	})
	if err != nil {
		return 126, err
	}
	var killAt <-chan time.Time
	for {
		select {
		case <-child.Done():
			return exitCode(child.Err())
		case sig := <-signals:
			if err := child.SignalGroup(sig.(syscall.Signal)); err != nil {
				return 1, err
			}
			if killAt == nil {
				timer := time.NewTimer(grace)
				defer timer.Stop()
				killAt = timer.C
			}
		case <-killAt:
			if err := child.Kill(); err != nil {
				return 1, err
			}
		}
	}
}

func exitCode(err error) (int, error) {
	var exit *exec.ExitError
	if !errors.As(err, &exit) {
		return 0, err
	}
	if status, ok := exit.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		return 128 + int(status.Signal()), nil
	}
	return exit.ExitCode(), nil
}
