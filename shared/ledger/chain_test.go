package ledger

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// life is a chain of five: created, evolved and moved in one batch, moved, erased
// (of seq 2).
func life(t testing.TB) []Amendment {
	t.Helper()
	second, third := skill(20), skill(20)
	second.Change, second.Seq, second.State = "evolved", 2, []byte(`{"name":"second"}`)
	third.Change, third.Seq, third.State = "moved", 3, []byte(`{"name":"second","status":"under_review"}`)
	chain := amendmentKey().seal(t, skill(20), second, third)
	chain = append(chain, amendmentKey().seal(t, after(chain[2], "moved", `{"name":"second","status":"draft"}`))...)
	return append(chain, amendmentKey().seal(t, after(chain[3], "erased", `{"erased_seqs":[2,4],"name":"second"}`))...)
}

// forge signs a record that Seal would refuse.
func forge(t testing.TB, k testKey, r Record, o *Opening) Amendment {
	t.Helper()
	b := r.Bytes()
	signature, err := Sign(k.private, b)
	require.NoError(t, err)
	return Amendment{Record: r, Bytes: b, Hash: HashOf(b), Opening: o, Signature: signature}
}

func TestVerifyChain(t *testing.T) {
	t.Parallel()
	good := life(t)
	require.Empty(t, VerifyChain(good))
	require.Empty(t, VerifyChain(nil))
	last := good[3]
	change := func(edit func(*Record)) []Amendment {
		r := last.Record
		edit(&r)
		return append(slices.Clone(good[:3]), forge(t, amendmentKey(), r, last.Opening))
	}
	text := func(edit func(string) string) []Amendment {
		a := last
		a.Bytes = []byte(edit(string(a.Bytes)))
		a.Hash = HashOf(a.Bytes)
		return append(slices.Clone(good[:3]), a)
	}
	state := func(s string) []Amendment {
		o := &Opening{State: []byte(s)}
		r := last.Record
		r.StateHash = o.Hash()
		return append(slices.Clone(good[:3]), forge(t, amendmentKey(), r, o))
	}
	hash := slices.Clone(good)
	hash[3].Hash = Hash{}
	foreign := slices.Clone(good)
	foreign[3] = otherOpening(t, last)
	for name, v := range map[string]struct {
		at     int
		reason Reason
		chain  []Amendment
	}{
		"malformed":            {3, ReasonRecordMalformed, text(func(s string) string { return s + "x" })},
		"spaced":               {3, ReasonRecordNotCanonical, text(func(s string) string { return s + " " })},
		"another context":      {3, ReasonContextWrong, change(func(r *Record) { r.Context = ContextBatch })},
		"stored hash wrong":    {3, ReasonHashMismatch, hash},
		"another entity":       {3, ReasonEntityChanged, change(func(r *Record) { r.EntityID = entity(21) })},
		"gap":                  {3, ReasonSeqGap, change(func(r *Record) { r.Seq = 5 })},
		"fork":                 {3, ReasonSeqDuplicate, change(func(r *Record) { r.Seq = 3 })},
		"twice":                {1, ReasonSeqDuplicate, []Amendment{good[0], good[0]}},
		"beginning cut off":    {0, ReasonSeqGap, good[1:]},
		"middle cut out":       {1, ReasonSeqGap, []Amendment{good[0], good[2]}},
		"prev wrong":           {3, ReasonPrevHashMismatch, change(func(r *Record) { r.PrevHash = good[1].Hash })},
		"first with prev":      {0, ReasonPrevHashMismatch, []Amendment{forge(t, amendmentKey(), withPrev(good[0].Record), good[0].Opening)}},
		"another type":         {3, ReasonTypeChanged, change(func(r *Record) { r.EntityType = "industry" })},
		"another owner":        {3, ReasonOwnerChanged, change(func(r *Record) { r.GovernanceAgentID = "other" })},
		"earlier":              {3, ReasonTimeBackwards, change(func(r *Record) { r.RecordedAt = r.RecordedAt.Add(-time.Microsecond) })},
		"created again":        {3, ReasonChangeInvalid, change(func(r *Record) { r.Change = "created" })},
		"a key's change":       {3, ReasonChangeInvalid, change(func(r *Record) { r.Change = "retired" })},
		"first is evolved":     {0, ReasonChangeInvalid, []Amendment{forge(t, amendmentKey(), withChange(good[0].Record, "evolved"), good[0].Opening)}},
		"another opening":      {3, ReasonStateHashMismatch, foreign},
		"state hash wrong":     {3, ReasonStateHashMismatch, change(func(r *Record) { r.StateHash = Hash{} })},
		"state not canonical":  {3, ReasonStateMalformed, state(`{"a": 1}`)},
		"state with null":      {3, ReasonStateMalformed, state(`{"a":null}`)},
		"state twice a member": {3, ReasonStateMalformed, state(`{"a":1,"a":1}`)},
		"opening missing":      {3, ReasonOpeningMissing, without(good[:4], 3)},
	} {
		breaks := VerifyChain(v.chain)
		require.NotEmpty(t, breaks, name)
		require.Equal(t, v.at, breaks[0].Index, name)
		require.Equal(t, v.reason, breaks[0].Fault.Reason, name)
	}
}

func withPrev(r Record) Record {
	r.PrevHash = Hash{1}
	return r
}

func withChange(r Record, change string) Record {
	r.Change = change
	return r
}

// without returns the chain without the openings at these places.
func without(chain []Amendment, at ...int) []Amendment {
	chain = slices.Clone(chain)
	for _, i := range at {
		chain[i].Opening = nil
	}
	return chain
}

// TestVerifyChainReportsEach: a break does not hide a later one, and is not
// repeated by what rightly follows.
func TestVerifyChainReportsEach(t *testing.T) {
	t.Parallel()
	chain := life(t)
	chain[1].Bytes = []byte("nonsense")
	chain[3] = otherOpening(t, chain[3])
	var got []string
	for _, b := range VerifyChain(chain) {
		got = append(got, b.Error())
	}
	require.Len(t, got, 3)
	require.Contains(t, got[0], "amendment 1: record_malformed")
	require.Contains(t, got[1], "amendment 2: prev_hash_mismatch")
	require.Contains(t, got[2], "amendment 3: state_hash_mismatch")
}

func TestVerifyChainOptions(t *testing.T) {
	t.Parallel()
	chain := life(t)
	require.Empty(t, VerifyChain(chain, KnownConstitutions(func(h Hash) bool { return h == testConstitution })))
	breaks := VerifyChain(chain, KnownConstitutions(func(h Hash) bool { return false }))
	require.Len(t, breaks, 5)
	require.Equal(t, ReasonConstitutionUnknown, breaks[0].Fault.Reason)

	require.Empty(t, VerifyChain(without(chain, 0), Withheld(func(i int) bool { return i == 0 })))
	require.Len(t, VerifyChain(without(chain, 0), Withheld(func(i int) bool { return i == 1 })), 1)
}

func TestErasure(t *testing.T) {
	t.Parallel()
	chain := life(t) // the last erases 2 and 4
	require.Empty(t, VerifyChain(without(chain, 1, 3)))
	require.Len(t, VerifyChain(without(chain, 0)), 1, "not listed")
	require.Len(t, VerifyChain(without(chain, 1), Signed(func(i int) bool { return i != 4 })), 1, "not by a key that may erase")
	require.Len(t, VerifyChain(without(chain, 4)), 1, "what erases is not erased")
	require.Len(t, VerifyChain(without(chain, 1, 4)), 2, "and without it nothing is known to be")

	own := amendmentKey().seal(t, after(chain[4], "erased", `{"erased_seqs":[1,5,6,7],"name":"second"}`))[0]
	last := amendmentKey().seal(t, after(own, "evolved", `{"name":"third"}`))[0]
	more := append(slices.Clone(chain), own, last)
	require.Empty(t, VerifyChain(more))
	require.Empty(t, VerifyChain(without(more, 0)))
	require.Len(t, VerifyChain(without(more, 4)), 1, "an erased record keeps its opening, or nobody knows what it erased")
	require.Len(t, VerifyChain(without(more, 6)), 1, "a later one")
	badly := amendmentKey().seal(t, after(chain[4], "erased", `{"erased_seqs":"all","name":"second"}`))[0]
	require.Len(t, VerifyChain(without(append(slices.Clone(chain), badly), 0)), 1)
}

func TestVerifySignature(t *testing.T) {
	t.Parallel()
	pub := &amendmentKey().private.PublicKey
	direct := amendmentKey().seal(t, skill(30))[0]
	batch := amendmentKey().seal(t, skill(31), skill(32), skill(33))
	edited := func(edit func(*statement)) Amendment {
		a := batch[1]
		s, f := readStatement(a.Batch.Statement)
		require.Nil(t, f)
		edit(&s)
		return resign(t, a, s.bytes())
	}
	text := func(old, new string) Amendment {
		return resign(t, batch[1], []byte(strings.Replace(string(batch[1].Batch.Statement), old, new, 1)))
	}
	place := func(edit func(*Batch)) Amendment {
		a := batch[1]
		b := *a.Batch
		b.Path = slices.Clone(b.Path)
		edit(&b)
		a.Batch = &b
		return a
	}
	other := func(options *rsa.PSSOptions) Amendment {
		a := direct
		digest := sha256.Sum256(a.Bytes)
		var err error
		a.Signature, err = rsa.SignPSS(rand.Reader, amendmentKey().private, crypto.SHA256, digest[:], options)
		require.NoError(t, err)
		return a
	}
	digest := sha256.Sum256(direct.Bytes)
	pkcs1 := direct
	var err error
	pkcs1.Signature, err = rsa.SignPKCS1v15(rand.Reader, amendmentKey().private, crypto.SHA256, digest[:])
	require.NoError(t, err)
	noBatch, withBatch := batch[1], direct
	noBatch.Batch, withBatch.Batch = nil, batch[1].Batch
	sha512 := withAlgorithm(t, direct, "RSA4096-PSS-SHA512")
	asDirect := withAlgorithm(t, noBatch, AlgorithmDirect)
	asDirect.Signature = batch[1].Signature
	var warm Signatures // it has seen the statement that the cases are about
	require.NoError(t, warm.Verify(pub, batch[0]))
	for name, v := range map[string]struct {
		reason Reason
		a      Amendment
	}{
		"direct":                  {"", direct},
		"first of three":          {"", batch[0]},
		"last of three":           {"", batch[2]},
		"salt 20":                 {ReasonSignatureInvalid, other(&rsa.PSSOptions{SaltLength: 20})},
		"salt 33":                 {ReasonSignatureInvalid, other(&rsa.PSSOptions{SaltLength: 33})},
		"salt of its own length":  {"", other(&rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash})},
		"PKCS #1 v1.5":            {ReasonSignatureInvalid, pkcs1},
		"no signature":            {ReasonSignatureInvalid, Amendment{Bytes: direct.Bytes}},
		"not a record":            {ReasonRecordMalformed, Amendment{Bytes: []byte("{}")}},
		"another context":         {ReasonContextWrong, withContext(t, direct, "plant/heads/v1")},
		"another algorithm":       {ReasonAlgorithmUnknown, sha512},
		"batch left out":          {ReasonAlgorithmMismatch, noBatch},
		"batch put in":            {ReasonAlgorithmMismatch, withBatch},
		"a batch's as direct":     {ReasonSignatureInvalid, asDirect},
		"statement not canonical": {ReasonBatchMalformed, text("{", "{ ")},
		"a member more":           {ReasonBatchMalformed, text(`"size":3`, `"size":3,"x":1`)},
		"a member less":           {ReasonBatchMalformed, text(`,"size":3`, ``)},
		"no statement":            {ReasonBatchMalformed, text(string(batch[1].Batch.Statement), ``)},
		"size no integer":         {ReasonBatchMalformed, text(`"size":3`, `"size":3.0`)},
		"time without digits":     {ReasonBatchMalformed, text(`.123456Z`, `Z`)},
		"size 0":                  {ReasonBatchMalformed, edited(func(s *statement) { s.size = 0 })},
		"size 513":                {ReasonBatchMalformed, edited(func(s *statement) { s.size = 513 })},
		"statement's context":     {ReasonContextWrong, edited(func(s *statement) { s.context = ContextAmendment })},
		"statement's origin":      {ReasonBatchMismatch, edited(func(s *statement) { s.origin = "other" })},
		"statement's key":         {ReasonBatchMismatch, edited(func(s *statement) { s.keyID = rootKey().id })},
		"size signed larger":      {ReasonBatchPathInvalid, edited(func(s *statement) { s.size = 5 })},
		"statement's time":        {ReasonSignatureInvalid, resignedBy(t, batch[1], func(s *statement) { s.recordedAt = time.Unix(0, 0) })},
		"statement's root":        {ReasonBatchPathInvalid, edited(func(s *statement) { s.root[0] ^= 1 })},
		"index of another":        {ReasonBatchPathInvalid, place(func(b *Batch) { b.Index = 0 })},
		"index is the size":       {ReasonBatchPathInvalid, place(func(b *Batch) { b.Index = 3 })},
		"index negative":          {ReasonBatchPathInvalid, place(func(b *Batch) { b.Index = -1 })},
		"path too long":           {ReasonBatchPathInvalid, place(func(b *Batch) { b.Path = append(b.Path, Hash{}) })},
		"path too short":          {ReasonBatchPathInvalid, place(func(b *Batch) { b.Path = b.Path[:1] })},
		"path changed":            {ReasonBatchPathInvalid, place(func(b *Batch) { b.Path[0][5] ^= 1 })},
	} {
		err := VerifySignature(pub, v.a)
		require.Equal(t, v.reason, ReasonOf(err), "%s: %v", name, err)
		if v.reason == "" {
			require.NoError(t, err, name)
		}
		require.Equal(t, v.reason, ReasonOf(warm.Verify(pub, v.a)), name)
		ring, _ := NewKeyring(testOrigin, rootKey().id, keyLog())
		require.Equal(t, []Reason{v.reason}, reasons(ring.Judge(log(3, v.a))), name)
	}
	require.Equal(t, ReasonKeyUnknown, ReasonOf(VerifySignature(&rootKey().private.PublicKey, direct)))
	require.Equal(t, ReasonKeyUnknown, ReasonOf(warm.Verify(&rootKey().private.PublicKey, batch[0])))
	require.Equal(t, ReasonKeyUnknown, ReasonOf(VerifySignature(&rsa.PublicKey{}, direct)))
	small := smallKey(t)
	require.Error(t, Verify(&small.private.PublicKey, nil, nil))
	require.Error(t, Verify(nil, nil, nil))
}

// TestProven: what a keyring remembers of a statement is of nothing else.
func TestProven(t *testing.T) {
	t.Parallel()
	ring, _ := NewKeyring(testOrigin, rootKey().id, keyLog())
	batch := amendmentKey().seal(t, skill(31), skill(32))
	changed := resignedBy(t, batch[1], func(s *statement) { s.recordedAt = time.Unix(0, 0) })
	flipped := batch[1]
	flipped.Signature = slices.Clone(flipped.Signature)
	flipped.Signature[100] ^= 1
	for range 2 {
		for _, a := range batch {
			require.Equal(t, []Reason{""}, reasons(ring.Judge(log(3, a))))
		}
		for _, a := range []Amendment{changed, flipped} {
			require.Equal(t, []Reason{ReasonSignatureInvalid}, reasons(ring.Judge(log(3, a))))
		}
	}
	pub := &amendmentKey().private.PublicKey
	var full proven
	full.held = map[Hash]struct{}{}
	for i := range maxProven {
		full.held[Hash{byte(i), byte(i >> 8), byte(i >> 16), 1}] = struct{}{}
	}
	require.NoError(t, full.verify(pub, amendmentKey().id, batch[0].Batch.Statement, batch[0].Signature))
	require.Len(t, full.held, 1, "bounded: it forgets rather than grows")
}

// resign signs another statement in place of the batch's.
func resign(t *testing.T, a Amendment, b []byte) Amendment {
	t.Helper()
	signature, err := Sign(amendmentKey().private, b)
	require.NoError(t, err)
	a.Batch = &Batch{b, a.Batch.Index, a.Batch.Path}
	a.Signature = signature
	return a
}

// resignedBy changes the statement and keeps the signature.
func resignedBy(t *testing.T, a Amendment, edit func(*statement)) Amendment {
	t.Helper()
	s, f := readStatement(a.Batch.Statement)
	require.Nil(t, f)
	edit(&s)
	a.Batch = &Batch{s.bytes(), a.Batch.Index, a.Batch.Path}
	return a
}

func withAlgorithm(t *testing.T, a Amendment, algorithm string) Amendment {
	t.Helper()
	r := a.Record
	r.Algorithm = algorithm
	return forge(t, amendmentKey(), r, a.Opening)
}

func withContext(t *testing.T, a Amendment, context string) Amendment {
	t.Helper()
	r := a.Record
	r.Context = context
	return forge(t, amendmentKey(), r, a.Opening)
}

// TestTampering: whatever single bit is changed in anything that is verified, the
// signatures or the chain say so.
func TestTampering(t *testing.T) {
	t.Parallel()
	chain := life(t)
	ring, _ := NewKeyring(testOrigin, rootKey().id, keyLog())
	parts := []func(*Amendment) *[]byte{
		func(a *Amendment) *[]byte { return &a.Bytes },
		func(a *Amendment) *[]byte { return &a.Signature },
		func(a *Amendment) *[]byte { return &a.Opening.State },
		func(a *Amendment) *[]byte { return &a.Batch.Statement },
	}
	rapid.Check(t, func(t *rapid.T) {
		bad := slices.Clone(chain)
		at := rapid.IntRange(0, len(bad)-1).Draw(t, "amendment")
		a := &bad[at]
		o := *a.Opening
		a.Opening = &o
		part := rapid.IntRange(0, 5).Draw(t, "part")
		if part >= 3 && a.Batch == nil {
			part = 0
		}
		if a.Batch != nil {
			b := *a.Batch
			b.Path = slices.Clone(b.Path)
			a.Batch = &b
		}
		bit := rapid.IntRange(0, 1<<20).Draw(t, "bit")
		switch part {
		case 4:
			a.Batch.Path[bit/256%len(a.Batch.Path)][bit/8%32] ^= 1 << (bit % 8)
		case 5:
			a.Opening.Salt[bit/8%32] ^= 1 << (bit % 8)
		default:
			p := parts[part](a)
			*p = slices.Clone(*p)
			(*p)[bit/8%len(*p)] ^= 1 << (bit % 8)
		}
		faults := ring.Judge(log(3, bad...))
		breaks := VerifyChain(bad)
		require.True(t, faults[at] != nil || len(breaks) > 0)
		if part == 0 || part == 1 {
			require.NotNil(t, faults[at], "record and signature are held by the signature alone")
		}
	})
}
