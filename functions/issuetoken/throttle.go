package issuetoken

import (
	"container/list"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// limit is an allowance: so many attempts at once, then one every so often, for
// each of at most so many keys.
type limit struct {
	burst int
	every time.Duration
	keys  int
}

// perPrincipal is a principal's allowance. A token lives 30 minutes: 20 processes
// of one principal may start together, and again a minute later.
func perPrincipal() limit { return limit{burst: 20, every: 3 * time.Second, keys: 10_000} }

// perAddress is an address's allowance, which may be an office's. One comparison
// a second takes a quarter of a core.
func perAddress() limit { return limit{burst: 60, every: time.Second, keys: 10_000} }

// throttle keeps an allowance for each key. It holds limit.keys of them: a new
// one takes the place of the one that was not seen for longest. After
// burst × every that one had its whole allowance back, and nothing is lost.
type throttle[K comparable] struct {
	limit limit

	mu      sync.Mutex
	entries map[K]*list.Element
	recent  *list.List // of entry[K], the newest in front
}

type entry[K comparable] struct {
	key    K
	bucket *rate.Limiter
}

func newThrottle[K comparable](l limit) *throttle[K] {
	return &throttle[K]{limit: l, entries: map[K]*list.Element{}, recent: list.New()}
}

// take uses up one attempt of the key and returns zero, or else after how long
// there is one. A refused attempt uses nothing up.
func (t *throttle[K]) take(key K, now time.Time) time.Duration {
	bucket := t.bucket(key)
	if bucket.AllowN(now, 1) {
		return 0
	}
	missing := 1 - bucket.TokensAt(now)
	return max(1, time.Duration(missing*float64(t.limit.every)))
}

func (t *throttle[K]) bucket(key K) *rate.Limiter {
	t.mu.Lock()
	defer t.mu.Unlock()
	if found, ok := t.entries[key]; ok {
		t.recent.MoveToFront(found)
		return found.Value.(entry[K]).bucket
	}
	if t.recent.Len() >= t.limit.keys {
		oldest := t.recent.Back()
		delete(t.entries, oldest.Value.(entry[K]).key)
		t.recent.Remove(oldest)
	}
	bucket := rate.NewLimiter(rate.Every(t.limit.every), t.limit.burst)
	t.entries[key] = t.recent.PushFront(entry[K]{key, bucket})
	return bucket
}
