package main

import (
	"encoding/base64"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/dlai-sd/plant/shared/auth"
	"github.com/dlai-sd/plant/shared/domain"
	"github.com/dlai-sd/plant/shared/keys"
	"github.com/dlai-sd/plant/shared/ledger"
	"github.com/dlai-sd/plant/shared/registry"
	"github.com/dlai-sd/plant/shared/testkit/harness"
)

// certify certifies what is under review as the certifying function will. It
// returns the new ETag.
func (k *kit) certify(t *testing.T, tenant, id string) string {
	t.Helper()
	s, err := registry.New(registry.Config{
		DB:   k.Open(t, "plant_certifier", 1),
		Keys: k.Secrets.Hold(keys.Pinned(k.Keys[domain.UseCertification]), time.Now), Origin: harness.Origin, Log: slog.New(slog.DiscardHandler),
	})
	require.NoError(t, err)
	w, err := s.Amend(t.Context(), registry.Request{
		Who: k.Principal(t, tenant, domain.Genesis), Route: "certify", Key: uuid.NewString(),
	}, domain.ID(id), ledger.Hash{}, decision{})
	require.NoError(t, err)
	return ledger.Hash(w.Entity.Head.ETag).String()
}

// certified puts what is a draft under review and certifies it.
func (k *kit) certified(t *testing.T, who auth.Principal, id string) string {
	t.Helper()
	_, err := k.Service(t, 1).Amend(t.Context(), requestOf(who), domain.ID(id), ledger.Hash{}, domain.MoveTo{To: domain.UnderReview})
	require.NoError(t, err)
	return k.certify(t, who.GovernanceAgent, id)
}

// stage is a moment in an entity's life, and what another tenant sees of it
// then if it is public. Of a private one it never sees anything.
type stage struct {
	name    string
	do      func(t *testing.T, w *siege, collection, id string)
	version int64 // that is answered; 0: none
	listed  bool
	gone    bool
	shared  []int64 // the versions that can be read for ever
}

// lifeOfAShared are the stages in their order; the version is the position.
func lifeOfAShared() []stage {
	patch := func(body string) func(*testing.T, *siege, string, string) {
		return func(t *testing.T, w *siege, collection, id string) {
			w.mustChange(t, collection, "PATCH", id, "", body)
		}
	}
	move := func(body string) func(*testing.T, *siege, string, string) {
		return func(t *testing.T, w *siege, collection, id string) {
			w.mustChange(t, collection, "POST", id, "/transitions", body)
		}
	}
	certify := func(t *testing.T, w *siege, _, id string) { w.certify(t, "acme", id) }
	return []stage{
		{name: "draft", do: func(*testing.T, *siege, string, string) {}},
		{name: "draft, changed", do: patch(`{"governance_notes":"open"}`)},
		{name: "under review", do: move(`{"to":"under_review"}`)},
		{"certified", certify, 4, true, false, []int64{4}},
		{"active", move(`{"to":"active"}`), 5, true, false, []int64{4, 5}},
		{"being changed", patch(`{"name":"geheim six","governance_notes":"geheim six"}`), 5, false, false, []int64{4, 5}},
		{"changed again", patch(`{"name":"decided","governance_notes":null}`), 5, false, false, []int64{4, 5}},
		{"certified again", certify, 8, true, false, []int64{4, 5, 8}},
		{"deprecated", move(`{"to":"deprecated","reason":"done"}`), 9, true, false, []int64{4, 5, 8, 9}},
		{
			"archived", func(t *testing.T, w *siege, collection, id string) {
				w.mustChange(t, collection, "DELETE", id, "?reason=geheim+reason", "")
			}, 0, false, true, []int64{4, 5, 8, 9},
		},
	}
}

// TestWhatAnotherTenantSees follows an entity of every kind, public and private,
// through its life with another tenant's eyes.
func TestWhatAnotherTenantSees(t *testing.T) {
	t.Parallel()
	for _, collection := range everyCollection() {
		for _, visibility := range []string{"public", "private"} {
			t.Run(collectionName(collection)+" "+visibility, func(t *testing.T) {
				t.Parallel()
				w := newSiege(t)
				id := w.subject(t, collection, visibility)
				for i, s := range lifeOfAShared() {
					s.do(t, w, collection, id)
					if visibility == "private" {
						s.version, s.listed, s.gone, s.shared = 0, false, false, nil
						if !slices.Contains([]string{"certified", "active", "being changed", "archived"}, s.name) {
							continue
						}
					}
					w.looks(t, collection, id, int64(i+1), s)
					w.touches(t, collection, id, s)
				}
			})
		}
	}
}

func collectionName(collection string) string {
	return collection[strings.LastIndex(collection, "/")+1:]
}

// subject is an entity to be looked at, on which something private rests.
func (w *siege) subject(t *testing.T, collection, visibility string) string {
	t.Helper()
	body := w.mine(t, collection, "subject", fmt.Sprintf(`,"visibility":%q,"governance_notes":"geheim note"`, visibility))
	id := w.create(t, collection, body).ID
	child := w.create(t, collection, w.mine(t, collection, "geheim child", fmt.Sprintf(`,"parent_id":%q`, id)))
	w.secret = []string{"geheim", child.ID}
	return id
}

// mine is a body of the attacked tenant; a team gets an agent of its own.
func (w *siege) mine(t *testing.T, collection, name, more string) string {
	t.Helper()
	of := w.them.ids
	facts := map[string]string{
		skills:     `,"description":"x","category":"technical"`,
		industries: ``,
		jobRoles:   fmt.Sprintf(`,"required_skills":[%q],"seniority_level":"mid"`, of[skills]),
		agents:     fmt.Sprintf(`,"skill_id":%q,"job_role_id":%q,"industry_id":%q`, of[skills], of[jobRoles], of[industries]),
	}
	if collection == teams {
		agent := w.create(t, agents, fmt.Sprintf(`{"name":%q%s}`, "geheim agent of "+name, facts[agents])).ID
		facts[teams] = fmt.Sprintf(`,"job_role_id":%q,"agents":[%q]`, of[jobRoles], agent)
	}
	return fmt.Sprintf(`{"name":%q%s%s}`, name, facts[collection], more)
}

// sees is a GET as the attacker, in which nothing secret may stand.
func (w *siege) sees(t *testing.T, collection, rest string) answer {
	t.Helper()
	a := w.at[collection].do(t, call{method: "GET", path: collection + rest, token: w.token2})
	for _, secret := range w.secret {
		require.NotContains(t, string(a.body)+fmt.Sprint(a.header), secret, "%s%s", collection, rest)
	}
	return a
}

// looks reads all there is to read of an entity that stands at a version.
func (w *siege) looks(t *testing.T, collection, id string, at int64, s stage) {
	t.Helper()
	now := w.sees(t, collection, "/"+id)
	switch {
	case s.gone:
		require.Equal(t, http.StatusGone, now.status, s.name)
	case s.version == 0:
		require.Equal(t, http.StatusNotFound, now.status, s.name)
	default:
		require.Equal(t, http.StatusOK, now.status, "%s: %s", s.name, now.body)
		got := as[view](t, now)
		require.Equal(t, s.version, got.Version, s.name)
		require.Empty(t, got.Children, "private ones are not shown")
		require.Empty(t, as[entity](t, now).Agents)
		require.Empty(t, as[entity](t, now).Skills)
		require.True(t, got.TamperProof)
		seqs := []int64{}
		for _, h := range got.History {
			seqs = append(seqs, h.Seq)
		}
		require.Equal(t, s.shared, seqs, s.name)
	}
	var listed []string
	for _, item := range as[wrote](t, w.sees(t, collection, "?limit=100&include_archived=true")).Items {
		listed = append(listed, item.ID)
	}
	require.Equal(t, s.listed, slices.Contains(listed, id), s.name)
	for version := int64(1); version <= at+1; version++ {
		status := http.StatusNotFound
		if slices.Contains(s.shared, version) {
			status = http.StatusOK
		}
		require.Equal(t, status, w.sees(t, collection, fmt.Sprintf("/%s?version=%d", id, version)).status, "%s: version %d", s.name, version)
	}
	w.looksBack(t, collection, id, s)
}

// looksBack reads the proofs, the differences and who rests on it.
func (w *siege) looksBack(t *testing.T, collection, id string, s stage) {
	t.Helper()
	if len(s.shared) == 0 {
		for _, rest := range []string{"/amendments", "/diff", "/dependents", "?at=2999-01-31T12:00:00Z"} {
			require.Equal(t, http.StatusNotFound, w.sees(t, collection, "/"+id+rest).status, "%s: %s", s.name, rest)
		}
		return
	}
	first, last := s.shared[0], s.shared[len(s.shared)-1]
	require.Equal(t, last, as[view](t, w.sees(t, collection, "/"+id+"?at=2999-01-31T12:00:00Z")).Version)
	require.Equal(t, http.StatusNotFound, w.sees(t, collection, "/"+id+"/diff?from=1").status)
	require.Equal(t, http.StatusOK, w.sees(t, collection, fmt.Sprintf("/%s/diff?from=%d", id, first)).status)
	require.Empty(t, as[wrote](t, w.sees(t, collection, "/"+id+"/dependents")).Items, "private ones are not shown")
	seqs := []int64{}
	for _, p := range as[page[struct {
		Seq int64 `json:"seq"`
	}]](t, w.sees(t, collection, "/"+id+"/amendments")).Items {
		seqs = append(seqs, p.Seq)
	}
	require.Equal(t, s.shared, seqs)
	cursor := base64.RawURLEncoding.EncodeToString([]byte(fmt.Sprintf(`{"o":"seq","k":"%d","i":%q}`, first, id)))
	require.Len(t, as[page[proof]](t, w.sees(t, collection, "/"+id+"/amendments?cursor="+cursor)).Items, len(s.shared)-1)
}

// touches tries to change what is another's: seen or not, it stays as it is.
func (w *siege) touches(t *testing.T, collection, id string, s stage) {
	t.Helper()
	before := w.belongings(t)
	status := http.StatusNotFound
	if len(s.shared) > 0 {
		status = http.StatusForbidden
	}
	match := map[string]string{"If-Match": w.at[collection].do(t, call{method: "GET", path: collection + "/" + id, token: w.token}).header.Get("ETag")}
	if match["If-Match"] == "" { // archived
		match["If-Match"] = `"` + strings.Repeat("0", 64) + `"`
	}
	calls := []call{
		{method: "PATCH", path: collection + "/" + id, body: `{"tags":["mine"]}`},
		{method: "POST", path: collection + "/" + id + "/transitions", body: `{"to":"under_review"}`},
	}
	if collection == agents {
		calls = append(calls, call{method: "POST", path: agents + "/" + id + "/assign-team", body: `{"team_id":null}`})
	}
	author := w.Token(t, w.Principal(t, "globex", domain.Author, domain.Architect, domain.Governor))
	for _, c := range calls {
		for _, token := range []string{author, w.token2} {
			for _, query := range []string{"", "?validate_only=true"} {
				one := c
				one.path, one.token, one.header = c.path+query, token, match
				a, _ := w.strike(t, one, w.them)
				require.Contains(t, []int{status, http.StatusConflict}, a.status, "%s: %s", s.name, a.body)
				if token == author {
					require.Equal(t, status, a.status, "%s %s: %s", s.name, one.path, a.body)
				}
			}
		}
	}
	require.Equal(t, before, w.belongings(t), s.name)
}

// TestOthersRestOnWhatIsShared: what is shared can be referred to, and nobody
// learns of it but who may; what is shared once more later stays in reach, what
// is archived does not.
func TestOthersRestOnWhatIsShared(t *testing.T) {
	t.Parallel()
	w := newSiege(t)
	id := w.subject(t, skills, "public")
	child := func(name string) (int, string) {
		a := w.at[skills].post(t, w.token2, skills, fmt.Sprintf(`{"name":%q,"description":"x","category":"technical","parent_id":%q}`, name, id))
		return a.status, as[wrote](t, a).ID
	}
	may := func(want int, name string) string {
		t.Helper()
		status, id := child(name)
		require.Equal(t, want, status, name)
		return id
	}
	dependents := func(token string) (ids []string) {
		for _, item := range as[wrote](t, w.at[skills].get(t, token, skills+"/"+id+"/dependents")).Items {
			ids = append(ids, item.ID)
		}
		return ids
	}
	var own []string
	for i, s := range lifeOfAShared() {
		s.do(t, w, skills, id)
		want := http.StatusUnprocessableEntity
		if len(s.shared) > 0 && !s.gone {
			want = http.StatusCreated
		}
		if made := may(want, fmt.Sprint("child ", i)); made != "" {
			own = append(own, made)
			require.ElementsMatch(t, own, dependents(w.token2), "one's own, and nobody else's")
			require.Len(t, dependents(w.token), 1, "the owner does not hear who rests on it")
		}
	}
}

// TestNobodyJoinsAnothersTeam: a shared team can be seen, and joined by its
// owner's agents alone; the answer is that to a team that does not exist.
func TestNobodyJoinsAnothersTeam(t *testing.T) {
	t.Parallel()
	w := newSiege(t)
	owner := auth.Principal{ID: w.Principal(t, "acme", domain.Author).ID, GovernanceAgent: "acme", Authorities: []domain.Authority{domain.Author}}
	for _, collection := range []string{jobRoles, teams, agents} {
		w.mustChange(t, collection, "PATCH", w.them.ids[collection], "", `{"visibility":"public"}`)
		w.certified(t, owner, w.them.ids[collection])
	}
	role, team := w.them.ids[jobRoles], w.them.ids[teams]
	body := func(name, more string) string {
		return fmt.Sprintf(`{"name":%q,"skill_id":%q,"job_role_id":%q,"industry_id":%q%s}`, name, w.own.ids[skills], role, w.own.ids[industries], more)
	}
	a := w.at[agents].post(t, w.token2, agents, body("mine", ""))
	require.Equal(t, http.StatusCreated, a.status, "a shared role is anybody's: %s", a.body)
	mine := as[wrote](t, a).ID
	etag := a.header.Get("ETag")
	for _, id := range []string{team, w.nobody.ids[teams]} {
		for _, query := range []string{"", "?validate_only=true"} {
			for _, c := range []call{
				{path: agents + "/" + mine + "/assign-team" + query, body: fmt.Sprintf(`{"team_id":%q}`, id), header: map[string]string{"If-Match": etag}},
				{path: agents + query, body: body("born into it", fmt.Sprintf(`,"team_id":%q`, id))},
			} {
				c.method, c.token = "POST", w.token2
				refused := w.at[agents].do(t, c)
				require.Equal(t, http.StatusUnprocessableEntity, refused.status, "%s", refused.body)
				require.Equal(t, domain.Founding().Advised([]domain.Violation{domain.UnknownReferenceViolation(domain.Ref{Kind: domain.KindTeam, Field: "/team_id", Rule: domain.RuleAssignment})}),
					refused.problem(t).Violations)
			}
			batch := w.at[agents].post(t, w.token2, agents+"/batch"+query, `{"items":[`+body("born into it", fmt.Sprintf(`,"team_id":%q`, id))+`]}`)
			require.Contains(t, string(batch.body), `"refused":1`)
		}
	}
	for _, id := range []string{w.them.ids[agents], w.nobody.ids[agents]} { // and nobody takes another's agent
		body := fmt.Sprintf(`{"name":"mine","job_role_id":%q,"agents":[%q]}`, role, id)
		refused := w.at[teams].post(t, w.token2, teams, body)
		require.Equal(t, http.StatusUnprocessableEntity, refused.status, "%s", refused.body)
		require.Equal(t, domain.Founding().Advised([]domain.Violation{domain.Broken("L1-TEAM-01", "/agents/0", "you own no living agent with this id")}), refused.problem(t).Violations)
	}
	require.Equal(t, 1, w.count(t, "agent WHERE team_id = $1", team))
}
