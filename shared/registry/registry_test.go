package registry_test

import (
	"crypto/sha256"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/dlai-sd/plant/shared/domain"
	"github.com/dlai-sd/plant/shared/ledger"
	"github.com/dlai-sd/plant/shared/registry"
	"github.com/dlai-sd/plant/shared/store"
)

func TestCreateAndRead(t *testing.T) {
	t.Parallel()
	k := newKit(t, 2)
	w, err := k.Create(t.Context(), request(k.who, "a"), skill("Welding"), domain.Settable{Tags: []string{"b", "a"}})
	require.NoError(t, err)
	got, err := k.Get(t.Context(), k.who, domain.KindSkill, w.Entity.ID)
	require.NoError(t, err)
	require.Equal(t, w.Snapshot, got)
	require.True(t, registry.Compliance(got).Passed(), "%+v", registry.Compliance(got))
}

func TestEvolve(t *testing.T) {
	t.Parallel()
	k := newKit(t, 2)
	born := k.make(t, "Welding")
	etag := ledger.Hash(born.Entity.Head.ETag)
	next := skill("Welding steel")
	next.Category = "domain_expertise"
	w, err := k.Amend(t.Context(), request(k.who, "b"), born.Entity.ID, etag,
		domain.Evolve{Facts: next, Settable: domain.Settable{Tags: []string{"steel"}}})
	require.NoError(t, err)
	require.Equal(t, next, w.Entity.Facts)
	require.Equal(t, []string{"steel"}, w.Entity.Governed.Tags)
	require.EqualValues(t, 2, w.Entity.Head.Version)
	require.Equal(t, w.Entity.Head.Hash, w.Entity.Head.ETag)
	require.NotEqual(t, born.Entity.Head.ETag, w.Entity.Head.ETag)
	require.Equal(t, born.Entity.Head.CreatedAt, w.Entity.Head.CreatedAt)
	require.Equal(t, []int64{2}, w.Breaking, "another category can hurt those who rest on it")
	require.Equal(t, []int64{1, 2}, seqs(w.History))
	require.EqualValues(t, 2, w.Count)
	require.True(t, registry.Compliance(w.Snapshot).Passed())
	require.Equal(t, 1, k.count(t, "skill WHERE category = 'domain_expertise' AND description = 'Does Welding steel.'"))
	require.Equal(t, 1, k.count(t, "entity WHERE name = 'Welding steel' AND name_key = 'welding steel' AND version = 2"))

	kept := k.amend(t, born.Entity.ID, domain.Evolve{Facts: next})
	require.Empty(t, kept.Entity.Governed.Tags)
	require.Equal(t, []int64{2}, kept.Breaking)
	k.make(t, "Welding") // the old name is free
	_, err = k.Amend(t.Context(), request(k.who, "c"), born.Entity.ID, anyVersion, domain.Evolve{Facts: skill("WELDING")})
	requireCode(t, domain.CodeDuplicate, err)
	_, err = k.Amend(t.Context(), request(k.who, "c"), born.Entity.ID, anyVersion, domain.Evolve{Facts: skill(" ")})
	requireCode(t, domain.CodeRuleViolated, err)
	require.Len(t, k.chain(t, born.Entity.ID), 3, "what is refused is not recorded")
}

func TestMoves(t *testing.T) {
	t.Parallel()
	k := newKit(t, 2)
	id := k.make(t, "Welding").Entity.ID
	_, err := k.Amend(t.Context(), request(k.who, "x"), id, anyVersion, domain.MoveTo{To: domain.Active})
	requireCode(t, domain.CodeIllegalMove, err)
	require.Equal(t, domain.UnderReview, k.amend(t, id, domain.MoveTo{To: domain.UnderReview}).Entity.Governed.Status)

	guardian := k.Principal(t, "acme", domain.Guardian)
	_, err = k.Amend(t.Context(), request(guardian, "x"), id, anyVersion, archive())
	requireCode(t, domain.CodeForbidden, err)

	gone := k.amend(t, id, archive())
	require.False(t, gone.Entity.Living())
	require.Equal(t, []int64{3}, gone.Breaking)
	_, err = k.Get(t.Context(), k.who, domain.KindSkill, id)
	requireCode(t, domain.CodeGone, err)
	_, err = k.Amend(t.Context(), request(k.who, "x"), id, anyVersion, domain.Evolve{Facts: skill("Welding")})
	requireCode(t, domain.CodeGone, err)
	_, err = k.Amend(t.Context(), request(k.who, "x"), id, anyVersion, domain.MoveTo{To: domain.Draft})
	requireCode(t, domain.CodeIllegalMove, err)
	require.Len(t, k.chain(t, id), 3, "the history stays")
	k.make(t, "Welding")
}

// TestStale: whoever saw an older version hears what the newest is and what came
// between, and changes nothing.
func TestStale(t *testing.T) {
	t.Parallel()
	k := newKit(t, 2)
	born := k.make(t, "Welding")
	id, seen := born.Entity.ID, ledger.Hash(born.Entity.Head.ETag)
	k.amend(t, id, domain.Evolve{Facts: skill("Welding 2")})
	newest := k.amend(t, id, domain.MoveTo{To: domain.UnderReview})
	_, err := k.Amend(t.Context(), request(k.who, "x"), id, seen, domain.Evolve{Facts: skill("Welding 3")})
	var stale *registry.StaleError
	require.ErrorAs(t, err, &stale)
	require.Equal(t, ledger.Hash(newest.Entity.Head.ETag), stale.Current)
	require.Len(t, stale.Since, 2)
	require.Equal(t, int64(2), stale.Since[0].Seq)
	require.Equal(t, []string{"/description", "/name"}, stale.Since[0].Fields)
	require.Equal(t, int64(3), stale.Since[1].Seq)
	require.Equal(t, []string{"/status"}, stale.Since[1].Fields)
	require.Equal(t, domain.ChangeEvolved, stale.Since[0].Change)
	require.Equal(t, domain.ChangeMoved, stale.Since[1].Change)
	_, err = k.Amend(t.Context(), request(k.who, "x"), id, ledger.Hash{1}, domain.Evolve{Facts: skill("Welding 3")})
	require.ErrorAs(t, err, &stale, "a version that never was is stale too")
	require.Len(t, k.chain(t, id), 3)
}

// TestRepeatedChange: the key of a change renders the version it wrote, whatever
// came after, and is no other request's.
func TestRepeatedChange(t *testing.T) {
	t.Parallel()
	k := newKit(t, 2)
	born := k.make(t, "Welding")
	req := request(k.who, "evolve")
	change := domain.Evolve{Facts: skill("Welding 2")}
	first, err := k.Amend(t.Context(), req, born.Entity.ID, ledger.Hash(born.Entity.Head.ETag), change)
	require.NoError(t, err)
	k.amend(t, born.Entity.ID, domain.MoveTo{To: domain.UnderReview})
	again, err := k.Amend(t.Context(), req, born.Entity.ID, ledger.Hash(born.Entity.Head.ETag), change)
	require.NoError(t, err, "though its If-Match is old by now")
	require.True(t, again.Replayed)
	require.Equal(t, first.Snapshot, again.Snapshot)
	req.BodyHash = sha256.Sum256([]byte("another"))
	_, err = k.Amend(t.Context(), req, born.Entity.ID, anyVersion, change)
	requireCode(t, domain.CodeIdempotencyReused, err)
	require.Len(t, k.chain(t, born.Entity.ID), 3)
}

func TestValidateOnlyChange(t *testing.T) {
	t.Parallel()
	k := newKit(t, 2)
	id := k.make(t, "Welding").Entity.ID
	k.make(t, "Taken")
	try := func(c domain.Change) (registry.Written, error) {
		req := request(k.who, "x")
		req.ValidateOnly = true
		return k.Amend(t.Context(), req, id, anyVersion, c)
	}
	w, err := try(domain.Evolve{Facts: skill("welding")})
	require.NoError(t, err, "its own name is not taken")
	require.True(t, w.Validated)
	require.Equal(t, skill("welding"), w.Entity.Facts)
	_, err = try(domain.Evolve{Facts: skill("taken")})
	requireCode(t, domain.CodeDuplicate, err)
	_, err = try(domain.MoveTo{To: domain.Active})
	requireCode(t, domain.CodeIllegalMove, err)
	_, err = try(domain.Evolve{Facts: skill("x"), Settable: domain.Settable{ParentID: "01890000-0000-7000-8000-000000000000"}})
	requireCode(t, domain.CodeRuleViolated, err)
	require.Len(t, k.chain(t, id), 1)
	require.Equal(t, 2, k.count(t, "idempotency_key"), "the two creates'")
}

// TestReferences: one may rest on what one owns or what is shared, and is told
// alike of what is absent and what is hidden.
func TestReferences(t *testing.T) {
	t.Parallel()
	k := newKit(t, 2)
	globex := k.Principal(t, "globex", domain.Author)
	hidden, err := k.Create(t.Context(), request(globex, "x"), skill("Hidden"), domain.Settable{Visibility: domain.Public})
	require.NoError(t, err)
	mine, child := k.make(t, "Mine").Entity.ID, k.make(t, "Child").Entity.ID
	for _, parent := range []domain.ID{hidden.Entity.ID, "01890000-0000-7000-8000-000000000000"} {
		set := domain.Settable{ParentID: parent}
		_, created := k.Create(t.Context(), request(k.who, "x"), skill("New"), set)
		_, evolved := k.Amend(t.Context(), request(k.who, "x"), child, anyVersion, domain.Evolve{Facts: skill("Child"), Settable: set})
		for _, err := range []error{created, evolved} {
			refusal := requireCode(t, domain.CodeRuleViolated, err)
			require.Equal(t, domain.Founding().Advised([]domain.Violation{domain.UnknownReferenceViolation(domain.Ref{
				Kind: domain.KindSkill, Field: "/parent_id", Rule: domain.RuleParent,
			})}), refusal.Violations)
		}
	}
	w := k.amend(t, child, domain.Evolve{Facts: skill("Child"), Settable: domain.Settable{ParentID: mine}})
	require.Equal(t, mine, w.Entity.Governed.ParentID)
	parent, err := k.Get(t.Context(), k.who, domain.KindSkill, mine)
	require.NoError(t, err)
	require.Equal(t, []domain.ID{child}, parent.Children)
	k.amend(t, mine, domain.MoveTo{To: domain.Archived, Reason: "a child rests on it", At: domain.Time(time.Now())})
	kept := domain.Settable{ParentID: mine}
	k.amend(t, child, domain.Evolve{Facts: skill("Child again"), Settable: kept}) // what was named before is not asked again
	_, err = k.Create(t.Context(), request(k.who, "x"), skill("New"), kept)
	requireCode(t, domain.CodeRuleViolated, err)
}

// TestLongHistory: a read carries the newest hundred, and says how many there are.
func TestLongHistory(t *testing.T) {
	t.Parallel()
	k := newKit(t, 2)
	id := k.make(t, "Welding").Entity.ID
	for i := range store.HistoryShown + 4 {
		k.amend(t, id, domain.Evolve{Facts: skill(fmt.Sprint("Welding ", i))})
	}
	got, err := k.Get(t.Context(), k.who, domain.KindSkill, id)
	require.NoError(t, err)
	require.EqualValues(t, store.HistoryShown+5, got.Count)
	require.Len(t, got.History, store.HistoryShown)
	require.EqualValues(t, 6, got.History[0].Seq)
	require.True(t, registry.Compliance(got).Passed())
	require.Len(t, k.chain(t, id), store.HistoryShown+5)
}

func TestAnotherKindIsNotFound(t *testing.T) {
	t.Parallel()
	k := newKit(t, 1)
	w, err := k.Create(t.Context(), request(k.who, "x"), domain.Industry{Name: "Shipbuilding"}, domain.Settable{})
	require.NoError(t, err)
	k.amend(t, w.Entity.ID, archive())
	_, err = k.Get(t.Context(), k.who, domain.KindSkill, w.Entity.ID)
	requireCode(t, domain.CodeNotFound, err)
	_, err = k.Get(t.Context(), k.who, domain.KindIndustry, w.Entity.ID)
	requireCode(t, domain.CodeGone, err)
}
