package main

import (
	"context"
	"errors"
	"fmt"
	"net"

	"cloud.google.com/go/cloudsqlconn"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/dlai-sd/plant/migrations"
)

// migrator is where migrations connect: an address, or in the cloud the Cloud SQL
// instance, as the account that the job runs as. Done ends what was opened.
func (a *app) migrator(ctx context.Context) (url string, options []migrations.Option, done func(), err error) {
	s := a.settings
	if s.MigratorURL != "" || s.Instance == "" {
		url, err = need(s.MigratorURL, "PLANT_MIGRATOR_DATABASE_URL")
		return url, nil, func() {}, err
	}
	url, dial, done, err := a.connector(ctx)
	return url, []migrations.Option{migrations.Through(dial)}, done, err
}

// auditor is how the database is reached as whoever may read all of it.
func (a *app) auditor(ctx context.Context) (config *pgx.ConnConfig, done func(), err error) {
	url, done := a.settings.AuditorURL, func() {}
	var dial dialFunc
	if url == "" && a.settings.Instance != "" {
		url, dial, done, err = a.connector(ctx)
	} else {
		url, err = need(url, "PLANT_AUDITOR_DATABASE_URL")
	}
	if err != nil {
		return nil, nil, err
	}
	if config, err = pgx.ParseConfig(url); err != nil {
		done()
		return nil, nil, errors.New("the database's address is not a Postgres URL or DSN") // never the address: it may hold a password
	}
	if dial != nil {
		config.DialFunc = pgconn.DialFunc(dial)
	}
	return config, done, nil
}

type dialFunc = func(ctx context.Context, network, address string) (net.Conn, error)

// connector is the way to the Cloud SQL instance, which brings its own TLS.
func (a *app) connector(ctx context.Context) (url string, dial dialFunc, done func(), err error) {
	s := a.settings
	dialer, err := cloudsqlconn.NewDialer(ctx, cloudsqlconn.WithIAMAuthN(), cloudsqlconn.WithLazyRefresh(),
		cloudsqlconn.WithBuiltInMetrics(false), cloudsqlconn.WithDefaultDialOptions(cloudsqlconn.WithPrivateIP()))
	if err != nil {
		return "", nil, nil, advise(fmt.Errorf("open Cloud SQL connector: %w", err), "gcloud auth application-default login, or run it as the job plant-migrate")
	}
	dial = func(ctx context.Context, _, _ string) (net.Conn, error) { return dialer.Dial(ctx, s.Instance) }
	return fmt.Sprintf("user=%s dbname=%s sslmode=disable", s.IAMUser, s.Database), dial, func() { _ = dialer.Close() }, nil // nothing is lost with it
}
