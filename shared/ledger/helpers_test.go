package ledger

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/dlai-sd/plant/shared/domain/canonical"
	"github.com/go-json-experiment/json"
	"github.com/stretchr/testify/require"
)

const (
	testOrigin = "plant.example/ledger-test"
	testAuthor = "acme/0198c0de-0000-7000-8000-0000000000aa"
)

var testConstitution = HashOf([]byte("the rules of these tests"))

// testKey is a fresh RSA-4096 key of one test run.
type testKey struct {
	private *rsa.PrivateKey
	id      string
	spki    string
}

func generate() testKey {
	private, err := rsa.GenerateKey(rand.Reader, keyBits)
	if err != nil {
		panic(err)
	}
	id, err := KeyID(private.Public())
	if err != nil {
		panic(err)
	}
	der, err := x509.MarshalPKIXPublicKey(private.Public())
	if err != nil {
		panic(err)
	}
	return testKey{private, id, base64.StdEncoding.EncodeToString(der)}
}

// One key of each use, a second root and another, made once for a test binary.
var (
	rootKey          = sync.OnceValue(generate)
	amendmentKey     = sync.OnceValue(generate)
	certificationKey = sync.OnceValue(generate)
	secondRoot       = sync.OnceValue(generate)
	thirdKey         = sync.OnceValue(generate)
)

func (k testKey) sealer() Sealer {
	return Sealer{
		Origin: testOrigin, Constitution: testConstitution, KeyID: k.id, Signer: k.private,
		Now: func() time.Time { return time.Date(2026, 1, 31, 12, 0, 0, 123456789, time.UTC) },
	}
}

// seal seals drafts with the key and requires success.
func (k testKey) seal(t testing.TB, drafts ...Draft) []Amendment {
	t.Helper()
	sealed, err := k.sealer().Seal(drafts)
	require.NoError(t, err)
	return sealed
}

// entity returns the n-th entity id of the tests.
func entity(n int) string { return fmt.Sprintf("0198c0de-0000-7000-8000-%012x", n) }

// skill is a first draft of the n-th entity.
func skill(n int) Draft {
	return Draft{
		EntityID: entity(n), EntityType: "skill", GovernanceAgentID: "acme", Author: testAuthor,
		Change: "created", Seq: 1, State: []byte(fmt.Sprintf(`{"name":"Skill %d","status":"draft"}`, n)),
	}
}

// after is the draft of another change to the entity of head.
func after(head Amendment, change, state string) Draft {
	r := head.Record
	return Draft{
		EntityID: r.EntityID, EntityType: r.EntityType, GovernanceAgentID: r.GovernanceAgentID, Author: r.Author,
		Change: change, Seq: r.Seq + 1, PrevHash: head.Hash, After: r.RecordedAt, State: []byte(state),
	}
}

// keyDraft is a draft that introduces k, as the n-th entity.
func keyDraft(t testing.TB, n int, k testKey, use Use, maySign ...string) Draft {
	t.Helper()
	return Draft{
		EntityID: entity(n), EntityType: "signing_key", GovernanceAgentID: "keyring", Author: "system/keys",
		Change: "introduced", Seq: 1, State: keyStateOf(t, k, use, maySign, ""),
	}
}

// keyStateOf is a key's state; more is put in as it is, beginning with a comma.
func keyStateOf(t testing.TB, k testKey, use Use, maySign []string, more string) []byte {
	t.Helper()
	list := ""
	if len(maySign) > 0 {
		b, err := json.Marshal(maySign)
		require.NoError(t, err)
		list = `,"may_sign":` + string(b)
	}
	return form(t, fmt.Sprintf(`{"key_id":%q,"spki":%q,"use":%q%s%s}`, k.id, k.spki, use, list, more))
}

func form(t testing.TB, src string) []byte {
	t.Helper()
	b, err := canonical.Form([]byte(src))
	require.NoError(t, err)
	return b
}

var (
	rootMay          = []string{"introduced", "reattested", "retired", "revoked"}
	amendmentMay     = []string{"assigned", "created", "embedded", "erased", "evolved", "moved", "reattested"}
	certificationMay = []string{"certified", "rejected"}
)

// log gives amendments places in the log, one after another from first on.
func log(first int64, amendments ...Amendment) []Entry {
	entries := make([]Entry, len(amendments))
	for i, a := range amendments {
		entries[i] = Entry{a, first + int64(i)}
	}
	return entries
}

// outside is what helpers get where there is no test yet: it panics.
type outside struct{ testing.TB }

func (outside) Helper()                           {}
func (outside) FailNow()                          {}
func (outside) Errorf(format string, args ...any) { panic(fmt.Sprintf(format, args...)) }

// keyLog is a log of three entries that introduce the root, the amendment and the
// certification key.
var keyLog = sync.OnceValue(func() []Entry {
	t := outside{}
	sealed := rootKey().seal(t, keyDraft(t, 1, rootKey(), UseRoot, rootMay...))
	sealed = append(sealed, rootKey().seal(t, keyDraft(t, 2, amendmentKey(), UseAmendment, amendmentMay...))...)
	sealed = append(sealed, rootKey().seal(t, keyDraft(t, 3, certificationKey(), UseCertification, certificationMay...))...)
	return log(0, sealed...)
})

func reasons(faults []*Fault) []Reason {
	out := make([]Reason, len(faults))
	for i, f := range faults {
		if f != nil {
			out[i] = f.Reason
		}
	}
	return out
}
