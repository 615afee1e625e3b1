package tamper

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"

	"github.com/dlai-sd/plant/shared/ledger"
	"github.com/dlai-sd/plant/shared/store"
)

// Options say how large a drill is.
type Options struct {
	Count    int // instances of every kind of attack
	Seed     uint64
	Progress func(done, total int) // or nil
}

// Row is what became of one kind of attack.
type Row struct {
	Attack
	Tried, Found int // Tried is 0 where the database has nothing that it fits
	Missed       []string
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
}

// Run attacks copies of a database and asks whoever must find each attack. It leaves
// nothing behind.
func Run(ctx context.Context, s Source, o Options) (Result, error) {
	d := &drill{Options: o, source: s}
	for _, a := range slices.Concat(OnEntities(), OnLog()) {
		d.result.Rows = append(d.result.Rows, Row{Attack: a})
	}
	d.most = o.Count * len(d.result.Rows)
	if err := d.entities(ctx, len(OnEntities())); err != nil {
		return d.result, err
	}
	err := d.withCopy(ctx, func(g *ground) error { return d.log(ctx, g, d.result.Rows[len(OnEntities()):]) })
	return d.result, err
}

func (d *drill) withCopy(ctx context.Context, f func(*ground) error) error {
	d.copies++
	g, err := newGround(ctx, d.source, fmt.Sprintf("plant_drill_%x_%d", d.Seed, d.copies))
	if err != nil {
		return err
	}
	return errors.Join(f(g), g.close(ctx))
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
		row := rarest(rows, planned, v, d.Count)
		if row == nil {
			continue
		}
		planned[row]++
		changed, err := g.attack(ctx, row.Statements(random, v))
		if err != nil {
			return fmt.Errorf("%s, %s: %w", row.Group, row.Name, err)
		}
		if !changed {
			return fmt.Errorf("%s, %s changes nothing of a %s", row.Group, row.Name, v.Kind)
		}
		done[v.ID] = row
	}
	return d.judge(ctx, g, list, done)
}

// lent is what two entities must have in common for one to lend to the other.
func lent(v Victim) string { return fmt.Sprint(v.Kind, v.Vector) }

// rarest is the kind of attack that fits a victim and is most behind.
func rarest(rows []Row, planned map[*Row]int, v Victim, count int) (best *Row) {
	for i := range rows {
		r := &rows[i]
		if n := r.Tried + planned[r]; n < count && r.fits(v) && (best == nil || n < best.Tried+planned[best]) {
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

// take counts an instance.
func (d *drill) take(row *Row, found []store.Finding, halted []ledger.Reason) {
	row.Tried++
	got := halted
	if row.By == ByAudit {
		for _, f := range found {
			got = append(got, ledger.Reason(f.Reason))
		}
	}
	if slices.ContainsFunc(got, func(r ledger.Reason) bool { return slices.Contains(row.Reasons, r) }) {
		row.Found++
	} else if len(row.Missed) < 3 {
		row.Missed = append(row.Missed, fmt.Sprintf("%v, halted: %v", said(found), halted))
	}
	if d.Progress != nil {
		d.Progress(d.tried(), d.most)
	}
}

func said(found []store.Finding) string {
	text := "nothing"
	for i, f := range found {
		if i == 0 {
			text = ""
		}
		text += fmt.Sprintf("%s (seq %d) ", f.Reason, f.Seq)
	}
	return text
}

// log attacks the log of one copy again and again, and puts back what was changed.
func (d *drill) log(ctx context.Context, g *ground, rows []Row) error {
	var tables []string
	for _, r := range rows {
		tables = append(tables, r.Touches...)
	}
	slices.Sort(tables)
	if err := g.save(ctx, slices.Compact(tables)); err != nil {
		return err
	}
	keys, err := g.db.KeyIDs(ctx)
	if err != nil {
		return err
	}
	for i := range rows {
		for n := range d.Count {
			random := d.random(1<<32 | uint64(i)<<20 | uint64(n)) // #nosec G115 -- small numbers
			changed, err := g.attack(ctx, rows[i].Statements(random, Victim{}))
			if err == nil && !changed {
				err = errors.New("it changes nothing")
			}
			if err != nil {
				return fmt.Errorf("%s, %s: %w", rows[i].Group, rows[i].Name, err)
			}
			found, halted, err := g.wholeLog(ctx, keys)
			if err != nil {
				return fmt.Errorf("%s, %s: %w", rows[i].Group, rows[i].Name, err)
			}
			d.take(&rows[i], found, halted)
			if err := g.restore(ctx, rows[i].Touches); err != nil {
				return err
			}
		}
	}
	found, halted, err := g.wholeLog(ctx, keys)
	if err == nil && (len(found) > 0 || len(halted) > 0) {
		d.result.FalseAlarms = append(d.result.FalseAlarms, fmt.Sprintf("the log as it was: %s%v", said(found), halted))
	}
	return err
}

// wholeLog is what the audit finds in the log and of the keys, and why the sequencer
// would not go on.
func (g *ground) wholeLog(ctx context.Context, keys []string) (found []store.Finding, halted []ledger.Reason, err error) {
	for from := int64(0); ; {
		part, err := g.auditor.LogFrom(ctx, from)
		if err != nil {
			return nil, nil, fmt.Errorf("audit the log: %w", err)
		}
		if found = append(found, part.Findings...); !part.More {
			break
		}
		from = part.Next
	}
	for _, judge := range []func(context.Context) ([]store.Finding, error){g.auditor.Stopped, g.auditor.Heads} {
		more, err := judge(ctx)
		if err != nil {
			return nil, nil, fmt.Errorf("audit the log: %w", err)
		}
		found = append(found, more...)
	}
	of, err := g.auditor.Entities(ctx, keys)
	if err != nil {
		return nil, nil, fmt.Errorf("audit the keys: %w", err)
	}
	status, err := g.auditor.Log.Status(ctx)
	if status.Halted != "" {
		halted = append(halted, ledger.Reason(status.Halted))
	}
	return append(found, of.Findings...), halted, err
}
