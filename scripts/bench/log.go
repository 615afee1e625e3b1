package bench

import (
	"context"
	"fmt"
	"path/filepath"
	"time"

	"github.com/dlai-sd/plant/shared/checkpoints"
	"github.com/dlai-sd/plant/shared/domain"
	"github.com/dlai-sd/plant/shared/keys"
	"github.com/dlai-sd/plant/shared/ledger"
	"github.com/dlai-sd/plant/shared/registry"
	"github.com/dlai-sd/plant/shared/sequencer"
	"github.com/dlai-sd/plant/shared/store"
	"github.com/dlai-sd/plant/shared/translog"
)

// logged is how many amendments the log takes in one go.
const logged = 100_000

// measureLog measures how fast amendments that wait get their places, against the
// hashing of the same tree alone, and what a heads record over all of them takes.
func measureLog(ctx context.Context, w *world) ([]Row, error) {
	service, err := w.service(logDatabase, 1)
	if err != nil {
		return nil, err
	}
	db, err := w.open("plant_auditor", logDatabase, 2)
	if err != nil {
		return nil, err
	}
	n := max(registry.MaxBulk, int(logged*min(w.opts.Effort, 1)))
	for range n / registry.MaxBulk {
		if _, err := w.createAlls(service, imported, registry.MaxBulk)(ctx); err != nil {
			return nil, err
		}
	}
	rows, err := sequenced(ctx, db, n)
	if err != nil {
		return rows, err
	}
	published, err := checkpoints.NewFolder(filepath.Join(w.dir, "log"))
	if err != nil {
		return rows, err
	}
	s := sequencer.New(sequencer.Config{
		DB: db, Store: published, Origin: origin, Checkpoint: w.secrets.Hold(keys.Pinned(w.versions[domain.UseCheckpoint]), time.Now),
		Heads: w.secrets.Hold(keys.Pinned(w.versions[domain.UseHeads]), time.Now),
	})
	var seals []float64
	for range w.rounds(5) {
		began := time.Now()
		if _, err := s.Seal(ctx); err != nil {
			return rows, err
		}
		seals = append(seals, time.Since(began).Seconds()*1e3)
	}
	return append(rows, told(fmt.Sprintf("heads record and checkpoint, %d entities", n), "ms", seals)), nil
}

// sequenced gives places chunk by chunk, a round each.
func sequenced(ctx context.Context, db *store.DB, n int) ([]Row, error) {
	var placing, hashing []float64
	leaves := make([]ledger.Hash, sequencer.Chunk)
	for i := range leaves {
		leaves[i] = ledger.HashOf([]byte{byte(i), byte(i >> 8)})
	}
	began := time.Now()
	for {
		start := time.Now()
		placed, err := db.Sequence(ctx, sequencer.Chunk, "")
		if err != nil {
			return nil, err
		}
		if placed < sequencer.Chunk {
			break
		}
		placing = append(placing, float64(placed)/time.Since(start).Seconds())
		start = time.Now()
		for _, leaf := range leaves {
			_ = translog.EntryLeaf(leaf)
		}
		translog.Tiles{}.Grow(0, leaves)
		hashing = append(hashing, float64(len(leaves))/time.Since(start).Seconds())
	}
	whole := time.Since(began)
	if len(placing) == 0 { // less than a chunk: a small run
		placing, hashing = []float64{float64(n) / whole.Seconds()}, []float64{1}
	}
	row := compared(fmt.Sprintf("places in the log, %d amendments", n), perSecond, "hashing the tree alone", placing, hashing, nil)
	row.Note = fmt.Sprintf("%d amendments got their places in %s", n, whole.Round(time.Millisecond))
	return []Row{row}, nil
}
