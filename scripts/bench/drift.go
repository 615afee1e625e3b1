package bench

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/google/uuid"

	"github.com/dlai-sd/plant/shared/domain"
	"github.com/dlai-sd/plant/shared/drift"
	"github.com/dlai-sd/plant/shared/embedding"
	"github.com/dlai-sd/plant/shared/embedding/minilm"
	"github.com/dlai-sd/plant/shared/job"
	"github.com/dlai-sd/plant/shared/registry"
	"github.com/dlai-sd/plant/shared/registry/vectors"
	"github.com/dlai-sd/plant/shared/store"
)

// checked is how many entities a drift check looks at.
const checked = 1000

const recipeInUse = "all-MiniLM-L6-v2/mean-1"

// measureDrift compares whole drift checks, which make every vector again, with
// the making of the same vectors alone, by the same model in the same process.
func measureDrift(ctx context.Context, w *world) ([]Row, error) {
	model, err := minilm.Open(w.modelDir, minilm.Options{})
	if err != nil {
		return nil, err
	}
	w.closing(model.Close)
	embedder := embedding.NewEmbedder(model, nil, slog.New(slog.DiscardHandler))
	recipe, err := embedding.FindRecipe(recipeInUse)
	if err != nil {
		return nil, err
	}
	n := max(2, int(checked*min(w.opts.Effort, 1)))
	texts, err := w.embedded(ctx, embedder, recipe, n)
	if err != nil {
		return nil, err
	}
	checker, err := w.checker(embedder)
	if err != nil {
		return nil, err
	}
	times, err := interleave(ctx, w.rounds(5),
		func(ctx context.Context) (time.Duration, error) {
			began := time.Now()
			_, err := embedder.Entities(ctx, recipe, texts)
			return time.Since(began) / time.Duration(n), err
		},
		func(ctx context.Context) (time.Duration, error) { return w.wholeCheck(ctx, checker, n) })
	if err != nil {
		return nil, err
	}
	return []Row{compared(
		fmt.Sprintf("drift check, %d embedded entities", n), perSecond, "the embedder alone, same texts", rates(times[1]), rates(times[0]), nil,
	)}, nil
}

// embedded creates n entities that have their vectors, and returns what those are
// made of.
func (w *world) embedded(ctx context.Context, embedder *embedding.Embedder, recipe embedding.Recipe, n int) ([]embedding.Entity, error) {
	authors, err := w.service(driftDatabase, 1)
	if err != nil {
		return nil, err
	}
	var texts []embedding.Entity
	for len(texts) < n {
		items := make([]registry.Candidate, min(registry.MaxBulk, n-len(texts)))
		for i := range items {
			skill, set := w.skill(imported)
			items[i] = registry.Candidate{Facts: skill, Settable: set}
			texts = append(texts, embedding.Entity{Name: skill.Name, Description: skill.Description})
		}
		if _, err := authors.CreateAll(ctx, w.request(), domain.KindSkill, items); err != nil {
			return nil, err
		}
	}
	db, err := w.open("plant_embedder", driftDatabase, 1)
	if err != nil {
		return nil, err
	}
	service, err := registry.New(w.registryOf(db, domain.UseAmendment))
	if err != nil {
		return nil, err
	}
	done, err := vectors.New(service, db, embedder, []embedding.Recipe{recipe}).Backfill(ctx, recipe, func(int) {})
	if err == nil && done != n {
		err = fmt.Errorf("%d vectors were made of %d", done, n)
	}
	return texts, err
}

// checker is the drift check as the function has it, with time for a whole run.
func (w *world) checker(embedder *embedding.Embedder) (*drift.Checker, error) {
	db, err := w.open("plant_drift", driftDatabase, 1)
	if err != nil {
		return nil, err
	}
	service, err := registry.New(w.registryOf(db, domain.UseAmendment))
	return &drift.Checker{
		Desk: job.Desk{Logger: slog.New(slog.DiscardHandler), Now: time.Now, Budget: limit, Held: db.Held},
		DB:   db, Registry: service, Embedder: embedder,
	}, err
}

// wholeCheck is a run over what the tenant owns, from its first phase to its last.
func (w *world) wholeCheck(ctx context.Context, c *drift.Checker, n int) (time.Duration, error) {
	id, err := uuid.NewV7()
	if err != nil {
		return 0, err
	}
	next, err := drift.Next(c.Desk, id.String())
	if err != nil {
		return 0, err
	}
	run := store.DriftRun{ID: id.String(), Principal: w.who.ID, GovernanceAgent: tenant, Phase: store.PhaseVectors}
	began := time.Now()
	if err := c.DB.AddDriftRun(ctx, tenant, run, next); err != nil {
		return 0, err
	}
	if err := c.Continue(ctx, id.String()); err != nil {
		return 0, err
	}
	took := time.Since(began)
	if run, err = c.DB.DriftRun(ctx, "", id.String()); err != nil {
		return 0, err
	}
	if run.Phase != store.PhaseDone || run.Figures[drift.FigureChecked] != int64(n) {
		return 0, errors.New("the drift check did not look at everything")
	}
	return took / time.Duration(n), nil
}
