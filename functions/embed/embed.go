// Package embed turns texts into vectors, keeps every entity's vector up to date
// as events tell of changes, and finds entities by what they mean.
package embed

import (
	"context"
	"net/http"

	"github.com/dlai-sd/plant/shared/domain"
	"github.com/dlai-sd/plant/shared/embedding"
	"github.com/dlai-sd/plant/shared/event"
	"github.com/dlai-sd/plant/shared/registry"
	"github.com/dlai-sd/plant/shared/registry/vectors"
)

// Service is what the handlers rest on.
type Service struct {
	Registry *registry.Service
	Maker    *vectors.Maker
	Embedder *embedding.Embedder
	Dead     event.DeadLetter
}

// Handlers returns the function's operations by their id.
func (s Service) Handlers() map[string]http.Handler {
	return map[string]http.Handler{
		"generateEmbedding":     s.generate(),
		"search":                s.search(),
		"similarToText":         s.similarToText(),
		"listSimilarSkills":     s.similar(domain.KindSkill),
		"listSimilarJobRoles":   s.similar(domain.KindJobRole),
		"listSimilarIndustries": s.similar(domain.KindIndustry),
		"embedEvent":            event.Handler("embed", s.handle, s.Dead),
	}
}

// handle takes what was created or evolved; whatever else a subscription lets
// through needs nothing.
func (s Service) handle(ctx context.Context, e event.Event) error {
	return s.Maker.Handle(ctx, e)
}
