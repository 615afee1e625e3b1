package domain

// Status is where an entity stands in its lifecycle.
type Status string

// The six statuses, in the order in which an entity usually passes them.
const (
	Draft       Status = "draft"
	UnderReview Status = "under_review"
	Certified   Status = "certified"
	Active      Status = "active"
	Deprecated  Status = "deprecated"
	Archived    Status = "archived"
)

// Statuses lists all of them.
func Statuses() []Status {
	return []Status{Draft, UnderReview, Certified, Active, Deprecated, Archived}
}

// Move is a row of the lifecycle table: from where to where, which change
// records it, who must allow it (all of them), whether the system may do it
// unasked for this kind, and whether it needs a reason.
type Move struct {
	From, To Status
	Change   string
	Who      []Authority
	System   func(Kind) bool
	Reason   bool
}

// Moves is the lifecycle: what is not in this table does not happen.
func Moves() []Move {
	never := func(Kind) bool { return false }
	always := func(Kind) bool { return true }
	agents := func(k Kind) bool { return k == KindAgent }
	return []Move{
		{Draft, UnderReview, ChangeMoved, []Authority{Author}, agents, false},
		{UnderReview, Draft, ChangeMoved, []Authority{Author}, never, false},
		{UnderReview, Certified, ChangeCertified, []Authority{Genesis}, never, false},
		{UnderReview, Draft, ChangeRejected, []Authority{Genesis}, never, true},
		{Certified, UnderReview, ChangeDecertified, []Authority{Genesis}, never, true},
		{Active, UnderReview, ChangeDecertified, []Authority{Genesis}, never, true},
		{Certified, Active, ChangeMoved, []Authority{Architect}, agents, false},
		{Certified, UnderReview, ChangeDrifted, []Authority{Guardian}, always, false},
		{Active, UnderReview, ChangeDrifted, []Authority{Guardian}, always, false},
		{UnderReview, Certified, ChangeMoved, []Authority{Governor}, never, false},
		{UnderReview, Active, ChangeMoved, []Authority{Governor}, never, false},
		{UnderReview, Certified, ChangeReaffirmed, []Authority{Governor}, always, true},
		{UnderReview, Active, ChangeReaffirmed, []Authority{Governor}, always, true},
		{Certified, Deprecated, ChangeMoved, []Authority{Author, Architect}, never, true},
		{Active, Deprecated, ChangeMoved, []Authority{Author, Architect}, never, true},
		{Draft, Archived, ChangeMoved, []Authority{Author}, never, false},
		{UnderReview, Archived, ChangeMoved, []Authority{Author}, never, false},
		{Certified, Archived, ChangeMoved, []Authority{Author}, never, false},
		{Active, Archived, ChangeMoved, []Authority{Governor}, never, false},
		{Deprecated, Archived, ChangeMoved, []Authority{Author}, never, false},
		{Draft, Draft, ChangeMoved, []Authority{Governor}, never, true},
		{UnderReview, UnderReview, ChangeMoved, []Authority{Governor}, never, true},
		{Certified, Certified, ChangeMoved, []Authority{Governor}, never, true},
		{Active, Active, ChangeMoved, []Authority{Governor}, never, true},
		{Deprecated, Deprecated, ChangeMoved, []Authority{Governor}, never, true},
	}
}

// FindMove returns the table's row for a change of status, if there is one.
// The governor's reactivations, by a move or by an enactment that the platform carries
// out, hold only for a drifted entity that goes back to the status it had; a move to the status that an entity has, only for one
// that requires review: it is the governor's decision about it.
func FindMove(e Entity, to Status, change string) (Move, bool) {
	for _, m := range Moves() {
		if m.From != e.Governed.Status || m.To != to || m.Change != change {
			continue
		}
		if m.From == UnderReview && (to == Certified || to == Active) && change != ChangeCertified && !reactivates(e, to) {
			continue
		}
		if m.From == m.To && e.Governed.AmendmentAlignment != RequiresReview {
			continue
		}
		return m, true
	}
	return Move{}, false
}

func reactivates(e Entity, to Status) bool {
	d := e.Governed.DriftDetector
	return e.Governed.AmendmentAlignment == Drifted && d != nil && d.PriorStatus == to
}
