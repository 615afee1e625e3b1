package chaos

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-json-experiment/json"
)

// write is one skill that a writer wants to be there.
type write struct {
	key, external, name string
	body                []byte

	id, hash  string // once acknowledged
	abandoned bool   // the writer gave up without an answer: anything whole may be true
}

// answer is one of a request's ends.
type answer struct {
	status   int // 0: none came
	id, hash string
	replayed bool
	text     string
}

func (a answer) acknowledged() bool { return a.status == http.StatusCreated }

// again reports whether the same request may succeed later.
func (a answer) again() bool {
	return a.status == 0 || a.status == http.StatusServiceUnavailable || a.status == http.StatusTooManyRequests
}

// tally is what all writers saw.
type tally struct {
	acknowledged atomic.Int64
	mu           sync.Mutex
	answers      map[int]int // by status; 0: none
	replays      int
	doubled      int // requests sent more than once at the same time
	wrong        []string
}

func (y *tally) count(a answer) {
	y.mu.Lock()
	defer y.mu.Unlock()
	y.answers[a.status]++
	if a.replayed {
		y.replays++
	}
}

func (y *tally) blame(format string, args ...any) {
	y.mu.Lock()
	defer y.mu.Unlock()
	y.wrong = append(y.wrong, fmt.Sprintf(format, args...))
}

// writer creates skills one after the other, each until it is acknowledged.
type writer struct {
	number int
	token  string
	doors  []string
	decide *rand.Rand
	tally  *tally
	client *http.Client
}

const (
	maxTries  = 2000
	retryMost = 40 * time.Millisecond
)

func (w *writer) run(ctx context.Context, count int) []*write {
	var done []*write
	for i := range count {
		if ctx.Err() != nil {
			break
		}
		one := w.plan(i)
		done = append(done, one)
		if w.decide.IntN(100) < 5 {
			w.once(ctx, one)
			continue
		}
		w.insist(ctx, one)
	}
	return done
}

func (w *writer) plan(i int) *write {
	one := &write{key: fmt.Sprintf("key-%d-%d", w.number, i), external: fmt.Sprintf("skill-%d-%d", w.number, i)}
	one.name = fmt.Sprintf("Skill %d of writer %d", i, w.number)
	one.body = fmt.Appendf(nil, `{"name":%q,"description":"Made while others were killed.","category":"technical","external_id":%q,"tags":["chaos","writer-%d"]}`,
		one.name, one.external, w.number)
	return one
}

// once sends a request a single time and does not ask what became of it.
func (w *writer) once(ctx context.Context, one *write) {
	a := w.send(ctx, w.door(), one)
	if !a.acknowledged() {
		one.abandoned = true
		return
	}
	w.accept(one, a)
}

// insist repeats the request under the same key until it is acknowledged; some
// requests it sends several times at once.
func (w *writer) insist(ctx context.Context, one *write) {
	for range maxTries {
		refused := false
		for _, a := range w.volley(ctx, one) {
			switch {
			case a.acknowledged():
				w.accept(one, a)
			case !a.again():
				refused = true
				w.tally.blame("%s: %d %s", one.external, a.status, a.text)
			}
		}
		if one.id != "" || refused || ctx.Err() != nil {
			return
		}
		pause(ctx, time.Duration(w.decide.Int64N(int64(retryMost))))
	}
	w.tally.blame("%s was never acknowledged", one.external)
}

func (w *writer) accept(one *write, a answer) {
	if one.id == "" {
		one.id, one.hash = a.id, a.hash
		w.tally.acknowledged.Add(1)
	}
	if one.id != a.id || one.hash != a.hash {
		w.tally.blame("%s was acknowledged as %s %s and as %s %s", one.external, one.id, one.hash, a.id, a.hash)
	}
}

// volley sends a request one to four times at once.
func (w *writer) volley(ctx context.Context, one *write) []answer {
	copies := 1
	if w.decide.IntN(5) == 0 {
		copies += 1 + w.decide.IntN(3)
		w.tally.mu.Lock()
		w.tally.doubled++
		w.tally.mu.Unlock()
	}
	answers := make([]answer, copies)
	var group sync.WaitGroup
	for i := range answers {
		door := w.door()
		group.Go(func() { answers[i] = w.send(ctx, door, one) })
	}
	group.Wait()
	return answers
}

func (w *writer) door() string { return w.doors[w.decide.IntN(len(w.doors))] }

func (w *writer) send(ctx context.Context, door string, one *write) (a answer) {
	defer func() { w.tally.count(a) }()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, door+skillsPath, bytes.NewReader(one.body))
	if err != nil {
		return answer{text: err.Error()}
	}
	r.Header.Set("Authorization", "Bearer "+w.token)
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Idempotency-Key", one.key)
	response, err := w.client.Do(r)
	if err != nil {
		return answer{text: err.Error()}
	}
	body, err := io.ReadAll(response.Body)
	_ = response.Body.Close()
	if err != nil {
		return answer{text: err.Error()} // it broke off: whatever it was, it is none
	}
	a = answer{status: response.StatusCode, replayed: response.Header.Get("Idempotency-Replayed") == "true", text: string(body)}
	var entity struct {
		ID          string `json:"id"`
		VersionHash string `json:"version_hash"`
	}
	if a.acknowledged() {
		if err := json.Unmarshal(body, &entity); err != nil {
			return answer{text: err.Error()}
		}
		a.id, a.hash = entity.ID, entity.VersionHash
	}
	return a
}

// pause waits, or until ctx ends.
func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
