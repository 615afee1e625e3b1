// Package birthagent serves agents and the teams they work in, says what would become
// of a team and what skills somebody lacks, and takes the steps of an agent's
// manufacture that follow from others.
package birthagent

import (
	"maps"
	"net/http"

	"github.com/dlai-sd/plant/shared/domain"
	"github.com/dlai-sd/plant/shared/event"
	"github.com/dlai-sd/plant/shared/registry"
	"github.com/dlai-sd/plant/shared/registry/api"
)

// Handlers returns the function's operations by their id; the paths are the
// collections'. Simulations compare vectors of the model with this id. Messages that can
// never be handled go to dead.
func Handlers(s *registry.Service, model string, dead event.DeadLetter, teams, agents string) map[string]http.Handler {
	born := api.New[domain.Agent](s, agents)
	all := born.Operations("Agent", "Agents")
	maps.Copy(all, api.New[domain.Team](s, teams).Operations("Team", "Teams"))
	maps.Copy(all, simulator{s, model}.handlers())
	all["assignTeam"] = born.Assign("assignTeam")
	all["getAgentManufacture"] = timeline(s)
	all["manufactureEvent"] = event.Handler(consumer, follow(s), dead)
	return all
}
