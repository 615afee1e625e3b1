package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/dlai-sd/plant/scripts/localstack/parts"
	"github.com/dlai-sd/plant/scripts/restore"
)

// restoreTimeout bounds a test of a backup.
const restoreTimeout = time.Hour

// restoreTest proves that a backup can be restored, and says what comes out. The exit
// code is 0 where it is whole, 1 where something was found, 2 where none could be restored.
func (a *app) restoreTest(backup string) error {
	ctx, cancel := context.WithTimeout(a.ctx, restoreTimeout)
	defer cancel()
	o := restore.Options{Backup: backup, Now: time.Now}
	var err error
	if backup == "" {
		if o.URL, err = need(a.settings.MigratorURL, "PLANT_MIGRATOR_DATABASE_URL"); err != nil {
			return err
		}
	}
	if o.Origin, err = need(a.settings.Origin, "PLANT_ORIGIN"); err != nil {
		return err
	}
	if o.Published, err = a.openCheckpoints(ctx); err != nil {
		return err
	}
	dir, err := parts.DefaultDir()
	if err != nil {
		return err
	}
	o.Fetcher = parts.Fetcher{Dir: dir, Report: parts.Progress(a.stderr, noColor())}
	r, err := restore.Test(ctx, o)
	if errors.Is(err, restore.ErrNoBackup) {
		return advise(err, "a file of pg_dump --format=custom")
	}
	if err != nil {
		return advise(err, "plant doctor")
	}
	if err := a.print(r, func() { a.printRestored(r) }); err != nil {
		return err
	}
	if !r.Passed() {
		return exitCode(1)
	}
	return nil
}

func (a *app) printRestored(r restore.Report) {
	rows := int64(0)
	for _, t := range r.Tables {
		rows += t.Rows
	}
	fmt.Fprintf(a.stdout, "A backup of %d bytes was restored in %.1f s: %d rows of %d tables. Audited: %d entities and %d entries of the log; published are %d.\n",
		r.Bytes, r.Restored, rows, len(r.Tables), r.Entities, r.Entries, r.Log.PublishedSize)
	a.printReport(r.Examined)
	for _, f := range r.Findings {
		fmt.Fprintf(a.stdout, "audit\t%s\t%s %s, amendment %d: expected %s, found %s\n", f.Reason, f.EntityType, f.EntityID, f.Seq, f.Expected, f.Found)
	}
	switch {
	case r.Passed():
		fmt.Fprintln(a.stdout, "The restored database and its log agree.")
	case r.Behind():
		fmt.Fprintln(a.stdout, "The backup is older than what was published: nothing may be signed on it. Its fix is above.")
	default:
		fmt.Fprintln(a.stdout, "The restored database is not what was signed.")
	}
}
