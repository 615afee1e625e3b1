package bundle

import (
	"cmp"
	"errors"
	"sync"

	"github.com/dlai-sd/plant/shared/ledger"
)

// stage is where in the order of first offenders a finding stands.
type stage int

const (
	stageWhole      stage = iota
	stageRecord           // by log index
	stageCheckpoint       // the files that are looked at after the records
	stageFiles
	stageSample
)

// place orders the findings of one verdict.
type place struct {
	stage stage
	at    int64  // log index, in stage stageRecord
	file  string // which breaks a tie
	line  int

	entity string // of rule results, which have no lines of their own
}

func (p place) before(o place) bool {
	return cmp.Or(cmp.Compare(p.stage, o.stage), cmp.Compare(p.at, o.at),
		cmp.Compare(p.file, o.file), cmp.Compare(p.line, o.line), cmp.Compare(p.entity, o.entity)) < 0
}

// findings keeps the first offender of one verdict. Several goroutines may add.
type findings struct {
	mu       sync.Mutex
	place    place
	offender *Offender
}

func (f *findings) add(p place, o Offender) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.offender == nil || p.before(f.place) {
		o.File = p.file
		if p.stage == stageRecord {
			o.LogIndex = &p.at
		}
		f.place, f.offender = p, &o
	}
}

// addFault adds what a check of package ledger or translog said; nil is nothing.
func (f *findings) addFault(p place, entityID string, err error) {
	if err != nil {
		f.add(p, offenderOf(err, entityID))
	}
}

func (f *findings) verdict(name string) Verdict {
	return Verdict{Name: name, Passed: f.offender == nil, Offender: f.offender}
}

// offenderOf makes an offender of an error that carries a reason.
func offenderOf(err error, entityID string) Offender {
	o := Offender{EntityID: entityID, Reason: ledger.ReasonOf(err)}
	var f *ledger.Fault
	if errors.As(err, &f) {
		o.Detail = f.Detail
	}
	return o
}
