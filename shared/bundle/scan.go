package bundle

import (
	"bytes"
	"cmp"
	"maps"
	"slices"

	"github.com/dlai-sd/plant/shared/ledger"
	"github.com/dlai-sd/plant/shared/translog"
)

// logEntry is an entry of the log as the bundle tells it.
type logEntry struct {
	at   int64
	hash ledger.Hash
}

// entityHead is what the bundle holds of one entity: 200 bytes, however long its
// chain is.
type entityHead struct {
	first, newest int64 // log indexes
	head          translog.EntityHead
}

// scan is what one reading of all lines leaves behind.
type scan struct {
	entries    []logEntry                        // of the lines, later in order of the log
	owners     map[string]map[string]*entityHead // by the owner that a record names, then by entity
	dated      map[string]*dated                 // scope agent: the entities of amendments.jsonl
	datedBytes int64
	keys       []line // every record of a signing key
	keyBytes   int64
	bytes      int64                  // of amendments.jsonl
	digests    map[string]ledger.Hash // of the files, which are read again
	kin        map[string][]uint32    // by file, of each line: alike for all lines of an entity

	order     findings // integrity: lines that are not ascending
	misplaced findings // integrity
	inclusion findings // completeness
	outside   findings // completeness
	sampled   bool     // the sample is one of the lines
}

// scanner reads the lines for the first time: it looks at each alone.
type scanner struct {
	*verifier
	scan scan
	last map[string]int64 // newest log index of each file
}

func newScanner(v *verifier) *scanner {
	return &scanner{
		verifier: v, last: map[string]int64{keysFile: -1, amendmentsFile: -1},
		scan: scan{
			owners: map[string]map[string]*entityHead{}, dated: map[string]*dated{},
			digests: map[string]ledger.Hash{}, kin: map[string][]uint32{},
		},
	}
}

func (v *verifier) scanAll() (*scan, error) {
	s := newScanner(v)
	for _, file := range []string{keysFile, amendmentsFile} {
		digest, err := eachLine(v.fsys, file, limitOf(file), s.taker(file))
		if err != nil {
			return nil, err
		}
		s.scan.digests[file] = digest
	}
	slices.SortStableFunc(s.scan.entries, func(a, b logEntry) int { return cmp.Compare(a.at, b.at) })
	return &s.scan, nil
}

func (s *scanner) taker(file string) func(int, []byte) error {
	return func(number int, b []byte) error {
		l, err := readLine(file, number, b)
		if err != nil {
			return err
		}
		if file == amendmentsFile {
			s.scan.bytes += int64(len(b))
		}
		s.progress.add(len(b) + 1)
		s.scan.kin[file] = append(s.scan.kin[file], kinOf(l.entry.Record.EntityID))
		s.take(l)
		if s.scope.Type == ScopeAgent && file == amendmentsFile && l.malformed == nil {
			if err := s.takeDated(l); err != nil {
				return err
			}
		}
		if l.isKey() {
			if s.scan.keyBytes += int64(len(b)); s.scan.keyBytes > maxKeys {
				return &NotBundleError{File: file, Line: number, Detail: "too many records of signing keys"}
			}
			s.scan.keys = append(s.scan.keys, l)
		}
		return nil
	}
}

func (s *scanner) take(l line) {
	at := l.entry.LogIndex
	s.scan.entries = append(s.scan.entries, logEntry{at, l.entry.Hash})
	if at <= s.last[l.file] {
		s.scan.order.add(l.place(), Offender{Reason: ReasonLogOrder, Detail: "the lines are not strictly ascending by log index"})
	}
	s.last[l.file] = at
	c := s.checkpoint
	if s.checkpointRead && translog.CheckInclusion(l.inclusion, c.Size, c.Root, at, translog.EntryLeaf(l.entry.Hash)) != nil {
		s.scan.inclusion.add(l.place(), Offender{
			Reason: ReasonInclusionInvalid, EntityID: l.entry.Record.EntityID,
			Detail: "the path does not lead from this record to the checkpoint's root",
		})
	}
	if l.malformed == nil {
		s.takeRecord(l)
	}
	if l.entry.Batch == nil && bytes.Equal(l.entry.Bytes, s.sampleRecord) && bytes.Equal(l.entry.Signature, s.sampleSignature) {
		s.scan.sampled = true
	}
}

// takeRecord takes a line whose record could be read.
func (s *scanner) takeRecord(l line) {
	r, at := l.entry.Record, l.entry.LogIndex
	if l.isKey() != (l.file == keysFile) {
		s.scan.misplaced.add(l.place(), Offender{
			Reason: ReasonRecordMisplaced, EntityID: r.EntityID, Detail: "keys.jsonl holds the records of signing keys, and no others",
		})
	}
	if l.file == amendmentsFile && s.outOfScope(r) {
		s.scan.outside.add(l.place(), Offender{Reason: ReasonOutOfScope, EntityID: r.EntityID, Detail: "not of the bundle's scope"})
	}
	own := s.own(r.GovernanceAgentID)
	e := own[r.EntityID]
	if e == nil {
		e = &entityHead{first: at, newest: -1}
		own[r.EntityID] = e
	}
	e.first = min(e.first, at)
	if at > e.newest {
		e.newest, e.head = at, translog.EntityHead{EntityID: r.EntityID, Hash: l.entry.Hash, Seq: r.Seq}
	}
}

// own returns the heads of one owner's entities. Records that name another owner
// than their predecessor count for that one: a tenant's heads depend on no records
// but its own.
func (s *scanner) own(owner string) map[string]*entityHead {
	own := s.scan.owners[owner]
	if own == nil {
		own = map[string]*entityHead{}
		s.scan.owners[owner] = own
	}
	return own
}

func (s *scanner) outOfScope(r ledger.Record) bool {
	switch s.scope.Type {
	case ScopeGovernanceAgent:
		return r.GovernanceAgentID != s.scope.ID
	case ScopeEntity:
		return r.EntityID != s.scope.ID
	}
	return false
}

// headsOf returns the heads of an owner's entities, in the order of their first
// log index.
func (s *scan) headsOf(owner string) []translog.EntityHead {
	own := slices.AppendSeq(make([]*entityHead, 0, len(s.owners[owner])), maps.Values(s.owners[owner]))
	slices.SortFunc(own, func(a, b *entityHead) int {
		return cmp.Or(cmp.Compare(a.first, b.first), cmp.Compare(a.head.EntityID, b.head.EntityID))
	})
	heads := make([]translog.EntityHead, len(own))
	for i, e := range own {
		heads[i] = e.head
	}
	return heads
}

// count returns how many entities there are.
func (s *scan) count() int64 {
	var n int64
	for _, own := range s.owners {
		n += int64(len(own))
	}
	return n
}
