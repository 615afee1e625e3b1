package migrations_test

import (
	"context"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
)

// blocked waits until the connection waits for a lock.
func blocked(t *testing.T, db database, conn *pgx.Conn) {
	t.Helper()
	watch := db.as(t, superuser)
	pid := conn.PgConn().PID()
	require.Eventually(t, func() bool {
		var waits bool
		err := watch.QueryRow(t.Context(), "SELECT cardinality(pg_blocking_pids($1)) > 0", int(pid)).Scan(&waits)
		return err == nil && waits
	}, 10*time.Second, 5*time.Millisecond)
}

// later runs f while the test goes on; the channel gets its error.
func later(f func() error) <-chan error {
	done := make(chan error, 1)
	go func() { done <- f() }()
	return done
}

// retire writes what an operator does: lock the key first, then say so.
func retire(t *testing.T, w *world, tx pgx.Tx) {
	t.Helper()
	key := w.entities["signing_key"][platform]
	_, err := tx.Exec(t.Context(), "SELECT FROM signing_key WHERE id = $1 FOR UPDATE", key.id)
	require.NoError(t, err)
	w.amend(t, tx, key, "retired", state("retired", "public", nil))
}

func (w *world) signedBySecond(t *testing.T) draft {
	t.Helper()
	d := w.next(t, subject{id: newID(t), kind: "skill", owner: acme}, "created", state("draft", "private", nil))
	d.keyID, _ = fakeKey("second")
	d.seal(t)
	return d
}

func TestRetiredKeyRecordsNothing(t *testing.T) {
	t.Parallel()
	db := newDatabase(t)
	w := newWorld(t, db)
	operator := inTenant(t, db.as(t, "plant_operator"), "")
	retire(t, w, operator)
	require.NoError(t, operator.Commit(t.Context()))
	tx := inTenant(t, db.as(t, "plant_writer"), acme)
	d := w.signedBySecond(t)
	require.NoError(t, d.insertEntity(t.Context(), tx))
	_, err := d.insertAmendment(t.Context(), tx)
	requireCode(t, keyNotInForce, err)
}

// The amendment came first: the retirement waits for its commit.
func TestRetirementWaitsForWhatTheKeySigned(t *testing.T) {
	t.Parallel()
	db := newDatabase(t)
	w := newWorld(t, db)
	writer := inTenant(t, db.as(t, "plant_writer"), acme)
	d := w.signedBySecond(t)
	require.NoError(t, d.insertEntity(t.Context(), writer))
	_, err := d.insertAmendment(t.Context(), writer)
	require.NoError(t, err)

	operator := inTenant(t, db.as(t, "plant_operator"), "")
	_, err = operator.Exec(t.Context(), "SELECT FROM signing_key WHERE id = $1 FOR UPDATE NOWAIT", w.entities["signing_key"][platform].id)
	requireCode(t, "55P03", err)
	require.NoError(t, writer.Commit(t.Context()))
}

// The retirement came first: the amendment waits, and then sees it.
func TestAmendmentWaitsForTheRetirementAndFails(t *testing.T) {
	t.Parallel()
	db := newDatabase(t)
	w := newWorld(t, db)
	operator := inTenant(t, db.as(t, "plant_operator"), "")
	retire(t, w, operator)

	conn := db.as(t, "plant_writer")
	writer := inTenant(t, conn, acme)
	d := w.signedBySecond(t)
	require.NoError(t, d.insertEntity(t.Context(), writer))
	done := later(func() error { _, err := d.insertAmendment(t.Context(), writer); return err })
	blocked(t, db, conn)
	require.NoError(t, operator.Commit(t.Context()))
	requireCode(t, keyNotInForce, <-done)
}

// An older snapshot would not see a retirement, so nothing is recorded under one.
func TestAmendmentsNeedReadCommitted(t *testing.T) {
	t.Parallel()
	db := newDatabase(t)
	w := newWorld(t, db)
	conn := db.as(t, "plant_writer")
	for _, level := range []pgx.TxIsoLevel{pgx.RepeatableRead, pgx.Serializable} {
		tx, err := conn.BeginTx(t.Context(), pgx.TxOptions{IsoLevel: level})
		require.NoError(t, err)
		_, err = tx.Exec(t.Context(), "SELECT set_config('app.governance_agent_id', 'acme', true)")
		require.NoError(t, err)
		d := w.signedBySecond(t)
		require.NoError(t, d.insertEntity(t.Context(), tx))
		_, err = d.insertAmendment(t.Context(), tx)
		requireCode(t, "25000", err)
		require.NoError(t, tx.Rollback(context.WithoutCancel(t.Context())))
	}
}

// Two writers signed the same place of a chain: one gets it.
func TestTwoWritersOnePlace(t *testing.T) {
	t.Parallel()
	db := newDatabase(t)
	w := newWorld(t, db)
	s := w.entities["skill"][own]
	first := inTenant(t, db.as(t, "plant_writer"), acme)
	w.amend(t, first, s, "evolved", state("draft", "private", map[string]any{"by": 1}))

	conn := db.as(t, "plant_writer")
	second := inTenant(t, conn, acme)
	d := w.next(t, s, "evolved", state("draft", "private", map[string]any{"by": 2}))
	done := later(func() error { _, err := d.insertAmendment(t.Context(), second); return err })
	blocked(t, db, conn)
	require.NoError(t, first.Commit(t.Context()))
	requireCode(t, uniqueViolation, <-done, "amendment_pkey")
}

// A repeat of a write waits for the first and then knows that it is one.
func TestRepeatWaitsForTheFirst(t *testing.T) {
	t.Parallel()
	db := newDatabase(t)
	newWorld(t, db)
	id := newID(t)
	first := inTenant(t, db.as(t, "plant_writer"), acme)
	_, err := insertRepeat(t, first, id, acme, "0 s")
	require.NoError(t, err)
	conn := db.as(t, "plant_writer")
	second := inTenant(t, conn, acme)
	done := later(func() error { _, err := insertRepeat(t, second, id, acme, "0 s"); return err })
	blocked(t, db, conn)
	require.NoError(t, first.Commit(t.Context()))
	requireCode(t, uniqueViolation, <-done, "idempotency_key_used")
}

// A vector that is stored while its entity stops being shared is not left behind
// as a shared one.
func TestVectorWaitsForItsEntity(t *testing.T) {
	t.Parallel()
	db := newDatabase(t)
	w := newWorld(t, db)
	s := w.entities["skill"][shared]
	writer := inTenant(t, db.as(t, "plant_writer"), globex)
	w.amend(t, writer, s, "moved", state("under_review", "public", nil))

	conn := db.as(t, "plant_embedder")
	embedder := inTenant(t, conn, globex)
	done := later(func() error {
		_, err := embedder.Exec(t.Context(), `INSERT INTO embedding (entity_id, model_id, vector, text_sha256, vector_sha256,
			entity_type, governance_agent_id) SELECT entity_id, 'other', vector, text_sha256, vector_sha256, entity_type,
			governance_agent_id FROM embedding WHERE entity_id = $1`, s.id)
		return err
	})
	blocked(t, db, conn)
	require.NoError(t, writer.Commit(t.Context()))
	require.NoError(t, <-done)
	var is bool
	require.NoError(t, embedder.QueryRow(t.Context(), "SELECT shared FROM embedding WHERE entity_id = $1 AND model_id = 'other'", s.id).Scan(&is))
	require.False(t, is)
}

// adopt writes an amendment by which an entity gets a parent.
func (w *world) adopt(t *testing.T, q executor, child, parent subject) subject {
	t.Helper()
	d := w.next(t, child, "evolved", state("certified", "public", map[string]any{"parent_id": parent.id.String()}))
	_, err := d.insertAmendment(t.Context(), q)
	require.NoError(t, err)
	_, err = d.insertOpening(t.Context(), q)
	require.NoError(t, err)
	_, err = q.Exec(t.Context(), `UPDATE entity SET version = $2, version_hash = $3, etag_hash = $3, updated_at = $4, parent_id = $5
		WHERE id = $1`, child.id, d.seq, d.hash, d.recordedAt, parent.id)
	require.NoError(t, err)
	return d.done()
}

// Two tenants each put their tree under a leaf of the other's: the second waits for the
// first, and then sees the circle. Who changes parents among its own waits for neither.
func TestNoCircleAcrossTenants(t *testing.T) {
	t.Parallel()
	db := newDatabase(t)
	w := newWorld(t, db)
	seed, err := db.as(t, superuser).Begin(t.Context())
	require.NoError(t, err)
	top, leaf := map[string]subject{}, map[string]subject{}
	for _, owner := range []string{acme, globex, "initech"} {
		public := state("certified", "public", nil)
		top[owner] = w.born(t, seed, "skill", owner, public)
		leaf[owner] = w.adopt(t, seed, w.born(t, seed, "skill", owner, public), top[owner])
	}
	alone := w.born(t, seed, "skill", "initech", state("certified", "public", nil))
	require.NoError(t, seed.Commit(t.Context()))
	check := func(tx pgx.Tx, s subject) error {
		_, err := tx.Exec(t.Context(), "SELECT require_no_cycle(ARRAY[$1::uuid], 'skill')", s.id)
		return err
	}
	first := inTenant(t, db.as(t, "plant_writer"), acme)
	w.adopt(t, first, top[acme], leaf[globex])
	require.NoError(t, check(first, top[acme]))

	apart := inTenant(t, db.as(t, "plant_writer"), "initech")
	w.adopt(t, apart, alone, leaf["initech"])
	require.NoError(t, check(apart, alone))
	require.NoError(t, apart.Commit(t.Context()))

	conn := db.as(t, "plant_writer")
	second := inTenant(t, conn, globex)
	w.adopt(t, second, top[globex], leaf[acme])
	done := later(func() error { return check(second, top[globex]) })
	blocked(t, db, conn)
	require.NoError(t, first.Commit(t.Context()))
	requireCode(t, "PL007", <-done)
}
