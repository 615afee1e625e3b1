package ledger

import (
	"slices"

	"github.com/go-json-experiment/json"
)

// Judge reports for every amendment of one entity, given in log order, whether
// its signature holds: nil, or the first reason in FORMAT.md's order. A record
// that a revocation voids holds if a later `reattested` amendment of the same
// entity, whose own signature holds, lists its hash. The chains of signing keys
// are judged by NewKeyring, not here.
func (k *Keyring) Judge(chain []Entry) []*Fault {
	faults := make([]*Fault, len(chain))
	records := make([]Record, len(chain))
	hashes := make([]Hash, len(chain))
	for i, e := range chain {
		hashes[i] = HashOf(e.Bytes)
		records[i], faults[i] = k.open(e)
		if faults[i] == nil {
			faults[i] = k.checkSigned(records[i], e)
		}
		if faults[i] == nil && k.revokedAt(records[i].KeyID, e.LogIndex) {
			faults[i] = revoked()
		}
	}
	// From the newest back: what lifts a record is judged before the record.
	for i, e := range slices.Backward(chain) {
		if faults[i] != nil || records[i].Change != changeReattested {
			continue
		}
		for _, h := range listOf(records[i], e.Opening).Reattests {
			at := slices.Index(hashes[:i], h)
			if at >= 0 && faults[at] != nil && faults[at].Reason == ReasonKeyRevoked &&
				records[at].EntityID == records[i].EntityID {
				faults[at] = nil
			}
		}
	}
	return faults
}

// lists are the members of a state that speak of earlier amendments of the same
// entity.
type lists struct {
	ErasedSeqs []int64 `json:"erased_seqs"`
	Reattests  []Hash  `json:"reattests"`
}

// listOf returns what the state after an amendment lists; nothing if the opening
// is not the one that the record commits to, or the lists cannot be read.
func listOf(r Record, o *Opening) lists {
	var l lists
	if !opens(r, o) || json.Unmarshal(o.State, &l) != nil {
		return lists{}
	}
	return l
}
