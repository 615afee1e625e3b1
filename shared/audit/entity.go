package audit

import (
	"encoding/hex"
	"fmt"
	"slices"

	"github.com/dlai-sd/plant/shared/compliance"
	"github.com/dlai-sd/plant/shared/domain"
	"github.com/dlai-sd/plant/shared/ledger"
	"github.com/dlai-sd/plant/shared/store"
)

// examination is one entity under the lens.
type examination struct {
	kept      store.Kept
	ring      *ledger.Keyring
	keyFaults map[ledger.Hash]*ledger.Fault
	known     map[ledger.Hash]bool // constitutions of the ledger
	rules     compliance.Rules     // those of them that this build can judge by
	end       end

	owner, kind string
	found       []store.Finding
}

// another stands in a finding for what belongs to somebody else: the finding's reader
// is not to learn whose it is, or what.
const another = "another's"

// add notes what was found; seq 0 is of no one amendment.
func (x *examination) add(reason ledger.Reason, seq int64, expected, found string) {
	x.found = append(x.found, store.Finding{
		GovernanceAgent: x.owner, EntityID: x.kept.ID, EntityType: x.kind, Seq: seq,
		Reason: string(reason), Expected: expected, Found: found,
	})
}

func (x *examination) judge() []store.Finding {
	k := x.kept
	entries := entriesOf(k, x.end)
	x.name(entries)
	if len(entries) == 0 {
		if k.Row != "" || len(k.Entries) > 0 {
			x.add(ReasonHistoryMissing, 0, "amendments", "none")
		}
		x.places(entries)
		return x.found
	}
	faults := x.signatures(entries)
	x.chain(entries, faults)
	for i, kept := range k.Amendments {
		if !kept.Agrees {
			x.add(ReasonColumnsDiffer, kept.Seq, "the record's members", "other values in the amendment's columns")
		}
		x.state(entries[i])
	}
	x.places(entries)
	x.row(entries)
	x.vectors(entries)
	return x.found
}

// name says of whom findings are, and so who may read them: what the entity's first
// record that can be read says, or the log where it has none. A record of another
// entity that somebody put here speaks for nobody.
func (x *examination) name(entries []ledger.Entry) {
	for _, e := range x.kept.Entries {
		if e.Owner != "" {
			x.owner = e.Owner
		}
	}
	for _, e := range entries {
		if e.Record.EntityID == x.kept.ID {
			x.owner, x.kind = e.Record.GovernanceAgentID, e.Record.EntityType
			return
		}
	}
}

// signatures judges every signature and the force of its key. Those of keys were
// judged together.
func (x *examination) signatures(entries []ledger.Entry) []*ledger.Fault {
	var faults []*ledger.Fault
	if x.kind == string(domain.KindSigningKey) {
		for _, e := range entries {
			f, known := x.keyFaults[e.Hash]
			if !known { // it has no row and no place: nothing leads to it but this amendment
				f = &ledger.Fault{Reason: ledger.ReasonKeyUnknown, Detail: "no key of the keyring"}
			}
			faults = append(faults, f)
		}
	} else {
		faults = x.ring.Judge(entries)
	}
	for i, f := range faults {
		if f != nil {
			x.add(f.Reason, x.kept.Amendments[i].Seq, "a signature that holds, by a key in force that may sign this", f.Error())
		}
	}
	return faults
}

// chain judges order, links, openings and rule sets. The stored hash is what the
// database says, not what was computed.
func (x *examination) chain(entries []ledger.Entry, faults []*ledger.Fault) {
	amendments := make([]ledger.Amendment, len(entries))
	for i, e := range entries {
		amendments[i] = e.Amendment
		copy(amendments[i].Hash[:], x.kept.Amendments[i].Hash)
		if e.Record.EntityID != x.kept.ID && e.Record.EntityID != "" {
			x.add(ledger.ReasonEntityChanged, x.kept.Amendments[i].Seq, x.kept.ID, another)
		}
	}
	for _, b := range ledger.VerifyChain(amendments,
		ledger.KnownConstitutions(func(h ledger.Hash) bool { return x.known[h] }),
		ledger.Signed(func(i int) bool { return faults[i] == nil })) {
		x.add(b.Fault.Reason, x.kept.Amendments[b.Index].Seq, "an unbroken chain whose openings are the signed ones", b.Fault.Error())
	}
}

// state judges one signed state by the rules of its constitution, where this binary
// has them.
func (x *examination) state(e ledger.Entry) {
	judged, _, err := x.rules.Judge(e.Amendment)
	if err != nil {
		x.add(ReasonStateUnread, e.Record.Seq, "a state of a "+e.Record.EntityType, "another form")
	}
	for _, f := range judged.Faults {
		took := slices.Contains(domain.Notes(), e.Record.Change) || !judged.Living
		if took && f.Rule != domain.RuleOwnership {
			continue // it took note of what may have been broken already
		}
		x.add(ReasonRuleViolated, e.Record.Seq, f.Rule, f.Where)
	}
}

// places compares the history with the log: what is in one is in the other.
func (x *examination) places(entries []ledger.Entry) {
	byseq := map[int64]store.KeptEntry{}
	for _, e := range x.kept.Entries {
		byseq[e.Seq] = e
	}
	for i, e := range entries {
		seq := x.kept.Amendments[i].Seq
		logged, ok := byseq[seq]
		delete(byseq, seq)
		switch {
		case !ok:
			x.add(ReasonNotLogged, seq, "a place in the log, or among what waits for one", "none")
		case hex.EncodeToString(logged.Hash) != e.Hash.String():
			x.add(ReasonLogMismatch, seq, hex.EncodeToString(logged.Hash), e.Hash.String())
		case logged.LogIndex >= 0 && logged.Owner != e.Record.GovernanceAgentID:
			x.add(ReasonLogMismatch, seq, "an entry of its owner", another)
		}
	}
	for _, e := range x.kept.Entries {
		if _, gone := byseq[e.Seq]; gone {
			x.add(ReasonAmendmentMissing, e.Seq, fmt.Sprintf("the amendment of log entry %d", e.LogIndex), "none")
		}
	}
}
