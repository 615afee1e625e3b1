package translog

import (
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/dlai-sd/plant/shared/ledger"
)

// Tiles are how a tree is kept and served (c2sp.org/tlog-tiles): the hash at
// place i of the tile (level, index) is the root over the 256^level leaves from
// (index*256 + i) * 256^level on.
const (
	TileHeight = 8               // levels of the tree in a tile
	TileWidth  = 1 << TileHeight // hashes in a full tile, entries in a full bundle
)

const hashSize = len(ledger.Hash{})

// TileID names a tile of hashes.
type TileID struct {
	Level int
	Index int64
}

// Tiles are tiles of one tree: the concatenated hashes of each. A tile at the
// right edge may be partial, and what it has will not change.
type Tiles map[TileID][]byte

// Node is a Nodes over the tiles that are there.
func (t Tiles) Node(level int, index int64) (ledger.Hash, error) {
	if level < 0 || index < 0 {
		return ledger.Hash{}, fmt.Errorf("no node at level %d, index %d", level, index)
	}
	below := level % TileHeight
	first := index << below
	id := TileID{Level: level / TileHeight, Index: first / TileWidth}
	from := int(first%TileWidth) * hashSize
	to := from + hashSize<<below
	if data := t[id]; to <= len(data) {
		return fold(data[from:to]), nil
	}
	return ledger.Hash{}, fmt.Errorf("tile %d/%d is not there that far", id.Level, id.Index)
}

// fold returns the root over hashes, as many as a power of two.
func fold(data []byte) ledger.Hash {
	if len(data) == hashSize {
		return ledger.Hash(data)
	}
	half := len(data) / 2
	return node(fold(data[:half]), fold(data[half:]))
}

// Grow adds leaves to a tree of a size, of which EdgeTiles(size) are there, and
// returns the tiles that it made or lengthened, each once.
func (t Tiles) Grow(size int64, leaves []ledger.Hash) []TileID {
	var changed []TileID
	seen := map[TileID]bool{}
	for i, leaf := range leaves {
		at, hash := size+int64(i), leaf
		for level := 0; ; level++ {
			id := TileID{Level: level, Index: at / TileWidth}
			t[id] = append(t[id], hash[:]...)
			if !seen[id] {
				seen[id], changed = true, append(changed, id)
			}
			if len(t[id]) < TileWidth*hashSize {
				break
			}
			at, hash = at/TileWidth, fold(t[id])
		}
	}
	return changed
}

// EdgeTiles are the partial tiles of a tree of a size: all that its root, and
// whoever appends, needs.
func EdgeTiles(size int64) []TileID {
	var ids []TileID
	for level := 0; size > 0; level++ {
		if size%TileWidth > 0 {
			ids = append(ids, TileID{Level: level, Index: size / TileWidth})
		}
		size /= TileWidth
	}
	return ids
}

// InclusionTiles are the tiles that the path from the leaf at index to the root
// of a size needs.
func InclusionTiles(index, size int64) []TileID {
	ids := EdgeTiles(size)
	for level := 0; size > 0; level++ {
		index /= TileWidth
		if id := (TileID{Level: level, Index: index}); index < (size+TileWidth-1)/TileWidth {
			ids = append(ids, id)
		}
		size /= TileWidth
	}
	return ids
}

// ConsistencyTiles are the tiles that the path from the root of a size to that
// of a larger one needs.
func ConsistencyTiles(from, to int64) []TileID {
	return append(EdgeTiles(from), InclusionTiles(max(from-1, 0), to)...)
}

// TileRef is what a path under tile/ names: a tile of hashes, or a bundle of
// entries.
type TileRef struct {
	Entries bool // a bundle of entries; Level is 0
	TileID
	Width int // hashes or entries: 1 to TileWidth, which is a full one
}

var errTilePath = errors.New("not the path of a tile")

// ParseTilePath reads what follows tile/ in the path of a tile, as
// c2sp.org/tlog-tiles writes it: <L>/<N>[.p/<W>] or entries/<N>[.p/<W>]. Each
// tile has one path.
func ParseTilePath(path string) (TileRef, error) {
	ref := TileRef{Width: TileWidth}
	kind, rest, _ := strings.Cut(path, "/")
	if ref.Entries = kind == "entries"; !ref.Entries {
		level, err := strconv.ParseUint(kind, 10, 8)
		if err != nil || level > 63 {
			return ref, errTilePath
		}
		ref.Level = int(level)
	}
	n, width, partial := strings.Cut(rest, ".p/")
	if partial {
		w, err := strconv.Atoi(width)
		if err != nil || w < 1 || w >= TileWidth {
			return ref, errTilePath
		}
		ref.Width = w
	}
	index, err := strconv.ParseInt(strings.NewReplacer("x", "", "/", "").Replace(n), 10, 64)
	if err != nil || index < 0 || index > maxInteger {
		return ref, errTilePath
	}
	ref.Index = index
	if ref.Path() != path {
		return ref, errTilePath
	}
	return ref, nil
}

// Path is what follows tile/ in the tile's path.
func (r TileRef) Path() string {
	n := fmt.Sprintf("%03d", r.Index%1000)
	for rest := r.Index / 1000; rest > 0; rest /= 1000 {
		n = fmt.Sprintf("x%03d/%s", rest%1000, n)
	}
	if r.Width < TileWidth {
		n += ".p/" + strconv.Itoa(r.Width)
	}
	if r.Entries {
		return "entries/" + n
	}
	return strconv.Itoa(r.Level) + "/" + n
}

// EntryBundle encodes entries as c2sp.org/tlog-tiles bundles them: each behind
// its length, a big-endian uint16.
func EntryBundle(entries []ledger.Hash) []byte {
	b := make([]byte, 0, len(entries)*(2+hashSize))
	for _, e := range entries {
		b = binary.BigEndian.AppendUint16(b, uint16(len(e)))
		b = append(b, e[:]...)
	}
	return b
}

// ProofText writes the proof that an entry is in the log (c2sp.org/tlog-proof):
// its index, its path to the root of the checkpoint, and the checkpoint as it
// was signed.
func ProofText(index int64, path []ledger.Hash, checkpoint []byte) []byte {
	b := []byte("c2sp.org/tlog-proof@v1\nindex " + strconv.FormatInt(index, 10) + "\n")
	for _, h := range path {
		b = base64.StdEncoding.AppendEncode(b, h[:])
		b = append(b, '\n')
	}
	return append(append(b, '\n'), checkpoint...)
}
