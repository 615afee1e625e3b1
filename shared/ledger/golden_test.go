package ledger

import (
	"flag"
	"os"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/stretchr/testify/require"
)

const goldenFile = "testdata/golden.json"

// update makes the golden file anew. Its keys exist only while that runs, so
// every byte of it changes: only a change of the format is a reason.
var update = flag.Bool("update", false, "write "+goldenFile+" anew, with new keys")

// golden is a small log whose bytes must verify for ever. The spelling is that of
// a bundle's lines.
type golden struct {
	Origin  string       `json:"origin"`
	Root    string       `json:"root_key_id"`
	Entries []goldenLine `json:"entries"`
}

type goldenLine struct {
	LogIndex  int64          `json:"log_index"`
	Record    string         `json:"record"`
	Hash      Hash           `json:"hash"`
	Signature []byte         `json:"signature"`
	Opening   *goldenOpening `json:"opening,omitempty"`
	Batch     *vectorBatch   `json:"batch,omitempty"`
}

type goldenOpening struct {
	Salt  Hash   `json:"salt"`
	State string `json:"state"`
}

func (l goldenLine) entry() (Entry, error) {
	var opening *Opening
	if l.Opening != nil {
		opening = &Opening{l.Opening.Salt, []byte(l.Opening.State)}
	}
	var batch *Batch
	if l.Batch != nil {
		batch = &Batch{[]byte(l.Batch.Statement), l.Batch.Index, l.Batch.Path}
	}
	a, err := ReadAmendment([]byte(l.Record), opening, l.Signature, batch)
	return Entry{a, l.LogIndex}, err
}

func line(e Entry) goldenLine {
	l := goldenLine{LogIndex: e.LogIndex, Record: string(e.Bytes), Hash: e.Hash, Signature: e.Signature}
	if e.Opening != nil {
		l.Opening = &goldenOpening{e.Opening.Salt, string(e.Opening.State)}
	}
	if e.Batch != nil {
		l.Batch = &vectorBatch{string(e.Batch.Statement), e.Batch.Index, e.Batch.Path}
	}
	return l
}

// goldenLog makes the log: the keys, a skill created alone, evolved in a batch
// with two others, moved, certified, erased in part.
func goldenLog(t *testing.T) golden {
	t.Helper()
	entries := keyLog()
	put := func(sealed ...Amendment) Amendment {
		entries = append(entries, log(int64(len(entries)), sealed...)...)
		return sealed[0]
	}
	at := func(k testKey, minutes int) Sealer {
		s := k.sealer()
		s.Now = func() time.Time { return time.Date(2026, 1, 31, 12, minutes, 30, 250_000_000, time.UTC) }
		return s
	}
	seal := func(s Sealer, drafts ...Draft) []Amendment {
		sealed, err := s.Seal(drafts)
		require.NoError(t, err)
		return sealed
	}
	first := skill(0x10)
	first.State = form(t, `{"name":"Welding","description":"Joins metal \u2014 for good.","category":"technical",
		"status":"draft","visibility":"private","tags":["metal","\u00e4tzen"],
		"custom_attributes":{"weight":0.1,"big":9007199254740991,"\ufb33":1,"\ud83d\ude02":2}}`)
	head := put(seal(at(amendmentKey(), 1), first)...)
	evolved := after(head, "evolved", `{"name":"Welding of vessels","status":"draft","visibility":"private"}`)
	evolved.Breaking = true
	head = put(seal(at(amendmentKey(), 2), evolved, skill(0x11), skill(0x12))...)
	head = put(seal(at(amendmentKey(), 3), after(head, "moved", `{"name":"Welding of vessels","status":"under_review","visibility":"private"}`))...)
	certified := after(head, "certified", `{"name":"Welding of vessels","status":"certified","visibility":"private"}`)
	certified.Author = "genesis/0198c0de-0000-7000-8000-0000000000bb"
	head = put(seal(at(certificationKey(), 4), certified)...)
	put(seal(at(amendmentKey(), 5), after(head, "erased", `{"erased_seqs":[3],"name":"Welding of vessels","status":"certified","visibility":"private"}`))...)
	entries[7].Opening = nil // of the skill's seq 3
	g := golden{Origin: testOrigin, Root: rootKey().id}
	for _, e := range entries {
		g.Entries = append(g.Entries, line(e))
	}
	return g
}

func readGolden(t testing.TB) (golden, []Entry) {
	t.Helper()
	raw, err := os.ReadFile(goldenFile)
	require.NoError(t, err)
	var g golden
	require.NoError(t, json.Unmarshal(raw, &g, json.RejectUnknownMembers(true)))
	entries := make([]Entry, len(g.Entries))
	for i, l := range g.Entries {
		entries[i], err = l.entry()
		require.NoError(t, err)
	}
	return g, entries
}

func TestGolden(t *testing.T) {
	t.Parallel()
	if *update {
		raw, err := json.Marshal(goldenLog(t), jsontext.WithIndent(" "))
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(goldenFile, append(raw, '\n'), 0o600))
	}
	g, entries := readGolden(t)
	require.Len(t, entries, 10)
	for i, e := range entries {
		require.Equal(t, g.Entries[i].Hash, e.Hash)
		require.Equal(t, g.Entries[i].Record, string(e.Record.Bytes()), "written today as it was then")
		if e.Opening != nil {
			require.Equal(t, e.Record.StateHash, e.Opening.Hash())
			require.Equal(t, string(e.Opening.State), string(form(t, string(e.Opening.State))))
		}
	}
	batch := entries[4:7]
	root, paths := batchTree([]Hash{batch[0].Hash, batch[1].Hash, batch[2].Hash})
	for i, e := range batch {
		s, f := readStatement(e.Batch.Statement)
		require.Nil(t, f)
		require.Equal(t, root, s.root)
		require.Equal(t, paths[i], e.Batch.Path)
		require.Equal(t, string(e.Batch.Statement), string(s.bytes()))
	}
	ring, faults := NewKeyring(g.Origin, g.Root, entries[:3])
	require.Equal(t, make([]Reason, 3), reasons(faults))
	for id, chain := range byEntity(entries) {
		require.Empty(t, VerifyChain(amendments(chain)), id)
		if chain[0].Record.EntityType != "signing_key" {
			require.Equal(t, make([]Reason, len(chain)), reasons(ring.Judge(chain)))
		}
	}
}
