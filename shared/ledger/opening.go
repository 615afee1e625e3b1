package ledger

import (
	"crypto/rand"
	"crypto/sha256"

	"github.com/dlai-sd/plant/shared/domain/canonical"
)

// stateContext separates the hashes of states from all others.
const stateContext = "plant/state/v1\n"

// Opening is what a record commits to and does not show: the state of the
// entity after the amendment, and a salt without which the state cannot be
// guessed from its hash. It can be erased without breaking the chain.
type Opening struct {
	Salt  [32]byte
	State []byte // canonical JSON, see canonical.CheckState
}

// NewOpening returns an opening of state with a fresh random salt. It keeps
// state, which must not change afterwards, and refuses one that is not a
// well-formed state in canonical form (ReasonStateMalformed).
func NewOpening(state []byte) (Opening, error) {
	o, f := openState(state)
	return o, asError(f)
}

func openState(state []byte) (Opening, *Fault) {
	if f := checkState(state); f != nil {
		return Opening{}, f
	}
	o := Opening{State: state}
	rand.Read(o.Salt[:]) // never fails: crypto/rand ends the program instead
	return o, nil
}

// Hash returns the state hash: SHA-256 of "plant/state/v1\n", salt and state.
func (o Opening) Hash() Hash {
	h := sha256.New()
	h.Write([]byte(stateContext))
	h.Write(o.Salt[:])
	h.Write(o.State)
	return Hash(h.Sum(nil))
}

func checkState(state []byte) *Fault {
	if err := canonical.CheckState(state); err != nil {
		return fault(ReasonStateMalformed, "%v", err)
	}
	return nil
}
