package registry_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/dlai-sd/plant/shared/auth"
	"github.com/dlai-sd/plant/shared/domain"
	"github.com/dlai-sd/plant/shared/registry"
	"github.com/dlai-sd/plant/shared/store"
)

// certify stands for the decision of another function.
type certify struct{}

func (certify) Name() string                           { return domain.ChangeCertified }
func (certify) Needs(domain.Entity) []domain.Authority { return []domain.Authority{domain.Genesis} }
func (certify) Apply(e domain.Entity) (domain.Entity, error) {
	e.Governed.Status = domain.Certified
	return e, nil
}

// TestShared: what was shared is seen by others in its last shared version while
// its owner changes it, whole as far as they can judge, and is gone for them too
// when it is archived.
func TestShared(t *testing.T) {
	t.Parallel()
	k := newKit(t, 2)
	globex := k.Principal(t, "globex", domain.Author)
	w, err := k.Create(t.Context(), request(k.who, "x"), skill("Welding"), domain.Settable{Visibility: domain.Public})
	require.NoError(t, err)
	id := w.Entity.ID
	k.amend(t, id, domain.MoveTo{To: domain.UnderReview})
	_, err = k.Get(t.Context(), globex, domain.KindSkill, id)
	requireCode(t, domain.CodeNotFound, err)

	genesis := k.Principal(t, "acme", domain.Genesis)
	certifier := k.as(t, "plant_certifier", domain.UseCertification)
	shared, err := certifier.Amend(t.Context(), request(genesis, "x"), id, anyVersion, certify{})
	require.NoError(t, err)
	sees := func() store.Snapshot {
		t.Helper()
		got, err := k.Get(t.Context(), globex, domain.KindSkill, id)
		require.NoError(t, err)
		require.Equal(t, shared.Entity, got.Entity)
		require.Equal(t, []int64{3}, seqs(got.History), "the amendments before it are not shared")
		require.EqualValues(t, 1, got.Count)
		require.True(t, registry.Compliance(got).Passed(), "%+v", registry.Compliance(got))
		return got
	}
	lists := func(who auth.Principal) int {
		t.Helper()
		rows, err := k.List(t.Context(), who, store.Filter{Kind: domain.KindSkill}, store.ByName, nil, 10)
		require.NoError(t, err)
		return len(rows)
	}
	sees()
	require.Equal(t, 1, lists(globex))

	next := skill("Welding")
	next.Description = "Not decided yet."
	under := k.amend(t, id, domain.Evolve{Facts: next, Settable: domain.Settable{Visibility: domain.Public}})
	require.Equal(t, domain.UnderReview, under.Entity.Governed.Status)
	require.True(t, registry.Compliance(under.Snapshot).Passed(), "the owner sees all four")
	sees()
	require.Zero(t, lists(globex), "lists show it again when it is shared again")
	require.Equal(t, 1, lists(k.who))
	_, err = k.Create(t.Context(), request(globex, "x"), skill("Child"), domain.Settable{ParentID: id})
	require.NoError(t, err, "others rest on the last shared version")
	_, err = k.Amend(t.Context(), request(globex, "x"), id, anyVersion, domain.Evolve{Facts: next})
	requireCode(t, domain.CodeForbidden, err)

	again, err := certifier.Amend(t.Context(), request(genesis, "x"), id, anyVersion, certify{})
	require.NoError(t, err)
	got, err := k.Get(t.Context(), globex, domain.KindSkill, id)
	require.NoError(t, err)
	require.Equal(t, again.Entity.Facts, got.Entity.Facts)
	require.Equal(t, []int64{3, 5}, seqs(got.History))
	require.True(t, registry.Compliance(got).Passed(), "what is hidden between is no gap: %+v", registry.Compliance(got))

	k.amend(t, id, archive())
	_, err = k.Get(t.Context(), globex, domain.KindSkill, id)
	requireCode(t, domain.CodeGone, err)
	proofs, err := k.Proofs(t.Context(), globex, domain.KindSkill, id, 0, 10)
	require.NoError(t, err)
	require.Len(t, proofs, 2, "what was shared stays provable")
	verified(t, proofs[0])
}
