package ledger

import (
	"bufio"
	"bytes"
	"crypto/rsa"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"slices"
	"strconv"
	"testing"

	"github.com/dlai-sd/plant/shared/domain/canonical"
	"github.com/dlai-sd/plant/shared/testkit/testdata"
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/stretchr/testify/require"
	"golang.org/x/mod/sumdb/tlog"
)

// vectorBatch is a batch as a line of records.jsonl carries it.
type vectorBatch struct {
	Statement string `json:"statement"`
	Index     int    `json:"index"`
	Path      []Hash `json:"path"`
}

// vectorRecord is a line of records.jsonl.
type vectorRecord struct {
	Chain     string       `json:"chain"`
	LogIndex  int64        `json:"log_index"`
	Record    string       `json:"record"`
	Hash      Hash         `json:"hash"`
	Signature []byte       `json:"signature_b64"`
	PublicKey string       `json:"public_key"`
	Salt      *Hash        `json:"salt"`
	State     string       `json:"state"`
	Batch     *vectorBatch `json:"batch"`
}

func (v vectorRecord) entry(t *testing.T) Entry {
	t.Helper()
	var opening *Opening
	if v.Salt != nil {
		opening = &Opening{Salt: *v.Salt, State: []byte(v.State)}
	}
	var batch *Batch
	if v.Batch != nil {
		batch = &Batch{[]byte(v.Batch.Statement), v.Batch.Index, v.Batch.Path}
	}
	a, err := ReadAmendment([]byte(v.Record), opening, v.Signature, batch)
	require.NoError(t, err)
	return Entry{a, v.LogIndex}
}

// lines decodes every line of a JSON Lines file of the test data.
func lines[T any](t *testing.T, elem ...string) []T {
	t.Helper()
	var out []T
	scanner := bufio.NewScanner(bytes.NewReader(testdata.Read(t, elem...)))
	scanner.Buffer(nil, 1<<24)
	for scanner.Scan() {
		var row T
		require.NoError(t, json.Unmarshal(scanner.Bytes(), &row))
		out = append(out, row)
	}
	require.NoError(t, scanner.Err())
	require.NotEmpty(t, out)
	return out
}

func publicKey(t *testing.T, text []byte) *rsa.PublicKey {
	t.Helper()
	block, _ := pem.Decode(text)
	require.NotNil(t, block)
	pub, err := x509.ParsePKIXPublicKey(block.Bytes)
	require.NoError(t, err)
	key, ok := pub.(*rsa.PublicKey)
	require.True(t, ok)
	return key
}

// byEntity splits entries into chains, in order.
func byEntity(entries []Entry) map[string][]Entry {
	chains := map[string][]Entry{}
	for _, e := range entries {
		chains[e.Record.EntityID] = append(chains[e.Record.EntityID], e)
	}
	return chains
}

func amendments(entries []Entry) []Amendment {
	out := make([]Amendment, len(entries))
	for i, e := range entries {
		out[i] = e.Amendment
	}
	return out
}

func TestVectorRecords(t *testing.T) {
	t.Parallel()
	rows := lines[vectorRecord](t, "ledger", "records.jsonl")
	require.Len(t, rows, 48)
	var keyEntries, others []Entry
	for _, v := range rows {
		e := v.entry(t)
		require.Equal(t, v.Record, string(e.Record.Bytes()))
		require.Equal(t, v.Hash, e.Hash)
		if e.Opening != nil {
			require.Equal(t, e.Record.StateHash, e.Opening.Hash())
			require.NoError(t, canonical.CheckState(e.Opening.State))
		}
		pub := publicKey(t, testdata.Read(t, "ledger", v.PublicKey))
		require.NoError(t, VerifySignature(pub, e.Amendment))
		if e.Record.EntityType == "signing_key" {
			keyEntries = append(keyEntries, e)
		} else {
			others = append(others, e)
		}
	}
	ring, faults := NewKeyring(keyEntries[0].Record.Origin, keyEntries[0].Record.KeyID, keyEntries)
	require.True(t, ring.Rooted())
	for i, f := range faults {
		require.Nil(t, f, "key record %d", i)
	}
	require.Len(t, ring.Keys(), 9)
	chains := byEntity(append(keyEntries, others...))
	require.Len(t, chains, 25)
	for id, chain := range chains {
		if chain[0].Record.EntityType != "signing_key" {
			for i, f := range ring.Judge(chain) {
				require.Nil(t, f, "%s %d", id, i)
			}
		}
		require.Empty(t, VerifyChain(amendments(chain)), id)
	}
}

func TestVectorStates(t *testing.T) {
	t.Parallel()
	type row struct {
		Name      string         `json:"name"`
		Salt      Hash           `json:"salt_hex"`
		State     jsontext.Value `json:"state"`
		Canonical string         `json:"state_canonical"`
		Hash      Hash           `json:"state_hash"`
		Error     Reason         `json:"error"`
	}
	rows := lines[row](t, "ledger", "states.jsonl")
	require.Len(t, rows, 34)
	for _, v := range rows {
		if v.Error != "" {
			_, err := NewOpening([]byte(v.Canonical))
			require.Equal(t, v.Error, ReasonOf(err), v.Name)
			continue
		}
		require.Equal(t, v.Canonical, string(form(t, string(v.State))))
		_, err := NewOpening([]byte(v.Canonical))
		require.NoError(t, err)
		require.Equal(t, v.Hash, Opening{v.Salt, []byte(v.Canonical)}.Hash())
	}
}

func TestVectorBatches(t *testing.T) {
	t.Parallel()
	var rows []struct {
		Size      int    `json:"size"`
		Statement string `json:"statement"`
		Signature []byte `json:"signature_b64"`
		Leaves    []Hash `json:"leaves"`
		PublicKey string `json:"public_key"`
		Record    string `json:"record"`
		Index     int    `json:"record_index"`
		Paths     []struct {
			Index int    `json:"index"`
			Path  []Hash `json:"path"`
		} `json:"paths"`
	}
	require.NoError(t, json.Unmarshal(testdata.Read(t, "ledger", "batches.json"), &rows))
	require.Len(t, rows, 5)
	for _, v := range rows {
		s, f := readStatement([]byte(v.Statement))
		require.Nil(t, f)
		require.Equal(t, v.Statement, string(s.bytes()))
		root, paths := batchTree(v.Leaves)
		require.Equal(t, s.root, root)
		require.EqualValues(t, v.Size, s.size)
		for _, p := range v.Paths {
			require.Len(t, p.Path, len(paths[p.Index]))
			require.True(t, slices.Equal(p.Path, paths[p.Index]))
		}
		a, err := ReadAmendment([]byte(v.Record), nil, v.Signature,
			&Batch{[]byte(v.Statement), v.Index, paths[v.Index]})
		require.NoError(t, err)
		require.Equal(t, v.Leaves[v.Index], a.Hash)
		pub := publicKey(t, testdata.Read(t, "ledger", v.PublicKey))
		require.NoError(t, VerifySignature(pub, a), "size %d", v.Size)
	}
}

// core is core.json.
type core struct {
	Origin string `json:"origin"`
	Root   string `json:"root_key_id"`
	Keys   []struct {
		ID  string `json:"key_id"`
		Use Use    `json:"use"`
		PEM string `json:"pem"`
	} `json:"keys"`
	Amendments []coreAmendment `json:"amendments"`
	Batches    []coreBatch     `json:"batches"`
	Log        struct {
		Entries   []Hash          `json:"entries"`
		Roots     map[string]Hash `json:"roots"`
		Inclusion []struct {
			Index int64  `json:"index"`
			Size  int64  `json:"size"`
			Path  []Hash `json:"path"`
		} `json:"inclusion"`
	} `json:"log"`
	Negatives []struct {
		coreAmendment `json:",inline"`
		Name          string `json:"name"`
		Verdict       string `json:"verdict"`
	} `json:"negatives"`
}

type coreBatch struct {
	Head      string `json:"head"`
	Signature []byte `json:"signature"`
}

type coreAmendment struct {
	Record    string         `json:"record"`
	Hash      string         `json:"hash"`
	Salt      Hash           `json:"salt"`
	State     jsontext.Value `json:"state"`
	StateHash Hash           `json:"state_hash"`
	Signature []byte         `json:"signature"`
	Batch     *int           `json:"batch"`
	Index     int            `json:"index"`
	Path      []Hash         `json:"path"`
}

func readCore(t *testing.T) core {
	t.Helper()
	var c core
	require.NoError(t, json.Unmarshal(testdata.Read(t, "ledger", "core.json"), &c, json.RejectUnknownMembers(false)))
	return c
}

// amendment makes the amendment without reading the record strictly, as a store
// that trusts its hash column would.
func (c core) amendment(t *testing.T, v coreAmendment) Amendment {
	t.Helper()
	a := Amendment{Bytes: []byte(v.Record), Signature: v.Signature}
	a.Record, _ = ReadRecord(a.Bytes)
	a.Hash, _ = ParseHash(v.Hash)
	a.Opening = &Opening{v.Salt, form(t, string(v.State))}
	if v.Batch != nil {
		a.Batch = &Batch{[]byte(c.Batches[*v.Batch].Head), v.Index, v.Path}
		a.Signature = c.Batches[*v.Batch].Signature
	}
	return a
}

func TestVectorCore(t *testing.T) {
	t.Parallel()
	c := readCore(t)
	require.Len(t, c.Amendments, 84)
	var all []Entry
	for i, v := range c.Amendments {
		a := c.amendment(t, v)
		_, err := ParseRecord(a.Bytes)
		require.NoError(t, err)
		require.Equal(t, v.Record, string(a.Record.Bytes()))
		require.Equal(t, HashOf(a.Bytes), a.Hash)
		require.Equal(t, v.StateHash, a.Opening.Hash())
		all = append(all, Entry{a, int64(i)})
	}
	for _, k := range c.Keys {
		id, err := KeyID(publicKey(t, []byte(k.PEM)))
		require.NoError(t, err)
		require.Equal(t, k.ID, id)
	}
	ring, faults := NewKeyring(c.Origin, c.Root, all[:3])
	require.Equal(t, []Reason{"", "", ""}, reasons(faults))
	chains := byEntity(all)
	for _, chain := range chains {
		require.Empty(t, VerifyChain(amendments(chain)))
		if chain[0].Record.EntityType == "signing_key" {
			continue
		}
		for _, f := range ring.Judge(chain) {
			require.Nil(t, f)
		}
	}
	skill := chains[all[3].Record.EntityID]
	require.Len(t, skill, 5)
	require.Len(t, c.Negatives, 32)
	for _, v := range c.Negatives {
		t.Run(v.Name, func(t *testing.T) {
			t.Parallel()
			bad := slices.Clone(skill)
			bad[2].Amendment = c.amendment(t, v.coreAmendment)
			signature := ring.Judge(bad)
			breaks := VerifyChain(amendments(bad), Signed(func(i int) bool { return signature[i] == nil }))
			if v.Verdict == "signature" {
				require.NotNil(t, signature[2])
				return
			}
			require.Equal(t, "integrity", v.Verdict)
			require.NotEmpty(t, breaks)
			require.Equal(t, 2, breaks[0].Index, "%v", breaks)
		})
	}
}

func TestVectorLog(t *testing.T) {
	t.Parallel()
	c := readCore(t)
	var stored []tlog.Hash
	reader := tlog.HashReaderFunc(func(indexes []int64) ([]tlog.Hash, error) {
		out := make([]tlog.Hash, len(indexes))
		for i, at := range indexes {
			out[i] = stored[at]
		}
		return out, nil
	})
	for i, h := range c.Log.Entries {
		require.Equal(t, c.Amendments[i].Hash, h.String())
		more, err := tlog.StoredHashes(int64(i), h[:], reader)
		require.NoError(t, err)
		stored = append(stored, more...)
		if want, ok := c.Log.Roots[strconv.Itoa(i+1)]; ok {
			root, err := tlog.TreeHash(int64(i+1), reader)
			require.NoError(t, err)
			require.Equal(t, want, Hash(root))
			if i < MaxBatch {
				own, _ := batchTree(c.Log.Entries[:i+1])
				require.Equal(t, want, own)
			}
		}
	}
	for _, p := range c.Log.Inclusion {
		_, paths := batchTree(c.Log.Entries[:p.Size])
		require.True(t, slices.Equal(p.Path, paths[p.Index]))
	}
}

func TestVectorWycheproof(t *testing.T) {
	t.Parallel()
	var suite struct {
		Groups []struct {
			Key struct {
				PEM string `json:"publicKeyPem"`
			} `json:"publicKey"`
			PEM   string `json:"publicKeyPem"`
			Tests []struct {
				ID        int    `json:"tcId"`
				Comment   string `json:"comment"`
				Message   string `json:"msg"`
				Signature string `json:"sig"`
				Result    string `json:"result"`
			} `json:"tests"`
		} `json:"testGroups"`
	}
	raw := testdata.Read(t, "security", "wycheproof", "rsa_pss_4096_sha256_mgf1_32_test.json")
	require.NoError(t, json.Unmarshal(raw, &suite))
	judged := 0
	for _, g := range suite.Groups {
		pub := publicKey(t, []byte(g.PEM+g.Key.PEM))
		for _, v := range g.Tests {
			message, err := hex.DecodeString(v.Message)
			require.NoError(t, err)
			signature, err := hex.DecodeString(v.Signature)
			require.NoError(t, err)
			err = Verify(pub, message, signature)
			require.Equal(t, v.Result == "valid", err == nil, "%d %s", v.ID, v.Comment)
			judged++
		}
	}
	require.Equal(t, 108, judged)
}
