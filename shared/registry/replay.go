package registry

import (
	"context"
	"slices"
	"time"

	"github.com/dlai-sd/plant/shared/auth"
	"github.com/dlai-sd/plant/shared/domain"
	"github.com/dlai-sd/plant/shared/store"
)

// Replayed is a part of a replay: what was judged since the one before, and where the
// next begins. The parts' figures add up to those of the whole.
type Replayed struct {
	Owner   string           // whose entities were judged; "": everybody's
	Judged  int64            // living entities whose newest signed state was judged
	Broken  int64            // of them, those that break a rule
	Unsound int64            // that could not be judged: their newest state is not the one that was signed
	ByRule  map[string]int64 // entities that break a rule, by its id
	Items   []Breaking       // those that break one
	Next    domain.ID        // the next part begins behind it; "" : there is none
}

// Breaking is an entity that would break rules of a constitution.
type Breaking struct {
	Entity     domain.Entity
	Violations []domain.Violation
}

// Limits of one part of a replay.
const (
	replayChunk  = 256             // entities at once in memory
	replayBudget = 8 * time.Second // of a request of 25 s
)

// Replayers are the authorities that, held over the whole platform, replay over what
// everybody owns.
func Replayers() []domain.Authority {
	return []domain.Authority{domain.Genesis, domain.Architect, domain.Guardian, domain.Governor, domain.Operator}
}

// Replay judges living entities by a constitution, whether it is in force or not, and
// writes nothing: those behind an id, until limit of them break a rule or the time is up.
// What somebody else owns is judged for who holds an authority of Replayers over the
// platform. Judged is what the drift check judges after an enactment: an entity's own
// newest state by the rules about it alone. Whether what it names still exists, whether
// its name is unique and what else only the tables can say, is not: a write asks that.
func (c *Certifier) Replay(ctx context.Context, who auth.Principal, law domain.Constitution, after domain.ID, limit int) (Replayed, error) {
	db, owner := c.readers.db, who.GovernanceAgent
	if slices.ContainsFunc(Replayers(), who.HoldsOnPlatform) {
		db, owner = c.service.db, ""
	}
	out, err := replay(ctx, db, owner, law, after, limit, time.Now().Add(replayBudget))
	return out, refusal(err, nil)
}

// Broken counts the living entities of all governance agents that would break a rule of
// a constitution.
func (c *Certifier) Broken(ctx context.Context, law domain.Constitution) (broken int64, err error) {
	var after domain.ID
	for {
		part, err := replay(ctx, c.service.db, "", law, after, replayChunk, time.Now().Add(replayBudget))
		if err != nil {
			return 0, refusal(err, nil)
		}
		if broken += part.Broken; part.Next == "" {
			return broken, nil
		}
		after = part.Next
	}
}

func replay(ctx context.Context, db *store.DB, owner string, law domain.Constitution, after domain.ID, limit int, until time.Time) (Replayed, error) {
	out := Replayed{Owner: owner, ByRule: map[string]int64{}, Items: []Breaking{}}
	for {
		list, err := db.LivingBehind(ctx, owner, owner, after, replayChunk)
		if err != nil {
			return Replayed{}, err
		}
		for _, one := range list {
			after = one.Entity.ID
			out.judge(law, one)
			if len(out.Items) == limit {
				out.Next = after
				return out, nil
			}
		}
		if len(list) < replayChunk {
			return out, nil
		}
		if !time.Now().Before(until) {
			out.Next = after
			return out, nil
		}
	}
}

func (r *Replayed) judge(law domain.Constitution, one store.Judgeable) {
	if !one.Sound {
		r.Unsound++
		return
	}
	r.Judged++
	broken := law.Validate(one.Entity, domain.Known{})
	if len(broken) == 0 {
		return
	}
	r.Broken++
	var rules []string
	for _, v := range broken {
		if !slices.Contains(rules, v.Rule) {
			rules = append(rules, v.Rule)
			r.ByRule[v.Rule]++
		}
	}
	r.Items = append(r.Items, Breaking{Entity: one.Entity, Violations: broken})
}

// Law reads a constitution that the ledger knows by its hash; domain.CodeNotFound if
// it knows none, domain.CodeUnavailable if this build cannot judge by it.
func (c *Certifier) Law(ctx context.Context, sum [32]byte) (domain.Constitution, error) {
	document, err := c.service.db.Document(ctx, sum)
	if err != nil {
		return domain.Constitution{}, refusal(err, nil)
	}
	law, err := domain.ReadConstitution(document)
	if err != nil {
		return law, &domain.Error{Code: domain.CodeUnavailable, Detail: "this build cannot judge by that constitution", Err: err}
	}
	return law, nil
}
