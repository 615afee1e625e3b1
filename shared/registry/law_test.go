package registry_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/dlai-sd/plant/shared/domain"
	"github.com/dlai-sd/plant/shared/testkit/harness"
)

// tagged wants a tag of every skill.
func tagged(version int) func(*domain.Constitution) {
	one := 1
	return func(c *domain.Constitution) {
		c.Version = version
		c.Rules = append(c.Rules, domain.Rule{
			ID: "L2-SKILL-TAGGED", Kinds: []string{"skill"}, Text: "A skill has a tag.", Remediation: "Give it one.",
			Check: &domain.Check{Field: "/tags", MinItems: &one},
		})
	}
}

// TestWritersFollowTheLaw: a service that holds the one before is refused by the
// database, reads the new one and judges by it; also where only the old one forbids.
func TestWritersFollowTheLaw(t *testing.T) {
	t.Parallel()
	k := newKit(t, 1)
	first := k.make(t, "Welding")
	require.Equal(t, domain.Founding().Sum(), first.Entity.Head.Constitution)
	strict := harness.Amended(t, tagged(2))
	k.Enact(t, strict)

	_, err := k.Create(t.Context(), request(k.who, "x"), skill("Riveting"), domain.Settable{})
	refused := requireCode(t, domain.CodeRuleViolated, err)
	require.Equal(t, []domain.Violation{{
		Rule: "L2-SKILL-TAGGED", Field: "/tags", Message: "fewer than 1 items", Remediation: "Give it one.",
	}}, refused.Violations)
	w, err := k.Create(t.Context(), request(k.who, "x"), skill("Riveting"), domain.Settable{Tags: []string{"metal"}})
	require.NoError(t, err)
	require.Equal(t, strict.Sum(), w.Entity.Head.Constitution)

	k.Enact(t, domain.Founding())
	w, err = k.Create(t.Context(), request(k.who, "x"), skill("Bending"), domain.Settable{})
	require.NoError(t, err, "what only the one before forbade is judged again")
	require.Equal(t, domain.Founding().Sum(), w.Entity.Head.Constitution)
}

// TestABuildThatCannotJudgeWritesNothing under a constitution of a later build.
func TestABuildThatCannotJudgeWritesNothing(t *testing.T) {
	t.Parallel()
	k := newKit(t, 1)
	k.make(t, "Welding")
	k.EnactDocument(t, []byte(`{"name":"Later"}`))
	_, err := k.Create(t.Context(), request(k.who, "x"), skill("Riveting"), domain.Settable{})
	requireCode(t, domain.CodeUnavailable, err)
}

// TestEnactmentUnderWriters: whatever was recorded before an enactment names the old
// constitution, whatever came after it the new one, and every write was done once or
// refused.
func TestEnactmentUnderWriters(t *testing.T) {
	t.Parallel()
	k := newKit(t, 4)
	laws := []domain.Constitution{domain.Founding()}
	var done atomic.Bool
	var written, refused atomic.Int64
	var all sync.WaitGroup
	for n := range 4 {
		all.Go(func() {
			for i := 0; !done.Load(); i++ {
				_, err := k.Create(context.WithoutCancel(t.Context()), request(k.who, "x"), skill(fmt.Sprint("S", n, "-", i)), domain.Settable{Tags: []string{"t"}})
				var e *domain.Error
				switch {
				case err == nil:
					written.Add(1)
				case errors.As(err, &e) && e.Code == domain.CodeUnavailable:
					refused.Add(1)
				default:
					t.Errorf("create: %v", err)
				}
			}
		})
	}
	for version := 2; version <= 6; version++ {
		c := harness.Amended(t, tagged(version))
		before := written.Load()
		for written.Load() < before+5 {
		}
		k.Enact(t, c)
		laws = append(laws, c)
	}
	done.Store(true)
	all.Wait()
	var skills int64
	for i, c := range laws {
		sum := c.Sum()
		of := fmt.Sprintf(`= '\x%x'::bytea`, sum)
		skills += int64(k.count(t, "amendment WHERE entity_type = 'skill' AND constitution "+of))
		require.Equal(t, 1, k.count(t, fmt.Sprintf("enactment WHERE n = %d AND sha256 %s", i, of)))
		if i > 0 { // the clock of the database and of the writers is one here
			require.Zero(t, k.count(t, fmt.Sprintf(`amendment a WHERE entity_type = 'skill' AND constitution %s
				AND recorded_at < (SELECT enacted_at FROM enactment WHERE n = %d) - interval '1 s'`, of, i)), "none before its time")
		}
	}
	require.Equal(t, written.Load(), skills, "none lost, none twice, each under one of them")
	t.Logf("%d written, %d refused", written.Load(), refused.Load())
}
