// Package export writes what an auditor takes home: a bundle of a scope, cut at a
// published checkpoint whose last entry is a heads record. The same cut makes the
// same bytes, a page of the history at a time: memory grows with tenants and heads
// records alone, and nothing is kept on the way.
package export

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/dlai-sd/plant/shared/bundle"
	"github.com/dlai-sd/plant/shared/compliance"
	"github.com/dlai-sd/plant/shared/domain"
	"github.com/dlai-sd/plant/shared/ledger"
	"github.com/dlai-sd/plant/shared/sequencer"
	"github.com/dlai-sd/plant/shared/store"
	"github.com/dlai-sd/plant/shared/translog"
)

const (
	// cutFresh is how old a heads record may be to cut at it again where nothing was
	// recorded since: whoever exports in a loop makes one record a minute, not one each.
	cutFresh = time.Minute
	// consistent is how many earlier cuts a bundle shows itself to continue.
	consistent = 1000
	maxResting = 10_000 // entities that an agent rests on
)

// ErrNothing says that there is nothing of a scope in the log.
var ErrNothing = errors.New("the log has nothing of this scope")

// Exporter makes bundles. The database's role reads everything (plant_auditor); what
// a governance agent gets to see, it reads as plant_reader.
type Exporter struct {
	DB     *store.DB
	Log    *sequencer.Sequencer
	Origin string
	Now    func() time.Time
}

// Order is a bundle that somebody asked for.
type Order struct {
	Scope  bundle.Scope
	Viewer string    // whose openings it shows: a governance agent's; "": everybody's, the platform's own
	Seen   int64     // size of a checkpoint that the auditor holds; 0: none
	At     time.Time // of the cut's making, for the manifest
}

// Cut returns the checkpoint at which a bundle is cut now: it covers everything that
// was recorded before the call, and its heads record is not older than notBefore.
func (e *Exporter) Cut(ctx context.Context, notBefore time.Time) (store.Noted, error) {
	state, err := e.DB.LogState(ctx)
	if err != nil {
		return store.Noted{}, err
	}
	if n := state.Newest; !state.Waiting && n.N > 0 && n.Size == state.Size {
		h, err := e.DB.HeadsRecord(ctx, n.Size-1)
		if err == nil && e.Now().Sub(h.At) < cutFresh && !h.At.Before(notBefore) {
			return n, nil
		}
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			return store.Noted{}, err
		}
	}
	return e.Log.Seal(ctx)
}

// selection finds what a scope holds. For an agent at a date it is what the agent
// rested on, as its viewer sees it.
func (e *Exporter) selection(ctx context.Context, o Order, size int64) (store.Selection, error) {
	switch o.Scope.Type {
	case bundle.ScopeAll:
		return store.Selection{All: true}, nil
	case bundle.ScopeGovernanceAgent:
		return store.Selection{Owner: o.Scope.ID}, nil
	case bundle.ScopeEntity:
		return store.Selection{Entities: []string{o.Scope.ID}}, nil
	}
	at, err := time.Parse(ledger.TimeLayout, o.Scope.At)
	if err != nil {
		return store.Selection{}, fmt.Errorf("export: scope: %w", err)
	}
	ids, err := e.restsOn(ctx, o.Viewer, o.Scope.ID, at, size)
	return store.Selection{Entities: ids}, err
}

// restsOn returns an agent and all that it rested on, level by level.
func (e *Exporter) restsOn(ctx context.Context, viewer, agent string, at time.Time, size int64) ([]string, error) {
	known := map[string]bool{agent: true}
	for next := []string{agent}; len(next) > 0; {
		shown, err := e.DB.ShownAt(ctx, viewer, next, at, size)
		if err != nil {
			return nil, err
		}
		if known[agent] && len(known) == 1 && len(shown) == 0 {
			return nil, ErrNothing
		}
		next = nil
		for _, s := range shown {
			for _, r := range bundle.References(s.EntityType, s.State) {
				if !known[r.ID] && domain.ID(r.ID).Valid() {
					known[r.ID] = true
					next = append(next, r.ID)
				}
			}
		}
		if len(known) > maxResting {
			return nil, fmt.Errorf("export: the agent rests on more than %d entities", maxResting)
		}
	}
	ids := make([]string, 0, len(known))
	for id := range known {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return ids, nil
}

// Count counts the records of an order, up to limit, as of a cut; ErrNothing if
// there are none.
func (e *Exporter) Count(ctx context.Context, o Order, cut store.Noted, limit int64) (int64, error) {
	s, err := e.selection(ctx, o, cut.Size)
	if err != nil {
		return 0, err
	}
	n, err := e.DB.CountLogged(ctx, s, cut.Size, limit)
	if err == nil && n == 0 && o.Scope.Type != bundle.ScopeAll {
		err = ErrNothing
	}
	return n, err
}

// Plan is a bundle whose parts were found; Write writes it.
type Plan struct {
	contents      bundle.Contents
	keys, records reader
	rules         compliance.Rules
}

// Prepare finds everything of a bundle but its records, so that what can fail fails
// before a byte is written.
func (e *Exporter) Prepare(ctx context.Context, o Order, cut store.Noted) (*Plan, error) {
	selected, err := e.selection(ctx, o, cut.Size)
	if err != nil {
		return nil, err
	}
	tree := newTree(e.DB, cut.Size)
	heads, err := e.heads(ctx, o, selected, cut, tree)
	if err != nil {
		return nil, err
	}
	rules, err := e.DB.Constitutions(ctx)
	if err != nil {
		return nil, err
	}
	return &Plan{
		contents: bundle.Contents{
			Origin: e.Origin, CreatedAt: o.At, Scope: o.Scope, Checkpoint: cut.Note, Heads: heads, Constitutions: rules,
			Checklists: checklists(),
		},
		rules:   compliance.Among(rules),
		keys:    reader{db: e.DB, tree: tree, selected: store.Selection{Keys: true}, size: cut.Size},
		records: reader{db: e.DB, tree: tree, selected: selected, recordsAs: recordsAs(o), viewer: o.Viewer, size: cut.Size},
	}, nil
}

// checklists are all that a certification can name.
func checklists() (documents [][]byte) {
	for _, c := range domain.Checklists() {
		documents = append(documents, c.Document())
	}
	return documents
}

// recordsAs says as whose reader the records are read. An agent rests on what others
// own: their records are in the bundle, and what of these is shared, the openings'
// reading decides.
func recordsAs(o Order) string {
	if o.Scope.Type == bundle.ScopeAgent {
		return ""
	}
	return o.Viewer
}

// Write writes the bundle. On an error what was written is none.
func (p *Plan) Write(ctx context.Context, w io.Writer) error {
	c := p.contents
	c.Keys, c.Amendments = p.keys.lines(ctx), p.records.lines(ctx)
	c.Compliance = p.records.results(ctx, p.rules)
	return bundle.Write(w, c)
}

// heads are the contents of heads.json.
func (e *Exporter) heads(ctx context.Context, o Order, s store.Selection, cut store.Noted, tree *tree) (bundle.HeadsContents, error) {
	at := cut.Size - 1
	record, err := e.DB.HeadsRecord(ctx, at)
	if err != nil {
		return bundle.HeadsContents{}, fmt.Errorf("heads record %d: %w", at, err)
	}
	h := bundle.HeadsContents{Record: record.Record, Signature: record.Signature, LogIndex: at, Salts: map[string]ledger.Hash{}}
	if err := tree.load(ctx, translog.InclusionTiles(at, cut.Size)); err != nil {
		return h, err
	}
	if h.Inclusion, err = tree.nodes().Inclusion(at, cut.Size); err != nil {
		return h, err
	}
	top, err := e.DB.TopList(ctx, at)
	if err != nil {
		return h, fmt.Errorf("top list: %w", err)
	}
	if h.Forks, err = e.forks(ctx, cut.Size, tree); err != nil {
		return h, err
	}
	places, err := e.places(ctx, s, top, at)
	if err != nil {
		return h, err
	}
	h.Places = places
	owners := map[string]bool{domain.KeyringAgent: true, s.Owner: true}
	for _, p := range places {
		owners[p.Owner] = true
	}
	for _, t := range top {
		h.Tenants = append(h.Tenants, t.Row)
		if s.All || owners[t.GovernanceAgentID] {
			h.Salts[t.GovernanceAgentID] = t.Salt
		}
	}
	translog.SortRows(h.Tenants)
	if s.All {
		h.Earlier, err = e.earlier(ctx, at, h.Forks)
		return h, err
	}
	h.Consistency, err = e.consistency(ctx, o.Seen, cut.Size, h.Forks, tree)
	return h, err
}

// forks are the statements by which the log began anew.
func (e *Exporter) forks(ctx context.Context, size int64, tree *tree) ([]bundle.ForkStatement, error) {
	logged, err := e.DB.Forks(ctx, size)
	if err != nil {
		return nil, err
	}
	var list []bundle.ForkStatement
	for _, f := range logged {
		if err := tree.load(ctx, translog.InclusionTiles(f.LogIndex, size)); err != nil {
			return nil, err
		}
		path, err := tree.nodes().Inclusion(f.LogIndex, size)
		if err != nil {
			return nil, fmt.Errorf("fork %d: %w", f.LogIndex, err)
		}
		list = append(list, bundle.ForkStatement{LogIndex: f.LogIndex, Statement: f.Statement, Signature: f.Signature, Inclusion: path})
	}
	return list, nil
}

// earlier are the older heads records: what is no amendment's and no fork's.
func (e *Exporter) earlier(ctx context.Context, below int64, forks []bundle.ForkStatement) (list []bundle.EarlierHeads, err error) {
	others, err := e.DB.OtherEntries(ctx, below)
	for _, o := range others {
		if slices.ContainsFunc(forks, func(f bundle.ForkStatement) bool { return f.LogIndex == o.LogIndex }) {
			continue
		}
		list = append(list, bundle.EarlierHeads{LogIndex: o.LogIndex, Hash: o.Hash})
	}
	return list, err
}

// consistency shows the log to continue the newest of earlier cuts, and the one that
// the auditor holds, and those that forks went on from.
func (e *Exporter) consistency(ctx context.Context, seen, size int64, forks []bundle.ForkStatement, tree *tree) (map[int64][]ledger.Hash, error) {
	sizes, err := e.DB.SealedSizes(ctx, size, consistent)
	if err != nil {
		return nil, err
	}
	if seen > 0 && seen < size && !slices.Contains(sizes, seen) {
		sizes = append(sizes, seen)
	}
	for _, f := range forks {
		said, err := translog.ParseFork(f.Statement)
		if err != nil {
			return nil, err
		}
		if said.Good.Size > 0 && !slices.Contains(sizes, said.Good.Size) {
			sizes = append(sizes, said.Good.Size)
		}
	}
	paths := map[int64][]ledger.Hash{}
	for _, from := range sizes {
		if err := tree.load(ctx, translog.ConsistencyTiles(from, size)); err != nil {
			return nil, err
		}
		if paths[from], err = tree.nodes().Consistency(from, size); err != nil {
			return nil, err
		}
	}
	return paths, nil
}
