package bundle

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/dlai-sd/plant/shared/ledger"
)

// AgentReport is what a bundle says of its scope's agent at the scope's date. It
// is worth what the verdicts are: Sentence is empty unless signature, integrity
// and completeness pass.
type AgentReport struct {
	At       time.Time `json:"at"`
	Sentence string    `json:"sentence,omitzero"`

	ThingReport
	Certification *CertificationReport `json:"certification,omitzero"` // nil: it was not certified

	// RestsOn are the entities that the agent named at the date, directly and
	// through its role and team, by type and id.
	RestsOn []ThingReport `json:"rests_on"`
}

// ThingReport is an entity at a date.
type ThingReport struct {
	ID         string    `json:"id"`
	EntityType string    `json:"entity_type"`
	Owner      string    `json:"governance_agent_id"`
	Name       string    `json:"name,omitzero"`
	Status     string    `json:"status,omitzero"`
	Seq        int64     `json:"seq"`                  // the newest recorded by then; 0: none
	RecordedAt time.Time `json:"recorded_at,omitzero"` // of that record
	ShownSeq   int64     `json:"shown_seq"`            // whose state is told here; lower than Seq where that one's opening is not there
	Withheld   int64     `json:"withheld"`             // openings that are not in the bundle: erased, or another tenant's and not shared
	Certified  bool      `json:"certified"`
}

// CertificationReport says who certified the agent, when and under which rules.
type CertificationReport struct {
	ID           string      `json:"certification_id"`
	Author       string      `json:"author"`
	At           time.Time   `json:"at"`
	LogIndex     int64       `json:"log_index"`
	Constitution ledger.Hash `json:"constitution"`
	Checklist    string      `json:"checklist_sha256"`
	HasChecklist bool        `json:"checklist_in_bundle"`
	Expires      string      `json:"expires_at,omitzero"`

	// Reaffirmed is when it passed again under a later constitution, zero if not.
	Reaffirmed             time.Time   `json:"reaffirmed_at,omitzero"`
	ReaffirmedConstitution ledger.Hash `json:"reaffirmed_constitution,omitzero"`
}

// agentReport tells what the bundle says of the scope's agent.
func (v *verifier) agentReport(s *scan, report Report) *AgentReport {
	out := &AgentReport{At: v.date, ThingReport: ThingReport{ID: v.scope.ID, EntityType: typeAgent}}
	agent := s.dated[v.scope.ID]
	if agent == nil {
		return out
	}
	out.ThingReport = v.thing(agent)
	out.Certification = v.certification(agent)
	in, _ := v.restsOn(s)
	for d := range maps.Values(in) {
		if d != agent {
			out.RestsOn = append(out.RestsOn, v.thing(d))
		}
	}
	slices.SortFunc(out.RestsOn, func(a, b ThingReport) int {
		return cmp.Or(cmp.Compare(rank(a), rank(b)), cmp.Compare(a.ID, b.ID))
	})
	if report.Signature.Passed && report.Integrity.Passed && report.Completeness.Passed {
		out.Sentence = out.sentence()
	}
	return out
}

// rank is the order in which a sentence names what an agent rests on.
func rank(t ThingReport) int {
	return slices.Index([]string{typeJobRole, typeSkill, typeIndustry, typeTeam}, t.EntityType)
}

func (v *verifier) thing(d *dated) ThingReport {
	return ThingReport{
		ID: d.id, EntityType: d.entityType, Owner: d.owner, Name: d.state.name, Status: d.state.status,
		Seq: d.newest.seq, RecordedAt: d.newest.at, ShownSeq: d.shown.seq, Withheld: d.withheld,
		Certified: v.certification(d) != nil,
	}
}

// certification returns what certified an entity at the date: its state then says
// so, as its status does, a record did it, and it had not expired.
func (v *verifier) certification(d *dated) *CertificationReport {
	c := d.state.certification
	if c == nil || d.certified.seq == 0 || !slices.Contains([]string{"certified", "active", "deprecated"}, d.state.status) {
		return nil
	}
	if c.expires != "" {
		expires, err := time.Parse(ledger.TimeLayout, c.expires)
		if err != nil || !v.date.Before(expires) {
			return nil
		}
	}
	out := &CertificationReport{
		ID: c.id, Author: d.certified.author, At: d.certified.at, LogIndex: d.certified.index,
		Constitution: d.certified.constitution, Checklist: c.checklist, Expires: c.expires,
	}
	hash, err := ledger.ParseHash(c.checklist)
	out.HasChecklist = err == nil && v.checklists[hash]
	if d.reaffirmed.seq > d.certified.seq {
		out.Reaffirmed, out.ReaffirmedConstitution = d.reaffirmed.at, d.reaffirmed.constitution
	}
	return out
}

// sentence is what the bundle proves, if its signature, integrity and
// completeness hold.
func (a *AgentReport) sentence() string {
	on := "On " + stamp(a.At) + ", "
	switch {
	case a.Seq == 0:
		return on + "no agent " + a.ID + " was recorded yet."
	case a.ShownSeq == 0:
		return on + fmt.Sprintf("agent %s of %s was at version %d, whose state was erased since.", a.ID, a.Owner, a.Seq)
	}
	b := strings.Builder{}
	fmt.Fprintf(&b, "%sagent %q (%s) of %s was %s (version %d)", on, a.Name, a.ID, a.Owner, cmp.Or(a.Status, "of no status"), a.ShownSeq)
	if a.ShownSeq != a.Seq {
		fmt.Fprintf(&b, ", by version %d, because the state of version %d was erased since", a.ShownSeq, a.Seq)
	}
	if c := a.Certification; c != nil {
		fmt.Fprintf(&b, "; certified by %s on %s under constitution %s", c.Author, stamp(c.At), c.Constitution)
		if c.Checklist != "" {
			fmt.Fprintf(&b, " and checklist %q", c.Checklist)
		}
		if !c.Reaffirmed.IsZero() {
			fmt.Fprintf(&b, "; reaffirmed on %s under constitution %s", stamp(c.Reaffirmed), c.ReaffirmedConstitution)
		}
	} else {
		b.WriteString("; it was not certified")
	}
	for i, t := range a.RestsOn {
		b.WriteString(map[bool]string{true: ": ", false: ", "}[i == 0])
		b.WriteString(t.phrase())
	}
	b.WriteString(".")
	return b.String()
}

func (t ThingReport) phrase() string {
	kind := strings.ReplaceAll(t.EntityType, "_", " ")
	switch {
	case t.ShownSeq == 0:
		return fmt.Sprintf("%s %s of %s (its state then is not in the bundle)", kind, t.ID, t.Owner)
	case t.ShownSeq != t.Seq:
		return fmt.Sprintf("%s %q (%s, as shown last before then)", kind, t.Name, cmp.Or(t.Status, "of no status"))
	}
	return fmt.Sprintf("%s %q (%s)", kind, t.Name, cmp.Or(t.Status, "of no status"))
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339Nano) }
