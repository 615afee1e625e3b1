package drill

import (
	"slices"

	"github.com/dlai-sd/plant/shared/bundle"
	"github.com/dlai-sd/plant/shared/ledger"
)

const complianceFile = "compliance.json"

// ruleAttacks make a bundle say of the rules what they do not. Where only what they
// say is changed, whoever has no rules cannot see it, and verify.py need not.
func ruleAttacks() []Attack {
	const group = "rule results"
	one := func(name string, r ledger.Reason, change func(*Scene, object) bool) Attack {
		return Attack{group, name, []Finding{integrity(r)}, func(s *Scene) bool {
			done := false
			s.results(func(list []object) []object {
				if len(list) > 0 {
					done = change(s, list[s.IntN(len(list))])
				}
				return list
			})
			return done
		}}
	}
	lists := func(name, from, to string) Attack {
		return one(name, bundle.ReasonRuleResultWrong, func(s *Scene, o object) bool {
			moved := o.texts(from)
			if len(moved) == 0 {
				return false
			}
			at := s.IntN(len(moved))
			kept := append(o.texts(to), moved[at])
			slices.Sort(kept)
			o.set(from, slices.Delete(moved, at, at+1))
			o.set(to, kept)
			return true
		})
	}
	return []Attack{
		lists("a broken rule called kept", "failed", "passed"),
		lists("a kept rule called broken", "passed", "failed"),
		one("broken rules hushed up", bundle.ReasonRuleResultWrong, func(_ *Scene, o object) bool {
			some := len(o.texts("failed")) > 0
			o.set("failed", []string{})
			return some
		}),
		one("a rule kept that nobody judged", bundle.ReasonRuleResultWrong, func(_ *Scene, o object) bool {
			o.set("passed", append(o.texts("passed"), "L2-MADE-UP"))
			return true
		}),
		one("the result of an older version", bundle.ReasonRuleResultWrong, func(s *Scene, o object) bool {
			o.set("seq", s.IntN(1000)+1000)
			return true
		}),
		one("judged by other rules", bundle.ReasonRuleResultWrong, func(s *Scene, o object) bool {
			o.set("constitution", s.otherHash())
			return true
		}),
		one("the result of somebody else", bundle.ReasonRuleResultWrong, func(_ *Scene, o object) bool {
			o.set("entity_id", "019c0000-0000-7000-8000-000000000000")
			return true
		}),
		{group, "an entity without its result", []Finding{integrity(bundle.ReasonRuleResultMissing)}, func(s *Scene) bool {
			done := false
			s.results(func(list []object) []object {
				if done = len(list) > 0; !done {
					return list
				}
				at := s.IntN(len(list))
				return slices.Delete(list, at, at+1)
			})
			return done
		}},
		{group, "no results", []Finding{integrity(bundle.ReasonRuleResultMissing)}, func(s *Scene) bool {
			done := false
			s.results(func(list []object) []object { done = len(list) > 0; return []object{} })
			return done
		}},
		{group, "two results of one entity", []Finding{integrity(bundle.ReasonComplianceMalformed)}, func(s *Scene) bool {
			done := false
			s.results(func(list []object) []object {
				if done = len(list) > 0; !done {
					return list
				}
				return append(list, list[s.IntN(len(list))])
			})
			return done
		}},
		{group, "cut in the middle", []Finding{integrity(bundle.ReasonComplianceMalformed)}, func(s *Scene) bool {
			b := s.Files[complianceFile]
			s.Files[complianceFile] = b[:s.IntN(len(b)-3)]
			return true
		}},
	}
}

// results gives the rule results to change.
func (s *Scene) results(change func([]object) []object) {
	s.json(complianceFile, func(o object) {
		var list []object
		o.read("results", &list)
		o.set("results", change(list))
	})
}
