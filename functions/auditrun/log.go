package auditrun

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/dlai-sd/plant/shared/checkpoints"
	"github.com/dlai-sd/plant/shared/domain"
	"github.com/dlai-sd/plant/shared/ledger"
	"github.com/dlai-sd/plant/shared/sequencer"
	"github.com/dlai-sd/plant/shared/store"
	"github.com/dlai-sd/plant/shared/translog"
	"github.com/dlai-sd/plant/shared/web"
)

// The log is everybody's to read: it shows hashes, and how many there are.

const (
	plainText = "text/plain; charset=utf-8"
	binary    = "application/octet-stream"
)

// serve answers GET with content that is not JSON.
func serve(f func(*http.Request) (web.Content, error)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, err := f(r)
		if err == nil {
			_, err = web.Query(r)
		}
		if err != nil {
			web.Fail(w, r, err)
			return
		}
		web.WriteContent(w, r, c)
	})
}

func notThere(detail string) error { return web.Refuse(domain.CodeNotFound, "%s", detail) }

// published returns the newest checkpoint that the database knows to be published.
func published(ctx context.Context, db *store.DB) (store.Noted, error) {
	c, err := db.NewestCheckpoint(ctx)
	if errors.Is(err, store.ErrNotFound) {
		return c, noCheckpoint()
	}
	return c, err
}

// newest returns the newest checkpoint that is published, though the database is older
// than that: after a restore nobody is told an earlier truth.
func newest(ctx context.Context, log *sequencer.Sequencer) (store.Noted, error) {
	known, err := log.DB.NewestCheckpoint(ctx)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return known, err
	}
	n, note, err := log.Store.Newest(ctx, known.N+1)
	switch {
	case errors.Is(err, checkpoints.ErrNone) && known.N == 0:
		return known, noCheckpoint()
	case errors.Is(err, checkpoints.ErrNone):
		return known, nil
	case err != nil:
		return known, &domain.Error{Code: domain.CodeUnavailable, Detail: "The published checkpoints cannot be read now; try again.", Err: err}
	}
	c, err := translog.ReadCheckpoint(note)
	if err != nil {
		return known, fmt.Errorf("published checkpoint %d: %w", n, err)
	}
	return store.Noted{N: n, Size: c.Size, Root: c.Root, Note: note}, nil
}

func noCheckpoint() error { return notThere("No checkpoint is published yet.") }

// checkpoint is c2sp.org/tlog-tiles' <prefix>/checkpoint.
func checkpoint(ctx context.Context, log *sequencer.Sequencer) (web.Content, error) {
	c, err := newest(ctx, log)
	return web.Content{MediaType: plainText, Cache: web.CacheRevalidate, Body: c.Note}, err
}

// tile is c2sp.org/tlog-tiles' <prefix>/tile/…: of hashes, or a bundle of entries.
// What a checkpoint does not cover yet is not shown, nor what a restored database lacks.
func tile(ctx context.Context, log *sequencer.Sequencer, path string) (web.Content, error) {
	db := log.DB
	ref, err := translog.ParseTilePath(path)
	if err != nil {
		return web.Content{}, notThere("There is no tile of this path.")
	}
	size, err := shown(ctx, log, ref)
	if err != nil {
		return web.Content{}, err
	}
	body := []byte{}
	if covers(size, ref) {
		if body, err = tileBody(ctx, db, ref); err != nil {
			return web.Content{}, err
		}
	}
	if len(body) == 0 {
		return web.Content{}, notThere("The log does not reach that far.")
	}
	return web.Content{MediaType: binary, Cache: web.CacheForever, Body: body}, nil
}

// shown is how many entries are published and here, as far as a tile depends on it: the
// published checkpoints are looked at only where those that the database knows of do not
// reach.
func shown(ctx context.Context, log *sequencer.Sequencer, ref translog.TileRef) (int64, error) {
	c, err := published(ctx, log.DB)
	if err != nil || covers(c.Size, ref) {
		return c.Size, err
	}
	state, err := log.DB.LogState(ctx)
	if err != nil || !covers(state.Size, ref) {
		return c.Size, err
	}
	c, err = newest(ctx, log)
	return min(c.Size, state.Size), err
}

// covers reports whether the first size entries fill a tile to its width.
func covers(size int64, ref translog.TileRef) bool {
	for range ref.Level {
		size /= translog.TileWidth
	}
	return ref.Index <= size/translog.TileWidth && ref.Index*translog.TileWidth+int64(ref.Width) <= size
}

func tileBody(ctx context.Context, db *store.DB, ref translog.TileRef) ([]byte, error) {
	if ref.Entries {
		entries, err := db.Entries(ctx, ref.Index*translog.TileWidth, ref.Width)
		if err == nil && len(entries) != ref.Width {
			err = fmt.Errorf("bundle %s: %d entries", ref.Path(), len(entries))
		}
		return translog.EntryBundle(entries), err
	}
	tiles, err := db.Tiles(ctx, []translog.TileID{ref.TileID})
	if err != nil {
		return nil, err
	}
	data, size := tiles[ref.TileID], ref.Width*len(ledger.Hash{})
	if len(data) < size {
		return nil, fmt.Errorf("tile %s: %d bytes", ref.Path(), len(data))
	}
	return data[:size], nil
}

// proof is the proof (c2sp.org/tlog-proof) that an entry is in the log, under the
// newest published checkpoint.
func proof(ctx context.Context, db *store.DB, hash string) (web.Content, error) {
	entry, err := ledger.ParseHash(hash)
	if err != nil {
		return web.Content{}, web.Refuse(domain.CodeMalformed, "An entry is named by 64 lower-case hexadecimal digits, the hash of its record.")
	}
	c, err := published(ctx, db)
	if err != nil {
		return web.Content{}, err
	}
	index, err := db.PlaceOf(ctx, entry)
	if errors.Is(err, store.ErrNotFound) || err == nil && index >= c.Size {
		return web.Content{}, notThere("The log has no such entry, or its newest checkpoint does not cover it yet.")
	}
	if err != nil {
		return web.Content{}, err
	}
	tiles, err := db.Tiles(ctx, translog.InclusionTiles(index, c.Size))
	if err != nil {
		return web.Content{}, err
	}
	path, err := translog.Nodes(tiles.Node).Inclusion(index, c.Size)
	if err != nil {
		return web.Content{}, err
	}
	return web.Content{MediaType: plainText, Cache: web.CacheRevalidate, Body: translog.ProofText(index, path, c.Note)}, nil
}
