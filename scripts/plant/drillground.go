package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/dlai-sd/plant/migrations"
	"github.com/dlai-sd/plant/scripts/drill/deploy"
	"github.com/dlai-sd/plant/scripts/drill/tamper"
	"github.com/dlai-sd/plant/scripts/localstack/ephemeral"
	"github.com/dlai-sd/plant/shared/checkpoints"
)

// copyTimeout bounds how long the original's one transaction lasts.
const copyTimeout = 30 * time.Minute

// ground starts a PostgreSQL that lives as long as the drill, with a registry in it:
// a synthetic one, or a copy of this deployment's. Stop leaves nothing of it.
func (c drillCmd) ground(a *app) (source tamper.Source, stop func() error, failed error) {
	fetcher, err := (&stack{app: a, cmd: runCmd{Cache: c.Cache}}).fetcher()
	if err != nil {
		return source, nil, err
	}
	folder, err := os.MkdirTemp("", "plant-drill-checkpoints-")
	if err != nil {
		return source, nil, err
	}
	server, err := deploy.Start(a.ctx, ephemeral.Options{Fetcher: fetcher, Major: c.Postgres})
	if err != nil {
		return source, nil, errors.Join(err, os.RemoveAll(folder))
	}
	stop = func() error {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(a.ctx), stopTimeout)
		defer cancel()
		return errors.Join(server.Stop(ctx), os.RemoveAll(folder))
	}
	defer func() {
		if failed != nil {
			failed = errors.Join(failed, stop())
		}
	}()
	published, err := checkpoints.NewFolder(folder)
	if err != nil {
		return source, nil, err
	}
	database, err := server.Database(a.ctx)
	if err != nil {
		return source, nil, err
	}
	source = tamper.Source{AdminURL: database.URL, As: database.As, Published: published, Origin: deploy.Origin}
	if !c.FromDatabase {
		source.Captured, err = deploy.NewRegistry(a.ctx, database, published, c.skills())
		return source, stop, err
	}
	if source.Origin, err = need(a.settings.Origin, "PLANT_ORIGIN"); err != nil {
		return source, nil, err
	}
	return source, stop, c.copyOurs(a, database, published)
}

// skills is how large a synthetic registry is: so large that few copies of it are
// enough for the drill.
func (c drillCmd) skills() int {
	const each, least, most = 30, 120, 900
	return min(most, max(least, each*c.Count))
}

func (c drillCmd) copyOurs(a *app, into deploy.Database, to checkpoints.Store) error {
	ours, err := a.openCheckpoints(a.ctx)
	if err != nil {
		return err
	}
	from, done, err := a.auditor(a.ctx)
	if err != nil {
		return err
	}
	defer done()
	ctx, cancel := context.WithTimeout(a.ctx, copyTimeout)
	defer cancel()
	copied, err := deploy.Copy(ctx, from, ours, into, to)
	var schema *deploy.SchemaError
	if errors.As(err, &schema) && schema.Has > migrations.Latest() {
		return advise(err, "a plant as new as the deployment")
	}
	if errors.As(err, &schema) {
		return advise(err, "plant migrate up, or a plant as old as the deployment")
	}
	if err != nil {
		return orAdvise(fmt.Errorf("copy the database: %w", err), "set PLANT_AUDITOR_DATABASE_URL to an address whose login is, or may become, plant_auditor")
	}
	fmt.Fprintf(a.stderr, "Copied %d rows of %d tables, as of one moment; the database was only read.\n", copied.Rows, copied.Tables)
	return nil
}
