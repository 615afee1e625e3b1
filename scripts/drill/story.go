package drill

import (
	"fmt"
	"math/rand/v2"
	"strings"

	"github.com/dlai-sd/plant/shared/bundle"
	"github.com/dlai-sd/plant/shared/ledger"
)

var tenants = []string{"acme", "borealis", "genesis"}

// NewWorld writes a deployment: six keys and more, of which one is retired and
// one revoked; an agent with all that it rests on, certified; an erasure and a
// reattestation; and random skills, most of them signed in batches, until there
// are so many records.
func NewWorld(keys *Keys, random *rand.Rand, records int) *World {
	w := &World{keys: keys, random: random, origin: origin}
	k := keys
	w.introduce(k.root, k.root)
	old := w.introduce(k.root, k.old)
	w.introduce(k.root, k.certification)
	w.introduce(k.root, k.heads)
	w.say(k.root, w.draft("signing_key", keyring, keyState(k.checkpointID, k.checkpoint.Public(), ledger.UseCheckpoint, nil, "")))
	w.skills(k.old, 2+random.IntN(3))
	w.introduce(k.root, k.amendment)
	spare := w.introduce(k.root, k.spare)
	w.say(k.root, after(old, "retired", k.old.state(`,"status":"retired"`)))
	w.headsRecord(k.heads, w.rows(), nil)
	w.born()
	w.erased()
	w.revocation(spare)
	for len(w.entries) < records {
		switch random.IntN(8) {
		case 0:
			w.skills(k.amendment, 1)
		case 1:
			w.evolve()
		default:
			w.skills(k.amendment, min(2+random.IntN(511), max(2, records-len(w.entries))))
		}
	}
	return w
}

// skills creates n skills of random tenants; more than one in one batch.
func (w *World) skills(by *key, n int) []ledger.Amendment {
	drafts := make([]ledger.Draft, n)
	for i := range drafts {
		state := fmt.Sprintf(`{"category":"technical","description":"What %x does","embedding":{"model_id":"m","text_sha256":"%064x","vector_sha256":"%064x"},"name":"Skill %x","status":"draft","tags":["a","b"],"visibility":"private"}`,
			w.random.Uint32(), w.random.Uint64(), w.random.Uint64(), w.random.Uint64())
		drafts[i] = w.draft("skill", tenants[w.random.IntN(len(tenants))], state)
	}
	return w.say(by, drafts...)
}

// evolve goes on with a random skill whose newest record is its newest.
func (w *World) evolve() {
	heads := w.newest("skill")
	a := heads[w.random.IntN(len(heads))]
	w.say(w.keys.amendment, after(a, "evolved", fmt.Sprintf(`{"name":"Skill %x","status":"draft"}`, w.random.Uint64())))
}

// newest returns the newest amendment of every entity of a type, in log order.
func (w *World) newest(entityType string) []ledger.Amendment {
	last := map[string]int{}
	for i, e := range w.entries {
		last[e.Record.EntityID] = i
	}
	var out []ledger.Amendment
	for i, e := range w.entries {
		if e.Record.EntityType == entityType && last[e.Record.EntityID] == i {
			out = append(out, e.Amendment)
		}
	}
	return out
}

// born writes an agent of acme whose role, industry and one skill are genesis's.
func (w *World) born() {
	k, shared := w.keys, `,"status":"active","visibility":"public"}`
	first := w.say(k.amendment,
		w.draft("skill", "genesis", `{"name":"Listening"`+shared), w.draft("industry", "genesis", `{"name":"Gardening"`+shared),
		w.draft("skill", "acme", `{"name":"Pruning","status":"active"}`))
	listening, industry, pruning := first[0].Record.EntityID, first[1].Record.EntityID, first[2].Record.EntityID
	required := fmt.Sprintf("%q,%q", min(listening, pruning), max(listening, pruning))
	role := w.say(k.amendment, w.draft("job_role", "genesis", fmt.Sprintf(`{"industry_id":%q,"name":"Gardener","required_skills":[%s]`, industry, required)+shared))[0].Record.EntityID
	team := w.draft("team", "acme", fmt.Sprintf(`{"job_role_id":%q,"name":"Hedge","status":"active"}`, role))
	members := fmt.Sprintf(`"industry_id":%q,"job_role_id":%q,"name":"Ada","skill_id":%q`, industry, role, pruning)
	born := w.say(k.amendment, w.draft("agent", "acme", `{"status":"draft",`+members+`}`), team)
	members += fmt.Sprintf(`,"team_id":%q`, team.EntityID)
	joined := w.say(k.amendment, after(born[0], "assigned", `{"status":"under_review",`+members+`}`))[0]
	proof := fmt.Sprintf(`"genesis_certification":{"certification_id":"c","certified_at":"2026-01-31T12:00:20.000000Z","certified_by":"genesis/g","checklist_sha256":%q,"passed":42}`,
		ledger.HashOf([]byte(checklist)).String())
	certified := w.say(k.certification, after(joined, "certified", `{"status":"certified",`+proof+`,`+members+`}`))[0]
	active := w.say(k.amendment, after(certified, "moved", `{"status":"active",`+proof+`,`+members+`}`))[0]
	w.agent, w.date = active.Record.EntityID, active.Record.RecordedAt
	w.rests = []string{w.agent, listening, industry, pruning, role, team.EntityID}
	w.say(k.amendment, after(active, "evolved", `{"governance_notes":"later","status":"active",`+proof+`,`+members+`}`))
}

// erased writes a skill whose first state is erased.
func (w *World) erased() {
	at := len(w.entries)
	a := w.skills(w.keys.amendment, 1)[0]
	a = w.say(w.keys.amendment, after(a, "evolved", `{"name":"Skill, better","status":"draft"}`))[0]
	w.say(w.keys.amendment, after(a, "erased", `{"erased_seqs":[1],"name":"Skill, better","status":"draft"}`))
	w.entries[at].Opening = nil
}

// revocation writes two skills by the spare key, which is then revoked from the
// second on, and reattests that one.
func (w *World) revocation(spare ledger.Amendment) {
	w.skills(w.keys.spare, 1)
	w.revoked = w.next()
	a := w.skills(w.keys.spare, 1)[0]
	w.say(w.keys.root, after(spare, "revoked", w.keys.spare.state(fmt.Sprintf(`,"invalid_from":%d,"status":"revoked"`, w.revoked))))
	state := strings.TrimSuffix(string(a.Opening.State), "}") + fmt.Sprintf(`,"reattests":[%q]}`, a.Hash.String())
	w.say(w.keys.amendment, after(a, "reattested", state))
}

// scopes are one of each type; the entity is a random one.
func (w *World) scopes() []bundle.Scope {
	skills := w.newest("skill")
	return []bundle.Scope{
		{Type: bundle.ScopeAll},
		{Type: bundle.ScopeGovernanceAgent, ID: tenants[w.random.IntN(len(tenants))]},
		{Type: bundle.ScopeEntity, ID: skills[w.random.IntN(len(skills))].Record.EntityID},
		bundle.AgentAt(w.agent, w.date),
	}
}
