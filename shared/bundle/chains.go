package bundle

import (
	"cmp"
	"encoding/binary"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/dlai-sd/plant/shared/ledger"
)

// lineID names a line.
type lineID struct {
	file   string
	number int
}

// judgeKeys builds the keyring from every record of a signing key, and returns
// what is wrong with these.
func (v *verifier) judgeKeys(lines []line) map[lineID]*ledger.Fault {
	entries := make([]ledger.Entry, len(lines))
	begun := false
	for i, l := range lines {
		entries[i] = l.entry
		begun = begun || l.entry.LogIndex == 0
	}
	ring, faults := ledger.NewKeyring(v.opts.Origin, v.root, entries, v.lineage()...)
	v.ring = ring
	byLine := map[lineID]*ledger.Fault{}
	for i, l := range lines {
		byLine[lineID{l.file, l.number}] = faults[i]
	}
	if !ring.Rooted() && !begun {
		v.signature.add(place{stage: stageRecord, file: keysFile},
			Offender{Reason: ledger.ReasonRootUntrusted, Detail: "there is no entry 0 that introduces the pinned root"})
	}
	return byLine
}

// judgeChains judges signatures and chains, an entity at a time, on all cores.
// A large file is read several times, for a share of the entities each.
func (v *verifier) judgeChains(s *scan, keyFaults map[lineID]*ledger.Fault) error {
	v.integrity.take(&s.order, stageWhole)
	v.integrity.take(&s.misplaced, stageWhole)
	if err := v.readClaims(s); err != nil {
		return err
	}
	shares := s.bytes/v.chunk + 1
	for share := range shares {
		chains, err := v.chainsOf(s, share, shares)
		if err != nil {
			return err
		}
		onAllCores(chains, func(chain []line) { v.judgeChain(s, chain, keyFaults) })
	}
	v.strayClaims()
	return nil
}

// chainsOf reads the lines again and returns a share of the entities, with all
// lines of each; the lines of others it passes over. It adds the records that cannot
// be read.
func (v *verifier) chainsOf(s *scan, share, shares int64) (map[string][]line, error) {
	chains := map[string][]line{}
	for _, file := range []string{keysFile, amendmentsFile} {
		changed := &NotBundleError{File: file, Detail: "it changed while it was read"}
		kin := s.kin[file]
		digest, err := eachLine(v.fsys, file, limitOf(file), func(number int, b []byte) error {
			if number > len(kin) {
				return changed
			}
			if int64(kin[number-1])%shares != share {
				return nil
			}
			l, err := readLine(file, number, b)
			switch id := l.entry.Record.EntityID; {
			case err != nil:
				return err
			case l.malformed != nil:
				v.signature.addFault(l.place(), "", l.malformed)
				v.integrity.addFault(l.place(), "", l.malformed)
			default:
				chains[id] = append(chains[id], l)
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
		if digest != s.digests[file] {
			return nil, changed
		}
	}
	return chains, nil
}

// kinOf is a number of an entity, by which entities are spread evenly over shares.
func kinOf(entityID string) uint32 {
	h := ledger.HashOf([]byte(entityID))
	return binary.BigEndian.Uint32(h[:])
}

// onAllCores gives every chain to judge, and waits.
func onAllCores(chains map[string][]line, judge func([]line)) {
	all := make([][]line, 0, len(chains))
	for _, chain := range chains {
		all = append(all, chain)
	}
	var next atomic.Int64
	var group sync.WaitGroup
	for range min(runtime.GOMAXPROCS(0), len(all)) {
		group.Go(func() {
			for i := next.Add(1) - 1; i < int64(len(all)); i = next.Add(1) - 1 {
				judge(all[i])
			}
		})
	}
	group.Wait()
}

// judgeChain judges all records of one entity, and the newest state by the rules.
func (v *verifier) judgeChain(s *scan, chain []line, keyFaults map[lineID]*ledger.Fault) {
	slices.SortStableFunc(chain, func(a, b line) int { return cmp.Compare(a.entry.LogIndex, b.entry.LogIndex) })
	for _, l := range chain {
		v.progress.add(l.size)
	}
	faults := make([]*ledger.Fault, len(chain))
	var others []ledger.Entry // all but the records of keys, which are judged together
	var at []int              // where in the chain they stand
	amendments := make([]ledger.Amendment, len(chain))
	for i, l := range chain {
		amendments[i] = l.entry.Amendment
		if l.isKey() {
			faults[i] = keyFaults[lineID{l.file, l.number}]
		} else {
			others, at = append(others, l.entry), append(at, i)
		}
	}
	for i, f := range v.ring.Judge(others) {
		faults[at[i]] = f
	}
	for i, f := range faults {
		if f != nil {
			v.signature.addFault(chain[i].place(), chain[i].entry.Record.EntityID, f)
		}
	}
	breaks := ledger.VerifyChain(amendments,
		ledger.KnownConstitutions(func(h ledger.Hash) bool { return v.known[h] }),
		ledger.Signed(func(i int) bool { return faults[i] == nil }),
		ledger.Withheld(func(i int) bool { return v.foreign(s, chain[i].entry.Record) }))
	for _, b := range breaks {
		v.integrity.addFault(chain[b.Index].place(), chain[b.Index].entry.Record.EntityID, b.Fault)
	}
	v.judgeRules(chain[len(chain)-1])
}

// take adds what other findings hold, at another stage.
func (f *findings) take(from *findings, at stage) {
	if from.offender == nil {
		return
	}
	p, o := from.place, *from.offender
	p.stage = at
	f.add(p, o)
}
