package translog

import (
	"errors"

	"github.com/dlai-sd/plant/shared/ledger"
	"golang.org/x/mod/sumdb/tlog"
)

// errProof is what a check answers: a path holds or it does not.
var errProof = errors.New("the path does not hold")

// CheckInclusion reports whether the path leads from this leaf, at this index,
// to the root of a tree of this size, and is used up exactly (RFC 6962, section
// 2.1.1). Size and root must come from a signed checkpoint: the same path can
// also hold for other sizes.
func CheckInclusion(path []ledger.Hash, size int64, root ledger.Hash, index int64, leaf ledger.Hash) error {
	if tlog.CheckRecord(hashes(path), size, tlog.Hash(root), index, tlog.Hash(leaf)) != nil {
		return errProof
	}
	return nil
}

// CheckConsistency reports whether the path shows the tree of size from and root
// fromRoot to be a prefix of the larger or equal one, and is used up exactly
// (RFC 6962, section 2.1.2). Nothing is a prefix of an empty tree, nor proved
// from one: from is at least 1.
func CheckConsistency(path []ledger.Hash, to int64, toRoot ledger.Hash, from int64, fromRoot ledger.Hash) error {
	if tlog.CheckTree(hashes(path), to, tlog.Hash(toRoot), from, tlog.Hash(fromRoot)) != nil {
		return errProof
	}
	return nil
}

func hashes(path []ledger.Hash) []tlog.Hash {
	out := make([]tlog.Hash, len(path))
	for i, h := range path {
		out[i] = tlog.Hash(h)
	}
	return out
}
