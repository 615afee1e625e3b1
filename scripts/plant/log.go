package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/dlai-sd/plant/shared/checkpoints"
	"github.com/dlai-sd/plant/shared/sequencer"
)

// logCmd is what an operator does with the log.
type logCmd struct {
	Status logStatusCmd `cmd:"" help:"Compare the database with the published checkpoints."`
	Fork   logForkCmd   `cmd:"" help:"Begin the log anew under another origin, after a restored backup has lost what was published."`
}

const logTimeout = 2 * time.Minute

type logStatusCmd struct{}

// Run says how the log stands; one that is stopped is a failure.
func (logStatusCmd) Run(a *app) error {
	return a.withLog(func(ctx context.Context, s *sequencer.Sequencer) error {
		status, err := s.Status(ctx)
		if err != nil {
			return err
		}
		err = a.print(status, func() {
			fmt.Fprintf(a.stdout, "origin      %s\nentries     %d, and %d amendments wait for their place\npublished   checkpoint %d, of %d entries\n",
				status.Origin, status.Size, status.Waiting, status.Published, status.PublishedSize)
			if status.ForkedTo != "" {
				fmt.Fprintf(a.stdout, "forked to   %s\n", status.ForkedTo)
			}
			if !status.HeadsAt.IsZero() {
				fmt.Fprintf(a.stdout, "heads       %s\n", status.HeadsAt.UTC().Format(time.RFC3339))
			}
		})
		if err == nil && status.Halted != "" {
			err = stopped(status)
		}
		return err
	})
}

// stopped says that a log is stopped, and what to do.
func stopped(s sequencer.Status) error {
	if s.ForkedTo != "" {
		return advise(fmt.Errorf("the log of %s is stopped (%s) and forked to %s", s.Origin, s.Halted, s.ForkedTo), startForked(s.ForkedTo))
	}
	return advise(fmt.Errorf("the log is stopped (%s): the database and the published checkpoints do not agree", s.Halted), remedy(s.Halted))
}

// startForked is how functions are started under the origin of a fork.
func startForked(origin string) string {
	return fmt.Sprintf("start the functions with PLANT_ORIGIN=%[1]s; locally: stop make run, then PLANT_ORIGIN=%[1]s make run, once", origin)
}

// remedy is what to try when the log is stopped.
func remedy(r sequencer.Reason) string {
	switch r {
	case sequencer.ReasonRolledBack, sequencer.ReasonDiverged:
		return "restore a newer backup; if there is none, stop the functions and run: plant log fork NEW-ORIGIN"
	case sequencer.ReasonOrigin:
		return "set PLANT_ORIGIN to the origin of the published checkpoints, or give this deployment a bucket of its own"
	default:
		return "find out who wrote to the checkpoints; what is right is what auditors and witnesses have seen"
	}
}

type logForkCmd struct {
	Origin string `arg:"" help:"The new origin, of which no log was ever published."`
}

// Run states the fork under the root key. The functions are stopped before, and
// started with the new origin after.
func (c logForkCmd) Run(a *app) error {
	return a.withLog(func(ctx context.Context, s *sequencer.Sequencer) error {
		source, closeSource, err := a.openSecrets()
		if err != nil {
			return err
		}
		defer closeSource()
		project, err := need(a.settings.Project, "GOOGLE_CLOUD_PROJECT")
		if err != nil {
			return err
		}
		root, err := source.Key(ctx, "projects/"+project+"/secrets/plant-root-key/versions/1")
		if err != nil {
			return fmt.Errorf("root key: %w", err)
		}
		fork, err := s.Fork(ctx, root, c.Origin)
		if errors.Is(err, sequencer.ErrOrigin) {
			return advise(err, "plant log fork NEW-ORIGIN, one of which no log was ever published; plant log status says where this one stands")
		}
		if err != nil {
			return advise(err, "plant log status")
		}
		result := map[string]any{
			"origin": fork.Origin, "from_origin": fork.FromOrigin, "lost_number": fork.Number,
			"lost_size": fork.Lost.Size, "good_size": fork.Good.Size,
		}
		return a.print(result, func() {
			fmt.Fprintf(a.stdout, "The log of %s ends at its checkpoint of %d entries; those up to %d, which were published, are given up.\n"+
				"Now %s. Its first checkpoint, number %d, continues that one.\nTell your auditors both origins and why.\n",
				fork.FromOrigin, fork.Good.Size, fork.Lost.Size, startForked(fork.Origin), fork.Number+1)
		})
	})
}

// withLog runs f with a sequencer that only looks: it has no keys to sign with.
func (a *app) withLog(f func(context.Context, *sequencer.Sequencer) error) error {
	ctx, cancel := context.WithTimeout(a.ctx, logTimeout)
	defer cancel()
	db, err := a.openDB(a.settings.OperatorURL, "PLANT_OPERATOR_DATABASE_URL")
	if err != nil {
		return err
	}
	defer db.Close()
	origin, err := need(a.settings.Origin, "PLANT_ORIGIN")
	if err != nil {
		return err
	}
	published, err := a.openCheckpoints(ctx)
	if err != nil {
		return err
	}
	return f(ctx, sequencer.New(sequencer.Config{DB: db, Store: published, Origin: origin}))
}

func (a *app) openCheckpoints(ctx context.Context) (checkpoints.Store, error) {
	if a.settings.CheckpointBucket != "" {
		bucket, err := checkpoints.NewBucket(ctx, a.settings.CheckpointBucket)
		return bucket, advise(err, "gcloud auth application-default login")
	}
	dir, err := need(a.settings.CheckpointDir, "CHECKPOINT_BUCKET")
	if err != nil {
		return nil, err
	}
	return checkpoints.NewFolder(dir)
}
