package postgres

import (
	"context"
	"errors"

	"github.com/jackc/pgx/v5"
)

// Execute runs statements one after another over a connection of its own, each in its
// own transaction, up to the first that fails.
func Execute(ctx context.Context, address string, statements ...string) error {
	conn, err := pgx.Connect(ctx, address)
	if err != nil {
		return err
	}
	for _, sql := range statements {
		if _, err = conn.Exec(ctx, sql); err != nil {
			break
		}
	}
	return errors.Join(err, conn.Close(context.WithoutCancel(ctx)))
}
