package chaos

import (
	"bytes"
	"context"
	"crypto/rsa"
	"fmt"
	"math/rand/v2"
	"net/http"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/dlai-sd/plant/shared/bundle"
	"github.com/dlai-sd/plant/shared/domain"
	"github.com/dlai-sd/plant/shared/testkit/harness"
)

// exportUntil orders exports of every scope, fetches their bundles and verifies them.
func (w *watch) exportUntil(ctx context.Context, t *testing.T, decide *rand.Rand) (n int) {
	for ctx.Err() == nil {
		made, err := read(w.insist(ctx, http.MethodPost, exportsPath, []string{ofNorth, ofAll}[decide.IntN(2)]))
		var body []byte
		if err == nil {
			body, err = w.insist(ctx, http.MethodGet, made.Bundle, "")
		}
		if err != nil {
			continue
		}
		if err := w.verifyBundle(t, body); err != nil {
			t.Errorf("export %s, %d bytes (%.60q … %.60q): %v", made.ID, len(body), body, body[max(0, len(body)-60):], err)
			return n
		}
		n++
		pause(ctx, time.Duration(decide.Int64N(int64(200*time.Millisecond))))
	}
	return n
}

// verifyBundle is what an auditor does with it.
func (w *watch) verifyBundle(t *testing.T, body []byte) error {
	root, err := w.Secrets.Key(t.Context(), w.Keys[domain.UseRoot])
	if err != nil {
		return err
	}
	fsys, err := bundle.NewZip(bytes.NewReader(body), int64(len(body)))
	if err != nil {
		return err
	}
	report, err := bundle.Verify(fsys, bundle.Options{Trust: root.Public().(*rsa.PublicKey), Origin: harness.Origin, Now: time.Now()})
	if err != nil {
		return err
	}
	for _, v := range report.Verdicts() {
		if !v.Passed {
			return fmt.Errorf("%s: %+v", v.Name, v.Offender)
		}
	}
	return nil
}

// fetchAll fetches and verifies the bundle of every export there is, also of those
// whose order was never answered.
func (w *watch) fetchAll(ctx context.Context, t *testing.T) int {
	t.Helper()
	conn, err := pgx.Connect(ctx, w.URL)
	require.NoError(t, err)
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	rows, err := conn.Query(ctx, `SELECT id::text FROM audit_export ORDER BY id`)
	require.NoError(t, err)
	ids, err := pgx.CollectRows(rows, pgx.RowTo[string])
	require.NoError(t, err)
	for _, id := range ids {
		body, err := w.ask(ctx, http.MethodGet, exportsPath+"/"+id+"/bundle", "")
		require.NoError(t, err)
		require.NoError(t, w.verifyBundle(t, body), id)
	}
	return len(ids)
}
