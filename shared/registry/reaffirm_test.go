package registry_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/dlai-sd/plant/shared/domain"
	"github.com/dlai-sd/plant/shared/registry"
	"github.com/dlai-sd/plant/shared/testkit/harness"
)

// assize is where what was certified is judged again.
type assize struct {
	kit
	judge *registry.Certifier
	check *registry.Service // the drift check's
}

func newAssize(t *testing.T) assize {
	t.Helper()
	k := newKit(t, 2)
	return assize{k, k.certifier(t, 2, judged()...), k.as(t, "plant_drift", domain.UseAmendment)}
}

func judged() []domain.Kind {
	return []domain.Kind{domain.KindSkill, domain.KindJobRole, domain.KindAgent}
}

// certified makes something and has it certified.
func (a assize) certified(t *testing.T, f domain.Facts) domain.ID {
	t.Helper()
	w, err := a.Create(t.Context(), request(a.who, "x"), f, domain.Settable{})
	require.NoError(t, err)
	a.amend(t, w.Entity.ID, domain.MoveTo{To: domain.UnderReview})
	require.NoError(t, a.judge.Settle(t.Context(), asked(), w.Entity.ID))
	require.Equal(t, domain.Certified, a.status(t, w.Entity.ID))
	return w.Entity.ID
}

func requires(name string, skills ...domain.ID) domain.JobRole {
	return domain.JobRole{Name: name, RequiredSkills: skills, SeniorityLevel: "mid"}
}

// barring is the constitution under which these were certified, but that it wants names
// of another form; without one, that constitution itself.
func barring(t *testing.T, names ...string) domain.Constitution {
	t.Helper()
	return harness.Amended(t, func(c *domain.Constitution) {
		c.Policies.AutomaticCertification = judged()
		for _, pattern := range names {
			c.Rules = append(c.Rules, domain.Rule{
				ID: "L2-NAMED", Kinds: []string{"skill", "job_role", "agent"}, Text: "Names have a form.", Remediation: "Name it so.",
				Check: &domain.Check{Field: "/name", Pattern: pattern},
			})
		}
	})
}

// marks judges entities as the drift check does.
func (a assize) marks(t *testing.T, ids ...domain.ID) {
	t.Helper()
	law, err := a.check.Law(t.Context())
	require.NoError(t, err)
	var list []domain.Entity
	for _, id := range ids {
		list = append(list, a.newest(t, id))
	}
	pass, short := registry.Reconsider(law, list, time.Now())
	require.Empty(t, pass)
	require.NoError(t, a.check.Record(t.Context(), registry.Request{Who: registry.System("drift-check")}, law, short, nil))
	for _, id := range ids {
		require.Equal(t, domain.UnderReview, a.status(t, id))
	}
}

func (a assize) newest(t *testing.T, id domain.ID) domain.Entity {
	t.Helper()
	s, err := a.Newest(t.Context(), a.who, "", id)
	require.NoError(t, err)
	return s.Entity
}

func (a assize) revoke(t *testing.T, id domain.ID) {
	t.Helper()
	_, err := a.judge.Decide(t.Context(), request(a.Principal(t, "acme", domain.Genesis), "x"), registry.Decision{
		ID: id, Verdict: registry.VerdictRevoke, Reasons: []string{"unsafe"},
	})
	require.NoError(t, err)
}

// waits is what the governor has to decide about, though nothing is said against it.
func (a assize) waits(t *testing.T, id domain.ID, name string) {
	t.Helper()
	e := a.newest(t, id)
	require.Equal(t, domain.UnderReview, e.Governed.Status, name)
	require.Equal(t, domain.Drifted, e.Governed.AmendmentAlignment, name)
	require.Equal(t, domain.Certified, e.Governed.DriftDetector.PriorStatus, name)
	require.Empty(t, e.Governed.DriftDetector.Constitution, "%s: it passed", name)
}

// TestNothingIsRestoredOnGroundThatIsGone: an enactment gives back the certifications
// that the one before took, of everything that rests on one another; but not where
// something of that lost its own meanwhile for another reason.
func TestNothingIsRestoredOnGroundThatIsGone(t *testing.T) {
	t.Parallel()
	a := newAssize(t)
	w, err := a.Create(t.Context(), request(a.who, "x"), domain.Industry{Name: "Shipbuilding"}, domain.Settable{})
	require.NoError(t, err)
	industry := w.Entity.ID
	agent := func(name string, skill, role domain.ID) domain.ID {
		return a.certified(t, domain.Agent{Name: name, SkillID: skill, JobRoleID: role, IndustryID: industry})
	}
	sound := a.certified(t, skill("sound 1"))
	odd := a.certified(t, skill("odd"))
	apart := a.certified(t, skill("apart 1")) // required by that role alone
	role := a.certified(t, requires("odd role", sound, odd, apart))
	whole := agent("odd agent", odd, role)

	lost := a.certified(t, skill("lost 1"))
	bare := a.certified(t, requires("bare role", sound, lost))
	bareAgent := agent("bare agent", odd, bare) // its own skill is restored, its role is not

	a.Enact(t, barring(t, "[1-9]$"))
	fallen := []domain.ID{odd, role, whole, bare, bareAgent}
	a.marks(t, fallen...)
	a.revoke(t, lost)
	a.Enact(t, barring(t))
	for _, behind := range []domain.ID{role, ""} { // in whatever order the events come
		require.NoError(t, a.judge.Reaffirm(t.Context(), asked(), behind))
	}
	for _, id := range fallen[:3] {
		require.Equal(t, domain.Certified, a.status(t, id))
		require.Equal(t, domain.Aligned, a.newest(t, id).Governed.AmendmentAlignment)
	}
	require.Equal(t, domain.UnderReview, a.status(t, lost))
	a.waits(t, bare, "a skill that it requires was withdrawn")
	a.waits(t, bareAgent, "so was one that its role requires")
}

// TestNothingIsRestoredOnGroundThatFallsShort of what is in force again, though nobody
// has marked it for that yet.
func TestNothingIsRestoredOnGroundThatFallsShort(t *testing.T) {
	t.Parallel()
	a := newAssize(t)
	ground := a.certified(t, skill("ground"))
	role := a.certified(t, requires("role", ground))
	agreeing := barring(t, "^(role|ground 1)$")
	a.Enact(t, agreeing)
	a.marks(t, ground)
	a.Enact(t, barring(t, "^nothing$"))
	a.marks(t, ground, role)
	a.Enact(t, agreeing)
	require.NoError(t, a.judge.Reaffirm(t.Context(), asked(), ""))
	require.Equal(t, domain.UnderReview, a.status(t, ground))
	a.waits(t, role, "its skill still falls short")
}

// TestNothingIsRestoredWhileItsGroundIsWithdrawn: the look found it certified; the write
// waits, and finds that it is not.
func TestNothingIsRestoredWhileItsGroundIsWithdrawn(t *testing.T) {
	t.Parallel()
	a := newAssize(t)
	ground := a.certified(t, skill("ground 1"))
	role := a.certified(t, requires("role", ground))
	a.Enact(t, barring(t, "[1-9]$"))
	a.marks(t, role)
	a.Enact(t, barring(t))
	conn, err := pgx.Connect(t.Context(), a.URL)
	require.NoError(t, err)
	defer func() { _ = conn.Close(context.WithoutCancel(t.Context())) }()
	other, err := conn.Begin(t.Context())
	require.NoError(t, err)
	_, err = other.Exec(t.Context(), "SET LOCAL session_replication_role = replica")
	require.NoError(t, err)
	_, err = other.Exec(t.Context(), "UPDATE entity SET status = 'under_review', version = version + 1 WHERE id = $1", string(ground))
	require.NoError(t, err)
	done := make(chan error, 1)
	go func() { done <- a.judge.Reaffirm(context.WithoutCancel(t.Context()), asked(), ground) }()
	require.Eventually(t, func() bool {
		return a.count(t, "pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()") > 0
	}, 10*time.Second, 10*time.Millisecond, "the write waits for the withdrawal")
	require.NoError(t, other.Commit(t.Context()))
	<-done
	require.Equal(t, domain.UnderReview, a.status(t, role))
}

// TestWhatIsNewGivesNothingBack: only one that was in force before withdraws what came
// since; under another, which they pass too, the governor decides.
func TestWhatIsNewGivesNothingBack(t *testing.T) {
	t.Parallel()
	a := newAssize(t)
	id := a.certified(t, skill("odd"))
	a.Enact(t, barring(t, "[1-9]$"))
	a.marks(t, id)
	a.Enact(t, barring(t, "^(odd|even)$"))
	require.NoError(t, a.judge.Reaffirm(t.Context(), asked(), ""))
	a.waits(t, id, "it passes, and was certified under what is gone")
}

// TestBrokenCountsAll: more than one part of a replay finds.
func TestBrokenCountsAll(t *testing.T) {
	t.Parallel()
	k := newKit(t, 2)
	var items []registry.Candidate
	for i := range 300 {
		items = append(items, registry.Candidate{Facts: skill(fmt.Sprint("S", i))})
	}
	_, err := k.CreateAll(t.Context(), request(k.who, "many"), domain.KindSkill, items)
	require.NoError(t, err)
	broken, err := k.certifier(t, 1).Broken(t.Context(), barring(t, "^nothing$"))
	require.NoError(t, err)
	require.EqualValues(t, 300, broken)
}

// TestReaffirmedOnceUnderOneConstitution: and by what the certifier finds itself.
func TestReaffirmedOnceUnderOneConstitution(t *testing.T) {
	t.Parallel()
	a := newAssize(t)
	id := a.certified(t, skill("odd"))
	a.Enact(t, barring(t, "[1-9]$"))
	require.NoError(t, a.judge.Reaffirm(t.Context(), asked(), ""))
	require.Zero(t, a.count(t, "amendment WHERE change = 'reaffirmed'"), "who asks is not believed: it does not pass")
	a.marks(t, id)
	a.Enact(t, barring(t))
	for range 2 {
		require.NoError(t, a.judge.Reaffirm(t.Context(), asked(), ""))
	}
	require.Equal(t, 1, a.count(t, "amendment WHERE change = 'reaffirmed'"))
}
