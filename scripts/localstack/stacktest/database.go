package stacktest

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// buildLock is the advisory lock under which templates are made: one at a
// time in the whole cluster, since roles are the cluster's and two templates
// may want to create the same.
const buildLock = 0x706c616e74

const statementDeadline = 2 * time.Minute

// TemplateDB returns the name of a database that create has filled, for
// CloneDB. It is made once per cluster for each name and hash, whichever
// process comes first; hash is to change whenever create would do something
// else (a hash of the migrations, say). create gets a superuser's connection
// string to the new, empty database and must close its connections.
func TemplateDB(t testing.TB, name, hash string, create func(adminURL string) error) string {
	t.Helper()
	template := templateName(name, hash)
	ctx, cancel := context.WithTimeout(t.Context(), statementDeadline)
	defer cancel()
	if err := buildTemplate(ctx, AdminURL(t), template, create); err != nil {
		t.Fatalf("template database %s: %v", template, err)
	}
	return template
}

// CloneDB returns a superuser's connection string to a new database that is a
// copy of the template. It is dropped, with whatever is still connected to it,
// when the test ends.
func CloneDB(t testing.TB, template string) string {
	t.Helper()
	admin := AdminURL(t)
	name := "test_" + strings.ToLower(rand.Text())
	if err := execute(t.Context(), admin, "CREATE DATABASE "+quote(name)+" TEMPLATE "+quote(template)+" STRATEGY file_copy"); err != nil {
		t.Fatalf("clone %s: %v", template, err)
	}
	t.Cleanup(func() {
		if err := execute(context.WithoutCancel(t.Context()), admin, "DROP DATABASE "+quote(name)+" WITH (FORCE)"); err != nil {
			t.Errorf("drop the test's database: %v", err)
		}
	})
	return withDatabase(t, admin, name)
}

// templateName fits PostgreSQL's 63 bytes and is readable in \l.
func templateName(name, hash string) string {
	return fmt.Sprintf("template_%.24s_%.24s", strings.ToLower(name), strings.ToLower(hash))
}

// buildTemplate makes the template unless it exists. It gets its name when it
// is complete; one that a killed process left half made is dropped.
func buildTemplate(ctx context.Context, admin, template string, create func(string) error) error {
	conn, err := pgx.Connect(ctx, admin)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	if done, err := exists(ctx, conn, template); done || err != nil {
		return err
	}
	if _, err := conn.Exec(ctx, "SELECT pg_advisory_lock($1)", buildLock); err != nil { // until conn is closed
		return err
	}
	if done, err := exists(ctx, conn, template); done || err != nil {
		return err
	}
	half := quote(template + "_half")
	for _, sql := range []string{"DROP DATABASE IF EXISTS " + half + " WITH (FORCE)", "CREATE DATABASE " + half} {
		if _, err := conn.Exec(ctx, sql); err != nil {
			return err
		}
	}
	halfURL, err := databaseURL(admin, template+"_half")
	if err != nil {
		return err
	}
	if err := create(halfURL); err != nil {
		_, dropped := conn.Exec(ctx, "DROP DATABASE "+half+" WITH (FORCE)")
		return errors.Join(fmt.Errorf("create: %w", err), dropped)
	}
	for _, sql := range []string{
		"ALTER DATABASE " + half + " ALLOW_CONNECTIONS false",
		"ALTER DATABASE " + half + " RENAME TO " + quote(template),
	} {
		if _, err := conn.Exec(ctx, sql); err != nil {
			return fmt.Errorf("%w: does create close its connections?", err)
		}
	}
	return nil
}

func exists(ctx context.Context, conn *pgx.Conn, database string) (found bool, err error) {
	err = conn.QueryRow(ctx, "SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)", database).Scan(&found)
	return found, err
}

func execute(ctx context.Context, admin, sql string) error {
	ctx, cancel := context.WithTimeout(ctx, statementDeadline)
	defer cancel()
	conn, err := pgx.Connect(ctx, admin)
	if err != nil {
		return err
	}
	_, err = conn.Exec(ctx, sql)
	return errors.Join(err, conn.Close(ctx))
}

func quote(name string) string { return pgx.Identifier{name}.Sanitize() }

func withDatabase(t testing.TB, admin, name string) string {
	t.Helper()
	u, err := databaseURL(admin, name)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func databaseURL(admin, name string) (string, error) {
	u, err := url.Parse(admin)
	if err != nil {
		return "", errors.New("TEST_POSTGRES_URL is not a URL")
	}
	u.Path = "/" + name
	return u.String(), nil
}
