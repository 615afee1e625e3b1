package ledger

import (
	"strconv"
	"time"

	"github.com/dlai-sd/plant/shared/domain/canonical"
	"github.com/go-json-experiment/json/jsontext"
	"golang.org/x/mod/sumdb/tlog"
)

// MaxBatch is how many amendments one signature can cover.
const MaxBatch = 512

// Batch is one amendment's place under a batch signature.
type Batch struct {
	Statement []byte // canonical; what the signature is over
	Index     int    // of the record among the leaves, from 0
	Path      []Hash // RFC 6962 inclusion path, from the leaf up
}

// statement is what a batch signature is over.
type statement struct {
	context    string
	keyID      string
	origin     string
	recordedAt time.Time
	root       Hash
	size       int64
}

func (s statement) bytes() []byte {
	b := make([]byte, 0, 320)
	b = appendText(b, `{"context":`, s.context)
	b = appendText(b, `,"key_id":`, s.keyID)
	b = appendText(b, `,"origin":`, s.origin)
	b = appendText(b, `,"recorded_at":`, s.recordedAt.UTC().Format(TimeLayout))
	b = appendText(b, `,"root":`, s.root.String())
	b = append(b, `,"size":`...)
	b = strconv.AppendInt(b, s.size, 10)
	return append(b, '}')
}

func (s *statement) member(name string, v jsontext.Value) bool {
	switch name {
	case "context":
		return readText(v, &s.context)
	case "key_id":
		return readText(v, &s.keyID) && isHex(s.keyID, 64)
	case "origin":
		return readText(v, &s.origin)
	case "recorded_at":
		return readTime(v, &s.recordedAt)
	case "root":
		return readHash(v, &s.root)
	case "size":
		return readCount(v, &s.size)
	}
	return false
}

func readStatement(b []byte) (statement, *Fault) {
	var s statement
	if err := readObject(b, 6, s.member); err != nil {
		return statement{}, fault(ReasonBatchMalformed, "%v", err)
	}
	if err := canonical.Check(b); err != nil {
		return statement{}, fault(ReasonBatchMalformed, "%v", err)
	}
	if s.size < 1 || s.size > MaxBatch {
		return statement{}, fault(ReasonBatchMalformed, "a batch has 1 to %d members", MaxBatch)
	}
	return s, nil
}

// covers reports, in the order of FORMAT.md, why the batch does not hold the
// record of this hash.
func (b Batch) covers(r Record, hash Hash) *Fault {
	s, f := readStatement(b.Statement)
	switch {
	case f != nil:
		return f
	case s.context != ContextBatch:
		return fault(ReasonContextWrong, "not the context of batches")
	case s.keyID != r.KeyID || s.origin != r.Origin:
		return fault(ReasonBatchMismatch, "the statement is of another key or origin")
	}
	proof := make(tlog.RecordProof, len(b.Path))
	for i, h := range b.Path {
		proof[i] = tlog.Hash(h)
	}
	if tlog.CheckRecord(proof, s.size, tlog.Hash(s.root), int64(b.Index), tlog.RecordHash(hash[:])) != nil {
		return fault(ReasonBatchPathInvalid, "the path does not lead from this record to the root")
	}
	return nil
}

// batchTree returns the RFC 6962 root over the records' hashes and the inclusion
// path of each. There is at least one.
func batchTree(hashes []Hash) (root Hash, paths [][]Hash) {
	level := make([]tlog.Hash, len(hashes))
	at := make([]int, len(hashes)) // where each leaf's subtree stands in level
	paths = make([][]Hash, len(hashes))
	for i, h := range hashes {
		level[i], at[i] = tlog.RecordHash(h[:]), i
	}
	for len(level) > 1 {
		for i, pos := range at {
			if sibling := pos ^ 1; sibling < len(level) {
				paths[i] = append(paths[i], Hash(level[sibling]))
			}
			at[i] = pos / 2
		}
		level = parents(level)
	}
	return Hash(level[0]), paths
}

// parents hashes the nodes of a level in pairs; an odd last one rises as it is.
func parents(level []tlog.Hash) []tlog.Hash {
	up := make([]tlog.Hash, 0, (len(level)+1)/2)
	for i := 0; i+1 < len(level); i += 2 {
		up = append(up, tlog.NodeHash(level[i], level[i+1]))
	}
	if len(level)%2 == 1 {
		up = append(up, level[len(level)-1])
	}
	return up
}
