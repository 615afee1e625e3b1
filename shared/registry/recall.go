package registry

import (
	"context"
	"errors"

	"github.com/dlai-sd/plant/shared/domain"
	"github.com/dlai-sd/plant/shared/store"
)

// errUnknownKey says that an idempotency key was not used yet.
var errUnknownKey = errors.New("the idempotency key is new")

// remembered returns what a request's idempotency key stands for. Another body
// under the same key is refused.
func (s *Service) remembered(ctx context.Context, req Request) (store.Remembered, error) {
	if req.Key == "" || req.ValidateOnly {
		return store.Remembered{}, errUnknownKey
	}
	r, err := s.db.Recall(ctx, req.tenant(), req.Who.ID, req.Route, req.Key)
	if errors.Is(err, store.ErrNotFound) {
		return r, errUnknownKey
	}
	if err != nil {
		return r, refusal(err, nil)
	}
	if r.BodyHash != req.BodyHash {
		return r, domain.Refuse(domain.CodeIdempotencyReused, "this Idempotency-Key was used for another request")
	}
	return r, nil
}

// recall renders the version that the first request with this key wrote.
func (s *Service) recall(ctx context.Context, req Request) (Written, error) {
	r, err := s.remembered(ctx, req)
	if err != nil {
		return Written{}, err
	}
	snapshot, err := s.read(ctx, req.tenant(), r.EntityID, r.Seq)
	return Written{Snapshot: snapshot, Replayed: true}, refusal(err, nil)
}
