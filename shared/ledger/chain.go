package ledger

// ChainOption tells VerifyChain what it cannot see in the chain itself.
type ChainOption func(*chainRules)

type chainRules struct {
	knows    func(Hash) bool
	signed   func(int) bool
	withheld func(int) bool
}

// KnownConstitutions makes VerifyChain refuse a record under rules that know
// does not know (ReasonConstitutionUnknown).
func KnownConstitutions(know func(Hash) bool) ChainOption {
	return func(r *chainRules) { r.knows = know }
}

// Signed tells VerifyChain whose signatures hold, see Keyring.Judge: only such a
// record erases openings. Without this option every one is taken to hold, which
// is right only where signatures are judged elsewhere.
func Signed(holds func(index int) bool) ChainOption {
	return func(r *chainRules) { r.signed = holds }
}

// Withheld tells VerifyChain which openings may be missing because the reader may
// not see them.
func Withheld(may func(index int) bool) ChainOption {
	return func(r *chainRules) { r.withheld = may }
}

// VerifyChain checks the whole chain of one entity, given in log order: the
// records' bytes and hashes, their order and links, what may not change along
// them, and their openings. It does not check signatures. The breaks are in
// ascending order, at most one for an amendment, the first reason in FORMAT.md's
// order; none means intact. An amendment is compared with the one before it even
// where that one is broken.
func VerifyChain(chain []Amendment, opts ...ChainOption) []Break {
	yes := func(int) bool { return true }
	no := func(int) bool { return false }
	rules := chainRules{knows: func(Hash) bool { return true }, signed: yes, withheld: no}
	for _, opt := range opts {
		opt(&rules)
	}
	records := make([]Record, len(chain))
	unread := make([]*Fault, len(chain))
	for i, a := range chain {
		records[i], unread[i] = readRecord(a.Bytes)
	}
	erased := erasures(chain, records, unread, rules.signed)

	var breaks []Break
	links := chainLinks{seen: map[int64]bool{}}
	for i, a := range chain {
		f := unread[i]
		if f == nil {
			f = checkItself(records[i], a)
		}
		if g := links.next(records[i], a.Bytes, unread[i] == nil); f == nil {
			f = g
		}
		if f == nil && !rules.knows(records[i].Constitution) {
			f = fault(ReasonConstitutionUnknown, "the rules in force are not known")
		}
		if f == nil {
			mayMiss := rules.withheld(i) || (erased[records[i].Seq] > i && erasable(records[i]))
			f = checkOpening(records[i], a.Opening, mayMiss)
		}
		if f != nil {
			breaks = append(breaks, Break{Index: i, Fault: f})
		}
	}
	return breaks
}

// checkItself reports what is wrong with a record seen alone.
func checkItself(r Record, a Amendment) *Fault {
	if f := checkForm(a.Bytes); f != nil {
		return f
	}
	if f := checkContext(r); f != nil {
		return f
	}
	if HashOf(a.Bytes) != a.Hash {
		return fault(ReasonHashMismatch, "the stored hash is not the record's")
	}
	return nil
}

// chainLinks is what the next record of a chain has to follow.
type chainLinks struct {
	started bool
	last    Record // the newest that could be read
	seq     int64  // of the newest, read or not
	hash    Hash   // of the newest
	seen    map[int64]bool
}

// next reports how a record does not follow, and takes it as the newest.
func (c *chainLinks) next(r Record, b []byte, read bool) *Fault {
	if !read {
		c.seq, c.hash = c.seq+1, HashOf(b)
		return nil
	}
	f := c.check(r)
	c.started, c.last, c.seq, c.hash = true, r, r.Seq, HashOf(b)
	c.seen[r.Seq] = true
	return f
}

func (c *chainLinks) check(r Record) *Fault {
	switch {
	case c.started && r.EntityID != c.last.EntityID:
		return fault(ReasonEntityChanged, "a record of another entity")
	case c.seen[r.Seq]:
		return fault(ReasonSeqDuplicate, "seq %d stands twice in the chain", r.Seq)
	case r.Seq != c.seq+1:
		return fault(ReasonSeqGap, "seq %d after %d", r.Seq, c.seq)
	case r.PrevHash != c.hash:
		return fault(ReasonPrevHashMismatch, "prev_hash is not the predecessor's hash")
	case c.started && r.EntityType != c.last.EntityType:
		return fault(ReasonTypeChanged, "%s after %s", r.EntityType, c.last.EntityType)
	case c.started && r.GovernanceAgentID != c.last.GovernanceAgentID:
		return fault(ReasonOwnerChanged, "the owner is not the predecessor's")
	case c.started && r.RecordedAt.Before(c.last.RecordedAt):
		return fault(ReasonTimeBackwards, "recorded before its predecessor")
	case !fits(r):
		return fault(ReasonChangeInvalid, "%s of a %s at seq %d", r.Change, r.EntityType, r.Seq)
	}
	return nil
}

func checkOpening(r Record, o *Opening, mayMiss bool) *Fault {
	switch {
	case o == nil && mayMiss:
		return nil
	case o == nil:
		return fault(ReasonOpeningMissing, "and no later record erased it")
	case !opens(r, o):
		return fault(ReasonStateHashMismatch, "salt and state are not what the record commits to")
	}
	return checkState(o.State)
}

// erasable reports whether an opening may be erased at all: not where the ledger
// itself still needs what it says.
func erasable(r Record) bool {
	switch r.Change {
	case changeErased, changeReattested, changeRevoked:
		return false
	}
	return r.EntityType != typeSigningKey
}

// erasures returns for every erased seq the position in the chain of the newest
// record that erases it: of the same entity, and of a signature that holds. It
// erases only what stands before it.
func erasures(chain []Amendment, records []Record, unread []*Fault, signed func(int) bool) map[int64]int {
	newest := map[int64]int{}
	for i, r := range records {
		if unread[i] != nil || r.Change != changeErased || r.EntityID != records[0].EntityID || !signed(i) {
			continue
		}
		for _, seq := range listOf(r, chain[i].Opening).ErasedSeqs {
			newest[seq] = i
		}
	}
	return newest
}
