package main

import (
	"crypto/sha256"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/dlai-sd/plant/shared/domain"
)

type foundOf struct {
	EntityID string `json:"entity_id"`
	Seq      int64  `json:"seq"`
	Reason   string `json:"reason"`
	Expected string `json:"expected"`
	Found    string `json:"found"`
}

type auditRunView struct {
	ID         string    `json:"id"`
	Status     string    `json:"status"`
	Entries    int64     `json:"entries"`
	Entities   int64     `json:"entities"`
	Amendments int64     `json:"amendments"`
	Count      int64     `json:"findings_count"`
	Findings   []foundOf `json:"findings"`
}

type tamperingView struct {
	Tampered bool      `json:"tampered"`
	Findings []foundOf `json:"findings"`
}

// audit begins a run and carries it to its end, delivering its events as Pub/Sub does.
func (k *kit) audit(t *testing.T, s *server, token, order string) auditRunView {
	t.Helper()
	begun := s.post(t, token, "/api/v1/audit/run", order)
	require.Equal(t, 202, begun.status, "%s", begun.body)
	path := begun.header.Get("Location")
	for range 20 {
		run := as[auditRunView](t, s.get(t, token, path))
		if run.Status == "finished" {
			return run
		}
		k.deliver(t, s, "/events/audit", ".continued")
	}
	require.Fail(t, "the run does not end")
	return auditRunView{}
}

func reasonsOf(findings []foundOf) string {
	var list []string
	for _, f := range findings {
		list = append(list, f.Reason)
	}
	return strings.Join(list, " ")
}

// tamper changes the database as somebody would who has all of it: no trigger fires,
// and no constraint holds that could be dropped.
func (k *kit) tamper(t *testing.T, statements ...string) {
	t.Helper()
	k.admin(t, `DO $$ DECLARE c record; BEGIN
		FOR c IN SELECT conrelid::regclass AS tab, conname FROM pg_constraint WHERE connamespace = 'public'::regnamespace AND contype IN ('c', 'f') ORDER BY contype DESC LOOP
			EXECUTE format('ALTER TABLE %s DROP CONSTRAINT %I CASCADE', c.tab, c.conname);
		END LOOP;
		FOR c IN SELECT DISTINCT tgrelid::regclass AS tab FROM pg_trigger WHERE NOT tgisinternal LOOP
			EXECUTE format('ALTER TABLE %s DISABLE TRIGGER USER', c.tab);
		END LOOP;
	END $$`)
	for _, sql := range statements {
		k.admin(t, sql)
	}
}

// TestAuditFindsNothing: what is as it was signed is so found, whatever happened to it.
func TestAuditFindsNothing(t *testing.T) {
	t.Parallel()
	w := newSiege(t)
	s := w.at["/api/v1/audit/run"]
	token := w.Token(t, w.PlatformPrincipal(t, "board", domain.Auditor))
	w.bulk(t, 600) // more than two chunks, and in batches
	s.sequence(t)
	run := w.audit(t, s, token, `{"scope":"all"}`)
	require.Empty(t, run.Findings)
	require.Zero(t, run.Count)
	require.EqualValues(t, w.count(t, "entity"), run.Entities)
	require.EqualValues(t, w.count(t, "amendment"), run.Amendments)
	require.EqualValues(t, w.count(t, "log_entry"), run.Entries)
	own := w.Token(t, w.Principal(t, "acme", domain.Auditor))
	run = w.audit(t, s, own, `{"scope":"governance_agent","id":"acme"}`)
	require.EqualValues(t, w.count(t, "entity WHERE governance_agent_id = 'acme'"), run.Entities)
	run = w.audit(t, s, own, `{"scope":"kind","id":"agent"}`)
	require.EqualValues(t, 1, run.Entities)
	run = w.audit(t, s, own, fmt.Sprintf(`{"scope":"entity","id":%q}`, w.them.ids[teams]))
	require.EqualValues(t, 1, run.Entities)
	run = w.audit(t, s, own, `{"scope":"governance_agent","id":"acme","since":"2999-01-01T00:00:00Z"}`)
	require.Zero(t, run.Entities)
	for _, id := range w.them.ids {
		require.False(t, as[tamperingView](t, s.get(t, own, "/api/v1/audit/tampering/"+id)).Tampered)
	}
	for body, want := range map[string]int{
		`{"scope":"all"}`: 403,
		`{"scope":"governance_agent","id":"globex"}`:     404,
		`{"scope":"kind","id":"moon"}`:                   400,
		`{"scope":"entity","id":"x"}`:                    400,
		`{"scope":"governance_agent"}`:                   400,
		`{"scope":"kind","id":"skill","since":"monday"}`: 400,
	} {
		require.Equal(t, want, s.post(t, own, "/api/v1/audit/run", body).status, body)
	}
	require.Equal(t, 403, s.post(t, w.token, "/api/v1/audit/run", `{"scope":"kind","id":"skill"}`).status, "no auditor")

	// The clock begins one of its own.
	before := w.count(t, "audit_run WHERE principal_id IS NULL")
	require.Equal(t, http.StatusNoContent, s.do(t, call{method: "POST", path: "/events/audit", token: serviceToken(t)}).status)
	require.Equal(t, before+1, w.count(t, "audit_run WHERE principal_id IS NULL"))
}

// TestAuditFindsTampering attacks a database by hand, every entity in a way of its own,
// and each is found under the reason it has: by a run over everything, which alarms,
// and by a look at the entity alone. What was not attacked is found in order.
func TestAuditFindsTampering(t *testing.T) {
	t.Parallel()
	w := newSiege(t)
	s := w.at["/api/v1/audit/run"]
	attacks := databaseAttacks()
	target := map[string]string{}
	for name, attack := range attacks {
		if target[name] = strings.NewReplacer("{role}", w.them.ids[jobRoles], "{agent}", w.them.ids[agents]).Replace(attack.of); attack.of == "" {
			target[name] = w.victimSkill(t, name)
		}
	}
	w.deliver(t, w.at["similar"], "/events/embed", ".created", ".evolved")
	s.sequence(t)
	var statements []string
	for name, attack := range attacks {
		replace := strings.NewReplacer("{skill}", target[name], "{role}", w.them.ids[jobRoles], "{agent}", w.them.ids[agents], "{mine}", w.own.ids[skills])
		for _, sql := range attack.sql {
			statements = append(statements, replace.Replace(sql))
		}
	}
	w.tamper(t, statements...)
	token := w.Token(t, w.PlatformPrincipal(t, "board", domain.Auditor))
	run := w.audit(t, s, token, `{"scope":"all"}`)
	require.NotZero(t, run.Count)
	owner := w.Token(t, w.Principal(t, "acme", domain.Auditor))
	attacked := map[string]bool{}
	for name, attack := range attacks {
		id := target[name]
		attacked[id] = true
		now := as[tamperingView](t, s.get(t, owner, "/api/v1/audit/tampering/"+id))
		require.True(t, now.Tampered, name)
		require.Contains(t, reasonsOf(now.Findings), attack.reason, "%s: %+v", name, now.Findings)
		if attack.seq > 0 {
			require.Equal(t, attack.seq, now.Findings[0].Seq, name)
		}
		require.NotZero(t, w.count(t, "audit_finding WHERE run_id = $1 AND entity_id = $2 AND reason = $3", run.ID, id, attack.reason), name)
		require.Equal(t, w.runsThatFound(t, id), w.alarms(id), "%s: one alarm of each run", name)
	}
	found := w.count(t, "(SELECT DISTINCT entity_id FROM audit_finding WHERE run_id = $1 AND entity_id IS NOT NULL) f", run.ID)
	require.Equal(t, len(attacked), found, "and nothing else")
	t.Logf("%d ways of changing a database by hand, all found", len(attacks))
}

// victimSkill is a skill of acme with two versions.
func (w *siege) victimSkill(t *testing.T, name string) string {
	t.Helper()
	made := w.at[skills].create(t, w.token, fmt.Sprintf(`{"name":%q,"description":"geheim","category":"technical"}`, "victim of "+name))
	a := w.at[skills].do(t, call{method: "PATCH", path: skills + "/" + string(made.ID), token: w.token, body: `{"governance_notes":"again"}`, header: map[string]string{
		"Content-Type": "application/merge-patch+json", "If-Match": fmt.Sprintf("%q", made.VersionHash), "Idempotency-Key": name,
	}})
	require.Equal(t, 200, a.status, "%s", a.body)
	return string(made.ID)
}

func (k *kit) runsThatFound(t *testing.T, id string) int {
	t.Helper()
	return k.count(t, "(SELECT DISTINCT run_id FROM audit_finding WHERE entity_id = $1) f", id)
}

// alarms counts the events that say that an entity was tampered with.
func (k *kit) alarms(id string) (n int) {
	for _, m := range k.messages() {
		if strings.HasSuffix(m.Attributes["type"], ".tampered") && m.Attributes["ce-subject"] == id {
			n++
		}
	}
	return n
}

// TestAuditFindsTheLogChanged attacks the log and the keys, each in a deployment of its
// own.
func TestAuditFindsTheLogChanged(t *testing.T) {
	t.Parallel()
	for name, attack := range logAttacks() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			k := newKit(t)
			s, writer := k.serve(t, auditRun, nil), k.serve(t, createSkill, nil)
			_, author := k.author(t, "acme")
			for i := range 8 {
				writer.create(t, author, plain(fmt.Sprint("Skill ", i)))
			}
			s.sequence(t)
			token := k.Token(t, k.PlatformPrincipal(t, "board", domain.Auditor))
			require.Empty(t, k.audit(t, s, token, `{"scope":"all"}`).Findings)
			k.tamper(t, attack.sql...)
			run := k.audit(t, s, token, `{"scope":"all"}`)
			require.Contains(t, reasonsOf(run.Findings), attack.reason, "%+v", run.Findings)
		})
	}
}

// databaseAttack is what somebody does to the database by hand, and what is found.
type databaseAttack struct {
	sql    []string
	reason string
	of     string // the entity, if it is another than {skill}
	seq    int64
}

func databaseAttacks() map[string]databaseAttack {
	one := func(reason string, seq int64, sql ...string) databaseAttack {
		return databaseAttack{sql: sql, reason: reason, seq: seq}
	}
	forged := forged()
	const skill = ` WHERE entity_id = '{skill}'`
	return map[string]databaseAttack{
		"a column":                 one("row_differs", 0, `UPDATE entity SET name = 'Forged', name_key = 'forged' WHERE id = '{skill}'`),
		"a column of the kind":     one("row_differs", 0, `UPDATE skill SET category = 'soft_skill' WHERE id = '{skill}'`),
		"a status":                 one("row_differs", 0, `UPDATE entity SET status = 'certified' WHERE id = '{skill}'`),
		"a certification":          one("row_differs", 0, `UPDATE entity SET genesis_certification = '{"certification_id":"x"}' WHERE id = '{skill}'`),
		"an owner":                 one("row_differs", 0, `UPDATE entity SET governance_agent_id = 'globex' WHERE id = '{skill}'`),
		"an ETag":                  one("row_differs", 0, `UPDATE entity SET etag_hash = '`+forged+`' WHERE id = '{skill}'`),
		"a requirement removed":    {sql: []string{`DELETE FROM job_role_skill WHERE job_role_id = '{role}'`}, reason: "row_differs", of: "{role}"},
		"an agent's team":          {sql: []string{`UPDATE agent SET team_id = NULL WHERE id = '{agent}'`}, reason: "row_differs", of: "{agent}"},
		"an agent brought to life": {sql: []string{`UPDATE agent SET living = false WHERE id = '{agent}'`}, reason: "row_differs", of: "{agent}"},
		"a kind's row removed":     one("row_missing", 0, `DELETE FROM search_text`+skill, `DELETE FROM embedding`+skill, `DELETE FROM skill WHERE id = '{skill}'`),
		"a state":                  one("state_hash_mismatch", 1, `UPDATE opening SET state = replace(state, 'geheim', 'offen')`+skill+` AND seq = 1`),
		"a salt":                   one("state_hash_mismatch", 1, `UPDATE opening SET salt = '`+forged+`'`+skill+` AND seq = 1`),
		"an opening removed":       one("opening_missing", 1, `DELETE FROM opening`+skill+` AND seq = 1`),
		"a record":                 one("signature_invalid", 1, `UPDATE amendment SET record = replace(record, '"breaking":false', '"breaking":true')`+skill+` AND seq = 1`),
		"a record that is none":    one("record_malformed", 0, `UPDATE amendment SET record = '{'`+skill+` AND seq = 1`),
		"a record and its hash": one("signature_invalid", 1, `UPDATE amendment SET record = replace(record, '"breaking":false', '"breaking":true')`+skill+` AND seq = 1`,
			`UPDATE amendment SET hash = sha256(convert_to(record, 'UTF8'))`+skill+` AND seq = 1`),
		"a column of an amendment": one("columns_differ", 1, `UPDATE amendment SET author = 'acme/somebody-else'`+skill+` AND seq = 1`),
		"a stored hash":            one("hash_mismatch", 1, `UPDATE amendment SET hash = '`+forged+`'`+skill+` AND seq = 1`),
		"a signature":              one("signature_invalid", 1, `UPDATE amendment SET signature = set_byte(signature, 9, get_byte(signature, 9) # 1)`+skill+` AND seq = 1`),
		"another's signature":      one("signature_invalid", 1, `UPDATE amendment SET signature = (SELECT signature FROM amendment WHERE entity_id = '{mine}' AND seq = 1)`+skill+` AND seq = 1`),
		"a key's name":             one("columns_differ", 0, `UPDATE amendment SET key_id = 'ff'`+skill+` AND seq = 1`),
		"the first amendment gone": one("amendment_missing", 0, `DELETE FROM opening`+skill+` AND seq = 1`, `DELETE FROM amendment`+skill+` AND seq = 1`),
		"the last amendment gone": one("amendment_missing", 0, `DELETE FROM opening`+skill+` AND seq = (SELECT max(seq) FROM amendment`+skill+`)`,
			`DELETE FROM amendment`+skill+` AND seq = (SELECT max(seq) FROM amendment`+skill+`)`),
		"a rewound entity": one("amendment_missing", 0, `DELETE FROM opening`+skill+` AND seq > 1`, `DELETE FROM amendment`+skill+` AND seq > 1`,
			`UPDATE entity e SET (version, version_hash, etag_hash, updated_at) = (SELECT 1, a.hash, a.hash, a.recorded_at FROM amendment a WHERE a.entity_id = e.id) WHERE id = '{skill}'`),
		"its row gone": one("row_missing", 0, `DELETE FROM search_text`+skill, `DELETE FROM embedding`+skill, `DELETE FROM skill WHERE id = '{skill}'`, `DELETE FROM entity WHERE id = '{skill}'`),
		"a whole entity gone": one("history_missing", 0, `DELETE FROM opening`+skill, `DELETE FROM amendment`+skill, `DELETE FROM search_text`+skill,
			`DELETE FROM embedding`+skill, `DELETE FROM skill WHERE id = '{skill}'`, `DELETE FROM entity WHERE id = '{skill}'`),
		"order":                 one("seq_gap", 0, `UPDATE amendment SET seq = -1`+skill+` AND seq = 1`, `UPDATE amendment SET seq = 1`+skill+` AND seq = 2`, `UPDATE amendment SET seq = 2`+skill+` AND seq = -1`),
		"a vector":              one("vector_differs", 0, `UPDATE embedding SET vector = array_fill(0.05, ARRAY[384])::vector`+skill),
		"a vector's hash":       one("vector_differs", 0, `UPDATE embedding SET vector_sha256 = '`+forged+`'`+skill),
		"a vector swapped":      one("vector_differs", 0, `UPDATE embedding SET (vector, vector_sha256) = (SELECT vector, vector_sha256 FROM embedding WHERE entity_id = '{mine}')`+skill),
		"an entry's owner":      one("log_mismatch", 0, `UPDATE log_entry SET governance_agent_id = 'globex'`+skill+` AND seq = 2`),
		"an entry's hash":       one("log_mismatch", 1, `UPDATE log_entry SET hash = '`+forged+`'`+skill+` AND seq = 1`),
		"an entry unnamed":      one("not_logged", 1, `UPDATE log_entry SET entity_id = NULL, seq = NULL, governance_agent_id = NULL, shared = false`+skill+` AND seq = 1`),
		"an unlogged amendment": one("not_logged", 0, `DELETE FROM log_entry`+skill+` AND seq = (SELECT max(seq) FROM amendment`+skill+`)`),
	}
}

// forged is a hash of something that nobody signed.
func forged() string { return fmt.Sprintf(`\x%x`, sha256.Sum256([]byte("forged"))) }

func logAttacks() map[string]databaseAttack {
	ofLog := func(reason string, sql ...string) databaseAttack {
		return databaseAttack{sql: sql, reason: reason}
	}
	forged := forged()
	return map[string]databaseAttack{
		"a log entry":         ofLog("tile_differs", `UPDATE log_entry SET hash = '`+forged+`' WHERE log_index = 3`),
		"a log entry removed": ofLog("log_entry_missing", `DELETE FROM log_entry WHERE log_index = 3`),
		"a tile":              ofLog("log_stopped", `UPDATE log_tile SET data = set_byte(data, 40, get_byte(data, 40) # 1)`),
		"the log's end":       ofLog("log_stopped", `DELETE FROM log_entry WHERE log_index > 9`),
		"checkpoints forgotten and the log's end": ofLog("log_stopped", `DELETE FROM audit_export`, `DELETE FROM checkpoint`, `DELETE FROM log_entry WHERE log_index > 9`),
		"a heads record":       ofLog("heads_differ", `UPDATE heads SET signature = set_byte(signature, 9, get_byte(signature, 9) # 1)`),
		"a tenant's salt":      ofLog("heads_differ", `UPDATE tenant_salt SET salt = '`+forged+`' WHERE governance_agent_id = 'acme'`),
		"a tenant's salt gone": ofLog("heads_differ", `DELETE FROM tenant_salt WHERE governance_agent_id = 'acme'`),
		"a key's state":        ofLog("key_unknown", `UPDATE opening SET state = replace(state, '"use":"amendment"', '"use":"heads"') WHERE entity_id = (SELECT id FROM signing_key WHERE use = 'amendment')`),
		"a key's row and place": ofLog("key_unknown", `UPDATE log_entry SET entity_id = NULL, seq = NULL, governance_agent_id = NULL, shared = false WHERE entity_id = (SELECT id FROM signing_key WHERE use = 'heads')`,
			`DELETE FROM signing_key WHERE use = 'heads'`),
		"a key's row": ofLog("row_differs", `UPDATE signing_key SET may_sign = '{certified}' WHERE use = 'amendment'`),
	}
}
