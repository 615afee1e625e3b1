package migrations_test

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"maps"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"
)

// The two tenants of these tests: acme asks, globex is somebody else.
const (
	acme    = "acme"
	globex  = "globex"
	keyring = "keyring"
)

// executor is a connection or a transaction.
type executor interface {
	Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error)
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

// book writes entities and their amendments as the store does. Signatures are
// zeros: the database holds structure, the ledger's tests hold signatures.
type book struct {
	keys map[string]string // use → key id
}

// subject is an entity with the end of its chain.
type subject struct {
	id          uuid.UUID
	kind, owner string
	seq         int64
	hash        []byte
	salt, state string // of the newest amendment
}

// draft is one amendment's row; tests change a member and seal it again.
type draft struct {
	subject                  subject
	seq                      int64
	prevHash                 []byte
	change, author, keyID    string
	recordedAt               time.Time
	salt, state              string
	record                   string
	hash, stateHash, signing []byte
	batch                    *uuid.UUID // place 0 of it, instead of a signature
}

func digest(parts ...string) []byte {
	h := sha256.New()
	for _, p := range parts {
		h.Write([]byte(p))
	}
	return h.Sum(nil)
}

func fakeKey(name string) (keyID, spki string) {
	return hex.EncodeToString(digest(name)), base64.StdEncoding.EncodeToString([]byte(name))
}

// state is a whole state: status and visibility, and what else there is.
func state(status, visibility string, more map[string]any) map[string]any {
	s := map[string]any{"status": status, "visibility": visibility}
	maps.Copy(s, more)
	return s
}

func (b *book) keyFor(kind, change string) string {
	switch {
	case kind == "signing_key":
		return b.keys["root"]
	case change == "certified" || change == "rejected" || change == "decertified" || change == "reaffirmed":
		return b.keys["certification"]
	default:
		return b.keys["amendment"]
	}
}

// next drafts the amendment that would follow.
func (b *book) next(t *testing.T, s subject, change string, st map[string]any) draft {
	t.Helper()
	text, err := json.Marshal(st, json.Deterministic(true))
	require.NoError(t, err)
	d := draft{
		subject: s, seq: s.seq + 1, prevHash: s.hash, change: change, author: s.owner + "/tester",
		keyID: b.keyFor(s.kind, change), recordedAt: time.Now().UTC().Truncate(time.Microsecond),
		salt: string(digest(s.id.String(), change, string(text))), state: string(text), signing: make([]byte, 512),
	}
	if d.prevHash == nil {
		d.prevHash = make([]byte, 32)
	}
	d.seal(t)
	return d
}

// seal makes state hash, record and hash from the rest.
func (d *draft) seal(t *testing.T) {
	t.Helper()
	d.stateHash = digest("plant/state/v1\n", d.salt, d.state)
	algorithm := d.algorithm()
	record, err := json.Marshal(map[string]any{
		"algorithm": algorithm, "author": d.author, "breaking": false, "change": d.change,
		"constitution": hex.EncodeToString(digest("constitution")), "context": "plant/amendment/v1",
		"entity_id": d.subject.id.String(), "entity_type": d.subject.kind, "governance_agent_id": d.subject.owner,
		"key_id": d.keyID, "origin": "test.example/log", "prev_hash": hex.EncodeToString(d.prevHash),
		"recorded_at": d.recordedAt.Format("2006-01-02T15:04:05.000000Z"), "seq": d.seq,
		"state_hash": hex.EncodeToString(d.stateHash),
	}, json.Deterministic(true))
	require.NoError(t, err)
	d.record, d.hash = string(record), digest(string(record))
}

func (d draft) algorithm() string {
	if d.batch != nil {
		return "RSA4096-PSS-SHA256-BATCH"
	}
	return "RSA4096-PSS-SHA256"
}

// batched makes the draft the only leaf of a new batch, which it writes.
func (d draft) batched(t *testing.T, q executor) draft {
	t.Helper()
	id := newID(t)
	_, err := insertBatch(t.Context(), q, id, d.keyID)
	require.NoError(t, err)
	d.batch, d.signing = &id, nil
	d.seal(t)
	return d
}

func insertBatch(ctx context.Context, q executor, id uuid.UUID, keyID string) (pgconn.CommandTag, error) {
	return q.Exec(ctx, `INSERT INTO signature_batch (id, key_id, statement, signature, size)
		VALUES ($1, $2, jsonb_build_object('context', 'plant/batch/v1', 'key_id', $2::text, 'size', 1)::text, $3, 1)`,
		id, keyID, make([]byte, 512))
}

func newID(t *testing.T) uuid.UUID {
	t.Helper()
	id, err := uuid.NewV7()
	require.NoError(t, err)
	return id
}

func (d draft) insertEntity(ctx context.Context, q executor) error {
	_, err := q.Exec(ctx, `INSERT INTO entity (id, entity_type, governance_agent_id, name, name_key, external_id,
		created_at, updated_at, status, visibility, version, version_hash, etag_hash, constitution_hash)
		SELECT $1, $2, $3, s ->> 'name', lower(s ->> 'name'), s ->> 'external_id', $4, $4, s ->> 'status',
			s ->> 'visibility', $5, $6, $6, $7 FROM (VALUES ($8::jsonb)) AS v (s)`,
		d.subject.id, d.subject.kind, d.subject.owner, d.recordedAt, d.seq, d.hash, digest("constitution"), d.state)
	return err
}

func (d draft) insertAmendment(ctx context.Context, q executor) (pgconn.CommandTag, error) {
	return q.Exec(ctx, `INSERT INTO amendment (entity_id, seq, prev_hash, hash, record, entity_type, governance_agent_id,
		change, breaking, author, recorded_at, state_hash, constitution, key_id, algorithm, signature,
		batch_id, batch_index, batch_path)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, false, $9, $10, $11, $12, $13, $14, $15,
			$16, CASE WHEN $16::uuid IS NOT NULL THEN 0 END, CASE WHEN $16::uuid IS NOT NULL THEN ''::bytea END)`,
		d.subject.id, d.seq, d.prevHash, d.hash, d.record, d.subject.kind, d.subject.owner, d.change, d.author,
		d.recordedAt, d.stateHash, digest("constitution"), d.keyID, d.algorithm(), d.signing, d.batch)
}

func (d draft) insertOpening(ctx context.Context, q executor) (pgconn.CommandTag, error) {
	return q.Exec(ctx, `INSERT INTO opening (entity_id, seq, salt, state) VALUES ($1, $2, $3, $4)`,
		d.subject.id, d.seq, []byte(d.salt), d.state)
}

func (d draft) updateEntity(ctx context.Context, q executor) (pgconn.CommandTag, error) {
	return q.Exec(ctx, `UPDATE entity SET version = $2, version_hash = $3, etag_hash = $3, updated_at = $4,
		status = $5::jsonb ->> 'status', visibility = $5::jsonb ->> 'visibility',
		deleted_at = ($5::jsonb ->> 'deleted_at')::timestamptz WHERE id = $1`,
		d.subject.id, d.seq, d.hash, d.recordedAt, d.state)
}

// done is the subject after the draft was written.
func (d draft) done() subject {
	s := d.subject
	s.seq, s.hash, s.salt, s.state = d.seq, d.hash, d.salt, d.state
	return s
}

// born writes a new entity with its first amendment and opening, no kind row.
func (b *book) born(t *testing.T, q executor, kind, owner string, st map[string]any) subject {
	t.Helper()
	d := b.unopened(t, q, kind, owner, st)
	_, err := d.insertOpening(t.Context(), q)
	require.NoError(t, err)
	return d.done()
}

// unopened writes a new entity with its first amendment and leaves the opening.
func (b *book) unopened(t *testing.T, q executor, kind, owner string, st map[string]any) draft {
	t.Helper()
	change := "created"
	if kind == "signing_key" {
		change = "introduced"
	}
	d := b.next(t, subject{id: newID(t), kind: kind, owner: owner}, change, st)
	require.NoError(t, d.insertEntity(t.Context(), q))
	_, err := d.insertAmendment(t.Context(), q)
	require.NoError(t, err)
	return d
}

// amend writes one more amendment, opening and the new head.
func (b *book) amend(t *testing.T, q executor, s subject, change string, st map[string]any) subject {
	t.Helper()
	d := b.next(t, s, change, st)
	_, err := d.insertAmendment(t.Context(), q)
	require.NoError(t, err)
	_, err = d.insertOpening(t.Context(), q)
	require.NoError(t, err)
	_, err = d.updateEntity(t.Context(), q)
	require.NoError(t, err)
	return d.done()
}

// introduce writes a key: entity, key, amendment, opening, in this order, since
// root 0 signs itself.
func (b *book) introduce(t *testing.T, q executor, use, name string, maySign []string) subject {
	t.Helper()
	id := newID(t)
	keyID, spki := fakeKey(name)
	if use == "root" {
		b.keys["root"] = keyID
	}
	d := b.next(t, subject{id: id, kind: "signing_key", owner: keyring}, "introduced",
		state("active", "public", map[string]any{"key_id": keyID, "spki": spki, "use": use, "may_sign": maySign}))
	require.NoError(t, d.insertEntity(t.Context(), q))
	_, err := q.Exec(t.Context(), `INSERT INTO signing_key (id, key_id, spki, use, may_sign) VALUES ($1, $2, $3, $4, $5)`,
		id, keyID, spki, use, maySign)
	require.NoError(t, err)
	_, err = d.insertAmendment(t.Context(), q)
	require.NoError(t, err)
	_, err = d.insertOpening(t.Context(), q)
	require.NoError(t, err)
	b.keys[use] = keyID
	return d.done()
}

// newBook introduces a root, an amendment and a certification key.
func newBook(t *testing.T, q executor) *book {
	t.Helper()
	b := &book{keys: map[string]string{}}
	_, err := insertConstitution(t, q, "constitution")
	require.NoError(t, err)
	_, err = q.Exec(t.Context(), `INSERT INTO enactment (n, sha256) VALUES (0, $1)`, digest("constitution"))
	require.NoError(t, err)
	b.introduce(t, q, "root", "root", []string{"introduced", "retired", "revoked"})
	b.introduce(t, q, "amendment", "amendment",
		[]string{"created", "evolved", "embedded", "moved", "assigned", "drifted", "erased", "proposed", "judged", "enacted"})
	b.introduce(t, q, "certification", "certification",
		[]string{"certified", "rejected", "decertified", "reaffirmed"})
	return b
}
