package chaos

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/dlai-sd/plant/shared/auth"
	"github.com/dlai-sd/plant/shared/domain"
	"github.com/dlai-sd/plant/shared/ledger"
	"github.com/dlai-sd/plant/shared/registry"
	"github.com/dlai-sd/plant/shared/testkit/harness"
)

// TestRaces: eight writers create skills and change the same ones through the
// registry. Whoever signed for a place that is taken is told so; in the end
// there is no fork and no gap, and the rows are what was signed.
func TestRaces(t *testing.T) {
	t.Parallel()
	dice := throw(t)
	steps := int(setting(t, "CHAOS_WRITES", 20)) // #nosec -- small
	d := harness.New(t)
	r := &race{service: d.Service(t, writers), who: d.Principal(t, "arena", domain.Author), places: map[string]string{}}
	began := time.Now()
	var group errgroup.Group
	for n := range writers {
		decide := dice.of("racer", n)
		group.Go(func() error { return r.run(t.Context(), n, decide, steps) })
	}
	require.NoError(t, group.Wait())
	took := time.Since(began)

	heads := readHeads(t, d)
	require.Len(t, heads, len(r.entities))
	for id, h := range heads {
		require.Equal(t, h.hash, r.places[place(id, h.version)], "the head is what its writer was told")
		require.NotContains(t, r.places, place(id, h.version+1))
	}
	sound(t, d)
	total := verified(t, d, heads)
	require.Equal(t, writers*steps, total, "each step wrote one amendment")
	require.Len(t, r.places, total, "no two writers were told the same place")
	t.Logf("%d writers × %d steps in %s: %d skills, %d amendments, all verified; %d times another amendment came first, %d names were taken",
		writers, steps, took.Round(time.Millisecond), len(heads), total, r.stale, r.taken)
}

// race is what the writers share.
type race struct {
	service *registry.Service
	who     auth.Principal

	mu       sync.Mutex
	entities []registry.Written // each as somebody saw it last
	places   map[string]string  // entity and seq → hash, as a writer was told
	stale    int
	taken    int
}

// pool is how many skills the writers fight over.
const pool = 24

func place(id string, seq int64) string { return fmt.Sprint(id, "#", seq) }

func (r *race) run(ctx context.Context, number int, decide *rand.Rand, steps int) error {
	for i := range steps {
		key := fmt.Sprintf("race-%d-%d", number, i)
		if err := r.step(ctx, key, decide); err != nil {
			return fmt.Errorf("writer %d, step %d: %w", number, i, err)
		}
	}
	return nil
}

// step writes one amendment, however often another writer is faster.
func (r *race) step(ctx context.Context, key string, decide *rand.Rand) error {
	for try := range maxTries {
		req := registry.Request{Who: r.who, Route: "chaos", Key: key, BodyHash: sha256.Sum256(fmt.Append(nil, key, try))}
		seen, which, ok := r.choose(decide)
		var w registry.Written
		var err error
		if ok {
			w, err = r.change(ctx, req, seen, decide)
		} else {
			w, err = r.service.Create(ctx, req, skill(key), domain.Settable{ExternalID: key})
		}
		if err == nil {
			return r.remember(w, which, ok)
		}
		if err := r.lost(ctx, err, seen, which); err != nil {
			return err
		}
	}
	return errors.New("never came first")
}

// choose picks a skill to change, or none: then a new one is made.
func (r *race) choose(decide *rand.Rand) (seen registry.Written, which int, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.entities) == 0 || (len(r.entities) < pool && decide.IntN(4) == 0) {
		return seen, 0, false
	}
	which = decide.IntN(len(r.entities))
	return r.entities[which], which, true
}

func skill(name string) domain.Skill {
	return domain.Skill{Name: name, Description: "Fought over.", Category: "technical"}
}

// change evolves a skill as it was last seen, sometimes to a name that others
// want too, and one time in four whatever it is by now.
func (r *race) change(ctx context.Context, req registry.Request, seen registry.Written, decide *rand.Rand) (registry.Written, error) {
	facts, _ := seen.Entity.Facts.(domain.Skill)
	facts.Description = "Changed by " + req.Key
	if decide.IntN(10) == 0 {
		facts.Name = fmt.Sprintf("Wanted %d", decide.IntN(4))
	}
	match := ledger.Hash(seen.Entity.Head.ETag)
	if decide.IntN(4) == 0 {
		match = ledger.Hash{}
	}
	set := domain.Settable{ExternalID: seen.Entity.Governed.ExternalID, Tags: []string{req.Key}}
	return r.service.Amend(ctx, req, seen.Entity.ID, match, domain.Evolve{Facts: facts, Settable: set})
}

func (r *race) remember(w registry.Written, which int, changed bool) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	h := w.Entity.Head
	at := place(string(w.Entity.ID), h.Version)
	if w.Replayed || r.places[at] != "" {
		return fmt.Errorf("%s was given away twice", at)
	}
	r.places[at] = ledger.Hash(h.Hash).String()
	switch {
	case !changed:
		r.entities = append(r.entities, w)
	case r.entities[which].Entity.Head.Version < h.Version:
		r.entities[which] = w
	}
	return nil
}

// lost is what a writer does who was not first: look again.
func (r *race) lost(ctx context.Context, err error, seen registry.Written, which int) error {
	var stale *registry.StaleError
	var refused *domain.Error
	switch {
	case errors.As(err, &refused) && refused.Code == domain.CodeDuplicate:
		r.mu.Lock()
		defer r.mu.Unlock()
		r.taken++
		return nil
	case !errors.As(err, &stale):
		return err
	}
	now, err := r.service.Get(ctx, r.who, domain.KindSkill, seen.Entity.ID)
	if err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.stale++
	if r.entities[which].Entity.Head.Version < now.Entity.Head.Version {
		r.entities[which] = registry.Written{Snapshot: now}
	}
	return nil
}
