package domain_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/dlai-sd/plant/shared/domain"
)

const (
	one, other = "1111", "2222" // hashes of constitutions
	again      = "The governor put it in force again."
)

func at(days int) domain.Time { return domain.Time(time.Time(someTime).AddDate(0, 0, days)) }

// standing is a skill of a status, with a certification that ends after ten days.
func standing(t *testing.T, status domain.Status) domain.Entity {
	t.Helper()
	e := aSkill(t)
	e.Governed.Status = status
	if status != domain.Draft {
		e.Governed.GenesisCertification = &domain.Certification{CertificationID: "c", ExpiresAt: at(10)}
	}
	return e
}

// apply makes changes one after another, as the registry does.
func apply(t *testing.T, e domain.Entity, list ...domain.Change) domain.Entity {
	t.Helper()
	for _, c := range list {
		next, err := c.Apply(e)
		require.NoError(t, err)
		e = next.Settled(c.Name())
	}
	return e
}

func short(of string) domain.Change {
	return domain.FallShort{Because: "rules", At: someTime, Constitution: of}
}

// back is what certify says after one was put in force again in place of these.
func back(withdrawn ...string) domain.Change {
	return domain.Reaffirm{Withdrawn: withdrawn, Because: again, At: at(1)}
}

// TestWithdrawnConstitutionsLeaveNothing: what fell short of them alone is what it was,
// but for what is said about it.
func TestWithdrawnConstitutionsLeaveNothing(t *testing.T) {
	t.Parallel()
	for _, status := range []domain.Status{domain.Draft, domain.UnderReview, domain.Certified, domain.Active, domain.Deprecated} {
		e := standing(t, status)
		for name, fallen := range map[string]domain.Entity{
			"once": apply(t, e, short(other)), "of two": apply(t, e, short(one), short(other)),
			"with a new vector": apply(t, e, short(other), domain.Embed{Embedding: domain.Embedding{ModelID: "m"}}),
		} {
			require.Equal(t, other, fallen.Governed.DriftDetector.Constitution, name)
			require.NotEqual(t, domain.Aligned, fallen.Governed.AmendmentAlignment, name)
			if status == domain.Certified || status == domain.Active {
				require.Equal(t, domain.UnderReview, fallen.Governed.Status, name)
				require.Equal(t, status, fallen.Governed.DriftDetector.PriorStatus, name)
			}
			now := apply(t, fallen, back(one, other))
			require.Equal(t, again, now.Governed.StatusReason, name)
			require.Empty(t, now.Governed.DriftDetector.Constitution, name)
			now.Governed.StatusReason, now.Governed.DriftDetector, now.Governed.Embedding = "", nil, nil
			require.Equal(t, e, now, name)
		}
	}
}

// TestWhatAnEnactmentDoesNotRestore: whatever is not marked for what was withdrawn
// alone waits for the governor as before.
func TestWhatAnEnactmentDoesNotRestore(t *testing.T) {
	t.Parallel()
	e := standing(t, domain.Active)
	found := domain.RequireReview{Because: "An audit found tampering.", Tampering: someTime}
	edited := domain.Evolve{Facts: e.Facts, Settable: domain.Settable{Tags: []string{"mended"}}}
	for name, c := range map[string]struct {
		fallen domain.Entity
		change domain.Change
	}{
		"another constitution": {apply(t, e, short(other)), back(one)},
		"no withdrawal":        {apply(t, e, short(other)), back()},
		"passed since":         {apply(t, e, short(other), back()), back(other)},
		"changed since":        {apply(t, e, short(other), edited), back(other)},
		"tampered with":        {apply(t, e, short(other), found), back(other)},
		"drifted before":       {apply(t, e, short(one), back(), short(other)), back(other)},
	} {
		now := apply(t, c.fallen, c.change)
		require.Equal(t, domain.UnderReview, now.Governed.Status, name)
		require.Equal(t, domain.Drifted, now.Governed.AmendmentAlignment, name)
		require.Equal(t, domain.Active, now.Governed.DriftDetector.PriorStatus, name)
		require.Empty(t, now.Governed.DriftDetector.Constitution, "%s: it passed", name)
	}
	// What was to be reviewed for another reason still is, before or behind the mark.
	review := domain.RequireReview{Because: "What it rests on was archived."}
	for _, fallen := range []domain.Entity{apply(t, e, review, short(other)), apply(t, e, short(other), review)} {
		now := apply(t, fallen, back(other))
		require.Equal(t, domain.Active, now.Governed.Status)
		require.Equal(t, domain.RequiresReview, now.Governed.AmendmentAlignment)
	}
	// A certification that ended meanwhile does not stand again.
	late := domain.Reaffirm{Withdrawn: []string{other}, Because: again, At: at(11)}
	now := apply(t, apply(t, e, short(other)), late)
	require.Equal(t, domain.UnderReview, now.Governed.Status)
	require.Equal(t, domain.RequiresReview, now.Governed.AmendmentAlignment, "to be certified again by whoever certifies")
	_, err := late.Apply(standing(t, domain.Archived))
	requireCode(t, domain.CodeGone, err, "")
	for _, status := range []domain.Status{domain.Draft, domain.UnderReview, domain.Deprecated} {
		_, err = domain.Expire{Because: "It ended."}.Apply(standing(t, status))
		requireCode(t, domain.CodeIllegalMove, err, "")
	}
}
