package main

import (
	"fmt"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/dlai-sd/plant/shared/domain"
	"github.com/dlai-sd/plant/shared/testkit/harness"
)

const trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"

func TestCreatedIsAnnounced(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	s := k.serve(t, createSkill, nil)
	_, token := k.author(t, "acme")
	a := s.do(t, call{
		method: "POST", path: skills, token: token, body: plain("Welding"),
		header: map[string]string{"X-Request-ID": "request-7", "traceparent": trace},
	})
	require.Equal(t, 201, a.status)
	made := as[view](t, a)

	messages := k.messages()
	require.Len(t, messages, 1)
	attributes := messages[0].Attributes
	id, err := uuid.Parse(attributes["ce-id"])
	require.NoError(t, err)
	require.EqualValues(t, 7, id.Version())
	require.Equal(t, map[string]string{
		"ce-specversion": "1.0", "ce-id": attributes["ce-id"], "ce-type": "plant.skill.created", "type": "plant.skill.created",
		"ce-source": "//" + harness.Origin, "ce-subject": string(made.ID), "ce-time": made.CreatedAt,
		"ce-requestid": "request-7", "traceparent": trace, "content-type": "application/json",
	}, attributes)
	require.JSONEq(t, fmt.Sprintf(`{"entity_id":%q,"entity_type":"skill","governance_agent_id":"acme","seq":1,"hash":%q}`,
		made.ID, made.VersionHash), string(messages[0].Data))
	require.Zero(t, k.count(t, "outbox"), "acknowledged, so it is not kept")
}

// TestUnannouncedIsSentLater: nobody is there to take the event, and the create
// is whole all the same; the sweep sends it when it is due, once.
func TestUnannouncedIsSentLater(t *testing.T) {
	t.Parallel()
	k := &kit{Deployment: harness.New(t), topic: "plant-events-" + uuid.NewString(), checkpoints: t.TempDir()}
	s, sweeper := k.serve(t, createSkill, nil), k.serve(t, auditRun, nil)
	_, token := k.author(t, "acme")
	made := s.create(t, token, plain("Welding")) // the topic is not there yet
	require.Equal(t, 1, k.count(t, "outbox"))
	require.Empty(t, k.messages())
	service := serviceToken(t)
	sweep := func() answer { return sweeper.do(t, call{method: "POST", path: "/events/sequence", token: service}) }

	a := sweep()
	require.JSONEq(t, `{"events_sent":0,"idempotency_keys_deleted":0,"inbox_rows_deleted":0,"runs_asked_for":0,
		"amendments_logged":6,"log_size":7,"checkpoint":1}`, string(a.body))
	require.Equal(t, 1, k.count(t, "outbox"), "it is still its own process's to send")

	due := `UPDATE outbox SET available_at = clock_timestamp()`
	k.admin(t, due)
	failed := sweep()
	require.Equal(t, 503, failed.status, "%s", failed.body)
	require.NotEmpty(t, failed.header.Get("Retry-After"))
	require.Equal(t, 1, k.count(t, "outbox WHERE attempts = 1"))

	const quiet = `{"events_sent":%d,"idempotency_keys_deleted":0,"inbox_rows_deleted":0,"runs_asked_for":0,"amendments_logged":0,"log_size":7,"checkpoint":0}`
	k.createTopic(t)
	k.admin(t, due)
	require.JSONEq(t, fmt.Sprintf(quiet, 1), string(sweep().body))
	require.JSONEq(t, fmt.Sprintf(quiet, 0), string(sweep().body))
	messages := k.messages()
	require.Len(t, messages, 1)
	require.Equal(t, string(made.ID), messages[0].Attributes["ce-subject"])
	require.Equal(t, made.CreatedAt, messages[0].Attributes["ce-time"], "when it happened, not when it was sent")
	require.Zero(t, k.count(t, "outbox"))
}

// TestOneBadRowHoldsUpNobody: what is no event of ours stays and is said; the
// others go.
func TestOneBadRowHoldsUpNobody(t *testing.T) {
	t.Parallel()
	k := &kit{Deployment: harness.New(t), topic: "plant-events-" + uuid.NewString(), checkpoints: t.TempDir()}
	s, sweeper := k.serve(t, createSkill, nil), k.serve(t, auditRun, nil)
	_, token := k.author(t, "acme")
	made := s.create(t, token, plain("Welding")) // the topic is not there yet
	bad, err := uuid.NewV7()
	require.NoError(t, err)
	k.admin(t, `INSERT INTO outbox (id, type, subject, governance_agent_id, data) VALUES ($1, 'plant.skill.created', $2, 'acme', '"garbage"')`, bad.String(), string(made.ID))
	k.admin(t, `UPDATE outbox SET available_at = clock_timestamp() - interval '1 s'`)
	k.createTopic(t)
	a := sweeper.do(t, call{method: "POST", path: "/events/sequence", token: serviceToken(t)})
	require.Equal(t, 503, a.status, "%s", a.body)
	require.Len(t, k.messages(), 1)
	require.Equal(t, 1, k.count(t, "outbox"))
	require.Equal(t, 1, k.count(t, "outbox WHERE id = $1", bad.String()))
}

func TestSweepDeletesOnlyWhatIsOld(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	s, sweeper := k.serve(t, createSkill, nil), k.serve(t, auditRun, nil)
	_, token := k.author(t, "acme")
	for _, name := range []string{"Old", "New"} {
		s.do(t, call{method: "POST", path: skills, token: token, body: plain(name), header: map[string]string{"Idempotency-Key": name}})
		k.admin(t, `INSERT INTO inbox (consumer, ce_id) VALUES ($1, $2)`, name, uuid.NewString())
	}
	k.admin(t, `UPDATE idempotency_key SET created_at = now() - interval '8 days' WHERE key = 'Old'`)
	k.admin(t, `UPDATE inbox SET received_at = now() - interval '8 days' WHERE consumer = 'Old'`)
	a := sweeper.do(t, call{method: "POST", path: "/events/sequence", token: serviceToken(t), body: `not even JSON`})
	require.JSONEq(t, `{"events_sent":0,"idempotency_keys_deleted":1,"inbox_rows_deleted":1,"runs_asked_for":0,
		"amendments_logged":7,"log_size":8,"checkpoint":1}`, string(a.body))
	require.Equal(t, 1, k.count(t, "idempotency_key WHERE key = 'New'"))
	require.Equal(t, 1, k.count(t, "inbox WHERE consumer = 'New'"))
	require.Equal(t, 2, k.count(t, "entity WHERE entity_type = $1", string(domain.KindSkill)))
}
