package drill

import (
	"crypto/rsa"
	"encoding/binary"
	"fmt"
	"iter"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/dlai-sd/plant/shared/bundle"
	"github.com/dlai-sd/plant/shared/compliance"
	"github.com/dlai-sd/plant/shared/domain"
	"github.com/dlai-sd/plant/shared/domain/canonical"
	"github.com/dlai-sd/plant/shared/ledger"
	"github.com/dlai-sd/plant/shared/translog"
)

const (
	origin    = "plant.example/drill"
	checklist = `{"name":"checklist","points":[]}`
	keyring   = "keyring"
)

// rules are ones that the verifier can judge by.
var rules = string(domain.Constitutions()[0].Document())

var begin = time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC)

// World is a synthetic deployment: its log, and what is needed to write on. It is
// made of sealed amendments only; an attack works on a copy.
type World struct {
	keys     *Keys
	random   *rand.Rand
	origin   string
	entries  []ledger.Entry
	hashes   []ledger.Hash  // of all log entries
	tree     *translog.Tree // nil until it is asked for
	heads    []bundle.EarlierHeads
	agent    string    // the agent of scope agent
	date     time.Time // and its date
	rests    []string  // what is in that scope
	smuggled string    // an entity that an exporter puts into every bundle
	revoked  int64     // the log index from which the spare key is revoked
}

// clone copies a world; nothing that the copy does reaches the original.
func (w *World) clone(random *rand.Rand) *World {
	c := *w
	c.random = random
	c.entries, c.hashes, c.heads = slices.Clone(w.entries), slices.Clone(w.hashes), slices.Clone(w.heads)
	c.tree = nil
	return &c
}

// grown returns the tree over all entries.
func (w *World) grown() translog.Nodes {
	if w.tree == nil {
		w.tree = &translog.Tree{}
	}
	for w.tree.Size() < int64(len(w.hashes)) {
		w.tree.Append(translog.EntryLeaf(w.hashes[w.tree.Size()]))
	}
	return w.tree.Node
}

func (w *World) next() int64 { return int64(len(w.hashes)) }

func (w *World) now() time.Time { return begin.Add(time.Duration(w.next()) * time.Second) }

// id makes a UUIDv7.
func (w *World) id() string {
	var b [16]byte
	binary.BigEndian.PutUint64(b[:], w.random.Uint64())
	binary.BigEndian.PutUint64(b[8:], w.random.Uint64())
	b[0], b[1], b[6], b[8] = 0x01, 0x9c, 0x70|b[6]&0x0f, 0x80|b[8]&0x3f
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(fmt.Sprintf("the drill itself is broken: %v", err)) // nothing in a world comes from outside
	}
	return v
}

// say seals drafts and logs them.
func (w *World) say(by *key, drafts ...ledger.Draft) []ledger.Amendment {
	sealed := must(ledger.Sealer{
		Origin: w.origin, Constitution: ledger.HashOf([]byte(rules)), KeyID: by.id, Signer: by.private, Now: w.now,
	}.Seal(drafts))
	for _, a := range sealed {
		w.log(a)
	}
	return sealed
}

func (w *World) log(a ledger.Amendment) {
	w.entries = append(w.entries, ledger.Entry{Amendment: a, LogIndex: w.next()})
	w.hashes = append(w.hashes, a.Hash)
}

// draft is the first amendment of an entity.
func (w *World) draft(entityType, owner, state string) ledger.Draft {
	d := ledger.Draft{
		EntityID: w.id(), EntityType: entityType, GovernanceAgentID: owner, Change: "created", Seq: 1,
		Author: owner + "/019c0000-0000-7000-8000-0000000000aa", State: must(canonical.Form([]byte(state))),
	}
	if entityType == "signing_key" {
		d.Author, d.Change = "system/keys", "introduced"
	}
	return d
}

// after is the next amendment of an entity.
func after(a ledger.Amendment, change, state string) ledger.Draft {
	r := a.Record
	return ledger.Draft{
		EntityID: r.EntityID, EntityType: r.EntityType, GovernanceAgentID: r.GovernanceAgentID, Author: r.Author,
		Change: change, Seq: r.Seq + 1, PrevHash: a.Hash, After: r.RecordedAt, State: must(canonical.Form([]byte(state))),
	}
}

func (w *World) introduce(by, k *key) ledger.Amendment {
	return w.say(by, w.draft("signing_key", keyring, k.state("")))[0]
}

func salt(owner string) ledger.Hash { return ledger.HashOf([]byte("salt of " + owner)) }

// headsOf returns the heads of an owner's entities by first log index.
func (w *World) headsOf(owner string) []translog.EntityHead {
	var heads []translog.EntityHead
	at := map[string]int{}
	for _, e := range w.entries {
		r := e.Record
		if r.GovernanceAgentID != owner {
			continue
		}
		head := translog.EntityHead{EntityID: r.EntityID, Hash: e.Hash, Seq: r.Seq}
		if i, known := at[r.EntityID]; known {
			heads[i] = head
			continue
		}
		at[r.EntityID] = len(heads)
		heads = append(heads, head)
	}
	return heads
}

func (w *World) owners() []string {
	var owners []string
	for _, e := range w.entries {
		owners = append(owners, e.Record.GovernanceAgentID)
	}
	slices.Sort(owners)
	return slices.Compact(owners)
}

func (w *World) rows() []translog.TenantRow {
	var rows []translog.TenantRow
	for _, owner := range w.owners() {
		rows = append(rows, translog.NewTenantRow(salt(owner), owner, w.headsOf(owner)))
	}
	translog.SortRows(rows)
	return rows
}

// signedHeads is a heads record in the log.
type signedHeads struct {
	record, signature []byte
	at                int64
	rows              []translog.TenantRow
}

// headsRecord logs a heads record over rows, signed by a key; change, if there is
// one, changes it before.
func (w *World) headsRecord(by *key, rows []translog.TenantRow, change func(*translog.Heads)) signedHeads {
	h := must(translog.NewHeads(w.origin, by.id, w.next(), w.now(), rows))
	if change != nil {
		change(&h)
	}
	s := signedHeads{record: h.Bytes(), at: w.next(), rows: rows}
	s.signature = must(ledger.Sign(by.private, s.record))
	w.heads = append(w.heads, bundle.EarlierHeads{LogIndex: s.at, Hash: ledger.HashOf(s.record)})
	w.hashes = append(w.hashes, ledger.HashOf(s.record))
	return s
}

// checkpoint returns the signed checkpoint of the first size entries.
func (w *World) checkpoint(size int64) []byte {
	root := must(w.grown().Root(size))
	return must(translog.Checkpoint{Origin: w.origin, Size: size, Root: root}.Sign(w.keys.checkpoint))
}

func (w *World) lines(chosen func(ledger.Record) bool) iter.Seq2[bundle.Line, error] {
	return func(yield func(bundle.Line, error) bool) {
		tree := w.grown()
		for _, e := range w.entries {
			if !chosen(e.Record) {
				continue
			}
			path, err := tree.Inclusion(e.LogIndex, w.next())
			if !yield(bundle.Line{Entry: e, Inclusion: path}, err) {
				return
			}
		}
	}
}

// results are what the rules say of the newest state of each entity.
func (w *World) results(chosen func(ledger.Record) bool) iter.Seq2[compliance.Result, error] {
	return func(yield func(compliance.Result, error) bool) {
		law := compliance.Among([][]byte{[]byte(rules)})
		newest := map[string]int{}
		for i, e := range w.entries {
			newest[e.Record.EntityID] = i
		}
		for i, e := range w.entries {
			if newest[e.Record.EntityID] != i || !chosen(e.Record) {
				continue
			}
			if j, ok, err := law.Judge(e.Amendment); ok && err == nil && !yield(j.Result(e.Record), nil) {
				return
			}
		}
	}
}

// contents is a bundle of a scope, cut after a heads record.
func (w *World) contents(scope bundle.Scope, heads signedHeads) bundle.Contents {
	c := bundle.Contents{
		Origin: w.origin, CreatedAt: w.now(), Scope: scope, Checkpoint: w.checkpoint(w.next()),
		Heads: bundle.HeadsContents{
			Record: heads.record, Signature: heads.signature, LogIndex: heads.at, Tenants: heads.rows,
			Inclusion: must(w.grown().Inclusion(heads.at, w.next())), Salts: map[string]ledger.Hash{keyring: salt(keyring)},
		},
		Keys:          w.lines(func(r ledger.Record) bool { return r.EntityType == "signing_key" }),
		Amendments:    w.lines(func(r ledger.Record) bool { return r.EntityType != "signing_key" && w.in(scope, r) }),
		Constitutions: [][]byte{[]byte(rules)}, Checklists: [][]byte{[]byte(checklist)},
		Compliance: w.results(func(r ledger.Record) bool { return w.in(scope, r) }),
	}
	h := &c.Heads
	switch scope.Type {
	case bundle.ScopeAll:
		for _, owner := range w.owners() {
			h.Salts[owner] = salt(owner)
		}
		h.Earlier = slices.DeleteFunc(slices.Clone(w.heads), func(e bundle.EarlierHeads) bool { return e.LogIndex == heads.at })
		return c
	case bundle.ScopeGovernanceAgent:
		h.Salts[scope.ID] = salt(scope.ID)
	case bundle.ScopeEntity:
		h.Places = []bundle.HeadPlace{w.place(scope.ID)}
	case bundle.ScopeAgent:
		for _, id := range w.rests {
			h.Places = append(h.Places, w.place(id))
		}
	}
	for _, p := range h.Places {
		h.Salts[p.Owner] = salt(p.Owner)
	}
	older := w.heads[0].LogIndex + 1
	h.Consistency = map[int64][]ledger.Hash{older: must(w.grown().Consistency(older, w.next()))}
	return c
}

func (w *World) in(scope bundle.Scope, r ledger.Record) bool {
	switch scope.Type {
	case bundle.ScopeAgent:
		return slices.Contains(w.rests, r.EntityID) || r.EntityID == w.smuggled
	case bundle.ScopeAll:
		return true
	}
	return r.EntityID == w.smuggled || scope.ID == r.GovernanceAgentID || scope.ID == r.EntityID
}

func (w *World) place(id string) bundle.HeadPlace {
	for _, owner := range w.owners() {
		heads := w.headsOf(owner)
		at := slices.IndexFunc(heads, func(e translog.EntityHead) bool { return e.EntityID == id })
		if at < 0 {
			continue
		}
		var tree translog.Tree
		for _, e := range heads {
			tree.Append(e.Leaf())
		}
		return bundle.HeadPlace{EntityID: id, Owner: owner, Index: int64(at), Path: must(translog.Nodes(tree.Node).Inclusion(int64(at), tree.Size()))}
	}
	return bundle.HeadPlace{EntityID: id, Path: []ledger.Hash{}}
}

// options are those of an auditor who got the bundle an hour later.
func (w *World) options(scope bundle.Scope) bundle.Options {
	root, _ := w.keys.root.private.Public().(*rsa.PublicKey)
	return bundle.Options{Trust: root, Origin: origin, Now: w.now().Add(time.Hour), Scope: &scope, Seen: w.checkpoint(w.heads[0].LogIndex + 1)}
}
