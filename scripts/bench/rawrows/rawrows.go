// Package rawrows writes the rows of new entities, and of decisions about them, with SQL made by hand: the
// bound that whatever the product does to make and send them is compared with.
// Every value stands ready; the database derives nothing but what its own
// constraints, triggers and policies ask for.
package rawrows

import (
	"cmp"
	"context"
	"crypto"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/dlai-sd/plant/shared/domain"
	"github.com/dlai-sd/plant/shared/event"
	"github.com/dlai-sd/plant/shared/ledger"
	"github.com/dlai-sd/plant/shared/registry"
	"github.com/dlai-sd/plant/shared/store"
)

// SetTenant sets a transaction's tenant ($1).
const SetTenant = `SELECT set_config('app.governance_agent_id', $1, true)`

const (
	requirePrincipal = `SELECT public.require_principal($1, $2)`
	insertKey        = `INSERT INTO public.idempotency_key (principal_id, route, key, body_hash, entity_id, seq, items)
		VALUES ($1, $2, $3, $4, $5, $6, $7)`
	insertBatch = `INSERT INTO public.signature_batch (id, key_id, statement, signature, size) VALUES ($1, $2, $3, $4, $5)`
	insertRole  = `INSERT INTO public.job_role (id, description, seniority_level) `
)

// The beginnings of the inserts, up to VALUES or SELECT.
const (
	InsertEntity = `INSERT INTO public.entity (id, entity_type, governance_agent_id, name, name_key, created_at, updated_at,
		version, version_hash, etag_hash, constitution_hash, external_id, status, visibility, tags, custom_attributes,
		governance_notes) `
	InsertSkill     = `INSERT INTO public.skill (id, description, category) `
	InsertAmendment = `INSERT INTO public.amendment (entity_id, seq, prev_hash, hash, record, entity_type,
		governance_agent_id, change, breaking, author, recorded_at, state_hash, constitution, key_id, algorithm, signature,
		batch_id, batch_index, batch_path) `
	InsertOpening = `INSERT INTO public.opening (entity_id, seq, salt, state) `
	InsertOutbox  = `INSERT INTO public.outbox (id, type, subject, governance_agent_id, request_id, data, created_at) `
)

// single are the statements of one create, a table each.
func single() []string {
	return []string{
		InsertEntity + `VALUES ($1, $2, $3, $4, $5, $6, $6, 1, $7, $7, $8, $9, $10, $11, $12, $13, nullif($14, ''))`,
		InsertSkill + `VALUES ($1, $2, $3)`,
		InsertAmendment + `VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19)`,
		InsertOpening + `VALUES ($1, $2, $3, $4)`,
		InsertOutbox + `VALUES ($1, $2, $3, $4, $5, $6, $7)`,
	}
}

// bulk are those of many.
func bulk(kind domain.Kind) []string {
	facts := InsertSkill + `SELECT * FROM unnest($1::uuid[], $2::text[], $3::text[])`
	if kind == domain.KindJobRole {
		facts = insertRole + `SELECT * FROM unnest($1::uuid[], $2::text[], $3::text[])`
	}
	return []string{
		InsertEntity + `SELECT id, kind, owner, name, name_key, at, at, 1, hash, hash, law, external_id, status, visibility,
			tags::text[], custom::jsonb, nullif(notes, '')
			FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::text[], $6::timestamptz[], $7::bytea[],
				$8::bytea[], $9::text[], $10::text[], $11::text[], $12::text[], $13::text[], $14::text[])
			AS u (id, kind, owner, name, name_key, at, hash, law, external_id, status, visibility, tags, custom, notes)`,
		facts,
		InsertAmendment + `SELECT * FROM unnest($1::uuid[], $2::bigint[], $3::bytea[], $4::bytea[], $5::text[], $6::text[],
			$7::text[], $8::text[], $9::bool[], $10::text[], $11::timestamptz[], $12::bytea[], $13::bytea[], $14::text[],
			$15::text[], $16::bytea[], $17::uuid[], $18::int[], $19::bytea[])`,
		InsertOpening + `SELECT * FROM unnest($1::uuid[], $2::bigint[], $3::bytea[], $4::text[])`,
		InsertOutbox + `SELECT id, type, subject, owner, request, data::jsonb, at FROM unnest($1::uuid[], $2::text[],
			$3::uuid[], $4::text[], $5::text[], $6::text[], $7::timestamptz[])
			AS u (id, type, subject, owner, request, data, at)`,
	}
}

// Row is all that one amendment adds to the database, a birth's or a decision's.
type Row struct {
	Entity    domain.Entity // as it then is
	Amendment ledger.Amendment
	Event     store.Event
	Key       string // of idempotency
}

// Drafts are the births of entities, to be sealed.
func Drafts(entities []domain.Entity, author string) ([]ledger.Draft, error) {
	drafts := make([]ledger.Draft, len(entities))
	for i, e := range entities {
		state, err := e.State()
		if err != nil {
			return nil, err
		}
		drafts[i] = ledger.Draft{
			EntityID: string(e.ID), EntityType: string(e.Kind()), GovernanceAgentID: e.GovernanceAgentID, Author: author,
			Change: domain.ChangeCreated, Seq: 1, State: state,
		}
	}
	return drafts, nil
}

// Rows are what the entities' amendments add. They are good for ten seconds: the
// database refuses what was recorded earlier.
func Rows(entities []domain.Entity, amendments []ledger.Amendment) ([]Row, error) {
	rows := make([]Row, len(entities))
	for i, a := range amendments {
		e, err := announcement(a)
		if err != nil {
			return nil, err
		}
		rows[i] = Row{Entity: entities[i], Amendment: a, Event: e, Key: uuid.NewString()}
	}
	return rows, nil
}

func announcement(a ledger.Amendment) (store.Event, error) {
	id, err := uuid.NewV7()
	if err != nil {
		return store.Event{}, err
	}
	r := a.Record
	data, err := json.Marshal(event.Data{
		EntityID: r.EntityID, EntityType: r.EntityType, GovernanceAgentID: r.GovernanceAgentID, Seq: r.Seq, Hash: a.Hash.String(),
	})
	return store.Event{
		ID: id.String(), Type: "plant." + r.EntityType + "." + r.Change, EntityID: domain.ID(r.EntityID), Tenant: r.GovernanceAgentID,
		At: r.RecordedAt, RequestID: id.String(), Data: data,
	}, err
}

// Unsigned is a key with random bytes in place of signatures: the database does
// not verify them, so rows can be prepared without the cost that is measured
// elsewhere.
type Unsigned struct{ Key crypto.PublicKey }

// Public implements crypto.Signer.
func (u Unsigned) Public() crypto.PublicKey { return u.Key }

// Sign implements crypto.Signer with bytes that are no signature.
func (u Unsigned) Sign(io.Reader, []byte, crypto.SignerOpts) ([]byte, error) {
	signature := make([]byte, 512)
	_, err := rand.Read(signature)
	return signature, err
}

// facts are the values of the kind's own table.
func (r Row) facts() []any {
	if role, ok := r.Entity.Facts.(domain.JobRole); ok {
		return []any{r.Amendment.Record.EntityID, role.Description, role.SeniorityLevel}
	}
	skill, _ := r.Entity.Facts.(domain.Skill) // Bulk and Single refuse other kinds
	return []any{r.Amendment.Record.EntityID, skill.Description, skill.Category}
}

// Values are a row's for the tables entity, the kind's own, amendment, opening
// and outbox, in the order of the statements. Tags and attributes are text,
// which an array of rows can hold.
func (r Row) Values(batchID any) [][]any {
	a, rec, g := r.Amendment, r.Amendment.Record, r.Entity.Governed
	owner, name := r.Entity.GovernanceAgentID, r.Entity.Facts.Label()
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
			rec.EntityID, rec.EntityType, owner, name, domain.NameKey(name), rec.RecordedAt, a.Hash[:],
			rec.Constitution[:], g.ExternalID, string(g.Status), string(g.Visibility),
			"{" + strings.Join(g.Tags, ",") + "}", cmp.Or(string(g.CustomAttributes), "{}"), g.GovernanceNotes,
		},
		r.facts(),
		{
			rec.EntityID, rec.Seq, rec.PrevHash[:], a.Hash[:], string(a.Bytes), rec.EntityType, owner, rec.Change, rec.Breaking,
			rec.Author, rec.RecordedAt, rec.StateHash[:], rec.Constitution[:], rec.KeyID, rec.Algorithm, signature,
			batchID, index, path,
		},
		{rec.EntityID, rec.Seq, a.Opening.Salt[:], string(a.Opening.State)},
		{r.Event.ID, r.Event.Type, string(r.Event.EntityID), owner, r.Event.RequestID, string(r.Event.Data), r.Event.At},
	}
}

// links are the skills that the rows' job roles require, a pair each.
func links(rows []Row) (roles, skills []string) {
	for _, r := range rows {
		role, ok := r.Entity.Facts.(domain.JobRole)
		if !ok {
			continue
		}
		for _, id := range role.RequiredSkills {
			roles, skills = append(roles, string(r.Entity.ID)), append(skills, string(id))
		}
	}
	return roles, skills
}

// Single is the create of one skill by a principal, as one pgx.Batch.
func Single(principal string, r Row) *pgx.Batch {
	var b pgx.Batch
	body := sha256.Sum256([]byte(r.Key))
	b.Queue(SetTenant, r.Entity.GovernanceAgentID)
	b.Queue(requirePrincipal, principal, r.Entity.GovernanceAgentID)
	b.Queue(insertKey, principal, "createSkill", r.Key, body[:], string(r.Entity.ID), 1, nil)
	for i, values := range r.Values(nil) {
		b.Queue(single()[i], values...)
	}
	return &b
}

// Bulk is many creates of one kind, skills or job roles, as one pgx.Batch of
// multi-row inserts.
func Bulk(principal string, rows []Row) (*pgx.Batch, error) {
	owner, kind := rows[0].Entity.GovernanceAgentID, rows[0].Entity.Kind()
	if kind != domain.KindSkill && kind != domain.KindJobRole {
		return nil, fmt.Errorf("there are no raw rows of kind %s", kind)
	}
	var b pgx.Batch
	key, batchID := uuid.NewString(), uuid.NewString()
	body := sha256.Sum256([]byte(key))
	first := rows[0].Amendment
	items, err := remembered(rows)
	if err != nil {
		return nil, err
	}
	b.Queue(SetTenant, owner)
	b.Queue(requirePrincipal, principal, owner)
	b.Queue(insertKey, principal, "createMany", key, body[:], nil, nil, items)
	b.Queue(insertBatch, batchID, first.Record.KeyID, string(first.Batch.Statement), first.Signature, len(rows))
	for i, sql := range bulk(kind) {
		b.Queue(sql, columns(rows, i, batchID)...)
	}
	if roles, skills := links(rows); len(roles) > 0 {
		b.Queue(`INSERT INTO public.job_role_skill (job_role_id, skill_id) SELECT * FROM unnest($1::uuid[], $2::uuid[])`, roles, skills)
	}
	return &b, nil
}

// remembered is what a bulk request's key keeps.
func remembered(rows []Row) ([]byte, error) {
	outcomes := make([]registry.Outcome, len(rows))
	for i, r := range rows {
		outcomes[i] = registry.Outcome{ID: r.Entity.ID, Version: r.Amendment.Record.Seq, VersionHash: r.Amendment.Hash.String()}
	}
	return json.Marshal(outcomes)
}

// columns turns the rows' values for a statement on their side.
func columns(rows []Row, statement int, batchID string) []any {
	var turned []any
	for i, r := range rows {
		for c, v := range r.Values(batchID)[statement] {
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

// Send sends a batch as one round trip.
func Send(ctx context.Context, conn *pgx.Conn, b *pgx.Batch) error {
	return conn.SendBatch(ctx, b).Close()
}
