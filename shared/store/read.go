package store

import (
	"context"
	"math"
	"slices"
	"time"

	"github.com/dlai-sd/plant/shared/domain"
	"github.com/dlai-sd/plant/shared/ledger"
	"github.com/jackc/pgx/v5"
)

// HistoryShown is how much of a chain a single read carries: the newest.
const HistoryShown = 100

// childrenShown bounds the derived list of an entity's children.
const childrenShown = 1000

// Newest asks for an entity as it stands now.
const Newest = math.MaxInt64

// Snapshot is an entity at one version, as far as the tenant may see it.
type Snapshot struct {
	Entity     domain.Entity
	History    []Entry // the newest HistoryShown, oldest first
	Count      int64   // of amendments up to this version
	Breaking   []int64 // seqs of breaking changes, ascending
	Children   []domain.ID
	Agents     []domain.ID    // a team's living agents
	Skills     []domain.ID    // a team's: the union of its agents'
	Successor  *domain.Entity // status only: of what superseded_by names, if the tenant sees it
	StateHolds bool           // salt and state still hash to what the record says
	Sealed     Proof          // this version's amendment as it is stored, for the registry to judge
	Signed     bool           // its judgement: that amendment is the one that was signed
	Partial    bool           // another's entity: only what was shared of its history is here
}

// Entry is what a history shows of an amendment.
type Entry struct {
	Seq               int64
	Hash, PrevHash    ledger.Hash
	StateHash         ledger.Hash
	Constitution      ledger.Hash
	Change            string
	Author            string
	GovernanceAgentID string
	KeyID             string
	Breaking          bool
	RecordedAt        time.Time
	Recomputes        bool // the stored record still has this hash
}

const selectHead = `
SELECT a.entity_type, a.governance_agent_id, a.seq, a.hash, a.constitution, a.recorded_at, a.state_hash, o.salt, o.state,
	a.record, coalesce(a.signature, s.signature), s.statement, coalesce(a.batch_index, 0), a.batch_path, coalesce(k.spki, ''),
	(SELECT b.hash FROM public.amendment b WHERE b.entity_id = a.entity_id AND b.seq <= a.seq AND b.change <> 'embedded'
		ORDER BY b.seq DESC LIMIT 1),
	coalesce((SELECT e.created_at FROM public.entity e WHERE e.id = a.entity_id), public.born_at(a.entity_id)),
	(SELECT n.status FROM public.entity e JOIN public.entity n ON n.id = e.superseded_by WHERE e.id = a.entity_id)
FROM public.opening o JOIN public.amendment a USING (entity_id, seq)
LEFT JOIN public.signature_batch s ON s.id = a.batch_id LEFT JOIN public.signing_key k ON k.key_id = a.key_id
WHERE o.entity_id = $1 AND o.seq <= $2
ORDER BY o.seq DESC LIMIT 1`

const selectHistory = `
SELECT seq, hash, prev_hash, state_hash, constitution, change, author, governance_agent_id, key_id, breaking, recorded_at,
	hash = sha256(convert_to(record, 'UTF8'))
FROM public.amendment WHERE entity_id = $1 AND seq <= $2 ORDER BY seq DESC LIMIT $3`

const selectSummary = `
SELECT count(*), coalesce(array_agg(seq ORDER BY seq) FILTER (WHERE breaking), '{}')
FROM public.amendment WHERE entity_id = $1 AND seq <= $2`

const selectRoster = `
SELECT coalesce(array_agg(id::text ORDER BY id), '{}'), coalesce(array_agg(DISTINCT skill_id::text), '{}')
FROM public.agent WHERE team_id = $1 AND living`

const selectChildren = `SELECT id FROM public.entity WHERE parent_id = $1 ORDER BY id LIMIT $2`

// Read returns an entity as the tenant may see it at a version, or Newest. What
// is absent and what is hidden are both ErrNotFound. One round trip; two for a
// team.
func (db *DB) Read(ctx context.Context, tenant string, id domain.ID, version int64) (Snapshot, error) {
	var b pgx.Batch
	asTenant(&b, tenant)
	var s Snapshot
	queueSnapshot(&b, id, version, &s)
	if err := db.send(ctx, &b); err != nil {
		return Snapshot{}, err
	}
	// The statements each saw their own moment: what came after the head is cut.
	head := s.Entity.Head.Version
	s.History = slices.DeleteFunc(s.History, func(e Entry) bool { return e.Seq > head })
	s.Breaking = slices.DeleteFunc(s.Breaking, func(seq int64) bool { return seq > head })
	if n := len(s.History); n > 0 && n < HistoryShown {
		s.Count = int64(n)
	}
	s.Count = min(s.Count, head)
	if n := len(s.History); n > 0 {
		s.Sealed.Entry = s.History[n-1]
	}
	s.Partial = s.Entity.GovernanceAgentID != tenant
	if s.Entity.Kind() == domain.KindTeam {
		if err := db.readRoster(ctx, tenant, &s); err != nil {
			return Snapshot{}, err
		}
	}
	return s, nil
}

// readRoster adds what a team's agents make of it.
func (db *DB) readRoster(ctx context.Context, tenant string, s *Snapshot) error {
	var b pgx.Batch
	asTenant(&b, tenant)
	b.Queue(selectRoster, string(s.Entity.ID)).QueryRow(func(row pgx.Row) error { return row.Scan(&s.Agents, &s.Skills) })
	return db.send(ctx, &b)
}

// ArchivedAfterShared reports whether an entity was shared once and is archived
// now: its last shared version can still be read, and is history.
func (db *DB) ArchivedAfterShared(ctx context.Context, tenant string, id domain.ID) (bool, error) {
	var b pgx.Batch
	asTenant(&b, tenant)
	var gone bool
	b.Queue(`SELECT public.archived_after_shared($1)`, string(id)).QueryRow(func(row pgx.Row) error { return row.Scan(&gone) })
	return gone, db.send(ctx, &b)
}

func queueSnapshot(b *pgx.Batch, id domain.ID, version int64, s *Snapshot) {
	b.Queue(selectHead, string(id), version).QueryRow(func(row pgx.Row) error { return scanHead(row, id, s) })
	b.Queue(selectHistory, string(id), version, HistoryShown).Query(func(rows pgx.Rows) error {
		var err error
		s.History, err = pgx.CollectRows(rows, scanEntry)
		slices.Reverse(s.History)
		return err
	})
	b.Queue(selectSummary, string(id), version).QueryRow(func(row pgx.Row) error {
		return row.Scan(&s.Count, &s.Breaking)
	})
	b.Queue(selectChildren, string(id), childrenShown).Query(func(rows pgx.Rows) error {
		var err error
		s.Children, err = pgx.CollectRows(rows, pgx.RowTo[domain.ID])
		return err
	})
}

func scanHead(row pgx.Row, id domain.ID, s *Snapshot) error {
	var kind domain.Kind
	var owner, state string
	var hash, constitution, stateHash, salt, etag []byte
	var head domain.Head
	var successor *domain.Status
	var statement *string
	var index int
	var path []byte
	p := &s.Sealed
	if err := row.Scan(&kind, &owner, &head.Version, &hash, &constitution, &head.UpdatedAt, &stateHash, &salt, &state,
		&p.Record, &p.Signature, &statement, &index, &path, &p.SPKI, &etag, &head.CreatedAt, &successor); err != nil {
		return err
	}
	if successor != nil {
		s.Successor = &domain.Entity{Governed: domain.Governed{Status: *successor}}
	}
	e, err := domain.ReadState(kind, id, owner, []byte(state))
	if err != nil {
		return err
	}
	copy(head.Hash[:], hash)
	copy(head.Constitution[:], constitution)
	copy(head.ETag[:], etag)
	e.Head = head
	s.Entity = e
	opening := ledger.Opening{State: []byte(state)}
	copy(opening.Salt[:], salt)
	holds := opening.Hash()
	s.StateHolds = string(holds[:]) == string(stateHash)
	p.Opening, p.Batch = &opening, batchOf(statement, index, path)
	return nil
}

func scanEntry(row pgx.CollectableRow) (Entry, error) {
	var e Entry
	var hash, prev, state, constitution []byte
	err := row.Scan(&e.Seq, &hash, &prev, &state, &constitution, &e.Change, &e.Author, &e.GovernanceAgentID, &e.KeyID,
		&e.Breaking, &e.RecordedAt, &e.Recomputes)
	copy(e.Hash[:], hash)
	copy(e.PrevHash[:], prev)
	copy(e.StateHash[:], state)
	copy(e.Constitution[:], constitution)
	return e, err
}

// Proof is an amendment with everything that verifies it alone.
type Proof struct {
	Entry
	Record    string
	Opening   *ledger.Opening // nil once erased, or where it is not the tenant's to see
	Signature []byte          // over the record, or over the batch's statement
	Batch     *ledger.Batch
	SPKI      string // of the key that signed, DER in base64
}

const selectAmendments = `
SELECT a.seq, a.hash, a.prev_hash, a.state_hash, a.constitution, a.change, a.author, a.governance_agent_id, a.key_id,
	a.breaking, a.recorded_at, a.hash = sha256(convert_to(a.record, 'UTF8')), a.record, o.salt, o.state,
	coalesce(a.signature, s.signature), s.statement, coalesce(a.batch_index, 0), a.batch_path, k.spki
FROM public.amendment a
LEFT JOIN public.opening o USING (entity_id, seq)
LEFT JOIN public.signature_batch s ON s.id = a.batch_id
JOIN public.signing_key k ON k.key_id = a.key_id
`

const selectProofs = selectAmendments + `
WHERE a.entity_id = $1 AND a.entity_type = $4 AND a.seq > $2 ORDER BY a.seq LIMIT $3`

// Proofs returns up to limit amendments of an entity of a kind after a seq,
// ascending.
func (db *DB) Proofs(ctx context.Context, tenant string, kind domain.Kind, id domain.ID, after int64, limit int) ([]Proof, error) {
	var b pgx.Batch
	asTenant(&b, tenant)
	var proofs []Proof
	b.Queue(selectProofs, string(id), after, limit, string(kind)).Query(func(rows pgx.Rows) error {
		var err error
		proofs, err = pgx.CollectRows(rows, scanProof)
		return err
	})
	return proofs, db.send(ctx, &b)
}

const selectSealed = selectAmendments + `
JOIN unnest($1::uuid[], $2::bigint[]) AS w (id, seq) ON a.entity_id = w.id AND a.seq = w.seq`

// Sealed returns the amendments of entities at these versions, one of each, as the
// tenant may see them; what is absent is missing from the map.
func (db *DB) Sealed(ctx context.Context, tenant string, ids []domain.ID, versions []int64) (map[domain.ID]Proof, error) {
	var b pgx.Batch
	asTenant(&b, tenant)
	found := make(map[domain.ID]Proof, len(ids))
	b.Queue(selectSealed, texts(ids), versions).Query(func(rows pgx.Rows) error {
		list, err := pgx.CollectRows(rows, scanProof)
		for _, p := range list {
			if a, bad := p.Amendment(); bad == nil {
				found[domain.ID(a.Record.EntityID)] = p
			}
		}
		return err
	})
	return found, db.send(ctx, &b)
}

// Amendment returns the amendment as the ledger verifies it.
func (p Proof) Amendment() (ledger.Amendment, error) {
	return ledger.ReadAmendment([]byte(p.Record), p.Opening, p.Signature, p.Batch)
}

func scanProof(row pgx.CollectableRow) (Proof, error) {
	var p Proof
	err := scanProofBetween(row, &p, nil, nil)
	return p, err
}

// scanProofBetween scans what every selection of amendments has, and what stands
// before and behind it.
func scanProofBetween(row pgx.CollectableRow, p *Proof, before, behind []any) error {
	var hash, prev, stateHash, constitution, salt, path []byte
	var state, statement *string
	var index int
	fields := []any{
		&p.Seq, &hash, &prev, &stateHash, &constitution, &p.Change, &p.Author, &p.GovernanceAgentID, &p.KeyID,
		&p.Breaking, &p.RecordedAt, &p.Recomputes, &p.Record, &salt, &state, &p.Signature, &statement, &index, &path, &p.SPKI,
	}
	if err := row.Scan(slices.Concat(before, fields, behind)...); err != nil {
		return err
	}
	copy(p.Hash[:], hash)
	copy(p.PrevHash[:], prev)
	copy(p.StateHash[:], stateHash)
	copy(p.Constitution[:], constitution)
	if state != nil {
		p.Opening = &ledger.Opening{State: []byte(*state)}
		copy(p.Opening.Salt[:], salt)
	}
	p.Batch = batchOf(statement, index, path)
	return nil
}

// batchOf is an amendment's place in a batch; nil without a statement. A path of no whole
// number of hashes, which somebody has changed, ends in one that leads nowhere.
func batchOf(statement *string, index int, path []byte) *ledger.Batch {
	if statement == nil {
		return nil
	}
	b := &ledger.Batch{Statement: []byte(*statement), Index: index, Path: []ledger.Hash{}}
	for chunk := range slices.Chunk(path, len(ledger.Hash{})) {
		var step ledger.Hash
		copy(step[:], chunk)
		b.Path = append(b.Path, step)
	}
	return b
}
