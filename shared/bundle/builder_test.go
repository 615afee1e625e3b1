package bundle

import (
	"archive/zip"
	"bytes"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/dlai-sd/plant/shared/domain"
	"github.com/dlai-sd/plant/shared/domain/canonical"
	"github.com/dlai-sd/plant/shared/ledger"
	"github.com/dlai-sd/plant/shared/translog"
	"github.com/go-json-experiment/json"
)

const (
	testOrigin    = "plant.example/bundle-test"
	testChecklist = `{"name":"checklist","points":[]}`
)

// testRules is a rule set that the build can judge by.
var testRules = string(domain.Constitutions()[0].Document())

var testStart = time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC)

// must is for building what cannot fail, before there is a test to fail.
func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// history is a small log: what a deployment with two tenants would have written.
type history struct {
	keys    testKeys
	entries []ledger.Entry
	tree    translog.Tree
	older   []logEntry // heads records
	date    time.Time  // of scope agent
	restsOn []string   // the entities of scope agent
	roots   []ledger.Hash
	forks   []ForkStatement
	forked  string // the origin since, "" for testOrigin
}

func (h *history) next() int64 { return h.tree.Size() }

func (h *history) now() time.Time { return testStart.Add(time.Duration(h.next()) * time.Second) }

func (h *history) log(hash ledger.Hash) {
	h.tree.Append(translog.EntryLeaf(hash))
	h.roots = append(h.roots, must(translog.Nodes(h.tree.Node).Root(h.tree.Size())))
}

// say seals drafts with a key and logs them.
func (h *history) say(key rsaKey, drafts ...ledger.Draft) []ledger.Amendment {
	sealed := must(ledger.Sealer{
		Origin: h.origin(), Constitution: ledger.HashOf([]byte(testRules)), KeyID: key.id, Signer: key.private, Now: h.now,
	}.Seal(drafts))
	for _, a := range sealed {
		h.entries = append(h.entries, ledger.Entry{Amendment: a, LogIndex: h.next()})
		h.log(a.Hash)
	}
	return sealed
}

func entityID(n int) string { return fmt.Sprintf("0198c0de-0000-7000-8000-%012x", n) }

func created(n int, owner string) ledger.Draft {
	return ledger.Draft{
		EntityID: entityID(n), EntityType: "skill", GovernanceAgentID: owner, Author: owner + "/0198c0de-0000-7000-8000-0000000000aa",
		Change: "created", Seq: 1, State: fmt.Appendf(nil, `{"name":"Skill %d","status":"draft"}`, n),
	}
}

func after(a ledger.Amendment, change, state string) ledger.Draft {
	r := a.Record
	return ledger.Draft{
		EntityID: r.EntityID, EntityType: r.EntityType, GovernanceAgentID: r.GovernanceAgentID, Author: r.Author,
		Change: change, Seq: r.Seq + 1, PrevHash: a.Hash, After: r.RecordedAt, State: must(canonical.Form([]byte(state))),
	}
}

func spki(public any) string {
	return base64.StdEncoding.EncodeToString(must(x509.MarshalPKIXPublicKey(public)))
}

func keyState(id, spki string, use ledger.Use, more string, maySign ...string) string {
	list := ""
	if len(maySign) > 0 {
		list = `,"may_sign":["` + strings.Join(maySign, `","`) + `"]`
	}
	return fmt.Sprintf(`{"key_id":%q,"spki":%q,"use":%q%s%s}`, id, spki, use, list, more)
}

func introduced(n int, state string) ledger.Draft {
	return ledger.Draft{
		EntityID: entityID(n), EntityType: "signing_key", GovernanceAgentID: "keyring", Author: "system/keys",
		Change: "introduced", Seq: 1, State: must(canonical.Form([]byte(state))),
	}
}

// newHistory writes 17 entries: five keys, a skill of acme that is evolved,
// certified and partly erased, a batch of three skills of borealis, an older
// heads record, and the revocation of the certification key.
func newHistory() *history {
	h, key, certification := newKeyedHistory()
	k := h.keys
	skill := h.say(k.amendment, created(10, "acme"))[0]
	skill = h.say(k.amendment, after(skill, "evolved", `{"name":"Skill 10, better","status":"draft"}`))[0]
	h.say(k.amendment, created(20, "borealis"), created(21, "borealis"), created(22, "borealis"))
	h.headsRecord(nil)
	skill = h.say(k.certification, after(skill, "certified", `{"name":"Skill 10, better","status":"certified"}`))[0]
	h.say(k.root, after(key, "revoked", certification[:len(certification)-1]+fmt.Sprintf(`,"invalid_from":%d}`, h.next())))
	h.say(k.amendment, after(skill, "erased", `{"erased_seqs":[1],"name":"Skill 10, better","status":"certified"}`))
	h.entries[5].Opening = nil
	h.say(k.amendment, created(11, "acme"), created(23, "borealis"))
	return h
}

// newKeyedHistory writes the entries of five keys; it returns the certification
// key's, and its state.
func newKeyedHistory() (*history, ledger.Amendment, string) {
	k := keysOnce()
	h := &history{keys: k}
	public := func(key rsaKey) string { return spki(key.private.Public()) }
	h.say(k.root, introduced(1, keyState(k.root.id, public(k.root), ledger.UseRoot, "", "introduced", "retired", "revoked")))
	h.say(k.root, introduced(2, keyState(k.amendment.id, public(k.amendment), ledger.UseAmendment, "", "assigned", "created", "drifted", "erased", "evolved", "moved")))
	certification := keyState(k.certification.id, public(k.certification), ledger.UseCertification, "", "certified")
	key := h.say(k.root, introduced(3, certification))[0]
	h.say(k.root, introduced(4, keyState(k.heads.id, public(k.heads), ledger.UseHeads, "")))
	h.say(k.root, introduced(5, keyState(k.checkpointID, spki(k.checkpoint.Public()), ledger.UseCheckpoint, "")))
	return h, key, certification
}

func salt(owner string) ledger.Hash { return ledger.HashOf([]byte("salt of " + owner)) }

// heads returns an owner's heads in the order of their first index.
func (h *history) heads(owner string) []translog.EntityHead {
	var heads []translog.EntityHead
	for _, e := range h.entries {
		r := e.Record
		if r.GovernanceAgentID != owner {
			continue
		}
		head := translog.EntityHead{EntityID: r.EntityID, Hash: e.Hash, Seq: r.Seq}
		at := slices.IndexFunc(heads, func(o translog.EntityHead) bool { return o.EntityID == r.EntityID })
		if at < 0 {
			heads = append(heads, head)
		} else {
			heads[at] = head
		}
	}
	return heads
}

func (h *history) owners() []string {
	var owners []string
	for _, e := range h.entries {
		owners = append(owners, e.Record.GovernanceAgentID)
	}
	slices.Sort(owners)
	return slices.Compact(owners)
}

func (h *history) rows() []translog.TenantRow {
	var rows []translog.TenantRow
	for _, owner := range h.owners() {
		rows = append(rows, translog.NewTenantRow(salt(owner), owner, h.heads(owner)))
	}
	translog.SortRows(rows)
	return rows
}

// signed is a heads record, signed and logged.
type signed struct {
	record, signature []byte
	at                int64
	rows              []translog.TenantRow
}

// headsRecord logs a heads record; change, if there is one, changes it before it
// is signed.
func (h *history) headsRecord(change func(*translog.Heads)) signed {
	rows := h.rows()
	record := must(translog.NewHeads(h.origin(), h.keys.heads.id, h.next(), h.now(), rows))
	if change != nil {
		change(&record)
	}
	s := signed{record: record.Bytes(), at: h.next(), rows: rows}
	s.signature = must(ledger.Sign(h.keys.heads.private, s.record))
	h.older = append(h.older, logEntry{h.next(), ledger.HashOf(s.record)})
	h.log(ledger.HashOf(s.record))
	return s
}

// checkpoint returns the signed checkpoint of the log's first size entries.
func (h *history) checkpoint(size int64) []byte {
	return must(translog.Checkpoint{Origin: h.origin(), Size: size, Root: h.roots[size-1]}.Sign(h.keys.checkpoint))
}

func (h *history) inclusion(at int64) []ledger.Hash {
	return must(translog.Nodes(h.tree.Node).Inclusion(at, h.tree.Size()))
}

type object = map[string]any

func encode(v any) []byte { return must(json.Marshal(v, json.Deterministic(true))) }

// pack makes a bundle, cut after the heads record that it logs.
func (h *history) pack(scope Scope) fstest.MapFS { return h.packHeads(scope, h.headsRecord(nil)) }

func (h *history) packHeads(scope Scope, heads signed) fstest.MapFS {
	return unzipped(written(h.contents(scope, heads)))
}

func written(c Contents) []byte {
	var b bytes.Buffer
	if err := Write(&b, c); err != nil {
		panic(err)
	}
	return b.Bytes()
}

func unzipped(b []byte) fstest.MapFS {
	out := fstest.MapFS{}
	for _, f := range must(zip.NewReader(bytes.NewReader(b), int64(len(b)))).File {
		out[f.Name] = &fstest.MapFile{Data: must(io.ReadAll(must(f.Open()))), Mode: 0o644}
	}
	return out
}

func (h *history) contents(scope Scope, heads signed) Contents {
	in := h.scope(scope)
	c := Contents{
		Origin: h.origin(), CreatedAt: h.now(), Scope: scope, Checkpoint: h.checkpoint(h.tree.Size()),
		Heads: HeadsContents{
			Record: heads.record, Signature: heads.signature, LogIndex: heads.at,
			Inclusion: h.inclusion(heads.at), Tenants: heads.rows, Salts: map[string]ledger.Hash{"keyring": salt("keyring")},
		},
		Keys:          h.lines(func(r ledger.Record) bool { return r.EntityType == "signing_key" }),
		Amendments:    h.lines(func(r ledger.Record) bool { return r.EntityType != "signing_key" && in(r) }),
		Constitutions: [][]byte{[]byte(testRules)},
		Checklists:    [][]byte{[]byte(testChecklist)},
		Compliance:    h.results(in),
	}
	for _, f := range h.forks {
		f.Inclusion = h.inclusion(f.LogIndex)
		c.Heads.Forks = append(c.Heads.Forks, f)
	}
	h.addScope(&c, heads)
	return c
}

// scope says which amendments are in a scope.
func (h *history) scope(scope Scope) func(ledger.Record) bool {
	return func(r ledger.Record) bool {
		switch scope.Type {
		case ScopeAgent:
			return slices.Contains(h.restsOn, r.EntityID)
		case ScopeAll:
			return true
		}
		return scope.ID == r.GovernanceAgentID || scope.ID == r.EntityID
	}
}

// addScope adds what heads.json holds in this scope alone.
func (h *history) addScope(c *Contents, heads signed) {
	switch c.Scope.Type {
	case ScopeAll:
		for _, owner := range h.owners() {
			c.Heads.Salts[owner] = salt(owner)
		}
		for _, e := range h.older {
			if e.at != heads.at {
				c.Heads.Earlier = append(c.Heads.Earlier, EarlierHeads{e.at, e.hash})
			}
		}
		return
	case ScopeGovernanceAgent:
		c.Heads.Salts[c.Scope.ID] = salt(c.Scope.ID)
	case ScopeEntity:
		c.Heads.Places = []HeadPlace{h.place(c.Scope.ID)}
	case ScopeAgent:
		for _, id := range h.restsOn {
			c.Heads.Places = append(c.Heads.Places, h.place(id))
		}
	}
	for _, p := range c.Heads.Places {
		c.Heads.Salts[p.Owner] = salt(p.Owner)
	}
	size := h.older[0].at + 1
	c.Heads.Consistency = map[int64][]ledger.Hash{size: must(translog.Nodes(h.tree.Node).Consistency(size, h.tree.Size()))}
	for _, f := range h.forks {
		if said, err := translog.ParseFork(f.Statement); err == nil && said.Good.Size > 0 && said.Good.Size <= int64(len(h.roots)) {
			size := said.Good.Size
			c.Heads.Consistency[size] = must(translog.Nodes(h.tree.Node).Consistency(size, h.tree.Size()))
		}
	}
}

func (h *history) place(id string) HeadPlace {
	for _, owner := range h.owners() {
		heads := h.heads(owner)
		at := slices.IndexFunc(heads, func(e translog.EntityHead) bool { return e.EntityID == id })
		if at < 0 {
			continue
		}
		var tree translog.Tree
		for _, e := range heads {
			tree.Append(e.Leaf())
		}
		return HeadPlace{id, owner, int64(at), must(translog.Nodes(tree.Node).Inclusion(int64(at), tree.Size()))}
	}
	panic("no such entity")
}

// options are those under which an untouched bundle of h passes.
func (h *history) options() Options {
	return Options{Trust: h.keys.root.private.Public().(*rsa.PublicKey), Origin: h.origin(), Now: h.now().Add(time.Hour)}
}

func (h *history) sample(scope Scope, fsys fstest.MapFS) sampleBundle {
	return sampleBundle{scope, fsys, h.options(), h.checkpoint(h.older[0].at + 1), h.checkpoint(h.tree.Size())}
}

// sampleBundle is one bundle of each scope, made once.
type sampleBundle struct {
	scope   Scope
	fsys    fstest.MapFS
	options Options
	seen    []byte // the checkpoint after the older heads record
	same    []byte // the bundle's own
}

var sampleBundles = sync.OnceValue(func() []sampleBundle {
	var out []sampleBundle
	for _, scope := range []Scope{
		{Type: ScopeAll},
		{Type: ScopeGovernanceAgent, ID: "acme"},
		{Type: ScopeGovernanceAgent, ID: "keyring"},
		{Type: ScopeEntity, ID: entityID(21)},
		{Type: ScopeEntity, ID: entityID(3)},
	} {
		h := newHistory()
		fsys := h.pack(scope)
		out = append(out, h.sample(scope, fsys))
	}
	h := newAgentHistory()
	scope := AgentAt(entityID(50), h.date)
	return append(out, h.sample(scope, h.pack(scope)))
})

// clone copies a bundle, so that one test changes no other's.
func clone(fsys fstest.MapFS) fstest.MapFS {
	out := fstest.MapFS{}
	for name, f := range fsys {
		out[name] = &fstest.MapFile{Data: slices.Clone(f.Data), Mode: f.Mode}
	}
	return out
}

func judge(t testing.TB, fsys fstest.MapFS, o Options) (Report, map[string]ledger.Reason) {
	t.Helper()
	report, err := Verify(fsys, o)
	if err != nil {
		t.Fatalf("verify: %v", err)
	}
	return report, reasonsOf(report)
}

// jsonNumber is a number as it is written; jsonNull is null.
type jsonNumber string

func (n jsonNumber) MarshalJSON() ([]byte, error) { return []byte(n), nil }

const jsonNull = jsonNumber("null")
