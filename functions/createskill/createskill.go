// Package createskill serves skills: what an agent can do.
package createskill

import (
	"net/http"

	"github.com/dlai-sd/plant/shared/domain"
	"github.com/dlai-sd/plant/shared/registry"
	"github.com/dlai-sd/plant/shared/registry/api"
)

// Handlers returns the function's operations by their id; path is the
// collection's.
func Handlers(s *registry.Service, near *api.Neighbours, path string) map[string]http.Handler {
	return api.New[domain.Skill](s, path).Warning(near).Operations("Skill", "Skills")
}
