package migrations_test

import (
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"
)

// class says whose a row is, seen from acme.
type class string

const (
	own      class = "own"      // acme's, private
	shared   class = "shared"   // globex's, public and certified
	private  class = "private"  // globex's, private
	platform class = "platform" // no tenant's: keys, rule sets, the schema's version
)

func ownerOf(c class) string {
	switch c {
	case own:
		return acme
	case platform:
		return keyring
	default:
		return globex
	}
}

// world is a database with a row of every class in every table, and entities
// that lack opening and kind row (bare) for inserts to complete.
type world struct {
	*book
	entities map[string]map[class]subject // kind →
	bare     map[string]map[class]draft
	batches  map[class]uuid.UUID
	row      map[class]uuid.UUID // the same id in principal, idempotency_key and outbox
	event    uuid.UUID           // in inbox
}

var kinds = []string{"skill", "industry", "job_role", "team", "agent"}

func newWorld(t *testing.T, db database) *world {
	t.Helper()
	conn := db.as(t, superuser)
	tx, err := conn.Begin(t.Context())
	require.NoError(t, err)
	w := &world{
		book: newBook(t, tx), entities: map[string]map[class]subject{}, bare: map[string]map[class]draft{},
		batches: map[class]uuid.UUID{}, row: map[class]uuid.UUID{}, event: newID(t),
	}
	for _, kind := range kinds {
		w.entities[kind], w.bare[kind] = map[class]subject{}, map[class]draft{}
		for _, c := range []class{own, shared, private} {
			w.addEntity(t, tx, kind, c)
		}
		w.bare[kind][own] = w.unopened(t, tx, kind, acme, state("draft", "private", nil))
		w.bare[kind][private] = w.unopened(t, tx, kind, globex, state("draft", "private", nil))
	}
	key := w.introduce(t, tx, "amendment", "second", []string{"created"})
	anything := []string{"introduced", "created", "evolved", "certified"}
	w.introduce(t, tx, "amendment", "any amendment", anything)
	w.introduce(t, tx, "certification", "any certification", anything)
	w.introduce(t, tx, "root", "second root", anything)
	for _, use := range []string{"root", "amendment", "certification"} { // what the rest is signed with
		w.keys[use], _ = fakeKey(use)
	}
	w.entities["signing_key"] = map[class]subject{platform: key}
	w.bare["signing_key"] = map[class]draft{platform: w.unopened(t, tx, "signing_key", keyring, state("active", "public", nil))}
	w.addOperational(t, tx)
	w.addLog(t, tx)
	w.addAudit(t, tx)
	w.addDrift(t, tx)
	w.addHold(t, tx)
	require.NoError(t, tx.Commit(t.Context()))
	return w
}

func (w *world) addEntity(t *testing.T, tx pgx.Tx, kind string, c class) {
	t.Helper()
	st := state("draft", "private", nil)
	if c == shared {
		st = state("certified", "public", nil)
	}
	s := w.born(t, tx, kind, ownerOf(c), st)
	if kind == "skill" { // its second amendment is signed in a batch
		d := w.next(t, s, "evolved", st).batched(t, tx)
		_, err := d.insertAmendment(t.Context(), tx)
		require.NoError(t, err)
		_, err = d.insertOpening(t.Context(), tx)
		require.NoError(t, err)
		_, err = d.updateEntity(t.Context(), tx)
		require.NoError(t, err)
		s, w.batches[c] = d.done(), *d.batch
	}
	w.entities[kind][c] = s
	_, err := w.insertKind(t, tx, s, c)
	require.NoError(t, err)
	if kind == "skill" {
		_, err := insertEmbedding(t, tx, s)
		require.NoError(t, err)
		_, err = insertSearchText(t, tx, s)
		require.NoError(t, err)
	}
	if kind == "job_role" {
		_, err := w.insertRequirement(t, tx, c, c)
		require.NoError(t, err)
	}
}

// insertKind writes the kind's row of an entity; what it refers to is of class c.
func (w *world) insertKind(t *testing.T, q executor, s subject, c class) (pgconn.CommandTag, error) {
	t.Helper()
	exec := func(sql string, more ...any) (pgconn.CommandTag, error) {
		return q.Exec(t.Context(), sql, append([]any{s.id, s.owner}, more...)...)
	}
	switch s.kind {
	case "skill":
		return exec(`INSERT INTO skill (id, governance_agent_id, description, category) VALUES ($1, $2, 'd', 'technical')`)
	case "industry":
		return exec(`INSERT INTO industry (id, governance_agent_id) VALUES ($1, $2)`)
	case "job_role":
		return exec(`INSERT INTO job_role (id, governance_agent_id, seniority_level) VALUES ($1, $2, 'mid')`)
	case "team":
		return exec(`INSERT INTO team (id, governance_agent_id, job_role_id) VALUES ($1, $2, $3)`, w.entities["job_role"][c].id)
	default:
		return exec(`INSERT INTO agent (id, governance_agent_id, skill_id, job_role_id, industry_id) VALUES ($1, $2, $3, $4, $5)`,
			w.entities["skill"][c].id, w.entities["job_role"][c].id, w.entities["industry"][c].id)
	}
}

func (w *world) insertRequirement(t *testing.T, q executor, role, skill class) (pgconn.CommandTag, error) {
	t.Helper()
	return q.Exec(t.Context(), `INSERT INTO job_role_skill (job_role_id, skill_id, governance_agent_id) VALUES ($1, $2, $3)`,
		w.entities["job_role"][role].id, w.entities["skill"][skill].id, ownerOf(role))
}

func insertEmbedding(t *testing.T, q executor, s subject) (pgconn.CommandTag, error) {
	t.Helper()
	return q.Exec(t.Context(), `INSERT INTO embedding (entity_id, model_id, vector, text_sha256, vector_sha256, entity_type,
		governance_agent_id) VALUES ($1, 'm', array_fill(0.1, ARRAY[384])::vector, $2, $2, $3, $4)`,
		s.id, make([]byte, 32), s.kind, s.owner)
}

func insertSearchText(t *testing.T, q executor, s subject) (pgconn.CommandTag, error) {
	t.Helper()
	return q.Exec(t.Context(), `INSERT INTO search_text (entity_id, lexemes, words, entity_type, governance_agent_id)
		VALUES ($1, to_tsvector('english', 'weld'), 1, $2, $3)`, s.id, s.kind, s.owner)
}

func insertPrincipal(t *testing.T, q executor, id uuid.UUID, tenant string) (pgconn.CommandTag, error) {
	t.Helper()
	return q.Exec(t.Context(), `INSERT INTO principal (id, governance_agent_id, name, authorities)
		VALUES ($1, $2, $1::uuid::text, '{author}')`, id, tenant)
}

func insertRepeat(t *testing.T, q executor, id uuid.UUID, tenant, age string) (pgconn.CommandTag, error) {
	t.Helper()
	return q.Exec(t.Context(), `INSERT INTO idempotency_key (principal_id, route, key, body_hash, governance_agent_id, created_at)
		VALUES ($1, 'r', 'k', $2, $3, now() - $4::interval)`, id, make([]byte, 32), tenant, age)
}

func insertEvent(t *testing.T, q executor, id uuid.UUID, tenant string) (pgconn.CommandTag, error) {
	t.Helper()
	return q.Exec(t.Context(), `INSERT INTO outbox (id, type, subject, governance_agent_id, data)
		VALUES ($1::uuid, 'plant.skill.created', $1, $2, '{}')`, id, tenant)
}

func insertRefusal(t *testing.T, q executor, id uuid.UUID, tenant string) (pgconn.CommandTag, error) {
	t.Helper()
	return q.Exec(t.Context(), `INSERT INTO refusal (id, governance_agent_id, principal_id, operation, code)
		VALUES ($1, $2, $1, 'certifySkill', 'forbidden')`, id, tenant)
}

func insertReceipt(t *testing.T, q executor, id uuid.UUID, age string) (pgconn.CommandTag, error) {
	t.Helper()
	return q.Exec(t.Context(), `INSERT INTO inbox (consumer, ce_id, received_at) VALUES ('c', $1, now() - $2::interval)`, id, age)
}

func insertConstitution(t *testing.T, q executor, document string) (pgconn.CommandTag, error) {
	t.Helper()
	return q.Exec(t.Context(), `INSERT INTO constitution (sha256, document, version)
		VALUES (sha256(convert_to($1::text, 'UTF8')), $1, '1')`, document)
}

func (w *world) addOperational(t *testing.T, q executor) {
	t.Helper()
	for _, c := range []class{own, private} {
		w.row[c] = newID(t)
		_, err := insertPrincipal(t, q, w.row[c], ownerOf(c))
		require.NoError(t, err)
		_, err = insertRepeat(t, q, w.row[c], ownerOf(c), "25 hours")
		require.NoError(t, err)
		_, err = insertRefusal(t, q, w.row[c], ownerOf(c))
		require.NoError(t, err)
		_, err = insertEvent(t, q, w.row[c], ownerOf(c))
		require.NoError(t, err)
	}
	_, err := insertReceipt(t, q, w.event, "8 days")
	require.NoError(t, err)
	_, err = insertConstitution(t, q, "{}")
	require.NoError(t, err)
}
