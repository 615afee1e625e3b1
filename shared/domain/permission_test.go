package domain_test

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/dlai-sd/plant/shared/domain"
)

// rowOf is the table's row for a change that does not move.
func rowOf(t *testing.T, change string) domain.Permission {
	t.Helper()
	rows := domain.Permissions()
	i := slices.IndexFunc(rows, func(p domain.Permission) bool { return p.Change == change && p.From == "" })
	require.GreaterOrEqual(t, i, 0, "no row for %s", change)
	return rows[i]
}

// TestNeedsAreTheTable: what each change asks for is what the table says.
func TestNeedsAreTheTable(t *testing.T) {
	t.Parallel()
	for _, c := range []domain.Change{
		domain.Evolve{},
		domain.Assign{},
		domain.RequireReview{},
		domain.Regenerate{},
		domain.FallShort{},
		domain.Expire{},
		domain.Reattest{},
		domain.EndKey{},
		domain.EndKey{Revoked: true},
	} {
		require.Equal(t, rowOf(t, c.Name()).Needs, c.Needs(aSkill(t)), c.Name())
	}
	for _, p := range domain.Permissions() {
		if p.Change != domain.ChangeMoved {
			continue
		}
		e := aSkill(t)
		e.Governed.Status = p.From
		e.Governed.AmendmentAlignment = domain.Drifted
		e.Governed.DriftDetector = &domain.Drift{PriorStatus: p.To}
		if p.From == p.To {
			e.Governed.AmendmentAlignment = domain.RequiresReview
		}
		require.Equal(t, p.Needs, domain.MoveTo{To: p.To}.Needs(e), "%s to %s", p.From, p.To)
	}
}

// TestEveryChangeHasItsRow: a change that nobody thought of who may make it
// cannot be added.
func TestEveryChangeHasItsRow(t *testing.T) {
	t.Parallel()
	moves, rows := 0, map[[3]string]bool{}
	held := map[domain.Authority]bool{}
	var changes []string
	for _, p := range domain.Permissions() {
		id := [3]string{p.Change, string(p.From), string(p.To)}
		require.False(t, rows[id], "two rows for %v", id)
		rows[id] = true
		require.NotEmpty(t, p.Needs, id)
		require.NotEmpty(t, p.Means, id)
		require.Equal(t, p.From == "", p.To == "", id)
		if p.From != "" {
			moves++
		}
		for _, a := range p.Needs {
			held[a] = true
		}
		changes = append(changes, p.Change)
	}
	require.Len(t, domain.Moves(), moves)
	// The constitution's own changes have no way in.
	closed := []string{domain.ChangeProposed, domain.ChangeJudged, domain.ChangeEnacted}
	for _, use := range []domain.KeyUse{domain.UseRoot, domain.UseAmendment, domain.UseCertification} {
		for _, change := range domain.MaySign(use) {
			require.True(t, slices.Contains(changes, change) != slices.Contains(closed, change), change)
		}
	}
	// An auditor changes nothing; every other authority is for something.
	for _, a := range domain.Authorities() {
		require.Equal(t, a != domain.Auditor, held[a], a)
	}
}

func TestAllows(t *testing.T) {
	t.Parallel()
	both := domain.Permission{Needs: []domain.Authority{domain.Author, domain.Architect}}
	require.True(t, both.Allows([]domain.Authority{domain.Architect, domain.Genesis, domain.Author}))
	require.False(t, both.Allows([]domain.Authority{domain.Author}))
	require.False(t, both.Allows(nil))
	require.False(t, domain.Permission{}.Allows(domain.Authorities()), "a row without authorities lets nobody in")
}
