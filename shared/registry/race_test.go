package registry_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/dlai-sd/plant/shared/domain"
	"github.com/dlai-sd/plant/shared/ledger"
	"github.com/dlai-sd/plant/shared/registry"
)

const writers = 8

// rounds is how much each writer does: CHAOS_WRITES, or few.
func rounds(t *testing.T) int {
	t.Helper()
	text := os.Getenv("CHAOS_WRITES")
	if text == "" {
		return 25
	}
	n, err := strconv.Atoi(text)
	require.NoError(t, err, "CHAOS_WRITES is a number")
	return n
}

// acknowledged are the versions that callers were told of.
type acknowledged struct {
	mu   sync.Mutex
	list map[domain.ID][]ledger.Hash
}

func (a *acknowledged) add(w registry.Written) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.list[w.Entity.ID] = append(a.list[w.Entity.ID], ledger.Hash(w.Entity.Head.Hash))
}

// TestEightWriters: creates and changes of the same entities by eight writers at
// once leave chains without fork or gap, in which every acknowledged version
// stands and nothing else.
func TestEightWriters(t *testing.T) {
	t.Parallel()
	k := newKit(t, writers)
	said := &acknowledged{list: map[domain.ID][]ledger.Hash{}}
	var common []domain.ID
	for i := range 3 {
		w := k.make(t, fmt.Sprint("Common ", i))
		said.add(w)
		common = append(common, w.Entity.ID)
	}
	n := rounds(t)
	all, ctx := errgroup.WithContext(t.Context())
	for writer := range writers {
		all.Go(func() error {
			for i := range n {
				if i%5 == 0 {
					w, err := k.Create(ctx, request(k.who, "x"), skill(fmt.Sprintf("Own %d %d", writer, i)), domain.Settable{})
					if err != nil {
						return err
					}
					said.add(w)
					continue
				}
				id := common[(writer+i)%len(common)]
				w, err := insist(ctx, k, id, fmt.Sprintf("Changed by %d in %d of %s", writer, i, id))
				if err != nil {
					return err
				}
				said.add(w)
			}
			return nil
		})
	}
	require.NoError(t, all.Wait())

	total := 0
	for id, hashes := range said.list {
		var chain []ledger.Hash
		for _, a := range k.chain(t, id) {
			chain = append(chain, a.Hash)
		}
		require.ElementsMatch(t, chain, hashes)
		total += len(chain)
		got, err := k.Get(t.Context(), k.who, domain.KindSkill, id)
		require.NoError(t, err)
		require.Equal(t, chain[len(chain)-1], ledger.Hash(got.Entity.Head.Hash))
		require.True(t, registry.Compliance(got).Passed())
	}
	require.Equal(t, 3+writers*n, total)
	require.Equal(t, total, k.count(t, "amendment WHERE entity_type = 'skill'"))
	require.Equal(t, total, k.count(t, "opening o JOIN entity e ON e.id = o.entity_id WHERE e.entity_type = 'skill'"))
	require.Equal(t, total, k.count(t, "outbox"), "one announcement each")
	require.Equal(t, len(said.list), k.count(t, `entity e WHERE entity_type = 'skill' AND (version, version_hash) =
		(SELECT seq, hash FROM amendment a WHERE a.entity_id = e.id ORDER BY seq DESC LIMIT 1)`))
}

// insist changes an entity as somebody does who reads again after each refusal.
func insist(ctx context.Context, k kit, id domain.ID, name string) (registry.Written, error) {
	for range 1000 {
		seen, err := k.Get(ctx, k.who, domain.KindSkill, id)
		if err != nil {
			return registry.Written{}, err
		}
		etag := ledger.Hash(seen.Entity.Head.ETag)
		w, err := k.Amend(ctx, request(k.who, name), id, etag, domain.Evolve{Facts: skill(name)})
		var stale *registry.StaleError
		if !errors.As(err, &stale) {
			return w, err
		}
		if stale.Current == etag || len(stale.Since) == 0 || stale.Since[0].PrevHash != etag {
			return w, fmt.Errorf("stale, but what came between is not told: %+v", stale)
		}
	}
	return registry.Written{}, errors.New("others came first a thousand times")
}

// TestEightBulks: lists that share names and external ids, in every order, at
// once: each name is created once, and every list hears of each item.
func TestEightBulks(t *testing.T) {
	t.Parallel()
	k := newKit(t, writers)
	const size = 40
	outcomes := make([][]registry.Outcome, writers)
	var all errgroup.Group
	for writer := range writers {
		all.Go(func() error {
			var items []registry.Candidate
			for i := range size {
				items = append(items, registry.Candidate{
					Facts: skill(fmt.Sprint("Bulk ", i)), Settable: domain.Settable{ExternalID: fmt.Sprint("e-", size-i)},
				})
			}
			if writer%2 == 1 {
				slices.Reverse(items)
			}
			b, err := k.CreateAll(t.Context(), request(k.who, "x"), domain.KindSkill, items)
			if writer%2 == 1 {
				slices.Reverse(b.Outcomes)
			}
			outcomes[writer] = b.Outcomes
			return err
		})
	}
	require.NoError(t, all.Wait())
	for i := range size {
		created := 0
		for _, list := range outcomes {
			require.Len(t, list, size)
			if list[i].Code == "" {
				created++
				require.Equal(t, list[i].VersionHash, k.chain(t, list[i].ID)[0].Hash.String())
				continue
			}
			require.Equal(t, domain.CodeDuplicate, list[i].Code)
			require.Len(t, list[i].Violations, 1)
		}
		require.Equal(t, 1, created)
	}
	require.Equal(t, size, k.count(t, "entity WHERE entity_type = 'skill'"))
}
