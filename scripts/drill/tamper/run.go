package tamper

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"

	"github.com/dlai-sd/plant/shared/store"
)

// Options say how large a drill is.
type Options struct {
	Count    int // instances of every kind of attack
	Seed     uint64
	Progress func(done, total int) // or nil
	Say      func(what string)     // hears what is begun; or nil
}

// Row is what became of one kind of attack.
type Row struct {
	Attack
	Tried, Found int      // Tried is 0 where the database has nothing that it fits
	Did          []string // who found it, and as what
	Missed       []string // what was said instead, of the first few
}

// Result is what a drill found.
type Result struct {
	Rows          []Row
	CleanEntities int64 // that nobody attacked, judged beside those that were
	FalseAlarms   []string
}

// Passed reports whether every attack was found and nothing else was.
func (r Result) Passed() bool {
	for _, row := range r.Rows {
		if row.Found != row.Tried {
			return false
		}
	}
	return len(r.FalseAlarms) == 0
}

const (
	judged = 250 // entities that are judged at once, as a run of the audit does
	spared = 8   // one of so many victims is left alone, for false alarms
	idle   = 3   // copies in a row that fit nothing more end the drill
)

type drill struct {
	Options
	source Source
	result Result
	copies int
	most   int // instances of all kinds

	mu sync.Mutex // of what becomes of the rows of the log
}

// NotInOrderError says what an audit finds of a database that nobody attacked yet: the
// drill does not begin.
type NotInOrderError struct{ Findings []string }

// Error counts the findings and names the first.
func (e *NotInOrderError) Error() string {
	const text = "the database is not in order before any attack: "
	if len(e.Findings) == 1 {
		return text + e.Findings[0]
	}
	return fmt.Sprintf(text+"%d findings, the first: %s", len(e.Findings), e.Findings[0])
}

// Run attacks copies of a database and asks whoever must find each attack. It leaves
// nothing behind.
func Run(ctx context.Context, s Source, o Options) (Result, error) {
	d := &drill{Options: o, source: s}
	for _, a := range slices.Concat(OnEntities(), OnLog()) {
		d.result.Rows = append(d.result.Rows, Row{Attack: a})
	}
	d.most = o.Count * len(d.result.Rows)
	d.say("Judging the whole database before any attack.")
	if err := d.withCopy(ctx, func(g *ground) error { return g.inOrder(ctx) }); err != nil {
		return d.result, err
	}
	if err := d.entities(ctx, len(OnEntities())); err != nil {
		return d.result, err
	}
	d.say("Attacking the log, the heads, the keys and what is published.")
	return d.result, d.log(ctx, d.result.Rows[len(OnEntities()):])
}

func (d *drill) withCopy(ctx context.Context, f func(*ground) error) error {
	d.copies++
	g, err := newGround(ctx, d.source, fmt.Sprintf("plant_drill_%x_%d", d.Seed, d.copies))
	if err != nil {
		return err
	}
	return errors.Join(f(g), g.close(ctx))
}

// inOrder judges all of a copy before any attack.
func (g *ground) inOrder(ctx context.Context) error {
	if g.foreign() {
		return ErrUnpublished
	}
	found, halted, err := g.wholeLog(ctx)
	if err != nil {
		return err
	}
	all, err := g.auditor.Everything(ctx, store.RunFilter{})
	if err != nil {
		return fmt.Errorf("audit: %w", err)
	}
	found = append(found, all.Findings...)
	if len(found) == 0 && len(halted) == 0 {
		return nil
	}
	e := &NotInOrderError{}
	for _, f := range found {
		e.Findings = append(e.Findings, named(f))
	}
	for _, r := range halted {
		e.Findings = append(e.Findings, "the log is stopped: "+string(r))
	}
	return e
}

// named is a finding with what it is of. One of the log or of a heads record is of no
// entity.
func named(f store.Finding) string {
	switch {
	case f.EntityID == "":
		return fmt.Sprintf("%s (expected %s, found %s)", f.Reason, f.Expected, f.Found)
	case f.Seq == 0:
		return fmt.Sprintf("%s (%s)", f.Reason, strings.TrimSpace(f.EntityType+" "+f.EntityID))
	}
	return fmt.Sprintf("%s (%s, seq %d)", f.Reason, strings.TrimSpace(f.EntityType+" "+f.EntityID), f.Seq)
}

func (d *drill) random(instance uint64) *rand.Rand {
	var seed [32]byte
	binary.LittleEndian.PutUint64(seed[:], d.Seed)
	binary.LittleEndian.PutUint64(seed[8:], instance)
	return rand.New(rand.NewChaCha8(seed)) // #nosec G404 -- a drill that can be repeated
}

// entities attacks as many entities of a copy as it has, each in one way, until every
// kind has its count.
func (d *drill) entities(ctx context.Context, kinds int) error {
	for still := 0; still < idle; {
		before := d.tried()
		d.say(fmt.Sprintf("Attacking the entities of copy %d.", d.copies))
		err := d.withCopy(ctx, func(g *ground) error { return d.round(ctx, g, d.result.Rows[:kinds]) })
		if err != nil {
			return err
		}
		if d.tried() == before {
			still++
		}
		if !slices.ContainsFunc(d.result.Rows[:kinds], func(r Row) bool { return r.Tried < d.Count }) {
			return nil
		}
	}
	return nil
}

func (d *drill) say(what string) {
	if d.Say != nil {
		d.Say(what)
	}
}

func (d *drill) tried() (n int) {
	for _, r := range d.result.Rows {
		n += r.Tried
	}
	return n
}

// round attacks one copy's entities, and judges all of them.
func (d *drill) round(ctx context.Context, g *ground, rows []Row) error {
	list, err := g.victims(ctx)
	if err != nil {
		return err
	}
	random := d.random(uint64(d.copies)) // #nosec G115 -- a small number
	random.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
	lenders := map[string]string{}
	for i, v := range list {
		if i%spared == 0 {
			lenders[lent(v)] = v.ID
		}
	}
	done, planned := map[string]*Row{}, map[*Row]int{}
	for i, v := range list {
		if i%spared == 0 {
			continue
		}
		v.Other = lenders[lent(v)]
		row, err := d.strike(ctx, g, rows, planned, v, random)
		if err != nil {
			return err
		}
		if row != nil {
			planned[row]++
			done[v.ID] = row
		}
	}
	return d.judge(ctx, g, list, done)
}

// strike attacks a victim in the way that is most behind of those that change
// something of it; nil if none does.
func (d *drill) strike(ctx context.Context, g *ground, rows []Row, planned map[*Row]int, v Victim, random *rand.Rand) (*Row, error) {
	idle := map[*Row]bool{}
	for row := d.rarest(rows, planned, idle, v); row != nil; row = d.rarest(rows, planned, idle, v) {
		changed, err := g.onEntity(ctx, row.Attack, random, v, d.source.Captured)
		if err != nil {
			return nil, fmt.Errorf("%s, %s: %w", row.Group, row.Name, err)
		}
		if changed {
			return row, nil
		}
		idle[row] = true
	}
	return nil, nil
}

// lent is what two entities must have in common for one to lend to the other.
func lent(v Victim) string { return fmt.Sprint(v.Kind, v.Vector) }

// rarest is the kind of attack that fits a victim and is most behind, but those that
// changed nothing of it.
func (d *drill) rarest(rows []Row, planned map[*Row]int, idle map[*Row]bool, v Victim) (best *Row) {
	for i := range rows {
		r := &rows[i]
		possible := !idle[r] && r.fits(v) && (r.Seals == nil || d.source.Captured != nil)
		if n := r.Tried + planned[r]; n < d.Count && possible && (best == nil || n < best.Tried+planned[best]) {
			best = r
		}
	}
	return best
}

// judge lets the auditor look at everything, as it does every night.
func (d *drill) judge(ctx context.Context, g *ground, list []Victim, done map[string]*Row) error {
	ids := make([]string, len(list))
	for i, v := range list {
		ids[i] = v.ID
	}
	found := map[string][]store.Finding{}
	for part := range slices.Chunk(ids, judged) {
		result, err := g.auditor.Entities(ctx, part)
		if err != nil {
			return fmt.Errorf("audit: %w", err)
		}
		for _, f := range result.Findings {
			found[f.EntityID] = append(found[f.EntityID], f)
		}
	}
	for _, id := range ids {
		row := done[id]
		switch {
		case row != nil:
			d.take(row, found[id], nil)
		case len(found[id]) > 0:
			d.result.FalseAlarms = append(d.result.FalseAlarms, id+": "+said(found[id]))
		default:
			d.result.CleanEntities++
		}
	}
	return nil
}
