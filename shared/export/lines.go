package export

import (
	"context"
	"fmt"
	"iter"

	"github.com/dlai-sd/plant/shared/bundle"
	"github.com/dlai-sd/plant/shared/ledger"
	"github.com/dlai-sd/plant/shared/store"
	"github.com/dlai-sd/plant/shared/translog"
)

// page is how many records are held at once.
const page = 256

// reader reads the lines of a bundle, a page at a time. Each page is a transaction
// of its own: the log below the cut does not change.
type reader struct {
	db        *store.DB
	tree      *tree
	selected  store.Selection
	recordsAs string
	viewer    string
	size      int64
}

func (r reader) lines(ctx context.Context) iter.Seq2[bundle.Line, error] {
	return func(yield func(bundle.Line, error) bool) {
		for from := int64(0); ; {
			list, err := r.page(ctx, from)
			if err != nil {
				yield(bundle.Line{}, err)
				return
			}
			for _, l := range list {
				if !yield(l, nil) {
					return
				}
			}
			if len(list) < page {
				return
			}
			from = list[len(list)-1].LogIndex + 1
		}
	}
}

func (r reader) page(ctx context.Context, from int64) ([]bundle.Line, error) {
	logged, err := r.db.Logged(ctx, r.recordsAs, r.selected, from, r.size, page)
	if err != nil || len(logged) == 0 {
		return nil, err
	}
	openings, err := r.db.OpeningsOf(ctx, r.viewer, logged)
	if err != nil {
		return nil, err
	}
	var tiles []translog.TileID
	for _, l := range logged {
		tiles = append(tiles, translog.InclusionTiles(l.LogIndex, r.size)...)
	}
	if err := r.tree.load(ctx, tiles); err != nil {
		return nil, err
	}
	nodes := r.tree.nodes()
	lines := make([]bundle.Line, len(logged))
	for i, l := range logged {
		path, err := nodes.Inclusion(l.LogIndex, r.size)
		if err != nil {
			return nil, fmt.Errorf("entry %d: %w", l.LogIndex, err)
		}
		lines[i] = bundle.Line{Inclusion: path, Entry: ledger.Entry{LogIndex: l.LogIndex, Amendment: ledger.Amendment{
			Bytes: []byte(l.Record), Opening: openings[i], Signature: l.Signature, Batch: l.Batch,
		}}}
	}
	return lines, nil
}

// node names the root of a perfect subtree.
type node struct {
	level int
	index int64
}

const maxNodes = 1 << 14 // remembered, at about 100 bytes each

// tree reads the log's tree from its tiles. It holds those of the page at hand and
// those of the right edge, and remembers the nodes it made of them.
type tree struct {
	db    *store.DB
	size  int64
	edge  map[translog.TileID]bool
	tiles translog.Tiles
	made  map[node]ledger.Hash
}

func newTree(db *store.DB, size int64) *tree {
	t := &tree{db: db, size: size, edge: map[translog.TileID]bool{}, tiles: translog.Tiles{}, made: map[node]ledger.Hash{}}
	for _, id := range translog.EdgeTiles(size) {
		t.edge[id] = true
	}
	return t
}

// load reads the tiles that are wanted and not there, and drops those that are
// neither wanted nor of the edge.
func (t *tree) load(ctx context.Context, want []translog.TileID) error {
	wanted := map[translog.TileID]bool{}
	var missing []translog.TileID
	for _, id := range want {
		if _, held := t.tiles[id]; !held && !wanted[id] {
			missing = append(missing, id)
		}
		wanted[id] = true
	}
	for id := range t.tiles {
		if !wanted[id] && !t.edge[id] {
			delete(t.tiles, id)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	read, err := t.db.Tiles(ctx, missing)
	if err != nil {
		return fmt.Errorf("read tiles: %w", err)
	}
	for id, data := range read {
		t.tiles[id] = data
	}
	return nil
}

func (t *tree) nodes() translog.Nodes {
	return func(level int, index int64) (ledger.Hash, error) {
		at := node{level, index}
		if h, ok := t.made[at]; ok {
			return h, nil
		}
		h, err := t.tiles.Node(level, index)
		if err != nil {
			return h, err
		}
		if len(t.made) >= maxNodes {
			t.made = map[node]ledger.Hash{}
		}
		t.made[at] = h
		return h, nil
	}
}
