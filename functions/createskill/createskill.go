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
func Handlers(s *registry.Service, path string) map[string]http.Handler {
	skills := api.New[domain.Skill](s, path)
	return map[string]http.Handler{
		"createSkill":         skills.Create("createSkill"),
		"createSkills":        skills.CreateBatch("createSkills"),
		"listSkills":          skills.List(),
		"getSkill":            skills.Get(),
		"listSkillAmendments": skills.Amendments(),
	}
}
