package registry_test

import (
	"context"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/dlai-sd/plant/shared/auth"
	"github.com/dlai-sd/plant/shared/domain"
	"github.com/dlai-sd/plant/shared/registry"
	"github.com/dlai-sd/plant/shared/store"
)

// TestGroundWithdrawnMeanwhile: a skill that somebody is withdrawing while a role on
// it is being certified. The look found it certified; the write waits, and finds it
// is not.
func TestGroundWithdrawnMeanwhile(t *testing.T) {
	t.Parallel()
	k := newKit(t, 2)
	c := k.certifier(t, 2, domain.KindSkill)
	ground := k.submitted(t, "Ground")
	require.NoError(t, c.Settle(t.Context(), asked(), ground))
	w, err := k.Create(t.Context(), request(k.who, "r"), domain.JobRole{Name: "Role", RequiredSkills: []domain.ID{ground}, SeniorityLevel: "mid"}, domain.Settable{})
	require.NoError(t, err)
	role := w.Entity.ID
	k.amend(t, role, domain.MoveTo{To: domain.UnderReview})

	conn, err := pgx.Connect(t.Context(), k.URL)
	require.NoError(t, err)
	defer func() { _ = conn.Close(context.WithoutCancel(t.Context())) }()
	other, err := conn.Begin(t.Context())
	require.NoError(t, err)
	// A withdrawal that is not committed yet: it holds the skill's row.
	_, err = other.Exec(t.Context(), "SET LOCAL session_replication_role = replica")
	require.NoError(t, err)
	_, err = other.Exec(t.Context(), "UPDATE entity SET status = 'under_review', version = version + 1 WHERE id = $1", string(ground))
	require.NoError(t, err)

	genesis := k.Principal(t, "acme", domain.Genesis)
	done := make(chan error, 1)
	go func() {
		_, err := c.Decide(context.WithoutCancel(t.Context()), request(genesis, uuid.NewString()), registry.Decision{ID: role, Verdict: registry.VerdictCertify})
		done <- err
	}()
	require.Eventually(t, func() bool {
		return k.count(t, "pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()") > 0
	}, 10*time.Second, 10*time.Millisecond, "the write waits for the withdrawal")
	require.NoError(t, other.Commit(t.Context()))
	requireCode(t, domain.CodeRuleViolated, <-done)
	require.Equal(t, domain.UnderReview, k.status(t, role))
}

func TestCertificateHolds(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC)
	certificate := func(s domain.Status, expires time.Time) registry.Certificate {
		return registry.Certificate{Entity: domain.Entity{Governed: domain.Governed{
			Status: s, GenesisCertification: &domain.Certification{ExpiresAt: domain.Time(expires)},
		}}}
	}
	for what, c := range map[string]struct {
		c    registry.Certificate
		want bool
	}{
		"certified":       {certificate(domain.Certified, now.Add(time.Second)), true},
		"active for ever": {certificate(domain.Active, time.Time{}), true},
		"deprecated":      {certificate(domain.Deprecated, now.Add(time.Second)), true},
		"over":            {certificate(domain.Active, now), false},
		"under review":    {certificate(domain.UnderReview, now.Add(time.Second)), false},
		"never certified": {registry.Certificate{Entity: domain.Entity{Governed: domain.Governed{Status: domain.Active}}}, false},
	} {
		require.Equal(t, c.want, c.c.Holds(now), what)
	}
}

// TestAuthorityIsAskedAnew: the database says who holds an authority over whom.
func TestAuthorityIsAskedAnew(t *testing.T) {
	t.Parallel()
	k := newKit(t, 1)
	db := k.Open(t, "plant_certifier", 1)
	own, platform := k.Principal(t, "acme", domain.Genesis), k.PlatformPrincipal(t, "board", domain.Genesis)
	for _, c := range []struct {
		who    auth.Principal
		owners []string
		want   error
	}{
		{own, []string{"acme"}, nil},
		{own, []string{"acme", "globex"}, store.ErrPrincipal},
		{own, []string{"globex"}, store.ErrPrincipal},
		{platform, []string{"acme", "globex"}, nil},
		{k.who, []string{"acme"}, store.ErrPrincipal},
	} {
		err := db.Append(t.Context(), store.Write{
			Tenant: c.who.GovernanceAgent, Principal: c.who.ID, Authorities: []store.Authority{{Name: domain.Genesis, Owners: c.owners}},
		})
		require.ErrorIs(t, err, c.want, "%+v", c)
	}
	k.admin(t, "UPDATE principal SET disabled_at = now() WHERE id = '"+platform.ID+"'")
	require.ErrorIs(t, db.Append(t.Context(), store.Write{
		Tenant: "board", Principal: platform.ID, Authorities: []store.Authority{{Name: domain.Genesis, Owners: []string{"acme"}}},
	}), store.ErrPrincipal)
}

// TestWhatIsRefusedAsAWholeIsRefusedEach: who lost the authority between the look and
// the write has tried each of the decisions.
func TestWhatIsRefusedAsAWholeIsRefusedEach(t *testing.T) {
	t.Parallel()
	k := newKit(t, 2)
	c := k.certifier(t, 1)
	var list []registry.Decision
	for _, name := range []string{"One", "Two"} {
		id := k.make(t, name).Entity.ID
		k.amend(t, id, domain.MoveTo{To: domain.UnderReview})
		list = append(list, registry.Decision{ID: id, Kind: domain.KindSkill, Verdict: registry.VerdictCertify})
	}
	genesis := k.Principal(t, "acme", domain.Genesis)
	k.admin(t, "UPDATE principal SET authorities = '{author}' WHERE id = '"+genesis.ID+"'")
	_, err := c.DecideAll(t.Context(), request(genesis, "certify"), list)
	var refused *domain.Error
	require.ErrorAs(t, err, &refused)
	require.Equal(t, domain.CodeForbidden, refused.Code)
	require.Equal(t, 2, k.count(t, "refusal WHERE code = 'forbidden' AND principal_id = '"+genesis.ID+"'"))
	require.Zero(t, k.count(t, "amendment WHERE change = 'certified'"))
}
