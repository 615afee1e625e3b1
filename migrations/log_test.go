package migrations_test

import (
	"encoding/base64"
	"fmt"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"
)

const notInOrder = "PL006"

// logged are the amendments of a world that are in its log, in their order: the
// job roles, and a key.
func (w *world) logged() map[class]subject {
	rows := map[class]subject{platform: w.bare["signing_key"][platform].done()}
	for c, s := range w.entities["job_role"] {
		rows[c] = s
	}
	return rows
}

var logOrder = map[class]int64{own: 0, shared: 1, private: 2, platform: 3}

func insertEntry(t *testing.T, q executor, index int64, s subject, isShared bool) (pgconn.CommandTag, error) {
	t.Helper()
	return q.Exec(t.Context(), `INSERT INTO log_entry (log_index, hash, entity_id, seq, governance_agent_id, shared)
		VALUES ($1, $2, $3, $4, $5, $6)`, index, s.hash, s.id, s.seq, s.owner, isShared)
}

func insertNobodysEntry(t *testing.T, q executor, index int64, hash []byte) (pgconn.CommandTag, error) {
	t.Helper()
	return q.Exec(t.Context(), `INSERT INTO log_entry (log_index, hash, shared) VALUES ($1, $2, false)`, index, hash)
}

func headsRecord(w *world, index int64, at time.Time) string {
	return fmt.Sprintf(`{"context":"plant/heads/v1","key_id":"%s","log_size":%d,"recorded_at":"%s"}`,
		w.keys["amendment"], index, at.Format("2006-01-02T15:04:05.000000Z"))
}

func insertHeads(t *testing.T, q executor, w *world, index int64, record string, at time.Time) (pgconn.CommandTag, error) {
	t.Helper()
	return q.Exec(t.Context(), `INSERT INTO heads (log_index, hash, record, signature, key_id, recorded_at)
		VALUES ($1, $2, $3, $4, $5, $6)`, index, digest(record), record, make([]byte, 512), w.keys["amendment"], at)
}

func insertCheckpoint(t *testing.T, q executor, n int64) (pgconn.CommandTag, error) {
	t.Helper()
	note := "origin\n7\n" + base64.StdEncoding.EncodeToString(digest("root")) + "\n\n— origin x\n"
	return q.Exec(t.Context(), `INSERT INTO checkpoint (n, size, root, note) VALUES ($1, 7, $2, $3)`, n, digest("root"), note)
}

func insertFork(t *testing.T, q executor, origin string) (pgconn.CommandTag, error) {
	t.Helper()
	statement := `{"context":"plant/fork/v1","from_origin":"old","origin":"` + origin + `"}`
	return q.Exec(t.Context(), `INSERT INTO log_fork (origin, hash, statement, signature) VALUES ($1, $2, $3, $4)`,
		origin, digest(statement), statement, make([]byte, 512))
}

func insertSalt(t *testing.T, q executor, tenant string) (pgconn.CommandTag, error) {
	t.Helper()
	return q.Exec(t.Context(), `INSERT INTO tenant_salt (governance_agent_id, salt) VALUES ($1, $2)`, tenant, digest(tenant))
}

func insertTile(t *testing.T, q executor, level int) (pgconn.CommandTag, error) {
	t.Helper()
	return q.Exec(t.Context(), `INSERT INTO log_tile (level, index, data) VALUES ($1, 0, $2)`, level, digest("leaf"))
}

// addLog writes a log of four amendments and a heads record, and one of all that
// belongs to it.
func (w *world) addLog(t *testing.T, tx pgx.Tx) {
	t.Helper()
	at := time.Now().UTC().Truncate(time.Microsecond)
	record := headsRecord(w, 4, at)
	for _, c := range everyClass {
		_, err := insertEntry(t, tx, logOrder[c], w.logged()[c], c == shared || c == platform)
		require.NoError(t, err)
	}
	for _, insert := range []func() (pgconn.CommandTag, error){
		func() (pgconn.CommandTag, error) { return insertNobodysEntry(t, tx, 4, digest(record)) },
		func() (pgconn.CommandTag, error) { return insertHeads(t, tx, w, 4, record, at) },
		func() (pgconn.CommandTag, error) { return insertCheckpoint(t, tx, 1) },
		func() (pgconn.CommandTag, error) { return insertFork(t, tx, "new") },
		func() (pgconn.CommandTag, error) { return insertTile(t, tx, 0) },
		func() (pgconn.CommandTag, error) { return insertSalt(t, tx, acme) },
		func() (pgconn.CommandTag, error) { return insertSalt(t, tx, globex) },
		func() (pgconn.CommandTag, error) { return insertSalt(t, tx, keyring) },
	} {
		_, err := insert()
		require.NoError(t, err)
	}
}

func (w *world) logProbes() map[string]probe {
	type tag = pgconn.CommandTag
	entries := map[class][]any{}
	for c, index := range logOrder {
		entries[c] = []any{index}
	}
	only := func(key any) map[class][]any { return map[class][]any{platform: {key}} }
	salts := map[class][]any{own: {acme}, private: {globex}, platform: {keyring}}
	return map[string]probe{
		"log_entry": {"log_index = $1", entries, "shared = shared", func(t *testing.T, q executor, c class, _ string) (tag, error) {
			if c == platform {
				return insertNobodysEntry(t, q, 5, digest("more"))
			}
			return insertEntry(t, q, 5, w.entities["team"][c], false)
		}, []class{own, private, platform}},
		"log_tile": {"level = $1", only(0), "data = data || data", func(t *testing.T, q executor, _ class, _ string) (tag, error) {
			return insertTile(t, q, 1)
		}, []class{platform}},
		"heads": {"log_index = $1", only(4), "record = record", func(t *testing.T, q executor, _ class, role string) (tag, error) {
			at := time.Now().UTC().Truncate(time.Microsecond)
			record := headsRecord(w, 5, at)
			if role == "plant_auditor" {
				if tag, err := insertNobodysEntry(t, q, 5, digest(record)); err != nil {
					return tag, err
				}
			}
			return insertHeads(t, q, w, 5, record, at)
		}, []class{platform}},
		"checkpoint": {"n = $1", only(1), "note = note", func(t *testing.T, q executor, _ class, _ string) (tag, error) {
			return insertCheckpoint(t, q, 2)
		}, []class{platform}},
		"log_fork": {"origin = $1", only("new"), "statement = statement", func(t *testing.T, q executor, _ class, _ string) (tag, error) {
			return insertFork(t, q, "newer")
		}, []class{platform}},
		"tenant_salt": {"governance_agent_id = $1", salts, "salt = salt", func(t *testing.T, q executor, c class, _ string) (tag, error) {
			return insertSalt(t, q, "new-"+ownerOf(c))
		}, []class{own, private, platform}},
	}
}

// TestLogHasNoGapAndNoStranger: entries take the next places, and only those that
// waited for one leave the queue.
func TestLogHasNoGapAndNoStranger(t *testing.T) {
	t.Parallel()
	db := newDatabase(t)
	w := newWorld(t, db)
	conn := db.as(t, "plant_auditor")
	team, other := w.entities["team"][own], w.entities["team"][private]
	stranger, stolen, twice := team, team, w.entities["job_role"][own]
	stranger.hash, stolen.owner = digest("never amended"), globex
	for what, c := range map[string]struct {
		index int64
		entry subject
		code  string
	}{
		"gap":              {6, team, notInOrder},
		"taken":            {4, team, uniqueViolation},
		"not an amendment": {5, stranger, notInOrder},
		"another owner":    {5, stolen, notInOrder},
		"twice":            {5, twice, uniqueViolation},
		"the next":         {5, team, ""},
	} {
		t.Run(what, func(t *testing.T) {
			tx, err := conn.Begin(t.Context())
			require.NoError(t, err)
			defer func() { require.NoError(t, tx.Rollback(t.Context())) }()
			_, err = insertEntry(t, tx, c.index, c.entry, false)
			require.Equal(t, c.code, codeOf(t, err))
			if c.code == "" {
				_, err = insertEntry(t, tx, c.index+1, other, false)
				require.NoError(t, err)
				require.Empty(t, column(t, tx.Conn(), `SELECT encode(hash, 'hex') FROM log_pending
					WHERE entity_id IN ('`+team.id.String()+`', '`+other.id.String()+`')`), "what is in the log waits no more")
			}
		})
	}
}

func TestTilesOnlyGrow(t *testing.T) {
	t.Parallel()
	db := newDatabase(t)
	newWorld(t, db)
	tx := inTenant(t, db.as(t, superuser), acme)
	for set, code := range map[string]string{
		"data = data || data":            "",
		"data = data":                    appendOnly,
		"data = sha256(data)":            appendOnly,
		"data = sha256(data) || data":    appendOnly,
		"data = data || data, index = 1": appendOnly,
		"data = data || '\\x00'":         checkViolation,
	} {
		got, _ := try(t, tx, "UPDATE log_tile SET "+set)
		require.Equal(t, code, got, set)
	}
}

func TestWaitingIsTakenInOrder(t *testing.T) {
	t.Parallel()
	db := newDatabase(t)
	newWorld(t, db)
	require.Equal(t, []string{"introduced 0", "other 1"}, column(t, db.as(t, superuser), `SELECT DISTINCT
		CASE WHEN change = 'introduced' THEN 'introduced ' ELSE 'other ' END || rank FROM log_pending ORDER BY 1`))
}
