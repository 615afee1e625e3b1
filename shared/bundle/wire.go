package bundle

import (
	"io/fs"
	"strconv"
	"time"

	"github.com/dlai-sd/plant/shared/ledger"
	"github.com/dlai-sd/plant/shared/translog"
)

// Format is what manifest.json says of itself.
const Format = "plant/bundle/v1"

// The files of a bundle.
const (
	manifestFile     = "manifest.json"
	checkpointFile   = "checkpoint"
	headsFile        = "heads.json"
	amendmentsFile   = "amendments.jsonl"
	keysFile         = "keys.jsonl"
	keysFolder       = "keys"
	constitutions    = "constitutions"
	checklists       = "checklists"
	complianceFile   = "compliance.json"
	guideFile        = "VERIFY.md"
	scriptFile       = "verify.py"
	sampleRecord     = "sample/record.json"
	sampleSignature  = "sample/record.sig"
	keyringAgent     = "keyring"
	signingKey       = "signing_key"
	maxInteger       = 1<<53 - 1
	seenFile         = "seen" // not in the bundle: what the verifier was given
	futureTolerance  = 10 * time.Second
	constitutionJSON = ".json"
	keyPEM           = ".pem"
)

type manifest struct {
	Format    *string `json:"format"`
	Origin    *string `json:"origin"`
	CreatedAt *string `json:"created_at"`
	Scope     *Scope  `json:"scope"`
}

func readManifest(fsys fs.FS) (manifest, error) {
	var m manifest
	b, err := read(fsys, manifestFile, maxManifest)
	if err != nil {
		return m, err
	}
	if err := decode(b, &m); err != nil {
		return m, &NotBundleError{File: manifestFile, Detail: "malformed", Err: err}
	}
	if m.Format == nil || m.Origin == nil || m.CreatedAt == nil || m.Scope == nil || !m.Scope.valid() {
		return m, &NotBundleError{File: manifestFile, Detail: "malformed", Err: errMembers}
	}
	if *m.Format != Format {
		return m, &NotBundleError{File: manifestFile, Detail: "of another format than " + Format}
	}
	if at, err := time.Parse(ledger.TimeLayout, *m.CreatedAt); err != nil || at.Format(ledger.TimeLayout) != *m.CreatedAt {
		return m, &NotBundleError{File: manifestFile, Detail: "created_at"}
	}
	return m, nil
}

// headsText is heads.json.
type headsText struct {
	Record      *string                  `json:"record"`
	Signature   *encoded                 `json:"signature"`
	LogIndex    *int64                   `json:"log_index"`
	Inclusion   *[]ledger.Hash           `json:"inclusion"`
	Tenants     *[]translog.TenantRow    `json:"tenants"`
	Salts       *map[string]ledger.Hash  `json:"salts"`
	Earlier     []earlierHeads           `json:"earlier,omitzero"`     // scope all
	Consistency map[string][]ledger.Hash `json:"consistency,omitzero"` // other scopes
	Entity      *entityPlace             `json:"entity,omitzero"`      // scope entity
	Entities    *[]entityPlace           `json:"entities,omitzero"`    // scope agent
	Forks       []forkText               `json:"forks,omitzero"`       // of a log that began anew
}

// earlierHeads is the log entry of an older heads record.
type earlierHeads struct {
	LogIndex *int64       `json:"log_index"`
	Hash     *ledger.Hash `json:"hash"`
}

// entityPlace is where an entity's head stands in its tenant's tree. In scope
// entity it is that entity's, and names none.
type entityPlace struct {
	EntityID *string        `json:"entity_id,omitzero"`
	Owner    *string        `json:"owner"`
	Index    *int64         `json:"index"`
	Path     *[]ledger.Hash `json:"path"`
}

func readHeads(fsys fs.FS, scope Scope) (headsText, error) {
	var h headsText
	b, err := read(fsys, headsFile, maxHeads)
	if err != nil {
		return h, err
	}
	if err := decode(b, &h); err != nil {
		return h, &NotBundleError{File: headsFile, Detail: "malformed", Err: err}
	}
	ok := h.Record != nil && h.Signature != nil && isIndex(h.LogIndex) && h.Inclusion != nil && h.Tenants != nil && h.Salts != nil
	for _, e := range h.Earlier {
		ok = ok && isIndex(e.LogIndex) && e.Hash != nil
	}
	for size := range h.Consistency {
		n, err := strconv.ParseInt(size, 10, 64)
		ok = ok && err == nil && n > 0 && strconv.FormatInt(n, 10) == size
	}
	ok = ok && wholeForks(h.Forks)
	if e := h.Entity; e != nil {
		ok = ok && e.EntityID == nil && e.whole()
	}
	if h.Entities != nil {
		for _, e := range *h.Entities {
			ok = ok && e.EntityID != nil && e.whole()
		}
	}
	if !ok || (scope.Type == ScopeEntity) != (h.Entity != nil) || (scope.Type == ScopeAgent) != (h.Entities != nil) {
		return h, &NotBundleError{File: headsFile, Detail: "malformed", Err: errMembers}
	}
	return h, nil
}

func (e entityPlace) whole() bool { return e.Owner != nil && isIndex(e.Index) && e.Path != nil }

func isIndex(n *int64) bool { return n != nil && *n >= 0 && *n <= maxInteger }

// lineText is a line of amendments.jsonl or keys.jsonl.
type lineText struct {
	Record    *string        `json:"record"`
	Signature *encoded       `json:"signature"`
	LogIndex  *int64         `json:"log_index"`
	Inclusion *[]ledger.Hash `json:"inclusion"`
	Opening   *openingText   `json:"opening,omitzero"`
	Batch     *batchText     `json:"batch,omitzero"`
}

type openingText struct {
	Salt  *ledger.Hash `json:"salt"`
	State *string      `json:"state"`
}

type batchText struct {
	Statement *string        `json:"statement"`
	Index     *int64         `json:"index"`
	Path      *[]ledger.Hash `json:"path"`
}

// line is one amendment of the bundle.
type line struct {
	file      string
	number    int
	size      int // bytes, its end included
	entry     ledger.Entry
	malformed error // why the record cannot be read; entry.Record is then zero
	inclusion []ledger.Hash
}

func (l line) place() place {
	return place{stage: stageRecord, at: l.entry.LogIndex, file: l.file, line: l.number}
}

// isKey reports whether the record speaks of a signing key, in whichever file it
// stands: what was said of keys must not be overlooked.
func (l line) isKey() bool { return l.malformed == nil && l.entry.Record.EntityType == signingKey }

// readLine reads one line. The record in it is read, but not judged.
func readLine(file string, number int, b []byte) (line, error) {
	var t lineText
	if err := decode(b, &t); err != nil {
		return line{}, &NotBundleError{File: file, Line: number, Detail: "malformed", Err: err}
	}
	ok := t.Record != nil && t.Signature != nil && isIndex(t.LogIndex) && t.Inclusion != nil
	if t.Opening != nil {
		ok = ok && t.Opening.Salt != nil && t.Opening.State != nil
	}
	if t.Batch != nil {
		ok = ok && t.Batch.Statement != nil && isIndex(t.Batch.Index) && t.Batch.Path != nil
	}
	if !ok {
		return line{}, &NotBundleError{File: file, Line: number, Detail: "malformed", Err: errMembers}
	}
	l := t.line(file, number)
	l.size = len(b) + 1
	return l, nil
}

func (t lineText) line(file string, number int) line {
	l := line{file: file, number: number, inclusion: *t.Inclusion}
	a := ledger.Amendment{Bytes: []byte(*t.Record), Signature: *t.Signature}
	a.Hash = ledger.HashOf(a.Bytes)
	a.Record, l.malformed = ledger.ReadRecord(a.Bytes)
	if t.Opening != nil {
		a.Opening = &ledger.Opening{Salt: *t.Opening.Salt, State: []byte(*t.Opening.State)}
	}
	if t.Batch != nil {
		a.Batch = &ledger.Batch{Statement: []byte(*t.Batch.Statement), Index: int(*t.Batch.Index), Path: *t.Batch.Path}
	}
	l.entry = ledger.Entry{Amendment: a, LogIndex: *t.LogIndex}
	return l
}
