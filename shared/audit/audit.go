// Package audit judges what a database holds against what was signed: every
// signature by a key then in force, every chain, opening, column and vector, the
// rules then in force, and the log. It reads; it mends nothing.
package audit

import (
	"cmp"
	"context"
	"fmt"
	"runtime"
	"slices"
	"strconv"
	"sync"

	"github.com/dlai-sd/plant/shared/compliance"
	"github.com/dlai-sd/plant/shared/domain"
	"github.com/dlai-sd/plant/shared/ledger"
	"github.com/dlai-sd/plant/shared/sequencer"
	"github.com/dlai-sd/plant/shared/store"
	"github.com/dlai-sd/plant/shared/translog"
)

// What an audit finds beside the ledger's own reasons (shared/ledger/FORMAT.md).
const (
	ReasonRowMissing       ledger.Reason = "row_missing"       // an entity has a history and no row
	ReasonHistoryMissing   ledger.Reason = "history_missing"   // it has a row, or stands in the log, and no history
	ReasonAmendmentMissing ledger.Reason = "amendment_missing" // the log has an amendment that is gone
	ReasonNotLogged        ledger.Reason = "not_logged"        // an amendment neither in the log nor waiting for it
	ReasonLogMismatch      ledger.Reason = "log_mismatch"      // the log has another hash or owner in its place
	ReasonColumnsDiffer    ledger.Reason = "columns_differ"    // an amendment's columns are not its record's
	ReasonRowDiffers       ledger.Reason = "row_differs"       // a column of the entity is not what was signed
	ReasonStateUnread      ledger.Reason = "state_unreadable"  // a signed state is none of its kind
	ReasonVectorMissing    ledger.Reason = "vector_missing"    // the state names a vector that is not there
	ReasonVectorDiffers    ledger.Reason = "vector_differs"    // a vector is not the one whose hash is signed
	ReasonVectorExtra      ledger.Reason = "vector_extra"      // a vector of what has none
	ReasonRuleViolated     ledger.Reason = "rule_violated"     // a state breaks a rule of its constitution
	ReasonLogStopped       ledger.Reason = "log_stopped"       // the log is not the one that was published
	ReasonTileDiffers      ledger.Reason = "tile_differs"      // a tile is not that of its entries
	ReasonHeadsDiffer      ledger.Reason = "heads_differ"      // a heads record does not say what the log says
	ReasonEntryMissing     ledger.Reason = "log_entry_missing" // the log has a gap
	ReasonEnactmentDiffers ledger.Reason = "enactment_differs" // a constitution is in force that nobody enacted
)

// Auditor judges. The database's role reads everything (plant_auditor).
type Auditor struct {
	DB     *store.DB
	Log    *sequencer.Sequencer // only looked at
	Origin string
}

// Judged is what was found of some entities.
type Judged struct {
	Findings   []store.Finding
	Entities   int64
	Amendments int64
}

// Entities judges everything that is kept of entities, by the keys and the
// constitutions of the same moment.
func (a *Auditor) Entities(ctx context.Context, ids []string) (Judged, error) {
	s, err := a.DB.KeptOf(ctx, ids)
	if err != nil {
		return Judged{}, err
	}
	return a.judge(s), nil
}

// Everything judges all entities that a filter names, a chunk at a time in the order of
// their ids.
func (a *Auditor) Everything(ctx context.Context, filter store.RunFilter) (all Judged, err error) {
	for after := ""; ; {
		ids, err := a.DB.AuditIDs(ctx, filter, after, chunk)
		if err != nil || len(ids) == 0 {
			return all, err
		}
		part, err := a.Entities(ctx, ids)
		if err != nil {
			return all, err
		}
		all.Findings = append(all.Findings, part.Findings...)
		all.Entities, all.Amendments = all.Entities+part.Entities, all.Amendments+part.Amendments
		after = ids[len(ids)-1]
	}
}

func (a *Auditor) judge(s store.Held) Judged {
	ring, keyFaults, end := a.keyring(s)
	known, rules := map[ledger.Hash]bool{}, compliance.Among(s.Constitutions)
	for _, d := range s.Constitutions {
		known[ledger.HashOf(d)] = true
	}
	found := make([][]store.Finding, len(s.Entities))
	onAllCores(len(s.Entities), func(i int) {
		e := examination{kept: s.Entities[i], ring: ring, keyFaults: keyFaults, known: known, rules: rules, end: end}
		found[i] = e.judge()
	})
	done := Judged{Entities: int64(len(s.Entities))}
	for i, f := range found {
		done.Findings = append(done.Findings, f...)
		done.Amendments += int64(len(s.Entities[i].Amendments))
	}
	return done
}

// onAllCores calls f for 0 to n-1, and waits.
func onAllCores(n int, f func(int)) {
	var group sync.WaitGroup
	next := make(chan int)
	for range min(runtime.GOMAXPROCS(0), n) {
		group.Go(func() {
			for i := range next {
				f(i)
			}
		})
	}
	for i := range n {
		next <- i
	}
	close(next)
	group.Wait()
}

// keyring is built from the keys' own chains, from the root that stands at the log's
// beginning: what the log says is held to what is published. Between a fork to the
// present origin and the run of the sequencer that begins the log anew, the fork's
// statement stands where that run will put it, if a root signed it.
func (a *Auditor) keyring(s store.Held) (*ledger.Keyring, map[ledger.Hash]*ledger.Fault, end) {
	for _, f := range s.Unlogged {
		if f.Origin != a.Origin {
			continue
		}
		e := end{size: s.Size, forkedTo: f.Origin}
		f.LogIndex = e.fork()
		next := s
		next.Forks = append(slices.Clone(s.Forks), f)
		ring, faults := a.ring(next, e)
		if translog.JudgeFork(ring, f.Statement, f.Signature, f.LogIndex, a.Origin) == nil {
			return ring, faults, e
		}
	}
	e := end{size: s.Size}
	ring, faults := a.ring(s, e)
	return ring, faults, e
}

func (a *Auditor) ring(s store.Held, end end) (*ledger.Keyring, map[ledger.Hash]*ledger.Fault) {
	var entries []ledger.Entry
	for _, k := range s.Keys {
		entries = append(entries, entriesOf(k, end)...)
	}
	order(entries, end)
	var root string
	for _, e := range entries {
		if e.LogIndex == 0 {
			root = e.Record.KeyID
		}
	}
	var earlier []ledger.Earlier
	for _, f := range s.Forks {
		if said, err := translog.ParseFork(f.Statement); err == nil {
			earlier = append(earlier, ledger.Earlier{Origin: said.FromOrigin, Below: f.LogIndex})
		}
	}
	ring, faults := ledger.NewKeyring(a.Origin, root, entries, earlier...)
	byHash := map[ledger.Hash]*ledger.Fault{}
	for i, e := range entries {
		byHash[e.Hash] = faults[i]
	}
	return ring, byHash
}

// end is where a log ends, and where an amendment that waits is taken to stand behind
// it: what the sequencer places first, introductions of keys, before all others, and the
// ends of keys behind them. What was signed meanwhile is then by a key in force, as the
// database found it. Where a fork waits too, what was recorded since under the new
// origin stands behind that.
type end struct {
	size     int64
	forkedTo string // the origin to which a fork leads that waits; "": none does
}

const (
	othersBehind = int64(1) << 40
	endsBehind   = int64(1) << 41
	forkBehind   = int64(1) << 42
)

// fork is where the statement of the fork stands that waits.
func (e end) fork() int64 { return e.size + forkBehind }

// behind is the place of the first amendment that waits, of those like a record.
func (e end) behind(r ledger.Record) int64 {
	at := e.size
	if e.forkedTo != "" && r.Origin == e.forkedTo {
		at = e.fork() + 1
	}
	switch {
	case r.EntityType != string(domain.KindSigningKey):
		return at + othersBehind
	case r.Change == domain.ChangeIntroduced:
		return at
	}
	return at + endsBehind
}

// order gives the keys' amendments that wait places of their own, in the order in
// which the sequencer will: who introduces comes before who is introduced, and in a
// log that is still empty the root comes first.
func order(entries []ledger.Entry, end end) {
	var waiting []*ledger.Entry
	for i := range entries {
		if entries[i].LogIndex >= end.size {
			waiting = append(waiting, &entries[i])
		}
	}
	slices.SortFunc(waiting, func(a, b *ledger.Entry) int {
		return cmp.Or(cmp.Compare(end.behind(a.Record), end.behind(b.Record)), a.Record.RecordedAt.Compare(b.Record.RecordedAt),
			cmp.Compare(a.Record.EntityID, b.Record.EntityID), cmp.Compare(a.Record.Seq, b.Record.Seq))
	})
	for i, e := range waiting {
		e.LogIndex = end.behind(e.Record) + int64(i)
	}
}

// entriesOf are an entity's amendments at their places in the log. What still waits
// comes after everything: until then the database's answer stood in for its key.
func entriesOf(k store.Kept, end end) []ledger.Entry {
	places := map[int64]int64{}
	for _, e := range k.Entries {
		if e.LogIndex >= 0 {
			places[e.Seq] = e.LogIndex
		}
	}
	entries := make([]ledger.Entry, len(k.Amendments))
	for i, kept := range k.Amendments {
		a := ledger.Amendment{
			Bytes: []byte(kept.Record), Hash: ledger.HashOf([]byte(kept.Record)),
			Opening: kept.Opening, Signature: kept.Signature, Batch: kept.Batch,
		}
		a.Record, _ = ledger.ReadRecord(a.Bytes) // unread it is the zero record, which the chain reports
		at, logged := places[kept.Seq]
		if !logged {
			at = end.behind(a.Record) + int64(i)
		}
		entries[i] = ledger.Entry{Amendment: a, LogIndex: at}
	}
	return entries
}

// Stopped returns the finding of a log that is not what was published, none if all is
// well.
func (a *Auditor) Stopped(ctx context.Context) ([]store.Finding, error) {
	s, err := a.Log.Status(ctx)
	if err != nil || s.Halted == "" {
		return nil, err
	}
	return []store.Finding{{
		Reason:   string(ReasonLogStopped),
		Expected: fmt.Sprintf("checkpoint %d of %d entries, and what continues it", s.Published, s.PublishedSize),
		Found:    fmt.Sprintf("%d entries (%s)", s.Size, s.Halted),
	}}, nil
}

func number(n int64) string { return strconv.FormatInt(n, 10) }
