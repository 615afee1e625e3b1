package drill

import (
	"archive/zip"
	"bytes"
	"io"
	"maps"
	"math/rand/v2"
	"slices"
	"testing/fstest"

	"github.com/dlai-sd/plant/shared/bundle"
	"github.com/dlai-sd/plant/shared/ledger"
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// Scene is what an attack works on: a bundle that passes, and the auditor.
type Scene struct {
	*rand.Rand
	World   *World // its own copy, to write on
	Scope   bundle.Scope
	Files   map[string][]byte // the bundle; an attack replaces a file, never changes its bytes
	Zip     []byte            // instead of Files, where the zip itself is attacked
	Options bundle.Options
}

// packed makes the files of a bundle.
func packed(c bundle.Contents) map[string][]byte {
	var b bytes.Buffer
	if err := bundle.Write(&b, c); err != nil {
		panic("the drill itself is broken: " + err.Error())
	}
	out := map[string][]byte{}
	for _, f := range must(zip.NewReader(bytes.NewReader(b.Bytes()), int64(b.Len()))).File {
		r := must(f.Open())
		out[f.Name] = must(io.ReadAll(r))
	}
	return out
}

// repack makes the bundle of what the world has become, cut after a new heads
// record.
func (s *Scene) repack() { s.repackHeads(s.World.headsRecord(s.World.keys.heads, s.World.rows(), nil)) }

func (s *Scene) repackHeads(h signedHeads) {
	s.Files = packed(s.World.contents(s.Scope, h))
	seen := s.Options.Seen
	s.Options = s.World.options(s.Scope)
	if seen != nil {
		s.Options.Seen = seen
	}
}

// all makes the scene one of scope all, so that whatever the world becomes is
// seen.
func (s *Scene) all() { s.Scope = bundle.Scope{Type: bundle.ScopeAll} }

// zipped returns the bundle as a zip.
func (s *Scene) zipped() []byte {
	if s.Zip != nil {
		return s.Zip
	}
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for _, name := range slices.Sorted(maps.Keys(s.Files)) {
		f := must(w.CreateHeader(&zip.FileHeader{Name: name, Method: zip.Store}))
		must(f.Write(s.Files[name]))
	}
	if err := w.Close(); err != nil {
		panic(err)
	}
	return b.Bytes()
}

// judge gives the bundle to the verifier.
func (s *Scene) judge() (bundle.Report, error) {
	if s.Zip != nil {
		fsys, err := bundle.NewZip(bytes.NewReader(s.Zip), int64(len(s.Zip)))
		if err != nil {
			return bundle.Report{}, err
		}
		return bundle.Verify(fsys, s.Options)
	}
	fsys := fstest.MapFS{}
	for name, b := range s.Files {
		fsys[name] = &fstest.MapFile{Data: b, Mode: 0o444}
	}
	return bundle.Verify(fsys, s.Options)
}

// object is a JSON object whose members are as they were written.
type object map[string]jsontext.Value

func decode(b []byte) object {
	var o object
	if err := json.Unmarshal(b, &o); err != nil {
		panic("the drill itself is broken: " + err.Error())
	}
	return o
}

func encode(v any) jsontext.Value { return must(json.Marshal(v, json.Deterministic(true))) }

func (o object) text(name string) string {
	var s string
	_ = json.Unmarshal(o[name], &s) // of another form: ""
	return s
}

// read reads a member of the drill's own making.
func (o object) read(name string, to any) {
	if err := json.Unmarshal(o[name], to); err != nil {
		panic("the drill itself is broken: " + err.Error())
	}
}

func (o object) texts(name string) (list []string) {
	o.read(name, &list)
	return list
}

func (o object) set(name string, v any) { o[name] = encode(v) }

// within gives a member that is an object to change.
func (o object) within(name string, change func(object)) {
	inner := decode(o[name])
	change(inner)
	o[name] = encode(inner)
}

const (
	amendmentsFile = "amendments.jsonl"
	keysFile       = "keys.jsonl"
	headsFile      = "heads.json"
	manifestFile   = "manifest.json"
	checkpointFile = "checkpoint"
)

// lines returns the lines of a file, without their ends.
func (s *Scene) lines(file string) [][]byte {
	text := bytes.TrimSuffix(s.Files[file], []byte("\n"))
	if len(text) == 0 {
		return nil
	}
	return bytes.Split(text, []byte("\n"))
}

func (s *Scene) setLines(file string, lines [][]byte) {
	if len(lines) == 0 {
		s.Files[file] = nil
		return
	}
	s.Files[file] = append(bytes.Join(lines, []byte("\n")), '\n')
}

// told is a line and what its record says.
type told struct {
	number int
	object
	record ledger.Record
}

// told returns the lines of a file for which chosen is true.
func (s *Scene) told(file string, chosen func(told) bool) []told {
	var out []told
	for i, line := range s.lines(file) {
		t := told{number: i, object: decode(line)}
		t.record, _ = ledger.ReadRecord([]byte(t.text("record"))) // unread: its zero value
		if chosen == nil || chosen(t) {
			out = append(out, t)
		}
	}
	return out
}

// pick returns a random line; false if there is none.
func (s *Scene) pick(file string, chosen func(told) bool) (told, bool) {
	all := s.told(file, chosen)
	if len(all) == 0 {
		return told{}, false
	}
	return all[s.IntN(len(all))], true
}

func (s *Scene) put(file string, t told) {
	lines := s.lines(file)
	lines[t.number] = encode(t.object)
	s.setLines(file, lines)
}

// line changes a random line for which chosen is true; false if there is none, or
// change says that it cannot.
func (s *Scene) line(file string, chosen func(told) bool, change func(told) bool) bool {
	t, ok := s.pick(file, chosen)
	if !ok || !change(t) {
		return false
	}
	s.put(file, t)
	return true
}

// json changes a file that is one JSON object.
func (s *Scene) json(file string, change func(object)) {
	o := decode(s.Files[file])
	change(o)
	s.Files[file] = encode(o)
}

// flip changes one bit of a copy.
func (s *Scene) flip(b []byte) []byte {
	out := bytes.Clone(b)
	out[s.IntN(len(out))] ^= 1 << s.IntN(8)
	return out
}

// otherHash is a hash that nobody made.
func (s *Scene) otherHash() ledger.Hash {
	var h ledger.Hash
	for i := range h {
		h[i] = byte(s.Uint32())
	}
	return h
}
