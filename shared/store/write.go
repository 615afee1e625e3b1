package store

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/dlai-sd/plant/shared/domain"
	"github.com/dlai-sd/plant/shared/ledger"
	"github.com/jackc/pgx/v5"
)

// Row is one amendment with what the database derives rows from.
type Row struct {
	Amendment ledger.Amendment
	Kind      domain.Kind
	NameKey   string // "" where the kind has no name
	NewFacts  bool   // the kind's own row must be written: at birth, and when facts changed
}

// Idempotency makes a repeat of a write recognisable. Items is what a bulk
// write answered, kept with its key; nil for a single entity.
type Idempotency struct {
	Route    string
	Key      string
	BodyHash [32]byte
	EntityID domain.ID
	Seq      int64
	Items    []byte
}

// Event is an outbox row: published after commit, deleted when acknowledged.
type Event struct {
	ID          string // UUIDv7, the event's ce-id
	Type        string
	EntityID    domain.ID
	Tenant      string
	At          time.Time // of the change
	RequestID   string
	Traceparent string
	Data        []byte // JSON
}

// Write is one transaction: amendments of one tenant and everything that comes
// with them, all or nothing.
type Write struct {
	Tenant      string
	Principal   string // UUID; "" when the system itself writes
	Idempotency *Idempotency
	References  []domain.Ref // must be living, and visible to the tenant
	Rows        []Row
	Events      []Event
	Children    map[domain.Kind][]domain.ID // whose parent changed: no cycles
	Teams       []domain.ID                 // that must have a living agent when this is done
	Vectors     []Vector                    // of the same entities, or of others
	Receipt     *Receipt                    // of the event whose effect this is
	Authorities []Authority                 // that the principal must hold at this moment
	Certified   []domain.ID                 // that must be certified or active when this is done
	Step        *Step                       // of the run whose chunk this is
	Law         *LawStep                    // what it means for the constitution
}

// Authority is what a decision needs: an authority over what these own.
type Authority struct {
	Name   domain.Authority
	Owners []string
}

// Receipt says that a consumer has handled an event.
type Receipt struct {
	Consumer string
	EventID  string // ce-id
}

// Append is the line that writes: one round trip, one implicit transaction. No
// lock is held while signing, so two writers can have signed the same place of
// a chain; the primary key and the foreign key to the predecessor let one
// through and the other gets ErrStale. A repeat of an idempotency key waits for
// the first and gets ErrKeyUsed; a repeat of an event ErrHandled. A crash before the commit leaves nothing, one
// after it leaves everything, the outbox row included.
func (db *DB) Append(ctx context.Context, w Write) error {
	slices.SortStableFunc(w.Rows, inLockOrder)
	var b pgx.Batch
	asTenant(&b, w.Tenant)
	queuePrincipal(&b, w)
	w.Law.queueBefore(&b)
	if i := w.Idempotency; i != nil {
		b.Queue(insertIdempotencyKey,
			w.Principal, i.Route, i.Key, i.BodyHash[:], string(i.EntityID), i.Seq, i.Items)
	}
	if r := w.Receipt; r != nil {
		b.Queue(`INSERT INTO public.inbox (consumer, ce_id) VALUES ($1, $2)`, r.Consumer, r.EventID)
	}
	if w.Step != nil {
		queueStep(&b, w.Step)
	}
	queueReferences(&b, w.References)
	if err := queueRows(&b, w.Rows); err != nil {
		return err
	}
	w.Law.queueAfter(&b, w.Rows)
	queueVectors(&b, w.Vectors)
	if len(w.Certified) > 0 {
		b.Queue(`SELECT public.require_certified($1::uuid[])`, texts(w.Certified))
	}
	queueEvents(&b, w.Events)
	for _, kind := range slices.Sorted(maps.Keys(w.Children)) {
		b.Queue(`SELECT public.require_no_cycle($1::uuid[], $2)`, texts(w.Children[kind]), string(kind))
	}
	if len(w.Teams) > 0 {
		b.Queue(`SELECT public.require_agents($1::uuid[])`, texts(w.Teams))
	}
	return db.send(ctx, &b)
}

// inLockOrder is one order for all, so that bulk writes do not wait for each
// other in a circle: changes meet at their entities, births at their names.
func inLockOrder(a, b Row) int {
	if a.Amendment.Record.Seq == 1 && b.Amendment.Record.Seq == 1 {
		return cmp.Or(strings.Compare(a.NameKey, b.NameKey), strings.Compare(a.Amendment.Record.EntityID, b.Amendment.Record.EntityID))
	}
	return strings.Compare(a.Amendment.Record.EntityID, b.Amendment.Record.EntityID)
}

// queuePrincipal asks whether the principal may still write, and still holds what it
// needs. Who holds an authority over the tenant is one who may.
func queuePrincipal(b *pgx.Batch, w Write) {
	if w.Principal == "" {
		return
	}
	over := false
	for _, a := range w.Authorities {
		b.Queue(`SELECT public.require_authority($1, $2, $3)`, w.Principal, string(a.Name), a.Owners)
		over = over || slices.Contains(a.Owners, w.Tenant)
	}
	if !over {
		b.Queue(`SELECT public.require_principal($1, $2)`, w.Principal, w.Tenant)
	}
}

// Check answers what Append would, for the principal, its authorities and references, and
// writes nothing.
func (db *DB) Check(ctx context.Context, w Write) error {
	var b pgx.Batch
	asTenant(&b, w.Tenant)
	queuePrincipal(&b, w)
	queueReferences(&b, w.References)
	return db.send(ctx, &b)
}

func queueReferences(b *pgx.Batch, refs []domain.Ref) {
	if len(refs) == 0 {
		return
	}
	ids, kinds := targets(refs)
	b.Queue(`SELECT public.require_visible($1::uuid[], $2::text[])`, ids, kinds)
}

// targets are what references name, each once: many may name the same.
func targets(refs []domain.Ref) (ids, kinds []string) {
	type target struct {
		id   domain.ID
		kind domain.Kind
	}
	seen := map[target]bool{}
	for _, r := range refs {
		if one := (target{r.ID, r.Kind}); !seen[one] {
			seen[one] = true
			ids, kinds = append(ids, string(r.ID)), append(kinds, string(r.Kind))
		}
	}
	return ids, kinds
}

func queueRows(b *pgx.Batch, rows []Row) error {
	if len(rows) == 0 {
		return nil
	}
	c, err := columnsOf(rows)
	if err != nil {
		return err
	}
	// Whoever signs with a key that is ended here waits, and then finds it out of force.
	ended := c.only(func(r Row) bool { return r.Kind == domain.KindSigningKey && r.Amendment.Record.Seq > 1 })
	if len(ended.ids) > 0 {
		b.Queue(`SELECT id FROM public.signing_key WHERE id = ANY ($1::uuid[]) FOR UPDATE`, ended.ids)
	}
	born := c.only(func(r Row) bool { return r.Amendment.Record.Seq == 1 })
	if len(born.ids) > 0 {
		b.Queue(insertEntities, born.ids, born.types, born.owners, born.nameKeys, born.times, born.hashes,
			born.constitutions, born.states)
	}
	if batch := rows[0].Amendment.Batch; batch != nil {
		b.Queue(insertSignatureBatch,
			c.batchID, rows[0].Amendment.Record.KeyID, string(batch.Statement), rows[0].Amendment.Signature, len(rows))
	}
	for _, kind := range kindsOf(rows) {
		own := c.only(func(r Row) bool { return r.Kind == kind && r.NewFacts })
		for _, sql := range factsSQL(kind) {
			if len(own.ids) > 0 {
				b.Queue(sql, own.ids, own.states)
			}
		}
	}
	b.Queue(insertAmendments, c.ids, c.seqs, c.prevHashes, c.hashes, c.records, c.changes, c.breaking, c.authors, c.times,
		c.stateHashes, c.constitutions, c.keyIDs, c.algorithms, c.signatures, c.batchIDs, c.batchIndexes, c.batchPaths,
		c.owners, c.types)
	b.Queue(insertOpenings, c.ids, c.seqs, c.salts, c.states)
	changed := c.only(func(r Row) bool { return r.Amendment.Record.Seq > 1 })
	if len(changed.ids) > 0 {
		b.Queue(updateEntities, changed.ids, changed.seqs, changed.nameKeys, changed.times, changed.hashes,
			changed.authored, changed.constitutions, changed.states)
	}
	rejected := c.only(func(r Row) bool {
		return r.Kind == domain.KindAgent && r.Amendment.Record.Change == domain.ChangeRejected
	})
	if len(rejected.ids) > 0 {
		b.Queue(updateTeams, rejected.ids, rejected.states)
	}
	return nil
}

func queueEvents(b *pgx.Batch, events []Event) {
	if len(events) == 0 {
		return
	}
	n := len(events)
	ids, types, subjects, tenants := make([]string, n), make([]string, n), make([]string, n), make([]string, n)
	requests, traces, data, times := make([]string, n), make([]string, n), make([]string, n), make([]time.Time, n)
	for i, e := range events {
		ids[i], types[i], subjects[i], tenants[i] = e.ID, e.Type, string(e.EntityID), e.Tenant
		requests[i], traces[i], data[i], times[i] = e.RequestID, e.Traceparent, string(e.Data), e.At
	}
	b.Queue(insertEvents,
		ids, types, subjects, tenants, requests, traces, data, times, publishGrace)
}

// kindsOf lists the rows' kinds, those that others refer to first.
func kindsOf(rows []Row) []domain.Kind {
	var kinds []domain.Kind
	for _, kind := range []domain.Kind{
		domain.KindSigningKey, domain.KindIndustry, domain.KindSkill, domain.KindJobRole, domain.KindTeam, domain.KindAgent,
	} {
		if slices.ContainsFunc(rows, func(r Row) bool { return r.Kind == kind }) {
			kinds = append(kinds, kind)
		}
	}
	return kinds
}
