package keys

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/dlai-sd/plant/shared/domain"
)

// reloadEvery is the least time between two reloads of a key out of force.
const reloadEvery = time.Minute

// Locate says which pinned version holds the key now.
type Locate func(context.Context) (version string, err error)

// Pinned is a Locate that always says the same.
func Pinned(version string) Locate {
	return func(context.Context) (string, error) { return version, nil }
}

// Holder is one key of a function: read at first use, kept, and read again when
// somebody learns that it is out of force. It is safe for concurrent use; at
// most one read is under way, and whoever waits for it uses its result.
type Holder struct {
	source *Source
	locate Locate
	now    func() time.Time

	key      atomic.Pointer[Key]
	turn     chan struct{} // holds one token: whoever has it may read a key
	reloaded time.Time     // belongs to the token's holder
}

// Hold makes a Holder. now nil means time.Now.
func (s *Source) Hold(locate Locate, now func() time.Time) *Holder {
	if now == nil {
		now = time.Now
	}
	h := &Holder{source: s, locate: locate, now: now, turn: make(chan struct{}, 1)}
	h.turn <- struct{}{}
	return h
}

// Key returns the key, reading it if that has not succeeded yet: an error is
// never kept.
func (h *Holder) Key(ctx context.Context) (Key, error) {
	if k := h.key.Load(); k != nil {
		return *k, nil
	}
	return h.exclusively(ctx, func() (Key, error) {
		if k := h.key.Load(); k != nil {
			return *k, nil
		}
		return h.read(ctx)
	})
}

// Reload returns another key than the one with this id, which is out of force:
// the held one if somebody has reloaded meanwhile, else what is read now. There
// is at most one reload a minute. When no other key is to be had the error is a
// domain.Error with domain.CodeUnavailable.
func (h *Holder) Reload(ctx context.Context, outOfForce string) (Key, error) {
	return h.exclusively(ctx, func() (Key, error) {
		if k := h.key.Load(); k != nil && k.id != outOfForce {
			return *k, nil
		}
		if !h.mayReload() {
			return Key{}, noOtherKey(errors.New("the key was reloaded less than a minute ago"))
		}
		k, err := h.read(ctx)
		if err != nil {
			return Key{}, err
		}
		if k.id == outOfForce {
			return Key{}, noOtherKey(errors.New("the secret still holds the key that is out of force"))
		}
		return k, nil
	})
}

// exclusively runs f while nobody else does, or gives up when ctx ends.
func (h *Holder) exclusively(ctx context.Context, f func() (Key, error)) (Key, error) {
	select {
	case <-h.turn:
		defer func() { h.turn <- struct{}{} }()
		return f()
	case <-ctx.Done():
		return Key{}, ctx.Err()
	}
}

func (h *Holder) mayReload() bool {
	if at := h.now(); h.reloaded.IsZero() || at.Sub(h.reloaded) >= reloadEvery {
		h.reloaded = at
		return true
	}
	return false
}

func (h *Holder) read(ctx context.Context) (Key, error) {
	version, err := h.locate(ctx)
	if err != nil {
		return Key{}, err
	}
	k, err := h.source.Key(ctx, version)
	if err != nil {
		return Key{}, err
	}
	h.key.Store(&k)
	return k, nil
}

func noOtherKey(cause error) error {
	return &domain.Error{Code: domain.CodeUnavailable, Detail: "The signing key is out of force and its successor is not here yet; try again.", Err: cause}
}
