package drill

import (
	"slices"

	"github.com/dlai-sd/plant/shared/bundle"
	"github.com/dlai-sd/plant/shared/ledger"
	"github.com/go-json-experiment/json"
)

// gone are the reasons for which something missing is found.
var gone = []ledger.Reason{
	bundle.ReasonLogEntryMissing, bundle.ReasonTenantCountMismatch, bundle.ReasonTenantRootMismatch,
	bundle.ReasonEntityHeadMismatch, bundle.ReasonReferenceMissing,
}

// missingAttacks leave out, reorder and smuggle in.
func missingAttacks() []Attack {
	const group = "order, tails, entities, tenants"
	seqs := func(s *Scene) map[string]int64 {
		last := map[string]int64{}
		for _, t := range s.told(amendmentsFile, nil) {
			last[t.record.EntityID] = max(last[t.record.EntityID], t.record.Seq)
		}
		return last
	}
	owner := func(name string) func(told) bool {
		return func(t told) bool { return t.record.GovernanceAgentID == name }
	}
	return []Attack{
		{group, "a record left out of the middle", []Finding{integrity(ledger.ReasonSeqGap)}, func(s *Scene) bool {
			last := seqs(s)
			return s.drop(amendmentsFile, func(t told) bool { return t.record.Seq < last[t.record.EntityID] })
		}},
		{group, "a tail cut off", []Finding{completeness(gone...)}, func(s *Scene) bool {
			last := seqs(s)
			return s.drop(amendmentsFile, func(t told) bool { return t.record.Seq > 1 && t.record.Seq == last[t.record.EntityID] })
		}},
		{group, "an entity left out", []Finding{completeness(gone...)}, func(s *Scene) bool {
			t, ok := s.pick(amendmentsFile, nil)
			s.without(amendmentsFile, s.told(amendmentsFile, func(o told) bool { return o.record.EntityID == t.record.EntityID }))
			return ok
		}},
		{group, "a tenant left out", []Finding{completeness(gone...)}, func(s *Scene) bool {
			out := s.told(amendmentsFile, owner(tenants[s.IntN(len(tenants))]))
			s.without(amendmentsFile, out)
			return len(out) > 0
		}},
		{group, "a tenant left out with its row and salt", []Finding{completeness(bundle.ReasonLogEntryMissing)}, func(s *Scene) bool {
			if s.Scope.Type != bundle.ScopeAll {
				return false
			}
			name := tenants[s.IntN(len(tenants))]
			s.without(amendmentsFile, s.told(amendmentsFile, owner(name)))
			s.json(headsFile, func(o object) { o.within("salts", func(salts object) { delete(salts, name) }) })
			return true
		}},
		{group, "everything left out", []Finding{completeness(gone...)}, func(s *Scene) bool {
			s.Files[amendmentsFile] = nil
			return true
		}},
		{group, "two lines exchanged", []Finding{integrity(bundle.ReasonLogOrder)}, func(s *Scene) bool {
			lines := s.lines(amendmentsFile)
			if len(lines) < 2 {
				return false
			}
			at := s.IntN(len(lines) - 1)
			lines[at], lines[at+1] = lines[at+1], lines[at]
			s.setLines(amendmentsFile, lines)
			return true
		}},
		{group, "a line twice", []Finding{integrity(bundle.ReasonLogOrder)}, func(s *Scene) bool {
			lines := s.lines(amendmentsFile)
			at := s.IntN(len(lines))
			s.setLines(amendmentsFile, slices.Insert(slices.Clone(lines), at, lines[at]))
			return true
		}},
		{group, "a key's line twice", []Finding{integrity(bundle.ReasonLogOrder)}, func(s *Scene) bool {
			lines := s.lines(keysFile)
			at := s.IntN(len(lines))
			s.setLines(keysFile, slices.Insert(slices.Clone(lines), at, lines[at]))
			return true
		}},
		{group, "another log index", []Finding{completeness(bundle.ReasonInclusionInvalid, bundle.ReasonLogEntryMissing, bundle.ReasonLogEntryDuplicate)}, func(s *Scene) bool {
			return s.line(amendmentsFile, nil, func(t told) bool {
				var at int64
				_ = json.Unmarshal(t.object["log_index"], &at)
				t.set("log_index", at+1+s.Int64N(1000))
				return true
			})
		}},
		{group, "a line of another scope", []Finding{completeness(bundle.ReasonOutOfScope)}, func(s *Scene) bool {
			if s.Scope.Type == bundle.ScopeAll {
				return false
			}
			inside := map[string]bool{}
			for _, t := range s.told(amendmentsFile, nil) {
				inside[t.record.EntityID] = true
			}
			stranger := s.World.newest("skill")
			a := stranger[s.IntN(len(stranger))].Record
			if inside[a.EntityID] {
				return false
			}
			s.World.smuggled = a.EntityID
			s.repack()
			return true
		}},
		{group, "a salt left out", []Finding{completeness(bundle.ReasonTenantMissing)}, func(s *Scene) bool {
			s.json(headsFile, func(o object) { o.within("salts", func(salts object) { delete(salts, s.saltOf(salts)) }) })
			return true
		}},
		{group, "a salt changed", []Finding{completeness(bundle.ReasonTenantMissing)}, func(s *Scene) bool {
			s.json(headsFile, func(o object) {
				o.within("salts", func(salts object) { salts.set(s.saltOf(salts), s.otherHash()) })
			})
			return true
		}},
		{group, "another tenant's salt", []Finding{completeness(bundle.ReasonTenantMissing)}, func(s *Scene) bool {
			s.json(headsFile, func(o object) {
				o.within("salts", func(salts object) { salts.set(s.saltOf(salts), salt("somebody")) })
			})
			return true
		}},
	}
}

// saltOf returns the name of a random salt.
func (s *Scene) saltOf(salts object) string {
	var names []string
	for name := range salts {
		names = append(names, name)
	}
	slices.Sort(names)
	return names[s.IntN(len(names))]
}
