package main

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/dlai-sd/plant/shared/embedding"
	"github.com/dlai-sd/plant/shared/embedding/minilm"
	"github.com/dlai-sd/plant/shared/registry"
	"github.com/dlai-sd/plant/shared/registry/vectors"
	"github.com/dlai-sd/plant/shared/store"
)

type embedCmd struct {
	Backfill backfillCmd    `cmd:"" help:"Make the vectors that entities lack, in batches; run it before and after EMBED_MODEL is switched."`
	Status   embedStatusCmd `cmd:"" help:"How many entities have a vector, by model."`
}

type backfillCmd struct {
	Model string `help:"The model whose vectors are made." default:"all-MiniLM-L6-v2/mean-1"`
	InUse string `help:"The model that search uses: vectors of another one are only prepared, not signed." default:"all-MiniLM-L6-v2/mean-1" env:"EMBED_MODEL"`
}

type embedStatusCmd struct{}

// backfilled is what a backfill did.
type backfilled struct {
	Model    string `json:"model_id"`
	Made     int    `json:"made"`
	Entities int64  `json:"entities"`
	Embedded int64  `json:"embedded"`
}

// Run makes what is missing. Stopped at any moment it has done whole batches, and
// the next run does the rest.
func (c backfillCmd) Run(a *app) error {
	recipe, err := embedding.FindRecipe(c.Model)
	if err != nil {
		return advise(err, "one of "+modelIDs())
	}
	inUse, err := embedding.FindRecipe(c.InUse)
	if err != nil {
		return advise(err, "one of "+modelIDs())
	}
	db, err := a.openDB(a.settings.EmbedderURL, "PLANT_EMBEDDER_DATABASE_URL")
	if err != nil {
		return err
	}
	defer db.Close()
	maker, closeMaker, err := a.openMaker(a.ctx, db, inUse)
	if err != nil {
		return err
	}
	defer closeMaker()
	searched, embedded, err := db.Embedded(a.ctx, c.Model)
	if err != nil {
		return err
	}
	bar := a.bar(int(searched-embedded), "embedding")
	out := backfilled{Model: c.Model}
	out.Made, err = maker.Backfill(a.ctx, recipe, func(done int) { _ = bar.Set(min(done, int(searched-embedded))) })
	_ = bar.Finish()
	if err != nil {
		return advise(fmt.Errorf("after %d vectors: %w", out.Made, err), "run the same command again: it goes on where this one stopped")
	}
	if out.Entities, out.Embedded, err = db.Embedded(a.ctx, c.Model); err != nil {
		return err
	}
	return a.print(out, func() {
		fmt.Fprintf(a.stdout, "%d vectors made; %d of %d entities have one of %s.\n", out.Made, out.Embedded, out.Entities, out.Model)
	})
}

func modelIDs() (list string) {
	for i, r := range embedding.Recipes() {
		if i > 0 {
			list += ", "
		}
		list += r.ModelID
	}
	return list
}

// openMaker is what embed works with, on this machine's model.
func (a *app) openMaker(ctx context.Context, db *store.DB, inUse embedding.Recipe) (*vectors.Maker, func(), error) {
	dir, err := need(a.settings.ModelDir, "MODEL_DIR")
	if err != nil {
		return nil, nil, err
	}
	version, err := need(a.settings.AmendmentKey, "AMENDMENT_KEY")
	if err != nil {
		return nil, nil, err
	}
	source, closeSource, err := a.openSecrets()
	if err != nil {
		return nil, nil, err
	}
	model, err := minilm.Open(dir, minilm.Options{})
	if err != nil {
		closeSource()
		return nil, nil, advise(err, "MODEL_DIR names a folder with model.safetensors and vocab.txt")
	}
	log := slog.New(slog.DiscardHandler)
	s, err := registry.New(registry.Config{
		DB: db, Keys: source.Hold(registry.Successor(source, db, version), time.Now), Origin: a.settings.Origin, Log: log,
	})
	closeAll := func() { _ = model.Close(); closeSource() }
	if err != nil {
		closeAll()
		return nil, nil, err
	}
	return vectors.New(s, db, embedding.NewEmbedder(model, nil, log), []embedding.Recipe{inUse}), closeAll, nil
}

// Run prints the counts.
func (embedStatusCmd) Run(a *app) error {
	db, err := a.openDB(a.settings.EmbedderURL, "PLANT_EMBEDDER_DATABASE_URL")
	if err != nil {
		return err
	}
	defer db.Close()
	var list []backfilled
	for _, r := range embedding.Recipes() {
		one := backfilled{Model: r.ModelID}
		if one.Entities, one.Embedded, err = db.Embedded(a.ctx, r.ModelID); err != nil {
			return err
		}
		list = append(list, one)
	}
	return a.print(map[string]any{"models": list}, func() {
		for _, one := range list {
			fmt.Fprintf(a.stdout, "%-28s %d of %d entities\n", one.Model, one.Embedded, one.Entities)
		}
	})
}
