package drill

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"

	"github.com/dlai-sd/plant/shared/ledger"
	"github.com/go-json-experiment/json"
)

func direct(t told) bool  { return t.object["batch"] == nil }
func batched(t told) bool { return t.object["batch"] != nil }

// signatureAttack replaces the signature of a random record.
func signatureAttack(name string, chosen func(told) bool, forge func(*Scene, told, []byte) []byte) Attack {
	return Attack{"signatures", name, []Finding{signature(ledger.ReasonSignatureInvalid, ledger.ReasonKeyRevoked)}, func(s *Scene) bool {
		return s.line(amendmentsFile, chosen, func(t told) bool {
			before := must(base64.StdEncoding.DecodeString(t.text("signature")))
			after := forge(s, t, before)
			t.set("signature", base64.StdEncoding.EncodeToString(after))
			return after != nil && string(after) != string(before)
		})
	}}
}

// signers finds the key of a record among those that the attacker holds.
func (s *Scene) signer(id string) *key {
	k := s.World.keys
	for _, one := range []*key{k.root, k.old, k.amendment, k.spare, k.certification, k.heads} {
		if one.id == id {
			return one
		}
	}
	return k.rogue
}

// resign signs a record's bytes with its own key in another scheme.
func resign(options crypto.SignerOpts, hash crypto.Hash) func(*Scene, told, []byte) []byte {
	return func(s *Scene, t told, _ []byte) []byte {
		h := hash.New()
		h.Write([]byte(t.text("record")))
		return must(s.signer(t.record.KeyID).private.Sign(rand.Reader, h.Sum(nil), options))
	}
}

func signatureAttacks() []Attack {
	return []Attack{
		signatureAttack("a bit flipped", nil, func(s *Scene, _ told, b []byte) []byte { return s.flip(b) }),
		signatureAttack("cut short", nil, func(s *Scene, _ told, b []byte) []byte { return b[:s.IntN(len(b))] }),
		signatureAttack("lengthened", nil, func(_ *Scene, _ told, b []byte) []byte { return append(b, 0) }),
		signatureAttack("zeroes", nil, func(_ *Scene, _ told, b []byte) []byte { return make([]byte, len(b)) }),
		signatureAttack("another record's", direct, func(s *Scene, t told, _ []byte) []byte {
			other, ok := s.pick(amendmentsFile, func(o told) bool { return o.number != t.number })
			if !ok {
				return nil
			}
			return must(base64.StdEncoding.DecodeString(other.text("signature")))
		}),
		signatureAttack("by a key that is nobody's", direct, func(s *Scene, t told, _ []byte) []byte {
			return must(ledger.Sign(s.World.keys.rogue.private, []byte(t.text("record"))))
		}),
		signatureAttack("by the right key with an empty salt", direct, resign(&rsa.PSSOptions{SaltLength: 0, Hash: crypto.SHA256}, crypto.SHA256)),
		signatureAttack("by the right key with a longer salt", direct, resign(&rsa.PSSOptions{SaltLength: 48, Hash: crypto.SHA256}, crypto.SHA256)),
		signatureAttack("by the right key over a SHA-512", direct, resign(&rsa.PSSOptions{SaltLength: 32, Hash: crypto.SHA512}, crypto.SHA512)),
		signatureAttack("by the right key in PKCS #1 v1.5", direct, resign(crypto.SHA256, crypto.SHA256)),
	}
}

// batchAttack changes the batch of a random record that is in one.
func batchAttack(name string, finds []ledger.Reason, change func(*Scene, object) bool) Attack {
	return Attack{"batch paths", name, []Finding{signature(finds...)}, func(s *Scene) bool {
		return s.line(amendmentsFile, batched, func(t told) bool {
			done := false
			t.within("batch", func(o object) { done = change(s, o) })
			return done
		})
	}}
}

func (o object) hashes(name string) []string {
	var path []string
	_ = json.Unmarshal(o[name], &path) // of another form: none
	return path
}

// path changes a list of hashes.
func path(name string, change func(*Scene, []string) []string) func(*Scene, object) bool {
	return func(s *Scene, o object) bool {
		before := o.hashes(name)
		if len(before) == 0 {
			return false
		}
		o.set(name, change(s, before))
		return true
	}
}

func flipOne(s *Scene, p []string) []string { p[s.IntN(len(p))] = s.otherHash().String(); return p }
func longer(s *Scene, p []string) []string  { return append(p, s.otherHash().String()) }
func shorter(_ *Scene, p []string) []string { return p[:len(p)-1] }
func doubled(_ *Scene, p []string) []string { return append(p, p[len(p)-1]) }

// statement changes a member of the statement that a batch's signature is over.
func statement(member string, value func(*Scene, object) any) func(*Scene, object) bool {
	return func(s *Scene, o object) bool {
		before := o.text("statement")
		inner := decode([]byte(before))
		inner.set(member, value(s, inner))
		o.set("statement", string(encode(inner)))
		return o.text("statement") != before
	}
}

func batchAttacks() []Attack {
	invalid := []ledger.Reason{ledger.ReasonBatchPathInvalid}
	either := []ledger.Reason{ledger.ReasonBatchPathInvalid, ledger.ReasonSignatureInvalid}
	return []Attack{
		batchAttack("a hash of the path changed", invalid, path("path", flipOne)),
		batchAttack("a path made longer", invalid, path("path", longer)),
		batchAttack("a path made shorter", invalid, path("path", shorter)),
		batchAttack("the last step twice", invalid, path("path", doubled)),
		batchAttack("another index", invalid, func(s *Scene, o object) bool {
			var at int64
			_ = json.Unmarshal(o["index"], &at)
			o.set("index", at+1+s.Int64N(600))
			return true
		}),
		batchAttack("another root", either, statement("root", func(s *Scene, _ object) any { return s.otherHash() })),
		batchAttack("another size", either, statement("size", func(s *Scene, o object) any {
			var size int64
			_ = json.Unmarshal(o["size"], &size)
			return size%512 + 1
		})),
		batchAttack("a size beyond 512", []ledger.Reason{ledger.ReasonBatchMalformed}, statement("size", func(*Scene, object) any { return 513 })),
		batchAttack("a statement of another context", []ledger.Reason{ledger.ReasonContextWrong}, statement("context", func(*Scene, object) any { return "plant/amendment/v1" })),
		batchAttack("a statement of another log", []ledger.Reason{ledger.ReasonBatchMismatch}, statement("origin", func(*Scene, object) any { return "elsewhere" })),
		batchAttack("a statement of another time", []ledger.Reason{ledger.ReasonSignatureInvalid}, statement("recorded_at", func(*Scene, object) any { return "2026-01-01T00:00:00.000000Z" })),
		batchAttack("a seventh member", []ledger.Reason{ledger.ReasonBatchMalformed}, statement("note", func(*Scene, object) any { return "x" })),
		{"batch paths", "left out", []Finding{signature(ledger.ReasonAlgorithmMismatch)}, func(s *Scene) bool {
			return s.line(amendmentsFile, batched, func(t told) bool { delete(t.object, "batch"); return true })
		}},
		{"batch paths", "given to a direct record", []Finding{signature(ledger.ReasonAlgorithmMismatch, ledger.ReasonKeyRevoked)}, func(s *Scene) bool {
			other, ok := s.pick(amendmentsFile, batched)
			return ok && s.line(amendmentsFile, direct, func(t told) bool { t.object["batch"] = other.object["batch"]; return true })
		}},
		{"batch paths", "another record's", []Finding{signature(ledger.ReasonBatchPathInvalid, ledger.ReasonBatchMismatch, ledger.ReasonSignatureInvalid)}, func(s *Scene) bool {
			other, ok := s.pick(amendmentsFile, batched)
			return ok && s.line(amendmentsFile, batched, func(t told) bool {
				t.object["batch"] = other.object["batch"]
				return t.number != other.number
			})
		}},
		{"batch paths", "a record added that was never signed", []Finding{signature(ledger.ReasonBatchPathInvalid)}, func(s *Scene) bool {
			w := s.World
			last := w.entries[len(w.entries)-1].Amendment
			if last.Batch == nil {
				last = w.say(w.keys.amendment, w.draft("skill", "acme", `{"name":"x"}`), w.draft("skill", "acme", `{"name":"y"}`))[1]
			}
			forged := w.say(w.keys.rogue, w.draft("skill", "acme", `{"name":"forged"}`), w.draft("skill", "acme", `{"name":"z"}`))[0]
			at := len(w.entries) - 2
			r := forged.Record
			r.KeyID = last.Record.KeyID
			forged.Record, forged.Bytes, forged.Hash = r, r.Bytes(), ledger.HashOf(r.Bytes())
			forged.Batch, forged.Signature = last.Batch, last.Signature
			w.entries[at].Amendment, w.hashes[w.entries[at].LogIndex] = forged, forged.Hash
			w.tree = nil
			s.all()
			s.repack()
			return true
		}},
	}
}
