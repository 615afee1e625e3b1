package main

import (
	"fmt"
	"net/http"
	"testing"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/dlai-sd/plant/shared/domain"
	"github.com/dlai-sd/plant/shared/drift"
	"github.com/dlai-sd/plant/shared/testkit/harness"
)

// TestTamperingUntilTheGovernorDecides goes from a row that was changed by hand to the
// governor's decision: found by an audit, marked once however often it is said, not
// certified until it is decided.
func TestTamperingUntilTheGovernorDecides(t *testing.T) {
	t.Parallel()
	w := newSky(t, 0)
	audit := w.serve(t, auditRun, nil)
	id := w.create(t, skills, plain("Welding")).ID
	other := w.create(t, skills, plain("Other")).ID
	broken := w.create(t, skills, plain("Broken")).ID
	gone := w.create(t, skills, plain("Gone")).ID
	for _, one := range []string{id, other} {
		w.submit(t, skills, one)
		w.must(t, skills, one, yes)
	}
	w.mustChange(t, skills, http.MethodPatch, gone, "", `{"tags":["x"]}`)
	audit.sequence(t)
	w.tamper(t,
		`UPDATE entity SET name = 'Forged', name_key = 'forged', status = 'active' WHERE id = '`+id+`'`,
		`UPDATE opening SET state = replace(state, 'Does it.', 'Did it.') WHERE entity_id = '`+broken+`'`,
		`DELETE FROM opening WHERE entity_id = '`+gone+`' AND seq > 1`, `DELETE FROM amendment WHERE entity_id = '`+gone+`' AND seq > 1`,
		`UPDATE entity e SET (version, version_hash, etag_hash, updated_at) = (SELECT 1, a.hash, a.hash, a.recorded_at FROM amendment a WHERE a.entity_id = e.id) WHERE id = '`+gone+`'`,
		`ALTER TABLE amendment ENABLE TRIGGER USER`, `ALTER TABLE entity ENABLE TRIGGER USER`) // and covers the traces
	auditor := w.Token(t, w.PlatformPrincipal(t, "auditor", domain.Auditor))
	require.NotZero(t, w.audit(t, audit, auditor, allOfIt).Count)
	dead := w.deadTopic(t)
	_, err := broker().GServer.CreateSubscription(t.Context(), &pubsubpb.Subscription{
		Name: "projects/" + harness.Project + "/subscriptions/" + dead, Topic: "projects/" + harness.Project + "/topics/" + dead, AckDeadlineSeconds: 10,
	})
	require.NoError(t, err)
	w.drift = w.serve(t, driftCheck, map[string]string{"PUBSUB_DEAD_LETTER_TOPIC": dead, "PUBSUB_DEAD_LETTER_SUBSCRIPTION": dead})
	for range 2 {
		w.deliver(t, w.drift, "/events/drift", ".tampered")
	}
	require.Empty(t, w.audit(t, audit, auditor, fmt.Sprintf(`{"scope":"entity","id":%q}`, id)).Findings, "the mark is signed onto what was signed, and the row follows")
	now := w.look(t, skills, id)
	require.Equal(t, "requires_review", now.Alignment)
	require.Equal(t, "Welding", now.Name)
	require.Equal(t, "certified", now.Status)
	require.False(t, now.Drift.TamperingFoundAt.IsZero())
	require.Equal(t, 1, w.count(t, "amendment WHERE entity_id = $1 AND change = 'drifted'", id))
	require.Zero(t, w.count(t, "amendment WHERE entity_id = $1 AND change = 'drifted'", other))

	// What ends in a forgery, and what the log knows more of, is not signed onto.
	for _, one := range []string{broken, gone} {
		require.Zero(t, w.count(t, "amendment WHERE entity_id = $1 AND change = 'drifted'", one))
		reasons := ""
		for _, m := range w.messagesOf(dead) {
			if m.Attributes["ce-subject"] == one {
				reasons = m.Attributes["reason"]
			}
		}
		require.Contains(t, reasons, "nothing can be signed onto this chain")
	}
	r := w.run(t, w.guardian, allOfIt)
	require.Equal(t, []string{id}, r.of(drift.ReasonTampered))
	for range 2 { // nothing is taken away by counting
		require.EqualValues(t, len(w.messagesOf(dead)), r.Figures[drift.FigureDead])
		r = w.run(t, w.guardian, allOfIt)
	}

	refused := w.decide(t, w.bearer, skills, id, yes)
	require.Equal(t, http.StatusConflict, refused.status, "%s", refused.body)
	clear := `{"to":"certified","reason":"The row was restored from the record; the account is closed."}`
	author := w.Token(t, w.Principal(t, "acme", domain.Author, domain.Architect, domain.Guardian, domain.Genesis))
	require.Equal(t, http.StatusForbidden, w.moveAs(t, author, id, clear).status)
	governor := w.Token(t, w.PlatformPrincipal(t, "governor", domain.Governor))
	require.Equal(t, http.StatusUnprocessableEntity, w.moveAs(t, governor, id, `{"to":"certified"}`).status, "without a reason")
	require.Equal(t, http.StatusOK, w.moveAs(t, governor, id, clear).status)
	now = w.look(t, skills, id)
	require.Equal(t, "aligned", now.Alignment)
	require.Nil(t, now.Drift)
	require.Equal(t, http.StatusConflict, w.moveAs(t, w.token, id, clear).status, "there is nothing to decide")
	w.deliver(t, w.drift, "/events/drift", ".tampered")
	require.Equal(t, "aligned", w.look(t, skills, id).Alignment, "an old event marks nothing anew")
	w.must(t, skills, id, yes)
}

func (w *sky) moveAs(t *testing.T, token, id, body string) answer {
	t.Helper()
	return w.at[skills].do(t, call{method: "POST", path: skills + "/" + id + "/transitions", token: token, body: body, header: map[string]string{
		"If-Match": w.etag(t, skills, id), "Idempotency-Key": uuid.NewString(),
	}})
}
