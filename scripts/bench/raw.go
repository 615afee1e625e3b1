package main

import (
	"cmp"
	"context"
	"crypto/sha256"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/dlai-sd/plant/shared/domain"
	"github.com/dlai-sd/plant/shared/registry"
)

// The rows of a create, written by hand: the bound of whatever the product does
// to make and send them. Every value stands ready; the database derives nothing
// but what its own constraints, triggers and policies ask for.

const (
	rawTenant    = `SELECT set_config('app.governance_agent_id', $1, true)`
	rawPrincipal = `SELECT public.require_principal($1, $2)`
	rawKey       = `INSERT INTO public.idempotency_key (principal_id, route, key, body_hash, entity_id, seq, items)
		VALUES ($1, $2, $3, $4, $5, $6, $7)`
	rawBatch = `INSERT INTO public.signature_batch (id, key_id, statement, signature, size) VALUES ($1, $2, $3, $4, $5)`

	entityColumns = `INSERT INTO public.entity (id, entity_type, governance_agent_id, name, name_key, created_at, updated_at,
		version, version_hash, etag_hash, constitution_hash, external_id, status, visibility, tags, custom_attributes,
		governance_notes) `
	skillColumns     = `INSERT INTO public.skill (id, description, category) `
	amendmentColumns = `INSERT INTO public.amendment (entity_id, seq, prev_hash, hash, record, entity_type,
		governance_agent_id, change, breaking, author, recorded_at, state_hash, constitution, key_id, algorithm, signature,
		batch_id, batch_index, batch_path) `
	openingColumns = `INSERT INTO public.opening (entity_id, seq, salt, state) `
	outboxColumns  = `INSERT INTO public.outbox (id, type, subject, governance_agent_id, request_id, data, created_at) `
)

// single holds the statements of one create, bulk those of many.
var (
	single = []string{ // a table
		entityColumns + `VALUES ($1, $2, $3, $4, $5, $6, $6, 1, $7, $7, $8, $9, $10, $11, $12, $13, nullif($14, ''))`,
		skillColumns + `VALUES ($1, $2, $3)`,
		amendmentColumns + `VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19)`,
		openingColumns + `VALUES ($1, $2, $3, $4)`,
		outboxColumns + `VALUES ($1, $2, $3, $4, $5, $6, $7)`,
	}
	bulk = []string{ // a table
		entityColumns + `SELECT id, kind, owner, name, name_key, at, at, 1, hash, hash, law, external_id, status, visibility,
			tags::text[], custom::jsonb, nullif(notes, '')
			FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::text[], $6::timestamptz[], $7::bytea[],
				$8::bytea[], $9::text[], $10::text[], $11::text[], $12::text[], $13::text[], $14::text[])
			AS u (id, kind, owner, name, name_key, at, hash, law, external_id, status, visibility, tags, custom, notes)`,
		skillColumns + `SELECT * FROM unnest($1::uuid[], $2::text[], $3::text[])`,
		amendmentColumns + `SELECT * FROM unnest($1::uuid[], $2::bigint[], $3::bytea[], $4::bytea[], $5::text[], $6::text[],
			$7::text[], $8::text[], $9::bool[], $10::text[], $11::timestamptz[], $12::bytea[], $13::bytea[], $14::text[],
			$15::text[], $16::bytea[], $17::uuid[], $18::int[], $19::bytea[])`,
		openingColumns + `SELECT * FROM unnest($1::uuid[], $2::bigint[], $3::bytea[], $4::text[])`,
		outboxColumns + `SELECT id, type, subject, owner, request, data::jsonb, at FROM unnest($1::uuid[], $2::text[],
			$3::uuid[], $4::text[], $5::text[], $6::text[], $7::timestamptz[])
			AS u (id, type, subject, owner, request, data, at)`,
	}
)

// values are a row's, in the order of the statements above. Tags and attributes
// are text, which an array of rows can hold.
func (r row) values(batchID any) [][]any {
	a, rec, g := r.amendment, r.amendment.Record, r.entity.Governed
	var signature, index, path any = a.Signature, nil, nil
	if b := a.Batch; b != nil {
		flat := make([]byte, 0, 32*len(b.Path))
		for _, h := range b.Path {
			flat = append(flat, h[:]...)
		}
		signature, index, path = nil, b.Index, flat
	}
	return [][]any{
		{
			rec.EntityID, rec.EntityType, tenant, r.skill.Name, domain.NameKey(r.skill.Name), rec.RecordedAt, a.Hash[:],
			rec.Constitution[:], g.ExternalID, string(g.Status), string(g.Visibility),
			"{" + strings.Join(g.Tags, ",") + "}", cmp.Or(string(g.CustomAttributes), "{}"), g.GovernanceNotes,
		},
		{rec.EntityID, r.skill.Description, r.skill.Category},
		{
			rec.EntityID, rec.Seq, rec.PrevHash[:], a.Hash[:], string(a.Bytes), rec.EntityType, tenant, rec.Change, rec.Breaking,
			rec.Author, rec.RecordedAt, rec.StateHash[:], rec.Constitution[:], rec.KeyID, rec.Algorithm, signature,
			batchID, index, path,
		},
		{rec.EntityID, rec.Seq, a.Opening.Salt[:], string(a.Opening.State)},
		{r.event.ID, r.event.Type, string(r.event.EntityID), tenant, r.event.RequestID, string(r.event.Data), r.event.At},
	}
}

// rawSingle is one create as one pgx.Batch.
func (w *world) rawSingle(r row) *pgx.Batch {
	var b pgx.Batch
	body := sha256.Sum256([]byte(r.key))
	b.Queue(rawTenant, tenant)
	b.Queue(rawPrincipal, w.who.ID, tenant)
	b.Queue(rawKey, w.who.ID, "createSkill", r.key, body[:], string(r.entity.ID), 1, nil)
	for i, values := range r.values(nil) {
		b.Queue(single[i], values...)
	}
	return &b
}

// rawBulk is many creates as one pgx.Batch of multi-row inserts.
func (w *world) rawBulk(rows []row) (*pgx.Batch, error) {
	var b pgx.Batch
	key, batchID := uuid.NewString(), uuid.NewString()
	body := sha256.Sum256([]byte(key))
	first := rows[0].amendment
	items, err := remembered(rows)
	if err != nil {
		return nil, err
	}
	b.Queue(rawTenant, tenant)
	b.Queue(rawPrincipal, w.who.ID, tenant)
	b.Queue(rawKey, w.who.ID, "createSkills", key, body[:], nil, nil, items)
	b.Queue(rawBatch, batchID, first.Record.KeyID, string(first.Batch.Statement), first.Signature, len(rows))
	for i, sql := range bulk {
		b.Queue(sql, columns(rows, i, batchID)...)
	}
	return &b, nil
}

// remembered is what a bulk request's key keeps.
func remembered(rows []row) ([]byte, error) {
	outcomes := make([]registry.Outcome, len(rows))
	for i, r := range rows {
		outcomes[i] = registry.Outcome{ID: r.entity.ID, Version: 1, VersionHash: r.amendment.Hash.String()}
	}
	return json.Marshal(outcomes)
}

// columns turns the rows' values for a statement on their side.
func columns(rows []row, statement int, batchID string) []any {
	var turned []any
	for i, r := range rows {
		for c, v := range r.values(batchID)[statement] {
			if i == 0 {
				turned = append(turned, emptyColumn(v))
			}
			turned[c] = appended(turned[c], v)
		}
	}
	return turned
}

func emptyColumn(v any) any {
	switch v.(type) {
	case string:
		return []string{}
	case int64, int:
		return []int64{}
	case bool:
		return []bool{}
	case time.Time:
		return []time.Time{}
	}
	return [][]byte{} // also nil: only bytea columns have none
}

func appended(column, v any) any {
	switch c := column.(type) {
	case []string:
		return append(c, v.(string)) // emptyColumn looked at the type
	case []int64:
		if n, small := v.(int); small {
			return append(c, int64(n))
		}
		return append(c, v.(int64)) // likewise
	case []bool:
		return append(c, v.(bool)) // likewise
	case []time.Time:
		return append(c, v.(time.Time)) // likewise
	case [][]byte:
		b, _ := v.([]byte) // or nil
		return append(c, b)
	}
	return column
}

// send sends a batch as one round trip.
func send(ctx context.Context, conn *pgx.Conn, b *pgx.Batch) error {
	return conn.SendBatch(ctx, b).Close()
}
