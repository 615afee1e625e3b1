package bundle

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/dlai-sd/plant/shared/domain/canonical"
	"github.com/dlai-sd/plant/shared/ledger"
	"github.com/dlai-sd/plant/shared/translog"
	"github.com/go-json-experiment/json"
)

const (
	testOrigin = "plant.example/bundle-test"
	testRules  = `{"name":"constitution","rules":[],"version":1}`
)

var testStart = time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC)

// rsaKey is a fresh RSA-4096 key of one test run.
type rsaKey struct {
	private *rsa.PrivateKey
	id      string
}

type testKeys struct {
	root, amendment, certification, heads rsaKey
	checkpoint                            ed25519.PrivateKey
	checkpointID                          string
}

// keysOnce makes one key of each use, once for a test binary.
var keysOnce = sync.OnceValue(func() testKeys {
	var k testKeys
	var group sync.WaitGroup
	for _, to := range []*rsaKey{&k.root, &k.amendment, &k.certification, &k.heads} {
		group.Go(func() {
			to.private = must(rsa.GenerateKey(rand.Reader, 4096))
			to.id = must(ledger.KeyID(to.private.Public()))
		})
	}
	group.Wait()
	_, private, err := ed25519.GenerateKey(rand.Reader)
	k.checkpoint = must(private, err)
	k.checkpointID = must(ledger.KeyID(private.Public()))
	return k
})

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
	roots   []ledger.Hash
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
		Origin: testOrigin, Constitution: ledger.HashOf([]byte(testRules)), KeyID: key.id, Signer: key.private, Now: h.now,
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
	k := keysOnce()
	h := &history{keys: k}
	public := func(key rsaKey) string { return spki(key.private.Public()) }
	h.say(k.root, introduced(1, keyState(k.root.id, public(k.root), ledger.UseRoot, "", "introduced", "retired", "revoked")))
	h.say(k.root, introduced(2, keyState(k.amendment.id, public(k.amendment), ledger.UseAmendment, "", "created", "erased", "evolved")))
	certification := keyState(k.certification.id, public(k.certification), ledger.UseCertification, "", "certified")
	key := h.say(k.root, introduced(3, certification))[0]
	h.say(k.root, introduced(4, keyState(k.heads.id, public(k.heads), ledger.UseHeads, "")))
	h.say(k.root, introduced(5, keyState(k.checkpointID, spki(k.checkpoint.Public()), ledger.UseCheckpoint, "")))

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
	record := must(translog.NewHeads(testOrigin, h.keys.heads.id, h.next(), h.now(), rows))
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
	return must(translog.Checkpoint{Origin: testOrigin, Size: size, Root: h.roots[size-1]}.Sign(h.keys.checkpoint))
}

func (h *history) inclusion(at int64) []ledger.Hash {
	return must(translog.Nodes(h.tree.Node).Inclusion(at, h.tree.Size()))
}

type object = map[string]any

func (h *history) line(e ledger.Entry) object {
	o := object{
		"record": string(e.Bytes), "signature": e.Signature, "log_index": e.LogIndex, "inclusion": h.inclusion(e.LogIndex),
	}
	if e.Opening != nil {
		o["opening"] = object{"salt": ledger.Hash(e.Opening.Salt), "state": string(e.Opening.State)}
	}
	if e.Batch != nil {
		o["batch"] = object{"statement": string(e.Batch.Statement), "index": e.Batch.Index, "path": e.Batch.Path}
	}
	return o
}

func encode(v any) []byte { return must(json.Marshal(v, json.Deterministic(true))) }

// pack makes a bundle, cut after the heads record that it logs.
func (h *history) pack(scope Scope) fstest.MapFS { return h.packHeads(scope, h.headsRecord(nil)) }

func (h *history) packHeads(scope Scope, heads signed) fstest.MapFS {
	file := func(b []byte) *fstest.MapFile { return &fstest.MapFile{Data: b, Mode: 0o644} }
	var lines, keyLines []byte
	out := fstest.MapFS{}
	for _, e := range h.entries {
		r := e.Record
		b := append(encode(h.line(e)), '\n')
		switch {
		case r.EntityType == "signing_key":
			keyLines = append(keyLines, b...)
		case scope.Type == ScopeAll, scope.ID == r.GovernanceAgentID, scope.ID == r.EntityID:
			lines = append(lines, b...)
			if e.Batch == nil && out[sampleRecord] == nil {
				out[sampleRecord], out[sampleSignature] = file(e.Bytes), file(e.Signature)
			}
		}
	}
	for id, public := range map[string]any{
		h.keys.root.id: h.keys.root.private.Public(), h.keys.checkpointID: h.keys.checkpoint.Public(),
	} {
		out["keys/"+id+".pem"] = file(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: must(x509.MarshalPKIXPublicKey(public))}))
	}
	out[manifestFile] = file(encode(object{
		"format": Format, "origin": testOrigin, "created_at": h.now().Format(ledger.TimeLayout), "scope": scope,
	}))
	out[checkpointFile] = file(h.checkpoint(h.tree.Size()))
	out[headsFile] = file(encode(h.headsJSON(scope, heads)))
	out[amendmentsFile], out[keysFile] = file(lines), file(keyLines)
	out["constitutions/"+ledger.HashOf([]byte(testRules)).String()+".json"] = file([]byte(testRules))
	out["compliance.json"] = file([]byte(`{"results":[]}`))
	out["VERIFY.md"] = file([]byte("Read me.\n"))
	return out
}

func (h *history) headsJSON(scope Scope, heads signed) object {
	o := object{
		"record": string(heads.record), "signature": heads.signature, "log_index": heads.at,
		"inclusion": h.inclusion(heads.at), "tenants": heads.rows,
	}
	salts := object{"keyring": salt("keyring")}
	switch scope.Type {
	case ScopeAll:
		for _, owner := range h.owners() {
			salts[owner] = salt(owner)
		}
		var earlier []object
		for _, e := range h.older {
			if e.at != heads.at {
				earlier = append(earlier, object{"log_index": e.at, "hash": e.hash})
			}
		}
		o["earlier"] = earlier
	case ScopeGovernanceAgent:
		salts[scope.ID] = salt(scope.ID)
	case ScopeEntity:
		o["entity"] = h.entityPlace(scope.ID, salts)
	}
	if scope.Type != ScopeAll {
		size := h.older[0].at + 1
		o["consistency"] = object{fmt.Sprint(size): must(translog.Nodes(h.tree.Node).Consistency(size, h.tree.Size()))}
	}
	o["salts"] = salts
	return o
}

func (h *history) entityPlace(id string, salts object) object {
	for _, owner := range h.owners() {
		heads := h.heads(owner)
		at := slices.IndexFunc(heads, func(e translog.EntityHead) bool { return e.EntityID == id })
		if at < 0 {
			continue
		}
		salts[owner] = salt(owner)
		var tree translog.Tree
		for _, e := range heads {
			tree.Append(e.Leaf())
		}
		return object{"owner": owner, "index": at, "path": must(translog.Nodes(tree.Node).Inclusion(int64(at), tree.Size()))}
	}
	panic("no such entity")
}

// options are those under which an untouched bundle of h passes.
func (h *history) options() Options {
	return Options{Trust: h.keys.root.private.Public().(*rsa.PublicKey), Origin: testOrigin, Now: h.now().Add(time.Hour)}
}

// sample is one bundle of each scope, made once.
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
		{ScopeGovernanceAgent, "acme"},
		{ScopeGovernanceAgent, "keyring"},
		{ScopeEntity, entityID(21)},
		{ScopeEntity, entityID(3)},
	} {
		h := newHistory()
		fsys := h.pack(scope)
		out = append(out, sampleBundle{scope, fsys, h.options(), h.checkpoint(h.older[0].at + 1), h.checkpoint(h.tree.Size())})
	}
	return out
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
