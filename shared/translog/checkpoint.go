package translog

import (
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/dlai-sd/plant/shared/ledger"
	"golang.org/x/mod/sumdb/note"
)

// maxInteger is the largest integer that canonical JSON carries exactly; no size
// or index is larger.
const maxInteger = 1<<53 - 1

// Checkpoint is what the log committed to: c2sp.org/tlog-checkpoint without
// extension lines.
type Checkpoint struct {
	Origin string
	Size   int64       // entries
	Root   ledger.Hash // of the tree of Size entries
}

// Text returns the checkpoint's three lines: what its signature is over.
func (c Checkpoint) Text() string {
	return c.Origin + "\n" + strconv.FormatInt(c.Size, 10) + "\n" + base64.StdEncoding.EncodeToString(c.Root[:]) + "\n"
}

// Sign returns the checkpoint as a note (c2sp.org/signed-note) signed under its
// origin. The signer's key is Ed25519.
func (c Checkpoint) Sign(signer crypto.Signer) ([]byte, error) {
	if err := ledger.CheckOrigin(c.Origin); err != nil {
		return nil, fmt.Errorf("sign checkpoint: %w", err)
	}
	pub, ok := signer.Public().(ed25519.PublicKey)
	if !ok {
		return nil, errors.New("sign checkpoint: not an Ed25519 key")
	}
	v, err := verifier(c.Origin, pub)
	if err != nil {
		return nil, fmt.Errorf("sign checkpoint: %w", err)
	}
	signed, err := note.Sign(&note.Note{Text: c.Text()}, noteSigner{v, signer})
	if err != nil {
		return nil, fmt.Errorf("sign checkpoint: %w", err)
	}
	return signed, nil
}

// noteSigner signs notes with a key that need not be in memory.
type noteSigner struct {
	note.Verifier
	key crypto.Signer
}

// Sign is note.Signer's.
func (s noteSigner) Sign(msg []byte) ([]byte, error) {
	return s.key.Sign(rand.Reader, msg, crypto.Hash(0))
}

func verifier(origin string, key ed25519.PublicKey) (note.Verifier, error) {
	text, err := note.NewEd25519VerifierKey(origin, key)
	if err != nil {
		return nil, err
	}
	return note.NewVerifier(text)
}

// ReadCheckpoint reads a signed note that holds a checkpoint. It does not verify
// a signature. Its errors are of type *ledger.Fault, ReasonCheckpointMalformed.
func ReadCheckpoint(msg []byte) (Checkpoint, error) {
	_, err := note.Open(msg, note.VerifierList())
	var unverified *note.UnverifiedNoteError
	if !errors.As(err, &unverified) {
		return Checkpoint{}, fault(ReasonCheckpointMalformed, "not a signed note")
	}
	lines := strings.Split(unverified.Note.Text, "\n")
	if len(lines) != 4 || lines[0] == "" {
		return Checkpoint{}, fault(ReasonCheckpointMalformed, "a checkpoint has three lines: origin, size and root")
	}
	c := Checkpoint{Origin: lines[0]}
	size, sizeErr := strconv.ParseInt(lines[1], 10, 64)
	root, rootErr := base64.StdEncoding.DecodeString(lines[2])
	if sizeErr != nil || rootErr != nil || size < 0 || size > maxInteger || len(root) != len(c.Root) {
		return Checkpoint{}, fault(ReasonCheckpointMalformed, "size or root")
	}
	c.Size, c.Root = size, ledger.Hash(root)
	if c.Text() != unverified.Note.Text {
		return Checkpoint{}, fault(ReasonCheckpointMalformed, "size or root is not written in its one form")
	}
	return c, nil
}

// OpenCheckpoint reads a checkpoint and reports which of keys signed it under
// origin, as positions in keys. Signature lines of other keys are ignored; a line
// of one of keys that does not verify is an error, and so is none that does.
// Errors are of type *ledger.Fault: ReasonCheckpointMalformed,
// ledger.ReasonOriginWrong, ReasonCheckpointSignatureInvalid. The checkpoint is
// returned wherever it could be read.
func OpenCheckpoint(msg []byte, origin string, keys []ed25519.PublicKey) (Checkpoint, []int, error) {
	c, err := ReadCheckpoint(msg)
	if err != nil {
		return c, nil, err
	}
	if c.Origin != origin {
		return c, nil, fault(ledger.ReasonOriginWrong, "a checkpoint of another log")
	}
	verifiers := make([]note.Verifier, len(keys))
	at := map[uint32]int{}
	for i, key := range keys {
		v, err := verifier(origin, key)
		if err != nil {
			return c, nil, fault(ReasonCheckpointSignatureInvalid, "a key that cannot sign notes")
		}
		verifiers[i], at[v.KeyHash()] = v, i
	}
	n, err := note.Open(msg, note.VerifierList(verifiers...))
	if err != nil {
		return c, nil, fault(ReasonCheckpointSignatureInvalid, "no signature of a checkpoint key verifies")
	}
	signed := make([]int, len(n.Sigs))
	for i, s := range n.Sigs {
		if !exact(s) {
			return c, nil, fault(ReasonCheckpointMalformed, "a signature is not written in its one form")
		}
		signed[i] = at[s.Hash]
	}
	return c, signed, nil
}

// exact reports whether a signature's base64 is the only one of its bytes, so
// that a signed checkpoint has no two spellings.
func exact(s note.Signature) bool {
	b, err := base64.StdEncoding.Strict().DecodeString(s.Base64)
	return err == nil && len(b) >= 4 && binary.BigEndian.Uint32(b) == s.Hash &&
		base64.StdEncoding.EncodeToString(b) == s.Base64
}

// JudgeCheckpoint reads a checkpoint of the keyring's deployment and reports
// whether a checkpoint key that was in force at index size − 1 signed it. Errors
// are those of OpenCheckpoint, or the first signing key's problem at that index.
// The checkpoint is returned wherever it could be read.
func JudgeCheckpoint(ring *ledger.Keyring, msg []byte) (Checkpoint, error) {
	return judgeCheckpoint(ring, msg, ring.Origin())
}

// JudgeSeen is JudgeCheckpoint for one that somebody kept: of a log that was forked
// since, it may be of an origin from before.
func JudgeSeen(ring *ledger.Keyring, msg []byte) (Checkpoint, error) {
	origin := ring.Origin()
	if c, err := ReadCheckpoint(msg); err == nil && slices.Contains(ring.Origins(), c.Origin) {
		origin = c.Origin
	}
	return judgeCheckpoint(ring, msg, origin)
}

func judgeCheckpoint(ring *ledger.Keyring, msg []byte, origin string) (Checkpoint, error) {
	var ids []string
	var keys []ed25519.PublicKey
	for _, key := range ring.Keys() {
		if pub, ok := key.Public.(ed25519.PublicKey); ok {
			ids, keys = append(ids, key.ID), append(keys, pub)
		}
	}
	c, signed, err := OpenCheckpoint(msg, origin, keys)
	if err != nil {
		return c, err
	}
	var first error
	for _, i := range signed {
		err := inForce(ring, ids[i], c.Size-1, ledger.UseCheckpoint)
		if err == nil {
			return c, nil
		}
		if first == nil {
			first = err
		}
	}
	return c, first
}

// inForce reports why a key of a use was not in force at a log index.
func inForce(ring *ledger.Keyring, id string, at int64, use ledger.Use) error {
	if _, err := ring.Admit(id, at, use); err != nil {
		return err
	}
	if ring.Revoked(id, at) {
		return fault(ledger.ReasonKeyRevoked, "its key was revoked from this index or an earlier one on")
	}
	return nil
}
