package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/dlai-sd/plant/shared/ledger"
	"github.com/dlai-sd/plant/shared/sequencer"
	"github.com/dlai-sd/plant/shared/store"
)

func (s *stack) originFile() string { return filepath.Join(s.app.dir, "origin") }

// readOrigin keeps the log's origin in the data folder: records name it for
// ever, so it is drawn once. Each line of the file after the first is one that
// the log was forked to; the last is in force.
func (s *stack) readOrigin(context.Context) error {
	file := s.originFile()
	b, err := os.ReadFile(file) // #nosec -- in the user's own folder
	if errors.Is(err, os.ErrNotExist) {
		drawn := make([]byte, 4)
		if _, err := rand.Read(drawn); err != nil {
			return err
		}
		b = []byte("plant.local/" + hex.EncodeToString(drawn))
		err = os.WriteFile(file, append(b, '\n'), 0o600)
	}
	if err != nil {
		return err
	}
	s.origins = strings.Split(strings.TrimSpace(string(b)), "\n")
	for _, origin := range s.origins {
		if err := ledger.CheckOrigin(origin); err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
	}
	s.app.settings = settings{
		Token: s.app.settings.Token, ModelDir: s.app.settings.ModelDir, Origin: s.origins[len(s.origins)-1],
		Project: localProject, TokenIssuer: localIssuer, TokenAudience: localAudience, CheckpointDir: s.app.dir,
	}
	return nil
}

// followFork makes PLANT_ORIGIN the origin of the data folder from now on, if the
// database says that its log goes on there. Any other is refused: a log does not
// change its name because somebody says so.
func (s *stack) followFork(ctx context.Context) error {
	now, next := s.app.settings.Origin, s.cmd.Origin
	if next == "" || next == now {
		return nil
	}
	db, err := s.app.openDB(s.app.settings.OperatorURL, "PLANT_OPERATOR_DATABASE_URL")
	if err != nil {
		return err
	}
	defer db.Close()
	_, err = db.ForkTo(ctx, next)
	if errors.Is(err, store.ErrNotFound) {
		return advise(fmt.Errorf("PLANT_ORIGIN is %s, and the log of this data folder is %s, which was not forked to it", next, now),
			"unset PLANT_ORIGIN; only a log that is stopped gets another origin, by: plant log fork NEW-ORIGIN")
	}
	if err != nil {
		return fmt.Errorf("read the fork: %w", err)
	}
	status, err := s.logStatus(ctx, db, next)
	if err != nil {
		return err
	}
	if status.Halted != "" {
		return advise(fmt.Errorf("the log of %s cannot go on as %s (%s)", now, next, status.Halted), "unset PLANT_ORIGIN, and look at: plant log status")
	}
	s.origins = append(s.origins, next)
	temporary := s.originFile() + ".new"
	if err := os.WriteFile(temporary, []byte(strings.Join(s.origins, "\n")+"\n"), 0o600); err != nil {
		return err
	}
	if err := os.Rename(temporary, s.originFile()); err != nil {
		return err
	}
	s.app.settings.Origin = next
	fmt.Fprintf(s.app.stderr, "    the origin was %s and is %s from now on\n", now, next)
	return nil
}

// logStatus says how the log stands under an origin.
func (s *stack) logStatus(ctx context.Context, db *store.DB, origin string) (sequencer.Status, error) {
	published, err := s.app.openCheckpoints(ctx)
	if err != nil {
		return sequencer.Status{}, err
	}
	return sequencer.New(sequencer.Config{DB: db, Store: published, Origin: origin}).Status(ctx)
}

// warning says that the log is stopped, or that this cannot be said; "" if it goes on.
// The stack runs all the same: what is wrong is looked at and mended with it.
func (s *stack) warning() string {
	err := s.app.withLog(func(ctx context.Context, log *sequencer.Sequencer) error {
		status, err := log.Status(ctx)
		if err == nil && status.Halted != "" {
			err = stopped(status)
		}
		return err
	})
	if err == nil {
		return ""
	}
	var h *hint
	if !errors.As(err, &h) {
		h = &hint{err: fmt.Errorf("how the log stands cannot be said: %w", err), try: "plant log status"}
	}
	return fmt.Sprintf("Careful: %v. Until that is mended nothing new is published.\nTry: %s\n\n", h.err, h.try)
}
