package drill

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"reflect"
	"regexp"
	"runtime"
	"sync"

	"github.com/dlai-sd/plant/scripts/drill/table"
	"github.com/dlai-sd/plant/shared/bundle"
)

// Options say how large a drill is.
type Options struct {
	Count int    // instances of every kind of attack
	Clean int    // records that nobody attacked, at least
	Seed  uint64 // of all that is random but the keys

	// Script compares verify.py with the verifier, so many instances of every
	// kind; 0 leaves it out. It needs python3.
	Script int

	// Only picks the kinds whose group and name, "group, name", match; nil: all.
	Only *regexp.Regexp

	// Progress, or nil, hears of every kind that is done. One call at a time.
	Progress func(done, total int)
}

// Row is what became of one kind of attack.
type Row struct {
	Attack
	Tried, Found int
	Did          []string // the verdicts that found it, with their reasons
	Missed       []string // what was said instead, of the first few
	ScriptAgrees int      // instances that verify.py judged alike
	ScriptMissed []string // where it did not
}

// Result is what a drill found.
type Result struct {
	Seed         uint64
	Rows         []Row
	CleanBundles int
	CleanRecords int64
	FalseAlarms  []string // what was said of bundles that nobody attacked
}

// Passed reports whether every attack was found, nothing else was, and both
// verifiers agree.
func (r Result) Passed() bool {
	for _, row := range r.Rows {
		if row.Found != row.Tried || len(row.ScriptMissed) > 0 {
			return false
		}
	}
	return len(r.FalseAlarms) == 0
}

// How large a drill's worlds are, in records.
const (
	smallWorlds = 6
	smallWorld  = 40
	largeWorld  = 10_000
)

// stage is a bundle that passes.
type stage struct {
	world   *World
	scope   bundle.Scope
	files   map[string][]byte
	options bundle.Options
}

// Run makes deployments and attacks them.
func Run(ctx context.Context, o Options) (Result, error) {
	keys, err := NewKeys()
	if err != nil {
		return Result{}, err
	}
	d := drill{options: o, keys: keys, result: Result{Seed: o.Seed}}
	for i := range smallWorlds {
		d.set(uint64(i), smallWorld+4*i) // #nosec G115 -- a small number
	}
	if err := d.clean(ctx); err != nil {
		return d.result, err
	}
	attacks := Attacks()
	for i, a := range attacks {
		if o.Only != nil && !o.Only.MatchString(a.Group+", "+a.Name) {
			continue
		}
		row, err := d.kind(ctx, uint64(i), a) // #nosec G115 -- a small number
		d.result.Rows = append(d.result.Rows, row)
		if err != nil {
			return d.result, fmt.Errorf("%s, %s: %w", a.Group, a.Name, err)
		}
		if o.Progress != nil {
			o.Progress(i+1, len(attacks))
		}
	}
	if o.Script > 0 {
		err = d.script(ctx)
	}
	return d.result, err
}

type drill struct {
	options Options
	keys    *Keys
	stages  []stage
	samples []sample // what verify.py is to judge too
	result  Result
}

// random is the source of one instance.
func (d *drill) random(kind, instance uint64) *rand.Rand {
	var seed [32]byte
	for i, n := range []uint64{d.options.Seed, kind, instance} {
		binary.LittleEndian.PutUint64(seed[8*i:], n)
	}
	return rand.New(rand.NewChaCha8(seed)) // #nosec G404 -- a drill that can be repeated
}

// set makes a world and a bundle of each scope.
func (d *drill) set(number uint64, records int) {
	w := NewWorld(d.keys, d.random(1<<32, number), records)
	for _, scope := range w.scopes() {
		c := w.clone(w.random)
		files := packed(c.contents(scope, c.headsRecord(d.keys.heads, c.rows(), nil)))
		d.stages = append(d.stages, stage{c, scope, files, c.options(scope)})
	}
}

// clean judges bundles that nobody attacked.
func (d *drill) clean(ctx context.Context) error {
	judge := func(s stage) error {
		scene := Scene{Files: s.files, Options: s.options}
		report, err := scene.judge()
		d.result.CleanBundles++
		d.result.CleanRecords += report.Amendments
		if err != nil || !report.Passed() {
			d.result.FalseAlarms = append(d.result.FalseAlarms, fmt.Sprintf("%s: %s", s.scope, said(report, err)))
		}
		return ctx.Err()
	}
	for _, s := range d.stages {
		if err := judge(s); err != nil {
			return err
		}
		d.samples = append(d.samples, sample{row: -1, scene: &Scene{Files: s.files, Options: s.options}})
	}
	small := len(d.stages)
	for n := uint64(1000); d.result.CleanRecords < int64(d.options.Clean); n++ {
		d.set(n, min(largeWorld, d.options.Clean))
		for _, s := range d.stages[small:] {
			if err := judge(s); err != nil {
				return err
			}
		}
		d.stages = d.stages[:small]
	}
	return nil
}

// kind makes all instances of one attack, on all cores.
func (d *drill) kind(ctx context.Context, number uint64, a Attack) (Row, error) {
	row := Row{Attack: a}
	var mu sync.Mutex
	var group sync.WaitGroup
	var failed error
	instances := make(chan uint64)
	for range runtime.GOMAXPROCS(0) {
		group.Go(func() {
			for i := range instances {
				scene, err := d.lay(a, d.random(number, i))
				var report bundle.Report
				var refusal error
				if err == nil {
					report, refusal = scene.judge()
				}
				mu.Lock()
				if err != nil {
					failed = err
				} else {
					row.take(a, report, refusal)
				}
				if err == nil && i < uint64(d.options.Script) { // #nosec G115 -- a small number
					d.samples = append(d.samples, sample{row: len(d.result.Rows), scene: scene})
				}
				mu.Unlock()
			}
		})
	}
	for i := range uint64(d.options.Count) { // #nosec G115 -- a small number
		if ctx.Err() != nil {
			break
		}
		instances <- i
	}
	close(instances)
	group.Wait()
	return row, errors.Join(failed, ctx.Err())
}

func (r *Row) take(a Attack, report bundle.Report, err error) {
	r.Tried++
	if by := a.found(report, err); by != "" {
		r.Found++
		r.Did = table.Add(r.Did, by)
	} else if len(r.Missed) < 3 {
		r.Missed = append(r.Missed, said(report, err))
	}
}

var errNoScene = errors.New("no scene that this attack fits")

// lay draws scenes until the attack fits one, and has changed what is verified.
func (d *drill) lay(a Attack, random *rand.Rand) (*Scene, error) {
	for range 1000 {
		s := d.stages[random.IntN(len(d.stages))]
		scene := &Scene{Rand: random, World: s.world.clone(random), Scope: s.scope, Files: maps.Clone(s.files), Options: s.options}
		if a.Lay(scene) && !scene.untouched(s) {
			return scene, nil
		}
	}
	return nil, errNoScene
}

// untouched reports whether an attack left everything as it is: a value that was drawn
// can be the one that is there.
func (s *Scene) untouched(was stage) bool {
	return s.Zip == nil && maps.EqualFunc(s.Files, was.files, bytes.Equal) && reflect.DeepEqual(s.Options, was.options)
}

// said is what a verifier said, in one line.
func said(report bundle.Report, err error) string {
	if err != nil {
		return err.Error()
	}
	out := ""
	for _, v := range report.Verdicts() {
		if v.Offender != nil {
			out += v.Name + ": " + v.Offender.String() + "; "
		}
	}
	if out == "" {
		return "all verdicts pass"
	}
	return out
}
