package ledger

import (
	"errors"
	"fmt"
)

// Reason is a code for what is wrong with an amendment. FORMAT.md explains each;
// the values are stable.
type Reason string

// Reasons that concern a signature, in the order in which they are tried.
const (
	ReasonRecordMalformed   Reason = "record_malformed"
	ReasonContextWrong      Reason = "context_wrong"
	ReasonOriginWrong       Reason = "origin_wrong"
	ReasonAlgorithmUnknown  Reason = "algorithm_unknown"
	ReasonAlgorithmMismatch Reason = "algorithm_mismatch"
	ReasonRootUntrusted     Reason = "root_untrusted" // key records only
	ReasonKeyUnknown        Reason = "key_unknown"
	ReasonKeyNotInForce     Reason = "key_not_in_force"
	ReasonKeyRetired        Reason = "key_retired"
	ReasonKeyMayNotSign     Reason = "key_may_not_sign"
	ReasonBatchMalformed    Reason = "batch_malformed"
	ReasonBatchMismatch     Reason = "batch_mismatch"
	ReasonBatchPathInvalid  Reason = "batch_path_invalid"
	ReasonSignatureInvalid  Reason = "signature_invalid"
	ReasonKeyMalformed      Reason = "key_malformed" // key records only
	ReasonKeyRevoked        Reason = "key_revoked"
)

// Reasons that concern a chain, in the order in which they are tried after
// ReasonRecordMalformed. HashMismatch and EntityChanged cannot occur in a
// bundle, which carries no hashes and is grouped by entity.
const (
	ReasonRecordNotCanonical  Reason = "record_not_canonical"
	ReasonHashMismatch        Reason = "hash_mismatch"
	ReasonEntityChanged       Reason = "entity_changed"
	ReasonSeqGap              Reason = "seq_gap"
	ReasonSeqDuplicate        Reason = "seq_duplicate"
	ReasonPrevHashMismatch    Reason = "prev_hash_mismatch"
	ReasonTypeChanged         Reason = "type_changed"
	ReasonOwnerChanged        Reason = "owner_changed"
	ReasonTimeBackwards       Reason = "time_backwards"
	ReasonChangeInvalid       Reason = "change_invalid"
	ReasonConstitutionUnknown Reason = "constitution_unknown"
	ReasonStateHashMismatch   Reason = "state_hash_mismatch"
	ReasonStateMalformed      Reason = "state_malformed"
	ReasonOpeningMissing      Reason = "opening_missing"
)

// Fault is one thing that is wrong: its code and a sentence. It repeats nothing
// that a user wrote.
type Fault struct {
	Reason Reason
	Detail string
}

// Error describes the fault.
func (f *Fault) Error() string {
	if f.Detail == "" {
		return string(f.Reason)
	}
	return string(f.Reason) + ": " + f.Detail
}

// ReasonOf returns the code in err's tree, or "" if there is none.
func ReasonOf(err error) Reason {
	var f *Fault
	if errors.As(err, &f) {
		return f.Reason
	}
	return ""
}

// Break is where a chain is broken: the position of the amendment in the chain
// as it was given, from 0, and what is wrong with it.
type Break struct {
	Index int
	Fault *Fault
}

// Error describes the break.
func (b Break) Error() string { return fmt.Sprintf("amendment %d: %v", b.Index, b.Fault) }

// Unwrap returns the fault.
func (b Break) Unwrap() error { return b.Fault }

func fault(r Reason, format string, args ...any) *Fault {
	return &Fault{Reason: r, Detail: fmt.Sprintf(format, args...)}
}

// asError is the error that f is; nil is none.
func asError(f *Fault) error {
	if f == nil {
		return nil
	}
	return f
}
