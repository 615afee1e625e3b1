package ledger

import (
	"bytes"
	"strconv"
	"time"

	"github.com/dlai-sd/plant/shared/domain/canonical"
	"github.com/go-json-experiment/json/jsontext"
)

// ParseRecord reads a record exactly as it must be: ReadRecord, and in canonical
// form, of the context of amendments, by a known algorithm. Its errors are of
// type *Fault.
func ParseRecord(b []byte) (Record, error) {
	r, f := readRecord(b)
	if f == nil {
		f = checkForm(b)
	}
	if f == nil {
		f = checkContext(r)
	}
	if f == nil && !isAlgorithm(r.Algorithm) {
		f = fault(ReasonAlgorithmUnknown, "")
	}
	if f != nil {
		return Record{}, f
	}
	return r, nil
}

// ReadRecord reads a record whose members are complete and well-formed, but
// which may be of another context, by an unknown algorithm, or not in canonical
// form: a verifier has to name these apart. It refuses everything else with a
// *Fault of ReasonRecordMalformed.
func ReadRecord(b []byte) (Record, error) {
	r, f := readRecord(b)
	return r, asError(f)
}

func readRecord(b []byte) (Record, *Fault) {
	var r Record
	if err := readObject(b, 15, r.member); err != nil {
		return Record{}, fault(ReasonRecordMalformed, "%v", err)
	}
	if f := r.check(); f != nil {
		return Record{}, f
	}
	return r, nil
}

// checkForm reports bytes that are not the canonical form of the record they
// hold.
func checkForm(b []byte) *Fault {
	if err := canonical.Check(b); err != nil {
		return fault(ReasonRecordNotCanonical, "%v", err)
	}
	return nil
}

func checkContext(r Record) *Fault {
	if r.Context != ContextAmendment {
		return fault(ReasonContextWrong, "not the context of amendments")
	}
	return nil
}

func isAlgorithm(s string) bool { return s == AlgorithmDirect || s == AlgorithmBatch }

// member takes one member of a record; false if its name is unknown or its value
// of the wrong type or format.
func (r *Record) member(name string, v jsontext.Value) bool {
	switch name {
	case "algorithm":
		return readText(v, &r.Algorithm)
	case "author":
		return readText(v, &r.Author)
	case "breaking":
		r.Breaking = v.Kind() == jsontext.KindTrue
		return r.Breaking || v.Kind() == jsontext.KindFalse
	case "change":
		return readText(v, &r.Change)
	case "constitution":
		return readHash(v, &r.Constitution)
	case "context":
		return readText(v, &r.Context)
	case "entity_id":
		return readText(v, &r.EntityID)
	case "entity_type":
		return readText(v, &r.EntityType)
	case "governance_agent_id":
		return readText(v, &r.GovernanceAgentID)
	case "key_id":
		return readText(v, &r.KeyID)
	case "origin":
		return readText(v, &r.Origin)
	case "prev_hash":
		return readHash(v, &r.PrevHash)
	case "recorded_at":
		return readTime(v, &r.RecordedAt)
	case "seq":
		return readCount(v, &r.Seq)
	case "state_hash":
		return readHash(v, &r.StateHash)
	}
	return false
}

// memberError names the member that readObject could not take.
type memberError struct{ what string }

func (e memberError) Error() string { return e.what }

// readObject reads one JSON object of exactly n members, none twice, and gives
// each to take. Between the tokens there may be white space.
func readObject(b []byte, n int, take func(name string, v jsontext.Value) bool) error {
	d := jsontext.NewDecoder(bytes.NewBuffer(b))
	if d.PeekKind() != jsontext.KindBeginObject {
		return memberError{"not an object"}
	}
	if _, err := d.ReadToken(); err != nil {
		return memberError{"not JSON"}
	}
	count := 0
	for ; d.PeekKind() == jsontext.KindString; count++ {
		token, err := d.ReadToken()
		if err != nil {
			return memberError{"not JSON, or a member twice"}
		}
		name := token.String()
		value, err := d.ReadValue()
		if err != nil {
			return memberError{"not JSON"}
		}
		if !take(name, value) {
			return memberError{"a member is unknown or of the wrong form"}
		}
	}
	if token, err := d.ReadToken(); err != nil || token.Kind() != jsontext.KindEndObject {
		return memberError{"not JSON"}
	}
	if len(bytes.TrimLeft(d.UnreadBuffer(), " \t\r\n")) > 0 {
		return memberError{"data after the object"}
	}
	if count != n {
		return memberError{strconv.Itoa(count) + " members, not " + strconv.Itoa(n)}
	}
	return nil
}

func readText(v jsontext.Value, to *string) bool {
	if v.Kind() != jsontext.KindString {
		return false
	}
	s, err := jsontext.AppendUnquote(nil, v)
	*to = string(s)
	return err == nil
}

func readHash(v jsontext.Value, to *Hash) bool {
	var s string
	if !readText(v, &s) {
		return false
	}
	h, err := ParseHash(s)
	*to = h
	return err == nil
}

// readTime reads a time in TimeLayout that is a real instant: 30 February and
// second 60 are not.
func readTime(v jsontext.Value, to *time.Time) bool {
	var s string
	if !readText(v, &s) {
		return false
	}
	t, err := time.Parse(TimeLayout, s)
	*to = t
	return err == nil && t.Format(TimeLayout) == s // Parse also takes a comma
}

// readCount reads an integer literal of 0 to 2^53-1.
func readCount(v jsontext.Value, to *int64) bool {
	if v.Kind() != jsontext.KindNumber {
		return false
	}
	n, err := strconv.ParseInt(string(v), 10, 64)
	*to = n
	return err == nil && n >= 0 && n <= maxSeq
}
