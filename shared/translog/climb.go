package translog

import (
	"fmt"
	"slices"

	"github.com/dlai-sd/plant/shared/ledger"
)

// Climb makes the inclusion path of one leaf while all leaves of a tree go by in
// their order, in memory that does not grow with the tree.
type Climb struct {
	parts []part // the siblings on the way, from the root down
	next  int64
	size  int64
}

// part is the subtree over the leaves lo to hi.
type part struct {
	lo, hi int64
	tree   Range
}

// NewClimb begins the path of the leaf at index in a tree of size leaves.
func NewClimb(index, size int64) (*Climb, error) {
	if index < 0 || index >= size {
		return nil, fmt.Errorf("tree: no leaf %d among %d", index, size)
	}
	c := &Climb{size: size}
	for lo, hi := int64(0), size; hi-lo > 1; {
		mid := lo + split(hi-lo)
		if index < mid {
			c.parts = append(c.parts, part{lo: mid, hi: hi})
			hi = mid
		} else {
			c.parts = append(c.parts, part{lo: lo, hi: mid})
			lo = mid
		}
	}
	return c, nil
}

// Append takes the next leaf.
func (c *Climb) Append(leaf ledger.Hash) {
	for i := range c.parts {
		if p := &c.parts[i]; p.lo <= c.next && c.next < p.hi {
			p.tree.Append(leaf)
			break
		}
	}
	c.next++
}

// Path returns the path (RFC 6962, section 2.1.1), from the leaf up. It is an error
// if other than all leaves went by.
func (c *Climb) Path() ([]ledger.Hash, error) {
	if c.next != c.size {
		return nil, fmt.Errorf("tree: %d leaves went by and not %d", c.next, c.size)
	}
	path := make([]ledger.Hash, 0, len(c.parts))
	for _, p := range slices.Backward(c.parts) {
		path = append(path, p.tree.Root())
	}
	return path, nil
}
