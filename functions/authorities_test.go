package main

import (
	"bytes"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/dlai-sd/plant/shared/auth"
	"github.com/dlai-sd/plant/shared/domain"
	"github.com/dlai-sd/plant/shared/ledger"
	"github.com/dlai-sd/plant/shared/registry"
	"github.com/dlai-sd/plant/shared/store"
)

func TestAuthoritiesPageIsTheTable(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("AUTHORITIES.md")
	require.NoError(t, err)
	var b bytes.Buffer
	require.NoError(t, printAuthorities(&b))
	require.Equal(t, b.String(), string(page), "go run ./functions authorities > functions/AUTHORITIES.md")
}

// TestEveryRouteSaysWhatItChanges: a route that a principal may write through
// names its change, and each of them is in the table.
func TestEveryRouteSaysWhatItChanges(t *testing.T) {
	t.Parallel()
	operations := map[string]bool{}
	for _, r := range Routes() {
		operations[r.Operation] = true
		change, named := changes()[r.Operation]
		if r.Access == Bearer && !strings.HasPrefix(r.Pattern, "GET ") {
			require.True(t, named, "%s: add its change to authorities.go", r.Pattern)
		}
		if named {
			require.Equal(t, Bearer, r.Access, r.Pattern)
			require.True(t, change == "" || slices.ContainsFunc(domain.Permissions(), func(p domain.Permission) bool { return p.Change == change }), r.Pattern)
		}
	}
	for operation := range changes() {
		require.True(t, operations[operation], "there is no operation %s", operation)
	}
}

// holder is a principal with exactly these authorities.
type holder struct {
	auth.Principal
	token string
}

func (h holder) String() string { return fmt.Sprintf("own %v, platform %v", h.Authorities, h.Platform) }

// holds are all authorities that count within the holder's own tenant.
func (h holder) holds() []domain.Authority { return slices.Concat(h.Authorities, h.Platform) }

func (p *platform) holder(t *testing.T, tenant string, own, wide []domain.Authority) holder {
	t.Helper()
	who := auth.Principal{ID: uuid.NewString(), GovernanceAgent: tenant, Authorities: own, Platform: wide}
	who.Name = "h-" + who.ID
	db := p.Open(t, "plant_operator", 1)
	require.NoError(t, db.AddPrincipal(t.Context(), store.Principal{
		ID: who.ID, GovernanceAgent: tenant, Name: who.Name, Authorities: own, Platform: wide,
	}))
	return holder{who, p.Token(t, who)}
}

// holders are one of each kind: with nothing, with one authority, with all but
// one, with each set that a row asks for, with everything; held in the tenant,
// on the whole platform, and mixed.
func (p *platform) holders(t *testing.T) []holder {
	t.Helper()
	type set = []domain.Authority
	all := domain.Authorities()
	wide := without(all, domain.Author)
	list := []holder{p.holder(t, "acme", set{}, set{}), p.holder(t, "acme", all, set{}), p.holder(t, "acme", set{}, wide)}
	for _, a := range all {
		list = append(list, p.holder(t, "acme", set{a}, set{}), p.holder(t, "acme", without(all, a), set{}))
		if a != domain.Author {
			list = append(list, p.holder(t, "acme", set{}, set{a}), p.holder(t, "acme", set{domain.Author}, set{a}))
		}
	}
	for _, row := range domain.Permissions() {
		if len(row.Needs) > 1 {
			list = append(list, p.holder(t, "acme", row.Needs, set{}))
		}
	}
	return list
}

func without(list []domain.Authority, one domain.Authority) []domain.Authority {
	return slices.DeleteFunc(slices.Clone(list), func(a domain.Authority) bool { return a == one })
}

// placedAt puts an entity where a row begins, as nobody but a test can.
type placedAt struct{ row domain.Permission }

func (placedAt) Name() string                           { return domain.ChangeMoved }
func (placedAt) Needs(domain.Entity) []domain.Authority { return []domain.Authority{domain.Operator} }

func (c placedAt) Apply(e domain.Entity) (domain.Entity, error) {
	e.Governed.Status = c.row.From
	e.Governed.AmendmentAlignment, e.Governed.DriftDetector = domain.Aligned, nil
	if c.row.From == domain.UnderReview && slices.Contains(c.row.Needs, domain.Governor) && c.row.To != domain.Archived {
		e.Governed.AmendmentAlignment = domain.Drifted
		e.Governed.DriftDetector = &domain.Drift{ModelID: "test", PriorStatus: c.row.To}
	}
	if c.row.From == c.row.To {
		e.Governed.AmendmentAlignment, e.Governed.DriftDetector = domain.RequiresReview, nil
	}
	return e, nil
}

// claimed is a change that no route makes, asked for as its row says.
type claimed struct{ row domain.Permission }

func (c claimed) Name() string                           { return c.row.Change }
func (c claimed) Needs(domain.Entity) []domain.Authority { return c.row.Needs }
func (c claimed) Apply(e domain.Entity) (domain.Entity, error) {
	e.Governed.StatusReason = "claimed"
	return e, nil
}

// asked is a request that makes a row's change, answered without writing.
type asked struct {
	collection string
	call       call
}

// requests are those of the API that make a row's change of what stands in the
// world; none where no route makes it.
func (p *platform) requests(t *testing.T, row domain.Permission, of map[string]entity, bodies map[string]string) (list []asked) {
	t.Helper()
	on := func(collection, method, rest, body, media string) {
		list = append(list, asked{collection, call{
			method: method, path: collection + "/" + of[collection].ID + rest, body: body,
			header: map[string]string{"If-Match": p.etag(t, collection, of[collection].ID), "Content-Type": media, "Idempotency-Key": uuid.NewString()},
		}})
	}
	for collection := range of {
		switch {
		case row.Change == domain.ChangeCreated:
			list = append(list,
				asked{collection, call{method: "POST", path: collection + "?validate_only=true", body: bodies[collection]}},
				asked{collection, call{method: "POST", path: collection + "/batch?validate_only=true", body: `{"items":[` + bodies[collection] + `]}`}})
		case row.Change == domain.ChangeEvolved:
			on(collection, http.MethodPatch, "?validate_only=true", `{"tags":["seen"]}`, "application/merge-patch+json")
		case row.Change == domain.ChangeAssigned && collection == agents:
			on(collection, http.MethodPost, "/assign-team?validate_only=true", fmt.Sprintf(`{"team_id":%q}`, of[teams].ID), "application/json")
		case row.Change == domain.ChangeMoved && collection == skills:
			on(collection, http.MethodPost, "/transitions?validate_only=true", fmt.Sprintf(`{"to":%q,"reason":"why"}`, row.To), "application/json")
			if row.To == domain.Archived {
				on(collection, http.MethodDelete, "?validate_only=true&reason=why", "", "")
			}
		}
	}
	return list
}

// TestEveryRowWithEveryAuthority goes through the table: whoever holds what a row
// asks for may make its change, and nobody else, whatever else they hold.
func TestEveryRowWithEveryAuthority(t *testing.T) {
	t.Parallel()
	p := newPlatform(t)
	of, bodies := p.oneOfEach(t)
	holders := p.holders(t)
	stranger := p.holder(t, "rival", domain.Authorities(), nil)
	service := p.Service(t, 1)
	system := registry.Request{Who: registry.System("test"), Tenant: "acme"}
	skill := domain.ID(of[skills].ID)
	for _, row := range domain.Permissions() {
		what := row.Change + " " + string(row.From) + " " + string(row.To)
		if row.From != "" {
			_, err := service.Amend(t.Context(), system, skill, ledger.Hash{}, placedAt{row})
			require.NoError(t, err, what)
		}
		requests := p.requests(t, row, of, bodies)
		require.Equal(t, slices.Contains([]string{"created", "evolved", "assigned", "moved"}, row.Change), len(requests) > 0, what)
		for _, h := range holders {
			want := http.StatusForbidden
			if row.Allows(h.holds()) {
				want = http.StatusOK
			}
			for _, r := range requests {
				r.call.token = h.token
				a := p.at[r.collection].do(t, r.call)
				require.Equal(t, want, a.status, "%s by %s: %s %s: %s", what, h, r.call.method, r.call.path, a.body)
			}
			if len(requests) == 0 {
				request := requestOf(h.Principal)
				request.ValidateOnly = true
				_, err := service.Amend(t.Context(), request, skill, ledger.Hash{}, claimed{row})
				require.Equal(t, want == http.StatusOK, err == nil, "%s by %s: %v", what, h, err)
			}
		}
		for _, r := range requests {
			if row.Change == domain.ChangeCreated {
				continue // what one creates is one's own
			}
			r.call.token = stranger.token
			require.Equal(t, http.StatusNotFound, p.at[r.collection].do(t, r.call).status, "%s by a stranger", what)
		}
	}
}

// TestReadingNeedsNoAuthority: whoever belongs to the governance agent reads what
// it owns.
func TestReadingNeedsNoAuthority(t *testing.T) {
	t.Parallel()
	p := newPlatform(t)
	of, _ := p.oneOfEach(t)
	reader := p.holder(t, "acme", nil, nil)
	for _, r := range Routes() {
		method, path, _ := strings.Cut(r.Pattern, " ")
		collection, _, _ := strings.Cut(path, "/{id}")
		one, known := of[collection]
		if r.Access != Bearer || method != http.MethodGet || !known || r.Function == embedder || r.Function == certifier {
			continue
		}
		a := p.at[collection].do(t, call{method: method, path: strings.ReplaceAll(path, "{id}", one.ID), token: reader.token})
		require.Equal(t, http.StatusOK, a.status, r.Pattern)
	}
}

// oneOfEach makes an entity of each kind, and says what makes another.
func (p *platform) oneOfEach(t *testing.T) (of map[string]entity, bodies map[string]string) {
	t.Helper()
	of = map[string]entity{
		industries: p.create(t, industries, `{"name":"Shipbuilding"}`), skills: p.create(t, skills, plain("Welding")),
	}
	needed := p.create(t, skills, plain("Reading drawings")) // what others rest on stays as it is
	role := `{"name":%q,"required_skills":[%q],"seniority_level":"mid"}`
	of[jobRoles] = p.create(t, jobRoles, fmt.Sprintf(role, "Welder", needed.ID))
	agent := `{"name":%q,"skill_id":%q,"job_role_id":%q,"industry_id":%q}`
	of[agents] = p.create(t, agents, fmt.Sprintf(agent, "Weld 7", needed.ID, of[jobRoles].ID, of[industries].ID))
	member := p.create(t, agents, fmt.Sprintf(agent, "Weld 8", needed.ID, of[jobRoles].ID, of[industries].ID))
	other := p.create(t, skills, plain("Painting"))
	free := p.create(t, agents, fmt.Sprintf(agent, "Paint 1", other.ID, of[jobRoles].ID, of[industries].ID))
	of[teams] = p.create(t, teams, fmt.Sprintf(`{"name":"Yard","job_role_id":%q,"agents":[%q]}`, of[jobRoles].ID, member.ID))
	of[agents] = free
	return of, map[string]string{
		industries: `{"name":"Mining"}`, skills: plain("Drilling"), jobRoles: fmt.Sprintf(role, "Driller", needed.ID),
		agents: fmt.Sprintf(agent, "Drill 1", needed.ID, of[jobRoles].ID, of[industries].ID),
		teams:  fmt.Sprintf(`{"name":"Pit","job_role_id":%q,"agents":[%q]}`, of[jobRoles].ID, free.ID),
	}
}
