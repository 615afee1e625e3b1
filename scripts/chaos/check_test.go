package chaos

import (
	"context"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/dlai-sd/plant/shared/domain"
	"github.com/dlai-sd/plant/shared/ledger"
	"github.com/dlai-sd/plant/shared/store"
	"github.com/dlai-sd/plant/shared/testkit/harness"
)

// nothing are queries that find what must not be: rows without those that belong
// to them, chains with a gap, columns that differ from the signed state.
var nothing = map[string]string{
	"skills without a kind row": `SELECT count(*) FROM entity e LEFT JOIN skill s USING (id) WHERE e.entity_type = 'skill' AND s.id IS NULL`,
	"kind rows without a skill": `SELECT count(*) FROM skill s LEFT JOIN entity e ON e.id = s.id AND e.entity_type = 'skill' WHERE e.id IS NULL`,
	"entities whose history is not 1 to version": `SELECT count(*) FROM entity e WHERE
		(SELECT array_agg(seq ORDER BY seq) FROM amendment a WHERE a.entity_id = e.id)
		IS DISTINCT FROM (SELECT array_agg(n) FROM generate_series(1, e.version) n)`,
	"heads that are not the newest amendment": `SELECT count(*) FROM entity e LEFT JOIN amendment a
		ON (a.entity_id, a.seq, a.hash) = (e.id, e.version, e.version_hash) WHERE a.seq IS NULL
		OR a.recorded_at <> e.updated_at OR e.etag_hash <> e.version_hash`,
	"amendments without an entity": `SELECT count(*) FROM amendment a LEFT JOIN entity e ON e.id = a.entity_id WHERE e.id IS NULL`,
	"links to no predecessor": `SELECT count(*) FROM amendment a LEFT JOIN amendment p
		ON (p.entity_id, p.seq, p.hash) = (a.entity_id, a.seq - 1, a.prev_hash) WHERE a.seq > 1 AND p.seq IS NULL`,
	"amendments without an opening": `SELECT count(*) FROM amendment a LEFT JOIN opening o USING (entity_id, seq) WHERE o.seq IS NULL`,
	"openings without an amendment": `SELECT count(*) FROM opening o LEFT JOIN amendment a USING (entity_id, seq) WHERE a.seq IS NULL`,
	"amendments that are neither in the log nor wait for it": `SELECT count(*) FROM amendment a LEFT JOIN (
		SELECT hash, entity_id, seq FROM log_pending UNION ALL SELECT hash, entity_id, seq FROM log_entry) l USING (hash)
		WHERE (l.entity_id, l.seq) IS DISTINCT FROM (a.entity_id, a.seq)`,
	"places in the log for nothing": `SELECT count(*) FROM log_pending l LEFT JOIN amendment a USING (hash) WHERE a.seq IS NULL`,
	"batch signatures over nothing": `SELECT count(*) FROM signature_batch b LEFT JOIN amendment a ON a.batch_id = b.id WHERE a.seq IS NULL`,
	"keys of what is not there":     `SELECT count(*) FROM idempotency_key k LEFT JOIN amendment a USING (entity_id, seq) WHERE a.seq IS NULL`,
	"skills with another number of keys than versions": `SELECT count(*) FROM entity e WHERE e.entity_type = 'skill'
		AND e.version <> (SELECT count(*) FROM idempotency_key k WHERE k.entity_id = e.id)`,
	"columns that differ from the signed state": `SELECT count(*) FROM entity e JOIN opening o ON (o.entity_id, o.seq) = (e.id, e.version)
		JOIN skill k ON k.id = e.id CROSS JOIN LATERAL (SELECT o.state::jsonb AS s) x
		WHERE (e.name, k.description, k.category, e.external_id, e.status, e.visibility)
		IS DISTINCT FROM (s ->> 'name', s ->> 'description', s ->> 'category', s ->> 'external_id', s ->> 'status', s ->> 'visibility')
		OR to_jsonb(e.tags) <> coalesce(s -> 'tags', '[]') OR e.custom_attributes <> coalesce(s -> 'custom_attributes', '{}')
		OR e.governance_notes IS DISTINCT FROM s ->> 'governance_notes'`,
	"living entities of one name": `SELECT count(*) FROM (SELECT FROM entity WHERE deleted_at IS NULL AND name_key IS NOT NULL
		GROUP BY governance_agent_id, entity_type, name_key HAVING count(*) > 1) x`,
	"external ids twice": `SELECT count(*) FROM (SELECT FROM entity WHERE external_id IS NOT NULL
		GROUP BY governance_agent_id, external_id HAVING count(*) > 1) x`,
}

// written are the tables that these tests write; every other one stays empty.
const written = `'enactment', 'entity', 'skill', 'signing_key', 'amendment', 'opening', 'log_pending', 'idempotency_key', 'principal',
	'constitution', 'outbox', 'signature_batch', 'goose_db_version',
	'log_entry', 'log_tile', 'heads', 'tenant_salt', 'checkpoint'`

// sound runs every query that must find nothing.
func sound(t *testing.T, d *harness.Deployment) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), d.URL)
	require.NoError(t, err)
	defer func() { _ = conn.Close(context.WithoutCancel(t.Context())) }()
	for what, query := range nothing {
		var n int
		require.NoError(t, conn.QueryRow(t.Context(), query).Scan(&n), what)
		require.Zero(t, n, what)
	}
	rows, err := conn.Query(t.Context(), `SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND tablename NOT IN (`+written+`)`)
	require.NoError(t, err)
	tables, err := pgx.CollectRows(rows, pgx.RowTo[string])
	require.NoError(t, err)
	require.NotEmpty(t, tables)
	for _, table := range tables {
		var n int
		require.NoError(t, conn.QueryRow(t.Context(), "SELECT count(*) FROM "+pgx.Identifier{table}.Sanitize()).Scan(&n))
		require.Zero(t, n, "rows in %s", table)
	}
}

// verified checks every skill's chain as a stranger would: signatures, links,
// openings. It returns the number of amendments.
func verified(t *testing.T, d *harness.Deployment, heads map[string]head) (total int) {
	t.Helper()
	db := d.Open(t, "plant_writer", 4)
	counts := make(chan int, len(heads))
	var group errgroup.Group
	group.SetLimit(4)
	for id, h := range heads {
		group.Go(func() error {
			proofs, err := db.Proofs(t.Context(), h.tenant, domain.KindSkill, domain.ID(id), 0, 1<<20)
			if err != nil {
				return err
			}
			counts <- len(proofs)
			return verify(proofs)
		})
	}
	require.NoError(t, group.Wait())
	close(counts)
	for n := range counts {
		require.Positive(t, n)
		total += n
	}
	return total
}

func verify(proofs []store.Proof) error {
	chain := make([]ledger.Amendment, len(proofs))
	for i, p := range proofs {
		var err error
		if chain[i], err = ledger.ReadAmendment([]byte(p.Record), p.Opening, p.Signature, p.Batch); err != nil {
			return err
		}
		key, err := keyOf(p.SPKI)
		if err != nil {
			return err
		}
		if err := ledger.VerifySignature(key, chain[i]); err != nil {
			return err
		}
	}
	if breaks := ledger.VerifyChain(chain); len(breaks) > 0 {
		return breaks[0]
	}
	return nil
}

func keyOf(spki string) (*rsa.PublicKey, error) {
	der, err := base64.StdEncoding.DecodeString(spki)
	if err != nil {
		return nil, err
	}
	public, err := x509.ParsePKIXPublicKey(der)
	if err != nil {
		return nil, err
	}
	key, _ := public.(*rsa.PublicKey) // nil verifies nothing
	return key, nil
}

// head is a skill as the database has it.
type head struct {
	tenant, external, name, hash string
	version                      int64
}

// readHeads reads every skill by its id.
func readHeads(t *testing.T, d *harness.Deployment) map[string]head {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), d.URL)
	require.NoError(t, err)
	defer func() { _ = conn.Close(context.WithoutCancel(t.Context())) }()
	rows, err := conn.Query(t.Context(), `SELECT id::text, governance_agent_id, coalesce(external_id, ''), name,
		encode(version_hash, 'hex'), version FROM entity WHERE entity_type = 'skill'`)
	require.NoError(t, err)
	heads := map[string]head{}
	var id string
	var h head
	_, err = pgx.ForEachRow(rows, []any{&id, &h.tenant, &h.external, &h.name, &h.hash, &h.version}, func() error {
		heads[id] = h
		return nil
	})
	require.NoError(t, err)
	return heads
}

func (s *stack) heads(t *testing.T) map[string]head { return readHeads(t, s.Deployment) }

func (s *stack) count(t *testing.T, query string) int {
	t.Helper()
	return countOn(t, s.Deployment, query)
}

func countOn(t *testing.T, d *harness.Deployment, query string) (n int) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), d.URL)
	require.NoError(t, err)
	defer func() { _ = conn.Close(context.WithoutCancel(t.Context())) }()
	require.NoError(t, conn.QueryRow(t.Context(), query).Scan(&n))
	return n
}

// isWhole: every acknowledged write is there once, as it was acknowledged; of
// the others there is everything or nothing.
func (s *stack) isWhole(t *testing.T, made []*write) {
	t.Helper()
	heads := s.heads(t)
	byExternal := map[string]string{}
	for id, h := range heads {
		require.NotContains(t, byExternal, h.external)
		byExternal[h.external] = id
		require.Equal(t, int64(1), h.version)
	}
	acknowledged, unknown, landed := 0, 0, 0
	for _, w := range made {
		id, there := byExternal[w.external]
		delete(byExternal, w.external)
		if w.abandoned {
			unknown++
			if there {
				landed++
			}
			continue
		}
		acknowledged++
		require.True(t, there, "%s was acknowledged and is not there", w.external)
		require.Equal(t, w.id, id)
		require.Equal(t, w.hash, heads[id].hash)
		require.Equal(t, w.name, heads[id].name)
	}
	require.Empty(t, byExternal, "nobody asked for these")
	sound(t, s.Deployment)
	logIsWhole(t, s.Deployment, s.checkpoints)
	require.Equal(t, len(heads), verified(t, s.Deployment, heads))
	t.Logf("%d acknowledged, all there and verified; of %d that nobody waited for, %d are there, whole, and %d not at all",
		acknowledged, unknown, landed, unknown-landed)
}
