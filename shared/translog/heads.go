package translog

import (
	"crypto/rsa"
	"fmt"
	"strconv"
	"time"

	"github.com/dlai-sd/plant/shared/domain/canonical"
	"github.com/dlai-sd/plant/shared/ledger"
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// ContextHeads is what a heads record says of itself.
const ContextHeads = "plant/heads/v1"

// Heads is a heads record: an entry of the log that says, for all tenants at
// once, what the newest amendment of every entity before it was.
type Heads struct {
	Algorithm  string      // ledger.AlgorithmDirect
	Context    string      // ContextHeads
	Entities   int64       // of all tenants
	KeyID      string      // the heads key: lower-case hex SHA-256 of its SPKI
	LogSize    int64       // the record's own log index: how many entries it speaks of
	Origin     string      // the deployment
	RecordedAt time.Time   // UTC, microseconds
	Root       ledger.Hash // of the top list
	Tenants    int64       // rows of the top list
}

// NewHeads returns the heads record over a top list, to stand in the log at
// index logSize. rows are ascending, see SortRows. at is cut to microseconds.
func NewHeads(origin, keyID string, logSize int64, at time.Time, rows []TenantRow) (Heads, error) {
	if err := ledger.CheckOrigin(origin); err != nil {
		return Heads{}, fmt.Errorf("heads: %w", err)
	}
	entities, f := checkRows(rows)
	if f != nil {
		return Heads{}, fmt.Errorf("heads: %w", f)
	}
	h := Heads{
		Algorithm: ledger.AlgorithmDirect, Context: ContextHeads,
		Entities: entities, KeyID: keyID, LogSize: logSize, Origin: origin,
		RecordedAt: at.UTC().Truncate(time.Microsecond), Root: TopRoot(rows), Tenants: int64(len(rows)),
	}
	if _, err := ParseHeads(h.Bytes()); err != nil {
		return Heads{}, fmt.Errorf("heads: %w", err)
	}
	return h, nil
}

// Bytes returns the record in canonical form (RFC 8785): exactly what is signed,
// and whose SHA-256 is the log entry.
func (h Heads) Bytes() []byte {
	b := make([]byte, 0, 512)
	b = appendText(b, `{"algorithm":`, h.Algorithm)
	b = appendText(b, `,"context":`, h.Context)
	b = appendInt(b, `,"entities":`, h.Entities)
	b = appendText(b, `,"key_id":`, h.KeyID)
	b = appendInt(b, `,"log_size":`, h.LogSize)
	b = appendText(b, `,"origin":`, h.Origin)
	b = appendText(b, `,"recorded_at":`, h.RecordedAt.UTC().Format(ledger.TimeLayout))
	b = appendText(b, `,"root":`, h.Root.String())
	b = appendInt(b, `,"tenants":`, h.Tenants)
	return append(b, '}')
}

// appendText appends a name as given and a string in canonical form, which
// replaces invalid UTF-8.
func appendText(b []byte, name, value string) []byte {
	b = append(b, name...)
	quoted, err := jsontext.AppendQuote(b, value)
	if err != nil {
		return append(b, `""`...)
	}
	return quoted
}

func appendInt(b []byte, name string, value int64) []byte {
	return strconv.AppendInt(append(b, name...), value, 10)
}

// ParseHeads reads a heads record exactly as it must be: ReadHeads, and in
// canonical form (ReasonHeadsNotCanonical). Whether its context and algorithm
// are those of heads is for JudgeHeads to say.
func ParseHeads(b []byte) (Heads, error) {
	h, err := ReadHeads(b)
	if err != nil {
		return Heads{}, err
	}
	if string(h.Bytes()) != string(b) {
		return Heads{}, fault(ReasonHeadsNotCanonical, "valid, but not in canonical form")
	}
	return h, nil
}

// headsText is a heads record as JSON; a nil member is missing.
type headsText struct {
	Algorithm  *string      `json:"algorithm"`
	Context    *string      `json:"context"`
	Entities   *int64       `json:"entities"`
	KeyID      *ledger.Hash `json:"key_id"`
	LogSize    *int64       `json:"log_size"`
	Origin     *string      `json:"origin"`
	RecordedAt *string      `json:"recorded_at"`
	Root       *ledger.Hash `json:"root"`
	Tenants    *int64       `json:"tenants"`
}

// ReadHeads reads a heads record whose nine members are complete and well-formed,
// but which may not be in canonical form: a verifier has to name these apart. It
// refuses everything else with a *ledger.Fault of ReasonHeadsMalformed.
func ReadHeads(b []byte) (Heads, error) {
	if err := canonical.CheckNoNull(b); err != nil {
		return Heads{}, fault(ReasonHeadsMalformed, err.Error())
	}
	var t headsText
	if err := json.Unmarshal(b, &t, json.RejectUnknownMembers(true)); err != nil {
		return Heads{}, fault(ReasonHeadsMalformed, "not the members of a heads record")
	}
	if t.Algorithm == nil || t.Context == nil || t.Entities == nil || t.KeyID == nil || t.LogSize == nil ||
		t.Origin == nil || t.RecordedAt == nil || t.Root == nil || t.Tenants == nil {
		return Heads{}, fault(ReasonHeadsMalformed, "a member is missing")
	}
	at, err := time.Parse(ledger.TimeLayout, *t.RecordedAt)
	if err != nil || at.Format(ledger.TimeLayout) != *t.RecordedAt {
		return Heads{}, fault(ReasonHeadsMalformed, "recorded_at")
	}
	for _, n := range []int64{*t.Entities, *t.LogSize, *t.Tenants} {
		if n < 0 || n > maxInteger {
			return Heads{}, fault(ReasonHeadsMalformed, "a number is out of range")
		}
	}
	return Heads{
		Algorithm: *t.Algorithm, Context: *t.Context, Entities: *t.Entities, KeyID: t.KeyID.String(),
		LogSize: *t.LogSize, Origin: *t.Origin, RecordedAt: at, Root: *t.Root, Tenants: *t.Tenants,
	}, nil
}

// JudgeHeads reports whether a heads record, as it stands in the log at index at,
// was signed by a heads key in force there. b are the record's exact bytes.
// Errors are of type *ledger.Fault, the first in FORMAT.md's order.
func JudgeHeads(ring *ledger.Keyring, b, signature []byte, at int64) error {
	h, err := ReadHeads(b)
	switch {
	case err != nil:
		return err
	case h.Context != ContextHeads:
		return fault(ledger.ReasonContextWrong, "not the context of heads records")
	case h.Origin != ring.OriginAt(at):
		return fault(ledger.ReasonOriginWrong, "a heads record of another deployment")
	case h.Algorithm == ledger.AlgorithmBatch:
		return fault(ledger.ReasonAlgorithmMismatch, "a heads record is signed directly")
	case h.Algorithm != ledger.AlgorithmDirect:
		return fault(ledger.ReasonAlgorithmUnknown, "")
	}
	key, err := ring.Admit(h.KeyID, at, ledger.UseHeads)
	if err != nil {
		return err
	}
	pub, ok := key.Public.(*rsa.PublicKey)
	if !ok || ledger.Verify(pub, b, signature) != nil {
		return fault(ledger.ReasonSignatureInvalid, "the signature does not verify")
	}
	return inForce(ring, h.KeyID, at, ledger.UseHeads)
}
