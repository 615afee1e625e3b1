package export

import (
	"context"
	"iter"

	"github.com/dlai-sd/plant/shared/compliance"
	"github.com/dlai-sd/plant/shared/ledger"
	"github.com/dlai-sd/plant/shared/store"
)

// results judges the newest state of every entity of the bundle that its viewer
// sees, a page at a time, in the order of the entities' first places.
func (r reader) results(ctx context.Context, rules compliance.Rules) iter.Seq2[compliance.Result, error] {
	return func(yield func(compliance.Result, error) bool) {
		for from := int64(0); ; {
			newest, err := r.db.NewestLogged(ctx, r.recordsAs, r.selected, from, r.size, page)
			if err != nil {
				yield(compliance.Result{}, err)
				return
			}
			list, err := r.judge(ctx, rules, newest)
			if err != nil {
				yield(compliance.Result{}, err)
				return
			}
			for _, one := range list {
				if !yield(one, nil) {
					return
				}
			}
			if len(newest) < page {
				return
			}
			from = newest[len(newest)-1].First + 1
		}
	}
}

// judge leaves out what cannot be judged: what the viewer does not see, and states
// that are none of their kind, which the platform's audit finds.
func (r reader) judge(ctx context.Context, rules compliance.Rules, newest []store.NewestLogged) ([]compliance.Result, error) {
	logged := make([]store.Logged, len(newest))
	for i, n := range newest {
		logged[i] = n.Logged
	}
	openings, err := r.db.OpeningsOf(ctx, r.viewer, logged)
	if err != nil {
		return nil, err
	}
	var list []compliance.Result
	for i, l := range logged {
		a := ledger.Amendment{Bytes: []byte(l.Record), Opening: openings[i]}
		if a.Record, err = ledger.ReadRecord(a.Bytes); err != nil {
			continue // no verifier can read it either, and says so
		}
		a.Hash = ledger.HashOf(a.Bytes)
		if j, ok, err := rules.Judge(a); ok && err == nil {
			list = append(list, j.Result(a.Record))
		}
	}
	return list, nil
}
