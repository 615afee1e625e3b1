package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/dlai-sd/plant/shared/domain"
	"github.com/dlai-sd/plant/shared/ledger"
	"github.com/dlai-sd/plant/shared/testkit/harness"
)

// checker asks of a whole database what must be so whatever was done to it over
// the API.
type checker struct {
	pgx.Tx
	kit *kit
}

func (c checker) findings(t *testing.T) []string {
	t.Helper()
	return slices.Concat(c.rules(t), c.chains(t), c.columns(t))
}

// never are queries for ids of what must not be.
var never = map[string]string{
	"two living entities of a name": `SELECT min(id::text) FROM entity WHERE deleted_at IS NULL AND name_key IS NOT NULL
		GROUP BY governance_agent_id, entity_type, name_key HAVING count(*) > 1`,
	"an external id twice": `SELECT min(id::text) FROM entity WHERE external_id IS NOT NULL
		GROUP BY governance_agent_id, external_id HAVING count(*) > 1`,
	"a living team without an agent": `SELECT e.id::text FROM entity e WHERE entity_type = 'team' AND deleted_at IS NULL AND NOT EXISTS
		(SELECT FROM agent a JOIN entity m ON m.id = a.id WHERE a.team_id = e.id AND m.deleted_at IS NULL)`,
	"an agent whose role is not its team's": `SELECT a.id::text FROM agent a JOIN team t ON t.id = a.team_id WHERE t.job_role_id <> a.job_role_id`,
	"an agent in another tenant's team": `SELECT a.id::text FROM agent a JOIN entity t ON t.id = a.team_id
		WHERE t.governance_agent_id <> a.governance_agent_id`,
	"an assignment twice": `SELECT min(a.id::text) FROM agent a JOIN entity e ON e.id = a.id WHERE e.deleted_at IS NULL AND a.team_id IS NOT NULL
		GROUP BY a.governance_agent_id, a.skill_id, a.job_role_id, a.team_id HAVING count(*) > 1`,
	"its own ancestor": `WITH RECURSIVE up (start, id, depth) AS (SELECT id, parent_id, 1 FROM entity WHERE parent_id IS NOT NULL
		UNION ALL SELECT u.start, e.parent_id, u.depth + 1 FROM up u JOIN entity e ON e.id = u.id
			WHERE e.parent_id IS NOT NULL AND u.id <> u.start AND u.depth < 1000)
		SELECT start::text FROM up WHERE id = start OR depth >= 1000`,
	"a parent of another kind": `SELECT e.id::text FROM entity e JOIN entity p ON p.id = e.parent_id WHERE p.entity_type <> e.entity_type`,
	"a history that is not 1 to version": `SELECT id::text FROM entity e WHERE (SELECT array_agg(seq ORDER BY seq) FROM amendment a WHERE a.entity_id = e.id)
		IS DISTINCT FROM (SELECT array_agg(n) FROM generate_series(1, e.version) n)`,
	"an amendment that does not wait for the log": `SELECT a.entity_id::text FROM amendment a LEFT JOIN log_pending l USING (hash)
		WHERE (l.entity_id, l.seq, l.change) IS DISTINCT FROM (a.entity_id, a.seq, a.change)`,
	"a place in the log for nothing": `SELECT l.entity_id::text FROM log_pending l LEFT JOIN amendment a USING (hash) WHERE a.seq IS NULL`,
	"a batch signature over nothing": `SELECT b.id::text FROM signature_batch b WHERE size <> (SELECT count(*) FROM amendment a WHERE a.batch_id = b.id)`,
	"an event of nothing": `SELECT subject::text FROM outbox o LEFT JOIN amendment a
		ON (a.entity_id, a.seq, encode(a.hash, 'hex')) = (o.subject, (o.data ->> 'seq')::bigint, o.data ->> 'hash') WHERE a.seq IS NULL`,
	"a key of nothing": `SELECT k.entity_id::text FROM idempotency_key k LEFT JOIN amendment a USING (entity_id, seq)
		WHERE k.entity_id IS NOT NULL AND a.seq IS NULL`,
	"an entity without the row of its kind": `SELECT e.id::text FROM entity e
		LEFT JOIN (SELECT id, entity_type FROM skill UNION ALL SELECT id, entity_type FROM job_role UNION ALL SELECT id, entity_type FROM team
			UNION ALL SELECT id, entity_type FROM agent UNION ALL SELECT id, entity_type FROM industry
			UNION ALL SELECT id, entity_type FROM signing_key) k USING (id, entity_type) WHERE k.id IS NULL`,
}

func (c checker) rules(t *testing.T) (found []string) {
	t.Helper()
	for _, what := range slices.Sorted(maps.Keys(never)) {
		rows, err := c.Query(t.Context(), never[what])
		require.NoError(t, err, what)
		ids, err := pgx.CollectRows(rows, pgx.RowTo[string])
		require.NoError(t, err, what)
		for _, id := range ids {
			found = append(found, what+": "+id)
		}
	}
	return found
}

// chains verifies every chain with the keyring that the ledger itself gives,
// rooted in the deployment's root.
func (c checker) chains(t *testing.T) (found []string) {
	t.Helper()
	all, found := c.entries(t)
	root, err := c.kit.Secrets.Key(t.Context(), c.kit.Keys[domain.UseRoot])
	require.NoError(t, err)
	var ofKeys []ledger.Entry
	chains := map[string][]ledger.Entry{}
	for _, e := range all {
		if e.Record.EntityType == string(domain.KindSigningKey) {
			ofKeys = append(ofKeys, e)
		}
		chains[e.Record.EntityID] = append(chains[e.Record.EntityID], e)
	}
	ring, faults := ledger.NewKeyring(harness.Origin, root.ID(), ofKeys)
	for i, fault := range faults {
		if fault != nil {
			found = append(found, fmt.Sprintf("key %s: %v", ofKeys[i].Record.EntityID, fault))
		}
	}
	known := func(h ledger.Hash) bool { return h == ledger.Hash(domain.Founding().Sum()) }
	for id, chain := range chains {
		amendments := make([]ledger.Amendment, len(chain))
		for i, e := range chain {
			amendments[i] = e.Amendment
		}
		for _, broken := range ledger.VerifyChain(amendments, ledger.KnownConstitutions(known)) {
			found = append(found, fmt.Sprintf("chain of %s: %v", id, broken))
		}
		if chain[0].Record.EntityType == string(domain.KindSigningKey) {
			continue
		}
		for i, fault := range ring.Judge(chain) {
			if fault != nil {
				found = append(found, fmt.Sprintf("signature %d of %s: %v", i+1, id, fault))
			}
		}
	}
	return found
}

// entries reads all amendments in the order in which the log will take them.
func (c checker) entries(t *testing.T) (list []ledger.Entry, found []string) {
	t.Helper()
	rows, err := c.Query(t.Context(), `SELECT a.entity_id::text, a.record, o.salt, o.state, coalesce(a.signature, s.signature), s.statement,
			coalesce(a.batch_index, 0), a.batch_path
		FROM amendment a LEFT JOIN opening o USING (entity_id, seq) LEFT JOIN signature_batch s ON s.id = a.batch_id
		ORDER BY a.change <> 'introduced', a.recorded_at, a.entity_id, a.seq`)
	require.NoError(t, err)
	var id, record string
	var state, statement *string
	var salt, signature, path []byte
	var index int
	_, err = pgx.ForEachRow(rows, []any{&id, &record, &salt, &state, &signature, &statement, &index, &path}, func() error {
		var opening *ledger.Opening
		if state != nil {
			opening = &ledger.Opening{Salt: [32]byte(salt), State: []byte(*state)}
		}
		var batch *ledger.Batch
		if statement != nil {
			batch = &ledger.Batch{Statement: []byte(*statement), Index: index}
			for step := range slices.Chunk(path, 32) {
				batch.Path = append(batch.Path, ledger.Hash(step))
			}
		}
		a, err := ledger.ReadAmendment([]byte(record), opening, slices.Clone(signature), batch)
		if err != nil {
			found = append(found, fmt.Sprintf("record of %s: %v", id, err))
			return nil
		}
		list = append(list, ledger.Entry{Amendment: a, LogIndex: int64(len(list))})
		return nil
	})
	require.NoError(t, err)
	return list, found
}

// derivedColumns are not members of the state; each is judged by itself.
var derivedColumns = []string{
	"id", "entity_type", "governance_agent_id", "name_key", "created_at", "updated_at", "version", "version_hash", "etag_hash",
	"constitution_hash", "shared", "living",
}

// empty is what a column holds for a member that is absent from the state.
var empty = map[string]string{"tags": "[]", "custom_attributes": "{}", "amendment_alignment": `"aligned"`, "may_sign": "[]"}

// columns compares every row with the newest signed state: member by member, and
// what is derived from name, status and history.
func (c checker) columns(t *testing.T) (found []string) {
	t.Helper()
	rows, err := c.Query(t.Context(), `SELECT e.id::text, o.state, e.name, e.name_key, (to_jsonb(e) || coalesce(to_jsonb(s), to_jsonb(r), to_jsonb(m), to_jsonb(a),
			to_jsonb(i), to_jsonb(k), '{}') || CASE WHEN r.id IS NULL THEN '{}' ELSE jsonb_build_object('required_skills',
			(SELECT jsonb_agg(skill_id ORDER BY skill_id) FROM job_role_skill x WHERE x.job_role_id = r.id)) END)::text,
		(e.created_at, e.updated_at, e.version_hash, e.constitution_hash, e.etag_hash, e.shared, coalesce(a.living, e.deleted_at IS NULL))
			IS NOT DISTINCT FROM (first.recorded_at, newest.recorded_at, newest.hash, newest.constitution,
			(SELECT hash FROM amendment WHERE entity_id = e.id AND change <> 'embedded' ORDER BY seq DESC LIMIT 1), o.shared, e.deleted_at IS NULL)
			AND newest.seq = (SELECT max(seq) FROM amendment WHERE entity_id = e.id)
		FROM entity e
		JOIN opening o ON (o.entity_id, o.seq) = (e.id, e.version)
		JOIN amendment newest ON (newest.entity_id, newest.seq) = (e.id, e.version)
		JOIN amendment first ON (first.entity_id, first.seq) = (e.id, 1)
		LEFT JOIN skill s ON s.id = e.id LEFT JOIN job_role r ON r.id = e.id LEFT JOIN team m ON m.id = e.id
		LEFT JOIN agent a ON a.id = e.id LEFT JOIN industry i ON i.id = e.id LEFT JOIN signing_key k ON k.id = e.id`)
	require.NoError(t, err)
	var id, state, row string
	var name, nameKey *string
	var derived bool
	_, err = pgx.ForEachRow(rows, []any{&id, &state, &name, &nameKey, &row, &derived}, func() error {
		if !derived {
			found = append(found, "head differs from the history: "+id)
		}
		if name != nil && (nameKey == nil || domain.NameKey(*name) != *nameKey) {
			found = append(found, "name_key differs from the name: "+id)
		}
		for _, field := range unlike(t, state, row) {
			found = append(found, fmt.Sprintf("column differs from the signed state: %s of %s", field, id))
		}
		return nil
	})
	require.NoError(t, err)
	return found
}

// unlike names the members in which a row differs from a state.
func unlike(t *testing.T, state, row string) (fields []string) {
	t.Helper()
	var signed, column map[string]any
	require.NoError(t, json.Unmarshal([]byte(state), &signed))
	require.NoError(t, json.Unmarshal([]byte(row), &column))
	for name := range signed {
		if _, there := column[name]; !there {
			fields = append(fields, name)
		}
	}
	for name, value := range column {
		if slices.Contains(derivedColumns, name) {
			continue
		}
		want, there := signed[name]
		if !there && empty[name] != "" {
			require.NoError(t, json.Unmarshal([]byte(empty[name]), &want))
		}
		if !sameJSON(want, value) {
			fields = append(fields, name)
		}
	}
	return fields
}

// sameJSON compares values; a time is the same however it is written.
func sameJSON(a, b any) bool {
	x, errX := json.Marshal(a, json.Deterministic(true))
	y, errY := json.Marshal(b, json.Deterministic(true))
	if errX != nil || errY != nil {
		return false
	}
	at, errAt := time.Parse(time.RFC3339Nano, strings.Trim(string(x), `"`))
	bt, errBt := time.Parse(time.RFC3339Nano, strings.Trim(string(y), `"`))
	return string(x) == string(y) || errAt == nil && errBt == nil && at.Equal(bt)
}

// tampering is something that only a hand in the database can do, and what the
// checks then say.
var tampering = map[string]struct{ sql, finding string }{
	"a column":          {`UPDATE entity SET governance_notes = 'forged' WHERE id = (SELECT id FROM skill LIMIT 1)`, "column differs from the signed state: governance_notes"},
	"a status":          {`UPDATE entity SET status = 'certified' WHERE id = (SELECT e.id FROM entity e JOIN skill USING (id) WHERE e.status = 'draft' LIMIT 1)`, "column differs from the signed state: status"},
	"a kind's column":   {`UPDATE skill SET description = 'forged' WHERE id = (SELECT id FROM skill LIMIT 1)`, "column differs from the signed state: description"},
	"a required skill":  {`DELETE FROM job_role_skill WHERE job_role_id = (SELECT id FROM job_role LIMIT 1)`, "column differs from the signed state: required_skills"},
	"a name's key":      {`UPDATE entity SET name_key = 'forged' WHERE id = (SELECT id FROM skill LIMIT 1)`, "name_key differs from the name"},
	"an owner":          {`UPDATE entity SET created_at = created_at - interval '1 s' WHERE id = (SELECT id FROM skill LIMIT 1)`, "head differs from the history"},
	"a state":           {`UPDATE opening SET state = replace(state, 'Does it.', 'Forged!!') WHERE entity_id = (SELECT id FROM skill LIMIT 1)`, "chain of"},
	"a salt":            {`UPDATE opening SET salt = sha256(salt) WHERE entity_id = (SELECT id FROM skill LIMIT 1)`, "chain of"},
	"a record":          {`UPDATE amendment SET record = replace(record, '"change":"created"', '"change":"evolved"') WHERE entity_id = (SELECT id FROM skill LIMIT 1)`, "chain of"},
	"a signature":       {`UPDATE amendment SET signature = substr(signature, 2) || '\x00' WHERE signature IS NOT NULL`, "signature 1 of"},
	"a deleted opening": {`DELETE FROM opening WHERE entity_id = (SELECT id FROM industry LIMIT 1) AND seq = 1`, "chain of"},
	"a hole":            {`DELETE FROM amendment WHERE seq = 1 AND entity_id = (SELECT id FROM industry LIMIT 1)`, "a history that is not 1 to version"},
	"the log's queue":   {`DELETE FROM log_pending WHERE hash = (SELECT hash FROM log_pending WHERE entity_type = 'skill' LIMIT 1)`, "an amendment that does not wait for the log"},
	"a name twice": {`UPDATE entity SET (name_key, governance_agent_id) = ('same', 'acme') WHERE id IN (SELECT id FROM skill JOIN entity USING (id)
		WHERE deleted_at IS NULL LIMIT 2)`, "two living entities of a name"},
	"an external id twice": {`UPDATE entity SET (external_id, governance_agent_id) = ('same', 'acme') WHERE id IN (SELECT id FROM skill LIMIT 2)`, "an external id twice"},
	"an empty team":        {`UPDATE agent SET team_id = NULL`, "a living team without an agent"},
	"a stranger":           {`UPDATE entity SET governance_agent_id = 'initech' WHERE entity_type = 'team'`, "an agent in another tenant's team"},
	"an own grandparent": {`UPDATE entity e SET parent_id = x.other FROM (SELECT min(id::text)::uuid a, max(id::text)::uuid b FROM skill) p
		CROSS JOIN LATERAL (VALUES (p.a, p.b), (p.b, p.a)) x (id, other) WHERE e.id = x.id`, "its own ancestor"},
	"a parent of another kind": {`UPDATE entity SET parent_id = (SELECT id FROM industry LIMIT 1) WHERE id = (SELECT id FROM skill LIMIT 1)`, "a parent of another kind"},
	"a missing kind's row":     {`DELETE FROM industry WHERE id = (SELECT id FROM industry LIMIT 1)`, "an entity without the row of its kind"},
	"an event of nothing":      {`INSERT INTO outbox (id, type, subject, governance_agent_id, data) VALUES (gen_random_uuid(), 'plant.skill.created', gen_random_uuid(), 'acme', '{}')`, "an event of nothing"},
}

// TestSoakSeesTampering: what the soak's checks would find is found, so that
// their silence says something.
func TestSoakSeesTampering(t *testing.T) {
	t.Parallel()
	s := newSoak(t, 1, 60)
	s.run(t)
	require.Empty(t, s.inDatabase(t, func(c checker) []string { return c.findings(t) }))
	for name, forged := range tampering {
		t.Run(name, func(t *testing.T) {
			found := s.inDatabase(t, func(c checker) []string {
				c.unlock(t)
				tag, err := c.Exec(t.Context(), forged.sql)
				require.NoError(t, err)
				require.Positive(t, tag.RowsAffected())
				return c.findings(t)
			})
			require.True(t, slices.ContainsFunc(found, func(f string) bool { return strings.HasPrefix(f, forged.finding) }), "%q", found)
		})
	}
	t.Run("what was answered", func(t *testing.T) { s.seesFalseAnswers(t) })
}

// seesFalseAnswers: the accounts do not balance when an answer is lost, invented
// or false.
func (s *soak) seesFalseAnswers(t *testing.T) {
	rows, announced := s.rows(t), s.announced(t)
	require.Empty(t, unaccounted(s.writes, rows, announced))
	last := len(s.writes) - 1
	change := func(f func(*written)) []written {
		list := slices.Clone(s.writes)
		f(&list[last])
		return list
	}
	require.NotEmpty(t, unaccounted(s.writes[1:], rows, announced), "nobody was told")
	require.NotEmpty(t, unaccounted(append(s.writes, s.writes[0]), rows, announced), "told twice")
	require.NotEmpty(t, unaccounted(change(func(w *written) { w.version++ }), rows, announced))
	require.NotEmpty(t, unaccounted(change(func(w *written) { w.hash = strings.Repeat("0", 64) }), rows, announced))
	require.NotEmpty(t, unaccounted(change(func(w *written) { w.request = "another" }), rows, announced))
	require.NotEmpty(t, unaccounted(s.writes, rows, nil), "announced to nobody")
	body := s.writes[slices.IndexFunc(s.writes, func(w written) bool { return w.body != nil })].body
	require.Empty(t, differences(body, body))
	for _, member := range []string{`"name":"`, `"version_hash":"`, `"status":"`, `"updated_at":"`} {
		require.NotEmpty(t, differences(body, []byte(strings.Replace(string(body), member, member+"x", 1))), member)
	}
}

// unlock takes away, in this transaction, all that would keep a hand off.
func (c checker) unlock(t *testing.T) {
	t.Helper()
	_, err := c.Exec(t.Context(), `DO $$ DECLARE x record; BEGIN
		FOR x IN SELECT c.oid::regclass AS t FROM pg_class c WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r' LOOP
			EXECUTE format('ALTER TABLE %s DISABLE TRIGGER ALL', x.t);
		END LOOP;
		FOR x IN SELECT conrelid::regclass AS t, conname FROM pg_constraint WHERE connamespace = 'public'::regnamespace AND contype = 'c' LOOP
			EXECUTE format('ALTER TABLE %s DROP CONSTRAINT %I', x.t, x.conname);
		END LOOP;
		ALTER TABLE entity DROP CONSTRAINT entity_external_id_taken;
		DROP INDEX entity_name_taken;
	END $$`)
	require.NoError(t, err)
}
