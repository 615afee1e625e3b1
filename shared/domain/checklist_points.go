package domain

import (
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/google/uuid"
)

// doesNotApply is what a check answers that has nothing to look at; the point
// says why.
const doesNotApply = "\x00"

// pointChecks decide the points: each returns what is wrong, "" if nothing.
var pointChecks = map[string]func(Dossier) string{ // a table that nobody changes
	"ID-01": idFault, "ID-02": typeFault, "ID-03": subjectFault, "ID-04": ownerFault,
	"ID-05": birthFault, "ID-06": readableFault, "ID-07": namesakeFault, "ID-08": externalIDFault,

	"LIFE-01": waitingFault, "LIFE-02": createdFault, "LIFE-03": updatedFault, "LIFE-04": livingFault,
	"LIFE-05": clockFault, "LIFE-06": movesFault, "LIFE-07": driftFault, "LIFE-08": replacedFault,

	"CON-01": l0("L0-01"), "CON-02": l0("L0-02"), "CON-03": l0("L0-03"), "CON-04": l0("L0-04"), "CON-05": exportFault,
	"CON-06": rules("L1-"), "CON-07": rules("FORM-"), "CON-08": constitutionFault, "CON-09": industryFault,
	"CON-10": breakingFault, "CON-11": certificationFault, "CON-12": fourEyesFault,

	"AUD-01": every("is not a canonical record", func(p Page) bool { return p.Parses }),
	"AUD-02": every("has a signature that does not verify", func(p Page) bool { return p.Signed }),
	"AUD-03": every("is signed by a key that may not sign this change", func(p Page) bool { return p.KeyMay }),
	"AUD-04": every("rests on a revoked key", func(p Page) bool { return p.KeyStands }),
	"AUD-05": every("has lost its state", func(p Page) bool { return p.Opened }),
	"AUD-06": every("has another state than the one that was signed", func(p Page) bool { return p.Opens }),
	"AUD-07": every("has a state that cannot be read as it was written", func(p Page) bool { return p.Readable }),
	"AUD-08": func(d Dossier) string { return differs("the row", d.Row.Differs) },
	"AUD-09": func(d Dossier) string { return differs("the kind's own row", d.Row.KindDiffers) },
	"AUD-10": every("has no place in the log and does not wait for one", func(p Page) bool { return p.Logged }),

	"DEP-01": absentFault, "DEP-02": uncertifiedFault, "DEP-03": teamFault, "DEP-04": unalignedFault,
}

// every makes a check of a property that each amendment must have.
func every(what string, holds func(Page) bool) func(Dossier) string {
	return func(d Dossier) string {
		for _, p := range d.Chain {
			if !holds(p) {
				return fmt.Sprintf("amendment %d %s", p.Seq, what)
			}
		}
		return ""
	}
}

func differs(what string, columns []string) string {
	if len(columns) == 0 {
		return ""
	}
	return what + " is not as the newest state says: " + strings.Join(columns, ", ")
}

func idFault(d Dossier) string {
	if d.Entity.ID.Valid() {
		return ""
	}
	return "the id is not a lower-case UUIDv7"
}

func typeFault(d Dossier) string {
	if !slices.Contains(Kinds(), d.Entity.Kind()) {
		return fmt.Sprintf("a %s is not certified", d.Entity.Kind())
	}
	return every("is of another kind", func(p Page) bool { return p.EntityType == d.Entity.Kind() })(d)
}

func subjectFault(d Dossier) string {
	return every("names another entity", func(p Page) bool { return p.EntityID == d.Entity.ID })(d)
}

func ownerFault(d Dossier) string {
	owner := d.Entity.GovernanceAgentID
	if ValidGovernanceAgent(owner) && owner != KeyringAgent && owner != "system" {
		return ""
	}
	return "the owner is not a governance agent that can own"
}

// How far the time in an id may lie from the birth that it was drawn for.
const (
	idDrawnBefore = time.Hour
	idDrawnAfter  = 10 * time.Second
)

func birthFault(d Dossier) string {
	id, err := uuid.Parse(string(d.Entity.ID))
	if err != nil || id.Version() != 7 || len(d.Chain) == 0 {
		return "" // ID-01 and L0-02 say so
	}
	seconds, nanos := id.Time().UnixTime()
	drawn, born := time.Unix(seconds, nanos), d.Chain[0].RecordedAt
	if drawn.Before(born.Add(-idDrawnBefore)) || drawn.After(born.Add(idDrawnAfter)) {
		return "the id was not drawn when the entity was born"
	}
	return ""
}

func readableFault(d Dossier) string {
	name := d.Entity.Facts.Label()
	if strings.TrimSpace(name) != name {
		return "there is a blank at an end of the name"
	}
	for _, r := range name {
		joins := r == '\u200c' || r == '\u200d' // scripts need these two
		if !unicode.IsPrint(r) && !unicode.Is(unicode.Zs, r) && !joins || r == unicode.ReplacementChar {
			return fmt.Sprintf("the name holds %U, which cannot be seen", r)
		}
	}
	return ""
}

func namesakeFault(d Dossier) string {
	switch {
	case d.Row.NameKey != NameKey(d.Entity.Facts.Label()):
		return "the row is filed under another name"
	case d.Row.Namesakes > 0:
		return "another living entity has the name"
	}
	return ""
}

func externalIDFault(d Dossier) string {
	switch {
	case d.Entity.Governed.ExternalID == "":
		return doesNotApply
	case d.Row.ExternalDoubles > 0:
		return "another entity has the external id"
	}
	return ""
}

func waitingFault(d Dossier) string {
	switch s := d.Entity.Governed.Status; s {
	case UnderReview, Certified, Active:
		return ""
	default:
		return fmt.Sprintf("the status is %s", s)
	}
}

func createdFault(d Dossier) string {
	if len(d.Chain) > 0 && !d.Chain[0].RecordedAt.Equal(d.Row.CreatedAt) {
		return "created_at is not when amendment 1 was recorded"
	}
	return ""
}

func updatedFault(d Dossier) string {
	if n := len(d.Chain); n > 0 && !d.Chain[n-1].RecordedAt.Equal(d.Row.UpdatedAt) {
		return "updated_at is not when the newest amendment was recorded"
	}
	return ""
}

func livingFault(d Dossier) string {
	if d.Row.Deleted || !d.Entity.Governed.DeletedAt.IsZero() {
		return "it was deleted"
	}
	return ""
}

func clockFault(d Dossier) string {
	for i := 1; i < len(d.Chain); i++ {
		if d.Chain[i].RecordedAt.Before(d.Chain[i-1].RecordedAt) {
			return fmt.Sprintf("amendment %d was recorded before its predecessor", d.Chain[i].Seq)
		}
	}
	return ""
}

// steps calls f with each amendment whose state and whose predecessor's state
// are there; what was erased cannot be compared.
func (d Dossier) steps(f func(before, after Entity, p Page) string) string {
	for i := 1; i < len(d.Chain); i++ {
		before, after := d.Chain[i-1].State, d.Chain[i].State
		if before == nil || after == nil {
			continue
		}
		if fault := f(*before, *after, d.Chain[i]); fault != "" {
			return fault
		}
	}
	return ""
}

func movesFault(d Dossier) string {
	if len(d.Chain) > 0 && d.Chain[0].State != nil && d.Chain[0].State.Governed.Status != Draft {
		return "it was not born as a draft"
	}
	return d.steps(func(before, after Entity, p Page) string {
		from, to := before.Governed.Status, after.Governed.Status
		if from == to || p.Change == ChangeEvolved && to == UnderReview && (from == Certified || from == Active) {
			return ""
		}
		if _, ok := FindMove(before, to, p.Change); ok {
			return ""
		}
		return fmt.Sprintf("amendment %d went from %s to %s, which is no move of %s", p.Seq, from, to, p.Change)
	})
}

func driftFault(d Dossier) string {
	if d.Entity.Governed.AmendmentAlignment == Drifted {
		return "it has drifted"
	}
	return ""
}

func replacedFault(d Dossier) string {
	if d.Entity.Governed.SupersededBy != "" {
		return "it was replaced by another entity"
	}
	return ""
}

// l0 makes a check of one of the foundational rules over the whole chain.
func l0(rule string) func(Dossier) string {
	return func(d Dossier) string {
		ev := Evidence{Entity: d.Entity, Complete: true}
		if s, ok := d.References[d.Entity.Governed.SupersededBy]; ok {
			ev.Successor = &s
		}
		for _, p := range d.Chain {
			ev.Links = append(ev.Links, p.Link)
		}
		for _, o := range d.Law.L0(ev).Outcomes {
			if o.Rule == rule {
				return o.Message
			}
		}
		return "the rule was not judged"
	}
}

func exportFault(d Dossier) string {
	if d.Constitution != d.Law.Sum() {
		return "the ledger has another constitution in force than this build holds"
	}
	return l0("L0-05")(d)
}

// rules makes a check of the rules whose id begins so, on the newest state alone.
func rules(prefix string) func(Dossier) string {
	return func(d Dossier) string {
		var said []string
		for _, v := range d.Law.Validate(d.Entity, Known{}) {
			if strings.HasPrefix(v.Rule, prefix) {
				said = append(said, v.Rule+" "+v.Field+": "+v.Message)
			}
		}
		return strings.Join(said, "; ")
	}
}

func constitutionFault(d Dossier) string {
	return every("was recorded under a constitution that nobody knows", func(p Page) bool {
		return slices.Contains(d.Constitutions, p.Constitution)
	})(d)
}

func industryFault(d Dossier) string {
	return d.steps(func(before, after Entity, p Page) string {
		b, wasAgent := before.Facts.(Agent)
		a, isAgent := after.Facts.(Agent)
		if wasAgent && isAgent && a.IndustryID == b.IndustryID {
			return ""
		}
		return fmt.Sprintf("amendment %d changed the industry", p.Seq)
	})
}

func breakingFault(d Dossier) string {
	return d.steps(func(before, after Entity, p Page) string {
		if before.Kind() != after.Kind() || Breaking(before, after) == p.Breaking {
			return ""
		}
		return fmt.Sprintf("amendment %d is marked wrongly as breaking or not", p.Seq)
	})
}

func certificationFault(d Dossier) string {
	if len(d.Chain) > 0 && d.Chain[0].State != nil && d.Chain[0].State.Governed.GenesisCertification != nil {
		return "it was born certified"
	}
	return d.steps(func(before, after Entity, p Page) string {
		b, a := before.Governed.GenesisCertification, after.Governed.GenesisCertification
		same := b == nil && a == nil || b != nil && a != nil && *b == *a
		switch {
		case same, a != nil && (p.Change == ChangeCertified || p.Change == ChangeReaffirmed):
			return ""
		case a == nil && slices.Contains([]string{ChangeDecertified, ChangeRejected, ChangeEvolved}, p.Change):
			return ""
		}
		return fmt.Sprintf("amendment %d changed the certification, and is %s", p.Seq, p.Change)
	})
}

// IsDecision reports whether a change is a decision about an entity and not
// work on it.
func IsDecision(change string) bool {
	switch change {
	case ChangeCertified, ChangeRejected, ChangeDecertified, ChangeReaffirmed:
		return true
	default:
		return false
	}
}

func fourEyesFault(d Dossier) string {
	if d.Decider == "" {
		return doesNotApply
	}
	return every("was written by who decides", func(p Page) bool { return p.Author != d.Decider || IsDecision(p.Change) })(d)
}

func absentFault(d Dossier) string {
	refs := d.Entity.Refs()
	if len(refs) == 0 {
		return doesNotApply
	}
	for _, r := range refs {
		if e, ok := d.References[r.ID]; !ok || e.Kind() != r.Kind || !e.Living() {
			return r.Field + ": " + UnknownReference(r.Kind)
		}
	}
	return ""
}

// RestsOn lists what must be certified before an entity is: a role's skills, a
// team's role, an agent's skill and role.
func RestsOn(e Entity) []Ref {
	return slices.DeleteFunc(e.Facts.Refs(), func(r Ref) bool { return r.Kind != KindSkill && r.Kind != KindJobRole })
}

func uncertifiedFault(d Dossier) string {
	for _, r := range RestsOn(d.Entity) {
		e, ok := d.References[r.ID]
		if !ok || e.Governed.Status == Certified || e.Governed.Status == Active {
			continue // what is absent, DEP-01 says
		}
		return r.Field + " is not certified"
	}
	return ""
}

func teamFault(d Dossier) string {
	switch f := d.Entity.Facts.(type) {
	case Team:
		for _, v := range f.Check(Known{Complete: true, Members: d.Members, Entities: d.References}) {
			if v.Rule == "L1-TEAM-01" || v.Rule == "L1-TEAM-03" {
				return v.Message
			}
		}
		return ""
	case Agent:
		if f.TeamID == "" {
			return doesNotApply
		}
		if team, ok := d.References[f.TeamID].Facts.(Team); ok && team.JobRoleID != f.JobRoleID {
			return "the team has another job role"
		}
	}
	return ""
}

func unalignedFault(d Dossier) string {
	for _, r := range d.Entity.Facts.Refs() {
		if e, ok := d.References[r.ID]; ok && e.Governed.AmendmentAlignment != Aligned {
			return fmt.Sprintf("%s is %s", r.Field, e.Governed.AmendmentAlignment)
		}
	}
	return ""
}
