package rehearsal

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync"
	"time"
)

// pace sends requests at fixed times: a create, a read, an amendment, a list and the
// feed of changes in turn.
type pace struct {
	d     *deployment
	token string
	every time.Duration

	mu     sync.Mutex
	rng    *rand.Rand
	n      int
	known  []string  // paths of skills
	fresh  []created // not amended yet
	failed []string
}

type created struct{ path, etag string }

// run is one window: when it began, and what each request took from when it was due.
type run struct {
	began time.Time
	took  []sample
}

func newPace(d *deployment, token string, rate int, seed uint64) *pace {
	p := &pace{d: d, token: token, every: time.Second / time.Duration(rate), rng: rand.New(rand.NewPCG(seed, 0))} // #nosec -- repeatable
	for range 50 {
		p.create()
	}
	return p
}

// window sends requests for a while, with work beside them, and returns when all are
// answered and the work is done.
func (p *pace) window(length time.Duration, work func()) run {
	r := run{began: time.Now(), took: make([]sample, length/p.every)}
	var all sync.WaitGroup
	all.Go(work)
	for i := range r.took {
		due := r.began.Add(time.Duration(i) * p.every)
		time.Sleep(time.Until(due))
		all.Go(func() {
			p.turn(i)
			r.took[i] = sample{due, time.Since(due)}
		})
	}
	all.Wait()
	return r
}

// turn sends the i-th request of a window.
func (p *pace) turn(i int) {
	switch i % 5 {
	case 0:
		p.create()
	case 1:
		p.mu.Lock()
		path := p.known[p.rng.IntN(len(p.known))]
		p.mu.Unlock()
		p.ask(http.MethodGet, path, "", "")
	case 2:
		p.mu.Lock()
		it := p.fresh[0]
		p.fresh = p.fresh[1:]
		p.mu.Unlock()
		p.ask(http.MethodPatch, it.path, `{"tags":["upgraded"]}`, it.etag)
	case 3:
		p.ask(http.MethodGet, skills+"?limit=5", "", "")
	case 4:
		p.ask(http.MethodGet, changes+"?limit=5", "", "")
	}
}

func (p *pace) create() {
	p.mu.Lock()
	p.n++
	body := skill(fmt.Sprintf("Paced skill %d", p.n))
	p.mu.Unlock()
	made := p.ask(http.MethodPost, skills, body, "")
	if made.status != http.StatusCreated {
		return
	}
	path := skills + "/" + made.text(p.d.t, "id")
	p.mu.Lock()
	defer p.mu.Unlock()
	p.known = append(p.known, path)
	p.fresh = append(p.fresh, created{path, made.etag})
}

func (p *pace) ask(method, path, body, etag string) answer {
	a, err := p.d.call(p.d.t.Context(), method, path, p.token, body, etag)
	if err != nil || a.status >= 300 {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.failed = append(p.failed, fmt.Sprintf("%s %s: %d %v %s", method, path, a.status, err, a.body))
	}
	return a
}
