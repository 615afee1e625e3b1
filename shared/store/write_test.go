package store

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/dlai-sd/plant/shared/domain"
)

// TestTargets: what many references name is asked for once, and an id of two
// kinds is two questions.
func TestTargets(t *testing.T) {
	t.Parallel()
	ids, kinds := targets([]domain.Ref{
		{Kind: domain.KindSkill, ID: "a", Field: "/required_skills/0"},
		{Kind: domain.KindSkill, ID: "b"},
		{Kind: domain.KindSkill, ID: "a", Field: "/required_skills/1"},
		{Kind: domain.KindIndustry, ID: "a"},
	})
	require.Equal(t, []string{"a", "b", "a"}, ids)
	require.Equal(t, []string{"skill", "skill", "industry"}, kinds)
	ids, kinds = targets(nil)
	require.Empty(t, ids)
	require.Empty(t, kinds)
}
