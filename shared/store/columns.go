package store

import (
	"fmt"
	"slices"
	"time"

	"github.com/dlai-sd/plant/shared/domain"
	"github.com/dlai-sd/plant/shared/ledger"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgtype"
)

// columns are rows turned on their side, as unnest wants them.
type columns struct {
	rows    []Row
	batchID pgtype.UUID // of the one batch signature, NULL where each row has its own

	ids, batchIDs                                  []pgtype.UUID
	types, owners, nameKeys, records, states       []string
	changes, authors, keyIDs, algorithms           []string
	seqs                                           []int64
	times                                          []time.Time
	breaking, authored                             []bool
	hashes, prevHashes, stateHashes, constitutions [][]byte
	salts, signatures, batchPaths                  [][]byte
	batchIndexes                                   []pgtype.Int4
}

func columnsOf(rows []Row) (columns, error) {
	var c columns
	if rows[0].Amendment.Batch != nil {
		id, err := uuid.NewV7()
		if err != nil {
			return c, fmt.Errorf("name a signature batch: %w", err)
		}
		c.batchID = pgtype.UUID{Bytes: id, Valid: true}
	}
	for _, r := range rows {
		c.add(r)
	}
	return c, nil
}

// only returns the columns of the rows that f keeps.
func (c columns) only(f func(Row) bool) columns {
	if !slices.ContainsFunc(c.rows, func(r Row) bool { return !f(r) }) {
		return c
	}
	kept := columns{batchID: c.batchID}
	for _, r := range c.rows {
		if f(r) {
			kept.add(r)
		}
	}
	return kept
}

func (c *columns) add(r Row) {
	a, rec := r.Amendment, r.Amendment.Record
	c.rows = append(c.rows, r)
	c.ids = append(c.ids, uuidOf(rec.EntityID))
	c.types = append(c.types, rec.EntityType)
	c.owners = append(c.owners, rec.GovernanceAgentID)
	c.nameKeys = append(c.nameKeys, r.NameKey)
	c.records = append(c.records, string(a.Bytes))
	c.states = append(c.states, string(a.Opening.State))
	c.changes = append(c.changes, rec.Change)
	c.authors = append(c.authors, rec.Author)
	c.keyIDs = append(c.keyIDs, rec.KeyID)
	c.algorithms = append(c.algorithms, rec.Algorithm)
	c.seqs = append(c.seqs, rec.Seq)
	c.times = append(c.times, rec.RecordedAt)
	c.breaking = append(c.breaking, rec.Breaking)
	c.authored = append(c.authored, rec.Change != domain.ChangeEmbedded)
	c.hashes = append(c.hashes, a.Hash[:])
	c.prevHashes = append(c.prevHashes, rec.PrevHash[:])
	c.stateHashes = append(c.stateHashes, rec.StateHash[:])
	c.constitutions = append(c.constitutions, rec.Constitution[:])
	c.salts = append(c.salts, a.Opening.Salt[:])
	c.addSignature(a)
}

// uuidOf is an id in the driver's binary form. What is no UUID, which no record
// that was sealed holds, becomes NULL, which every table refuses.
func uuidOf(text string) pgtype.UUID {
	id, err := uuid.Parse(text)
	return pgtype.UUID{Bytes: id, Valid: err == nil}
}

// addSignature: a direct signature stands in the amendment's row; a batch's
// stands once, in its own table, and the row keeps index and path.
func (c *columns) addSignature(a ledger.Amendment) {
	if a.Batch == nil {
		c.signatures = append(c.signatures, a.Signature)
		c.batchIDs = append(c.batchIDs, pgtype.UUID{})
		c.batchIndexes = append(c.batchIndexes, pgtype.Int4{})
		c.batchPaths = append(c.batchPaths, nil)
		return
	}
	index := int32(a.Batch.Index) // #nosec -- a batch has at most 512 entries
	path := make([]byte, 0, len(a.Batch.Path)*len(ledger.Hash{}))
	for _, h := range a.Batch.Path {
		path = append(path, h[:]...)
	}
	c.signatures = append(c.signatures, nil)
	c.batchIDs = append(c.batchIDs, c.batchID)
	c.batchIndexes = append(c.batchIndexes, pgtype.Int4{Int32: index, Valid: true})
	c.batchPaths = append(c.batchPaths, path)
}
