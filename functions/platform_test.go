package main

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/dlai-sd/plant/shared/domain"
)

// TestPlatformAuthority: who holds an authority platform-wide sees what others
// own and changes it as far as that authority goes, and no further. Nobody else
// comes nearer by it.
func TestPlatformAuthority(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	s := k.serve(t, createSkill, nil)
	_, owner := k.author(t, "acme")
	made := s.create(t, owner, plain("Welding"))
	path := skills + "/" + string(made.ID)

	governor := k.PlatformPrincipal(t, "board", domain.Governor)
	token := k.Token(t, governor)
	seen := as[view](t, s.get(t, token, path))
	require.Equal(t, made, seen)
	for _, rest := range []string{"?version=1", "/amendments", "/diff?from=1&to=1", "/dependents"} {
		s.get(t, token, path+rest)
	}
	require.Empty(t, as[page[view]](t, s.get(t, token, skills)).Items, "lists stay one's own and what is shared")

	refused := s.do(t, call{
		method: http.MethodPatch, path: path, token: token, body: `{"name":"Taken over"}`,
		header: map[string]string{"If-Match": fmt.Sprintf("%q", made.VersionHash), "Content-Type": "application/merge-patch+json", "Idempotency-Key": uuid.NewString()},
	})
	require.Equal(t, http.StatusForbidden, refused.status, "writing stays the owner's")

	// An active entity is archived by the governor alone.
	s.do(t, call{method: http.MethodPost, path: path + "/transitions", token: owner, body: `{"to":"under_review"}`, header: map[string]string{"If-Match": fmt.Sprintf("%q", made.VersionHash)}})
	k.decided(t, made.ID, domain.Active)
	etag := s.get(t, owner, path).header.Get("ETag")
	archive := call{method: http.MethodDelete, path: path + "?reason=unsafe", header: map[string]string{"If-Match": etag, "Idempotency-Key": "stop"}}
	archive.token = owner
	require.Equal(t, http.StatusForbidden, s.do(t, archive).status)
	archive.token = token
	done := s.do(t, archive)
	require.Equal(t, http.StatusOK, done.status, "%s", done.body)
	require.True(t, strings.HasPrefix(as[view](t, done).History[3].Author, "board/"+governor.ID))
	again := s.do(t, archive)
	require.Equal(t, "true", again.header.Get("Idempotency-Replayed"))
	require.Equal(t, done.body, again.body)
	require.Equal(t, http.StatusGone, s.do(t, call{method: http.MethodGet, path: path, token: owner}).status)

	other := s.create(t, owner, plain("Riveting"))
	reused := archive
	reused.path = skills + "/" + string(other.ID) + "?reason=unsafe"
	require.Equal(t, http.StatusUnprocessableEntity, s.do(t, reused).status, "one key, two entities")
}

// TestPlatformAuthorityEnds: the token says what was held when it was issued, the
// database what is held now.
func TestPlatformAuthorityEnds(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	s := k.serve(t, createSkill, nil)
	_, owner := k.author(t, "acme")
	made := s.create(t, owner, plain("Welding"))
	path := skills + "/" + string(made.ID)

	own := k.Principal(t, "board", domain.Governor, domain.Auditor)
	forged := own
	forged.Authorities, forged.Platform = nil, []domain.Authority{domain.Governor}
	require.Equal(t, http.StatusNotFound, s.do(t, call{method: http.MethodGet, path: path, token: k.Token(t, own)}).status)
	require.Equal(t, http.StatusNotFound, s.do(t, call{method: http.MethodGet, path: path, token: k.Token(t, forged)}).status)

	auditor := k.PlatformPrincipal(t, "board", domain.Auditor)
	token := k.Token(t, auditor)
	s.get(t, token, path)
	for _, rest := range []string{"", "?reason=x"} {
		a := s.do(t, call{method: http.MethodDelete, path: path + rest, token: token, header: map[string]string{
			"If-Match": fmt.Sprintf("%q", made.VersionHash), "Idempotency-Key": uuid.NewString(),
		}})
		require.Equal(t, http.StatusForbidden, a.status, "an auditor changes nothing")
	}
	k.admin(t, "UPDATE principal SET disabled_at = now() WHERE id = $1", auditor.ID)
	require.Equal(t, http.StatusNotFound, s.do(t, call{method: http.MethodGet, path: path, token: token}).status)
}

func TestSeveralByID(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	s := k.serve(t, createSkill, nil)
	_, token := k.author(t, "acme")
	_, other := k.author(t, "globex")
	one, two := s.create(t, token, plain("One")), s.create(t, token, plain("Two"))
	s.create(t, token, plain("Three"))
	hidden := s.create(t, other, plain("Hidden"))
	absent, err := domain.NewID()
	require.NoError(t, err)
	ids := strings.Join([]string{string(two.ID), string(hidden.ID), string(one.ID), string(absent)}, ",")
	require.Equal(t, []string{"One", "Two"}, names(as[page[view]](t, s.get(t, token, skills+"?ids="+ids)).Items))
	require.Equal(t, []string{"One"}, names(as[page[view]](t, s.get(t, token, skills+"?name_prefix=o&ids="+ids)).Items))
	for _, bad := range []string{"", "x", ids + ",", strings.Repeat(string(one.ID)+",", 100) + string(one.ID)} {
		require.Equal(t, http.StatusBadRequest, s.do(t, call{method: http.MethodGet, path: skills + "?ids=" + bad, token: token}).status, bad)
	}
}
