package migrations_test

import (
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
)

// asWriter is a writer's transaction for acme on a database with a world.
func asWriter(t *testing.T) (*world, pgx.Tx) {
	t.Helper()
	db := newDatabase(t)
	return newWorld(t, db), inTenant(t, db.as(t, "plant_writer"), acme)
}

// The use of a key and its may_sign must both allow a change.
func TestOnlyTheCertificationKeyDecides(t *testing.T) {
	t.Parallel()
	db := newDatabase(t)
	w := newWorld(t, db)
	tx := inTenant(t, db.as(t, "plant_certifier"), acme)
	for use, want := range map[string]string{"amendment": keyNotInForce, "certification": ""} {
		d := w.next(t, w.entities["skill"][own], "certified", state("certified", "private", nil))
		d.keyID, _ = fakeKey("any " + use)
		d.seal(t)
		err := inPoint(t, tx, func(tx pgx.Tx) error { _, err := d.insertAmendment(t.Context(), tx); return err })
		require.Equal(t, want, codeOf(t, err), use)
	}
}

// inPoint runs f in a savepoint, with deferred constraints checked at its end.
func inPoint(t *testing.T, tx pgx.Tx, f func(pgx.Tx) error) error {
	t.Helper()
	point, err := tx.Begin(t.Context())
	require.NoError(t, err)
	if err = f(point); err == nil {
		_, err = point.Exec(t.Context(), "SET CONSTRAINTS ALL IMMEDIATE")
	}
	require.NoError(t, point.Rollback(t.Context()))
	return err
}

func TestAmendmentsThatDoNotFit(t *testing.T) {
	t.Parallel()
	w, tx := asWriter(t)
	s := w.entities["skill"][own] // at seq 2
	cases := []struct {
		name       string
		spoil      func(d *draft)
		sealed     bool // seal again after spoiling
		code       string
		constraint string
	}{
		{"as it should be", func(*draft) {}, true, "", ""},
		{"gap", func(d *draft) { d.seq = 5 }, true, foreignKey, "amendment_prev_fkey"},
		{"fork", func(d *draft) { d.seq = 2 }, true, uniqueViolation, "amendment_pkey"},
		{"seq 0", func(d *draft) { d.seq, d.change = 0, "evolved" }, true, checkViolation, ""},
		{"second beginning", func(d *draft) { d.seq, d.prevHash, d.change = 1, make([]byte, 32), "created" }, true, uniqueViolation, "amendment_pkey"},
		{"beginning in the middle", func(d *draft) { d.prevHash = make([]byte, 32) }, true, checkViolation, "amendment_first_check"},
		{"created again", func(d *draft) { d.change = "created" }, true, checkViolation, "amendment_change_check"},
		{"a key's change", func(d *draft) { d.change = "retired" }, true, refused, ""},
		{"wrong predecessor", func(d *draft) { d.prevHash = digest("other") }, true, foreignKey, "amendment_prev_fkey"},
		{"another entity's hash", func(d *draft) { d.prevHash = w.entities["skill"][shared].hash }, true, foreignKey, "amendment_prev_fkey"},
		{"wrong hash", func(d *draft) { d.hash = digest("other") }, false, checkViolation, "amendment_hash_check"},
		{"longer hash", func(d *draft) { d.hash = append(d.hash, 0) }, false, checkViolation, ""},
		{"column beside the record", func(d *draft) { d.author = "acme/other" }, false, checkViolation, "amendment_record_check"},
		{"time beside the record", func(d *draft) { d.recordedAt = d.recordedAt.Add(time.Microsecond) }, false, checkViolation, "amendment_record_check"},
		{"state hash beside the record", func(d *draft) { d.stateHash = digest("other") }, false, checkViolation, "amendment_record_check"},
		{"short signature", func(d *draft) { d.signing = make([]byte, 256) }, true, checkViolation, "amendment_signature_check"},
		{"no signature", func(d *draft) { d.signing = nil }, true, checkViolation, "amendment_signature_check"},
		{"both signatures", func(d *draft) { id := w.batches[own]; d.batch = &id }, true, checkViolation, "amendment_signature_check"},
		{"place taken in a batch", func(d *draft) { id := w.batches[own]; d.batch, d.signing = &id, nil }, true, uniqueViolation, "amendment_batch_index_key"},
		{"batch that is not there", func(d *draft) { id := s.id; d.batch, d.signing = &id, nil }, true, foreignKey, "amendment_batch_fkey"},
		{"ahead of the clock", func(d *draft) { d.recordedAt = d.recordedAt.Add(11 * time.Second) }, true, clockSkew, ""},
		{"behind the clock", func(d *draft) { d.recordedAt = d.recordedAt.Add(-11 * time.Second) }, true, clockSkew, ""},
		{"9 s ahead", func(d *draft) { d.recordedAt = d.recordedAt.Add(9 * time.Second) }, true, "", ""},
		{"before its predecessor", func(d *draft) { d.recordedAt = d.recordedAt.Add(-9 * time.Second) }, true, clockSkew, ""},
		{"unknown key", func(d *draft) { d.keyID = "00" }, true, foreignKey, "amendment_key_fkey"},
		{"a key that may not sign this change", func(d *draft) { d.keyID, _ = fakeKey("second") }, true, keyNotInForce, ""},
		{"a root, whatever it may sign", func(d *draft) { d.keyID, _ = fakeKey("second root") }, true, keyNotInForce, ""},
		{"another owner", func(d *draft) { d.subject.owner = globex }, true, refused, ""},
		{"another type", func(d *draft) { d.subject.kind = "team" }, true, foreignKey, "amendment_entity_fkey"},
		{"author without a name", func(d *draft) { d.author = "acme/" }, true, checkViolation, "amendment_author_check"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			d := w.next(t, s, "evolved", state("draft", "private", nil))
			c.spoil(&d)
			if c.sealed {
				d.seal(t)
			}
			err := inPoint(t, tx, func(tx pgx.Tx) error { _, err := d.insertAmendment(t.Context(), tx); return err })
			if c.code == "" {
				require.NoError(t, err)
				return
			}
			requireCode(t, c.code, err)
			if c.constraint != "" {
				requireCode(t, c.code, err, c.constraint)
			}
		})
	}
}

func TestHeadIsTheEndOfTheChain(t *testing.T) {
	t.Parallel()
	w, tx := asWriter(t)
	s := w.entities["skill"][own]
	draft := func() draft { return w.next(t, s, "evolved", state("under_review", "private", nil)) }

	requireCode(t, foreignKey, inPoint(t, tx, func(tx pgx.Tx) error {
		_, err := draft().updateEntity(t.Context(), tx)
		return err
	}), "entity_head_fkey")
	requireCode(t, foreignKey, inPoint(t, tx, func(tx pgx.Tx) error {
		d := draft()
		if _, err := d.insertAmendment(t.Context(), tx); err != nil {
			return err
		}
		d.hash = digest("other")
		_, err := d.updateEntity(t.Context(), tx)
		return err
	}), "entity_head_fkey")
	for _, version := range []int64{1, 2, 4} { // the head is at 2
		d := draft()
		d.seq = version
		requireCode(t, appendOnly, inPoint(t, tx, func(tx pgx.Tx) error {
			_, err := d.updateEntity(t.Context(), tx)
			return err
		}))
	}
	d := w.next(t, subject{id: newID(t), kind: "skill", owner: acme}, "created", state("draft", "private", nil))
	requireCode(t, foreignKey, inPoint(t, tx, func(tx pgx.Tx) error { return d.insertEntity(t.Context(), tx) }), "entity_head_fkey")
	d.seq = 2
	requireCode(t, appendOnly, inPoint(t, tx, func(tx pgx.Tx) error { return d.insertEntity(t.Context(), tx) }))
	w.amend(t, tx, s, "evolved", state("under_review", "private", nil)) // and as it should be
	require.NoError(t, tx.Commit(t.Context()))
}

func TestAuditColumnsStayEvenForTheOwner(t *testing.T) {
	t.Parallel()
	db := newDatabase(t)
	w := newWorld(t, db)
	tx := inTenant(t, db.as(t, superuser), acme)
	id := w.entities["skill"][own].id
	for _, set := range []string{
		"id = gen_random_uuid()", "entity_type = 'team'", "governance_agent_id = 'globex'", "created_at = now()",
	} {
		code, _ := try(t, tx, "UPDATE entity SET version = version + 1, "+set+" WHERE id = $1", id)
		require.Equal(t, appendOnly, code, set)
	}
	for _, set := range []string{"id = gen_random_uuid()", "use = 'root'", "may_sign = '{certified}'"} {
		code, _ := try(t, tx, "UPDATE signing_key SET "+set+" WHERE id = $1", w.entities["signing_key"][platform].id)
		require.Equal(t, appendOnly, code, set)
	}
	for _, kind := range kinds {
		code, _ := try(t, tx, "UPDATE "+kind+" SET id = gen_random_uuid() WHERE id = $1", w.entities[kind][own].id)
		require.Equal(t, appendOnly, code, kind)
		code, _ = try(t, tx, "DELETE FROM "+kind+" WHERE id = $1", w.entities[kind][own].id)
		require.Equal(t, appendOnly, code, kind)
	}
}

func TestOpeningsOpenTheirAmendment(t *testing.T) {
	t.Parallel()
	w, tx := asWriter(t)
	d := w.bare["skill"][own]
	spoilt := d
	spoilt.state = `{"status":"certified","visibility":"public"}`
	_, err := spoilt.insertOpening(t.Context(), tx)
	requireCode(t, checkViolation, err, "opening_state_hash_check")
}

func TestSharedIsDecidedFromTheState(t *testing.T) {
	t.Parallel()
	w, tx := asWriter(t)
	for status, visible := range map[string]bool{
		"draft": false, "under_review": false, "certified": true, "active": true, "deprecated": true,
	} {
		for _, visibility := range []string{"private", "public"} {
			s := w.born(t, tx, "skill", acme, state(status, visibility, nil))
			var entity, opening bool
			require.NoError(t, tx.QueryRow(t.Context(), `SELECT e.shared, o.shared FROM entity e JOIN opening o ON o.entity_id = e.id
				WHERE e.id = $1`, s.id).Scan(&entity, &opening))
			require.Equal(t, visible && visibility == "public", entity, status)
			require.Equal(t, entity, opening, status)
		}
	}
	s := w.born(t, tx, "skill", acme, map[string]any{"status": "draft", "visibility": "private", "tags": []string{"public", "certified"}})
	code, _ := try(t, tx, "INSERT INTO opening (entity_id, seq, salt, state, shared) VALUES ($1, 2, $2, '{}', true)", s.id, make([]byte, 32))
	require.Equal(t, "428C9", code, "nobody's word: shared is generated")
}

// Whatever is recorded waits for the log, by trigger and by nothing else.
func TestEveryAmendmentIsPending(t *testing.T) {
	t.Parallel()
	db := newDatabase(t)
	newWorld(t, db)
	conn := db.as(t, superuser)
	amendments := column(t, conn, `SELECT format('%s %s %s %s %s %s', hash, entity_id, seq, entity_type, change, recorded_at)
		FROM amendment ORDER BY hash`)
	require.NotEmpty(t, amendments)
	require.Equal(t, amendments, column(t, conn,
		`SELECT format('%s %s %s %s %s %s', hash, entity_id, seq, entity_type, change, recorded_at) FROM (
			SELECT hash, entity_id, seq, entity_type, change, recorded_at FROM log_pending
			UNION ALL SELECT l.hash, l.entity_id, l.seq, entity_type, change, recorded_at FROM log_entry l JOIN amendment USING (entity_id, seq)
		) x ORDER BY hash`), "once, in the queue or in the log")
}
