// Package deploy makes the databases that a drill attacks, on a PostgreSQL that
// lives as long as the drill: a registry of its own, or a copy of somebody's.
package deploy

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/url"

	"github.com/jackc/pgx/v5"

	"github.com/dlai-sd/plant/migrations"
	"github.com/dlai-sd/plant/scripts/localstack/ephemeral"
	"github.com/dlai-sd/plant/scripts/localstack/postgres"
)

// Server is a PostgreSQL that gives up safety for speed and keeps nothing.
type Server struct {
	dir      *ephemeral.Dir
	postgres *postgres.Server
	password string // of its roles
}

// Start starts a server; Stop ends it.
func Start(ctx context.Context, o ephemeral.Options) (*Server, error) {
	dir, err := ephemeral.NewDir(ctx)
	if err != nil {
		return nil, err
	}
	server, err := dir.Postgres(ctx, o)
	if err != nil {
		return nil, errors.Join(err, dir.Remove())
	}
	return &Server{dir, server, rand.Text()}, nil
}

// Stop ends the server and removes what it kept.
func (s *Server) Stop(ctx context.Context) error {
	return errors.Join(s.postgres.Stop(ctx), s.dir.Remove())
}

// Database is an empty database with the schema of this binary.
type Database struct {
	URL      string // a superuser's
	password string // of its roles
}

// As is the database's address for a role.
func (d Database) As(role string) string {
	u, err := url.Parse(d.URL)
	if err != nil {
		return ""
	}
	u.User = url.UserPassword(role, d.password)
	return u.String()
}

// Database makes one of a name.
func (s *Server) Database(ctx context.Context, name string) (Database, error) {
	if err := postgres.Execute(ctx, s.postgres.AdminURL(), "CREATE DATABASE "+pgx.Identifier{name}.Sanitize()+" TEMPLATE template0 ENCODING 'UTF8'"); err != nil {
		return Database{}, fmt.Errorf("create database: %w", err)
	}
	d := Database{URL: s.postgres.AdminURLOf(name), password: s.password}
	statements := []string{migrations.Bootstrap}
	for _, role := range append(migrations.Roles(), "plant_migrator") {
		// A role and a password made of letters and digits: nothing to quote.
		statements = append(statements, fmt.Sprintf("ALTER ROLE %s PASSWORD '%s'", role, d.password))
	}
	if err := postgres.Execute(ctx, d.URL, statements...); err != nil {
		return d, fmt.Errorf("make the roles: %w", err)
	}
	return d, migrations.Up(ctx, d.As("plant_migrator"), nil)
}
