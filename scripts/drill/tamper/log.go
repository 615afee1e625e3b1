package tamper

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"

	"github.com/dlai-sd/plant/scripts/drill/table"
	"github.com/dlai-sd/plant/shared/audit"
	"github.com/dlai-sd/plant/shared/domain"
	"github.com/dlai-sd/plant/shared/ledger"
	"github.com/dlai-sd/plant/shared/store"
	"github.com/dlai-sd/plant/shared/translog"
)

// log attacks the log in a copy for each core, again and again, and puts back what was
// changed.
func (d *drill) log(ctx context.Context, rows []Row) error {
	source := d.source
	if source.Log != nil {
		source = *source.Log
	}
	next := make(chan int, len(rows))
	for i := range rows {
		next <- i
	}
	close(next)
	var group sync.WaitGroup
	failed := make([]error, min(runtime.GOMAXPROCS(0), len(rows)))
	for worker := range failed {
		group.Go(func() {
			name := fmt.Sprintf("plant_drill_%x_log_%d", d.Seed, worker)
			g, err := newGround(ctx, source, name)
			if err == nil {
				err = errors.Join(d.logOn(ctx, g, rows, next), g.close(ctx))
			}
			failed[worker] = err
		})
	}
	group.Wait()
	return errors.Join(failed...)
}

// logOn makes the attacks that come next, in one copy.
func (d *drill) logOn(ctx context.Context, g *ground, rows []Row, next <-chan int) error {
	var tables []string
	for _, r := range rows {
		tables = append(tables, r.Touches...)
	}
	slices.Sort(tables)
	if err := g.save(ctx, slices.Compact(tables)); err != nil {
		return err
	}
	original := g.shelf.Published
	covers, err := translog.ReadCheckpoint(original.Note)
	if err != nil {
		return fmt.Errorf("the newest published checkpoint: %w", err)
	}
	for i := range next {
		for n := range d.Count {
			random := d.random(1<<32 | uint64(i)<<20 | uint64(n)) // #nosec G115 -- small numbers
			changed, err := g.onLog(ctx, rows[i].Attack, random, Victim{Published: covers.Size})
			if err == nil && changed && rows[i].Rebuilds {
				err = g.rebuild(ctx)
			}
			if rows[i].Publishes != nil {
				g.shelf.Published = rows[i].Publishes(random, original)
				changed = changed || g.shelf.N != original.N || !bytes.Equal(g.shelf.Note, original.Note)
			}
			if err == nil && changed {
				err = d.judgeLog(ctx, g, &rows[i])
			}
			g.shelf.Published = original
			if err = errors.Join(err, g.restore(ctx, rows[i].Touches)); err != nil {
				return fmt.Errorf("%s, %s: %w", rows[i].Group, rows[i].Name, err)
			}
		}
	}
	found, halted, err := g.wholeLog(ctx)
	if err == nil && (len(found) > 0 || len(halted) > 0) {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.result.FalseAlarms = append(d.result.FalseAlarms, fmt.Sprintf("the log as it was: %s%v", said(found), halted))
	}
	return err
}

func (d *drill) judgeLog(ctx context.Context, g *ground, row *Row) error {
	found, halted, err := g.wholeLog(ctx)
	if err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.take(row, found, halted)
	return nil
}

// take counts an instance. Where the sequencer must stop, the audit must say so.
func (d *drill) take(row *Row, found []store.Finding, halted []ledger.Reason) {
	row.Tried++
	var got []ledger.Reason
	for _, f := range found {
		got = append(got, ledger.Reason(f.Reason))
	}
	if row.By == BySequencer {
		if slices.Contains(got, audit.ReasonLogStopped) {
			got = halted
		} else {
			got = nil
		}
	}
	if at := slices.IndexFunc(got, func(r ledger.Reason) bool { return slices.Contains(row.Reasons, r) }); at >= 0 {
		row.Found++
		row.Did = table.Add(row.Did, row.By+": "+string(got[at]))
	} else if len(row.Missed) < 3 {
		row.Missed = append(row.Missed, fmt.Sprintf("%s, halted: %v", said(found), halted))
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

// wholeLog is what the audit finds in the log and of the keys, and why the sequencer
// would not go on.
func (g *ground) wholeLog(ctx context.Context) (found []store.Finding, halted []ledger.Reason, err error) {
	if found, _, err = g.auditor.WholeLog(ctx); err != nil {
		return nil, nil, fmt.Errorf("audit the log: %w", err)
	}
	keys, err := g.auditor.Everything(ctx, store.RunFilter{Kind: string(domain.KindSigningKey)})
	if err != nil {
		return nil, nil, fmt.Errorf("audit the keys: %w", err)
	}
	status, err := g.auditor.Log.Status(ctx)
	if status.Halted != "" {
		halted = append(halted, ledger.Reason(status.Halted))
	}
	return append(found, keys.Findings...), halted, err
}
