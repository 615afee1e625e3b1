package bundle

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"github.com/dlai-sd/plant/shared/ledger"
	"github.com/dlai-sd/plant/shared/translog"
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// The types of entity that an agent rests on.
const (
	typeSkill    = "skill"
	typeJobRole  = "job_role"
	typeTeam     = "team"
	typeAgent    = "agent"
	typeIndustry = "industry"
)

// maxDated is how many bytes of names and references of all entities are held.
const maxDated = 64 << 20

// dated is what one entity of amendments.jsonl was at the scope's date.
type dated struct {
	id, entityType, owner string
	first                 int64 // log index
	newest                moment
	shown                 moment // the newest by then whose opening is there
	state                 datedState
	certified, reaffirmed moment // the newest by then
	withheld              int64  // openings that are not there, of any date
}

// moment is one record of an entity, what the report says of it. The zero moment
// is none.
type moment struct {
	seq, index   int64
	at           time.Time
	author       string
	constitution ledger.Hash
}

// datedState is what matters here of a state. A member of another form than
// expected counts as absent.
type datedState struct {
	name, status  string
	refs          []reference
	certification *certification
}

// Reference is an entity that a state names, and of which type it must be.
type Reference struct{ EntityType, ID string }

// References returns what an entity of a type rests on by its state (FORMAT.md,
// section 5), so that a writer of scope agent takes what a verifier looks for.
func References(entityType string, state []byte) []Reference {
	var refs []Reference
	for _, r := range readDated(state, entityType).refs {
		refs = append(refs, Reference{r.entityType, r.id})
	}
	return refs
}

// reference is an entity that a state names, and of which type it must be.
type reference struct{ entityType, id string }

type certification struct {
	id, checklist, expires string
}

// takeDated takes a line of amendments.jsonl.
func (s *scanner) takeDated(l line) error {
	r := l.entry.Record
	d := s.scan.dated[r.EntityID]
	if d == nil {
		d = &dated{id: r.EntityID, entityType: r.EntityType, owner: r.GovernanceAgentID, first: l.entry.LogIndex}
		s.scan.dated[r.EntityID] = d
	} else if l.entry.LogIndex < d.first {
		d.first, d.entityType, d.owner = l.entry.LogIndex, r.EntityType, r.GovernanceAgentID
	}
	opening := l.entry.Opening
	if opening == nil {
		d.withheld++
	}
	if r.RecordedAt.After(s.date) {
		return nil
	}
	m := moment{r.Seq, l.entry.LogIndex, r.RecordedAt, r.Author, r.Constitution}
	m.replaces(&d.newest)
	switch r.Change {
	case "certified":
		m.replaces(&d.certified)
	case "reaffirmed":
		m.replaces(&d.reaffirmed)
	}
	if opening == nil || opening.Hash() != r.StateHash || !m.replaces(&d.shown) {
		return nil
	}
	s.scan.datedBytes -= d.state.size()
	d.state = readDated(opening.State, r.EntityType)
	if s.scan.datedBytes += d.state.size(); s.scan.datedBytes > maxDated {
		return &NotBundleError{File: l.file, Line: l.number, Detail: "too many references"}
	}
	return nil
}

// replaces takes m in the place of an older record: the highest seq, of these the
// lowest log index.
func (m moment) replaces(o *moment) bool {
	newer := m.seq > o.seq || (m.seq == o.seq && m.index < o.index)
	if newer {
		*o = m
	}
	return newer
}

func (d datedState) size() int64 {
	n := len(d.name) + len(d.status)
	for _, r := range d.refs {
		n += len(r.id) + 32
	}
	return int64(n)
}

// readDated reads a state. The references of each type are FORMAT.md's, section 5.
func readDated(state []byte, entityType string) datedState {
	var m map[string]jsontext.Value
	if json.Unmarshal(state, &m) != nil {
		return datedState{}
	}
	d := datedState{name: textOf(m["name"]), status: textOf(m["status"])}
	refer := func(to, member string) {
		if id := textOf(m[member]); id != "" {
			d.refs = append(d.refs, reference{to, id})
		}
	}
	switch entityType {
	case typeAgent:
		refer(typeSkill, "skill_id")
		refer(typeJobRole, "job_role_id")
		refer(typeIndustry, "industry_id")
		refer(typeTeam, "team_id")
	case typeJobRole:
		var required []jsontext.Value
		_ = json.Unmarshal(m["required_skills"], &required) // of another form: none
		for _, v := range required {
			if id := textOf(v); id != "" {
				d.refs = append(d.refs, reference{typeSkill, id})
			}
		}
		refer(typeIndustry, "industry_id")
	case typeTeam:
		refer(typeJobRole, "job_role_id")
	}
	var c map[string]jsontext.Value
	if json.Unmarshal(m["genesis_certification"], &c) == nil && c != nil {
		d.certification = &certification{textOf(c["certification_id"]), textOf(c["checklist_sha256"]), textOf(c["expires_at"])}
	}
	return d
}

// textOf returns a JSON string's value, "" for anything else.
func textOf(v jsontext.Value) string {
	if v.Kind() != jsontext.KindString {
		return ""
	}
	s, err := jsontext.AppendUnquote(nil, v)
	if err != nil {
		return ""
	}
	return string(s)
}

// foreign reports whether a record is of another governance agent than the
// scope's agent: its opening may be one that the exporter could not see.
func (v *verifier) foreign(s *scan, r ledger.Record) bool {
	agent := s.dated[v.scope.ID]
	return v.scope.Type == ScopeAgent && agent != nil && r.EntityType != signingKey && r.GovernanceAgentID != agent.owner
}

// restsOn returns the scope's agent and everything that it rests on at the date,
// and what of that is missing, the lowest id first.
func (v *verifier) restsOn(s *scan) (in map[string]*dated, missing *reference) {
	in = map[string]*dated{}
	for todo := []reference{{typeAgent, v.scope.ID}}; len(todo) > 0; {
		r := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		d := s.dated[r.id]
		if d == nil || d.entityType != r.entityType {
			if missing == nil || cmp.Or(cmp.Compare(r.id, missing.id), cmp.Compare(r.entityType, missing.entityType)) < 0 {
				missing = &r
			}
			continue
		}
		if in[r.id] == nil {
			in[r.id] = d
			todo = append(todo, d.state.refs...)
		}
	}
	return in, missing
}

// agentScope checks that the bundle holds the agent, and all that it rests on at
// the date, and nothing else, each to its head.
func (v *verifier) agentScope(s *scan, rows map[ledger.Hash]translog.TenantRow) *Offender {
	in, missing := v.restsOn(s)
	switch {
	case v.date.After(v.heads.RecordedAt):
		return v.ofHeads(fault(ReasonAtBeyondHeads, "the heads record cannot speak of a date after it"))
	case missing != nil:
		o := offenderOf(fault(ReasonReferenceMissing, "no "+missing.entityType+" of this id"), missing.id)
		o.File = amendmentsFile
		return &o
	}
	var outside *dated
	for id, d := range s.dated {
		if in[id] == nil && (outside == nil || d.first < outside.first) {
			outside = d
		}
	}
	if outside != nil {
		o := offenderOf(fault(ReasonOutOfScope, "the agent does not rest on it"), outside.id)
		o.File, o.LogIndex = amendmentsFile, &outside.first
		return &o
	}
	return v.agentPlaces(s, in, rows)
}

// agentPlaces checks the places that heads.json gives: one for each entity of the
// scope, ascending.
func (v *verifier) agentPlaces(s *scan, in map[string]*dated, rows map[ledger.Hash]translog.TenantRow) *Offender {
	places := *v.headsText.Entities
	for i, id := range slices.Sorted(maps.Keys(in)) {
		if i >= len(places) || *places[i].EntityID != id {
			return ofEntity(fault(ReasonEntityHeadMismatch, "the places are not those of the scope's entities, ascending"), id)
		}
		if o := v.entity(s, id, places[i], rows); o != nil {
			return o
		}
	}
	if len(places) > len(in) {
		return ofEntity(fault(ReasonEntityHeadMismatch, "a place of no entity of the scope"), "")
	}
	return nil
}
