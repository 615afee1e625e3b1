package main

import (
	"context"
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/dlai-sd/plant/scripts/drill/tamper"
	"github.com/dlai-sd/plant/shared/audit"
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

// tamper changes the database as somebody would who has all of it.
func (k *kit) tamper(t *testing.T, statements ...string) {
	t.Helper()
	k.admin(t, tamper.Disarm)
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

// firstOf are the first attacks of every group, up to so many of each finder; the
// drill makes all of them, in numbers.
func firstOf(attacks []tamper.Attack, many int, takes func(tamper.Attack) bool) (chosen []tamper.Attack) {
	had := map[string]int{}
	for _, a := range attacks {
		if of := a.Group + a.By; had[of] < many && takes(a) {
			had[of]++
			chosen = append(chosen, a)
		}
	}
	return chosen
}

func reasonsFor(a tamper.Attack) (list []string) {
	if a.By == tamper.BySequencer {
		return []string{string(audit.ReasonLogStopped)}
	}
	for _, r := range a.Reasons {
		list = append(list, string(r))
	}
	return list
}

func saysOneOf(findings []foundOf, reasons []string) bool {
	return slices.ContainsFunc(findings, func(f foundOf) bool { return slices.Contains(reasons, f.Reason) })
}

// TestAuditFindsTampering attacks a database by hand, every entity in a way of its own,
// and each is found under the reason it has: by a run over everything, which alarms,
// and by a look at the entity alone. What was not attacked is found in order.
func TestAuditFindsTampering(t *testing.T) {
	t.Parallel()
	w := newSiege(t)
	s := w.at["/api/v1/audit/run"]
	skill := tamper.Victim{Kind: "skill", Owner: "acme", Other: w.own.ids[skills], Version: 3, Direct: []int64{1, 2}, Vector: true}
	attacks := firstOf(tamper.OnEntities(), 3, func(a tamper.Attack) bool { return a.Seals == nil && (a.Fits == nil || a.Fits(skill)) })
	require.Greater(t, len(attacks), 15)
	target := make([]string, len(attacks))
	for i, a := range attacks {
		target[i] = w.victimSkill(t, a.Group+" "+a.Name)
	}
	w.deliver(t, w.at["similar"], "/events/embed", ".created", ".evolved")
	s.sequence(t)
	random := rand.New(rand.NewPCG(1, 2))
	var statements []string
	for i, a := range attacks {
		skill.ID = target[i]
		require.EqualValues(t, skill.Version, w.count(t, "amendment WHERE entity_id = $1", skill.ID))
		statements = append(statements, a.Statements(random, skill)...)
	}
	w.tamper(t, statements...)
	token := w.Token(t, w.PlatformPrincipal(t, "board", domain.Auditor))
	run := w.audit(t, s, token, `{"scope":"all"}`)
	require.NotZero(t, run.Count)
	owner := w.Token(t, w.Principal(t, "acme", domain.Auditor))
	for i, a := range attacks {
		id, name := target[i], a.Group+", "+a.Name
		now := as[tamperingView](t, s.get(t, owner, "/api/v1/audit/tampering/"+id))
		require.True(t, now.Tampered, name)
		require.True(t, saysOneOf(now.Findings, reasonsFor(a)), "%s: %+v", name, now.Findings)
		require.NotZero(t, w.count(t, "audit_finding WHERE run_id = $1 AND entity_id = $2 AND reason = ANY ($3)", run.ID, id, reasonsFor(a)), name)
		require.Equal(t, w.runsThatFound(t, id), w.alarms(id), "%s: one alarm of each run", name)
	}
	found := w.count(t, "(SELECT DISTINCT entity_id FROM audit_finding WHERE run_id = $1 AND entity_id IS NOT NULL) f", run.ID)
	require.Equal(t, len(attacks), found, "and nothing else")
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

// TestAuditFindsTheLogChanged attacks the log, the heads and the keys, each in a
// deployment of its own.
func TestAuditFindsTheLogChanged(t *testing.T) {
	t.Parallel()
	inTheDatabase := func(a tamper.Attack) bool { return !a.Rebuilds && a.Publishes == nil }
	for _, attack := range firstOf(tamper.OnLog(), 2, inTheDatabase) {
		t.Run(attack.Group+", "+attack.Name, func(t *testing.T) {
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
			k.tamper(t, attack.Statements(rand.New(rand.NewPCG(1, 2)), tamper.Victim{Published: int64(k.count(t, "log_entry"))})...)
			run := k.audit(t, s, token, `{"scope":"all"}`)
			require.True(t, saysOneOf(run.Findings, reasonsFor(attack)), "%+v", run.Findings)
		})
	}
}

// TestAStoppedAuditIsResumed: a run whose event is lost goes on after five minutes,
// though not twice at once, and one that moves or is over is left alone.
func TestAStoppedAuditIsResumed(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	s := k.serve(t, auditRun, nil)
	token := k.Token(t, k.PlatformPrincipal(t, "board", domain.Auditor))
	over := k.audit(t, s, token, `{"scope":"all"}`)
	var ids []string
	for range 3 {
		a := s.post(t, token, "/api/v1/audit/run", `{"scope":"all"}`)
		require.Equal(t, 202, a.status, "%s", a.body)
		ids = append(ids, as[auditRunView](t, a).ID)
	}
	moves, stopped, taken := ids[0], ids[1], ids[2]
	stop := func(ids ...string) {
		k.admin(t, `UPDATE audit_run SET updated_at = clock_timestamp() - interval '5 min 1 s' WHERE id::text = ANY ($1)`, ids)
	}
	resumed := func() int {
		a := s.do(t, call{method: "POST", path: "/events/sequence", token: serviceToken(t)})
		require.Equal(t, 200, a.status, "%s", a.body)
		return as[struct {
			Resumed int `json:"runs_asked_for"`
		}](t, a).Resumed
	}
	require.Zero(t, resumed(), "all of them move")
	stop(stopped, taken)
	admin, err := pgx.Connect(t.Context(), k.URL)
	require.NoError(t, err)
	defer func() { _ = admin.Close(context.WithoutCancel(t.Context())) }()
	other, err := admin.Begin(t.Context())
	require.NoError(t, err)
	_, err = other.Exec(t.Context(), `SELECT FROM audit_run WHERE id = $1 FOR UPDATE`, taken)
	require.NoError(t, err)
	require.Equal(t, 1, resumed(), "another has the other one")
	require.NoError(t, other.Rollback(t.Context()))
	require.Equal(t, 1, resumed())
	require.Zero(t, resumed(), "their events are on the way")
	events := map[string]int{}
	for _, m := range k.messages() {
		events[m.Attributes["ce-subject"]]++
	}
	require.Equal(t, map[string]int{over.ID: 1, moves: 1, stopped: 2, taken: 2}, events)
	k.deliver(t, s, "/events/audit", ".continued")
	require.Equal(t, 4, k.count(t, "audit_run WHERE finished_at IS NOT NULL"))
	require.Zero(t, resumed())
	require.Zero(t, k.count(t, "outbox"))
}

// TestAuditFindsEveryGapOfTheLog: a gap hides neither another one, nor a tile that was
// changed behind it, nor what lies a long way off.
func TestAuditFindsEveryGapOfTheLog(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	s := k.serve(t, auditRun, nil)
	k.bulk(t, 600)
	s.sequence(t)
	token := k.Token(t, k.PlatformPrincipal(t, "board", domain.Auditor))
	size := k.count(t, "log_entry")
	k.tamper(t, `DELETE FROM log_entry WHERE log_index IN (3, 4, 9, 300)`,
		`UPDATE log_tile SET data = set_byte(data, 40, get_byte(data, 40) # 1) WHERE level = 0 AND index = 2`,
		`UPDATE log_entry SET hash = '`+forged()+`' WHERE log_index = 10`,
		`INSERT INTO log_entry (log_index, hash, shared) VALUES (1000000, sha256('far'), false)`)
	run := k.audit(t, s, token, `{"scope":"all"}`)
	var missing, tiles []string
	for _, f := range run.Findings {
		switch f.Reason {
		case "log_entry_missing":
			missing = append(missing, f.Expected)
		case "tile_differs":
			tiles = append(tiles, f.Found)
		}
	}
	require.Equal(t, []string{
		"log entries 3 to 4", "log entry 9", "log entry 300", fmt.Sprintf("log entries %d to 10239", size),
		"log entries 10240 to 999935", "log entries 999936 to 999999",
	}, missing)
	require.Subset(t, tiles, []string{"tile 0/0", "tile 0/2"})
	require.NotContains(t, tiles, "tile 0/1", "what is there of it is as it was")
	require.EqualValues(t, size-4+1, run.Entries)
}

// forged is a hash of something that nobody signed.
func forged() string { return fmt.Sprintf(`\x%x`, sha256.Sum256([]byte("forged"))) }
