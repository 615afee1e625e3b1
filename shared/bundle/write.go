package bundle

import (
	"bytes"
	"crypto/x509"
	_ "embed" // of verify.py
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"iter"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/dlai-sd/plant/shared/compliance"
	"github.com/dlai-sd/plant/shared/domain/canonical"
	"github.com/dlai-sd/plant/shared/ledger"
	"github.com/dlai-sd/plant/shared/translog"
	"github.com/go-json-experiment/json"
)

// Contents are what a bundle is written from. Lines come one at a time, so that
// a bundle of any length is written in constant memory; what is held whole grows
// with tenants, keys and heads records alone.
type Contents struct {
	Origin    string
	CreatedAt time.Time // cut to microseconds
	Scope     Scope

	// Checkpoint is the signed note at which the bundle is cut; its last entry is
	// the heads record.
	Checkpoint []byte
	Heads      HeadsContents

	// Keys are the records of every signing key, and Amendments all others of the
	// scope, each strictly ascending by log index. Of a Line's amendment Bytes,
	// Opening, Signature and Batch are read; they must stay as they are until Write
	// returns. An error ends the writing.
	Keys       iter.Seq2[Line, error]
	Amendments iter.Seq2[Line, error]

	Constitutions [][]byte // every rule set that a record names, in canonical form
	Checklists    [][]byte // every checklist that a certification names, in canonical form

	// Compliance are the rule results of the entities of Amendments, one of each whose
	// newest state is shown and can be judged; nil for none at all.
	Compliance iter.Seq2[compliance.Result, error]
}

// Line is an amendment at its place in the log, with its inclusion path in the
// tree of the bundle's checkpoint.
type Line struct {
	ledger.Entry
	Inclusion []ledger.Hash
}

// HeadsContents are what heads.json is written from.
type HeadsContents struct {
	Record, Signature []byte
	LogIndex          int64
	Inclusion         []ledger.Hash        // in the tree of the bundle's checkpoint
	Tenants           []translog.TenantRow // the whole top list, ascending

	// Salts of governance agents: all of them in scope all; else the keyring's,
	// and those of the owners of what is in the scope.
	Salts map[string]ledger.Hash

	Earlier     []EarlierHeads          // scope all: every older heads record
	Consistency map[int64][]ledger.Hash // other scopes: by the older size, of checkpoints that auditors may hold
	Forks       []ForkStatement         // every one in the log, ascending
	Places      []HeadPlace             // scope entity: its one; scope agent: one of each entity, in any order
}

// EarlierHeads is the log entry of an older heads record.
type EarlierHeads struct {
	LogIndex int64
	Hash     ledger.Hash
}

// ForkStatement is what a root said where the log began anew.
type ForkStatement struct {
	LogIndex             int64
	Statement, Signature []byte
	Inclusion            []ledger.Hash // in the tree of the bundle's checkpoint
}

// HeadPlace is where an entity's head stands among the heads of its owner.
type HeadPlace struct {
	EntityID string
	Owner    string
	Index    int64         // in the order of the owner's entities' first log index
	Path     []ledger.Hash // in the tree of the owner's row
}

//go:embed verify.py
var script []byte

// Script returns verify.py, the second verifier that every bundle carries.
func Script() []byte { return bytes.Clone(script) }

// Write writes a bundle as a zip: the same contents, the same bytes. It checks
// what a reader would refuse to read at all (see FORMAT.md, section 4), and no
// signature and no proof: Verify does. On an error what was written is no bundle.
func Write(w io.Writer, c Contents) error {
	out := writer{zip: newZipWriter(w), contents: c, keys: map[string]*x509Key{}}
	for _, step := range []func() error{
		out.manifest, out.heads, out.keyLines, out.keyFiles, out.documents, out.amendmentLines, out.rest,
	} {
		if err := step(); err != nil {
			return fmt.Errorf("write bundle: %w", err)
		}
	}
	if err := out.zip.close(); err != nil {
		return fmt.Errorf("write bundle: %w", err)
	}
	return nil
}

// x509Key is a signing key as an introduction states it.
type x509Key struct {
	spki []byte
	use  ledger.Use
}

type writer struct {
	zip      *zipWriter
	contents Contents
	keys     map[string]*x509Key
	sample   *Line // the first directly signed record, of an amendment if there is one
}

func (w *writer) manifest() error {
	c := w.contents
	if !c.Scope.valid() {
		return errors.New("no scope of a bundle")
	}
	format, created := Format, c.CreatedAt.UTC().Format(ledger.TimeLayout)
	err := w.json(manifestFile, manifest{Format: &format, Origin: &c.Origin, CreatedAt: &created, Scope: &c.Scope})
	if err != nil {
		return err
	}
	return w.zip.file(checkpointFile, maxCheckpoint, c.Checkpoint)
}

func (w *writer) json(name string, v any) error {
	b, err := json.Marshal(v, json.Deterministic(true))
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return w.zip.file(name, maxHeads, b)
}

func (w *writer) heads() error {
	h := w.contents.Heads
	record, signature := string(h.Record), encoded(h.Signature)
	text := headsText{
		Record: &record, Signature: &signature, LogIndex: &h.LogIndex,
		Inclusion: &h.Inclusion, Tenants: &h.Tenants, Salts: &h.Salts,
	}
	for _, e := range h.Earlier {
		text.Earlier = append(text.Earlier, earlierHeads{&e.LogIndex, &e.Hash})
	}
	for size, path := range h.Consistency {
		if text.Consistency == nil {
			text.Consistency = map[string][]ledger.Hash{}
		}
		text.Consistency[strconv.FormatInt(size, 10)] = path
	}
	for _, f := range h.Forks {
		statement, signature := string(f.Statement), encoded(f.Signature)
		text.Forks = append(text.Forks, forkText{&f.LogIndex, &statement, &signature, &f.Inclusion})
	}
	switch scope := w.contents.Scope; {
	case scope.Type == ScopeEntity && len(h.Places) == 1:
		p := h.Places[0]
		text.Entity = &entityPlace{Owner: &p.Owner, Index: &p.Index, Path: &p.Path}
	case scope.Type == ScopeAgent:
		places := []entityPlace{}
		for _, p := range slices.SortedFunc(slices.Values(h.Places), func(a, b HeadPlace) int { return compareText(a.EntityID, b.EntityID) }) {
			places = append(places, entityPlace{EntityID: &p.EntityID, Owner: &p.Owner, Index: &p.Index, Path: &p.Path})
		}
		text.Entities = &places
	case len(h.Places) > 0 || scope.Type == ScopeEntity:
		return errors.New("places of heads that are not the scope's")
	}
	return w.json(headsFile, text)
}

func compareText(a, b string) int { return bytes.Compare([]byte(a), []byte(b)) }

func (w *writer) keyLines() error {
	return w.lines(keysFile, w.contents.Keys, func(l Line) {
		if l.Opening == nil {
			return
		}
		var s struct {
			SPKI []byte     `json:"spki"`
			Use  ledger.Use `json:"use"`
		}
		if json.Unmarshal(l.Opening.State, &s) == nil && len(s.SPKI) > 0 {
			w.keys[ledger.HashOf(s.SPKI).String()] = &x509Key{s.SPKI, s.Use}
		}
	})
}

func (w *writer) amendmentLines() error {
	var first *Line
	err := w.lines(amendmentsFile, w.contents.Amendments, func(l Line) {
		if first == nil && l.Batch == nil {
			first = &l
		}
	})
	if first != nil {
		w.sample = first
	}
	return err
}

// lines writes a file of lines.
func (w *writer) lines(name string, lines iter.Seq2[Line, error], see func(Line)) error {
	f, err := w.zip.create(name)
	if err != nil {
		return err
	}
	last, written := int64(-1), int64(0)
	for l, err := range lines {
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		if l.LogIndex <= last {
			return fmt.Errorf("%s: log index %d after %d: %w", name, l.LogIndex, last, errAscending)
		}
		last = l.LogIndex
		b, err := json.Marshal(textOfLine(l), json.Deterministic(true))
		if err != nil {
			return fmt.Errorf("%s: log index %d: %w", name, l.LogIndex, err)
		}
		if written += int64(len(b)) + 1; len(b) >= maxLine || written > limitOf(name) {
			return fmt.Errorf("%s: log index %d: %w", name, l.LogIndex, errTooLarge)
		}
		if _, err := f.Write(append(b, '\n')); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		if see(l); w.sample == nil && l.Batch == nil {
			w.sample = &l
		}
	}
	return f.Close()
}

var (
	errAscending = errors.New("lines are not ascending")
	errTooLarge  = errors.New("larger than a bundle's reader accepts")
)

func textOfLine(l Line) lineText {
	record, signature := string(l.Bytes), encoded(l.Signature)
	t := lineText{Record: &record, Signature: &signature, LogIndex: &l.LogIndex, Inclusion: &l.Inclusion}
	if o := l.Opening; o != nil {
		salt, state := ledger.Hash(o.Salt), string(o.State)
		t.Opening = &openingText{&salt, &state}
	}
	if b := l.Batch; b != nil {
		statement, index := string(b.Statement), int64(b.Index)
		t.Batch = &batchText{&statement, &index, &b.Path}
	}
	return t
}

// keyFiles writes the keys for openssl.
func (w *writer) keyFiles() error {
	for _, id := range slices.Sorted(maps.Keys(w.keys)) {
		spki := w.keys[id].spki
		if _, err := x509.ParsePKIXPublicKey(spki); err != nil {
			continue // a verifier says what is wrong with it
		}
		b := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: spki})
		if err := w.zip.file(keysFolder+"/"+id+keyPEM, maxPEM, b); err != nil {
			return err
		}
	}
	return nil
}

// documents writes rule sets and checklists, each under its hash.
func (w *writer) documents() error {
	for _, d := range []struct {
		folder string
		texts  [][]byte
	}{{constitutions, w.contents.Constitutions}, {checklists, w.contents.Checklists}} {
		named := map[string][]byte{}
		for _, b := range d.texts {
			if err := canonical.Check(b); err != nil {
				return fmt.Errorf("%s: %w", d.folder, err)
			}
			named[d.folder+"/"+ledger.HashOf(b).String()+constitutionJSON] = b
		}
		for _, name := range slices.Sorted(maps.Keys(named)) {
			if err := w.zip.file(name, maxConstitution, named[name]); err != nil {
				return err
			}
		}
	}
	return nil
}

// rest writes what explains the bundle.
func (w *writer) rest() error {
	if w.sample != nil {
		if err := w.zip.file(sampleRecord, maxSample, w.sample.Bytes); err != nil {
			return err
		}
		if err := w.zip.file(sampleSignature, maxSample, w.sample.Signature); err != nil {
			return err
		}
	}
	if err := w.compliance(); err != nil {
		return fmt.Errorf("%s: %w", complianceFile, err)
	}
	guide, err := w.guide()
	if err != nil {
		return err
	}
	if err := w.zip.file(guideFile, maxHeads, guide); err != nil {
		return err
	}
	return w.zip.file(scriptFile, maxHeads, script)
}
