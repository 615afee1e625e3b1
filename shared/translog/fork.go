package translog

import (
	"crypto/rsa"
	"fmt"
	"time"

	"github.com/dlai-sd/plant/shared/domain/canonical"
	"github.com/dlai-sd/plant/shared/ledger"
	"github.com/go-json-experiment/json"
)

// ContextFork is what a fork's statement says of itself.
const ContextFork = "plant/fork/v1"

// Fork is what a root says when a log cannot go on: the database was restored from
// a backup that is older than what was published. The log begins anew under
// another origin, with all the entries that are left, so that the tree of every
// checkpoint up to Good is a prefix of every tree of the new origin, which
// consistency proofs show. What Lost covers beyond Good is given up, and said to
// be. The statement is the new log's first entry of its own; the amendments before
// it name the old origin, those behind it the new one.
type Fork struct {
	Origin     string     // the new one
	FromOrigin string     // the old one
	Number     int64      // of Lost among the published; the new log's first has the next
	Lost       Checkpoint // the newest published of the old origin
	Good       Checkpoint // the newest published that the entries left agree with
	KeyID      string     // of a root
	RecordedAt time.Time  // UTC, microseconds
}

// forkText is a statement as JSON, in the order of canonical form.
type forkText struct {
	Algorithm  string      `json:"algorithm"`
	Context    string      `json:"context"`
	FromOrigin string      `json:"from_origin"`
	GoodRoot   ledger.Hash `json:"good_root"`
	GoodSize   int64       `json:"good_size"`
	KeyID      string      `json:"key_id"`
	LostNumber int64       `json:"lost_number"`
	LostRoot   ledger.Hash `json:"lost_root"`
	LostSize   int64       `json:"lost_size"`
	Origin     string      `json:"origin"`
	RecordedAt string      `json:"recorded_at"`
}

// Bytes returns the statement in canonical form (RFC 8785): exactly what is
// signed, and whose SHA-256 is the log entry.
func (f Fork) Bytes() ([]byte, error) {
	b, err := json.Marshal(forkText{
		Algorithm: ledger.AlgorithmDirect, Context: ContextFork, FromOrigin: f.FromOrigin,
		GoodRoot: f.Good.Root, GoodSize: f.Good.Size, KeyID: f.KeyID, LostNumber: f.Number, LostRoot: f.Lost.Root,
		LostSize: f.Lost.Size, Origin: f.Origin, RecordedAt: f.RecordedAt.UTC().Format(ledger.TimeLayout),
	}, json.Deterministic(true))
	if err != nil {
		return nil, fmt.Errorf("fork: %w", err)
	}
	if _, err := ParseFork(b); err != nil {
		return nil, err
	}
	return b, nil
}

// ParseFork reads a fork's statement exactly as Bytes writes it.
func ParseFork(b []byte) (Fork, error) {
	if err := canonical.CheckNoNull(b); err != nil {
		return Fork{}, fmt.Errorf("fork: %w", err)
	}
	var t forkText
	if err := json.Unmarshal(b, &t, json.RejectUnknownMembers(true)); err != nil {
		return Fork{}, fmt.Errorf("fork: not the members of a statement")
	}
	at, err := time.Parse(ledger.TimeLayout, t.RecordedAt)
	again, canonicalErr := json.Marshal(t, json.Deterministic(true))
	sound := err == nil && canonicalErr == nil && string(again) == string(b) && at.Format(ledger.TimeLayout) == t.RecordedAt &&
		t.Context == ContextFork && t.Algorithm == ledger.AlgorithmDirect && t.Origin != t.FromOrigin &&
		ledger.CheckOrigin(t.Origin) == nil && ledger.CheckOrigin(t.FromOrigin) == nil &&
		t.LostNumber >= 1 && t.GoodSize >= 0 && t.GoodSize <= t.LostSize && t.LostSize <= maxInteger
	if !sound {
		return Fork{}, fmt.Errorf("fork: not a statement in canonical form")
	}
	return Fork{
		Origin: t.Origin, FromOrigin: t.FromOrigin, Number: t.LostNumber,
		Lost: Checkpoint{Origin: t.FromOrigin, Size: t.LostSize, Root: t.LostRoot},
		Good: Checkpoint{Origin: t.FromOrigin, Size: t.GoodSize, Root: t.GoodRoot}, KeyID: t.KeyID, RecordedAt: at,
	}, nil
}

// JudgeFork reports whether a statement, as it stands in the log at index at, was
// signed by a root in force there, in favour of an origin. b are its exact bytes.
// Errors are of type *ledger.Fault, the first in FORMAT.md's order.
func JudgeFork(ring *ledger.Keyring, b, signature []byte, at int64, origin string) error {
	f, err := ParseFork(b)
	switch {
	case err != nil || f.Good.Size > at:
		return fault(ReasonForkMalformed, "not a fork's statement in canonical form, or of more entries than stand before it")
	case f.Origin != origin:
		return fault(ledger.ReasonOriginWrong, "a fork to another log")
	}
	key, err := ring.Admit(f.KeyID, at, ledger.UseRoot)
	if err != nil {
		return err
	}
	if pub, ok := key.Public.(*rsa.PublicKey); !ok || ledger.Verify(pub, b, signature) != nil {
		return fault(ledger.ReasonSignatureInvalid, "the root's signature does not verify")
	}
	return inForce(ring, f.KeyID, at, ledger.UseRoot)
}

// OpenFork reads a statement and reports whether the root key signed it. Whether
// that root is to be trusted is for the caller to say.
func OpenFork(b, signature []byte, root *rsa.PublicKey) (Fork, error) {
	f, err := ParseFork(b)
	if err != nil {
		return Fork{}, err
	}
	id, err := ledger.KeyID(root)
	if err != nil || id != f.KeyID || ledger.Verify(root, b, signature) != nil {
		return Fork{}, fmt.Errorf("fork: not signed by this root")
	}
	return f, nil
}
