package translog

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/dlai-sd/plant/shared/domain/canonical"
	"github.com/dlai-sd/plant/shared/ledger"
	"github.com/stretchr/testify/require"
)

const testOrigin = "plant.example/translog-test"

var testTime = time.Date(2026, 1, 31, 12, 0, 0, 123456789, time.UTC)

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// rsaKey is made once for a test binary.
type rsaKey struct {
	private *rsa.PrivateKey
	id      string
}

func newRSA() rsaKey {
	private := must(rsa.GenerateKey(rand.Reader, 4096))
	return rsaKey{private, must(ledger.KeyID(private.Public()))}
}

var (
	rootKey  = sync.OnceValue(newRSA)
	headsKey = sync.OnceValue(newRSA)
)

// keyRecord is a record of a signing key, signed by the root.
func keyRecord(entity int, public any, use ledger.Use, change, more string, before *ledger.Amendment) ledger.Amendment {
	der := must(x509.MarshalPKIXPublicKey(public))
	state := fmt.Sprintf(`{"key_id":%q,"spki":%q,"use":%q%s}`,
		must(ledger.KeyID(public)), base64.StdEncoding.EncodeToString(der), use, more)
	d := ledger.Draft{
		EntityID: fmt.Sprintf("0198c0de-0000-7000-8000-%012x", entity), EntityType: "signing_key",
		GovernanceAgentID: "keyring", Author: "system/keys", Change: change, Seq: 1, State: must(canonical.Form([]byte(state))),
	}
	if before != nil {
		d.Seq, d.PrevHash = before.Record.Seq+1, before.Hash
	}
	root := rootKey()
	return must(ledger.Sealer{
		Origin: testOrigin, Constitution: ledger.HashOf([]byte("rules")), KeyID: root.id, Signer: root.private,
		Now: func() time.Time { return testTime },
	}.Seal([]ledger.Draft{d}))[0]
}

// ringOf builds a keyring of the root and further records from index 1 on.
func ringOf(t testing.TB, records ...ledger.Amendment) *ledger.Keyring {
	t.Helper()
	root := rootKey()
	entries := []ledger.Entry{{Amendment: keyRecord(0, root.private.Public(), ledger.UseRoot, "introduced",
		`,"may_sign":["introduced","retired","revoked"]`, nil)}}
	for i, a := range records {
		entries = append(entries, ledger.Entry{Amendment: a, LogIndex: int64(i + 1)})
	}
	ring, faults := ledger.NewKeyring(testOrigin, root.id, entries)
	for i, f := range faults {
		require.Nil(t, f, i)
	}
	return ring
}

func testRows() []TenantRow {
	rows := []TenantRow{
		NewTenantRow(entry(1), "acme", []EntityHead{{"a", entry(2), 1}, {"b", entry(3), 4}}),
		NewTenantRow(entry(4), "keyring", []EntityHead{{"c", entry(5), 1}}),
	}
	SortRows(rows)
	return rows
}

func testHeads(t testing.TB) Heads {
	t.Helper()
	h, err := NewHeads(testOrigin, strings.Repeat("ab", 32), 7, testTime, testRows())
	require.NoError(t, err)
	return h
}

func TestHeadsBytes(t *testing.T) {
	t.Parallel()
	h := testHeads(t)
	b := h.Bytes()
	require.NoError(t, canonical.Check(b))
	require.Equal(t, `{"algorithm":"RSA4096-PSS-SHA256","context":"plant/heads/v1","entities":3,"key_id":"`+strings.Repeat("ab", 32)+
		`","log_size":7,"origin":"plant.example/translog-test","recorded_at":"2026-01-31T12:00:00.123456Z","root":"`+
		TopRoot(testRows()).String()+`","tenants":2}`, string(b))
	again, err := ParseHeads(b)
	require.NoError(t, err)
	require.Equal(t, h, again)
}

func TestReadHeadsRefuses(t *testing.T) {
	t.Parallel()
	good := string(testHeads(t).Bytes())
	for _, c := range []struct {
		old, new string
		reason   ledger.Reason
	}{
		{`"entities":3`, `"entities": 3`, ReasonHeadsNotCanonical},
		{`"tenants":2}`, `"tenants":2}` + "\n", ReasonHeadsNotCanonical},
		{`plant.example`, `plant\u002eexample`, ReasonHeadsNotCanonical},
		{`"entities":3`, `"entities":3.0`, ReasonHeadsMalformed},
		{`"entities":3`, `"entities":-3`, ReasonHeadsMalformed},
		{`"entities":3`, `"entities":"3"`, ReasonHeadsMalformed},
		{`"entities":3`, `"entities":null`, ReasonHeadsMalformed},
		{`"entities":3`, `"entities":9007199254740992`, ReasonHeadsMalformed},
		{`"entities":3`, `"Entities":3`, ReasonHeadsMalformed},
		{`"entities":3,`, ``, ReasonHeadsMalformed},
		{`"entities":3`, `"entities":3,"entities":3`, ReasonHeadsMalformed},
		{`"entities":3`, `"entities":3,"more":3`, ReasonHeadsMalformed},
		{`"abab`, `"ABab`, ReasonHeadsMalformed},
		{`"abab`, `"ab`, ReasonHeadsMalformed},
		{`12:00:00.123456Z`, `12:00:00.123Z`, ReasonHeadsMalformed},
		{`2026-01-31`, `2026-02-31`, ReasonHeadsMalformed},
		{`12:00:00.123456Z`, `12:00:00,123456Z`, ReasonHeadsMalformed},
		{`{"algorithm"`, `[{"algorithm"`, ReasonHeadsMalformed},
		{`translog-test`, "\xff", ReasonHeadsMalformed},
	} {
		require.Contains(t, good, c.old)
		_, err := ParseHeads([]byte(strings.Replace(good, c.old, c.new, 1)))
		require.Equal(t, c.reason, ledger.ReasonOf(err), c.new)
	}
}

func TestNewHeadsRefuses(t *testing.T) {
	t.Parallel()
	id := strings.Repeat("ab", 32)
	rows := testRows()
	rows[0], rows[1] = rows[1], rows[0]
	_, err := NewHeads(testOrigin, id, 7, testTime, rows)
	require.Equal(t, ReasonTenantsUnsorted, ledger.ReasonOf(err))
	_, err = NewHeads(testOrigin, "no id", 7, testTime, testRows())
	require.Equal(t, ReasonHeadsMalformed, ledger.ReasonOf(err))
	_, err = NewHeads(testOrigin, id, -1, testTime, testRows())
	require.Error(t, err)
	_, err = NewHeads("\xff", id, 1, testTime, testRows())
	require.Equal(t, ledger.ReasonOriginWrong, ledger.ReasonOf(err))
	rows = testRows()
	rows[0].Count = 0
	_, err = NewHeads(testOrigin, id, 7, testTime, rows)
	require.Error(t, err)
}

func TestCheckTop(t *testing.T) {
	t.Parallel()
	h := testHeads(t)
	require.NoError(t, CheckTop(h, testRows()))
	for reason, change := range map[ledger.Reason]func([]TenantRow) []TenantRow{
		ReasonTenantsUnsorted:      func(r []TenantRow) []TenantRow { return []TenantRow{r[1], r[0]} },
		ReasonTenantsCountMismatch: func(r []TenantRow) []TenantRow { return r[:1] },
		ReasonEntitiesMismatch:     func(r []TenantRow) []TenantRow { r[0].Count++; return r },
		ReasonHeadsRootMismatch:    func(r []TenantRow) []TenantRow { r[0].Root = entry(0); return r },
	} {
		require.Equal(t, reason, ledger.ReasonOf(CheckTop(h, change(testRows()))))
	}
	twice := []TenantRow{testRows()[0], testRows()[0]}
	require.Equal(t, ReasonTenantsUnsorted, ledger.ReasonOf(CheckTop(h, twice)))
	huge := testRows()
	huge[0].Count, huge[1].Count = maxInteger, 4-maxInteger
	require.Equal(t, ReasonEntitiesMismatch, ledger.ReasonOf(CheckTop(h, huge)))
	huge[1].Count = maxInteger
	require.Equal(t, ReasonEntitiesMismatch, ledger.ReasonOf(CheckTop(h, huge)))
}

// TestCheckTopOverflow: counts that add up only if an integer overflows.
func TestCheckTopOverflow(t *testing.T) {
	t.Parallel()
	rows := make([]TenantRow, 2049)
	for i := range rows {
		rows[i] = TenantRow{Tenant: entry(int64(i)), Count: maxInteger, Root: entry(0)}
	}
	rows[0].Count = 2051 // 2048 times (2^53 - 1) is 2^64 - 2048
	SortRows(rows)
	h := testHeads(t)
	h.Tenants, h.Root = int64(len(rows)), TopRoot(rows)
	require.Equal(t, ReasonEntitiesMismatch, ledger.ReasonOf(CheckTop(h, rows)))
}

func TestTenantID(t *testing.T) {
	t.Parallel()
	salt := entry(1)
	want := ledger.HashOf([]byte("plant/tenant/v1\n" + string(salt[:]) + "acme"))
	require.Equal(t, want, TenantID(salt, "acme"))
	row := NewTenantRow(salt, "acme", []EntityHead{{"a", entry(2), 1}})
	require.Equal(t, TenantRow{want, 1, Leaf([]byte(`{"entity_id":"a","hash":"` + entry(2).String() + `","seq":1}`))}, row)
	require.Equal(t, Leaf([]byte(`{"count":1,"root":"`+row.Root.String()+`","tenant":"`+want.String()+`"}`)), row.Leaf())
}

func TestJudgeHeads(t *testing.T) {
	t.Parallel()
	key := headsKey()
	introduction := keyRecord(1, key.private.Public(), ledger.UseHeads, "introduced", "", nil)
	other := keyRecord(9, rootKey().private.Public(), ledger.UseHeads, "introduced", "", nil)
	ring := ringOf(t, introduction)
	h := testHeads(t)
	h.KeyID = key.id
	signed := func(change func(*Heads)) ([]byte, []byte) {
		h := h
		change(&h)
		return h.Bytes(), must(ledger.Sign(key.private, h.Bytes()))
	}
	b, signature := signed(func(*Heads) {})
	require.NoError(t, JudgeHeads(ring, b, signature, 7))
	for reason, change := range map[ledger.Reason]func(*Heads){
		ledger.ReasonContextWrong:      func(h *Heads) { h.Context = ledger.ContextBatch },
		ledger.ReasonOriginWrong:       func(h *Heads) { h.Origin += "x" },
		ledger.ReasonAlgorithmMismatch: func(h *Heads) { h.Algorithm = ledger.AlgorithmBatch },
		ledger.ReasonAlgorithmUnknown:  func(h *Heads) { h.Algorithm = "RSA4096-PKCS1-SHA256" },
		ledger.ReasonKeyUnknown:        func(h *Heads) { h.KeyID = other.Hash.String() },
		ledger.ReasonKeyMayNotSign:     func(h *Heads) { h.KeyID = rootKey().id },
	} {
		b, signature := signed(change)
		require.Equal(t, reason, ledger.ReasonOf(JudgeHeads(ring, b, signature, 7)))
	}
	require.Equal(t, ledger.ReasonKeyNotInForce, ledger.ReasonOf(JudgeHeads(ring, b, signature, 1)))
	require.Equal(t, ledger.ReasonSignatureInvalid, ledger.ReasonOf(JudgeHeads(ring, b, signature[1:], 7)))
	require.Equal(t, ReasonHeadsMalformed, ledger.ReasonOf(JudgeHeads(ring, b[1:], signature, 7)))

	retired := ringOf(t, introduction, keyRecord(1, key.private.Public(), ledger.UseHeads, "retired", "", &introduction))
	require.NoError(t, JudgeHeads(retired, b, signature, 2))
	require.Equal(t, ledger.ReasonKeyRetired, ledger.ReasonOf(JudgeHeads(retired, b, signature, 3)))
	revoked := ringOf(t, introduction, keyRecord(1, key.private.Public(), ledger.UseHeads, "revoked", `,"invalid_from":2`, &introduction))
	require.Equal(t, ledger.ReasonKeyRevoked, ledger.ReasonOf(JudgeHeads(revoked, b, signature, 2)))
}

func FuzzHeads(f *testing.F) {
	good := testHeads(f).Bytes()
	f.Add(good)
	f.Add([]byte(strings.Replace(string(good), ",", " ,", 1)))
	f.Add([]byte(strings.Replace(string(good), `"entities":3`, `"entities":1e3`, 1)))
	f.Add([]byte(`{}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		strict, err := ParseHeads(b)
		lenient, readErr := ReadHeads(b)
		if err == nil {
			require.NoError(t, readErr)
			require.Equal(t, strict, lenient)
			require.Equal(t, string(b), string(strict.Bytes()))
			require.NoError(t, canonical.Check(b))
			return
		}
		require.NotEmpty(t, ledger.ReasonOf(err))
		if readErr != nil {
			require.Equal(t, ReasonHeadsMalformed, ledger.ReasonOf(readErr))
			return
		}
		again, err := ParseHeads(lenient.Bytes())
		require.NoError(t, err)
		require.Equal(t, lenient, again)
	})
}
