package main

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/dlai-sd/plant/shared/event"
)

// place is an amendment.
type place struct {
	id  string
	seq int64
}

// amendment is a row as the database has it.
type amendmentRow struct {
	hash, change, author, batch string
}

// rows reads every amendment of the tenants.
func (s *soak) rows(t *testing.T) map[place]amendmentRow {
	t.Helper()
	rows := map[place]amendmentRow{}
	s.inDatabase(t, func(c checker) []string {
		result, err := c.Query(t.Context(), `SELECT a.entity_id::text, a.seq, encode(a.hash, 'hex'), a.change, a.author, coalesce(a.batch_id::text, '')
			FROM amendment a WHERE a.entity_type <> 'signing_key'`)
		require.NoError(t, err)
		var at place
		var row amendmentRow
		_, err = pgx.ForEachRow(result, []any{&at.id, &at.seq, &row.hash, &row.change, &row.author, &row.batch}, func() error {
			rows[at] = row
			return nil
		})
		require.NoError(t, err)
		return nil
	})
	return rows
}

// announced is which request each amendment's event names: published, or still
// in the outbox.
func (s *soak) announced(t *testing.T) map[place]string {
	t.Helper()
	by := map[place]string{}
	note := func(data []byte, request string) {
		var d event.Data
		require.NoError(t, json.Unmarshal(data, &d))
		at := place{d.EntityID, d.Seq}
		if other, twice := by[at]; twice {
			require.Equal(t, other, request)
		}
		by[at] = request
	}
	for _, m := range s.messages() {
		note(m.Data, m.Attributes["ce-requestid"])
	}
	s.inDatabase(t, func(c checker) []string {
		result, err := c.Query(t.Context(), `SELECT data::text, coalesce(request_id, '') FROM outbox`)
		require.NoError(t, err)
		var data, request string
		_, err = pgx.ForEachRow(result, []any{&data, &request}, func() error { note([]byte(data), request); return nil })
		require.NoError(t, err)
		return nil
	})
	return by
}

// accounts: what was acknowledged is there, and all that is there was
// acknowledged: by its own answer, or as what comes with one in the same
// transaction. Every amendment was announced, by the request that wrote it.
func (s *soak) accounts(t *testing.T) {
	t.Helper()
	require.Empty(t, unaccounted(s.writes, s.rows(t), s.announced(t)))
	repeatable := map[string]bool{}
	for _, w := range s.writes {
		repeatable[w.request] = true
	}
	require.Equal(t, len(repeatable), s.count(t, "idempotency_key WHERE items IS NULL OR jsonb_path_exists(items, '$[*].id')"),
		"a key for each write that was acknowledged, and for no other")
}

// unaccounted compares what was answered with what is there.
func unaccounted(writes []written, rows map[place]amendmentRow, announced map[place]string) (found []string) {
	say := func(format string, args ...any) { found = append(found, fmt.Sprintf(format, args...)) }
	answered := map[place]written{}
	by := map[string]written{} // by signature batch
	for _, w := range writes {
		at := place{w.id, w.version}
		row, there := rows[at]
		switch {
		case !there:
			say("%s: version %d of %s was acknowledged and is not there", w.request, w.version, w.id)
		case row.hash != w.hash:
			say("%s: version %d of %s was acknowledged with another hash", w.request, w.version, w.id)
		}
		if other, twice := answered[at]; twice {
			say("%s and %s both wrote version %d of %s", w.request, other.request, w.version, w.id)
		}
		answered[at] = w
		if row.batch != "" {
			first := by[row.batch]
			w.joined = append(w.joined, first.joined...)
			by[row.batch] = w
		}
	}
	for at, row := range rows {
		w, ok := answered[at]
		if !ok {
			w, ok = by[row.batch]
			ok = ok && (row.change == "drifted" && row.author == "system/registry" ||
				row.change == "assigned" && w.collection == teams && (w.body == nil || slices.Contains(w.joined, at.id)))
		}
		if !ok {
			say("nobody was told of version %d of %s (%s by %s)", at.seq, at.id, row.change, row.author)
			continue
		}
		if request := announced[at]; request != w.request {
			say("version %d of %s was written by %s and announced by %q", at.seq, at.id, w.request, request)
		}
	}
	for at := range announced {
		if _, there := rows[at]; !there {
			say("version %d of %s was announced and is not there", at.seq, at.id)
		}
	}
	return found
}

// timeless is an answer about a version without what speaks of other entities as
// they are when it is read: who names this one as parent (child_ids), which agents
// name this team (agents, skills), and whether what superseded_by names is
// certified (L0-04, and with it tamper_proof). All else is of the version alone.
func timeless(body []byte) (map[string]jsontext.Value, error) {
	var m, l0 map[string]jsontext.Value
	if err := json.Unmarshal(body, &m); err != nil {
		return nil, err
	}
	for _, name := range []string{"child_ids", "agents", "skills"} {
		delete(m, name)
	}
	if superseded := m["superseded_by"]; superseded != nil && superseded.Kind() != jsontext.KindNull {
		if err := json.Unmarshal(m["l0_compliance_status"], &l0); err != nil {
			return nil, err
		}
		delete(l0, "l0_04")
		b, err := json.Marshal(l0, json.Deterministic(true))
		if err != nil {
			return nil, err
		}
		m["l0_compliance_status"] = b
		delete(m, "tamper_proof")
	}
	return m, nil
}

// sameAnswer: two answers about one version differ in nothing but what is
// derived from other entities. A batch's answer speaks of nothing else.
func sameAnswer(t *testing.T, first, second []byte) {
	t.Helper()
	require.Empty(t, differences(first, second))
}

func differences(first, second []byte) (names []string) {
	a, errA := timeless(first)
	b, errB := timeless(second)
	if errA != nil || errB != nil {
		return []string{"not JSON"}
	}
	for _, name := range slices.Sorted(maps.Keys(a)) {
		if string(a[name]) != string(b[name]) {
			names = append(names, fmt.Sprintf("%s: %s, then %s", name, a[name], b[name]))
		}
	}
	if len(b) != len(a) {
		names = append(names, "other members")
	}
	return names
}

// versions reads every version that was written again: by its number, and by the
// moment at which it was recorded.
func (s *soak) versions(t *testing.T) {
	t.Helper()
	readers := map[string]string{}
	for _, c := range s.callers {
		readers[c.GovernanceAgent] = c.token
	}
	var group errgroup.Group
	group.SetLimit(4)
	for i, w := range s.writes {
		group.Go(func() error {
			read := func(query string) answer {
				return s.at[w.collection].do(t, call{method: "GET", path: w.collection + "/" + w.id + query, token: readers[w.tenant]})
			}
			a := read(fmt.Sprintf("?version=%d", w.version))
			if a.status != http.StatusOK {
				return fmt.Errorf("version %d of %s: %d", w.version, w.id, a.status)
			}
			if w.body == nil { // a batch told only the hash
				if got := as[wrote](t, a); got.VersionHash != w.hash || got.Version != w.version {
					return fmt.Errorf("version %d of %s has another hash", w.version, w.id)
				}
			} else if d := differences(w.body, a.body); len(d) > 0 {
				return fmt.Errorf("version %d of %s is answered otherwise than when it was written: %v", w.version, w.id, d)
			}
			if i%4 > 0 && len(s.writes) > 2000 {
				return nil
			}
			at := read("?at=" + as[view](t, a).UpdatedAt)
			if d := differences(a.body, at.body); len(d) > 0 && as[wrote](t, at).Version <= w.version {
				return fmt.Errorf("version %d of %s is not what stood at its own time: %v", w.version, w.id, d)
			}
			return nil
		})
	}
	require.NoError(t, group.Wait())
}

// inDatabase runs a check as the administrator, to whom no policy applies, in a
// transaction that is rolled back.
func (k *kit) inDatabase(t *testing.T, check func(checker) []string) []string {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), k.URL)
	require.NoError(t, err)
	defer func() { _ = conn.Close(context.WithoutCancel(t.Context())) }()
	tx, err := conn.Begin(t.Context())
	require.NoError(t, err)
	defer func() { _ = tx.Rollback(context.WithoutCancel(t.Context())) }()
	return check(checker{Tx: tx, kit: k})
}
