package ledger

import (
	"crypto"
	"crypto/x509"
	"encoding/base64"
	"slices"

	"github.com/go-json-experiment/json"
)

// Key is a signing key as the ledger knows it.
type Key struct {
	ID      string           // lower-case hex SHA-256 of SPKI
	SPKI    []byte           // SubjectPublicKeyInfo, DER
	Public  crypto.PublicKey // *rsa.PublicKey, or ed25519.PublicKey for UseCheckpoint
	Use     Use
	MaySign []string // changes; none for UseHeads and UseCheckpoint

	EntityID    string // the signing_key entity
	Introduced  int64  // log index
	Retired     int64  // log index, or -1
	InvalidFrom int64  // log index from which a revocation voids what it signed, or -1

	introduction Hash   // of the record that introduced it
	introducer   string // the key that signed that record
}

// maySign reports whether both the key's use and its list allow a change.
func (k *Key) maySign(change, entityType string) bool {
	use, ok := UseFor(change, entityType)
	return ok && k.Use == use && slices.Contains(k.MaySign, change)
}

// keyState is what the state of a signing_key entity says that matters here.
type keyState struct {
	KeyID       string   `json:"key_id"`
	SPKI        string   `json:"spki"`
	Use         Use      `json:"use"`
	MaySign     []string `json:"may_sign"`
	InvalidFrom *int64   `json:"invalid_from"`
	Reattests   []Hash   `json:"reattests"`
}

// readKeyState reads the state after an amendment of a signing_key entity, if it
// is the one that the record commits to.
func readKeyState(r Record, opening *Opening) (keyState, *Fault) {
	var s keyState
	if !opens(r, opening) {
		return s, fault(ReasonKeyMalformed, "no opening, or not the record's")
	}
	if err := json.Unmarshal(opening.State, &s); err != nil {
		return s, fault(ReasonKeyMalformed, "the state is not that of a key")
	}
	return s, nil
}

// key makes the key that the state introduces.
func (s keyState) key() (*Key, *Fault) {
	der, err := base64.StdEncoding.DecodeString(s.SPKI)
	if err != nil || base64.StdEncoding.EncodeToString(der) != s.SPKI {
		return nil, fault(ReasonKeyMalformed, "spki is not base64")
	}
	pub, err := x509.ParsePKIXPublicKey(der)
	if err != nil {
		return nil, fault(ReasonKeyMalformed, "spki is not a public key")
	}
	id, err := KeyID(pub)
	if err != nil || id != s.KeyID || keyIDOf(der) != s.KeyID {
		return nil, fault(ReasonKeyMalformed, "key_id is not the SHA-256 of spki")
	}
	if !fitsUse(pub, s.Use) {
		return nil, fault(ReasonKeyMalformed, "the key's kind or size is not what its use demands")
	}
	return &Key{
		ID: id, SPKI: der, Public: pub, Use: s.Use, MaySign: s.MaySign,
		Retired: -1, InvalidFrom: -1,
	}, nil
}

// same reports whether the state still tells the facts of the key.
func (s keyState) same(k *Key) bool {
	return s.KeyID == k.ID && s.SPKI == base64.StdEncoding.EncodeToString(k.SPKI) &&
		s.Use == k.Use && slices.Equal(s.MaySign, k.MaySign)
}

// opens reports whether an opening is the one that the record commits to.
func opens(r Record, o *Opening) bool { return o != nil && o.Hash() == r.StateHash }
