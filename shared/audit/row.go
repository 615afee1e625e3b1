package audit

import (
	"bytes"
	"encoding/hex"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/dlai-sd/plant/shared/domain"
	"github.com/dlai-sd/plant/shared/domain/canonical"
	"github.com/dlai-sd/plant/shared/ledger"
)

type members map[string]jsontext.Value

// row compares every column of an entity and of its kind's table with the newest
// state that was signed, and with the history.
func (x *examination) row(entries []ledger.Entry) {
	if x.kept.Row == "" {
		x.add(ReasonRowMissing, 0, "the entity's row", "none")
		return
	}
	last := entries[len(entries)-1]
	if last.Opening == nil || last.Opening.Hash() != last.Record.StateHash {
		return // there is nothing to compare with, and that was found
	}
	var row, facts, state members
	if json.Unmarshal([]byte(x.kept.Row), &row) != nil || json.Unmarshal(last.Opening.State, &state) != nil {
		return // a state that is no object was found by the chain
	}
	if x.kind == string(domain.KindConstitution) { // a proposal has its state alone
		facts = members{}
	} else if x.kept.Facts == "" {
		x.add(ReasonRowMissing, 0, "the row of a "+x.kind, "none")
	} else if json.Unmarshal([]byte(x.kept.Facts), &facts) != nil {
		return
	}
	want := x.expected(entries, state)
	for _, name := range sorted(row) {
		x.column(name, want[name], row[name])
	}
	for _, name := range sorted(facts) {
		switch name {
		case "living":
			x.column(name, boolean(state["deleted_at"] == nil), facts[name])
		case "id", "entity_type", "governance_agent_id":
			x.column(name, want[name], facts[name])
		default:
			x.column(name, state[name], facts[name])
		}
	}
}

// expected is what the entity's row must be.
func (x *examination) expected(entries []ledger.Entry, state members) members {
	want := members{}
	for name, v := range state {
		want[name] = v
	}
	first, last := entries[0], entries[len(entries)-1]
	etag := last
	for _, e := range slices.Backward(entries) {
		if e.Record.Change != domain.ChangeEmbedded {
			etag = e
			break
		}
	}
	bytea := func(h ledger.Hash) jsontext.Value { return text(`\x` + h.String()) }
	want["id"], want["entity_type"], want["governance_agent_id"] = text(x.kept.ID), text(last.Record.EntityType), text(last.Record.GovernanceAgentID)
	want["created_at"], want["updated_at"] = moment(first.Record.RecordedAt), moment(last.Record.RecordedAt)
	want["version"], want["version_hash"] = jsontext.Value(number(last.Record.Seq)), bytea(last.Hash)
	want["etag_hash"], want["constitution_hash"] = bytea(etag.Hash), bytea(last.Record.Constitution)
	if want["amendment_alignment"] == nil {
		want["amendment_alignment"] = text(domain.Aligned.String())
	}
	var name string
	if json.Unmarshal(state["name"], &name) == nil && name != "" {
		want["name_key"] = text(domain.NameKey(name))
	}
	var status, visibility string
	_ = json.Unmarshal(state["status"], &status)         // absent: not shared
	_ = json.Unmarshal(state["visibility"], &visibility) // absent: private
	want["shared"] = boolean(visibility == "public" && slices.Contains([]string{"certified", "active", "deprecated", "retired", "revoked"}, status))
	if visibility == "" {
		want["visibility"] = text("private")
	}
	return want
}

// column compares a value with what is expected. What is absent in a state is null,
// empty or {} in a column.
func (x *examination) column(name string, want, is jsontext.Value) {
	if !same(want, is) {
		x.add(ReasonRowDiffers, x.kept.Amendments[len(x.kept.Amendments)-1].Seq, name+" as signed", "another value in the column "+name)
	}
}

func same(want, is jsontext.Value) bool {
	if bytes.Equal(want, is) || bytes.Equal(plain(want), plain(is)) {
		return true
	}
	var at, bt string
	if json.Unmarshal(want, &at) != nil || json.Unmarshal(is, &bt) != nil {
		return false
	}
	one, errA := time.Parse(time.RFC3339Nano, at)
	other, errB := time.Parse(time.RFC3339Nano, bt)
	return errA == nil && errB == nil && one.Equal(other)
}

// plain is a value in canonical form; nothing where it means absent.
func plain(v jsontext.Value) []byte {
	switch string(v) {
	case "", "null", "[]", "{}", `""`:
		return nil
	}
	form, err := canonical.Form(append(append([]byte(`{"v":`), v...), '}'))
	if err != nil {
		return v
	}
	return form
}

func text(s string) jsontext.Value {
	b, err := json.Marshal(s)
	if err != nil {
		return jsontext.Value(`"?"`) // not UTF-8: it is in no column
	}
	return b
}

func boolean(b bool) jsontext.Value {
	if b {
		return jsontext.Value("true")
	}
	return jsontext.Value("false")
}

func moment(t time.Time) jsontext.Value { return text(t.UTC().Format(time.RFC3339Nano)) }

func sorted(m members) []string {
	names := make([]string, 0, len(m))
	for name := range m {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// vectors compares the vectors that are kept with the hashes that are signed.
func (x *examination) vectors(entries []ledger.Entry) {
	last := entries[len(entries)-1]
	if last.Opening == nil || last.Opening.Hash() != last.Record.StateHash {
		return
	}
	var state struct {
		Embedding *struct {
			ModelID      string `json:"model_id"`
			TextSHA256   string `json:"text_sha256"`
			VectorSHA256 string `json:"vector_sha256"`
		} `json:"embedding"`
		Deleted string `json:"deleted_at"`
	}
	if json.Unmarshal(last.Opening.State, &state) != nil {
		return
	}
	seq, named := last.Record.Seq, state.Embedding
	var there bool
	for _, v := range x.kept.Vectors {
		if ledger.CheckVector(hex.EncodeToString(v.VectorSHA256), v.Values) != nil {
			x.add(ReasonVectorDiffers, seq, "the values of the hash beside them, under "+v.Model, "values of another hash")
		}
		if v.Owner != x.owner {
			x.add(ReasonVectorDiffers, seq, "a vector of its owner", another)
		}
		if named == nil || v.Model != named.ModelID {
			continue
		}
		there = true
		if hex.EncodeToString(v.VectorSHA256) != named.VectorSHA256 || hex.EncodeToString(v.TextSHA256) != named.TextSHA256 {
			x.add(ReasonVectorDiffers, seq, named.VectorSHA256, "a vector, or a text, of another hash")
		}
	}
	if named != nil && !there && state.Deleted == "" {
		x.add(ReasonVectorMissing, seq, strings.Join([]string{"the vector of", named.ModelID}, " "), "none")
	}
}
