package certify

import (
	"context"
	"strings"

	"github.com/dlai-sd/plant/shared/domain"
	"github.com/dlai-sd/plant/shared/drift"
	"github.com/dlai-sd/plant/shared/event"
	"github.com/dlai-sd/plant/shared/registry"
	"github.com/dlai-sd/plant/shared/store"
)

const consumer = "certify"

// handle takes what came under review, what was archived, what lost its certification,
// and what is to be judged under another constitution; whatever else a subscription lets through needs nothing. The event is a hint: what it is
// about is read again.
func (s Service) handle(ctx context.Context, e event.Event) error {
	req := registry.Request{
		Who: registry.System(consumer), RequestID: e.RequestID, Traceparent: e.Traceparent,
		Receipt: &store.Receipt{Consumer: consumer, EventID: e.ID},
	}
	id := domain.ID(e.Data.EntityID)
	if e.Type == drift.EventReaffirm {
		return s.Certifier.Reaffirm(ctx, req, id)
	}
	switch e.Type[strings.LastIndexByte(e.Type, '.')+1:] {
	case domain.ChangeMoved:
		if archived, err := s.Marker.Archived(ctx, req, id); archived || err != nil {
			return err
		}
		return s.Certifier.Settle(ctx, req, id)
	case domain.ChangeEvolved, domain.ChangeAssigned:
		return s.Certifier.Settle(ctx, req, id)
	case domain.ChangeDecertified:
		return s.Certifier.Spread(ctx, req, id)
	}
	return nil
}
