package drill

import (
	"fmt"
	"strings"
	"time"

	"github.com/dlai-sd/plant/shared/bundle"
	"github.com/dlai-sd/plant/shared/ledger"
)

// unsigned are the reasons for which a record holds no more once it was changed.
// The last is where it had reattested another, which stands before it.
var unsigned = []ledger.Reason{
	ledger.ReasonSignatureInvalid, ledger.ReasonBatchPathInvalid, ledger.ReasonBatchMismatch, ledger.ReasonKeyMayNotSign,
	ledger.ReasonKeyUnknown, ledger.ReasonKeyNotInForce, ledger.ReasonKeyRetired, ledger.ReasonRecordMalformed, ledger.ReasonKeyRevoked,
}

// recordAttack changes one member of a random record.
func recordAttack(name string, change func(*Scene, object, ledger.Record), more ...ledger.Reason) Attack {
	return Attack{"records", name, []Finding{signature(append(unsigned, more...)...)}, func(s *Scene) bool {
		return s.line(amendmentsFile, nil, func(t told) bool {
			before := t.text("record")
			record := decode([]byte(before))
			change(s, record, t.record)
			t.set("record", string(encode(record)))
			return t.text("record") != before
		})
	}}
}

func recordAttacks() []Attack {
	text := func(member, value string) func(*Scene, object, ledger.Record) {
		return func(_ *Scene, o object, _ ledger.Record) { o.set(member, value) }
	}
	return []Attack{
		{"records", "a bit flipped", []Finding{
			signature(append(unsigned, ledger.ReasonContextWrong, ledger.ReasonOriginWrong, ledger.ReasonAlgorithmUnknown, ledger.ReasonAlgorithmMismatch)...), refused(),
		}, func(s *Scene) bool {
			return s.line(amendmentsFile, nil, func(t told) bool {
				t.set("record", strings.ToValidUTF8(string(s.flip([]byte(t.text("record")))), "?"))
				return true
			})
		}},
		recordAttack("author changed", text("author", "acme/somebody-else")),
		recordAttack("backdated", func(_ *Scene, o object, r ledger.Record) {
			o.set("recorded_at", r.RecordedAt.Add(-24*time.Hour).Format(ledger.TimeLayout))
		}),
		recordAttack("change renamed", text("change", "certified")),
		recordAttack("breaking denied or claimed", func(_ *Scene, o object, r ledger.Record) { o.set("breaking", !r.Breaking) }),
		recordAttack("owner changed", text("governance_agent_id", "mallory")),
		recordAttack("entity changed", func(s *Scene, o object, _ ledger.Record) { o.set("entity_id", s.World.id()) }),
		recordAttack("type changed", text("entity_type", "industry")),
		recordAttack("rules changed", func(s *Scene, o object, _ ledger.Record) { o.set("constitution", s.otherHash()) }),
		recordAttack("state hash changed", func(s *Scene, o object, _ ledger.Record) { o.set("state_hash", s.otherHash()) }),
		recordAttack("version changed", func(s *Scene, o object, r ledger.Record) { o.set("seq", r.Seq+1+s.Int64N(5)) }),
		recordAttack("predecessor changed", func(s *Scene, o object, _ ledger.Record) { o.set("prev_hash", s.otherHash()) }),
		recordAttack("key changed to another of the log", func(s *Scene, o object, _ ledger.Record) { o.set("key_id", s.World.keys.heads.id) }),
		recordAttack("origin changed", text("origin", "elsewhere"), ledger.ReasonOriginWrong),
		recordAttack("context changed", text("context", "plant/batch/v1"), ledger.ReasonContextWrong),
		recordAttack("algorithm swapped", func(_ *Scene, o object, r ledger.Record) {
			o.set("algorithm", map[bool]string{true: ledger.AlgorithmBatch, false: ledger.AlgorithmDirect}[r.Algorithm == ledger.AlgorithmDirect])
		}, ledger.ReasonAlgorithmMismatch),
		recordAttack("algorithm made up", text("algorithm", "none"), ledger.ReasonAlgorithmUnknown),
		recordAttack("a sixteenth member", text("note", "x")),
		// Where it erased an opening, that one is now missing, and stands before it.
		{"records", "written with white space", []Finding{integrity(ledger.ReasonRecordNotCanonical, ledger.ReasonOpeningMissing)}, func(s *Scene) bool {
			return s.line(amendmentsFile, nil, func(t told) bool {
				t.set("record", strings.Replace(t.text("record"), ",", ", ", 1))
				return true
			})
		}},
		{"records", "exchanged for another's, with its signature", []Finding{completeness(bundle.ReasonInclusionInvalid, bundle.ReasonLogEntryDuplicate, bundle.ReasonLogRootMismatch)}, func(s *Scene) bool {
			other, ok := s.pick(amendmentsFile, nil)
			return ok && s.line(amendmentsFile, func(t told) bool { return t.number != other.number }, func(t told) bool {
				t.object["record"], t.object["signature"] = other.object["record"], other.object["signature"]
				if delete(t.object, "batch"); other.object["batch"] != nil {
					t.object["batch"] = other.object["batch"]
				}
				return true
			})
		}},
	}
}

// openingAttack changes the opening of a random record that has one. If that one
// erased another, the other's is now missing, and stands before it.
func openingAttack(name string, change func(*Scene, object) bool) Attack {
	return Attack{"openings", name, []Finding{integrity(ledger.ReasonStateHashMismatch, ledger.ReasonOpeningMissing)}, func(s *Scene) bool {
		return s.line(amendmentsFile, opened, func(t told) bool {
			done := false
			t.within("opening", func(o object) { done = change(s, o) })
			return done
		})
	}}
}

func opened(t told) bool { return t.object["opening"] != nil }

func edit(from, to string) func(*Scene, object) bool {
	return func(_ *Scene, o object) bool {
		before := o.text("state")
		o.set("state", strings.Replace(before, from, to, 1))
		return o.text("state") != before
	}
}

func openingAttacks() []Attack {
	return []Attack{
		openingAttack("a status raised", edit(`"status":"draft"`, `"status":"active"`)),
		openingAttack("a name changed", edit(`"name":"`, `"name":"Not `)),
		openingAttack("a tag added", edit(`"tags":["a",`, `"tags":["a","aa",`)),
		openingAttack("a secret made public", edit(`"visibility":"private"`, `"visibility":"public"`)),
		openingAttack("a certification made up", edit(`{`, `{"genesis_certification":{"passed":42},`)),
		openingAttack("a salt changed", func(s *Scene, o object) bool { o.set("salt", s.otherHash()); return true }),
		{"vectors", "the hash of a vector changed", []Finding{integrity(ledger.ReasonStateHashMismatch)}, func(s *Scene) bool {
			hash := s.otherHash().String()
			return s.line(amendmentsFile, opened, func(t told) bool {
				done := false
				t.within("opening", func(o object) { done = edit(`"vector_sha256":"`, `"vector_sha256":"`+hash)(s, o) })
				return done
			})
		}},
		{"vectors", "the hash of a text changed", []Finding{integrity(ledger.ReasonStateHashMismatch)}, func(s *Scene) bool {
			return s.line(amendmentsFile, opened, func(t told) bool {
				done := false
				t.within("opening", func(o object) { done = edit(`"text_sha256":"0`, `"text_sha256":"1`)(s, o) })
				return done
			})
		}},
		{"openings", "exchanged for another's", []Finding{integrity(ledger.ReasonStateHashMismatch, ledger.ReasonOpeningMissing)}, func(s *Scene) bool {
			other, ok := s.pick(amendmentsFile, opened)
			return ok && s.line(amendmentsFile, opened, func(t told) bool {
				t.object["opening"] = other.object["opening"]
				return t.number != other.number
			})
		}},
		{"openings", "left out", []Finding{integrity(ledger.ReasonOpeningMissing)}, func(s *Scene) bool {
			return s.line(amendmentsFile, opened, func(t told) bool {
				delete(t.object, "opening")
				// In scope agent another tenant's may be missing.
				return s.Scope.Type != bundle.ScopeAgent || t.record.GovernanceAgentID == "acme"
			})
		}},
		{"openings", "made up where one was erased", []Finding{integrity(ledger.ReasonStateHashMismatch)}, func(s *Scene) bool {
			return s.line(amendmentsFile, func(t told) bool { return t.object["opening"] == nil }, func(t told) bool {
				t.set("opening", map[string]any{"salt": s.otherHash(), "state": fmt.Sprintf(`{"name":"%x"}`, s.Uint64())})
				return true
			})
		}},
		{"openings", "a key's left out", []Finding{signature(ledger.ReasonKeyMalformed, ledger.ReasonRootUntrusted)}, func(s *Scene) bool {
			return s.line(keysFile, opened, func(t told) bool { delete(t.object, "opening"); return true })
		}},
		{"openings", "a key's may_sign widened", []Finding{signature(ledger.ReasonKeyMalformed, ledger.ReasonRootUntrusted)}, func(s *Scene) bool {
			return s.line(keysFile, opened, func(t told) bool {
				done := false
				t.within("opening", func(o object) { done = edit(`"may_sign":[`, `"may_sign":["aaa",`)(s, o) })
				return done
			})
		}},
	}
}
