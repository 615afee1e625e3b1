package main

import (
	"context"
	"errors"
	"time"

	"github.com/dlai-sd/plant/shared/checkpoints"
	"github.com/dlai-sd/plant/shared/keys"
	"github.com/dlai-sd/plant/shared/registry"
	"github.com/dlai-sd/plant/shared/sequencer"
)

// openLog reads the keys that sign checkpoints and heads records, and opens the
// place where checkpoints are published.
func (d *deps) openLog(ctx context.Context) error {
	published, err := d.openCheckpoints(ctx)
	if err != nil {
		return err
	}
	if err := d.openSecrets(ctx); err != nil {
		return err
	}
	hold := func(version string) *keys.Holder {
		return d.secrets.Hold(registry.Successor(d.secrets, d.db, version), time.Now)
	}
	d.sequencer = sequencer.New(sequencer.Config{
		DB: d.db, Store: published, Origin: d.cfg.Origin, Checkpoint: hold(d.cfg.CheckpointKey), Heads: hold(d.cfg.HeadsKey),
		Log: d.log, Now: time.Now,
	})
	_, checkpoint := d.sequencer.Checkpoint.Key(ctx)
	_, heads := d.sequencer.Heads.Key(ctx)
	return errors.Join(checkpoint, heads)
}

func (d *deps) openCheckpoints(ctx context.Context) (checkpoints.Store, error) {
	if d.cfg.CheckpointDir != "" {
		return checkpoints.NewFolder(d.cfg.CheckpointDir)
	}
	return checkpoints.NewBucket(ctx, d.cfg.CheckpointBucket)
}
