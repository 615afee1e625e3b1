// Package translog is one order over everything: the RFC 6962 tree whose leaves
// are the hashes of amendments and heads records, its proofs, the signed
// checkpoint (C2SP tlog-checkpoint), and the heads records that say what every
// tenant's entities were. It is pure: no clock, no files, no network.
// shared/bundle/FORMAT.md specifies every byte.
package translog

import (
	"fmt"

	"github.com/dlai-sd/plant/shared/ledger"
	"golang.org/x/mod/sumdb/tlog"
)

// Leaf returns the hash of a leaf over data (RFC 6962, section 2.1):
// SHA-256(0x00 ‖ data).
func Leaf(data []byte) ledger.Hash { return ledger.Hash(tlog.RecordHash(data)) }

// EntryLeaf returns the leaf of a log entry, whose data are the 32 raw bytes of
// the hash of an amendment's or a heads record's bytes.
func EntryLeaf(entry ledger.Hash) ledger.Hash { return Leaf(entry[:]) }

func node(left, right ledger.Hash) ledger.Hash {
	return ledger.Hash(tlog.NodeHash(tlog.Hash(left), tlog.Hash(right)))
}

// Range is the compact form of a tree that grows to the right: its size and the
// roots of the at most 63 perfect subtrees it consists of. The zero Range is the
// empty tree.
type Range struct {
	size  int64
	peaks []ledger.Hash // largest subtree first
}

// Append adds a leaf.
func (r *Range) Append(leaf ledger.Hash) {
	r.peaks = append(r.peaks, leaf)
	for n := r.size; n&1 == 1; n >>= 1 {
		last := len(r.peaks) - 1
		r.peaks[last-1] = node(r.peaks[last-1], r.peaks[last])
		r.peaks = r.peaks[:last]
	}
	r.size++
}

// Size returns how many leaves there are.
func (r *Range) Size() int64 { return r.size }

// Root returns the tree's root; that of the empty tree is the SHA-256 of nothing.
func (r *Range) Root() ledger.Hash {
	if len(r.peaks) == 0 {
		return ledger.HashOf(nil)
	}
	root := r.peaks[len(r.peaks)-1]
	for i := len(r.peaks) - 2; i >= 0; i-- {
		root = node(r.peaks[i], root)
	}
	return root
}

// RootOf returns the root of the tree over these leaves.
func RootOf(leaves []ledger.Hash) ledger.Hash {
	var r Range
	for _, leaf := range leaves {
		r.Append(leaf)
	}
	return r.Root()
}

// Nodes reads a tree: the root of the perfect subtree over the 2^level leaves
// from index<<level on. It is asked for no other nodes than such as lie wholly
// within the size that its caller names.
type Nodes func(level int, index int64) (ledger.Hash, error)

// Root returns the root of the tree of the first size leaves.
func (n Nodes) Root(size int64) (ledger.Hash, error) {
	r, err := n.Range(size)
	return r.Root(), err
}

// Range returns the compact form of the tree of the first size leaves, to which
// a writer appends.
func (n Nodes) Range(size int64) (Range, error) {
	if size < 0 {
		return Range{}, fmt.Errorf("tree: size %d", size)
	}
	r := Range{size: size}
	for at := int64(0); at < size; {
		level := log2(size - at)
		peak, err := n(level, at>>level)
		if err != nil {
			return Range{}, fmt.Errorf("tree: level %d, index %d: %w", level, at>>level, err)
		}
		r.peaks = append(r.peaks, peak)
		at += 1 << level
	}
	return r, nil
}

// Inclusion returns the path from the leaf at index up to the root of the first
// size leaves (RFC 6962, section 2.1.1).
func (n Nodes) Inclusion(index, size int64) ([]ledger.Hash, error) {
	if index < 0 || index >= size {
		return nil, fmt.Errorf("tree: no leaf %d among %d", index, size)
	}
	path := []ledger.Hash{}
	for lo, hi := int64(0), size; hi-lo > 1; {
		mid := lo + split(hi-lo)
		from, to := mid, hi // the sibling subtree
		if index < mid {
			hi = mid
		} else {
			from, to, lo = lo, mid, mid
		}
		sibling, err := n.subtree(from, to)
		if err != nil {
			return nil, err
		}
		path = append([]ledger.Hash{sibling}, path...)
	}
	return path, nil
}

// Consistency returns the path that shows the first `from` leaves to be a prefix
// of the first `to` leaves (RFC 6962, section 2.1.2).
func (n Nodes) Consistency(from, to int64) ([]ledger.Hash, error) {
	if from < 1 || from > to {
		return nil, fmt.Errorf("tree: no prefix of %d leaves among %d", from, to)
	}
	path := []ledger.Hash{}
	lo, hi := int64(0), to
	for hi != from {
		mid := lo + split(hi-lo)
		first, last := mid, hi // the subtree that the way down leaves behind
		if from <= mid {
			hi = mid
		} else {
			first, last, lo = lo, mid, mid
		}
		sibling, err := n.subtree(first, last)
		if err != nil {
			return nil, err
		}
		path = append([]ledger.Hash{sibling}, path...)
	}
	if lo == 0 { // the older tree itself: its root is known
		return path, nil
	}
	common, err := n.subtree(lo, hi)
	if err != nil {
		return nil, err
	}
	return append([]ledger.Hash{common}, path...), nil
}

// subtree returns the root over the leaves lo to hi; lo is a multiple of a power
// of two that is at least hi-lo.
func (n Nodes) subtree(lo, hi int64) (ledger.Hash, error) {
	part := Range{size: hi - lo}
	for lo < hi {
		level := log2(hi - lo)
		peak, err := n(level, lo>>level)
		if err != nil {
			return ledger.Hash{}, fmt.Errorf("tree: level %d, index %d: %w", level, lo>>level, err)
		}
		part.peaks = append(part.peaks, peak)
		lo += 1 << level
	}
	return part.Root(), nil
}

// split returns the largest power of two below n; n is at least 2.
func split(n int64) int64 { return 1 << log2(n-1) }

// log2 returns the exponent of the largest power of two up to n; n is at least 1.
func log2(n int64) int {
	level := 0
	for ; n > 1; n >>= 1 {
		level++
	}
	return level
}

// Tree is a tree held in memory, about 64 bytes a leaf. The zero Tree is empty.
type Tree struct {
	levels [][]ledger.Hash // perfect subtrees alone
}

// Append adds a leaf.
func (t *Tree) Append(leaf ledger.Hash) {
	for level := 0; ; level++ {
		if level == len(t.levels) {
			t.levels = append(t.levels, nil)
		}
		t.levels[level] = append(t.levels[level], leaf)
		n := len(t.levels[level])
		if n%2 == 1 {
			return
		}
		leaf = node(t.levels[level][n-2], t.levels[level][n-1])
	}
}

// Size returns how many leaves there are.
func (t *Tree) Size() int64 {
	if len(t.levels) == 0 {
		return 0
	}
	return int64(len(t.levels[0]))
}

// Node is a Nodes.
func (t *Tree) Node(level int, index int64) (ledger.Hash, error) {
	if level < 0 || level >= len(t.levels) || index < 0 || index >= int64(len(t.levels[level])) {
		return ledger.Hash{}, fmt.Errorf("not in a tree of %d leaves", t.Size())
	}
	return t.levels[level][index], nil
}
