package translog

import (
	"bytes"
	"crypto/sha256"
	"slices"

	"github.com/dlai-sd/plant/shared/ledger"
)

// tenantContext separates the ids of tenants from all other hashes.
const tenantContext = "plant/tenant/v1\n"

// TenantID returns the name under which a governance agent stands in the top
// list: SHA-256 of "plant/tenant/v1\n", the tenant's own salt of 32 bytes, and
// the governance agent's id. Without the salt it cannot be guessed.
func TenantID(salt ledger.Hash, governanceAgentID string) ledger.Hash {
	h := sha256.New()
	h.Write([]byte(tenantContext))
	h.Write(salt[:])
	h.Write([]byte(governanceAgentID))
	return ledger.Hash(h.Sum(nil))
}

// EntityHead is the newest amendment of an entity.
type EntityHead struct {
	EntityID string
	Hash     ledger.Hash // of the amendment's record
	Seq      int64
}

// Leaf returns the leaf of the head in its tenant's tree.
func (e EntityHead) Leaf() ledger.Hash {
	b := appendText(make([]byte, 0, 192), `{"entity_id":`, e.EntityID)
	b = appendText(b, `,"hash":`, e.Hash.String())
	b = appendInt(b, `,"seq":`, e.Seq)
	return Leaf(append(b, '}'))
}

// TenantRow is a tenant's row in the top list.
type TenantRow struct {
	Tenant ledger.Hash `json:"tenant"` // see TenantID
	Count  int64       `json:"count"`  // entities
	Root   ledger.Hash `json:"root"`   // over their heads, by an entity's first log index
}

// NewTenantRow returns the row of a tenant; heads are in the order of their
// entities' first log index.
func NewTenantRow(salt ledger.Hash, governanceAgentID string, heads []EntityHead) TenantRow {
	var r Range
	for _, h := range heads {
		r.Append(h.Leaf())
	}
	return TenantRow{Tenant: TenantID(salt, governanceAgentID), Count: r.Size(), Root: r.Root()}
}

// Leaf returns the leaf of the row in the top list's tree.
func (t TenantRow) Leaf() ledger.Hash {
	b := appendInt(make([]byte, 0, 192), `{"count":`, t.Count)
	b = appendText(b, `,"root":`, t.Root.String())
	b = appendText(b, `,"tenant":`, t.Tenant.String())
	return Leaf(append(b, '}'))
}

// SortRows puts a top list into its one order: ascending by tenant.
func SortRows(rows []TenantRow) {
	slices.SortFunc(rows, func(a, b TenantRow) int { return bytes.Compare(a.Tenant[:], b.Tenant[:]) })
}

// TopRoot returns the root over a top list.
func TopRoot(rows []TenantRow) ledger.Hash {
	var r Range
	for _, row := range rows {
		r.Append(row.Leaf())
	}
	return r.Root()
}

// CheckTop reports whether the whole top list is the one that a heads record
// commits to. A proof over part of an unsorted list proves nothing, so the list
// travels whole. Errors are of type *ledger.Fault: ReasonTenantsUnsorted,
// ReasonTenantsCountMismatch, ReasonEntitiesMismatch, ReasonHeadsRootMismatch.
func CheckTop(h Heads, rows []TenantRow) error {
	entities, f := checkRows(rows)
	switch {
	case f != nil:
		return f
	case int64(len(rows)) != h.Tenants:
		return fault(ReasonTenantsCountMismatch, "the list is not as long as the heads record says")
	case entities != h.Entities:
		return fault(ReasonEntitiesMismatch, "the counts do not add up to the heads record's")
	case TopRoot(rows) != h.Root:
		return fault(ReasonHeadsRootMismatch, "the list is not the one that the heads record commits to")
	}
	return nil
}

// checkRows reports a list that is not strictly ascending, and counts entities:
// -1 where a count is no number of entities.
func checkRows(rows []TenantRow) (entities int64, f *ledger.Fault) {
	for i, row := range rows {
		if i > 0 && bytes.Compare(rows[i-1].Tenant[:], row.Tenant[:]) >= 0 {
			return 0, fault(ReasonTenantsUnsorted, "the list is not strictly ascending by tenant")
		}
		if row.Count < 1 || row.Count > maxInteger || entities < 0 { // an overflow is negative first
			entities = -1
			continue
		}
		entities += row.Count
	}
	return entities, nil
}
