package translog

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"testing"

	"github.com/dlai-sd/plant/shared/ledger"
	"github.com/dlai-sd/plant/shared/testkit/testdata"
	"github.com/go-json-experiment/json"
	"github.com/stretchr/testify/require"
	"golang.org/x/mod/sumdb/note"
)

// vectorLog is log.json.
type vectorLog struct {
	Origin    string        `json:"origin"`
	Entries   []ledger.Hash `json:"entries"`
	Roots     []ledger.Hash `json:"roots"`
	Inclusion []struct {
		Size  int64         `json:"size"`
		Index int64         `json:"index"`
		Path  []ledger.Hash `json:"path"`
	} `json:"inclusion"`
	Consistency []struct {
		From int64         `json:"from"`
		To   int64         `json:"to"`
		Path []ledger.Hash `json:"path"`
	} `json:"consistency"`
	VKey        string   `json:"vkey"`
	PublicKey   string   `json:"public_key"`
	Checkpoints []string `json:"checkpoints"`
	Heads       struct {
		Record    string      `json:"record"`
		Hash      ledger.Hash `json:"hash"`
		Signature []byte      `json:"signature_b64"`
		LogIndex  int64       `json:"log_index"`
		PublicKey string      `json:"public_key"`
		Tenants   []struct {
			GovernanceAgentID string      `json:"governance_agent_id"`
			Salt              ledger.Hash `json:"salt"`
			Heads             []string    `json:"heads"`
			Tenant            ledger.Hash `json:"tenant"`
		} `json:"tenants"`
		List []TenantRow `json:"list"`
	} `json:"heads"`
}

func readVectors(t *testing.T) (v vectorLog) {
	t.Helper()
	require.NoError(t, json.Unmarshal(testdata.Read(t, "ledger", "log.json"), &v))
	return v
}

func vectorKey(t *testing.T, name string) any {
	t.Helper()
	block, _ := pem.Decode(testdata.Read(t, "ledger", name))
	require.NotNil(t, block)
	if block.Type == "PUBLIC KEY" {
		key, err := x509.ParsePKIXPublicKey(block.Bytes)
		require.NoError(t, err)
		return key
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	require.NoError(t, err)
	return key
}

func TestVectorTree(t *testing.T) {
	t.Parallel()
	v := readVectors(t)
	require.Len(t, v.Roots, 51)
	var tree Tree
	var compact Range
	require.Equal(t, v.Roots[0], compact.Root())
	for i, e := range v.Entries {
		tree.Append(EntryLeaf(e))
		compact.Append(EntryLeaf(e))
		require.Equal(t, v.Roots[i+1], compact.Root())
	}
	nodes := Nodes(tree.Node)
	require.Len(t, v.Inclusion, 107)
	for _, p := range v.Inclusion {
		path, err := nodes.Inclusion(p.Index, p.Size)
		require.NoError(t, err)
		require.Equal(t, p.Path, path)
		require.NoError(t, CheckInclusion(p.Path, p.Size, v.Roots[p.Size], p.Index, EntryLeaf(v.Entries[p.Index])))
	}
	require.Len(t, v.Consistency, 110)
	for _, p := range v.Consistency {
		path, err := nodes.Consistency(p.From, p.To)
		require.NoError(t, err)
		require.Equal(t, p.Path, path)
		require.NoError(t, CheckConsistency(p.Path, p.To, v.Roots[p.To], p.From, v.Roots[p.From]))
	}
}

func TestVectorCheckpoints(t *testing.T) {
	t.Parallel()
	v := readVectors(t)
	pub, ok := vectorKey(t, v.PublicKey).(ed25519.PublicKey)
	require.True(t, ok)
	vkey, err := note.NewEd25519VerifierKey(v.Origin, pub)
	require.NoError(t, err)
	require.Equal(t, v.VKey, vkey)
	private, ok := vectorKey(t, "keys/note.private.TEST-ONLY.pem").(ed25519.PrivateKey)
	require.True(t, ok)
	require.Len(t, v.Checkpoints, 4)
	for _, text := range v.Checkpoints {
		c, signed, err := OpenCheckpoint([]byte(text), v.Origin, []ed25519.PublicKey{pub})
		require.NoError(t, err)
		require.Equal(t, []int{0}, signed)
		require.Equal(t, v.Roots[c.Size], c.Root)
		again, err := c.Sign(private) // Ed25519 is deterministic
		require.NoError(t, err)
		require.Equal(t, text, string(again))
	}
}

func TestVectorHeads(t *testing.T) {
	t.Parallel()
	v := readVectors(t)
	var rows []TenantRow
	for _, tenant := range v.Heads.Tenants {
		var heads []EntityHead
		for _, text := range tenant.Heads {
			var h struct {
				EntityID string      `json:"entity_id"`
				Hash     ledger.Hash `json:"hash"`
				Seq      int64       `json:"seq"`
			}
			require.NoError(t, json.Unmarshal([]byte(text), &h))
			head := EntityHead(h)
			require.Equal(t, Leaf([]byte(text)), head.Leaf())
			heads = append(heads, head)
		}
		row := NewTenantRow(tenant.Salt, tenant.GovernanceAgentID, heads)
		require.Equal(t, tenant.Tenant, row.Tenant)
		rows = append(rows, row)
	}
	SortRows(rows)
	require.Equal(t, v.Heads.List, rows)

	record := []byte(v.Heads.Record)
	h, err := ParseHeads(record)
	require.NoError(t, err)
	require.True(t, bytes.Equal(record, h.Bytes()))
	require.Equal(t, v.Heads.Hash, ledger.HashOf(record))
	require.Equal(t, v.Entries[v.Heads.LogIndex], v.Heads.Hash)
	require.NoError(t, CheckTop(h, rows))
	built, err := NewHeads(v.Origin, h.KeyID, v.Heads.LogIndex, h.RecordedAt, rows)
	require.NoError(t, err)
	require.Equal(t, h, built)
	pub, ok := vectorKey(t, v.Heads.PublicKey).(*rsa.PublicKey)
	require.True(t, ok)
	require.NoError(t, ledger.Verify(pub, record, v.Heads.Signature))
}
