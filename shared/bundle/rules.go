package bundle

import (
	"bytes"
	"errors"
	"io"
	"iter"
	"slices"

	"github.com/dlai-sd/plant/shared/compliance"
	"github.com/dlai-sd/plant/shared/ledger"
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// claim is what compliance.json says of one entity.
type claim struct {
	constitution ledger.Hash
	seq          int64
	digest       ledger.Hash // of the whole result
	met          bool        // the entity is there
}

// claims are the rule results of a bundle; nil where it has none that can be held
// against anything.
type claims map[string]*claim

func digestOf(r compliance.Result) ledger.Hash {
	b, err := json.Marshal(r, json.Deterministic(true))
	if err != nil {
		return ledger.Hash{} // not UTF-8: no result that was read is so
	}
	return ledger.HashOf(b)
}

// resultText is a line of compliance.json.
type resultText struct {
	Constitution *ledger.Hash `json:"constitution"`
	EntityID     *string      `json:"entity_id"`
	Failed       *[]string    `json:"failed"`
	Passed       *[]string    `json:"passed"`
	Seq          *int64       `json:"seq"`
}

func (t resultText) whole() bool {
	return t.Constitution != nil && t.EntityID != nil && t.Failed != nil && t.Passed != nil && isIndex(t.Seq) &&
		ascending(*t.Failed) && ascending(*t.Passed)
}

func ascending(list []string) bool {
	for i := 1; i < len(list); i++ {
		if compareText(list[i-1], list[i]) >= 0 {
			return false
		}
	}
	return true
}

// readClaims reads compliance.json, at most one result of each entity. An error is
// a file that cannot be read at all; one that is not of the form is a finding.
func (v *verifier) readClaims(s *scan) error {
	if !slices.Contains(v.files, complianceFile) {
		return nil
	}
	f, err := openFile(v.fsys, complianceFile)
	if err != nil {
		return err
	}
	read := &rationed{r: f, total: maxCompliance}
	found, malformed := readResults(read, s.count())
	if err := f.Close(); err != nil || read.failed != nil {
		return &NotBundleError{File: complianceFile, Detail: "cannot be read", Err: errors.Join(read.failed, err)}
	}
	if malformed != nil {
		v.integrity.add(place{stage: stageFiles, file: complianceFile},
			Offender{Reason: ReasonComplianceMalformed, Detail: malformed.Error()})
		return nil
	}
	v.claims = found
	return nil
}

// readResults reads {"results":[…]}, a result at a time. A member constitution
// beside them says nothing here.
func readResults(r *rationed, most int64) (claims, error) {
	d := jsontext.NewDecoder(r)
	found := claims{}
	for _, want := range []func() error{
		opens(d, r, jsontext.KindBeginObject), func() error { return members(d, r, found, most) }, opens(d, r, jsontext.KindEndObject),
	} {
		if err := want(); err != nil {
			return nil, err
		}
	}
	r.left = maxResult
	if _, err := d.ReadToken(); !errors.Is(err, io.EOF) {
		return nil, errMembers
	}
	return found, nil
}

func opens(d *jsontext.Decoder, r *rationed, kind jsontext.Kind) func() error {
	return func() error {
		r.left = maxResult
		if t, err := d.ReadToken(); err != nil || t.Kind() != kind {
			return errMembers
		}
		return nil
	}
}

// members reads the file's own members. The decoder refuses a name twice.
func members(d *jsontext.Decoder, r *rationed, found claims, most int64) error {
	there := false
	for r.left = maxResult; d.PeekKind() == jsontext.KindString; r.left = maxResult {
		name, err := d.ReadToken()
		switch {
		case err != nil:
			return errMembers
		case name.String() == "constitution":
			var h ledger.Hash
			if b, err := d.ReadValue(); err != nil || decode(b, &h) != nil {
				return errMembers
			}
		case name.String() == "results":
			there = true
			if err := results(d, r, found, most); err != nil {
				return err
			}
		default:
			return errMembers
		}
	}
	if !there {
		return errMembers
	}
	return nil
}

func results(d *jsontext.Decoder, r *rationed, found claims, most int64) error {
	if err := opens(d, r, jsontext.KindBeginArray)(); err != nil {
		return err
	}
	for r.left = maxResult; d.PeekKind() == jsontext.KindBeginObject; r.left = maxResult {
		b, err := d.ReadValue()
		if err != nil {
			return errMembers
		}
		var t resultText
		if decode(b, &t) != nil || !t.whole() {
			return errMembers
		}
		if found[*t.EntityID] != nil {
			return errors.New("two results of one entity")
		}
		if int64(len(found)) >= most {
			return errors.New("more results than entities")
		}
		c := compliance.Result{Constitution: *t.Constitution, EntityID: *t.EntityID, Failed: *t.Failed, Passed: *t.Passed, Seq: *t.Seq}
		found[c.EntityID] = &claim{c.Constitution, c.Seq, digestOf(c), false}
	}
	return opens(d, r, jsontext.KindEndArray)()
}

// rationed is a reader that a decoder cannot make buffer more than is left: a value
// without end ends there.
type rationed struct {
	r      io.Reader
	left   int   // until the decoder has got on
	total  int64 // of the file
	failed error
}

var errRation = errors.New("a result is too long")

// Read is io.Reader's.
func (r *rationed) Read(b []byte) (int, error) {
	if r.left <= 0 {
		return 0, errRation
	}
	n, err := r.r.Read(b[:min(len(b), r.left)])
	r.left -= n
	if r.total -= int64(n); r.total < 0 {
		r.failed = errTooLarge
		return 0, r.failed
	}
	if err != nil && !errors.Is(err, io.EOF) {
		r.failed = err
	}
	return n, err
}

// judgeRules runs the rules on an entity's newest state, as far as it is in the
// bundle and the rules are, and holds the bundle's own result against that. A rule
// that is broken fails nothing: saying of it what is not so does.
func (v *verifier) judgeRules(newest line) {
	r := newest.entry.Record
	if newest.isKey() {
		return
	}
	c := v.claims[r.EntityID]
	add := func(reason ledger.Reason, detail string) {
		v.integrity.add(place{stage: stageFiles, file: complianceFile, entity: r.EntityID},
			Offender{Reason: reason, EntityID: r.EntityID, Detail: detail})
	}
	if c != nil {
		c.met = true
		if c.seq != r.Seq || c.constitution != r.Constitution {
			add(ReasonRuleResultWrong, "of another version, or under other rules, than the newest")
			return
		}
	}
	if v.opts.WithoutRules {
		return
	}
	j, ok, err := v.rules.Judge(newest.entry.Amendment)
	if !ok || err != nil {
		return
	}
	result := j.Result(r)
	v.judged.Add(1)
	if len(result.Failed) > 0 {
		v.violating.Add(1)
	}
	switch {
	case v.claims == nil:
	case c == nil:
		add(ReasonRuleResultMissing, "no result of it, though the rules can be judged")
	case c.digest != digestOf(result):
		add(ReasonRuleResultWrong, "the rules say: "+told(result))
	}
}

func told(r compliance.Result) string {
	b := bytes.NewBufferString("broken ")
	for i, rule := range r.Failed {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(rule)
	}
	if len(r.Failed) == 0 {
		b.WriteString("none")
	}
	return b.String()
}

// strayClaims adds the results of entities that are not there.
func (v *verifier) strayClaims() {
	for id, c := range v.claims {
		if !c.met {
			v.integrity.add(place{stage: stageFiles, file: complianceFile, entity: id},
				Offender{Reason: ReasonRuleResultWrong, EntityID: id, Detail: "the result of no entity of this bundle"})
		}
	}
}

// compliance writes the rule results, a line each.
func (w *writer) compliance() error {
	if w.contents.Compliance == nil {
		return nil
	}
	f, err := w.zip.create(complianceFile)
	if err != nil {
		return err
	}
	if err := writeResults(f, w.contents.Compliance); err != nil {
		return err
	}
	return f.Close()
}

func writeResults(w io.Writer, results iter.Seq2[compliance.Result, error]) error {
	if _, err := io.WriteString(w, `{"results":[`); err != nil {
		return err
	}
	before := "\n"
	for r, err := range results {
		if err != nil {
			return err
		}
		b, err := json.Marshal(r, json.Deterministic(true))
		if err != nil {
			return err
		}
		if len(b) >= maxResult/2 {
			return errTooLarge
		}
		if _, err := io.WriteString(w, before+string(b)); err != nil {
			return err
		}
		before = ",\n"
	}
	_, err := io.WriteString(w, "\n]}\n")
	return err
}
