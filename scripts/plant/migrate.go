package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/dlai-sd/plant/migrations"
)

// migrateTimeout bounds a migration, the wait for another one included.
const migrateTimeout = 15 * time.Minute

type migrateCmd struct {
	Bootstrap bootstrapCmd `cmd:"" help:"The administrator's step: extension, roles, ownership. Harmless when repeated."`
	Up        upCmd        `cmd:"" help:"Apply what is missing."`
	Status    statusCmd    `cmd:"" help:"List every migration and whether it is applied."`
}

type bootstrapCmd struct {
	AdminURL string `help:"An administrator's address of the database." env:"PLANT_ADMIN_DATABASE_URL" required:""`
}

// Run makes the roles, without passwords.
func (c bootstrapCmd) Run(a *app) error {
	ctx, cancel := context.WithTimeout(a.ctx, time.Minute)
	defer cancel()
	if err := bootstrap(ctx, c.AdminURL); err != nil {
		return advise(err, "check that the address is an administrator's and that pgvector is installed on the server")
	}
	fmt.Fprintln(a.stderr, "The roles are there, without passwords: set them with ALTER ROLE … PASSWORD, then run: plant migrate up")
	return nil
}

func bootstrap(ctx context.Context, adminURL string) error {
	conn, err := pgx.Connect(ctx, adminURL)
	if err != nil {
		return fmt.Errorf("connect as administrator: %w", err)
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	if _, err := conn.Exec(ctx, migrations.Bootstrap); err != nil {
		return fmt.Errorf("bootstrap: %w", err)
	}
	return nil
}

type upCmd struct {
	Attempts int `help:"How often one migration may give way to those who use its tables." default:"20"`
}

// Run applies what is missing.
func (c upCmd) Run(a *app) error {
	ctx, cancel := context.WithTimeout(a.ctx, migrateTimeout)
	defer cancel()
	url, options, done, err := a.migrator(ctx)
	if err != nil {
		return err
	}
	defer done()
	options = append(options, migrations.Attempts(c.Attempts), migrations.GaveWay(func(name string, pause time.Duration, cause error) {
		fmt.Fprintf(a.stderr, "%s gave way to those who use its tables, and is tried again in %s: %v\n", name, pause.Round(10*time.Millisecond), cause)
	}))
	err = migrations.Up(ctx, url, func(name string) { fmt.Fprintln(a.stderr, "applied", name) }, options...)
	if errors.Is(err, migrations.ErrInUse) {
		return err // it says what to do
	}
	if err != nil {
		return advise(err, "plant migrate status")
	}
	return a.print(map[string]int64{"version": migrations.Latest()}, func() {
		fmt.Fprintf(a.stdout, "The schema is at version %d.\n", migrations.Latest())
	})
}

type statusCmd struct{}

// Run lists the migrations.
func (statusCmd) Run(a *app) error {
	ctx, cancel := context.WithTimeout(a.ctx, time.Minute)
	defer cancel()
	url, options, done, err := a.migrator(ctx)
	if err != nil {
		return err
	}
	defer done()
	states, err := migrations.Status(ctx, url, options...)
	if err != nil {
		return err
	}
	return a.print(states, func() {
		for _, s := range states {
			when := "pending"
			if s.Applied {
				when = s.AppliedAt.UTC().Format(time.RFC3339)
			}
			fmt.Fprintf(a.stdout, "%-48s %s\n", s.Name, when)
		}
	})
}
