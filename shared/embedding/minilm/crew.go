package minilm

import (
	"runtime"
	"sync"
	"sync/atomic"
)

// spins is how often a waiting goroutine looks before it lets others run.
const spins = 200

// crew shares the work of one inference among goroutines that stay on their
// processors between phases: an inference has some 40, and waking a goroutine
// takes longer than most of them. Between inferences the helpers sleep.
type crew struct {
	wake    []chan struct{} // one a helper
	current atomic.Pointer[phase]
	ended   sync.WaitGroup
}

// phase is n independent pieces of work.
type phase struct {
	do         func(worker, i int)
	n          int64
	next, done atomic.Int64
}

func newCrew(workers int) *crew {
	c := &crew{wake: make([]chan struct{}, workers-1)}
	for i := range c.wake {
		c.wake[i] = make(chan struct{}, 1)
		c.ended.Go(func() {
			for range c.wake[i] {
				c.help(i + 1)
			}
		})
	}
	return c
}

func (c *crew) workers() int { return len(c.wake) + 1 }

// close ends the helpers and waits for them. No inference may run.
func (c *crew) close() {
	for _, wake := range c.wake {
		close(wake)
	}
	c.ended.Wait()
}

// begin has the helpers look out for phases, until end.
func (c *crew) begin() {
	c.current.Store(&phase{})
	for _, wake := range c.wake {
		select {
		case wake <- struct{}{}:
		default: // it has not yet noticed the last one
		}
	}
}

func (c *crew) end() { c.current.Store(nil) }

// run does all pieces and returns when they are done. It waits for pieces, not
// for helpers: one that the system has put aside holds nobody up.
func (c *crew) run(n int, do func(worker, i int)) {
	if len(c.wake) == 0 || n == 1 {
		for i := range n {
			do(0, i)
		}
		return
	}
	p := &phase{do: do, n: int64(n)}
	c.current.Store(p)
	p.work(0)
	for spun := 0; p.done.Load() < p.n; spun++ {
		relax(spun)
	}
}

func (c *crew) help(worker int) {
	var last *phase
	for spun := 0; ; spun++ {
		p := c.current.Load()
		if p == nil {
			return
		}
		if p != last {
			p.work(worker)
			last, spun = p, 0
		}
		relax(spun)
	}
}

func (p *phase) work(worker int) {
	for {
		i := p.next.Add(1) - 1
		if i >= p.n {
			return
		}
		p.do(worker, int(i))
		p.done.Add(1)
	}
}

func relax(spun int) {
	if spun > spins {
		runtime.Gosched()
	}
}
