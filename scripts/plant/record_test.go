package main

import (
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/stretchr/testify/require"
)

func itoa(n int) string { return strconv.Itoa(n) }

// pss verifies as the openssl line does: RSA-4096 PSS, SHA-256, salt 32. It
// shares no code with what signed.
func pss(t *testing.T, keyFile string, message, signature []byte) error {
	t.Helper()
	block, rest := pem.Decode(readFile(t, keyFile))
	require.NotNil(t, block)
	require.Empty(t, rest)
	public, err := x509.ParsePKIXPublicKey(block.Bytes)
	require.NoError(t, err)
	key, ok := public.(*rsa.PublicKey)
	require.True(t, ok)
	require.Equal(t, 4096, key.N.BitLen())
	digest := sha256.Sum256(message)
	return rsa.VerifyPSS(key, crypto.SHA256, digest[:], signature, &rsa.PSSOptions{SaltLength: 32})
}

func readFile(t *testing.T, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(name) // #nosec -- the test's own
	require.NoError(t, err)
	return b
}

// openssl runs the line that show printed, and returns what openssl said.
func openssl(t *testing.T, line string) (string, error) {
	t.Helper()
	if _, err := exec.LookPath("openssl"); err != nil {
		t.Skip("openssl is not installed: the record was verified by Go alone")
	}
	words := strings.Fields(line)
	require.Equal(t, "openssl", words[0])
	out, err := exec.CommandContext(t.Context(), words[0], words[1:]...).CombinedOutput() // #nosec -- printed by plant
	return string(out), err
}

// takeOut runs show --record and returns what it says it wrote.
func takeOut(t *testing.T, s *running, ref string) proof {
	t.Helper()
	var p proof
	out := filepath.Join(t.TempDir(), "proof")
	r := must(t, s.env(), "--json", "show", ref, "--record", "--out", out)
	require.NoError(t, json.Unmarshal([]byte(r.stdout), &p))
	require.Equal(t, filepath.Join(out, "record.json"), p.Record)
	require.Contains(t, p.Command, "openssl dgst -sha256 -sigopt rsa_padding_mode:pss -sigopt rsa_pss_saltlen:32 -verify ")
	return p
}

// recorded are the members of a record that these tests look at.
type recorded struct {
	Algorithm string `json:"algorithm"`
	Change    string `json:"change"`
	KeyID     string `json:"key_id"`
	Seq       int64  `json:"seq"`
}

// holds checks the files: Go and openssl verify them, and not with one byte
// changed.
func holds(t *testing.T, p proof) recorded {
	t.Helper()
	message, signature := readFile(t, p.Signed), readFile(t, p.Signature)
	require.NoError(t, pss(t, p.Key, message, signature))
	var r recorded
	require.NoError(t, json.Unmarshal(readFile(t, p.Record), &r))
	require.Equal(t, "created", r.Change)
	require.Equal(t, p.Seq, r.Seq)
	block, _ := pem.Decode(readFile(t, p.Key))
	require.Equal(t, sum(block.Bytes), r.KeyID, "the key is the one that the record names")

	said, err := openssl(t, p.Command)
	require.NoError(t, err, said)
	require.Equal(t, "Verified OK\n", said)
	message[len(message)/2] ^= 1
	require.Error(t, pss(t, p.Key, message, signature))
	require.NoError(t, os.WriteFile(p.Signed, message, 0o600))
	said, err = openssl(t, p.Command)
	require.Error(t, err)
	require.Contains(t, strings.ToLower(said), "verification failure")
	message[len(message)/2] ^= 1
	require.NoError(t, os.WriteFile(p.Signed, message, 0o600))
	return r
}

func sum(b []byte) string {
	h := sha256.Sum256(b)
	return hex.EncodeToString(h[:])
}

func testRecord(t *testing.T, s *running) {
	p := takeOut(t, s, "bread")
	require.Equal(t, p.Record, p.Signed)
	require.Equal(t, "RSA4096-PSS-SHA256", holds(t, p).Algorithm)

	text := must(t, s.env(), "show", "bread", "--record", "--out", filepath.Dir(p.Record)).stdout
	require.Contains(t, text, "Amendment 1 is in "+p.Record)
	require.Contains(t, text, p.Command)
}

// testBatchRecord: the signature is over the statement, and the record's hash
// reaches the statement's root by the path (RFC 6962, section 2.1).
func testBatchRecord(t *testing.T, s *running) {
	file := filepath.Join(t.TempDir(), "batch.jsonl")
	var lines strings.Builder
	for _, name := range []string{"one", "two", "three", "four", "five"} {
		lines.WriteString(`{"id":"batch-` + name + `","title":"Batch ` + name + `","description":"Signed with others."}` + "\n")
	}
	require.NoError(t, os.WriteFile(file, []byte(lines.String()), 0o600))
	must(t, s.env(), "import", file, "--category", "technical")
	for _, name := range []string{"one", "four", "five"} {
		p := takeOut(t, s, "batch-"+name)
		require.Equal(t, filepath.Join(filepath.Dir(p.Record), "statement.json"), p.Signed)
		require.Equal(t, "RSA4096-PSS-SHA256-BATCH", holds(t, p).Algorithm)
		var place struct {
			Index int      `json:"index"`
			Path  []string `json:"path"`
		}
		require.NoError(t, json.Unmarshal(readFile(t, filepath.Join(filepath.Dir(p.Record), "batch.json")), &place))
		var statement struct {
			Root string `json:"root"`
			Size int    `json:"size"`
		}
		require.NoError(t, json.Unmarshal(readFile(t, p.Signed), &statement))
		require.Equal(t, 5, statement.Size)
		require.Equal(t, statement.Root, rootOf(t, readFile(t, p.Record), place.Index, statement.Size, place.Path))
		require.NotEqual(t, statement.Root, rootOf(t, append(readFile(t, p.Record), ' '), place.Index, statement.Size, place.Path))
	}
}

// rootOf climbs an inclusion path as RFC 9162, section 2.1.3.2, does.
func rootOf(t *testing.T, record []byte, index, size int, path []string) string {
	t.Helper()
	hash := sha256.Sum256(record)
	node := sha256.Sum256(append([]byte{0}, hash[:]...))
	at, last := index, size-1
	for _, step := range path {
		require.NotZero(t, last, "the path is too long")
		sibling, err := hex.DecodeString(step)
		require.NoError(t, err)
		if at%2 == 1 || at == last {
			node = sha256.Sum256(append(append([]byte{1}, sibling...), node[:]...))
			for at%2 == 0 && at != 0 {
				at, last = at/2, last/2
			}
		} else {
			node = sha256.Sum256(append(append([]byte{1}, node[:]...), sibling...))
		}
		at, last = at/2, last/2
	}
	require.Zero(t, last, "the path is too short")
	return hex.EncodeToString(node[:])
}
