package registry

import (
	"context"
	"fmt"

	"github.com/dlai-sd/plant/shared/domain"
	"github.com/dlai-sd/plant/shared/ledger"
	"github.com/dlai-sd/plant/shared/store"
)

// Marker marks what rests on an entity that another governance agent archived: who
// archives may not write what others own, and cannot even see all of it.
type Marker struct{ service *Service }

// NewMarker makes a Marker. The database's role is plant_certifier, which reads what all
// own; the keys are those of the amendment key.
func NewMarker(c Config) (*Marker, error) {
	service, err := New(c)
	return &Marker{service}, err
}

// Archived puts under review what directly rests on an archived entity and is another's;
// the archiving itself marked its owner's. It reports false, and does nothing, for what
// is not archived. It goes in transactions of as many as one signature covers, and the
// receipt of req stands in the last one: cut off anywhere, a repeat does the rest.
func (m *Marker) Archived(ctx context.Context, req Request, id domain.ID) (bool, error) {
	heads, err := m.service.db.Heads(ctx, "", []domain.ID{id})
	if err != nil {
		return false, refusal(err, nil)
	}
	ground, ok := heads[id]
	if !ok || ground.Living() {
		return false, nil
	}
	for more := true; more; {
		if err := ctx.Err(); err != nil {
			return true, fmt.Errorf("mark what rests on %s: %w", id, err)
		}
		err := once(ctx, m.service.db, req, func() (bool, error) {
			list, err := m.service.db.Abroad(ctx, id, ledger.MaxBatch+1)
			if err != nil || len(list) == 0 {
				more = false
				return false, err
			}
			more = len(list) > ledger.MaxBatch
			if list, err = m.service.signable(ctx, "", list[:min(len(list), ledger.MaxBatch)]); err != nil || len(list) == 0 {
				more = false
				return false, err
			}
			return true, m.mark(ctx, req, ground.Kind(), list, more)
		})
		if err != nil {
			return true, err
		}
	}
	return true, nil
}

func (m *Marker) mark(ctx context.Context, req Request, archived domain.Kind, list []domain.Entity, more bool) error {
	plans := make([]plan, len(list))
	for i, e := range list {
		var err error
		if plans[i], err = reviewed(e, archived, certifyWork); err != nil {
			return err
		}
	}
	w := store.Write{Tenant: req.tenant()}
	if !more {
		w.Receipt = req.Receipt
	}
	_, err := m.service.append(ctx, req, w, plans, nil)
	return err
}
