package registry_test

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/dlai-sd/plant/shared/domain"
	"github.com/dlai-sd/plant/shared/keys"
	"github.com/dlai-sd/plant/shared/ledger"
	"github.com/dlai-sd/plant/shared/registry"
	"github.com/dlai-sd/plant/shared/store"
	"github.com/dlai-sd/plant/shared/testkit/harness"
)

func (k kit) certifier(t *testing.T, pool int, automatic ...domain.Kind) *registry.Certifier {
	t.Helper()
	require.Empty(t, domain.Founding().Policies.AutomaticCertification, "no founding policy leaves a decision to the system")
	if len(automatic) > 0 {
		k.Enact(t, harness.Amended(t, func(c *domain.Constitution) { c.Policies.AutomaticCertification = automatic }))
	}
	c, err := registry.NewCertifier(registry.Config{
		DB: k.Open(t, "plant_certifier", pool), Keys: k.Secrets.Hold(keys.Pinned(k.Keys[domain.UseCertification]), time.Now),
		Origin: harness.Origin, Log: slog.New(slog.DiscardHandler),
	})
	require.NoError(t, err)
	return c
}

func asked() registry.Request {
	return registry.Request{Who: registry.System("certify"), Receipt: &store.Receipt{Consumer: "certify", EventID: uuid.Must(uuid.NewV7()).String()}}
}

// submitted makes a skill that waits for its certification.
func (k kit) submitted(t *testing.T, name string) domain.ID {
	t.Helper()
	id := k.make(t, name).Entity.ID
	k.amend(t, id, domain.MoveTo{To: domain.UnderReview})
	return id
}

func (k kit) status(t *testing.T, id domain.ID) domain.Status {
	t.Helper()
	s, err := k.Newest(t.Context(), k.who, "", id)
	require.NoError(t, err)
	return s.Entity.Governed.Status
}

// TestPolicyDecides: only where the policy says so, each event once, and never
// against what a person decided.
func TestPolicyDecides(t *testing.T) {
	t.Parallel()
	k := newKit(t, 2)
	id := k.submitted(t, "Welding")
	nobody := k.certifier(t, 1)
	require.NoError(t, nobody.Settle(t.Context(), asked(), id))
	require.Equal(t, domain.UnderReview, k.status(t, id))
	skills := k.certifier(t, 4, domain.KindSkill)

	req := asked()
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			err := skills.Settle(context.WithoutCancel(t.Context()), req, id)
			if err != nil {
				t.Errorf("settle: %v", err)
			}
		})
	}
	all.Wait()
	require.Equal(t, domain.Certified, k.status(t, id))
	require.Equal(t, 1, k.count(t, "amendment WHERE change = 'certified'"))
	require.Equal(t, 1, k.count(t, "inbox WHERE ce_id = '"+req.Receipt.EventID+"'"))
	chain := k.chain(t, id)
	require.Equal(t, "system/certify", chain[len(chain)-1].Record.Author)

	// What a person withdrew, the system leaves alone.
	genesis := k.Principal(t, "acme", domain.Genesis)
	_, err := skills.Decide(t.Context(), request(genesis, "x"), registry.Decision{ID: id, Verdict: registry.VerdictRevoke, Reasons: []string{"unsafe"}})
	require.NoError(t, err)
	require.NoError(t, skills.Settle(t.Context(), asked(), id))
	require.Equal(t, domain.UnderReview, k.status(t, id))

	// What its author can mend goes back to it with the points; what looks like
	// tampering waits for a person.
	sly := k.make(t, "Sl\u200by").Entity.ID
	k.amend(t, sly, domain.MoveTo{To: domain.UnderReview})
	once := asked()
	require.NoError(t, skills.Settle(t.Context(), once, sly))
	require.Equal(t, 1, k.count(t, "inbox WHERE ce_id = '"+once.Receipt.EventID+"'"), "the receipt came with the decision")
	now, err := k.Newest(t.Context(), k.who, "", sly)
	require.NoError(t, err)
	require.Equal(t, domain.Draft, now.Entity.Governed.Status)
	require.Contains(t, now.Entity.Governed.StatusReason, "ID-06")
	require.NoError(t, skills.Settle(t.Context(), asked(), sly))
	require.Equal(t, now.Entity.Head.Version, must(k.Newest(t.Context(), k.who, "", sly)).Entity.Head.Version)

	altered := k.submitted(t, "Altered")
	k.admin(t, "ALTER TABLE skill DISABLE TRIGGER ALL", "UPDATE skill SET category = 'soft_skill' WHERE id = '"+string(altered)+"'")
	require.NoError(t, skills.Settle(t.Context(), asked(), altered))
	require.Equal(t, domain.UnderReview, k.status(t, altered))
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// TestDecisionsSurviveEverything: events come twice and more, in any order, and
// whoever handles them is cut off at any moment; in the end each is certified
// once, and everything that rested on what was withdrawn waits again.
func TestDecisionsSurviveEverything(t *testing.T) {
	t.Parallel()
	k := newKit(t, 2)
	c := k.certifier(t, 6, domain.KindSkill, domain.KindJobRole)
	type job struct {
		id     domain.ID
		req    registry.Request
		spread bool
	}
	var jobs []job
	var ids []domain.ID
	for i := range 8 {
		id := k.submitted(t, fmt.Sprintf("Skill %d", i))
		ids = append(ids, id)
		jobs = append(jobs, job{id: id, req: asked()})
	}
	run := func(jobs []job) {
		var all sync.WaitGroup
		for range 3 {
			order := rand.Perm(len(jobs))
			all.Go(func() {
				for _, i := range order {
					j := jobs[i]
					for tries := 0; ; tries++ {
						ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), time.Duration(1+tries*5)*time.Millisecond*time.Duration(1+rand.IntN(4)))
						work := c.Settle
						if j.spread { // one event, one piece of work: both have the receipt
							work = c.Spread
						}
						err := work(ctx, j.req, j.id)
						cancel()
						if err == nil {
							break
						}
					}
				}
			})
		}
		all.Wait()
	}
	run(jobs)
	require.Equal(t, 8, k.count(t, "amendment WHERE change = 'certified'"))
	require.Equal(t, 8, k.count(t, "inbox WHERE consumer = 'certify'"))
	require.Equal(t, 8, k.count(t, "outbox WHERE type = 'plant.skill.certified'"))
	for _, id := range ids {
		require.Equal(t, domain.Certified, k.status(t, id))
		k.chain(t, id)
	}

	// Roles on skill 0: the withdrawal reaches those that are certified while it is
	// made, through its event.
	var roles []job
	for i := range 6 {
		w, err := k.Create(t.Context(), request(k.who, "r"), domain.JobRole{
			Name: fmt.Sprintf("Role %d", i), RequiredSkills: []domain.ID{ids[0]}, SeniorityLevel: "mid",
		}, domain.Settable{})
		require.NoError(t, err)
		k.amend(t, w.Entity.ID, domain.MoveTo{To: domain.UnderReview})
		roles = append(roles, job{id: w.Entity.ID, req: asked()})
	}
	genesis := k.Principal(t, "acme", domain.Genesis)
	var both sync.WaitGroup
	both.Go(func() { run(roles) })
	both.Go(func() {
		for {
			_, err := c.Decide(context.WithoutCancel(t.Context()), request(genesis, "x"), registry.Decision{ID: ids[0], Verdict: registry.VerdictRevoke, Reasons: []string{"unsafe"}})
			if err == nil {
				return
			}
		}
	})
	both.Wait()
	run([]job{{id: ids[0], req: asked(), spread: true}})
	require.Zero(t, k.count(t, "entity WHERE entity_type = 'job_role' AND status = 'certified'"), "none rests on a withdrawn skill")
	require.Equal(t, domain.UnderReview, k.status(t, ids[0]))
}

// TestWithdrawalReachesAll: more rest on it than one signature covers.
func TestWithdrawalReachesAll(t *testing.T) {
	t.Parallel()
	k := newKit(t, 2)
	c := k.certifier(t, 2, domain.KindSkill)
	ground := k.submitted(t, "Ground")
	require.NoError(t, c.Settle(t.Context(), asked(), ground))
	many := 2*ledger.MaxBatch + 8
	for from := 0; from < many; from += 260 {
		var items []registry.Candidate
		for i := from; i < min(from+260, many); i++ {
			items = append(items, registry.Candidate{Facts: domain.JobRole{Name: fmt.Sprint("R", i), RequiredSkills: []domain.ID{ground}, SeniorityLevel: "mid"}})
		}
		made, err := k.CreateAll(t.Context(), request(k.who, "many"), domain.KindJobRole, items)
		require.NoError(t, err)
		k.certifyAll(t, made)
	}
	genesis := k.Principal(t, "acme", domain.Genesis)
	dry := request(genesis, "x")
	dry.ValidateOnly = true
	revoke := registry.Decision{ID: ground, Verdict: registry.VerdictRevoke, Reasons: []string{"unsafe"}}
	would, err := c.Decide(t.Context(), dry, revoke)
	require.NoError(t, err)
	require.True(t, would.Outcomes[0].Affected.More)
	require.Equal(t, ledger.MaxBatch-1, would.Outcomes[0].Affected.Total)
	_, err = c.Decide(t.Context(), request(genesis, "y"), revoke)
	require.NoError(t, err)
	require.Equal(t, many-ledger.MaxBatch+1, k.count(t, "entity WHERE entity_type = 'job_role' AND status = 'certified'"))
	require.NoError(t, c.Spread(t.Context(), asked(), ground))
	require.Zero(t, k.count(t, "entity WHERE entity_type = 'job_role' AND status = 'certified'"))
	require.NoError(t, c.Spread(t.Context(), asked(), ground), "nothing is left to do")
}

// certified stands for a decision, without the checklist: hundreds of those are another
// test's.
type certified struct{}

func (certified) Name() string                           { return domain.ChangeCertified }
func (certified) Needs(domain.Entity) []domain.Authority { return []domain.Authority{domain.Genesis} }

func (certified) Apply(e domain.Entity) (domain.Entity, error) {
	e.Governed.Status = domain.Certified
	return e, nil
}

// certifyAll certifies what was just made, under one signature.
func (k kit) certifyAll(t *testing.T, made registry.Bulk) {
	t.Helper()
	var ids []domain.ID
	for _, o := range made.Outcomes {
		ids = append(ids, o.ID)
	}
	heads, err := k.Open(t, "plant_certifier", 1).Heads(t.Context(), "acme", ids)
	require.NoError(t, err)
	var list []registry.Found
	for _, e := range heads {
		list = append(list, registry.Found{Entity: e, Change: certified{}})
	}
	certifier, by := k.as(t, "plant_certifier", domain.UseCertification), registry.Request{Who: registry.System("certify")}
	law, err := certifier.Law(t.Context())
	require.NoError(t, err)
	require.NoError(t, certifier.Record(t.Context(), by, law, list, nil))
}
