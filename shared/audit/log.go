package audit

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/dlai-sd/plant/shared/ledger"
	"github.com/dlai-sd/plant/shared/store"
	"github.com/dlai-sd/plant/shared/translog"
)

// logChunk is how many entries of the log are looked at at once: whole tiles.
const logChunk = 40 * translog.TileWidth

// LogPart is what was found of a part of the log.
type LogPart struct {
	Findings []store.Finding
	Entries  int64 // that are there
	Next     int64 // where the part behind it begins
	More     bool  // whether there may be one
}

// LogFrom judges a part of the log from an index on, a multiple of a tile's width:
// that it has no gap, and that its tiles are those of its entries, up to the level
// above. A gap hides nothing of what is around it.
func (a *Auditor) LogFrom(ctx context.Context, from int64) (LogPart, error) {
	entries, err := a.DB.EntriesAt(ctx, from, logChunk)
	if err != nil || len(entries) == 0 {
		return LogPart{Next: from}, err
	}
	part := LogPart{Next: from + logChunk, More: len(entries) == logChunk}
	if first := wholeTiles(entries[0].LogIndex); first >= part.Next {
		return LogPart{Findings: []store.Finding{missing(from, first)}, Next: first, More: true}, nil
	}
	if beyond := slices.IndexFunc(entries, func(e store.OtherEntry) bool { return e.LogIndex >= part.Next }); beyond >= 0 {
		entries, part.More = entries[:beyond], true
	}
	end := entries[len(entries)-1].LogIndex + 1
	if part.More {
		end = part.Next
	}
	part.Entries, part.Findings = int64(len(entries)), gaps(entries, from, end)
	tiles, err := a.DB.Tiles(ctx, tilesOver(from, end))
	if err != nil {
		return part, err
	}
	for at := from; at < end; at += translog.TileWidth {
		part.Findings = append(part.Findings, tile(tiles, at/translog.TileWidth, entries, min(end-at, translog.TileWidth))...)
	}
	return part, nil
}

// wholeTiles is where the tile of an entry begins.
func wholeTiles(index int64) int64 { return index / translog.TileWidth * translog.TileWidth }

// missing is the finding of a gap that ends before an index.
func missing(from, before int64) store.Finding {
	what := fmt.Sprintf("log entry %d", from)
	if before > from+1 {
		what = fmt.Sprintf("log entries %d to %d", from, before-1)
	}
	return store.Finding{Reason: string(ReasonEntryMissing), Expected: what, Found: "none"}
}

// gaps finds every stretch from an index on, up to an end, that has no entries.
func gaps(entries []store.OtherEntry, from, end int64) (found []store.Finding) {
	for _, e := range entries {
		if e.LogIndex > from {
			found = append(found, missing(from, e.LogIndex))
		}
		from = e.LogIndex + 1
	}
	if from < end {
		found = append(found, missing(from, end))
	}
	return found
}

// tilesOver are the tiles over the entries from to below to, of every level.
func tilesOver(from, to int64) (ids []translog.TileID) {
	for level, first, last := 0, from/translog.TileWidth, (to-1)/translog.TileWidth; ; level++ {
		for i := first; i <= last; i++ {
			ids = append(ids, translog.TileID{Level: level, Index: i})
		}
		if last == 0 {
			return ids
		}
		first, last = first/translog.TileWidth, last/translog.TileWidth
	}
}

// tile compares a tile of the lowest level, of which the log has the first width
// entries, with those of them that are there, and the tiles above that end with it with
// what lies below them.
func tile(tiles translog.Tiles, index int64, entries []store.OtherEntry, width int64) (found []store.Finding) {
	differs := func(level int, index int64) store.Finding {
		return store.Finding{Reason: string(ReasonTileDiffers), Expected: "the hashes of what lies below", Found: fmt.Sprintf("tile %d/%d", level, index)}
	}
	data, size := tiles[translog.TileID{Index: index}], int64(len(ledger.Hash{}))
	same := int64(len(data)) >= width*size
	for _, e := range entries {
		if e.LogIndex/translog.TileWidth != index || !same {
			continue
		}
		leaf, at := translog.EntryLeaf(e.Hash), e.LogIndex%translog.TileWidth*size
		same = bytes.Equal(data[at:at+size], leaf[:])
	}
	if !same {
		found = append(found, differs(0, index))
	}
	if width < translog.TileWidth {
		return found
	}
	for level := 0; ; level++ {
		full := tiles[translog.TileID{Level: level, Index: index}]
		above := tiles[translog.TileID{Level: level + 1, Index: index / translog.TileWidth}]
		if !rootStands(full, above, index%translog.TileWidth) {
			found = append(found, differs(level+1, index/translog.TileWidth))
		}
		if index%translog.TileWidth != translog.TileWidth-1 {
			return found
		}
		index /= translog.TileWidth
	}
}

// LogEnd judges what is behind the log's last part: that it is the one that was
// published, that the newest heads record says what it says, and that what is in force
// was enacted.
func (a *Auditor) LogEnd(ctx context.Context) (found []store.Finding, err error) {
	for _, judge := range []func(context.Context) ([]store.Finding, error){a.Stopped, a.Heads, a.Laws} {
		more, err := judge(ctx)
		if err != nil {
			return nil, err
		}
		found = append(found, more...)
	}
	return found, nil
}

// WholeLog judges every part of the log and its end, and counts its entries.
func (a *Auditor) WholeLog(ctx context.Context) (found []store.Finding, entries int64, err error) {
	for part := (LogPart{More: true}); part.More; {
		if part, err = a.LogFrom(ctx, part.Next); err != nil {
			return nil, 0, err
		}
		found, entries = append(found, part.Findings...), entries+part.Entries
	}
	end, err := a.LogEnd(ctx)
	return append(found, end...), entries, err
}

// rootStands reports whether a full tile's root stands at a place of the tile above it.
// Neither needs to be one: they are bytes that somebody may have changed.
func rootStands(full, above []byte, place int64) bool {
	size := len(ledger.Hash{})
	if len(full) != translog.TileWidth*size {
		return false
	}
	var below translog.Range
	for hash := range slices.Chunk(full, size) {
		below.Append(ledger.Hash(hash))
	}
	root, at := below.Root(), int(place)*size
	return len(above) >= at+size && bytes.Equal(above[at:at+size], root[:])
}

// Heads judges the newest heads record: its signature, and that it says what the log
// before it says. Below scope all an auditor outside has only its signer's word.
func (a *Auditor) Heads(ctx context.Context) ([]store.Finding, error) {
	record, at, err := a.DB.NewestHeads(ctx)
	if errors.Is(err, store.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	keys, err := a.DB.KeptOf(ctx, nil)
	if err != nil {
		return nil, err
	}
	ring, _, _ := a.keyring(keys)
	differs := func(expected, is string) []store.Finding {
		return []store.Finding{{Reason: string(ReasonHeadsDiffer), Expected: expected, Found: is}}
	}
	if err := translog.JudgeHeads(ring, record.Record, record.Signature, at); err != nil {
		return differs("a heads record that a heads key in force signed", err.Error()), nil
	}
	h, err := translog.ReadHeads(record.Record)
	if err != nil {
		return differs("a heads record", err.Error()), nil
	}
	top, err := a.DB.TopList(ctx, at)
	if errors.Is(err, store.ErrNotFound) {
		return differs("the tenants of the log", "a tenant without a salt"), nil
	}
	if err != nil {
		return nil, err
	}
	rows := make([]translog.TenantRow, len(top))
	for i, t := range top {
		rows[i] = t.Row
	}
	translog.SortRows(rows)
	if err := translog.CheckTop(h, rows); err != nil {
		return differs("the heads of all entities in the log", err.Error()), nil
	}
	return nil, nil
}
