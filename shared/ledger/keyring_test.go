package ledger

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/asn1"
	"encoding/base64"
	"fmt"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

// keyChange is a draft that changes the key that head introduced.
func keyChange(t testing.TB, head Amendment, change string, k testKey, use Use, may []string, more string) Draft {
	t.Helper()
	return after(head, change, string(keyStateOf(t, k, use, may, more)))
}

// twoRoots is keyLog with a second root at 3.
func twoRoots(t *testing.T) []Entry {
	t.Helper()
	sealed := rootKey().seal(t, keyDraft(t, 4, secondRoot(), UseRoot, rootMay...))
	return append(slices.Clone(keyLog()), log(3, sealed...)...)
}

func TestKeyring(t *testing.T) {
	t.Parallel()
	ring, faults := NewKeyring(testOrigin, rootKey().id, keyLog())
	require.Equal(t, []Reason{"", "", ""}, reasons(faults))
	require.True(t, ring.Rooted())
	require.Equal(t, testOrigin, ring.Origin())
	ids := []string{}
	for _, k := range ring.Keys() {
		ids = append(ids, k.ID)
	}
	require.Equal(t, []string{rootKey().id, amendmentKey().id, certificationKey().id}, ids)
	key, ok := ring.Key(amendmentKey().id)
	require.True(t, ok)
	require.Equal(t, int64(1), key.Introduced)
	require.True(t, amendmentKey().private.PublicKey.Equal(key.Public))
	_, ok = ring.Key(secondRoot().id)
	require.False(t, ok)

	require.True(t, ring.InForce(rootKey().id, 0), "a pinned root counts from 0")
	require.False(t, ring.InForce(rootKey().id, -1))
	require.False(t, ring.InForce(amendmentKey().id, 1), "introduced before, not at")
	require.True(t, ring.InForce(amendmentKey().id, 2))
	require.False(t, ring.InForce(secondRoot().id, 9))

	require.True(t, ring.MaySign(amendmentKey().id, "created", "skill"))
	require.False(t, ring.MaySign(amendmentKey().id, "drifted", "skill"), "not in may_sign")
	require.False(t, ring.MaySign(amendmentKey().id, "certified", "skill"), "not its use")
	require.False(t, ring.MaySign(amendmentKey().id, "reattested", "signing_key"))
	require.True(t, ring.MaySign(rootKey().id, "reattested", "signing_key"))
	require.False(t, ring.MaySign(rootKey().id, "reattested", "skill"))
	require.False(t, ring.MaySign(secondRoot().id, "introduced", "signing_key"))

	_, err := ring.Admit(certificationKey().id, 3, UseCertification)
	require.NoError(t, err)
	for id, want := range map[string]Reason{secondRoot().id: ReasonKeyUnknown, rootKey().id: ReasonKeyMayNotSign} {
		_, err = ring.Admit(id, 3, UseHeads)
		require.Equal(t, want, ReasonOf(err))
	}
	_, err = ring.Admit(certificationKey().id, 2, UseCertification)
	require.Equal(t, ReasonKeyNotInForce, ReasonOf(err))
}

func TestKeyringTakesAnyOrder(t *testing.T) {
	t.Parallel()
	entries := slices.Clone(keyLog())
	slices.Reverse(entries)
	ring, faults := NewKeyring(testOrigin, rootKey().id, entries)
	require.Equal(t, []Reason{"", "", ""}, reasons(faults))
	require.Len(t, ring.Keys(), 3)
}

func TestKeyringRoot(t *testing.T) {
	t.Parallel()
	good := keyLog()
	bySecond := secondRoot().seal(t, keyDraft(t, 1, secondRoot(), UseRoot, rootMay...))[0]
	forged := good[0].Amendment
	forged.Signature = slices.Clone(forged.Signature)
	forged.Signature[7] ^= 1
	noOpening := good[0].Amendment
	noOpening.Opening = nil
	ofAgent := keyDraft(t, 1, rootKey(), UseRoot, rootMay...)
	ofAgent.GovernanceAgentID = "acme"
	for name, v := range map[string]struct {
		reason Reason
		zero   Amendment
	}{
		"another root":         {ReasonRootUntrusted, bySecond},
		"signature flipped":    {ReasonSignatureInvalid, forged},
		"opening missing":      {ReasonRootUntrusted, noOpening},
		"signed by another":    {ReasonRootUntrusted, secondRoot().seal(t, keyDraft(t, 1, rootKey(), UseRoot, rootMay...))[0]},
		"introduces another":   {ReasonRootUntrusted, rootKey().seal(t, keyDraft(t, 1, secondRoot(), UseRoot, rootMay...))[0]},
		"the root for a skill": {ReasonRootUntrusted, rootKey().seal(t, skill(1))[0]},
		"of another use":       {ReasonRootUntrusted, rootKey().seal(t, keyDraft(t, 1, rootKey(), UseAmendment, rootMay...))[0]},
		"may not introduce":    {ReasonKeyMayNotSign, rootKey().seal(t, keyDraft(t, 1, rootKey(), UseRoot, "retired"))[0]},
	} {
		ring, faults := NewKeyring(testOrigin, rootKey().id, append(log(0, v.zero), good[1:]...))
		require.Equal(t, []Reason{v.reason, ReasonKeyUnknown, ReasonKeyUnknown}, reasons(faults), name)
		require.False(t, ring.Rooted(), name)
		require.Empty(t, ring.Keys())
		require.False(t, ring.InForce(rootKey().id, 5))
	}
	ring, faults := NewKeyring("other", rootKey().id, good)
	require.Equal(t, []Reason{ReasonOriginWrong, ReasonOriginWrong, ReasonOriginWrong}, reasons(faults))
	require.False(t, ring.Rooted())
	ring, faults = NewKeyring(testOrigin, rootKey().id, good[1:])
	require.Equal(t, []Reason{ReasonKeyUnknown, ReasonKeyUnknown}, reasons(faults))
	require.False(t, ring.Rooted())
	_, faults = NewKeyring(testOrigin, rootKey().id, append(log(0, good[0].Amendment), good...))
	require.Equal(t, []Reason{"", ReasonRootUntrusted, "", ""}, reasons(faults), "entry 0 twice")
}

func TestKeyringKeyRecords(t *testing.T) {
	t.Parallel()
	stranger := secondRoot()
	pub, _, err := ed25519.GenerateKey(rand.Reader)
	require.NoError(t, err)
	der, err := x509.MarshalPKIXPublicKey(pub)
	require.NoError(t, err)
	edwards := testKey{id: keyIDOf(der), spki: base64.StdEncoding.EncodeToString(der)}
	small := smallKey(t)
	intro := keyLog()[1].Amendment
	wrongID := stranger
	wrongID.id = amendmentKey().id[:63] + "0"
	newline := stranger
	newline.spki = stranger.spki[:4] + "\n" + stranger.spki[4:]
	cut := stranger
	cut.spki = stranger.spki[:40]
	noOpening := rootKey().seal(t, keyDraft(t, 9, stranger, UseAmendment, "created"))[0]
	noOpening.Opening = nil
	list := keyDraft(t, 9, stranger, UseAmendment)
	list.State = form(t, fmt.Sprintf(`{"key_id":%q,"spki":%q,"use":"amendment","reattests":"x"}`, stranger.id, stranger.spki))
	seal := func(d Draft) Amendment { return rootKey().seal(t, d)[0] }
	change := func(name, more string) Amendment {
		return seal(keyChange(t, intro, name, amendmentKey(), UseAmendment, amendmentMay, more))
	}
	unsealed := func(owner string) Amendment { // what Seal refuses
		d := keyDraft(t, 9, stranger, UseAmendment, "created")
		o, err := NewOpening(d.State)
		require.NoError(t, err)
		r := seal(d).Record
		r.GovernanceAgentID, r.StateHash = owner, o.Hash()
		b := r.Bytes()
		signature, err := Sign(rootKey().private, b)
		require.NoError(t, err)
		a, err := ReadAmendment(b, &o, signature, nil)
		require.NoError(t, err)
		return a
	}
	for name, v := range map[string]struct {
		reason Reason
		record Amendment
	}{
		"introduced":                   {"", seal(keyDraft(t, 9, stranger, UseAmendment, "created"))},
		"heads key":                    {"", seal(keyDraft(t, 9, stranger, UseHeads))},
		"checkpoint key":               {"", seal(keyDraft(t, 9, edwards, UseCheckpoint))},
		"retired":                      {"", change("retired", "")},
		"revoked from its own index":   {"", change("revoked", `,"invalid_from":3`)},
		"revoked from 0":               {"", change("revoked", `,"invalid_from":0`)},
		"revoked ahead":                {ReasonKeyMalformed, change("revoked", `,"invalid_from":4`)},
		"revoked from -1":              {ReasonKeyMalformed, change("revoked", `,"invalid_from":-1`)},
		"revoked from nowhere":         {ReasonKeyMalformed, change("revoked", "")},
		"checkpoint key for records":   {ReasonKeyMalformed, seal(keyDraft(t, 9, edwards, UseAmendment, "created"))},
		"RSA key for checkpoints":      {ReasonKeyMalformed, seal(keyDraft(t, 9, stranger, UseCheckpoint))},
		"2048 bits":                    {ReasonKeyMalformed, seal(keyDraft(t, 9, small, UseAmendment, "created"))},
		"unknown use":                  {ReasonKeyMalformed, seal(keyDraft(t, 9, stranger, "anything", "created"))},
		"key_id of another":            {ReasonKeyMalformed, seal(keyDraft(t, 9, wrongID, UseAmendment, "created"))},
		"spki with a newline":          {ReasonKeyMalformed, seal(keyDraft(t, 9, newline, UseAmendment, "created"))},
		"spki cut":                     {ReasonKeyMalformed, seal(keyDraft(t, 9, cut, UseAmendment, "created"))},
		"lists unreadable":             {ReasonKeyMalformed, seal(list)},
		"opening missing":              {ReasonKeyMalformed, noOpening},
		"of another owner":             {ReasonKeyMalformed, unsealed("acme")},
		"introduced twice":             {ReasonKeyMalformed, seal(keyDraft(t, 9, amendmentKey(), UseAmendment, amendmentMay...))},
		"root introduced twice":        {ReasonKeyMalformed, seal(keyDraft(t, 9, rootKey(), UseRoot, rootMay...))},
		"an entity introduced twice":   {ReasonKeyMalformed, seal(keyDraft(t, 2, stranger, UseAmendment, "created"))},
		"spki with more in it":         {ReasonKeyMalformed, seal(keyDraft(t, 9, longer(t, stranger), UseAmendment, "created"))},
		"may_sign changed":             {ReasonKeyMalformed, seal(keyChange(t, intro, "retired", amendmentKey(), UseAmendment, rootMay, ""))},
		"use changed":                  {ReasonKeyMalformed, seal(keyChange(t, intro, "retired", amendmentKey(), UseHeads, amendmentMay, ""))},
		"key changed":                  {ReasonKeyMalformed, seal(keyChange(t, intro, "retired", stranger, UseAmendment, amendmentMay, ""))},
		"retired, never introduced":    {ReasonKeyMalformed, seal(keyChange(t, noOpening, "retired", stranger, UseAmendment, []string{"created"}, ""))},
		"by an amendment key":          {ReasonKeyMayNotSign, amendmentKey().seal(t, keyDraft(t, 9, stranger, UseAmendment, "created"))[0]},
		"by itself":                    {ReasonKeyUnknown, stranger.seal(t, keyDraft(t, 9, stranger, UseRoot, rootMay...))[0]},
		"no key record, by the root":   {ReasonKeyMayNotSign, rootKey().seal(t, skill(9))[0]},
		"no key record, by an allowed": {"", amendmentKey().seal(t, skill(9))[0]},
		"not a record":                 {ReasonRecordMalformed, Amendment{Bytes: []byte("{}")}},
	} {
		_, faults := NewKeyring(testOrigin, rootKey().id, append(slices.Clone(keyLog()), log(3, v.record)...))
		require.Equal(t, []Reason{"", "", "", v.reason}, reasons(faults), "%s: %v", name, faults[3])
	}
}

// longer is the same key in an encoding that parsers take although it is not the
// one that encoders make.
func longer(t *testing.T, k testKey) testKey {
	t.Helper()
	der, err := base64.StdEncoding.DecodeString(k.spki)
	require.NoError(t, err)
	var outer asn1.RawValue
	_, err = asn1.Unmarshal(der, &outer)
	require.NoError(t, err)
	der, err = asn1.Marshal(asn1.RawValue{Tag: asn1.TagSequence, IsCompound: true, Bytes: append(outer.Bytes, 5, 0)})
	require.NoError(t, err)
	_, err = x509.ParsePKIXPublicKey(der)
	require.NoError(t, err)
	k.spki = base64.StdEncoding.EncodeToString(der)
	return k
}

func smallKey(t *testing.T) testKey {
	t.Helper()
	private, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	der, err := x509.MarshalPKIXPublicKey(private.Public())
	require.NoError(t, err)
	return testKey{private, keyIDOf(der), base64.StdEncoding.EncodeToString(der)}
}

func TestKeyringRetirement(t *testing.T) {
	t.Parallel()
	retired := rootKey().seal(t, keyChange(t, keyLog()[1].Amendment, "retired", amendmentKey(), UseAmendment, amendmentMay, ""))
	again := rootKey().seal(t, keyChange(t, retired[0], "retired", amendmentKey(), UseAmendment, amendmentMay, ""))
	ring, faults := NewKeyring(testOrigin, rootKey().id, slices.Concat(keyLog(), log(5, retired[0], again[0])))
	require.Equal(t, make([]Reason, 5), reasons(faults))
	require.True(t, ring.InForce(amendmentKey().id, 5), "not retired before 5")
	require.False(t, ring.InForce(amendmentKey().id, 6))
	_, err := ring.Admit(amendmentKey().id, 6, UseAmendment)
	require.Equal(t, ReasonKeyRetired, ReasonOf(err))
	a := amendmentKey().seal(t, skill(9))[0]
	require.Equal(t, []Reason{""}, reasons(ring.Judge(log(4, a))))
	require.Equal(t, []Reason{ReasonKeyRetired}, reasons(ring.Judge(log(6, a))))
}

// TestKeyringRevocationReachesBack: a second root introduced a key and is revoked
// from before that on.
func TestKeyringRevocationReachesBack(t *testing.T) {
	t.Parallel()
	entries := twoRoots(t)
	third := thirdKey()
	byThird := secondRoot().seal(t, keyDraft(t, 5, third, UseAmendment, "created", "evolved", "reattested"))[0]
	// the second root revokes the amendment key at 5, and is itself revoked at 6 from 4 on
	revokes := secondRoot().seal(t, keyChange(t, entries[1].Amendment, "revoked", amendmentKey(), UseAmendment, amendmentMay, `,"invalid_from":5`))[0]
	revoked := rootKey().seal(t, keyChange(t, entries[3].Amendment, "revoked", secondRoot(), UseRoot, rootMay, `,"invalid_from":4`))[0]
	entries = append(entries, log(4, byThird, revokes, revoked)...)
	ring, faults := NewKeyring(testOrigin, rootKey().id, entries)
	require.Equal(t, []Reason{"", "", "", "", ReasonKeyRevoked, ReasonKeyRevoked, ""}, reasons(faults))
	require.False(t, ring.InForce(secondRoot().id, 4), "not from 4 on")
	require.False(t, ring.InForce(third.id, 5), "its introduction is void")
	require.True(t, ring.Revoked(third.id, 5))
	require.False(t, ring.InForce(amendmentKey().id, 5), "a revocation logged while its signer was in force stays")
	require.True(t, ring.InForce(amendmentKey().id, 4))
	chain := log(5, third.seal(t, skill(9))[0])
	require.Equal(t, []Reason{ReasonKeyRevoked}, reasons(ring.Judge(chain)))

	// The first root reattests the introduction: the key is in force again.
	lists := fmt.Sprintf(`,"reattests":[%q]`, byThird.Hash)
	reattested := rootKey().seal(t, keyChange(t, byThird, "reattested", third, UseAmendment, []string{"created", "evolved", "reattested"}, lists))[0]
	ring, faults = NewKeyring(testOrigin, rootKey().id, append(entries, log(7, reattested)...))
	require.Equal(t, []Reason{"", "", "", "", "", ReasonKeyRevoked, "", ""}, reasons(faults))
	require.True(t, ring.InForce(third.id, 5))
	require.Equal(t, []Reason{""}, reasons(ring.Judge(chain)))

	// It lifts nothing of another key's chain, and nothing later in the log.
	may := []string{"created", "evolved", "reattested"}
	elsewhere := rootKey().seal(t, keyChange(t, keyLog()[2].Amendment, "reattested", certificationKey(), UseCertification, certificationMay, lists))[0]
	retired := secondRoot().seal(t, keyChange(t, byThird, "retired", third, UseAmendment, may, ""))[0]
	early := rootKey().seal(t, keyChange(t, retired, "reattested", third, UseAmendment, may, fmt.Sprintf(`,"reattests":[%q]`, retired.Hash)))[0]
	last := rootKey().seal(t, keyChange(t, elsewhere, "reattested", certificationKey(), UseCertification, certificationMay, lists))[0]
	_, faults = NewKeyring(testOrigin, rootKey().id, append(slices.Clone(entries), log(7, elsewhere, early, retired, last)...))
	require.Equal(t, []Reason{"", "", "", "", ReasonKeyRevoked, ReasonKeyRevoked, "", "", "", ReasonKeyRevoked, ""}, reasons(faults))

	// By the revoked root itself it lifts nothing.
	own := secondRoot().seal(t, keyChange(t, byThird, "reattested", third, UseAmendment, []string{"created", "evolved", "reattested"}, lists))[0]
	_, faults = NewKeyring(testOrigin, rootKey().id, append(slices.Clone(entries), log(7, own)...))
	require.Equal(t, []Reason{"", "", "", "", ReasonKeyRevoked, ReasonKeyRevoked, "", ReasonKeyRevoked}, reasons(faults))

	// Reattested in its turn by the first, it does: the first lists the second's.
	more := fmt.Sprintf(`,"reattests":[%q]`, own.Hash)
	turn := rootKey().seal(t, keyChange(t, own, "reattested", third, UseAmendment, []string{"created", "evolved", "reattested"}, more))[0]
	_, faults = NewKeyring(testOrigin, rootKey().id, append(slices.Clone(entries), log(7, own, turn)...))
	require.Equal(t, []Reason{"", "", "", "", "", ReasonKeyRevoked, "", "", ""}, reasons(faults))
}

func TestKeyringRevocationsThatDoNotCount(t *testing.T) {
	t.Parallel()
	entries := twoRoots(t)
	secondRevoked := rootKey().seal(t, keyChange(t, entries[3].Amendment, "revoked", secondRoot(), UseRoot, rootMay, `,"invalid_from":4`))[0]
	late := secondRoot().seal(t, keyChange(t, entries[1].Amendment, "revoked", amendmentKey(), UseAmendment, amendmentMay, `,"invalid_from":2`))[0]
	ring, faults := NewKeyring(testOrigin, rootKey().id, append(slices.Clone(entries), log(4, secondRevoked, late)...))
	require.Equal(t, []Reason{"", "", "", "", "", ReasonKeyRevoked}, reasons(faults))
	require.True(t, ring.InForce(amendmentKey().id, 9), "its signer was out of force when it was logged")

	third := thirdKey()
	lateIntro := secondRoot().seal(t, keyDraft(t, 5, third, UseAmendment, "created"))[0]
	ring, faults = NewKeyring(testOrigin, rootKey().id, append(slices.Clone(entries), log(4, secondRevoked, lateIntro)...))
	require.Equal(t, ReasonKeyRevoked, faults[5].Reason)
	require.Equal(t, []Reason{ReasonKeyUnknown}, reasons(ring.Judge(log(7, third.seal(t, skill(9))[0]))))

	itself := secondRoot().seal(t, keyChange(t, entries[3].Amendment, "revoked", secondRoot(), UseRoot, rootMay, `,"invalid_from":0`))[0]
	ring, faults = NewKeyring(testOrigin, rootKey().id, append(slices.Clone(entries), log(4, itself)...))
	require.Equal(t, make([]Reason, 5), reasons(faults))
	require.True(t, ring.InForce(secondRoot().id, 5), "none revokes itself")

	pinned := secondRoot().seal(t, keyChange(t, entries[0].Amendment, "revoked", rootKey(), UseRoot, rootMay, `,"invalid_from":0`))[0]
	ring, faults = NewKeyring(testOrigin, rootKey().id, append(slices.Clone(entries), log(4, pinned)...))
	require.Equal(t, make([]Reason, 5), reasons(faults))
	require.True(t, ring.InForce(rootKey().id, 5), "a pinned root is revoked by pinning another")
}

func TestJudgeReattested(t *testing.T) {
	t.Parallel()
	second := thirdKey()
	introduced := rootKey().seal(t, keyDraft(t, 4, second, UseAmendment, "created", "evolved", "reattested"))
	revoked := rootKey().seal(t, keyChange(t, keyLog()[1].Amendment, "revoked", amendmentKey(), UseAmendment, amendmentMay, `,"invalid_from":5`))
	ring, faults := NewKeyring(testOrigin, rootKey().id, slices.Concat(keyLog(), log(3, introduced[0]), log(7, revoked[0])))
	require.Equal(t, make([]Reason, 5), reasons(faults))

	first := amendmentKey().seal(t, skill(9))[0]
	voided := amendmentKey().seal(t, after(first, "evolved", `{"name":"y"}`))[0]
	reattest := func(by testKey, h Hash, d Amendment) Amendment {
		return by.seal(t, after(d, "reattested", fmt.Sprintf(`{"name":"y","reattests":[%q]}`, h)))[0]
	}
	good := reattest(second, voided.Hash, voided)
	evolved := second.seal(t, after(voided, "evolved", fmt.Sprintf(`{"name":"y","reattests":[%q]}`, voided.Hash)))[0]
	noOpening := good
	noOpening.Opening = nil
	own := reattest(amendmentKey(), voided.Hash, voided)
	forged := voided
	forged.Signature = first.Signature
	saved := reattest(second, own.Hash, own)
	for name, v := range map[string]struct {
		want  []Reason
		chain []Entry
	}{
		"before the revocation":  {[]Reason{""}, log(4, first)},
		"void":                   {[]Reason{"", ReasonKeyRevoked}, log(4, first, voided)},
		"reattested":             {[]Reason{"", "", ""}, log(4, first, voided, good)},
		"of no valid signature":  {[]Reason{"", ReasonSignatureInvalid, ""}, log(4, first, forged, good)},
		"another hash":           {[]Reason{"", ReasonKeyRevoked, ""}, log(4, first, voided, reattest(second, first.Hash, voided))},
		"another change":         {[]Reason{"", ReasonKeyRevoked, ""}, log(4, first, voided, evolved)},
		"no opening":             {[]Reason{"", ReasonKeyRevoked, ""}, log(4, first, voided, noOpening)},
		"by the revoked key":     {[]Reason{"", ReasonKeyRevoked, ReasonKeyRevoked}, log(4, first, voided, own)},
		"which is reattested":    {[]Reason{"", "", "", ""}, log(4, first, voided, own, saved)},
		"earlier than the void":  {[]Reason{"", "", ReasonKeyRevoked}, []Entry{log(4, first)[0], {good, 5}, {voided, 6}}},
		"in another entity":      {[]Reason{ReasonKeyRevoked, ""}, log(5, voided, second.seal(t, after(amendmentKey().seal(t, skill(8))[0], "reattested", string(good.Opening.State)))[0])},
		"not the record's state": {[]Reason{"", ReasonKeyRevoked, ""}, log(4, first, voided, otherOpening(t, good))},
	} {
		require.Equal(t, v.want, reasons(ring.Judge(v.chain)), name)
	}
}

// otherOpening gives an amendment an opening that the record does not commit to.
func otherOpening(t *testing.T, a Amendment) Amendment {
	t.Helper()
	o, err := NewOpening(a.Opening.State)
	require.NoError(t, err)
	a.Opening = &o
	return a
}
