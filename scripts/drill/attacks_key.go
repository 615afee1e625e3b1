package drill

import (
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"slices"
	"strings"

	"github.com/dlai-sd/plant/shared/bundle"
	"github.com/dlai-sd/plant/shared/ledger"
)

// forge seals a draft as no sealer would: by any key, in any form that change
// gives it. What it makes is logged.
func (w *World) forge(by *key, d ledger.Draft, change func(*ledger.Record)) ledger.Amendment {
	o := ledger.Opening{State: d.State}
	for i := range o.Salt {
		o.Salt[i] = byte(w.random.Uint32())
	}
	r := ledger.Record{
		Algorithm: ledger.AlgorithmDirect, Author: d.Author, Breaking: d.Breaking, Change: d.Change,
		Constitution: ledger.HashOf([]byte(rules)), Context: ledger.ContextAmendment, EntityID: d.EntityID,
		EntityType: d.EntityType, GovernanceAgentID: d.GovernanceAgentID, KeyID: by.id, Origin: w.origin,
		PrevHash: d.PrevHash, RecordedAt: w.now(), Seq: d.Seq, StateHash: o.Hash(),
	}
	if change != nil {
		change(&r)
	}
	a := ledger.Amendment{Record: r, Bytes: r.Bytes(), Hash: ledger.HashOf(r.Bytes()), Opening: &o}
	a.Signature = must(ledger.Sign(by.private, a.Bytes))
	w.log(a)
	return a
}

// worldAttack writes on the world, as somebody who holds keys could, and exports
// everything of it.
func worldAttack(group, name string, write func(*World), finds ...Finding) Attack {
	return Attack{group, name, finds, func(s *Scene) bool {
		s.all()
		write(s.World)
		s.repack()
		return true
	}}
}

func (w *World) aSkill() ledger.Draft {
	return w.draft("skill", tenants[w.random.IntN(len(tenants))], fmt.Sprintf(`{"name":"Skill %x","status":"draft"}`, w.random.Uint64()))
}

// introduction returns the amendment that introduced a key.
func (w *World) introduction(k *key) ledger.Amendment {
	at := slices.IndexFunc(w.entries, func(e ledger.Entry) bool {
		return e.Record.Change == "introduced" && strings.Contains(string(e.Opening.State), k.id)
	})
	return w.entries[at].Amendment
}

func keyAttacks() []Attack {
	const group = "keys and their force"
	by := func(name string, k func(*Keys) *key, r ledger.Reason) Attack {
		return worldAttack(group, name, func(w *World) { w.forge(k(w.keys), w.aSkill(), nil) }, signature(r))
	}
	unknownSPKI := func(w *World, id, spki string) {
		w.forge(w.keys.root, w.draft("signing_key", keyring, fmt.Sprintf(`{"key_id":%q,"may_sign":["created"],"spki":%q,"use":"amendment"}`, id, spki)), nil)
	}
	return []Attack{
		by("a key that is nobody's", func(k *Keys) *key { return k.rogue }, ledger.ReasonKeyUnknown),
		by("a retired key", func(k *Keys) *key { return k.old }, ledger.ReasonKeyRetired),
		by("a revoked key", func(k *Keys) *key { return k.spare }, ledger.ReasonKeyRevoked),
		by("the root signs a skill", func(k *Keys) *key { return k.root }, ledger.ReasonKeyMayNotSign),
		by("the heads key signs a skill", func(k *Keys) *key { return k.heads }, ledger.ReasonKeyMayNotSign),
		by("the certification key creates", func(k *Keys) *key { return k.certification }, ledger.ReasonKeyMayNotSign),
		worldAttack(group, "an amendment key certifies", func(w *World) {
			a := w.skills(w.keys.amendment, 1)[0]
			w.forge(w.keys.amendment, after(a, "certified", `{"name":"x","status":"certified"}`), nil)
		}, signature(ledger.ReasonKeyMayNotSign)),
		worldAttack(group, "a key signs before it is introduced", func(w *World) {
			w.forge(w.keys.rogue, w.aSkill(), nil)
			w.introduce(w.keys.root, w.keys.rogue)
		}, signature(ledger.ReasonKeyNotInForce)),
		worldAttack(group, "an amendment key introduces another", func(w *World) {
			w.forge(w.keys.amendment, w.draft("signing_key", keyring, w.keys.rogue.state("")), nil)
			w.forge(w.keys.rogue, w.aSkill(), nil)
		}, signature(ledger.ReasonKeyMayNotSign)),
		worldAttack(group, "a key introduces itself", func(w *World) {
			w.forge(w.keys.rogue, w.draft("signing_key", keyring, w.keys.rogue.state("")), nil)
		}, signature(ledger.ReasonKeyUnknown)),
		worldAttack(group, "a key is introduced twice", func(w *World) { w.introduce(w.keys.root, w.keys.amendment) }, signature(ledger.ReasonKeyMalformed)),
		worldAttack(group, "a key of another tenant", func(w *World) {
			w.forge(w.keys.root, w.draft("signing_key", "acme", w.keys.rogue.state("")), nil)
		}, signature(ledger.ReasonKeyMalformed)),
		worldAttack(group, "a key under another's id", func(w *World) {
			unknownSPKI(w, w.keys.rogue.id, base64.StdEncoding.EncodeToString(must(x509.MarshalPKIXPublicKey(w.keys.small.Public()))))
		}, signature(ledger.ReasonKeyMalformed)),
		worldAttack(group, "a key of 2048 bits", func(w *World) {
			id := must(ledger.KeyID(w.keys.small.Public()))
			unknownSPKI(w, id, base64.StdEncoding.EncodeToString(must(x509.MarshalPKIXPublicKey(w.keys.small.Public()))))
		}, signature(ledger.ReasonKeyMalformed)),
		worldAttack(group, "a key's facts changed later", func(w *World) {
			k := *w.keys.amendment
			k.maySign = append(slices.Clone(k.maySign), "zzz")
			w.forge(w.keys.root, after(w.introduction(&k), "retired", k.state("")), nil)
		}, signature(ledger.ReasonKeyMalformed)),
		worldAttack(group, "a revocation beyond its own place", func(w *World) {
			k := w.keys.amendment
			w.forge(w.keys.root, after(w.introduction(k), "revoked", k.state(fmt.Sprintf(`,"invalid_from":%d`, w.next()+10))), nil)
		}, signature(ledger.ReasonKeyMalformed)),
		worldAttack(group, "a revoked key reattests itself", func(w *World) {
			a := w.forge(w.keys.spare, w.aSkill(), nil)
			w.forge(w.keys.spare, after(a, "reattested", fmt.Sprintf(`{"reattests":[%q]}`, a.Hash.String())), nil)
		}, signature(ledger.ReasonKeyRevoked)),
		worldAttack(group, "another entity reattests", func(w *World) {
			a := w.forge(w.keys.spare, w.aSkill(), nil)
			b := w.skills(w.keys.amendment, 1)[0]
			w.forge(w.keys.amendment, after(b, "reattested", fmt.Sprintf(`{"reattests":[%q]}`, a.Hash.String())), nil)
		}, signature(ledger.ReasonKeyRevoked)),
		{group, "a new root that nobody pinned", []Finding{signature(ledger.ReasonRootUntrusted)}, func(s *Scene) bool {
			rogue := *s.World.keys
			rogue.root = &key{private: rogue.rogue.private, id: rogue.rogue.id, use: ledger.UseRoot, maySign: rogue.root.maySign}
			trust, seen := s.Options.Trust, s.Options.Seen
			s.all()
			s.World = NewWorld(&rogue, s.Rand, 40)
			s.repack()
			s.Options.Trust, s.Options.Seen = trust, seen
			return true
		}},
		{group, "an auditor who pinned another root", []Finding{signature(ledger.ReasonRootUntrusted)}, func(s *Scene) bool {
			s.Options.Trust, _ = s.World.keys.rogue.private.Public().(*rsa.PublicKey)
			return true
		}},
		{group, "a revocation hidden", []Finding{completeness(bundle.ReasonTenantRootMismatch, bundle.ReasonLogEntryMissing)}, func(s *Scene) bool {
			return s.drop(keysFile, func(t told) bool { return t.record.Change == "revoked" })
		}},
		{group, "a retirement hidden", []Finding{integrity(ledger.ReasonSeqGap), completeness(bundle.ReasonTenantRootMismatch, bundle.ReasonLogEntryMissing)}, func(s *Scene) bool {
			return s.drop(keysFile, func(t told) bool { return t.record.Change == "retired" })
		}},
		{group, "an introduction hidden", []Finding{completeness(bundle.ReasonTenantCountMismatch, bundle.ReasonTenantRootMismatch, bundle.ReasonLogEntryMissing), integrity(ledger.ReasonSeqGap)}, func(s *Scene) bool {
			return s.drop(keysFile, func(t told) bool { return t.record.Change == "introduced" })
		}},
		{group, "no keys at all", []Finding{signature(ledger.ReasonRootUntrusted)}, func(s *Scene) bool {
			s.Files[keysFile] = nil
			return true
		}},
		{group, "a revocation put among the amendments", []Finding{integrity(bundle.ReasonRecordMisplaced, bundle.ReasonLogOrder)}, func(s *Scene) bool {
			t, ok := s.pick(keysFile, func(t told) bool { return t.record.Change == "revoked" })
			if !ok {
				return false
			}
			line := encode(t.object)
			s.without(keysFile, []told{t})
			lines := s.lines(amendmentsFile)
			at := s.IntN(len(lines) + 1)
			s.setLines(amendmentsFile, slices.Insert(slices.Clone(lines), at, []byte(line)))
			return true
		}},
	}
}

// without leaves lines out of a file.
func (s *Scene) without(file string, out []told) {
	var kept [][]byte
	for i, line := range s.lines(file) {
		if !slices.ContainsFunc(out, func(t told) bool { return t.number == i }) {
			kept = append(kept, line)
		}
	}
	s.setLines(file, kept)
}

// drop leaves out a random line for which chosen is true.
func (s *Scene) drop(file string, chosen func(told) bool) bool {
	t, ok := s.pick(file, chosen)
	if ok {
		s.without(file, []told{t})
	}
	return ok
}
