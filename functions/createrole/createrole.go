// Package createrole serves job roles and industries: the job that an agent
// fills, and where it works.
package createrole

import (
	"maps"
	"net/http"

	"github.com/dlai-sd/plant/shared/domain"
	"github.com/dlai-sd/plant/shared/registry"
	"github.com/dlai-sd/plant/shared/registry/api"
)

// Handlers returns the function's operations by their id; the paths are the
// collections'.
func Handlers(s *registry.Service, near *api.Neighbours, jobRoles, industries string) map[string]http.Handler {
	all := api.New[domain.JobRole](s, jobRoles).Warning(near).Operations("JobRole", "JobRoles")
	maps.Copy(all, api.New[domain.Industry](s, industries).Warning(near).Operations("Industry", "Industries"))
	return all
}
