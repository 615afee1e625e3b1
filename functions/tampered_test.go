package main

import (
	"fmt"
	"net/http"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/dlai-sd/plant/shared/domain"
)

// TestNothingIsSignedOntoWhatWasChanged: an author whose entity's newest record was
// changed by hand sees it in the entity, and is told so instead of having another
// amendment signed onto it.
func TestNothingIsSignedOntoWhatWasChanged(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	s := k.serve(t, createSkill, nil)
	_, token := k.author(t, "acme")
	a := s.post(t, token, skills+"/batch", `{"items":[`+plain("One")+`,`+plain("Two")+`,`+plain("Three")+`]}`)
	require.Less(t, a.status, 300, "%s", a.body)
	ids := idsOf(t, a)
	direct := string(s.create(t, token, plain("Four")).ID)
	k.tamper(t, `UPDATE amendment SET batch_index = batch_index + 7 WHERE entity_id = '`+ids[0]+`'`,
		`UPDATE amendment SET signature = set_byte(signature, 9, get_byte(signature, 9) # 1) WHERE entity_id = '`+direct+`'`)
	for _, id := range []string{ids[0], direct} {
		got := s.get(t, token, skills+"/"+id)
		now := as[struct {
			TamperProof bool              `json:"tamper_proof"`
			AppendOnly  bool              `json:"append_only"`
			L0          map[string]string `json:"l0_compliance_status"`
		}](t, got)
		require.False(t, now.TamperProof)
		require.False(t, now.AppendOnly)
		require.Equal(t, "fail", now.L0["l0_03"])
		patch := s.do(t, call{method: http.MethodPatch, path: skills + "/" + id, token: token, body: `{"tags":["x"]}`, header: map[string]string{
			"Content-Type": "application/merge-patch+json", "If-Match": got.header.Get("ETag"), "Idempotency-Key": uuid.NewString(),
		}})
		require.Equal(t, http.StatusConflict, patch.status, "%s", patch.body)
		require.Equal(t, string(domain.CodeTampered), patch.problem(t).Code)
		require.Equal(t, 1, k.count(t, "amendment WHERE entity_id = $1", id))
	}
	sound := s.get(t, token, skills+"/"+ids[1])
	require.True(t, as[view](t, sound).TamperProof)
}

// TestWhoseEntityItIs rests on its records: an owner whose part somebody gave to another
// is still shown what was found, and the other one is not.
func TestWhoseEntityItIs(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	s, writer := k.serve(t, auditRun, nil), k.serve(t, createSkill, nil)
	_, token := k.author(t, "acme")
	auditor := func(governanceAgent string) string {
		return k.Token(t, k.Principal(t, governanceAgent, domain.Auditor))
	}
	acme, globex, initech := auditor("acme"), auditor("globex"), auditor("initech")
	board := k.Token(t, k.PlatformPrincipal(t, "board", domain.Auditor))
	logged, row, gone := string(writer.create(t, token, plain("Logged")).ID), string(writer.create(t, token, plain("Row")).ID), string(writer.create(t, token, plain("Gone")).ID)
	s.sequence(t)
	k.tamper(t, `UPDATE log_entry SET governance_agent_id = 'globex' WHERE entity_id = '`+logged+`'`,
		`UPDATE entity SET governance_agent_id = 'globex' WHERE id = '`+row+`'`,
		`DELETE FROM skill WHERE id = '`+gone+`'`, `DELETE FROM opening WHERE entity_id = '`+gone+`'`,
		`DELETE FROM amendment WHERE entity_id = '`+gone+`'`, `DELETE FROM entity WHERE id = '`+gone+`'`)
	for _, id := range []string{logged, row, gone} {
		path := "/api/v1/audit/tampering/" + id
		for _, may := range []string{acme, board} {
			require.True(t, as[tamperingView](t, s.get(t, may, path)).Tampered)
		}
		require.Equal(t, http.StatusNotFound, s.do(t, call{method: "GET", path: path, token: initech}).status)
		order := fmt.Sprintf(`{"scope":"entity","id":%q}`, id)
		require.NotEmpty(t, k.audit(t, s, acme, order).Findings)
		require.Equal(t, http.StatusNotFound, s.post(t, initech, "/api/v1/audit/run", order).status)
	}
	require.Equal(t, http.StatusNotFound, s.do(t, call{method: "GET", path: "/api/v1/audit/tampering/" + logged, token: globex}).status)
}

// TestTheCheckpointIsTheNewestPublished, though the database was restored from before
// it: nobody is told an older truth.
func TestTheCheckpointIsTheNewestPublished(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	s := k.serve(t, auditRun, nil)
	var notes []string
	for range 2 {
		k.bulk(t, 2)
		s.sequence(t)
		notes = append(notes, string(s.get(t, "", "/log/checkpoint").body))
	}
	require.NotEqual(t, notes[0], notes[1])
	size := k.count(t, "log_entry")
	k.tamper(t, `DELETE FROM checkpoint WHERE n = (SELECT max(n) FROM checkpoint)`)
	require.Equal(t, notes[1], string(s.get(t, "", "/log/checkpoint").body))
	require.Len(t, s.get(t, "", fmt.Sprintf("/log/tile/0/000.p/%d", size)).body, 32*size, "what it covers is here too")
	k.tamper(t, fmt.Sprintf(`DELETE FROM log_entry WHERE log_index >= %d`, size-2))
	require.Equal(t, notes[1], string(s.get(t, "", "/log/checkpoint").body))
	require.Equal(t, http.StatusNotFound, s.do(t, call{method: "GET", path: fmt.Sprintf("/log/tile/0/000.p/%d", size)}).status, "what is not here is not shown")
}

// idsOf are the ids of what a batch made.
func idsOf(t *testing.T, a answer) (ids []string) {
	t.Helper()
	type item struct {
		ID string `json:"id"`
	}
	for _, one := range as[struct {
		Items []item `json:"items"`
	}](t, a).Items {
		ids = append(ids, one.ID)
	}
	require.NotEmpty(t, ids)
	return ids
}
