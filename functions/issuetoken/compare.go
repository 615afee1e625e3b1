package issuetoken

import (
	"context"
	"time"

	"github.com/dlai-sd/plant/shared/domain"
	"github.com/dlai-sd/plant/shared/web"
)

// slotWait is how long an attempt waits for a free core.
const slotWait = 2 * time.Second

// comparer compares secrets with their hashes, as many at a time as there are
// cores: more would make all of them slower, and a flood would queue without
// end.
type comparer struct {
	slots chan struct{}
	equal func(hash, secret []byte) error
}

func newComparer(atATime int, equal func(hash, secret []byte) error) comparer {
	return comparer{slots: make(chan struct{}, atATime), equal: equal}
}

// compare reports whether the hash is the secret's. Where no core is free within
// slotWait, or before ctx ends, it is a 503.
func (c comparer) compare(ctx context.Context, hash, secret []byte) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, slotWait)
	defer cancel()
	select {
	case c.slots <- struct{}{}:
	case <-ctx.Done():
		return false, web.RetryLater(domain.CodeUnavailable, retryAfter, ctx.Err())
	}
	defer func() { <-c.slots }()
	return c.equal(hash, secret) == nil, nil
}
