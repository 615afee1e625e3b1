package ledger

import (
	"crypto/rsa"
	"crypto/sha256"
	"sync"
)

// maxProven bounds how many statements are remembered: 32 bytes each.
const maxProven = 1 << 16

// proven remembers which batch statements a key was seen to have signed, so that
// the up to 512 amendments of a batch cost one verification.
type proven struct {
	mu   sync.RWMutex
	held map[Hash]struct{}
}

// check reports a signature that does not verify, of the record itself or of the
// statement of the batch that holds it. r is what a.Bytes say; pub is of the key that
// it names.
func (p *proven) check(pub *rsa.PublicKey, r Record, a Amendment) *Fault {
	signed, f := signedBytes(r, a)
	if f != nil {
		return f
	}
	if a.Batch == nil {
		return asFault(Verify(pub, signed, a.Signature))
	}
	return asFault(p.verify(pub, r.KeyID, signed, a.Signature))
}

// verify is Verify, with memory. It remembers only what held.
func (p *proven) verify(pub *rsa.PublicKey, keyID string, statement, signature []byte) error {
	h := sha256.New()
	h.Write([]byte(keyID)) // both of fixed length, then the rest is one statement
	digest := sha256.Sum256(signature)
	h.Write(digest[:])
	h.Write(statement)
	id := Hash(h.Sum(nil))

	p.mu.RLock()
	_, ok := p.held[id]
	p.mu.RUnlock()
	if ok {
		return nil
	}
	if err := Verify(pub, statement, signature); err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.held == nil || len(p.held) >= maxProven {
		p.held = map[Hash]struct{}{}
	}
	p.held[id] = struct{}{}
	return nil
}
