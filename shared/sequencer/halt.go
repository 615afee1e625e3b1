package sequencer

import (
	"errors"
	"fmt"
)

// Reason says why a log was stopped.
type Reason string

// Why the sequencer signs nothing until an operator has looked.
const (
	ReasonRolledBack Reason = "rolled_back" // the database has fewer entries than a published checkpoint
	ReasonDiverged   Reason = "diverged"    // it has others
	ReasonLost       Reason = "lost"        // a checkpoint that it knows to be published is not there
	ReasonUntrusted  Reason = "untrusted"   // what is published is signed by no checkpoint key of this ledger
	ReasonOrigin     Reason = "origin"      // what is published is of another log
	ReasonContested  Reason = "contested"   // somebody else published another checkpoint under this number
	ReasonFork       Reason = "fork"        // a fork's statement does not fit what is here or there
)

// Halt is why the log does not go on: what is published and what the database has
// do not agree. Nothing was signed. It does not pass by itself.
type Halt struct {
	Reason    Reason
	Published int64 // number of the newest published checkpoint; 0: there is none
	Size      int64 // its size
	Own       int64 // the database's
	Err       error // the cause, where there is one
}

// Error says what differs.
func (h *Halt) Error() string {
	text := fmt.Sprintf("the log is stopped (%s): checkpoint %d covers %d entries, the database has %d", h.Reason, h.Published, h.Size, h.Own)
	if h.Err != nil {
		text += ": " + h.Err.Error()
	}
	return text
}

// Unwrap returns the cause.
func (h *Halt) Unwrap() error { return h.Err }

// Halted returns the halt in an error's chain, nil if there is none.
func Halted(err error) *Halt {
	var h *Halt
	if errors.As(err, &h) {
		return h
	}
	return nil
}
