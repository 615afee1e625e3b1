package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

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
	if c.FromDatabase {
		source, err = c.copyOurs(a, server, folder)
	} else {
		source, err = c.synthetic(a, server, folder)
	}
	if err != nil {
		return source, nil, errors.Join(err, stop())
	}
	return source, stop, nil
}

// synthetic writes two registries under the same keys: a large one, of which few copies
// are enough, and a small one, whose log is quickly judged and put back.
func (c drillCmd) synthetic(a *app, server *deploy.Server, folder string) (source tamper.Source, failed error) {
	keys, err := deploy.NewKeys(a.ctx)
	if err != nil {
		return source, err
	}
	defer func() { failed = errors.Join(failed, keys.Close()) }()
	write := func(name string, skills int) (s tamper.Source, err error) {
		database, published, err := empty(a, server, folder, name)
		if err != nil {
			return s, err
		}
		s = tamper.Source{AdminURL: database.URL, As: database.As, Published: published, Origin: deploy.Origin}
		s.Captured, err = keys.Registry(a.ctx, database, published, skills)
		return s, err
	}
	const each, least, most = 30, 120, 900
	log, err := write("log", least)
	if err != nil {
		return source, err
	}
	if source, err = write("plant", min(most, max(least, each*c.Count))); err != nil {
		return source, err
	}
	source.Log = &log
	return source, nil
}

func empty(a *app, server *deploy.Server, folder, name string) (deploy.Database, checkpoints.Folder, error) {
	published, err := checkpoints.NewFolder(filepath.Join(folder, name))
	if err != nil {
		return deploy.Database{}, published, err
	}
	database, err := server.Database(a.ctx, name)
	return database, published, err
}

// copyOurs copies this deployment's database and its newest checkpoint.
func (c drillCmd) copyOurs(a *app, server *deploy.Server, folder string) (source tamper.Source, failed error) {
	origin, err := need(a.settings.Origin, "PLANT_ORIGIN")
	if err != nil {
		return source, err
	}
	ours, err := a.openCheckpoints(a.ctx)
	if err != nil {
		return source, err
	}
	from, done, err := a.auditor(a.ctx)
	if err != nil {
		return source, err
	}
	defer done()
	into, to, err := empty(a, server, folder, "plant")
	if err != nil {
		return source, err
	}
	ctx, cancel := context.WithTimeout(a.ctx, copyTimeout)
	defer cancel()
	copied, err := deploy.Copy(ctx, from, ours, into, to)
	var schema *deploy.SchemaError
	switch {
	case errors.As(err, &schema) && schema.Has > schema.Want:
		return source, advise(err, "a plant as new as the deployment")
	case errors.As(err, &schema):
		return source, advise(err, "plant migrate up, or a plant as old as the deployment")
	case err != nil:
		return source, advise(fmt.Errorf("copy the database: %w", err), "set PLANT_AUDITOR_DATABASE_URL to an address whose login is, or may become, plant_auditor")
	}
	fmt.Fprintf(a.stderr, "Copied %d rows of %d tables, as of one moment; the database was only read.\n", copied.Rows, copied.Tables)
	return tamper.Source{AdminURL: into.URL, As: into.As, Published: to, Origin: origin}, nil
}
