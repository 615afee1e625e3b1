package rawrows

import (
	"crypto/sha256"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/dlai-sd/plant/shared/domain"
)

const (
	requireAuthority = `SELECT public.require_authority($1, $2, $3)`
	updateDecided    = `UPDATE public.entity e SET status = u.status, status_reason = NULL, genesis_certification = u.certification::jsonb,
		version = u.seq, version_hash = u.hash, etag_hash = u.hash, constitution_hash = u.law, updated_at = u.at
		FROM unnest($1::uuid[], $2::text[], $3::text[], $4::bigint[], $5::bytea[], $6::bytea[], $7::timestamptz[])
		AS u (id, status, certification, seq, hash, law, at) WHERE e.id = u.id`
)

// The places of a row's values that a decision adds to, as in Row.Values.
const (
	amendmentValues = iota + 2
	openingValues
	outboxValues
)

// Decided are certifications of entities of one kind and owner by one principal, as
// one pgx.Batch: what they add, and the rows of the entities moved on.
func Decided(principal string, rows []Row) (*pgx.Batch, error) {
	first := rows[0]
	owner, key := first.Entity.GovernanceAgentID, uuid.NewString()
	body := sha256.Sum256([]byte(key))
	items, err := remembered(rows)
	if err != nil {
		return nil, err
	}
	moved, err := moved(rows)
	if err != nil {
		return nil, err
	}
	var b pgx.Batch
	b.Queue(SetTenant, owner)
	b.Queue(requirePrincipal, principal, owner)
	b.Queue(insertKey, principal, "certifyAll", key, body[:], nil, nil, items)
	b.Queue(requireAuthority, principal, string(domain.Genesis), []string{owner})
	added := []int{amendmentValues, openingValues, outboxValues}
	if first.Amendment.Batch == nil {
		values := first.Values(nil)
		b.Queue(single()[amendmentValues], values[amendmentValues]...)
		b.Queue(single()[openingValues], values[openingValues]...)
		b.Queue(updateDecided, moved...)
		b.Queue(single()[outboxValues], values[outboxValues]...)
		return &b, nil
	}
	batchID := uuid.NewString()
	b.Queue(insertBatch, batchID, first.Amendment.Record.KeyID, string(first.Amendment.Batch.Statement), first.Amendment.Signature, len(rows))
	for _, at := range added {
		b.Queue(bulk(first.Entity.Kind())[at], columns(rows, at, batchID)...)
	}
	b.Queue(updateDecided, moved...)
	return &b, nil
}

// moved are the values of updateDecided.
func moved(rows []Row) ([]any, error) {
	var ids, statuses, certifications []string
	var seqs []int64
	var hashes, laws [][]byte
	var times []time.Time
	for _, r := range rows {
		made, err := json.Marshal(r.Entity.Governed.GenesisCertification)
		if err != nil {
			return nil, err
		}
		rec := r.Amendment.Record
		ids, statuses = append(ids, rec.EntityID), append(statuses, string(r.Entity.Governed.Status))
		certifications, seqs = append(certifications, string(made)), append(seqs, rec.Seq)
		hashes, laws = append(hashes, r.Amendment.Hash[:]), append(laws, rec.Constitution[:])
		times = append(times, rec.RecordedAt)
	}
	return []any{ids, statuses, certifications, seqs, hashes, laws, times}, nil
}
