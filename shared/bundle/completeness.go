package bundle

import (
	"cmp"
	"maps"
	"slices"

	"github.com/dlai-sd/plant/shared/ledger"
	"github.com/dlai-sd/plant/shared/translog"
)

// completeness returns the first thing that shows something of the scope to be
// missing under the heads record, in FORMAT.md's order.
func (v *verifier) completeness(s *scan) *Offender {
	if v.opts.Scope != nil && *v.opts.Scope != v.scope {
		return &Offender{Reason: ReasonScopeMismatch, File: manifestFile, Detail: "another scope than is required"}
	}
	for _, check := range []func(*scan) *Offender{
		v.cut, v.rebuilt, v.included, v.forked, v.topList, v.scoped,
	} {
		if o := check(s); o != nil {
			return o
		}
	}
	return nil
}

// cut checks that the checkpoint ends with the heads record, which speaks of all
// entries before it.
func (v *verifier) cut(*scan) *Offender {
	if v.headsError != nil {
		return v.ofHeads(v.headsError)
	}
	if _, err := translog.ParseHeads([]byte(*v.headsText.Record)); err != nil {
		return v.ofHeads(err)
	}
	if !v.checkpointRead {
		return &Offender{Reason: translog.ReasonCheckpointMalformed, File: checkpointFile}
	}
	if at := *v.headsText.LogIndex; v.heads.LogSize != at || at != v.checkpoint.Size-1 {
		return v.ofHeads(fault(ReasonHeadsNotLast, "log_size, its index and the checkpoint's last entry are not one"))
	}
	return nil
}

// rebuilt checks, for scope all, that every entry of the log is there once and
// that together they are the log.
func (v *verifier) rebuilt(s *scan) *Offender {
	if v.scope.Type != ScopeAll {
		return nil
	}
	in := func(at int64, r ledger.Reason, detail string) *Offender {
		return &Offender{Reason: r, File: amendmentsFile, LogIndex: &at, Detail: detail}
	}
	entries := v.wholeLog(s)
	for i := 1; i < len(entries); i++ {
		if entries[i].at == entries[i-1].at {
			return in(entries[i].at, ReasonLogEntryDuplicate, "two entries of one index")
		}
	}
	for at := range v.checkpoint.Size {
		if at >= int64(len(entries)) || entries[at].at != at {
			return in(at, ReasonLogEntryMissing, "no entry of this index")
		}
	}
	if root, _ := rootOf(entries, v.checkpoint.Size); root != v.checkpoint.Root {
		return &Offender{Reason: ReasonLogRootMismatch, File: checkpointFile, Detail: "the entries are not the log that the checkpoint commits to"}
	}
	return nil
}

// wholeLog returns all entries that the bundle tells of, by log index.
func (v *verifier) wholeLog(s *scan) []logEntry {
	all := slices.Clone(s.entries)
	for _, e := range v.headsText.Earlier {
		all = append(all, logEntry{*e.LogIndex, *e.Hash})
	}
	for _, f := range v.headsText.Forks {
		all = append(all, logEntry{*f.LogIndex, ledger.HashOf([]byte(*f.Statement))})
	}
	all = append(all, logEntry{*v.headsText.LogIndex, ledger.HashOf([]byte(*v.headsText.Record))})
	slices.SortStableFunc(all, func(a, b logEntry) int { return cmp.Compare(a.at, b.at) })
	return all
}

// rootOf returns the root of the first size entries; false if there are fewer.
func rootOf(entries []logEntry, size int64) (ledger.Hash, bool) {
	if size > int64(len(entries)) {
		return ledger.Hash{}, false
	}
	var r translog.Range
	for _, e := range entries[:size] {
		r.Append(translog.EntryLeaf(e.hash))
	}
	return r.Root(), true
}

// included checks that every record, and the heads record, is an entry of the
// log at the index where it says to stand.
func (v *verifier) included(s *scan) *Offender {
	if s.inclusion.offender != nil {
		return s.inclusion.offender
	}
	h, c := v.headsText, v.checkpoint
	leaf := translog.EntryLeaf(ledger.HashOf([]byte(*h.Record)))
	if translog.CheckInclusion(*h.Inclusion, c.Size, c.Root, *h.LogIndex, leaf) != nil {
		return v.ofHeads(fault(ReasonInclusionInvalid, "the path does not lead from this record to the checkpoint's root"))
	}
	return nil
}

// topList checks that the list of tenants is the one that was committed to.
func (v *verifier) topList(*scan) *Offender {
	if err := translog.CheckTop(v.heads, *v.headsText.Tenants); err != nil {
		return v.ofHeads(err)
	}
	return nil
}

// scoped checks that the scope's entities, and the keyring's, are those that the
// list of tenants speaks of.
func (v *verifier) scoped(s *scan) *Offender {
	if s.outside.offender != nil {
		return s.outside.offender
	}
	rows := map[ledger.Hash]translog.TenantRow{}
	for _, row := range *v.headsText.Tenants {
		rows[row.Tenant] = row
	}
	owners := map[string]bool{keyringAgent: true}
	switch v.scope.Type {
	case ScopeAll:
		for owner := range maps.Keys(s.owners) {
			owners[owner] = true
		}
	case ScopeGovernanceAgent:
		owners[v.scope.ID] = true
	case ScopeEntity:
		if o := v.entity(s, v.scope.ID, *v.headsText.Entity, rows); o != nil {
			return o
		}
	case ScopeAgent:
		if o := v.agentScope(s, rows); o != nil {
			return o
		}
	}
	for _, owner := range slices.Sorted(maps.Keys(owners)) {
		row, f := v.row(owner, rows)
		if f == nil {
			f = sameTenant(row, s.headsOf(owner))
		}
		if f != nil {
			return v.ofHeads(f)
		}
		delete(rows, row.Tenant)
	}
	if v.scope.Type == ScopeAll && len(rows) > 0 {
		return v.ofHeads(fault(ReasonTenantExtra, "a tenant of whom the bundle holds nothing"))
	}
	return nil
}

// row finds a governance agent in the list, by its salt.
func (v *verifier) row(owner string, rows map[ledger.Hash]translog.TenantRow) (translog.TenantRow, *ledger.Fault) {
	salt, ok := (*v.headsText.Salts)[owner]
	if !ok {
		return translog.TenantRow{}, fault(ReasonTenantMissing, "no salt for "+owner)
	}
	row, ok := rows[translog.TenantID(salt, owner)]
	if !ok {
		return translog.TenantRow{}, fault(ReasonTenantMissing, owner+" is not in the list under this salt")
	}
	return row, nil
}

func sameTenant(row translog.TenantRow, heads []translog.EntityHead) *ledger.Fault {
	if int64(len(heads)) != row.Count {
		return fault(ReasonTenantCountMismatch, "not as many entities as the heads record says")
	}
	var r translog.Range
	for _, h := range heads {
		r.Append(h.Leaf())
	}
	if r.Root() != row.Root {
		return fault(ReasonTenantRootMismatch, "not the newest amendments that the heads record commits to")
	}
	return nil
}

// entity checks that an entity ends where its tenant's tree says that it does.
func (v *verifier) entity(s *scan, id string, place entityPlace, rows map[ledger.Hash]translog.TenantRow) *Offender {
	e := s.owners[*place.Owner][id]
	if e == nil {
		return ofEntity(fault(ReasonEntityHeadMismatch, "the entity is not there, or another's"), id)
	}
	row, f := v.row(*place.Owner, rows)
	if f != nil {
		return v.ofHeads(f)
	}
	if translog.CheckInclusion(*place.Path, row.Count, row.Root, *place.Index, e.head.Leaf()) != nil {
		return ofEntity(fault(ReasonEntityHeadMismatch, "its newest amendment is not the one that the heads record commits to"), id)
	}
	return nil
}

func fault(r ledger.Reason, detail string) *ledger.Fault {
	return &ledger.Fault{Reason: r, Detail: detail}
}

// ofHeads is an offence of the heads record, or of what it commits to.
func (v *verifier) ofHeads(err error) *Offender {
	o := offenderOf(err, "")
	o.File, o.LogIndex = headsFile, v.headsText.LogIndex
	return &o
}

// ofEntity is an offence of an entity's place in heads.json.
func ofEntity(err error, id string) *Offender {
	o := offenderOf(err, id)
	o.File = headsFile
	return &o
}
