package main

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/uuid"
	"github.com/schollz/progressbar/v3"
	"golang.org/x/sync/errgroup"

	"github.com/dlai-sd/plant/scripts/catalogues"
	"github.com/dlai-sd/plant/shared/domain"
	"github.com/dlai-sd/plant/shared/registry"
	"github.com/dlai-sd/plant/shared/registry/api"
)

// maxRequest keeps a request below what a batch may have, in bytes.
const maxRequest = 3 << 20

// entry is one entity of a catalogue on its way into the registry.
type entry struct {
	catalogues.Item

	kind    domain.Kind
	body    jsontext.Value // the fields, with ids for what they name
	weight  int            // amendments that its birth writes
	hopes   bool           // names what this dry run would have created
	id      domain.ID
	refused bool
	present bool
}

// importer carries a catalogue into the registry.
type importer struct {
	importCmd
	a     *app
	to    *client
	owner string // the token's governance agent

	mu      sync.Mutex
	known   map[domain.Kind]map[string]domain.ID // by external_id
	hoped   map[domain.ID]bool                   // stand for what a dry run would have created
	entries []*entry
	tallies map[domain.Kind]*tally
	faults  []string
	differs []string
	taken   []*entry // whose name somebody else has, and that have another one
	renamed int
	bar     *progressbar.ProgressBar
}

func newImporter(a *app, to *client, c importCmd) (*importer, error) {
	owner, err := to.owner()
	return &importer{
		importCmd: c, a: a, to: to, owner: owner, known: map[domain.Kind]map[string]domain.ID{},
		hoped: map[domain.ID]bool{}, tallies: map[domain.Kind]*tally{},
	}, err
}

func (m *importer) run(c catalogues.Catalogue) error {
	what := "importing"
	if m.DryRun {
		what = "asking"
	}
	m.bar = m.a.bar(c.Items(), what)
	defer func() { _ = m.bar.Finish() }() // a bar that cannot be drawn stops nothing
	for _, s := range c.Sections {
		m.known[s.Kind] = map[string]domain.ID{}
	}
	for _, s := range c.Sections {
		if err := m.section(m.a.ctx, s); err != nil {
			return err
		}
	}
	return nil
}

// section writes the entities of one kind, in waves: a parent before its
// children, and of two with one name the first before the second.
func (m *importer) section(ctx context.Context, s catalogues.Section) error {
	all := make([]*entry, len(s.Items))
	for i, item := range s.Items {
		all[i] = &entry{Item: item, kind: s.Kind}
	}
	m.entries = append(m.entries, all...)
	m.tallies[s.Kind] = &tally{Items: len(all)}
	for pending := all; len(pending) > 0; {
		ready, waiting := wave(s.Kind, pending)
		if len(ready) == 0 {
			for _, e := range waiting {
				m.refuse(e, "its parents form a circle")
			}
			break
		}
		if err := m.resolve(ctx, s.Kind, ready); err != nil {
			return err
		}
		ready = slices.DeleteFunc(ready, func(e *entry) bool { return e.refused })
		if err := m.send(ctx, s.Kind, ready); err != nil {
			return err
		}
		if err := m.rename(ctx, s.Kind); err != nil {
			return err
		}
		pending = waiting
	}
	return m.settle(ctx, s.Kind, slices.DeleteFunc(slices.Clone(all), func(e *entry) bool { return !e.present }))
}

// rename sends what was refused because somebody else has the name once more,
// under the other name.
func (m *importer) rename(ctx context.Context, kind domain.Kind) error {
	again := m.taken
	m.taken = nil
	for _, e := range again {
		e.Rename()
		m.renamed++
	}
	if err := m.resolve(ctx, kind, again); err != nil {
		return err
	}
	return m.send(ctx, kind, again)
}

// wave parts the entries that can be written now from those that wait for
// another one of them.
func wave(kind domain.Kind, pending []*entry) (ready, waiting []*entry) {
	external, names := map[string]bool{}, map[string]bool{}
	for _, e := range pending {
		external[e.ExternalID] = true
	}
	for _, e := range pending {
		name := domain.NameKey(e.Name)
		waits := names[name]
		names[name] = true
		for _, r := range referencesOf(kind) {
			for _, value := range r.values(e.Fields) {
				waits = waits || r.kind == kind && external[value]
			}
		}
		if waits {
			waiting = append(waiting, e)
		} else {
			ready = append(ready, e)
		}
	}
	return ready, waiting
}

// send creates entries, in batches, several at the same time.
func (m *importer) send(ctx context.Context, kind domain.Kind, entries []*entry) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(m.InFlight)
	for _, batch := range batches(entries) {
		group.Go(func() error { return m.sendBatch(ctx, kind, batch) })
	}
	return group.Wait()
}

func batches(entries []*entry) [][]*entry {
	var list [][]*entry
	var current []*entry
	weight, size := 0, 0
	for _, e := range entries {
		if len(current) > 0 && (weight+e.weight > registry.MaxBulk || size+len(e.body) > maxRequest) {
			list = append(list, current)
			current, weight, size = nil, 0, 0
		}
		current = append(current, e)
		weight, size = weight+e.weight, size+len(e.body)
	}
	if len(current) > 0 {
		list = append(list, current)
	}
	return list
}

func (m *importer) sendBatch(ctx context.Context, kind domain.Kind, batch []*entry) error {
	items := make([]jsontext.Value, len(batch))
	for i, e := range batch {
		items[i] = e.body
	}
	body, err := json.Marshal(map[string]any{"items": items})
	if err != nil {
		return err
	}
	path := collectionOf(kind) + "/batch"
	if m.DryRun {
		path += "?validate_only=true"
	}
	// One key for the tries of this request, another one for the next run: what
	// was refused then may be right now.
	var answer api.Batch
	if err := m.to.post(ctx, path, uuid.NewString(), body, &answer); err != nil {
		return err
	}
	if len(answer.Items) != len(batch) {
		return fmt.Errorf("%s answered %d items of %d", path, len(answer.Items), len(batch))
	}
	for i, item := range answer.Items {
		m.judge(batch[i], item)
	}
	_ = m.bar.Add(len(batch))
	return nil
}

// judge notes what became of an entry.
func (m *importer) judge(e *entry, item api.Item) {
	switch {
	case item.Code == nil && !m.DryRun:
		m.born(e, *item.ID)
	case item.Code == nil || e.hopes && onlyHopes(e.kind, item):
		id, err := domain.NewID()
		if err != nil {
			m.refuse(e, err.Error())
			return
		}
		m.hope(id)
		m.born(e, id)
	case violates(item, domain.RuleExternalID):
		e.present = true
	case violates(item, domain.RuleUniqueName) && e.Other != "":
		m.mu.Lock()
		defer m.mu.Unlock()
		m.taken = append(m.taken, e)
	default:
		m.refuse(e, describe(item))
	}
}

func (m *importer) born(e *entry, id domain.ID) {
	m.mu.Lock()
	defer m.mu.Unlock()
	e.id = id
	m.known[e.kind][e.ExternalID] = id
	m.tallies[e.kind].Created++
}

func (m *importer) hope(id domain.ID) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.hoped[id] = true
}

func (m *importer) refuse(e *entry, why string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	e.refused = true
	m.tallies[e.kind].Refused++
	if len(m.faults) < shown {
		m.faults = append(m.faults, fmt.Sprintf("%s (%s): %s", e.Where, e.ExternalID, why))
	}
}

// describe says why an item was refused, each reason once: of a body that is not
// understood the detail repeats the only violation.
func describe(item api.Item) string {
	text := *item.Detail
	for _, v := range item.Violations {
		if !strings.Contains(text, v.Message) {
			text += fmt.Sprintf("; %s %s: %s", v.Rule, v.Field, v.Message)
		}
	}
	return text
}

// violates reports whether an item was refused because of something that is
// there already, by the rule that it breaks.
func violates(item api.Item, rule string) bool {
	return item.Status == http.StatusConflict && slices.ContainsFunc(item.Violations, func(v domain.Violation) bool {
		return v.Rule == rule
	})
}

// onlyHopes reports whether nothing is wrong with an item but that it names what
// is not there yet.
func onlyHopes(kind domain.Kind, item api.Item) bool {
	return !slices.ContainsFunc(item.Violations, func(v domain.Violation) bool {
		return !slices.ContainsFunc(referencesOf(kind), func(r reference) bool {
			return v.Field == "/"+r.field || strings.HasPrefix(v.Field, "/"+r.field+"/")
		})
	}) && len(item.Violations) > 0
}
