package store

import (
	"context"
	"strconv"
	"strings"
	"time"

	"github.com/dlai-sd/plant/shared/domain"
	"github.com/jackc/pgx/v5"
)

// Filter narrows a list. A nil or zero member does not narrow.
type Filter struct {
	Kind            domain.Kind
	Status          *string
	Category        *string // skills only
	Tag             *string
	NamePrefix      *string // of the folded name
	ExternalID      *string
	Alignment       *string
	UpdatedSince    *time.Time
	IncludeArchived bool
	IDs             []domain.ID // nil does not narrow, an empty list leaves nothing
}

// condition is a constant of SQL and the value bound where it says $?.
type condition struct {
	sql   string
	value any
}

// conditions are those that narrow: a condition that is not asked for is not in
// the statement, so that the planner sees which index serves what is.
func (f Filter) conditions() []condition {
	list := []condition{{"e.entity_type = $?", string(f.Kind)}}
	when := func(asked bool, sql string, value any) {
		if asked {
			list = append(list, condition{sql, value})
		}
	}
	when(f.IDs != nil, "e.id = ANY ($?::uuid[])", texts(f.IDs))
	when(f.Status != nil, "e.status = $?", f.Status)
	when(f.Category != nil, "EXISTS (SELECT 1 FROM public.skill k WHERE k.id = e.id AND k.category = $?)", f.Category)
	when(f.Tag != nil, "e.tags @> ARRAY[$?::text]", f.Tag)
	when(f.NamePrefix != nil, "(e.name_key >= $?::text AND e.name_key < $?::text || U&'\\+10FFFF')", f.NamePrefix)
	when(f.ExternalID != nil, "e.external_id = $?", f.ExternalID)
	when(f.Alignment != nil, "e.amendment_alignment = $?", f.Alignment)
	when(f.UpdatedSince != nil, "e.updated_at >= $?", f.UpdatedSince)
	when(!f.IncludeArchived, "e.status <> $?", string(domain.Archived))
	return list
}

// Order is how a list is sorted; every order ends in the id, so that it is total.
type Order string

// The orders that lists know.
const (
	ByCreated     Order = "created_at"
	ByCreatedDesc Order = "-created_at"
	ByUpdated     Order = "updated_at"
	ByUpdatedDesc Order = "-updated_at"
	ByName        Order = "name"
	ByNameDesc    Order = "-name"
)

// Orders lists them, the default first.
func Orders() []Order {
	return []Order{ByCreated, ByCreatedDesc, ByUpdated, ByUpdatedDesc, ByName, ByNameDesc}
}

// After is where a page begins: behind the row with this key and id.
type After struct {
	Key string // a time in domain.TimeLayout, or a name key
	ID  domain.ID
}

// Listed is a row of a list: the entity, and the key it is sorted by.
type Listed struct {
	Entity  domain.Entity
	SortKey string
}

// sorting is the fixed SQL of an order: the column, how it is compared with the
// cursor, and the direction.
type sorting struct{ column, cast, compare, direction string }

func sortingOf(o Order) (sorting, bool) {
	byTime := func(column string) sorting { return sorting{column, "timestamptz", ">", "ASC"} }
	s := map[Order]sorting{
		ByCreated: byTime("created_at"), ByCreatedDesc: byTime("created_at"),
		ByUpdated: byTime("updated_at"), ByUpdatedDesc: byTime("updated_at"),
		ByName: {"name_key", "text", ">", "ASC"}, ByNameDesc: {"name_key", "text", ">", "ASC"},
	}
	sort, ok := s[o]
	if ok && o[0] == '-' {
		sort.compare, sort.direction = "<", "DESC"
	}
	return sort, ok
}

// List returns up to limit entities in an order, as the tenant may see them. Own
// and shared rows are two branches, each on its own index, merged; never one OR.
func (db *DB) List(ctx context.Context, tenant string, f Filter, o Order, after *After, limit int) ([]Listed, error) {
	sort, ok := sortingOf(o)
	if !ok {
		return nil, domain.Refuse(domain.CodeMalformed, "order_by is unknown")
	}
	sql, values := listSQL(sort, f.conditions(), after)
	var b pgx.Batch
	asTenant(&b, tenant)
	var items []Listed
	b.Queue(sql, append([]any{tenant, limit}, values...)...).Query(func(rows pgx.Rows) error {
		var err error
		items, err = pgx.CollectRows(rows, scanListed)
		return err
	})
	return items, db.send(ctx, &b)
}

// listSQL puts constants together; every value is bound. $1 is the tenant, $2 the
// limit.
func listSQL(s sorting, conditions []condition, after *After) (sql string, values []any) {
	where := ""
	bind := func(value any) string {
		values = append(values, value)
		return "$" + strconv.Itoa(len(values)+2)
	}
	for _, c := range conditions {
		where += "\n\tAND " + strings.ReplaceAll(c.sql, "$?", bind(c.value))
	}
	if after != nil {
		where += "\n\tAND (e." + s.column + ", e.id) " + s.compare +
			" (" + bind(after.Key) + "::" + s.cast + ", " + bind(string(after.ID)) + "::uuid)"
	}
	branch := func(who string) string {
		return `(SELECT e.id, e.entity_type, e.governance_agent_id, e.version, e.version_hash, e.etag_hash, e.constitution_hash,
	e.created_at, e.updated_at, e.` + s.column + ` AS sort_key
FROM public.entity e
WHERE ` + who + where + `
ORDER BY e.` + s.column + ` ` + s.direction + `, e.id ` + s.direction + ` LIMIT $2)`
	}
	return `SELECT p.id, p.entity_type, p.governance_agent_id, p.version, p.version_hash, p.etag_hash, p.constitution_hash,
	p.created_at, p.updated_at, to_jsonb(p.sort_key) #>> '{}', o.state
FROM (SELECT * FROM (` + branch(`e.governance_agent_id = $1`) + `
UNION ALL
` + branch(`e.governance_agent_id <> $1 AND e.shared`) + `) b
	ORDER BY b.sort_key ` + s.direction + `, b.id ` + s.direction + ` LIMIT $2) p
JOIN public.opening o ON o.entity_id = p.id AND o.seq = p.version
ORDER BY p.sort_key ` + s.direction + `, p.id ` + s.direction, values
}

func scanListed(row pgx.CollectableRow) (Listed, error) { return scanListedAnd(row) }

// scanListedAnd scans what every list of entities selects, and what comes behind it.
func scanListedAnd(row pgx.CollectableRow, more ...any) (Listed, error) {
	var l Listed
	var id domain.ID
	var kind domain.Kind
	var owner, state string
	var head domain.Head
	var hash, etag, constitution []byte
	fields := []any{
		&id, &kind, &owner, &head.Version, &hash, &etag, &constitution, &head.CreatedAt, &head.UpdatedAt, &l.SortKey, &state,
	}
	if err := row.Scan(append(fields, more...)...); err != nil {
		return l, err
	}
	e, err := domain.ReadState(kind, id, owner, []byte(state))
	if err != nil {
		return l, err
	}
	copy(head.Hash[:], hash)
	copy(head.ETag[:], etag)
	copy(head.Constitution[:], constitution)
	e.Head = head
	l.Entity = e
	return l, nil
}
