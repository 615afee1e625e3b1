// Package restore proves that a backup is one: it is restored on a server of its own,
// and what comes out is examined and audited whole. The deployment is only read.
package restore

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/dlai-sd/plant/migrations"
	"github.com/dlai-sd/plant/scripts/doctor"
	"github.com/dlai-sd/plant/scripts/localstack/ephemeral"
	"github.com/dlai-sd/plant/scripts/localstack/parts"
	"github.com/dlai-sd/plant/scripts/localstack/postgres"
	"github.com/dlai-sd/plant/shared/audit"
	"github.com/dlai-sd/plant/shared/checkpoints"
	"github.com/dlai-sd/plant/shared/sequencer"
	"github.com/dlai-sd/plant/shared/store"
)

const (
	major    = 18 // of the server that is restored on, and of the tools: they read older ones
	database = "plant"
	lastSaid = 2000 // characters of a tool's words
	// A checkpoint may be published while the backup is made; then it is made again.
	attempts = 3
)

// ErrNoBackup says that a file is no backup that can be restored.
var ErrNoBackup = errors.New("not a backup of pg_dump --format=custom")

// archive is how the files of pg_dump --format=custom begin.
const archive = "PGDMP"

// check reports whether a file begins as a backup does.
func check(file string) error {
	f, err := os.Open(file) // #nosec -- the operator named it
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	head := make([]byte, len(archive))
	if _, err := io.ReadFull(f, head); err != nil || string(head) != archive {
		return fmt.Errorf("%s: %w", file, ErrNoBackup)
	}
	return nil
}

// Options say what is backed up and where it is restored.
type Options struct {
	URL       string            // of the deployment's database, as plant_migrator; unused with Backup
	Backup    string            // a file of pg_dump --format=custom; "": one is made now
	Published checkpoints.Store // what was published by the deployment; only read
	Origin    string
	Fetcher   parts.Fetcher // brings PostgreSQL
	Now       func() time.Time
}

// Table is how much of a table came back.
type Table struct {
	Name string `json:"name"`
	Rows int64  `json:"rows"`
}

// Report is what was restored and what is wrong with it.
type Report struct {
	Bytes    int64            `json:"bytes"` // of the backup
	Dumped   float64          `json:"dumped_seconds,omitzero"`
	Restored float64          `json:"restored_seconds"`
	Tables   []Table          `json:"tables"`
	Entities int64            `json:"entities"` // audited
	Entries  int64            `json:"entries"`  // of the log, audited
	Log      sequencer.Status `json:"log"`
	Examined doctor.Report    `json:"examined"`
	Findings []store.Finding  `json:"findings"` // of the audit
}

// Passed reports whether the backup is whole and continues what was published.
func (r Report) Passed() bool { return r.Examined.Code() == 0 && len(r.Findings) == 0 }

// Behind reports whether the backup is older than what was published.
func (r Report) Behind() bool { return r.Log.Halted == sequencer.ReasonRolledBack }

// Test restores a backup and judges it. Everything it makes is gone afterwards.
func Test(ctx context.Context, o Options) (r Report, failed error) {
	if o.Backup != "" {
		if err := check(o.Backup); err != nil {
			return r, err
		}
	}
	dir, err := ephemeral.NewDir(ctx)
	if err != nil {
		return r, err
	}
	defer func() { failed = errors.Join(failed, dir.Remove()) }()
	install, err := postgres.Fetch(ctx, o.Fetcher, major)
	if err != nil {
		return r, err
	}
	server, err := dir.Postgres(ctx, ephemeral.Options{Fetcher: o.Fetcher, Major: major})
	if err != nil {
		return r, err
	}
	defer func() { failed = errors.Join(failed, server.Stop(context.WithoutCancel(ctx))) }()
	for try := 1; ; try++ {
		w := work{Options: o, bin: filepath.Join(install, "bin"), server: server, file: o.Backup}
		if w.file == "" {
			w.file = filepath.Join(dir.Path, "backup.dump")
		}
		if r, err = w.run(ctx); err != nil || o.Backup != "" || !r.Behind() || try == attempts {
			return r, err
		}
	}
}

// work is one backup and its restoration.
type work struct {
	Options
	bin    string
	server *postgres.Server
	file   string
}

func (w work) run(ctx context.Context) (r Report, err error) {
	if w.Backup == "" {
		began := w.Now()
		if err := w.dump(ctx); err != nil {
			return r, err
		}
		r.Dumped = w.Now().Sub(began).Seconds()
	}
	info, err := os.Stat(w.file)
	if err != nil {
		return r, err
	}
	r.Bytes = info.Size()
	began := w.Now()
	password, err := w.restore(ctx)
	if err != nil {
		return r, err
	}
	r.Restored = w.Now().Sub(began).Seconds()
	return r, w.judge(ctx, password, &r)
}

// dump makes a backup as the owner of the tables, whose policies let it see every row.
func (w work) dump(ctx context.Context) error {
	return w.tool(ctx, w.URL, "pg_dump", "--format=custom", "--compress=1", "--role=plant_owner", "--enable-row-security", "--file="+w.file)
}

// restore makes the database anew and returns the password that its roles have there.
func (w work) restore(ctx context.Context) (password string, err error) {
	if err := postgres.Execute(ctx, w.server.AdminURL(), "DROP DATABASE IF EXISTS "+database+" WITH (FORCE)",
		"CREATE DATABASE "+database+" TEMPLATE template0 ENCODING 'UTF8'"); err != nil {
		return "", fmt.Errorf("make a database to restore into: %w", err)
	}
	own := w.server.AdminURLOf(database)
	if err := postgres.Execute(ctx, own, migrations.Bootstrap); err != nil {
		return "", fmt.Errorf("bootstrap: %w", err)
	}
	// The extension is the bootstrap's, and is as it was there already.
	if err := w.tool(ctx, own, "pg_restore", "--exit-on-error", "--single-transaction", "--clean", "--if-exists", w.file); err != nil {
		return "", err
	}
	secret := make([]byte, 16)
	_, _ = rand.Read(secret) // never fails
	password = hex.EncodeToString(secret)
	for _, role := range []string{"plant_operator", "plant_auditor"} {
		if err := postgres.Execute(ctx, own, "ALTER ROLE "+role+" PASSWORD '"+password+"'"); err != nil {
			return "", fmt.Errorf("give %s a password: %w", role, err)
		}
	}
	return password, postgres.Execute(ctx, own, "ANALYZE")
}

// tool runs one of PostgreSQL's own programs; the password is not among its arguments.
func (w work) tool(ctx context.Context, address, name string, arguments ...string) error {
	u, err := url.Parse(address)
	if err != nil {
		return errors.New("the database's address is not a URL")
	}
	password, _ := u.User.Password()
	u.User = url.User(u.User.Username())
	cmd := exec.CommandContext(ctx, filepath.Join(w.bin, name), append(arguments, "--dbname="+u.String())...)
	cmd.Env = []string{"PGPASSWORD=" + password, "LC_ALL=C", "TZ=UTC"}
	said, err := cmd.CombinedOutput()
	if err != nil {
		text := strings.TrimSpace(string(said))
		return fmt.Errorf("%s: %w: %s", name, err, text[:min(len(text), lastSaid)])
	}
	return nil
}

// judge examines and audits the restored database, as the roles do that do it always.
func (w work) judge(ctx context.Context, password string, r *Report) error {
	operator, err := store.Open(ctx, store.Config{URL: w.server.URL("plant_operator", password, database), Pool: 1, Function: "restore"})
	if err != nil {
		return err
	}
	defer operator.Close()
	r.Examined = doctor.Examine(ctx, doctor.Deployment{DB: operator, Origin: w.Origin, Checkpoints: w.Published, Now: w.Now},
		"schema", "guards", "constitution", "log")
	auditor, err := store.Open(ctx, store.Config{URL: w.server.URL("plant_auditor", password, database), Pool: 2, Function: "restore"})
	if err != nil {
		return err
	}
	defer auditor.Close()
	if r.Tables, err = count(ctx, w.server.AdminURLOf(database)); err != nil {
		return err
	}
	return w.audit(ctx, auditor, r)
}

func (w work) audit(ctx context.Context, db *store.DB, r *Report) (err error) {
	log := sequencer.New(sequencer.Config{DB: db, Store: w.Published, Origin: w.Origin})
	a := &audit.Auditor{DB: db, Origin: w.Origin, Log: log}
	if r.Log, err = log.Status(ctx); err != nil {
		return err
	}
	if r.Findings, r.Entries, err = a.WholeLog(ctx); err != nil {
		return fmt.Errorf("audit the log: %w", err)
	}
	all, err := a.Everything(ctx, store.RunFilter{})
	r.Findings, r.Entities = append(r.Findings, all.Findings...), all.Entities
	return err
}

func count(ctx context.Context, address string) (tables []Table, err error) {
	conn, err := pgx.Connect(ctx, address)
	if err != nil {
		return nil, err
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	rows, err := conn.Query(ctx, `SELECT tablename, 0::bigint FROM pg_tables WHERE schemaname = 'public' ORDER BY 1`)
	if err != nil {
		return nil, err
	}
	if tables, err = pgx.CollectRows(rows, pgx.RowToStructByPos[Table]); err != nil {
		return nil, err
	}
	for i, t := range tables {
		if err := conn.QueryRow(ctx, "SELECT count(*) FROM public."+pgx.Identifier{t.Name}.Sanitize()).Scan(&tables[i].Rows); err != nil {
			return nil, err
		}
	}
	return tables, nil
}
