package main

import (
	"context"
	"fmt"
	"time"

	"github.com/dlai-sd/plant/functions/driftcheck"
	"github.com/dlai-sd/plant/functions/embed"
	"github.com/dlai-sd/plant/shared/drift"
	"github.com/dlai-sd/plant/shared/embedding"
	"github.com/dlai-sd/plant/shared/embedding/minilm"
	"github.com/dlai-sd/plant/shared/job"
	"github.com/dlai-sd/plant/shared/registry"
	"github.com/dlai-sd/plant/shared/registry/vectors"
	"github.com/dlai-sd/plant/shared/web"
)

// openEmbed opens the function that knows the model.
func (d *deps) openEmbed(ctx context.Context) (function, error) {
	recipes, err := d.recipes()
	if err != nil {
		return function{}, err
	}
	if err := inOrder(ctx, d.openDatabase, d.openTopic, d.openSigner, d.openBearer, d.openPush); err != nil {
		return function{}, err
	}
	s, err := registry.New(registry.Config{DB: d.db, Keys: d.signer, Origin: d.cfg.Origin, Outbox: d.outbox, Log: d.log})
	if err != nil {
		return function{}, err
	}
	embedder, err := d.openModel(ctx)
	if err != nil {
		return function{}, err
	}
	service := embed.Service{
		Registry: s, Embedder: embedder, Dead: d.dead.DeadLetter,
		Maker: vectors.New(s, d.db, embedder, recipes),
	}
	return function{
		handlers: service.Handlers(),
		checks:   []web.Check{d.schemaCheck(), d.constitutionCheck(), d.keyCheck(d.signer)},
	}, nil
}

// recipes are how vectors are made: the one in use, and the next if one is being
// filled.
func (d *deps) recipes() ([]embedding.Recipe, error) {
	inUse, err := d.recipeInUse()
	if err != nil {
		return nil, err
	}
	if d.cfg.NextModel == "" {
		return []embedding.Recipe{inUse}, nil
	}
	next, err := embedding.FindRecipe(d.cfg.NextModel)
	if err != nil {
		return nil, fmt.Errorf("configuration: EMBED_NEXT_MODEL: %w", err)
	}
	return []embedding.Recipe{inUse, next}, nil
}

// recipeInUse is how the vectors are made that are compared.
func (d *deps) recipeInUse() (embedding.Recipe, error) {
	recipe, err := embedding.FindRecipe(d.cfg.Model)
	if err != nil {
		return recipe, fmt.Errorf("configuration: EMBED_MODEL: %w", err)
	}
	return recipe, nil
}

// openModel reads the model, and prepares the cache if there is one. A cache that
// cannot be reached is no fault: answers do not depend on it.
func (d *deps) openModel(ctx context.Context) (*embedding.Embedder, error) {
	model, err := d.readModel(ctx)
	if err != nil {
		return nil, err
	}
	if d.cfg.RedisURL == "" {
		return embedding.NewEmbedder(model, nil, d.log), nil
	}
	cache, err := embedding.OpenCache(d.cfg.RedisURL)
	if err != nil {
		return nil, fmt.Errorf("configuration: REDIS_URL: %w", err)
	}
	d.closers = append(d.closers, cache.Close)
	return embedding.NewEmbedder(model, cache, d.log), nil
}

func (d *deps) readModel(ctx context.Context) (*minilm.Model, error) {
	model, err := minilm.Open(d.cfg.ModelDir, minilm.Options{Threads: d.cfg.Threads})
	if err != nil {
		return nil, err
	}
	d.closers = append(d.closers, model.Close)
	if !model.Accelerated() {
		d.log.WarnContext(ctx, "this machine lacks AVX2 and FMA: embeddings take ten times longer")
	}
	return model, nil
}

// openDriftCheck opens the function that compares what is with what was signed. It
// knows the model itself: what embed answers may come from a cache.
func (d *deps) openDriftCheck(ctx context.Context) (function, error) {
	if err := inOrder(ctx, d.openDatabase, d.openTopic, d.openSigner, d.openBearer, d.openPush); err != nil {
		return function{}, err
	}
	s, err := registry.New(registry.Config{DB: d.db, Keys: d.signer, Origin: d.cfg.Origin, Outbox: d.outbox, Log: d.log})
	if err != nil {
		return function{}, err
	}
	model, err := d.readModel(ctx)
	if err != nil {
		return function{}, err
	}
	if d.now == nil {
		d.now = time.Now
	}
	checker := &drift.Checker{
		Desk: job.Desk{Outbox: d.outbox, Logger: d.log, Now: d.now, Budget: driftcheck.Budget, Held: d.db.Held},
		DB:   d.db, Registry: s, Embedder: embedding.NewEmbedder(model, nil, d.log),
	}
	if d.cfg.DeadSubscription != "" {
		checker.Letters = d.letters.Count
	}
	return function{
		handlers: driftcheck.Service{Checker: checker, Dead: d.dead.DeadLetter}.Handlers(),
		checks:   []web.Check{d.schemaCheck(), d.constitutionCheck(), d.keyCheck(d.signer)},
		standing: true,
	}, nil
}
