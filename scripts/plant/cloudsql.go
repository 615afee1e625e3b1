package main

import (
	"context"
	"fmt"
	"net"

	"cloud.google.com/go/cloudsqlconn"

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
	dialer, err := cloudsqlconn.NewDialer(ctx, cloudsqlconn.WithIAMAuthN(), cloudsqlconn.WithLazyRefresh(),
		cloudsqlconn.WithBuiltInMetrics(false), cloudsqlconn.WithDefaultDialOptions(cloudsqlconn.WithPrivateIP()))
	if err != nil {
		return "", nil, nil, advise(fmt.Errorf("open Cloud SQL connector: %w", err), "gcloud auth application-default login, or run it as the job plant-migrate")
	}
	through := migrations.Through(func(ctx context.Context, _, _ string) (net.Conn, error) {
		return dialer.Dial(ctx, s.Instance)
	})
	// The connector brings its own TLS.
	return fmt.Sprintf("user=%s dbname=%s sslmode=disable", s.IAMUser, s.Database), []migrations.Option{through},
		func() { _ = dialer.Close() }, nil // nothing is lost with it
}
