package main

import (
	"cmp"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/dlai-sd/plant/shared/auth"
	"github.com/dlai-sd/plant/shared/domain"
	"github.com/dlai-sd/plant/shared/keys"
	"github.com/dlai-sd/plant/shared/registry"
	"github.com/dlai-sd/plant/shared/testkit/harness"
)

const (
	soakOps     = 500 // `make soak` asks for more
	soakWorkers = 8
)

// TestSoak sends random operations of concurrent callers of two tenants over
// HTTP, and then asks of everything that was answered whether it is still so.
//
//	SOAK_OPS    how many operations (500)
//	SOAK_SEED   repeats what each operation chooses; the interleaving is the machine's
func TestSoak(t *testing.T) {
	t.Parallel()
	ops, seed := number(t, "SOAK_OPS", soakOps), number(t, "SOAK_SEED", rand.Uint64())
	t.Logf("SOAK_OPS=%d SOAK_SEED=%d repeats this run's decisions", ops, seed)
	s := newSoak(t, seed, ops)
	took := s.run(t)
	t.Log(s.table(took))
	s.everythingHappened(t)
	started := time.Now()
	s.accounts(t)
	s.versions(t)
	found := s.inDatabase(t, func(c checker) []string { return c.findings(t) })
	require.Empty(t, found)
	t.Logf("%d amendments of %d entities: answered, accounted for, verified and read again in %.1fs",
		s.count(t, "amendment WHERE entity_type <> 'signing_key'"), s.count(t, "entity WHERE entity_type <> 'signing_key'"),
		time.Since(started).Seconds())
}

// number is a setting of the run.
func number(t *testing.T, name string, otherwise uint64) uint64 {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return otherwise
	}
	n, err := strconv.ParseUint(text, 10, 64)
	require.NoError(t, err, "%s is a whole number", name)
	return n
}

// soak is a deployment with many callers, and what they were told.
type soak struct {
	*platform
	seed, ops uint64
	callers   []caller
	certifier *registry.Service

	mu       sync.Mutex
	entities map[string][]*known // by collection, in the order of their births
	writes   []written           // what was acknowledged
	sent     map[string]sent     // every request, by its id
	counts   map[string]map[int]int
}

// caller is a principal with its token.
type caller struct {
	auth.Principal
	token string
}

// known is what callers remember of an entity; they may be wrong by now.
type known struct {
	id, tenant, collection string
	etag, first            string
	role                   string // of agents and teams
	status, visibility     string
	version                int64
}

// sent is a request and its answer.
type sent struct {
	operation string
	call      call
	answer    answer
}

// written is a version that a request was told it wrote: of one entity with the
// body that was answered, of a batch with the hash alone.
type written struct {
	request, collection, tenant, id, hash string
	version                               int64
	body                                  []byte
	joined                                []string // the agents that came with a team
}

func newSoak(t *testing.T, seed, ops uint64) *soak {
	t.Helper()
	s := &soak{
		platform: newPlatform(t), seed: seed, ops: ops,
		entities: map[string][]*known{}, sent: map[string]sent{}, counts: map[string]map[int]int{},
	}
	for _, tenant := range []string{"acme", "globex"} {
		for _, authorities := range [][]domain.Authority{
			{domain.Author, domain.Architect, domain.Governor}, {domain.Author, domain.Architect}, {domain.Author}, {domain.Auditor},
		} {
			p := s.Principal(t, tenant, authorities...)
			s.callers = append(s.callers, caller{p, s.Token(t, p)})
		}
		p := s.Principal(t, tenant, domain.Genesis)
		s.callers = append(s.callers, caller{p, s.Token(t, p)})
	}
	var err error
	s.certifier, err = registry.New(registry.Config{
		DB:   s.Open(t, "plant_certifier", 2),
		Keys: s.Secrets.Hold(keys.Pinned(s.Keys[domain.UseCertification]), time.Now), Origin: harness.Origin, Log: slog.New(slog.DiscardHandler),
	})
	require.NoError(t, err)
	s.plant(t)
	return s
}

// plant gives each tenant one of every kind to begin with.
func (s *soak) plant(t *testing.T) {
	t.Helper()
	for i, tenant := range []string{"acme", "globex"} {
		st := s.step(t, s.ops+uint64(i))
		st.who = s.callers[slices.IndexFunc(s.callers, func(c caller) bool { return c.GovernanceAgent == tenant })]
		first := func(collection, body, role string) string {
			a := st.write("plant", call{method: "POST", path: collection, body: body}, collection, role)
			require.Equal(t, 201, a.status, "%s", a.body)
			return as[wrote](t, a).ID
		}
		industry, skill := first(industries, `{"name":"First"}`, ""), first(skills, plain("First"), "")
		role := first(jobRoles, fmt.Sprintf(`{"name":"First","required_skills":[%q],"seniority_level":"mid"}`, skill), "")
		agent := first(agents, fmt.Sprintf(`{"name":"First","skill_id":%q,"job_role_id":%q,"industry_id":%q}`, skill, role, industry), role)
		first(teams, fmt.Sprintf(`{"name":"First","job_role_id":%q,"agents":[%q]}`, role, agent), role)
	}
	for kind, list := range s.entities {
		require.Len(t, list, 2, kind)
	}
}

// step is one operation: its own dice, so that it chooses alike whatever the
// others do.
func (s *soak) step(t *testing.T, i uint64) *step {
	st := &step{soak: s, t: t, i: i, r: rand.New(rand.NewPCG(s.seed, i))}
	st.who = s.callers[st.r.IntN(len(s.callers))]
	if !st.who.Holds(domain.Author) && st.one(3) > 0 { // most know that they may not write
		st.who = s.callers[(st.r.IntN(2)*len(s.callers)/2)+st.r.IntN(3)]
	}
	return st
}

func (s *soak) run(t *testing.T) time.Duration {
	t.Helper()
	all := operations()
	weights := 0
	for _, o := range all {
		weights += o.weight
	}
	started := time.Now()
	var group sync.WaitGroup
	for worker := range uint64(soakWorkers) {
		group.Go(func() {
			for i := worker; i < s.ops && !t.Failed(); i += soakWorkers {
				st := s.step(t, i)
				at := st.r.IntN(weights)
				for _, o := range all {
					if at -= o.weight; at < 0 {
						st.name = o.name
						o.do(st)
						break
					}
				}
			}
		})
	}
	group.Wait()
	require.False(t, t.Failed())
	return time.Since(started)
}

// table is what was done and how it was answered.
func (s *soak) table(took time.Duration) string {
	statuses := map[int]bool{}
	requests := 0
	for _, by := range s.counts {
		for status, n := range by {
			statuses[status] = true
			requests += n
		}
	}
	columns := slices.Sorted(maps.Keys(statuses))
	var b strings.Builder
	fmt.Fprintf(&b, "%d operations (%d requests) of %d workers in %.1fs: %.0f requests a second\n%-14s",
		s.ops, requests, soakWorkers, took.Seconds(), float64(requests)/took.Seconds(), "")
	for _, status := range columns {
		fmt.Fprintf(&b, "%7d", status)
	}
	for _, name := range slices.Sorted(maps.Keys(s.counts)) {
		fmt.Fprintf(&b, "\n%-14s", name)
		for _, status := range columns {
			fmt.Fprintf(&b, "%7s", cmp.Or(strconv.Itoa(s.counts[name][status]), ""))
		}
	}
	return b.String()
}

// everythingHappened: a soak that only reads, or is only refused, shows nothing.
func (s *soak) everythingHappened(t *testing.T) {
	t.Helper()
	total := map[int]int{}
	for name, by := range s.counts {
		for status, n := range by {
			total[status] += n
			require.Less(t, status, 504, name)
			require.NotEqual(t, 500, status, name)
		}
	}
	for _, status := range []int{200, 201, 400, 403, 404, 409, 412, 422, 428} {
		require.Positive(t, total[status], "no answer was %d", status)
	}
	if total[200]+total[201] < 3*total[503] {
		require.Fail(t, "most writes were turned away", "%v", total)
	}
}
