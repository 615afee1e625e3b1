package domain

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
	Because string
	At      Time
}

// Name implements Change.
func (FallShort) Name() string { return ChangeDrifted }

// Needs implements Change: a guardian; the system finds it by itself.
func (FallShort) Needs(Entity) []Authority { return []Authority{Guardian} }

// Apply implements Change.
func (c FallShort) Apply(e Entity) (Entity, error) {
	if !e.Living() {
		return Entity{}, Refuse(CodeGone, "archived: it is not judged any more")
	}
	if _, ok := FindMove(e, UnderReview, ChangeDrifted); !ok {
		return RequireReview{Because: c.Because}.Apply(e)
	}
	next := e
	d := e.detector()
	d.PriorStatus, d.CheckedAt = e.Governed.Status, c.At
	next.Governed.DriftDetector = &d
	next.Governed.Status, next.Governed.AmendmentAlignment, next.Governed.StatusReason = UnderReview, Drifted, c.Because
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

// Reaffirm says that an entity passed again, under another constitution than that of
// its last amendment. Nothing else about it changes.
type Reaffirm struct{}

// Name implements Change.
func (Reaffirm) Name() string { return ChangeReaffirmed }

// Needs implements Change.
func (Reaffirm) Needs(Entity) []Authority { return []Authority{Genesis} }

// Apply implements Change.
func (Reaffirm) Apply(e Entity) (Entity, error) {
	if !e.Living() {
		return Entity{}, Refuse(CodeGone, "archived: it is not judged any more")
	}
	return e, nil
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
