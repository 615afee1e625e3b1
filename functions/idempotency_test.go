package main

import (
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/dlai-sd/plant/shared/domain"
	"github.com/dlai-sd/plant/shared/ledger"
)

func TestIdempotency(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	s := k.serve(t, createSkill, nil)
	who, token := k.author(t, "acme")
	key := map[string]string{"Idempotency-Key": "one key"}
	c := call{method: "POST", path: skills, token: token, body: everything, header: key}
	first := s.do(t, c)
	require.Equal(t, 201, first.status)

	made := as[view](t, first)
	_, err := k.Service(t, 1).Amend(t.Context(), requestOf(who), made.ID, ledger.Hash{}, domain.MoveTo{To: domain.UnderReview})
	require.NoError(t, err)
	second := s.do(t, c)
	require.Equal(t, 201, second.status)
	require.Equal(t, string(first.body), string(second.body), "what was written then, not what is now")
	require.Equal(t, "true", second.header.Get("Idempotency-Replayed"))
	require.Equal(t, first.header.Get("ETag"), second.header.Get("ETag"))
	require.Equal(t, first.header.Get("Location"), second.header.Get("Location"))

	before := k.skillsWritten(t)
	c.body = strings.Replace(everything, "Negotiation", "Other", 1)
	other := s.do(t, c)
	require.Equal(t, 422, other.status)
	require.Equal(t, "idempotency_key_reused", other.problem(t).Code)

	refused := call{method: "POST", path: skills, token: token, body: plain(""), header: map[string]string{"Idempotency-Key": "two"}}
	require.Equal(t, 422, s.do(t, refused).status)
	require.Equal(t, before, k.skillsWritten(t))
	refused.body = plain("Right now")
	require.Equal(t, 201, s.do(t, refused).status, "a refused request leaves its key free")

	_, colleague := k.author(t, "acme")
	c.token, c.body = colleague, plain("Mine")
	require.Equal(t, 201, s.do(t, c).status, "a key is its principal's")
	c.path, c.body = skills+"/batch", `{"items":[`+plain("Ours")+`]}`
	require.Equal(t, 200, s.do(t, c).status, "and its operation's")
}

func TestIdempotencyEightAtOnce(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	s := k.serve(t, createSkill, map[string]string{"DB_POOL": "8"})
	_, token := k.author(t, "acme")
	for path, body := range map[string]string{skills: plain("Once"), skills + "/batch": `{"items":[` + plain("A") + `,` + plain("B") + `]}`} {
		answers := make([]answer, 8)
		var together errgroup.Group
		key := uuid.NewString()
		for i := range answers {
			together.Go(func() error {
				answers[i] = s.do(t, call{method: "POST", path: path, token: token, body: body, header: map[string]string{"Idempotency-Key": key}})
				return nil
			})
		}
		require.NoError(t, together.Wait())
		replays := 0
		for _, a := range answers {
			require.Equal(t, map[string]int{skills: 201, skills + "/batch": 200}[path], a.status, "%s", a.body)
			require.Equal(t, string(answers[0].body), string(a.body))
			if a.header.Get("Idempotency-Replayed") != "" {
				replays++
			}
		}
		require.Equal(t, 7, replays)
	}
	require.Equal(t, 3, k.skillsWritten(t)["entity"])
	require.Len(t, k.messages(), 3)
}
