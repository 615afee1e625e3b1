package ledger

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func TestSealDirect(t *testing.T) {
	t.Parallel()
	d := skill(10)
	a := amendmentKey().seal(t, d)[0]
	require.Nil(t, a.Batch)
	require.Equal(t, a.Record.Bytes(), a.Bytes)
	require.Equal(t, HashOf(a.Bytes), a.Hash)
	require.Equal(t, "2026-01-31T12:00:00.123456Z", a.Record.RecordedAt.Format(TimeLayout), "cut to microseconds")
	require.Equal(t, d.State, a.Opening.State)
	require.Equal(t, a.Opening.Hash(), a.Record.StateHash)
	require.NoError(t, VerifySignature(&amendmentKey().private.PublicKey, a))
	again, err := ReadAmendment(a.Bytes, a.Opening, a.Signature, a.Batch)
	require.NoError(t, err)
	require.Equal(t, a, again)
	require.NotEqual(t, a.Opening.Salt, amendmentKey().seal(t, d)[0].Opening.Salt)
	require.NotZero(t, a.Opening.Salt)
}

func TestSealTakesTheLaterTime(t *testing.T) {
	t.Parallel()
	head := amendmentKey().seal(t, skill(10))[0]
	ahead := head.Record.RecordedAt.Add(3 * time.Second)
	d := after(head, "evolved", `{"name":"y"}`)
	d.After = ahead
	require.Equal(t, ahead, amendmentKey().seal(t, d)[0].Record.RecordedAt)
	d.After = head.Record.RecordedAt.Add(-time.Hour).In(time.FixedZone("", 3600))
	require.Equal(t, head.Record.RecordedAt, amendmentKey().seal(t, d)[0].Record.RecordedAt)

	s := amendmentKey().sealer()
	s.Now = nil
	start := time.Now().Truncate(time.Microsecond)
	sealed, err := s.Seal([]Draft{skill(11)})
	require.NoError(t, err)
	require.False(t, sealed[0].Record.RecordedAt.Before(start))
	require.Equal(t, time.UTC, sealed[0].Record.RecordedAt.Location())
}

func TestSealBatch(t *testing.T) {
	t.Parallel()
	for _, n := range []int{2, 3, 7, 64, MaxBatch} {
		drafts := make([]Draft, n)
		for i := range drafts {
			drafts[i] = skill(100 + i)
		}
		sealed := amendmentKey().seal(t, drafts...)
		require.Len(t, sealed, n)
		for i, a := range sealed {
			require.Equal(t, AlgorithmBatch, a.Record.Algorithm)
			require.Equal(t, i, a.Batch.Index)
			require.Equal(t, sealed[0].Signature, a.Signature)
			if n < 64 || i%61 == 0 {
				require.NoError(t, VerifySignature(&amendmentKey().private.PublicKey, a))
			}
		}
	}
}

func TestSealLinksDraftsOfOneEntity(t *testing.T) {
	t.Parallel()
	first, second := skill(10), skill(10)
	second.Change, second.Seq, second.State = "evolved", 2, []byte(`{"name":"y"}`)
	third := second
	third.Change, third.Seq = "moved", 3
	sealed := amendmentKey().seal(t, first, skill(11), second, third)
	require.Equal(t, sealed[0].Hash, sealed[2].Record.PrevHash)
	require.Equal(t, sealed[2].Hash, sealed[3].Record.PrevHash)
	require.Empty(t, VerifyChain([]Amendment{sealed[0], sealed[2], sealed[3]}))

	for name, change := range map[string]func(*Draft){
		"a gap":            func(d *Draft) { d.Seq = 3 },
		"the same seq":     func(d *Draft) { d.Seq = 1; d.Change = "created" },
		"another prev":     func(d *Draft) { d.PrevHash = Hash{1} },
		"another kind":     func(d *Draft) { d.EntityType = "team" },
		"another owner":    func(d *Draft) { d.GovernanceAgentID = "other" },
		"a change at last": func(d *Draft) { d.Change = "created" },
	} {
		bad := second
		change(&bad)
		_, err := amendmentKey().sealer().Seal([]Draft{first, bad})
		var b Break
		require.ErrorAs(t, err, &b, name)
		require.Equal(t, 1, b.Index)
	}
}

func TestSealRefusesDrafts(t *testing.T) {
	t.Parallel()
	for name, v := range map[string]struct {
		reason Reason
		change func(*Draft)
	}{
		"author without name":   {ReasonRecordMalformed, func(d *Draft) { d.Author = "acme/" }},
		"author with space":     {ReasonRecordMalformed, func(d *Draft) { d.Author = "acme/a b" }},
		"author not a slug":     {ReasonRecordMalformed, func(d *Draft) { d.Author = "Acme/a" }},
		"author with a slash":   {ReasonRecordMalformed, func(d *Draft) { d.Author = "acme/a/b" }},
		"author not UTF-8":      {ReasonRecordMalformed, func(d *Draft) { d.Author = "acme/\xff" }},
		"unknown change":        {ReasonRecordMalformed, func(d *Draft) { d.Change = "improved" }},
		"UUID of version 4":     {ReasonRecordMalformed, func(d *Draft) { d.EntityID = "0198c0de-0000-4000-8000-00000000000a" }},
		"UUID in capitals":      {ReasonRecordMalformed, func(d *Draft) { d.EntityID = strings.ToUpper(d.EntityID) }},
		"UUID of no variant":    {ReasonRecordMalformed, func(d *Draft) { d.EntityID = "0198c0de-0000-7000-c000-00000000000a" }},
		"UUID without hyphen":   {ReasonRecordMalformed, func(d *Draft) { d.EntityID = "0198c0de00000-7000-8000-00000000000a" }},
		"unknown type":          {ReasonRecordMalformed, func(d *Draft) { d.EntityType = "robot" }},
		"owner not a slug":      {ReasonRecordMalformed, func(d *Draft) { d.GovernanceAgentID = "a_b" }},
		"owner too long":        {ReasonRecordMalformed, func(d *Draft) { d.GovernanceAgentID = strings.Repeat("a", 64) }},
		"seq zero":              {ReasonRecordMalformed, func(d *Draft) { d.Seq = 0 }},
		"seq too large":         {ReasonRecordMalformed, func(d *Draft) { d.Seq = 1 << 53 }},
		"year 10000":            {ReasonRecordMalformed, func(d *Draft) { d.After = time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC) }},
		"first with prev":       {ReasonPrevHashMismatch, func(d *Draft) { d.PrevHash = Hash{1} }},
		"second without prev":   {ReasonPrevHashMismatch, func(d *Draft) { d.Change, d.Seq = "evolved", 2 }},
		"evolved first":         {ReasonChangeInvalid, func(d *Draft) { d.Change = "evolved" }},
		"another type's change": {ReasonChangeInvalid, func(d *Draft) { d.Change = "introduced" }},
		"a skill of keyring":    {ReasonChangeInvalid, func(d *Draft) { d.GovernanceAgentID = "keyring" }},
		"state not canonical":   {ReasonStateMalformed, func(d *Draft) { d.State = []byte(`{"a": 1}`) }},
		"state with null":       {ReasonStateMalformed, func(d *Draft) { d.State = []byte(`{"a":null}`) }},
		"no state":              {ReasonStateMalformed, func(d *Draft) { d.State = nil }},
	} {
		d := skill(10)
		v.change(&d)
		_, err := amendmentKey().sealer().Seal([]Draft{d})
		require.Equal(t, v.reason, ReasonOf(err), "%s: %v", name, err)
	}
}

// failing is a signer whose key is right and whose signing fails.
type failing struct{ crypto.Signer }

var errOutOfOrder = errors.New("out of order")

func (failing) Sign(io.Reader, []byte, crypto.SignerOpts) ([]byte, error) { return nil, errOutOfOrder }

func TestSealRefusesSealers(t *testing.T) {
	t.Parallel()
	small, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	smallID, err := KeyID(small.Public())
	require.NoError(t, err)
	for name, change := range map[string]func(*Sealer){
		"no origin":           func(s *Sealer) { s.Origin = "" },
		"origin with space":   func(s *Sealer) { s.Origin = "a b" },
		"origin with plus":    func(s *Sealer) { s.Origin = "a+b" },
		"no constitution":     func(s *Sealer) { s.Constitution = Hash{} },
		"no signer":           func(s *Sealer) { s.Signer = nil },
		"another key's id":    func(s *Sealer) { s.KeyID = rootKey().id },
		"a key of 2048 bits":  func(s *Sealer) { s.Signer, s.KeyID = small, smallID },
		"a signer that fails": func(s *Sealer) { s.Signer = failing{s.Signer} },
		"a key without form":  func(s *Sealer) { s.Signer = odd{s.Signer} },
	} {
		s := amendmentKey().sealer()
		change(&s)
		for _, drafts := range [][]Draft{{skill(1)}, {skill(1), skill(2)}} {
			_, err := s.Seal(drafts)
			require.Error(t, err, name)
		}
	}
	s := amendmentKey().sealer()
	_, err = s.Seal(nil)
	require.Error(t, err)
	_, err = s.Seal(make([]Draft, MaxBatch+1))
	require.ErrorContains(t, err, "513")
}

// odd is a signer whose public key is of no known kind.
type odd struct{ crypto.Signer }

func (odd) Public() crypto.PublicKey { return struct{}{} }

func TestSealConcurrently(t *testing.T) {
	t.Parallel()
	s := amendmentKey().sealer()
	var wait sync.WaitGroup
	for i := range 8 {
		wait.Go(func() {
			sealed, err := s.Seal([]Draft{skill(i), skill(100 + i)})
			if err == nil {
				err = VerifySignature(&amendmentKey().private.PublicKey, sealed[1])
			}
			if err != nil {
				t.Error(err)
			}
		})
	}
	wait.Wait()
}

// TestRecordRoundTrip: every record that check lets pass reads back as itself,
// from exactly its bytes.
func TestRecordRoundTrip(t *testing.T) {
	t.Parallel()
	name := rapid.StringMatching(`[^\s/\x00-\x1f\x7f]{1,20}`).Filter(func(s string) bool { return isAuthor("a/" + s) })
	hash := rapid.Custom(func(t *rapid.T) Hash {
		return HashOf([]byte(rapid.String().Draw(t, "hashed")))
	})
	rapid.Check(t, func(t *rapid.T) {
		r := Record{
			Algorithm:    rapid.SampledFrom([]string{AlgorithmDirect, AlgorithmBatch}).Draw(t, "algorithm"),
			Author:       rapid.StringMatching(`[a-z0-9-]{1,63}`).Draw(t, "slug") + "/" + name.Draw(t, "name"),
			Breaking:     rapid.Bool().Draw(t, "breaking"),
			Change:       rapid.SampledFrom(rules).Draw(t, "rule").change,
			Constitution: hash.Draw(t, "constitution"), Context: ContextAmendment,
			EntityID:          entity(rapid.IntRange(0, 1<<40).Draw(t, "entity")),
			EntityType:        rapid.SampledFrom(slices.Concat(governed, keys)).Draw(t, "type"),
			GovernanceAgentID: rapid.StringMatching(`[a-z0-9-]{1,63}`).Draw(t, "owner"),
			KeyID:             hash.Draw(t, "key").String(), Origin: rapid.String().Draw(t, "origin"),
			PrevHash:   hash.Draw(t, "prev"),
			RecordedAt: time.UnixMicro(rapid.Int64Range(0, 253402300799_999999).Draw(t, "at")).UTC(),
			Seq:        rapid.Int64Range(1, maxSeq).Draw(t, "seq"), StateHash: hash.Draw(t, "state"),
		}
		require.Nil(t, r.check())
		b := r.Bytes()
		got, err := ParseRecord(b)
		require.NoError(t, err)
		require.Equal(t, r, got)
		require.Equal(t, b, got.Bytes())
	})
}

func TestSealVerifyRoundTrip(t *testing.T) {
	t.Parallel()
	ring, _ := NewKeyring(testOrigin, rootKey().id, keyLog())
	rapid.Check(t, func(t *rapid.T) {
		drafts := make([]Draft, rapid.IntRange(1, 5).Draw(t, "drafts"))
		for i := range drafts {
			drafts[i] = skill(i)
			drafts[i].Breaking = rapid.Bool().Draw(t, "breaking")
		}
		sealed, err := amendmentKey().sealer().Seal(drafts)
		require.NoError(t, err)
		for i, e := range log(3, sealed...) {
			require.Equal(t, []Reason{""}, reasons(ring.Judge([]Entry{e})))
			require.Empty(t, VerifyChain(sealed[i:i+1]))
		}
	})
}
