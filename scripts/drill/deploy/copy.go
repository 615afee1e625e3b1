package deploy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/dlai-sd/plant/migrations"
	"github.com/dlai-sd/plant/shared/checkpoints"
)

// SchemaError says that a database has another schema than this binary's, so that
// its copy would not be one.
type SchemaError struct{ Has, Want int64 }

// Error names both versions.
func (e *SchemaError) Error() string {
	return fmt.Sprintf("the database's schema is version %d, this binary's %d", e.Has, e.Want)
}

// ErrMoving says that the log was published again and again while it was copied.
var ErrMoving = errors.New("checkpoints were published between every two looks")

// Copied counts what was copied.
type Copied struct{ Tables, Rows int64 }

// Copy fills a new database with what the auditor's role reads of another, in one
// read-only transaction that sees one moment, and to with the newest checkpoint then
// published. Principals and their secrets stay behind: an auditor does not read them.
func Copy(ctx context.Context, from *pgx.ConnConfig, published checkpoints.Store, into Database, to checkpoints.Store) (done Copied, err error) {
	const tries = 5
	for range tries {
		before, _, err := newest(ctx, published)
		if err != nil {
			return done, err
		}
		if done, err = copyTables(ctx, from, into); err != nil {
			return done, err
		}
		after, note, err := newest(ctx, published)
		if err != nil {
			return done, err
		}
		if before != after {
			continue
		}
		if after > 0 {
			err = to.Create(ctx, after, note)
		}
		return done, err
	}
	return done, ErrMoving
}

func newest(ctx context.Context, s checkpoints.Store) (int64, []byte, error) {
	n, note, err := s.Newest(ctx, 0)
	if errors.Is(err, checkpoints.ErrNone) {
		return 0, nil, nil
	}
	return n, note, err
}

func copyTables(ctx context.Context, from *pgx.ConnConfig, into Database) (done Copied, err error) {
	source, err := pgx.ConnectConfig(ctx, from)
	if err != nil {
		return done, fmt.Errorf("connect as auditor: %w", err)
	}
	defer func() { err = errors.Join(err, source.Close(context.WithoutCancel(ctx))) }()
	target, err := pgx.Connect(ctx, into.URL)
	if err != nil {
		return done, err
	}
	defer func() { err = errors.Join(err, target.Close(context.WithoutCancel(ctx))) }()
	one := pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}
	err = pgx.BeginTxFunc(ctx, source, one, func(moment pgx.Tx) error {
		if _, err := moment.Exec(ctx, "SET LOCAL ROLE plant_auditor"); err != nil {
			return fmt.Errorf("become plant_auditor: %w", err)
		}
		if err := sameSchema(ctx, moment); err != nil {
			return err
		}
		return pgx.BeginFunc(ctx, target, func(tx pgx.Tx) error {
			var err error
			done, err = copyAll(ctx, moment, tx)
			return err
		})
	})
	return done, err
}

func sameSchema(ctx context.Context, tx pgx.Tx) error {
	e := SchemaError{Want: migrations.Latest()}
	err := tx.QueryRow(ctx, `SELECT coalesce(max(version_id), 0) FROM public.goose_db_version WHERE is_applied`).Scan(&e.Has)
	if err != nil {
		return fmt.Errorf("read the schema's version: %w", err)
	}
	if e.Has != e.Want {
		return &e
	}
	return nil
}

// A generated column is not copied: the copy generates it again.
const tablesAndColumns = `
SELECT c.relname, string_agg(quote_ident(a.attname), ', ' ORDER BY a.attnum)
FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''
WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r' AND c.relname <> 'goose_db_version' AND has_table_privilege(c.oid, 'SELECT')
GROUP BY c.relname ORDER BY c.relname`

// copyAll copies every table that the source's role reads. Neither triggers, which the
// copy loses, nor foreign keys stop what was accepted once.
func copyAll(ctx context.Context, from, into pgx.Tx) (done Copied, err error) {
	rows, err := from.Query(ctx, tablesAndColumns)
	if err != nil {
		return done, fmt.Errorf("list the tables: %w", err)
	}
	tables := map[string]string{}
	var name, columns string
	var names []string
	disarm := `SET LOCAL session_replication_role = replica;
		DO $$ DECLARE t regclass; BEGIN
			FOR t IN SELECT oid FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r' LOOP
				EXECUTE format('ALTER TABLE %s DISABLE TRIGGER USER', t);
			END LOOP;
		END $$; `
	if _, err := pgx.ForEachRow(rows, []any{&name, &columns}, func() error {
		tables[name] = columns
		names = append(names, pgx.Identifier{"public", name}.Sanitize())
		return nil
	}); err != nil {
		return done, fmt.Errorf("list the tables: %w", err)
	}
	if _, err := into.Exec(ctx, disarm+"TRUNCATE "+strings.Join(names, ", ")+" CASCADE"); err != nil {
		return done, fmt.Errorf("empty the copy: %w", err)
	}
	for name, columns := range tables {
		n, err := copyTable(ctx, from, into, pgx.Identifier{"public", name}.Sanitize(), columns)
		if err != nil {
			return done, fmt.Errorf("copy %s: %w", name, err)
		}
		done.Tables, done.Rows = done.Tables+1, done.Rows+n
	}
	return done, nil
}

func copyTable(ctx context.Context, from, into pgx.Tx, table, columns string) (rows int64, err error) {
	reader, writer := io.Pipe()
	sent := make(chan error, 1)
	go func() {
		_, err := from.Conn().PgConn().CopyTo(ctx, writer, fmt.Sprintf("COPY (SELECT %s FROM %s) TO STDOUT (FORMAT binary)", columns, table))
		sent <- errors.Join(err, writer.CloseWithError(err))
	}()
	tag, err := into.Conn().PgConn().CopyFrom(ctx, reader, fmt.Sprintf("COPY %s (%s) FROM STDIN (FORMAT binary)", table, columns))
	_ = reader.CloseWithError(err) // what nobody takes any more ends the sender
	if failed := <-sent; failed != nil && err == nil {
		err = failed
	}
	return tag.RowsAffected(), err
}
