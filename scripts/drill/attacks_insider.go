package drill

import (
	"fmt"
	"time"

	"github.com/dlai-sd/plant/shared/ledger"
)

// insiderAttacks are chains that the right key signs and that cannot be: what
// whoever holds the keys could write past the platform.
func insiderAttacks() []Attack {
	const group = "seq, order and links, rightly signed"
	next := func(w *World) ledger.Draft {
		a := w.skills(w.keys.amendment, 1)[0]
		return after(a, "evolved", fmt.Sprintf(`{"name":"Skill %x","status":"draft"}`, w.random.Uint64()))
	}
	chain := func(name string, r ledger.Reason, change func(*World, *ledger.Record)) Attack {
		return worldAttack(group, name, func(w *World) {
			w.forge(w.keys.amendment, next(w), func(r *ledger.Record) { change(w, r) })
		}, integrity(r))
	}
	state := func(name, state string) Attack {
		return worldAttack(group, name, func(w *World) {
			d := next(w)
			d.State = []byte(state)
			w.forge(w.keys.amendment, d, nil)
		}, integrity(ledger.ReasonStateMalformed))
	}
	return []Attack{
		chain("a version skipped", ledger.ReasonSeqGap, func(w *World, r *ledger.Record) { r.Seq += 1 + w.random.Int64N(9) }),
		chain("a version twice", ledger.ReasonSeqDuplicate, func(_ *World, r *ledger.Record) { r.Seq-- }),
		chain("a fork", ledger.ReasonPrevHashMismatch, func(w *World, r *ledger.Record) { r.PrevHash = w.hashes[w.random.IntN(len(w.hashes)-1)] }),
		chain("the owner changed", ledger.ReasonOwnerChanged, func(_ *World, r *ledger.Record) { r.GovernanceAgentID = "mallory" }),
		chain("the type changed", ledger.ReasonTypeChanged, func(_ *World, r *ledger.Record) { r.EntityType = "industry" }),
		chain("recorded before its predecessor", ledger.ReasonTimeBackwards, func(w *World, r *ledger.Record) {
			r.RecordedAt = begin.Add(-time.Duration(1+w.random.IntN(1000)) * time.Minute)
		}),
		chain("created again", ledger.ReasonChangeInvalid, func(_ *World, r *ledger.Record) { r.Change = "created" }),
		chain("rules that nobody has", ledger.ReasonConstitutionUnknown, func(w *World, r *ledger.Record) { r.Constitution = ledger.HashOf([]byte(w.id())) }),
		worldAttack(group, "a life begun in the middle", func(w *World) {
			d := w.aSkill()
			d.Change, d.Seq, d.PrevHash = "evolved", 2, w.hashes[0]
			w.forge(w.keys.amendment, d, nil)
		}, integrity(ledger.ReasonSeqGap)),
		worldAttack(group, "an entity of the keyring that is no key", func(w *World) {
			w.forge(w.keys.amendment, w.draft("skill", keyring, `{"name":"x"}`), nil)
		}, integrity(ledger.ReasonChangeInvalid)),
		worldAttack(group, "the tail rewritten", func(w *World) {
			a := w.skills(w.keys.amendment, 1)[0]
			w.say(w.keys.amendment, after(a, "evolved", `{"name":"first story"}`))
			w.say(w.keys.amendment, after(a, "evolved", `{"name":"second story"}`))
		}, integrity(ledger.ReasonSeqDuplicate)),
		worldAttack(group, "an opening erased that nothing may erase", func(w *World) {
			a := w.skills(w.keys.amendment, 1)[0]
			b := w.say(w.keys.amendment, after(a, "erased", `{"erased_seqs":[1],"name":"x"}`))[0]
			w.entries[len(w.entries)-2].Opening = nil
			w.say(w.keys.amendment, after(b, "erased", `{"erased_seqs":[2],"name":"x"}`))
			w.entries[len(w.entries)-2].Opening = nil
		}, integrity(ledger.ReasonOpeningMissing)),
		worldAttack(group, "an erasure by a key that may not", func(w *World) {
			a := w.skills(w.keys.amendment, 1)[0]
			w.forge(w.keys.certification, after(a, "erased", `{"erased_seqs":[1],"name":"x"}`), nil)
			w.entries[len(w.entries)-2].Opening = nil
		}, integrity(ledger.ReasonOpeningMissing)),
		worldAttack(group, "an erasure of what comes after it", func(w *World) {
			a := w.skills(w.keys.amendment, 1)[0]
			b := w.say(w.keys.amendment, after(a, "erased", `{"erased_seqs":[3],"name":"x"}`))[0]
			w.say(w.keys.amendment, after(b, "evolved", `{"name":"x"}`))
			w.entries[len(w.entries)-1].Opening = nil
		}, integrity(ledger.ReasonOpeningMissing)),
		state("a state with an empty field", `{"name":""}`),
		state("a state that is not canonical", `{"status":"draft","name":"x"}`),
		state("a state with tags out of order", `{"tags":["b","a"]}`),
		state("a state with a number that changes", `{"n":9007199254740993}`),
		state("a state that is no object", `[]`),
	}
}
