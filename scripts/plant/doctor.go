package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"text/tabwriter"
	"time"

	"cloud.google.com/go/pubsub/v2"
	secretmanager "cloud.google.com/go/secretmanager/apiv1"

	"github.com/dlai-sd/plant/scripts/deliveries"
	"github.com/dlai-sd/plant/scripts/doctor"
	"github.com/dlai-sd/plant/scripts/localstack/secrets"
)

// doctorTimeout bounds an examination.
const doctorTimeout = 5 * time.Minute

type doctorCmd struct {
	RestoreTest bool   `help:"Instead, back up the database, restore it on a server of its own, and audit what comes out."`
	Backup      string `help:"With --restore-test: a file of pg_dump --format=custom, instead of a backup made now." type:"existingfile"`
}

// Run examines the deployment. The exit code is 0 where all is well, 1 where
// something was found, 2 where something could not be looked at.
func (c doctorCmd) Run(a *app) error {
	switch {
	case c.RestoreTest:
		return a.notLooked(a.restoreTest(c.Backup))
	case c.Backup != "":
		return a.notLooked(advise(errors.New("--backup goes with --restore-test"), "plant doctor --restore-test --backup "+c.Backup))
	}
	ctx, cancel := context.WithTimeout(a.ctx, doctorTimeout)
	defer cancel()
	d, done, err := a.deployment(ctx)
	defer done()
	if err != nil {
		return a.notLooked(orAdvise(err, "plant doctor --help"))
	}
	report := doctor.Examine(ctx, d)
	if err := a.print(report, func() { a.printReport(report) }); err != nil {
		return err
	}
	if code := report.Code(); code != 0 {
		return exitCode(code)
	}
	return nil
}

// notLooked makes of a failure the exit code that says so; what was looked at and told
// stays as it is.
func (a *app) notLooked(err error) error {
	var told exitCode
	if err == nil || errors.As(err, &told) {
		return err
	}
	report(a.stderr, err)
	return exitCode(2)
}

func (a *app) printReport(r doctor.Report) {
	w := tabwriter.NewWriter(a.stdout, 0, 0, 2, ' ', 0)
	for _, o := range r.Outcomes {
		switch {
		case o.Unknown != "":
			fmt.Fprintf(w, "%s\tcannot look\t%s\n", o.Check, o.Unknown)
		case o.Skipped != "":
			fmt.Fprintf(w, "%s\t-\t%s\n", o.Check, o.Skipped)
		case len(o.Findings) == 0:
			fmt.Fprintf(w, "%s\tok\t%s\n", o.Check, o.About)
		}
		for _, f := range o.Findings {
			fmt.Fprintf(w, "%s\t%s\t%s\n\t\tfix: %s\n", o.Check, f.Severity, f.What, f.Fix)
		}
	}
	_ = w.Flush() // stdout is gone, and nobody is left to tell
}

// deployment opens what the settings name; done closes it, also after an error.
func (a *app) deployment(ctx context.Context) (d doctor.Deployment, done func(), err error) {
	var closers []func()
	done = func() {
		for _, c := range closers {
			c()
		}
	}
	s := a.settings
	d = doctor.Deployment{
		Origin: s.Origin, Project: s.Project, Topics: deliveries.Topics(), DeadLetters: deliveries.DeadLetters,
		Subscriptions: subscriptions(),
		Pinned: map[string]string{
			"AMENDMENT_KEY": s.AmendmentKey, "CERTIFICATION_KEY": s.CertifyingKey, "CHECKPOINT_KEY": s.CheckpointKey, "HEADS_KEY": s.HeadsKey, "JWT_KEYS": s.TokenKeys,
		},
	}
	if d.DB, err = a.openDB(s.OperatorURL, "PLANT_OPERATOR_DATABASE_URL"); err != nil {
		return d, done, err
	}
	closers = append(closers, d.DB.Close)
	if s.CheckpointBucket != "" || s.CheckpointDir != "" {
		if d.Checkpoints, err = a.openCheckpoints(ctx); err != nil {
			return d, done, err
		}
	}
	if s.Project == "" {
		return d, done, nil
	}
	options := secrets.ClientOptions(s.SecretManager)
	if s.SecretManager == "" {
		options = nil
	}
	const login = startStack + ", or log in with: gcloud auth application-default login"
	if d.Secrets, err = secretmanager.NewClient(ctx, options...); err != nil {
		return d, done, advise(fmt.Errorf("open Secret Manager: %w", err), login)
	}
	closers = append(closers, func() { _ = d.Secrets.Close() })
	if s.PubSub != "" { // the client library reads the emulator's address from its environment alone
		if err := os.Setenv("PUBSUB_EMULATOR_HOST", s.PubSub); err != nil {
			return d, done, err
		}
	}
	if d.PubSub, err = pubsub.NewClient(ctx, s.Project); err != nil {
		return d, done, advise(fmt.Errorf("open Pub/Sub: %w", err), login)
	}
	closers = append(closers, func() { _ = d.PubSub.Close() })
	return d, done, nil
}

// subscriptions are those that functions want, and the one where dead letters wait.
func subscriptions() []doctor.Subscription {
	all := []doctor.Subscription{{Name: deliveries.DeadLetters, Topic: deliveries.Dead}}
	for _, d := range deliveries.Subscriptions() {
		all = append(all, doctor.Subscription{Name: d.ID(), Topic: d.Topic, Filter: d.Filter()})
	}
	return all
}
