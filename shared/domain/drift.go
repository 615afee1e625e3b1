package domain

import (
	"slices"
	"time"
)

// Regenerate says that the vector of an entity had drifted from its text, and which
// one stands for it from now on. What it means is unchanged, and so is its status.
type Regenerate struct {
	Embedding    Embedding
	StabilityPPM int64 // of the old vector with the new one
	At           Time
}

// Name implements Change.
func (Regenerate) Name() string { return ChangeDrifted }

// Needs implements Change: a guardian; the system finds it by itself.
func (Regenerate) Needs(Entity) []Authority { return []Authority{Guardian} }

// Apply implements Change.
func (c Regenerate) Apply(e Entity) (Entity, error) {
	next, err := Embed{Embedding: c.Embedding}.Apply(e)
	if err != nil {
		return Entity{}, err
	}
	d := e.detector()
	d.StabilityPPM, d.ModelID, d.CheckedAt, d.RegeneratedAt = &c.StabilityPPM, c.Embedding.ModelID, c.At, c.At
	next.Governed.DriftDetector = &d
	return next, nil
}

// FallShort says that an entity no longer passes the rules in force. What is certified
// or active goes under review, and only the governor brings it back; anything else
// keeps its status and is marked.
type FallShort struct {
	Because      string
	At           Time
	Constitution string // whose rules: its hash
}

// Name implements Change.
func (FallShort) Name() string { return ChangeDrifted }

// Needs implements Change: a guardian; the system finds it by itself.
func (FallShort) Needs(Entity) []Authority { return []Authority{Guardian} }

// Apply implements Change. What it was before stands beside the mark: of what falls
// short of one constitution after another, what it was before the first.
func (c FallShort) Apply(e Entity) (Entity, error) {
	if !e.Living() {
		return Entity{}, Refuse(CodeGone, "archived: it is not judged any more")
	}
	next, d := e, e.detector()
	if d.Constitution == "" {
		d.PriorAlignment = e.Governed.AmendmentAlignment
	}
	d.CheckedAt, d.Constitution = c.At, c.Constitution
	switch _, moves := FindMove(e, UnderReview, ChangeDrifted); {
	case moves:
		d.PriorStatus = e.Governed.Status
		next.Governed.Status, next.Governed.AmendmentAlignment = UnderReview, Drifted
	case e.Governed.AmendmentAlignment != Drifted: // that is the governor's already
		next.Governed.AmendmentAlignment = RequiresReview
	}
	next.Governed.StatusReason, next.Governed.DriftDetector = e.because(c.Because), &d
	return next, nil
}

// Expire puts an entity whose certification is over under review: to be certified
// again, which needs nobody but who certifies. The certification stays to be seen: only
// a decision changes it.
type Expire struct{ Because string }

// Name implements Change.
func (Expire) Name() string { return ChangeDrifted }

// Needs implements Change: a guardian; the system finds it by itself.
func (Expire) Needs(Entity) []Authority { return []Authority{Guardian} }

// Apply implements Change.
func (c Expire) Apply(e Entity) (Entity, error) {
	if _, ok := FindMove(e, UnderReview, ChangeDrifted); !ok {
		return Entity{}, Refuse(CodeIllegalMove, "what is %s has no certification that could end", e.Governed.Status)
	}
	next, err := RequireReview{Because: c.Because}.Apply(e)
	next.Governed.Status = UnderReview
	return next, err
}

// Reaffirm says that an entity passed again, under another constitution than it was
// last judged by. Nothing else about it changes, unless what it fell short of was
// withdrawn by putting an earlier one in force again: then it is what it was before.
// That enactment is the governor's decision, and the record names it.
type Reaffirm struct {
	Withdrawn []string // hashes: in force since this one was before, and not any more
	Because   string   // the enactment that did that
	At        Time
}

// Name implements Change.
func (Reaffirm) Name() string { return ChangeReaffirmed }

// Needs implements Change.
func (Reaffirm) Needs(Entity) []Authority { return []Authority{Genesis} }

// Apply implements Change. What was tampered with stays the governor's. What had a
// certification that has ended meanwhile is not certified again by this.
func (c Reaffirm) Apply(e Entity) (Entity, error) {
	if !e.Living() {
		return Entity{}, Refuse(CodeGone, "archived: it is not judged any more")
	}
	d := e.detector()
	if !c.Restores(e) {
		return e, nil
	}
	next := e
	next.Governed.AmendmentAlignment, next.Governed.StatusReason = d.PriorAlignment, c.Because
	if d.PriorAlignment != Aligned {
		next.Governed.StatusReason += " It was to be reviewed before, and still is."
	}
	if _, ok := FindMove(e, d.PriorStatus, ChangeReaffirmed); ok && d.PriorAlignment != Drifted {
		if made := e.Governed.GenesisCertification; made == nil || !made.ExpiresAt.IsZero() && !time.Time(made.ExpiresAt).After(time.Time(c.At)) {
			next.Governed.AmendmentAlignment = RequiresReview
			next.Governed.StatusReason = c.Because + " Its certification has ended meanwhile. It is to be certified again."
		} else {
			next.Governed.Status = d.PriorStatus
		}
		d.PriorStatus = ""
	}
	next.Governed.DriftDetector = &d
	return next.judged(), nil
}

// Restores reports whether the entity is marked only for what was withdrawn.
func (c Reaffirm) Restores(e Entity) bool {
	return !e.Tampered() && slices.Contains(c.Withdrawn, e.detector().Constitution)
}

// judged is the entity after it passed the rules in force: it falls short of nothing.
func (e Entity) judged() Entity {
	d := e.detector()
	if e.Governed.DriftDetector == nil || d.Constitution == "" && d.PriorAlignment == Aligned && d != (Drift{}) {
		return e
	}
	d.Constitution, d.PriorAlignment = "", Aligned
	e.Governed.DriftDetector = &d
	if d == (Drift{}) {
		e.Governed.DriftDetector = nil
	}
	return e
}

// TamperedReason is what the mark of tampering says; what was found stands in the
// findings of whoever found it.
const TamperedReason = "An audit found tampering. The governor decides."

// because is a change's reason as the state keeps it: until the governor has decided
// about tampering, no other reason takes the place of that one.
func (e Entity) because(reason string) string {
	switch {
	case !e.Tampered() || reason == TamperedReason:
		return reason
	case reason == "":
		return TamperedReason
	}
	return TamperedReason + "\n" + reason
}

// Tampered reports whether tampering was found and the governor has not decided yet.
func (e Entity) Tampered() bool {
	return e.Governed.DriftDetector != nil && !e.Governed.DriftDetector.TamperingFoundAt.IsZero()
}

// detector is a copy of what the drift check last found.
func (e Entity) detector() Drift {
	if e.Governed.DriftDetector == nil {
		return Drift{}
	}
	return *e.Governed.DriftDetector
}

// decided is the entity after its governor's decision: nothing is open any more.
func (e Entity) decided() Entity {
	e.Governed.AmendmentAlignment = Aligned
	if d := e.detector(); e.Tampered() {
		d.TamperingFoundAt = Time{}
		e.Governed.DriftDetector = &d
		if d == (Drift{}) {
			e.Governed.DriftDetector = nil
		}
	}
	return e
}
