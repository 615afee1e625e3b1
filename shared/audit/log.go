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

// LogFrom judges the log from an index on, a multiple of a tile's width: that it has
// no gap, and that its tiles are those of its entries, up to the level above. It
// returns how many entries it looked at, 0 at the end.
func (a *Auditor) LogFrom(ctx context.Context, from int64) (found []store.Finding, looked int64, err error) {
	entries, err := a.DB.EntriesAt(ctx, from, logChunk)
	if err != nil {
		return nil, 0, err
	}
	for i, e := range entries {
		if e.LogIndex != from+int64(i) {
			missing := store.Finding{Reason: string(ReasonEntryMissing), Expected: fmt.Sprintf("log entry %d", from+int64(i)), Found: "none"}
			return append(found, missing), e.LogIndex/translog.TileWidth*translog.TileWidth + translog.TileWidth - from, nil
		}
	}
	if len(entries) == 0 {
		return nil, 0, nil
	}
	tiles, err := a.DB.Tiles(ctx, tilesOver(from, from+int64(len(entries))))
	if err != nil {
		return nil, 0, err
	}
	for at := 0; at < len(entries); at += translog.TileWidth {
		part := entries[at:min(at+translog.TileWidth, len(entries))]
		found = append(found, tile(tiles, (from+int64(at))/translog.TileWidth, part)...)
	}
	return found, int64(len(entries)), nil
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

// tile compares a tile of the lowest level with its entries, and the tiles above that
// end with it with what lies below them.
func tile(tiles translog.Tiles, index int64, entries []store.OtherEntry) (found []store.Finding) {
	differs := func(level int, index int64) store.Finding {
		return store.Finding{Reason: string(ReasonTileDiffers), Expected: "the hashes of what lies below", Found: fmt.Sprintf("tile %d/%d", level, index)}
	}
	var leaves []byte
	for _, e := range entries {
		leaf := translog.EntryLeaf(e.Hash)
		leaves = append(leaves, leaf[:]...)
	}
	if data := tiles[translog.TileID{Index: index}]; !bytes.HasPrefix(data, leaves) {
		found = append(found, differs(0, index))
	}
	if len(entries) < translog.TileWidth {
		return found
	}
	for level := 0; ; level++ {
		full := tiles[translog.TileID{Level: level, Index: index}]
		above := tiles[translog.TileID{Level: level + 1, Index: index / translog.TileWidth}]
		at := int(index%translog.TileWidth) * len(ledger.Hash{})
		var below translog.Range
		for hash := range slices.Chunk(full, len(ledger.Hash{})) {
			below.Append(ledger.Hash(hash))
		}
		root := below.Root()
		if below.Size() != translog.TileWidth || len(above) < at+len(root) || !bytes.Equal(above[at:at+len(root)], root[:]) {
			found = append(found, differs(level+1, index/translog.TileWidth))
		}
		if index%translog.TileWidth != translog.TileWidth-1 {
			return found
		}
		index /= translog.TileWidth
	}
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
	ring, _ := a.keyring(keys)
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
