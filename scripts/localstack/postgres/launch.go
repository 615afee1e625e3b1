package postgres

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/dlai-sd/plant/scripts/localstack/port"
	"github.com/dlai-sd/plant/scripts/localstack/proc"
)

const (
	retryEvery = 25 * time.Millisecond
	patience   = 15 * time.Second
)

// Why a server that ended at once did so.
var (
	errPortTaken  = errors.New("port taken")
	errStillInUse = errors.New("data folder still in use")
)

// launch starts the server and waits until it answers. A free port that
// somebody took first is replaced by another. A cluster whose children outlive
// a killed server is waited for, as long as ctx lasts. s.mu is held.
func (s *Server) launch(ctx context.Context) error {
	taken := 0
	inUse, cancel := context.WithTimeout(ctx, s.opts.Patience)
	defer cancel()
	for {
		err := s.launchOnce(ctx)
		switch {
		case errors.Is(err, errPortTaken) && s.opts.Port != 0:
			return fmt.Errorf("start PostgreSQL: port %d of 127.0.0.1 is in use: stop what listens there or choose another port", s.opts.Port)
		case errors.Is(err, errPortTaken):
			if taken++; taken == portAttempts {
				return fmt.Errorf("start PostgreSQL: %d free ports in a row were taken by others first: run again", taken)
			}
		case errors.Is(err, errStillInUse):
			if pause(inUse) != nil {
				return fmt.Errorf("start PostgreSQL: another server works in %s: stop it first, or choose another data folder", s.opts.Data)
			}
			if err := s.removeStalePID(); err != nil {
				return err
			}
		default:
			return err
		}
	}
}

func (s *Server) launchOnce(ctx context.Context) error {
	s.port = s.opts.Port
	if s.port == 0 {
		free, err := port.Free(1)
		if err != nil {
			return err
		}
		s.port = free[0]
	}
	process, err := proc.Start(proc.Spec{
		Name: "postgres", Path: s.binary("postgres"), Args: s.arguments(s.port), Dir: s.opts.Data,
		Env: environment(), Output: s.opts.Log, Credential: s.user.credential,
		OrphanSignal: syscall.SIGINT, // a fast shutdown, its children included
	})
	if err != nil {
		return fmt.Errorf("start PostgreSQL%s: %w", s.user.note(), err)
	}
	s.process = process
	err = s.ready(ctx)
	if err == nil {
		return nil
	}
	return errors.Join(err, process.Kill())
}

// ready connects until it succeeds, the server has ended or ctx is over. Only
// this server knows the password: an answer is its own.
func (s *Server) ready(ctx context.Context) error {
	config, err := pgx.ParseConfig(s.url(superuser, s.password, "postgres"))
	if err != nil {
		return fmt.Errorf("connection string: %w", err)
	}
	alive, release := s.process.While(ctx)
	defer release()
	for {
		err := ping(alive, config)
		if err == nil {
			return nil
		}
		if s.process.Ended() {
			return s.whyEnded()
		}
		if refused(err, "28P01") {
			return fmt.Errorf("PostgreSQL in %s does not accept its stored password: "+
				"remove the folder to start afresh, or choose another", s.opts.Data)
		}
		if pause(ctx) != nil {
			return fmt.Errorf("PostgreSQL did not become ready (%w): %w; its last lines:\n  %s",
				context.Cause(ctx), err, lastWords(s.process.Tail()))
		}
	}
}

func ping(ctx context.Context, config *pgx.ConnConfig) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return err
	}
	return conn.Close(ctx)
}

func refused(err error, code string) bool {
	var e *pgconn.PgError
	return errors.As(err, &e) && e.Code == code
}

func (s *Server) whyEnded() error {
	said := strings.Join(s.process.Tail(), "\n")
	switch {
	case strings.Contains(said, "Address already in use"), strings.Contains(said, "could not create any TCP/IP sockets"):
		return errPortTaken
	case strings.Contains(said, "pre-existing shared memory block"), strings.Contains(said, `"postmaster.pid" already exists`):
		return errStillInUse
	case strings.Contains(said, "No space left on device"):
		return fmt.Errorf("PostgreSQL found the disk full: free some space where %s is", s.opts.Data)
	}
	return fmt.Errorf("PostgreSQL ended at once (%v); its last lines:\n  %s", s.process.Err(), lastWords(s.process.Tail()))
}

// pause waits a moment, or fails when ctx ends.
func pause(ctx context.Context) error {
	timer := time.NewTimer(retryEvery)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
