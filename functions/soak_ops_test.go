package main

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"

	"github.com/stretchr/testify/require"

	"github.com/dlai-sd/plant/shared/domain"
)

type operation struct {
	name   string
	weight int
	do     func(*step)
}

// operations are what callers do, each as often as its weight.
func operations() []operation {
	return []operation{
		{"create", 20, (*step).create},
		{"create batch", 4, (*step).createBatch},
		{"dry run", 3, (*step).dryRun},
		{"patch", 16, (*step).patch},
		{"move", 16, (*step).move},
		{"certify", 9, (*step).certify},
		{"archive", 4, (*step).archive},
		{"assign", 6, (*step).assign},
		{"get", 6, (*step).get},
		{"get past", 6, (*step).getPast},
		{"look around", 8, (*step).lookAround},
		{"list", 6, (*step).list},
		{"repeat", 5, (*step).repeat},
		{"at once", 4, (*step).atOnce},
		{"stale", 4, (*step).stale},
		{"invalid", 6, (*step).invalid},
	}
}

func (st *step) create() {
	collection := of(st, skills, skills, jobRoles, industries, agents, agents, agents, teams)
	body, role := st.body(collection)
	st.write(st.name, call{method: "POST", path: collection, body: body}, collection, role)
}

func (st *step) createBatch() {
	collection := of(st, everyCollection()...)
	body, role := st.body(collection)
	items := []string{body}
	for range st.one(4) {
		if next, same := st.body(collection); same == role || collection != agents && collection != teams {
			items = append(items, next)
		}
	}
	if st.one(3) == 0 {
		items = append(items, `{"colour":1}`)
	}
	st.write(st.name, call{method: "POST", path: collection + "/batch", body: `{"items":[` + strings.Join(items, ",") + `]}`}, collection, role)
}

func (st *step) dryRun() {
	if k := st.target(everyCollection()...); k.id != "" && st.one(2) == 0 {
		st.change(k, call{method: "PATCH", path: k.collection + "/" + k.id + "?validate_only=true", body: `{"tags":["dry"]}`})
		return
	}
	collection := of(st, everyCollection()...)
	body, role := st.body(collection)
	st.write(st.name, call{method: "POST", path: collection + of(st, "", "/batch") + "?validate_only=true", body: body}, collection, role)
}

// change sends a change under the ETag that was last heard of, and learns from
// a refusal what it is now.
func (st *step) change(k known, c call) answer {
	if k.id == "" {
		return answer{}
	}
	if c.header == nil {
		c.header = map[string]string{}
	}
	if _, given := c.header["If-Match"]; !given {
		c.header["If-Match"] = `"` + k.etag + `"`
	}
	a := st.write(st.name, c, k.collection, k.role)
	if a.status == http.StatusPreconditionFailed {
		st.mu.Lock()
		defer st.mu.Unlock()
		for _, one := range st.entities[k.collection] {
			if one.id == k.id && one.etag == k.etag {
				one.etag = strings.Trim(a.header.Get("ETag"), `"`)
			}
		}
	}
	return a
}

func (st *step) patch() {
	k := st.target(everyCollection()...)
	m := st.settable()
	switch st.one(8) {
	case 0:
		m["name"] = fmt.Sprintf("Renamed %d", st.one(int(st.ops)))
	case 1:
		m["description"] = fmt.Sprintf("In other words %d", st.i)
	case 2:
		m["parent_id"] = st.refer(k.collection)
	case 3:
		m["governance_notes"], m["tags"] = nil, nil
	case 4:
		switch k.collection {
		case skills:
			m["category"] = of(st, domain.Categories()...)
		case jobRoles:
			m["required_skills"] = []string{st.refer(skills), st.refer(skills)}
		case agents, teams:
			m[of(st, "job_role_id", "skill_id")] = st.refer(jobRoles)
		}
	}
	st.change(k, call{method: "PATCH", path: k.collection + "/" + k.id, body: st.marshal(m)})
}

// next are the moves that the table allows; others are tried as well.
func (st *step) move() {
	k := st.target(everyCollection()...)
	to := map[string]domain.Status{
		"draft": domain.UnderReview, "under_review": of(st, domain.Draft, domain.Certified), "certified": of(st, domain.Active, domain.Active, domain.Deprecated),
		"active": of(st, domain.Deprecated, domain.UnderReview), "deprecated": domain.Archived,
	}[k.status]
	if st.one(10) == 0 {
		to = of(st, domain.Statuses()...)
	}
	m := map[string]any{"to": to}
	if st.one(3) > 0 {
		m["reason"] = "because"
	}
	if to == domain.Deprecated && st.one(2) == 0 || st.one(20) == 0 {
		m["superseded_by"] = of(st, st.refer(k.collection), st.refer(k.collection), st.refer(k.collection), k.id)
	}
	st.change(k, call{method: "POST", path: k.collection + "/" + k.id + "/transitions", body: st.marshal(m)})
}

func (st *step) archive() {
	k := st.target(everyCollection()...)
	st.change(k, call{method: "DELETE", path: k.collection + "/" + k.id + of(st, "", "?reason=done", "?reason=done")})
}

func (st *step) assign() {
	k := st.target(agents)
	team := known{}
	for range 6 {
		if team, _ = st.pick(teams, st.one(8) > 0); team.role == k.role {
			break
		}
	}
	body := st.marshal(map[string]any{"team_id": team.id})
	if st.one(4) == 0 {
		body = `{"team_id":null}`
	}
	st.change(k, call{method: "POST", path: agents + "/" + k.id + "/assign-team", body: body})
}

func (st *step) get() {
	k := st.target(everyCollection()...)
	a := st.send(call{method: "GET", path: k.collection + "/" + k.id})
	if a.status == http.StatusOK {
		require.GreaterOrEqual(st.t, as[wrote](st.t, a).Version, int64(1))
	}
}

func (st *step) getPast() {
	k := st.target(everyCollection()...)
	if st.one(3) == 0 {
		st.send(call{method: "GET", path: k.collection + "/" + k.id + "?at=" + of(st, "2026-01-31T12:00:00Z", "2999-01-31T12:00:00Z")})
		return
	}
	version := 1 + st.r.Int64N(k.version+1)
	a := st.send(call{method: "GET", path: fmt.Sprintf("%s/%s?version=%d", k.collection, k.id, version)})
	if a.status == http.StatusOK {
		require.Equal(st.t, version, as[wrote](st.t, a).Version)
	} else if k.tenant == st.who.GovernanceAgent {
		require.Equal(st.t, http.StatusNotFound, a.status)
		require.Greater(st.t, version, k.version)
	}
}

func (st *step) lookAround() {
	k := st.target(everyCollection()...)
	a := st.send(call{method: "GET", path: k.collection + "/" + k.id + of(st, "/amendments", "/diff", "/dependents")})
	if k.tenant == st.who.GovernanceAgent {
		require.Equal(st.t, http.StatusOK, a.status, "%s", a.body)
	}
}

// list holds a page to what its reader may see.
func (st *step) list() {
	collection := of(st, everyCollection()...)
	query := of(st, "?limit=100&order_by=-updated_at", "?order_by=name&name_prefix=w", "?status=certified&limit=7", "?include_archived=true",
		"?tag="+url.QueryEscape("Ü"), "?external_id="+url.QueryEscape(fmt.Sprintf("e:%d", st.one(int(st.ops)))))
	a := st.send(call{method: "GET", path: collection + query})
	require.Equal(st.t, http.StatusOK, a.status, "%s", a.body)
	for _, item := range as[wrote](st.t, a).Items {
		shared := item.Visibility == "public" && slices.Contains([]string{"certified", "active", "deprecated"}, item.standing())
		require.True(st.t, shared || item.Tenant == st.who.GovernanceAgent, "%s", a.body)
	}
}

// repeat sends an acknowledged write again: the answer is the first one's.
func (st *step) repeat() {
	st.mu.Lock()
	w := st.writes[st.one(len(st.writes))]
	first := st.sent[w.request]
	st.mu.Unlock()
	if first.answer.body == nil { // certified beside the API
		return
	}
	if st.one(4) == 0 {
		again := first.call
		again.body = strings.Replace(again.body, `"`, ` "`, 1)
		if again.body != first.call.body {
			require.Contains(st.t, []int{400, 422}, st.again(again).status, "the key is another request's")
			return
		}
	}
	a := st.again(first.call)
	require.Equal(st.t, first.answer.status, a.status, "%s", a.body)
	require.Equal(st.t, "true", a.header.Get("Idempotency-Replayed"))
	require.Equal(st.t, first.answer.header.Get("ETag"), a.header.Get("ETag"))
	sameAnswer(st.t, first.answer.body, a.body)
}

// again sends a call that was sent before, under its own key.
func (st *step) again(c call) answer {
	request := fmt.Sprintf("op-%d-%d", st.i, st.n)
	st.n++
	key := c.header["Idempotency-Key"]
	c.header = map[string]string{
		"Idempotency-Key": key, "X-Request-ID": request, "If-Match": c.header["If-Match"], "Content-Type": c.header["Content-Type"],
	}
	if c.header["Content-Type"] == "" {
		c.header["Content-Type"] = "application/json"
	}
	return st.sendAs(request, c)
}

// atOnce sends one write several times together: it is done once, and all are
// told the same.
func (st *step) atOnce() {
	collection, role := of(st, skills, agents, teams), ""
	var c call
	if k := st.target(everyCollection()...); st.one(2) == 0 && k.id != "" {
		collection, role = k.collection, k.role
		c = call{method: "PATCH", path: k.collection + "/" + k.id, body: st.marshal(map[string]any{"governance_notes": fmt.Sprint("at once ", st.i)})}
		c.header = map[string]string{"If-Match": `"` + k.etag + `"`}
	} else {
		c = call{method: "POST", path: collection}
		c.body, role = st.body(collection)
	}
	if c.header == nil {
		c.header = map[string]string{}
	}
	c.header["Idempotency-Key"] = fmt.Sprintf("at-once-%d", st.i)
	answers := make([]answer, 4)
	var group sync.WaitGroup
	for i := range answers {
		request := fmt.Sprintf("op-%d-%d", st.i, st.n)
		st.n++
		group.Go(func() {
			answers[i] = st.sendAs(request, c)
			if answers[i].status < 300 {
				st.remember(request, collection, role, c, answers[i])
			}
		})
	}
	group.Wait()
	var firsts, repeats []answer
	for _, a := range answers {
		switch {
		case a.status < 300 && a.header.Get("Idempotency-Replayed") == "":
			firsts = append(firsts, a)
		case a.status < 300:
			repeats = append(repeats, a)
		default:
			require.NotZero(st.t, a.status)
		}
	}
	require.LessOrEqual(st.t, len(firsts), 1, "it was done twice")
	if len(firsts) == 0 {
		require.Empty(st.t, repeats)
		return
	}
	for _, a := range answers {
		require.Contains(st.t, []int{firsts[0].status, http.StatusServiceUnavailable}, a.status, "%s %s was done, and this repeat is told: %s", c.method, c.path, a.body)
	}
	for _, a := range repeats {
		sameAnswer(st.t, firsts[0].body, a.body)
	}
}

// stale sends a change under an entity's first ETag, or none.
func (st *step) stale() {
	k := st.target(everyCollection()...)
	c := call{method: "PATCH", path: k.collection + "/" + k.id, body: `{"governance_notes":"too late"}`, header: map[string]string{"If-Match": `"` + k.first + `"`}}
	if st.one(3) == 0 {
		c.header["If-Match"] = ""
	}
	a := st.change(k, c)
	if c.header["If-Match"] == "" {
		require.Equal(st.t, http.StatusPreconditionRequired, a.status)
	} else if k.tenant == st.who.GovernanceAgent && k.first != k.etag && st.who.Holds(domain.Author) {
		require.NotEqual(st.t, http.StatusOK, a.status)
	}
}

// invalid sends what no rule lets pass.
func (st *step) invalid() {
	k := st.target(everyCollection()...)
	absent, err := domain.NewID()
	require.NoError(st.t, err)
	path := k.collection + "/" + k.id
	a := st.change(k, of(
		st,
		call{method: "POST", path: k.collection, body: `{"name":`},
		call{method: "POST", path: k.collection, body: `{"name":"x","name":"y"}`},
		call{method: "POST", path: k.collection, body: `{"colour":"red"}`},
		call{method: "POST", path: k.collection, body: `{}`},
		call{method: "POST", path: k.collection, body: `{"name":"x","parent_id":"x"}`},
		call{method: "POST", path: k.collection + "/batch", body: `{"items":[]}`},
		call{method: "POST", path: teams, body: `{"name":"t","job_role_id":"` + string(absent) + `","agents":["x"]}`},
		call{method: "POST", path: teams + "/batch", body: `{"items":[{"name":"t","job_role_id":"x","agents":["x"]}],"more":1}`},
		call{method: "POST", path: k.collection, body: `{"name":"x","parent_id":"` + string(absent) + `"}`},
		call{method: "PATCH", path: path, body: `{"id":"x"}`},
		call{method: "PATCH", path: path, body: `{"custom_attributes":{"a":1e400}}`},
		call{method: "PATCH", path: path, body: `{"name":""}`},
		call{method: "PATCH", path: path, body: `[]`},
		call{method: "PATCH", path: path, body: `{"parent_id":"` + k.id + `"}`},
		call{method: "PATCH", path: k.collection + "/" + string(absent), body: `{}`},
		call{method: "POST", path: path + "/transitions", body: `{"to":"nowhere"}`},
		call{method: "POST", path: path + "/transitions", body: `{"to":"under_review","superseded_by":"x"}`},
		call{method: "POST", path: path + "/transitions", body: `{}`},
		call{method: "POST", path: agents + "/" + k.id + "/assign-team", body: `{"team_id":"x"}`},
		call{method: "GET", path: path + "?version=0"},
		call{method: "GET", path: path + "?at=yesterday"},
		call{method: "GET", path: path + "/diff?from=x"},
		call{method: "GET", path: k.collection + "?cursor=x"},
		call{method: "DELETE", path: path + "?why=not"},
	))
	require.GreaterOrEqual(st.t, a.status, 400, "%s", a.body)
}
