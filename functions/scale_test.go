package main

import (
	"cmp"
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/dlai-sd/plant/shared/domain"
	"github.com/dlai-sd/plant/shared/embedding"
	"github.com/dlai-sd/plant/shared/registry"
	"github.com/dlai-sd/plant/shared/store"
)

// crowd is a database of many tenants' skills with drawn vectors, and what an exact
// search would find in it.
type crowd struct {
	*kit
	writer  *registry.Service
	db      *store.DB // as embed has it
	draw    *rand.Rand
	centres [][]float32
	vectors map[string]map[domain.ID][]float32 // by tenant
	shared  map[domain.ID]bool
}

// TestSearchAtScale: whatever share of the rows a tenant owns, it finds what an
// exact search of all it may see would find, and never fewer hits than there are.
// SEARCH_ROWS=100000 is the full count; the plans are printed then.
func TestSearchAtScale(t *testing.T) {
	rows, full := 2000, false
	if text := os.Getenv("SEARCH_ROWS"); text != "" {
		n, err := strconv.Atoi(text)
		require.NoError(t, err)
		rows, full = n, true
	} else {
		t.Parallel()
	}
	c := newCrowd(t)
	c.add(t, "most", rows*8889/10_000)
	c.share(t, "most", min(rows/20, 1000))
	c.admin(t, "VACUUM ANALYZE")
	c.measure(t, "most", "100 %", full)
	c.add(t, "tenth", rows/10)
	c.add(t, "hundredth", rows/100)
	c.add(t, "thousandth", max(rows/1000, 3))
	c.admin(t, "VACUUM ANALYZE")
	c.measure(t, "tenth", "10 %", full)
	c.measure(t, "hundredth", "1 %", full)
	c.measure(t, "thousandth", "0.1 %", full)
	c.measure(t, "nobody", "nothing", full)
}

func newCrowd(t *testing.T) *crowd {
	t.Helper()
	k := newKit(t)
	db, err := store.Open(t.Context(), store.Config{URL: k.As("plant_embedder"), Pool: 1, Function: "test", CrossTenant: true})
	require.NoError(t, err)
	t.Cleanup(db.Close)
	c := &crowd{
		kit: k, writer: k.Service(t, 2), db: db, draw: rand.New(rand.NewPCG(1, 2)), // #nosec -- no secrets
		vectors: map[string]map[domain.ID][]float32{}, shared: map[domain.ID]bool{},
	}
	for range 200 {
		c.centres = append(c.centres, c.near(make([]float32, embedding.Dimensions), 1))
	}
	return c
}

// near is a point around another one.
func (c *crowd) near(v []float32, spread float64) []float32 {
	w := make([]float32, len(v))
	for i := range v {
		w[i] = v[i] + float32(c.draw.NormFloat64()*spread/20)
	}
	return w
}

func (c *crowd) point() []float32 { return c.near(c.centres[c.draw.IntN(len(c.centres))], 0.7) }

// add creates skills of a tenant, and gives them vectors.
func (c *crowd) add(t *testing.T, tenant string, n int) {
	t.Helper()
	who := c.Principal(t, tenant, domain.Author)
	own := map[domain.ID][]float32{}
	for len(own) < n {
		var items []registry.Candidate
		for i := range min(500, n-len(own)) {
			items = append(items, registry.Candidate{
				Facts:    domain.Skill{Name: fmt.Sprintf("%s %d", tenant, len(own)+i), Description: "Drawn.", Category: "technical"},
				Settable: domain.Settable{Visibility: domain.Public},
			})
		}
		b, err := c.writer.CreateAll(t.Context(), registry.Request{Who: who, Route: "scale", Key: uuid.NewString()}, domain.KindSkill, items)
		require.NoError(t, err)
		var vectors []store.Vector
		for _, o := range b.Outcomes {
			v := store.Vector{EntityID: o.ID, Kind: domain.KindSkill, ModelID: embedding.EntityModelID, Text: "Drawn.", Values: c.point()}
			v.TextSHA256, v.VectorSHA256 = sha256.Sum256([]byte(v.Text)), embedding.VectorHash(v.Values)
			own[o.ID] = v.Values
			vectors = append(vectors, v)
		}
		require.NoError(t, c.db.PrepareVectors(t.Context(), vectors))
		if len(own)%5000 == 500 { // as autovacuum would, which test servers do without: plans made for an empty table go
			c.admin(t, "ANALYZE")
		}
	}
	c.vectors[tenant] = own
}

// share certifies some of a tenant's skills, which are public.
func (c *crowd) share(t *testing.T, tenant string, n int) {
	t.Helper()
	decide := c.certifier(t)
	for id := range c.vectors[tenant] {
		if len(c.shared) == n {
			return
		}
		decide(t, id, domain.Certified)
		c.shared[id] = true
	}
}

// exact is what a tenant would find if every vector were compared.
func (c *crowd) exact(tenant string, query []float32, n int) []domain.ID {
	type scored struct {
		id    domain.ID
		score float64
	}
	var all []scored
	for owner, vectors := range c.vectors {
		for id, v := range vectors {
			if owner != tenant && !c.shared[id] {
				continue
			}
			s := scored{id: id}
			for i := range v {
				s.score += float64(v[i]) * float64(query[i])
			}
			all = append(all, s)
		}
	}
	slices.SortFunc(all, func(a, b scored) int { return cmp.Compare(b.score, a.score) })
	var ids []domain.ID
	for _, s := range all[:min(n, len(all))] {
		ids = append(ids, s.id)
	}
	return ids
}

func (c *crowd) measure(t *testing.T, tenant, owns string, full bool) {
	t.Helper()
	const queries, hits = 100, 10
	found, wanted := 0, 0
	var times []time.Duration
	search := store.Search{ModelID: embedding.EntityModelID, Kind: domain.KindSkill, Limit: hits}
	for range queries {
		search.Vector = c.point()
		began := time.Now()
		got, err := c.db.Search(t.Context(), tenant, search)
		times = append(times, time.Since(began))
		require.NoError(t, err)
		want := c.exact(tenant, search.Vector, hits)
		require.Len(t, got, len(want), "never fewer than there are")
		for _, h := range got {
			if slices.Contains(want, h.Entity.ID) {
				found++
			}
		}
		wanted += len(want)
	}
	slices.Sort(times)
	recall := float64(found) / float64(wanted)
	t.Logf("a tenant that owns %-7s  recall@10 %.3f  p50 %v  p95 %v", owns, recall, times[queries/2].Round(10*time.Microsecond), times[queries*95/100].Round(10*time.Microsecond))
	require.GreaterOrEqual(t, recall, .95)
	if full {
		plan, err := c.db.ExplainSearch(t.Context(), tenant, search)
		require.NoError(t, err)
		t.Log(plan)
	}
}
