// Package ledger is what was said: records, their hashes and signatures, the
// chains they form, the openings that hold the states, and the keys that may
// sign. It is pure: no clock but the one given, no files, no network. FORMAT.md
// in this folder specifies every byte.
package ledger

import (
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
)

// What records and batch statements say of themselves.
const (
	ContextAmendment = "plant/amendment/v1"
	ContextBatch     = "plant/batch/v1"

	AlgorithmDirect = "RSA4096-PSS-SHA256"       // the signature is over the record
	AlgorithmBatch  = "RSA4096-PSS-SHA256-BATCH" // the signature is over a batch statement

	// TimeLayout is how recorded_at is written: UTC, six digits.
	TimeLayout = "2006-01-02T15:04:05.000000Z"

	maxSeq = 1<<53 - 1 // the largest integer that canonical JSON carries exactly
)

// Record is one amendment as it is hashed and signed: fifteen members.
type Record struct {
	Algorithm         string    // AlgorithmDirect or AlgorithmBatch
	Author            string    // <governance agent>/<name>, or system/<function>
	Breaking          bool      // whether what rests on the entity must look again
	Change            string    // what happened
	Constitution      Hash      // the rules in force
	Context           string    // ContextAmendment
	EntityID          string    // lower-case UUIDv7
	EntityType        string    //
	GovernanceAgentID string    // the owner, which never changes
	KeyID             string    // the key that signs: lower-case hex SHA-256 of its SPKI
	Origin            string    // the deployment
	PrevHash          Hash      // the predecessor's hash; zero at Seq 1
	RecordedAt        time.Time // UTC, microseconds
	Seq               int64     // 1, 2, … without gaps
	StateHash         Hash      // of the opening
}

// Bytes returns the record in canonical form (RFC 8785): exactly what is hashed
// and signed.
func (r Record) Bytes() []byte {
	b := make([]byte, 0, 768)
	b = appendText(b, `{"algorithm":`, r.Algorithm)
	b = appendText(b, `,"author":`, r.Author)
	b = append(b, `,"breaking":`...)
	b = strconv.AppendBool(b, r.Breaking)
	b = appendText(b, `,"change":`, r.Change)
	b = appendText(b, `,"constitution":`, r.Constitution.String())
	b = appendText(b, `,"context":`, r.Context)
	b = appendText(b, `,"entity_id":`, r.EntityID)
	b = appendText(b, `,"entity_type":`, r.EntityType)
	b = appendText(b, `,"governance_agent_id":`, r.GovernanceAgentID)
	b = appendText(b, `,"key_id":`, r.KeyID)
	b = appendText(b, `,"origin":`, r.Origin)
	b = appendText(b, `,"prev_hash":`, r.PrevHash.String())
	b = appendText(b, `,"recorded_at":`, r.RecordedAt.UTC().Format(TimeLayout))
	b = append(b, `,"seq":`...)
	b = strconv.AppendInt(b, r.Seq, 10)
	b = appendText(b, `,"state_hash":`, r.StateHash.String())
	return append(b, '}')
}

// appendText appends a name as given and a string in canonical form. The form
// replaces invalid UTF-8, which check refuses.
func appendText(b []byte, name, value string) []byte {
	b = append(b, name...)
	quoted, err := jsontext.AppendQuote(b, value)
	if err != nil {
		return append(append(b, '"'), '"')
	}
	return quoted
}

// check reports a member whose format is wrong, or nil. It is the same for
// records that are read and records that are to be signed.
func (r Record) check() *Fault {
	switch {
	case !isAuthor(r.Author):
		return malformed("author")
	case !isChange(r.Change):
		return malformed("change")
	case !isUUIDv7(r.EntityID):
		return malformed("entity_id")
	case !isEntityType(r.EntityType):
		return malformed("entity_type")
	case !isSlug(r.GovernanceAgentID):
		return malformed("governance_agent_id")
	case !isHex(r.KeyID, 64):
		return malformed("key_id")
	case r.RecordedAt.Year() < 0 || r.RecordedAt.Year() > 9999:
		return malformed("recorded_at")
	case r.Seq < 1 || r.Seq > maxSeq:
		return malformed("seq")
	}
	return nil
}

func malformed(member string) *Fault {
	return fault(ReasonRecordMalformed, "%s", member)
}

// CheckOrigin reports whether s can name a deployment: what a signed note takes
// as a key's name, not empty, without white space, controls or plus signs.
func CheckOrigin(s string) error {
	bad := func(r rune) bool { return r == '+' || unicode.IsSpace(r) || unicode.IsControl(r) }
	if s == "" || !utf8.ValidString(s) || strings.ContainsFunc(s, bad) {
		return fault(ReasonOriginWrong, "an origin is a name without white space, controls or plus signs")
	}
	return nil
}

// isSlug reports whether s names a governance agent: [a-z0-9-]{1,63}.
func isSlug(s string) bool {
	if len(s) < 1 || len(s) > 63 {
		return false
	}
	for i := range len(s) {
		if c := s[i]; (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' {
			return false
		}
	}
	return true
}

// isAuthor reports whether s is a slug, a slash, and a name without slash,
// white space or controls.
func isAuthor(s string) bool {
	slug, name, _ := strings.Cut(s, "/")
	bad := func(r rune) bool { return r == '/' || unicode.IsSpace(r) || unicode.IsControl(r) }
	return isSlug(slug) && name != "" && utf8.ValidString(name) && !strings.ContainsFunc(name, bad)
}

// isUUIDv7 reports whether s is a UUID of version 7 (RFC 9562), lower case.
func isUUIDv7(s string) bool {
	if len(s) != 36 || s[14] != '7' || strings.IndexByte("89ab", s[19]) < 0 {
		return false
	}
	for i := range len(s) {
		hyphen := i == 8 || i == 13 || i == 18 || i == 23
		if c := s[i]; hyphen != (c == '-') || (!hyphen && !isHex(s[i:i+1], 1)) {
			return false
		}
	}
	return true
}
