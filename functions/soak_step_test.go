package main

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/stretchr/testify/require"

	"github.com/dlai-sd/plant/shared/domain"
	"github.com/dlai-sd/plant/shared/ledger"
	"github.com/dlai-sd/plant/shared/registry"
	"github.com/dlai-sd/plant/shared/web"
)

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
