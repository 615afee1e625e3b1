package main

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/stretchr/testify/require"

	"github.com/dlai-sd/plant/shared/domain"
	"github.com/dlai-sd/plant/shared/ledger"
	"github.com/dlai-sd/plant/shared/registry"
	"github.com/dlai-sd/plant/shared/web"
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

type step struct {
	*soak
	t    *testing.T
	i    uint64
	n    int // requests so far
	r    *rand.Rand
	who  caller
	name string
}

func (st *step) one(n int) int { return st.r.IntN(n) }

func of[T any](st *step, list ...T) T { return list[st.one(len(list))] }

// pick is an entity that somebody knows of, the newest oftener; own says that it
// is the caller's tenant's.
func (st *step) pick(collection string, own bool) (known, bool) {
	st.mu.Lock()
	defer st.mu.Unlock()
	var list []*known
	for _, k := range st.entities[collection] {
		if !own || k.tenant == st.who.GovernanceAgent {
			list = append(list, k)
		}
	}
	if len(list) == 0 {
		return known{}, false
	}
	if newest := 8; st.one(2) == 0 && len(list) > newest {
		list = list[len(list)-newest:]
	}
	return *list[st.one(len(list))], true
}

// target is what an operation is about: usually one's own.
func (st *step) target(collections ...string) known {
	k, _ := st.pick(of(st, collections...), st.one(12) > 0)
	return k
}

func everyCollection() []string { return []string{skills, jobRoles, industries, teams, agents} }

// refer is the id of something to refer to: usually one's own, sometimes the
// other tenant's, of another kind, or nobody's.
func (st *step) refer(collection string) string {
	switch st.one(40) {
	case 0:
		id, err := domain.NewID()
		require.NoError(st.t, err)
		return string(id)
	case 1:
		collection = of(st, everyCollection()...)
	}
	k, _ := st.pick(collection, st.one(8) > 0)
	return k.id
}

// body is an entity to create, and the job role of an agent or a team.
func (st *step) body(collection string) (body, role string) {
	m := st.settable()
	m["name"] = of(st, "Weld %d", "weld %d", "Bake %d", "ÉCRIRE %d", "écrire %d")
	m["name"] = fmt.Sprintf(m["name"].(string), st.one(int(st.ops)))
	switch collection {
	case skills:
		m["description"], m["category"] = "Does it.", of(st, domain.Categories()...)
	case jobRoles:
		var required []string
		for range 1 + st.one(3) {
			required = append(required, st.refer(skills))
		}
		m["required_skills"], m["seniority_level"] = required, of(st, domain.SeniorityLevels()...)
		if st.one(3) == 0 {
			m["industry_id"] = st.refer(industries)
		}
	case agents:
		role = st.refer(jobRoles)
		m["skill_id"], m["job_role_id"], m["industry_id"] = st.refer(skills), role, st.refer(industries)
	case teams:
		var members []string
		members, role = st.colleagues()
		m["job_role_id"], m["agents"] = role, members
	}
	if parent, ok := st.pick(collection, true); ok && st.one(5) == 0 {
		m["parent_id"] = parent.id
	}
	return st.marshal(m), role
}

// settable are fields that every kind has.
func (st *step) settable() map[string]any {
	m := map[string]any{}
	if st.one(2) == 0 {
		m["visibility"] = of(st, "public", "private", "public")
	}
	if st.one(4) == 0 {
		m["external_id"] = fmt.Sprintf("e:%d", st.one(int(st.ops)))
	}
	if st.one(3) == 0 {
		m["tags"] = []string{of(st, "b", "a", "Ü"), of(st, "b", "c")}
	}
	if st.one(3) == 0 {
		m["custom_attributes"] = map[string]any{"n": st.one(1000), "deep": map[string]any{"x": []any{1.5, "y", true}}}
	}
	if st.one(4) == 0 {
		m["governance_notes"] = fmt.Sprintf("note %d", st.i)
	}
	return m
}

// colleagues are agents of one job role: usually the tenant's own.
func (st *step) colleagues() (ids []string, role string) {
	first, _ := st.pick(agents, st.one(12) > 0)
	ids = append(ids, first.id)
	for range st.one(3) {
		if next, ok := st.pick(agents, true); ok && (next.role == first.role || st.one(10) == 0) && !slices.Contains(ids, next.id) {
			ids = append(ids, next.id)
		}
	}
	return ids, first.role
}

func (st *step) marshal(v any) string {
	b, err := json.Marshal(v, json.Deterministic(true))
	require.NoError(st.t, err)
	return string(b)
}

// send sends a request of the operation's caller and keeps the answer.
func (st *step) send(c call) answer {
	request := fmt.Sprintf("op-%d-%d", st.i, st.n)
	st.n++
	return st.sendAs(request, c)
}

func (st *step) sendAs(request string, c call) answer {
	if c.token == "" {
		c.token = st.who.token
	}
	header := map[string]string{"X-Request-ID": request}
	if c.method != http.MethodGet {
		header["Idempotency-Key"] = request
	}
	if c.method == http.MethodPatch {
		header["Content-Type"] = "application/merge-patch+json"
	}
	for name, value := range c.header {
		header[name] = value
	}
	c.header = header
	a := st.at[collectionOf(c.path)].do(st.t, c)
	require.NotEqual(st.t, 500, a.status, "%s %s %s: %s", c.method, c.path, c.body, a.body)
	if a.status == http.StatusServiceUnavailable {
		require.NotEmpty(st.t, a.header.Get("Retry-After"))
	}
	st.mu.Lock()
	defer st.mu.Unlock()
	st.sent[request] = sent{st.name, c, a}
	st.tally(a.status)
	return a
}

// tally counts an answer; the caller holds the lock.
func (st *step) tally(status int) {
	if st.counts[st.name] == nil {
		st.counts[st.name] = map[int]int{}
	}
	st.counts[st.name][status]++
}

// collectionOf is the collection of a path.
func collectionOf(path string) string {
	for _, collection := range everyCollection() {
		if strings.HasPrefix(path, collection) {
			return collection
		}
	}
	return ""
}

// wrote is what the tests read of an answer to a write.
type wrote struct {
	ID          string   `json:"id"`
	Tenant      string   `json:"governance_agent_id"`
	Version     int64    `json:"version"`
	VersionHash string   `json:"version_hash"`
	Status      any      `json:"status"` // of a batch's item: HTTP's
	Visibility  string   `json:"visibility"`
	Agents      []string `json:"agents"`
	Items       []wrote  `json:"items"`
}

// standing is an entity's status; what a batch made is a draft.
func (w wrote) standing() string {
	if status, ok := w.Status.(string); ok {
		return status
	}
	return string(domain.Draft)
}

// write sends a write and remembers what it was told.
func (st *step) write(name string, c call, collection, role string) answer {
	st.name = name
	a := st.send(c)
	if a.status < 300 {
		st.remember(fmt.Sprintf("op-%d-%d", st.i, st.n-1), collection, role, c, a)
	}
	return a
}

// remember keeps an acknowledged write, unless it is a repeat or was only tried.
func (st *step) remember(request, collection, role string, c call, a answer) {
	if a.header.Get("Idempotency-Replayed") != "" || strings.Contains(c.path, "validate_only=true") {
		return
	}
	got := as[wrote](st.t, a)
	st.mu.Lock()
	defer st.mu.Unlock()
	for _, item := range got.Items {
		if item.ID != "" {
			item.Tenant = st.who.GovernanceAgent
			st.learn(item, collection, item.VersionHash, role)
			st.writes = append(st.writes, written{
				request: request, collection: collection, tenant: item.Tenant, id: item.ID, hash: item.VersionHash, version: item.Version,
			})
		}
	}
	if got.Items != nil {
		return
	}
	w := written{
		request: request, collection: collection, tenant: got.Tenant, id: got.ID, hash: got.VersionHash, version: got.Version, body: a.body,
	}
	if collection == teams && got.Version == 1 {
		w.joined = got.Agents
	}
	st.writes = append(st.writes, w)
	st.learn(got, collection, strings.Trim(a.header.Get("ETag"), `"`), role)
}

// learn updates what is known of an entity; the caller holds the lock.
func (st *step) learn(got wrote, collection, etag, role string) {
	for _, k := range st.entities[collection] {
		if k.id == got.ID {
			if got.Version > k.version {
				k.etag, k.version, k.status, k.visibility = etag, got.Version, got.standing(), got.Visibility
			}
			return
		}
	}
	st.entities[collection] = append(st.entities[collection], &known{
		id: got.ID, tenant: got.Tenant, collection: collection, etag: etag, first: etag, role: role,
		status: got.standing(), visibility: got.Visibility, version: got.Version,
	})
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

// decision is a certification as the certifying function makes it.
type decision struct{}

func (decision) Name() string                           { return domain.ChangeCertified }
func (decision) Needs(domain.Entity) []domain.Authority { return []domain.Authority{domain.Genesis} }
func (decision) Apply(e domain.Entity) (domain.Entity, error) {
	if _, ok := domain.FindMove(e, domain.Certified, domain.ChangeCertified); !ok {
		return e, domain.Refuse(domain.CodeIllegalMove, "not under review")
	}
	e.Governed.Status = domain.Certified
	return e, nil
}

// certify decides about what is under review, beside the API, and reads at once
// what was written.
func (st *step) certify() {
	var k known
	for range 8 {
		if k = st.target(everyCollection()...); k.status == "under_review" {
			break
		}
	}
	request := fmt.Sprintf("op-%d-%d", st.i, st.n)
	st.n++
	genesis := st.callers[slices.IndexFunc(st.callers, func(c caller) bool {
		return c.Holds(domain.Genesis) && c.GovernanceAgent == st.who.GovernanceAgent
	})]
	w, err := st.certifier.Amend(st.t.Context(), registry.Request{
		Who: genesis.Principal, Route: "certify", Key: request, RequestID: request,
	}, domain.ID(k.id), ledger.Hash{}, decision{})
	var refusal *domain.Error
	var lost *registry.StaleError
	st.mu.Lock()
	switch {
	case errors.As(err, &refusal):
		st.tally(web.StatusOf(refusal.Code))
	case errors.As(err, &lost):
		st.tally(http.StatusPreconditionFailed)
	default:
		require.NoError(st.t, err)
		st.tally(http.StatusOK)
	}
	st.sent[request] = sent{operation: st.name}
	st.mu.Unlock()
	if err != nil {
		return
	}
	for _, c := range st.callers {
		if c.GovernanceAgent == string(w.Entity.GovernanceAgentID) {
			st.who = c
		}
	}
	read := st.send(call{method: "GET", path: fmt.Sprintf("%s/%s?version=%d", k.collection, k.id, w.Entity.Head.Version)})
	require.Equal(st.t, http.StatusOK, read.status, "%s", read.body)
	st.remember(request, k.collection, k.role, call{}, read)
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
