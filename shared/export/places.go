package export

import (
	"context"
	"fmt"

	"github.com/dlai-sd/plant/shared/bundle"
	"github.com/dlai-sd/plant/shared/store"
	"github.com/dlai-sd/plant/shared/translog"
)

// climbing is an entity whose place is sought.
type climbing struct {
	store.HeadAt
	climb *translog.Climb
}

// places returns where the heads of chosen entities stand among their owners',
// under the heads record at an index.
func (e *Exporter) places(ctx context.Context, s store.Selection, top []store.TenantHeads, at int64) ([]bundle.HeadPlace, error) {
	if len(s.Entities) == 0 {
		return nil, nil
	}
	heads, err := e.DB.HeadsAt(ctx, s.Entities)
	if err != nil {
		return nil, err
	}
	counts := map[string]int64{}
	for _, t := range top {
		counts[t.GovernanceAgentID] = t.Row.Count
	}
	byOwner := map[string][]climbing{}
	for _, h := range heads {
		climb, err := translog.NewClimb(h.Index, counts[h.Owner])
		if err != nil {
			return nil, fmt.Errorf("place of an entity among its owner's: %w", err)
		}
		byOwner[h.Owner] = append(byOwner[h.Owner], climbing{h, climb})
	}
	var places []bundle.HeadPlace
	for owner, list := range byOwner {
		err := e.DB.HeadsOf(ctx, owner, at, func(head translog.EntityHead) error {
			leaf := head.Leaf()
			for _, c := range list {
				c.climb.Append(leaf)
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
		for _, c := range list {
			path, err := c.climb.Path()
			if err != nil {
				return nil, err
			}
			places = append(places, bundle.HeadPlace{EntityID: c.EntityID, Owner: owner, Index: c.Index, Path: path})
		}
	}
	return places, nil
}
