package bundle

import (
	"fmt"

	"github.com/dlai-sd/plant/shared/ledger"
	"github.com/dlai-sd/plant/shared/translog"
)

// forkText is a fork's statement in heads.json.
type forkText struct {
	LogIndex  *int64         `json:"log_index"`
	Statement *string        `json:"statement"`
	Signature *encoded       `json:"signature"`
	Inclusion *[]ledger.Hash `json:"inclusion"`
}

func (t forkText) whole() bool {
	return isIndex(t.LogIndex) && t.Statement != nil && t.Signature != nil && t.Inclusion != nil
}

// wholeForks reports whether all are complete, and ascending.
func wholeForks(forks []forkText) bool {
	for i, f := range forks {
		if !f.whole() || (i > 0 && *forks[i-1].LogIndex >= *f.LogIndex) {
			return false
		}
	}
	return true
}

// lineage is what the forks say of the origins of what stands before them. It is
// only said: judgeForks finds out whether a root said so.
func (v *verifier) lineage() (earlier []ledger.Earlier) {
	for _, t := range v.headsText.Forks {
		if f, err := translog.ParseFork([]byte(*t.Statement)); err == nil {
			earlier = append(earlier, ledger.Earlier{Origin: f.FromOrigin, Below: *t.LogIndex})
		}
	}
	return earlier
}

// judgeForks adds what is wrong with the statements: each must be a root's, and lead
// from the origin before it to the one behind it.
func (v *verifier) judgeForks() {
	for i, t := range v.headsText.Forks {
		to := v.opts.Origin
		if i+1 < len(v.headsText.Forks) {
			next, err := translog.ParseFork([]byte(*v.headsText.Forks[i+1].Statement))
			if err == nil {
				to = next.FromOrigin
			}
		}
		err := translog.JudgeFork(v.ring, []byte(*t.Statement), *t.Signature, *t.LogIndex, to)
		v.signature.addFault(place{stage: stageRecord, at: *t.LogIndex, file: headsFile}, "", err)
	}
}

// forked checks that the statements are entries of the log, and that the log still
// begins with what each says that it goes on from.
func (v *verifier) forked(s *scan) *Offender {
	c := v.checkpoint
	for _, t := range v.headsText.Forks {
		in := func(reason ledger.Reason, detail string) *Offender {
			return &Offender{Reason: reason, File: headsFile, LogIndex: t.LogIndex, Detail: detail}
		}
		leaf := translog.EntryLeaf(ledger.HashOf([]byte(*t.Statement)))
		if translog.CheckInclusion(*t.Inclusion, c.Size, c.Root, *t.LogIndex, leaf) != nil {
			return in(ReasonInclusionInvalid, "the path does not lead from this statement to the checkpoint's root")
		}
		f, err := translog.ParseFork([]byte(*t.Statement))
		if err != nil {
			return in(translog.ReasonForkMalformed, "not a fork's statement")
		}
		if !v.continues(s, f.Good, c) {
			return in(ReasonForkInconsistent, fmt.Sprintf("the log does not begin with the %d entries that it goes on from", f.Good.Size))
		}
	}
	return nil
}
