package main

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"testing"

	"cloud.google.com/go/pubsub/v2/pstest"
	"github.com/stretchr/testify/require"

	"github.com/dlai-sd/plant/shared/domain"
)

// line is an agent's timeline as the tests look at it.
type line struct {
	Status    string             `json:"status"`
	TeamID    *string            `json:"team_id"`
	Stage     string             `json:"stage"`
	Submitted bool               `json:"submitted"`
	Missing   []domain.Violation `json:"missing"`
	Steps     []struct {
		Step   string  `json:"step"`
		Author string  `json:"author"`
		Reason *string `json:"reason"`
	} `json:"steps"`
}

func (l line) steps() string {
	var names []string
	for _, s := range l.Steps {
		names = append(names, s.Step)
	}
	return strings.Join(names, " ")
}

// factory is a board whose events can be delivered.
type factory struct {
	*board
	seen map[string]int
}

func (f *factory) line(t *testing.T, agent string) line {
	t.Helper()
	return as[line](t, f.get(t, agents, "/"+agent+"/manufacture"))
}

// flow delivers every event that was published, to both consumers, twice and in
// disorder, until nothing comes any more.
func (f *factory) flow(t *testing.T) {
	t.Helper()
	for {
		var fresh []*pstest.Message
		for _, m := range f.messages() {
			if f.seen[m.ID] == 0 {
				fresh = append(fresh, m, m)
			}
			f.seen[m.ID]++
		}
		if len(fresh) == 0 {
			return
		}
		rand.Shuffle(len(fresh), func(i, j int) { fresh[i], fresh[j] = fresh[j], fresh[i] })
		var all sync.WaitGroup
		for _, m := range fresh {
			all.Go(func() {
				for _, to := range []struct {
					s    *server
					path string
				}{{f.at[agents], "/events/manufacture"}, {f.certify, "/events/certify"}} {
					if a := to.s.push(t, to.path, m.Data, m.Attributes); a.status != http.StatusNoContent {
						t.Errorf("%s of %s: %d", to.path, m.Attributes["type"], a.status)
					}
				}
			})
		}
		all.Wait()
	}
}

// TestManufacture: from birth to work, each step once however often its event
// comes; rejection compensates, and does not start itself again.
func TestManufacture(t *testing.T) {
	t.Parallel()
	f := &factory{newBoard(t), map[string]int{}}
	g := f.ground(t, "Weld")
	f.flow(t)
	l := f.line(t, g.agent)
	require.Equal(t, []string{"assembly", "birth assembly"}, []string{l.Stage, l.steps()})
	require.Len(t, l.Missing, 2, "skill and role")
	require.True(t, l.Submitted)

	// The last of what it waits for lets it go on by itself.
	f.submit(t, skills, g.skill)
	f.must(t, skills, g.skill, yes)
	f.submit(t, jobRoles, g.role)
	f.flow(t)
	require.Equal(t, "assembly", f.line(t, g.agent).Stage)
	f.must(t, jobRoles, g.role, yes)
	f.flow(t)
	l = f.line(t, g.agent)
	require.Equal(t, []string{"certification", "birth assembly submission"}, []string{l.Stage, l.steps()})
	require.Equal(t, "system/birth-agent", l.Steps[2].Author)
	require.Empty(t, l.Missing)
	require.Equal(t, 1, f.count(t, "amendment WHERE entity_id = $1 AND change = 'moved'", g.agent))

	// A second agent of the team is rejected: out of the team, back to draft.
	skill := f.create(t, skills, plain("Other")).ID
	f.submit(t, skills, skill)
	f.must(t, skills, skill, yes)
	second := f.create(t, agents, fmt.Sprintf(`{"name":"Second","skill_id":%q,"job_role_id":%q,"industry_id":%q}`, skill, g.role, g.industry)).ID
	f.flow(t)
	require.Equal(t, "/team_id", f.line(t, second).Missing[0].Field)
	f.mustChange(t, agents, http.MethodPost, second, "/assign-team", fmt.Sprintf(`{"team_id":%q}`, g.team))
	f.flow(t)
	require.Equal(t, "under_review", f.line(t, second).Status)
	f.must(t, agents, second, no("reject", "It spills."))
	f.flow(t)
	l = f.line(t, second)
	require.Equal(t, []string{"assembly", "birth assembly submission compensation"}, []string{l.Stage, l.steps()})
	require.Nil(t, l.TeamID)
	require.Equal(t, "It spills.", *l.Steps[3].Reason)
	require.False(t, l.Submitted, "what was sent back is its author's to submit")
	f.mustChange(t, agents, http.MethodPost, second, "/assign-team", fmt.Sprintf(`{"team_id":%q}`, g.team))
	f.flow(t)
	f.must(t, agents, second, yes)
	f.must(t, agents, g.agent, yes)
	f.flow(t)
	for _, id := range []string{g.agent, second} {
		l = f.line(t, id)
		require.Equal(t, []string{"done", "active"}, []string{l.Stage, l.Status})
		require.True(t, strings.HasSuffix(l.steps(), "submission certification activation"), l.steps())
		require.Equal(t, 1, f.count(t, "amendment WHERE entity_id = $1 AND change = 'certified'", id))
	}

	// What an author takes back is not submitted again by the system.
	third := f.create(t, skills, plain("Third")).ID
	f.submit(t, skills, third)
	f.must(t, skills, third, yes)
	idle := f.create(t, agents, fmt.Sprintf(`{"name":"Idle","skill_id":%q,"job_role_id":%q,"industry_id":%q}`, third, g.role, g.industry)).ID
	f.mustChange(t, agents, http.MethodPost, idle, "/assign-team", fmt.Sprintf(`{"team_id":%q}`, g.team))
	f.flow(t)
	f.mustChange(t, agents, http.MethodPost, idle, "/transitions", `{"to":"draft"}`)
	f.must(t, skills, third, no("revoke", "again"))
	f.must(t, skills, third, yes)
	f.flow(t)
	l = f.line(t, idle)
	require.Equal(t, "draft", l.Status)
	require.False(t, l.Submitted)

	// Everything that ever came comes once more, and changes nothing.
	before := f.count(t, "amendment")
	f.seen = map[string]int{}
	f.flow(t)
	require.Equal(t, before, f.count(t, "amendment"))

	// And a skill that is withdrawn takes its agent from its work.
	f.must(t, skills, g.skill, no("revoke", "unsafe"))
	f.flow(t)
	l = f.line(t, g.agent)
	require.Equal(t, []string{"certification", "under_review"}, []string{l.Stage, l.Status})
	require.True(t, strings.HasSuffix(l.steps(), "withdrawal"))

	_, stranger := f.author(t, "globex")
	require.Equal(t, 404, f.at[agents].do(t, call{method: "GET", path: agents + "/" + g.agent + "/manufacture", token: stranger}).status)
}

// TestEventsOfManufactureAreTrusted: a principal's token opens nothing, and an
// event that names another governance agent moves nothing.
func TestEventsOfManufactureAreTrusted(t *testing.T) {
	t.Parallel()
	f := &factory{newBoard(t), map[string]int{}}
	g := f.ground(t, "Weld")
	for _, path := range []string{"/events/manufacture"} {
		require.Equal(t, 401, f.at[agents].do(t, call{method: "POST", path: path, token: f.token, body: "{}"}).status)
	}
	require.Equal(t, 401, f.certify.do(t, call{method: "POST", path: "/events/certify", token: f.token, body: "{}"}).status)
	f.certifyAll(t, g)
	for _, m := range f.messages() {
		if m.Attributes["type"] == "plant.agent.certified" {
			data := strings.ReplaceAll(string(m.Data), `"acme"`, `"globex"`)
			require.Equal(t, http.StatusNoContent, f.at[agents].push(t, "/events/manufacture", []byte(data), m.Attributes).status)
		}
	}
	require.Equal(t, "certified", f.line(t, g.agent).Status)
}
