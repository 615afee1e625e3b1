package main

import (
	"fmt"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestArchivingReachesOthers: what another governance agent built on something that was
// shared is marked when that is archived, once however often the event comes, and by the
// platform; what stands apart is left alone.
func TestArchivingReachesOthers(t *testing.T) {
	t.Parallel()
	b := newBoard(t)
	shared := b.create(t, skills, `{"name":"Welding","description":"Joins metal.","category":"technical","visibility":"public"}`).ID
	b.submit(t, skills, shared)
	b.must(t, skills, shared, yes)
	role := `{"name":%q,"required_skills":[%q],"seniority_level":"mid"}`
	own := b.create(t, jobRoles, fmt.Sprintf(role, "Welder", shared)).ID
	_, theirs := b.author(t, "globex")
	made := func(token, collection, body string) string {
		a := b.at[collection].post(t, token, collection, body)
		require.Equal(t, http.StatusCreated, a.status, "%s", a.body)
		return as[wrote](t, a).ID
	}
	apart := made(theirs, skills, plain("Glueing"))
	rests := made(theirs, jobRoles, fmt.Sprintf(role, "Fitter", shared))
	stands := made(theirs, jobRoles, fmt.Sprintf(role, "Gluer", apart))
	look := func(id string) entity {
		return as[entity](t, b.at[jobRoles].get(t, theirs, jobRoles+"/"+id))
	}
	b.deliver(t, b.certify, "/events/certify", ".moved")
	require.Equal(t, "aligned", look(rests).AmendmentAlignment, "nothing was archived yet")

	a := b.at[skills].do(t, call{method: http.MethodDelete, path: skills + "/" + shared + "?reason=unsafe", token: b.token, header: map[string]string{
		"If-Match": b.etag(t, skills, shared), "Idempotency-Key": "gone",
	}})
	require.Equal(t, http.StatusOK, a.status, "%s", a.body)
	for range 3 {
		b.deliver(t, b.certify, "/events/certify", ".moved")
	}
	marked := look(rests)
	require.Equal(t, "requires_review", marked.AmendmentAlignment)
	require.EqualValues(t, 2, marked.Version)
	require.Equal(t, "drifted", marked.History[1].Change)
	require.Equal(t, 1, b.count(t, "amendment WHERE entity_id = $1 AND author = 'system/certify' AND change = 'drifted'", rests))
	require.EqualValues(t, 1, look(stands).Version)
	mine := as[entity](t, b.get(t, jobRoles, "/"+own))
	require.EqualValues(t, 2, mine.Version, "the archiving marked it")
	require.Equal(t, 1, b.count(t, "amendment WHERE entity_id = $1 AND author = 'system/registry' AND change = 'drifted'", own))
}
