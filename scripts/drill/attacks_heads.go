package drill

import (
	"encoding/base64"
	"slices"
	"strings"

	"github.com/dlai-sd/plant/shared/bundle"
	"github.com/dlai-sd/plant/shared/ledger"
	"github.com/dlai-sd/plant/shared/translog"
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// headsAttacks lie about what the newest amendment of every entity is.
func headsAttacks() []Attack {
	const group = "heads"
	invalid := signature(translog.ReasonHeadsMalformed, ledger.ReasonSignatureInvalid)
	edited := func(name string, change func(*Scene, object), finds ...Finding) Attack {
		return Attack{group, name, finds, func(s *Scene) bool {
			s.json(headsFile, func(o object) {
				inner := decode([]byte(o.text("record")))
				change(s, inner)
				o.set("record", string(encode(inner)))
			})
			return true
		}}
	}
	rows := func(name string, change func(*Scene, []jsontext.Value) []jsontext.Value, r ...ledger.Reason) Attack {
		return Attack{group, name, []Finding{completeness(r...)}, func(s *Scene) bool {
			s.json(headsFile, func(o object) {
				var list []jsontext.Value
				_ = json.Unmarshal(o["tenants"], &list) // of another form: none
				o.set("tenants", change(s, list))
			})
			return true
		}}
	}
	by := func(name string, k func(*Keys) *key, r ledger.Reason) Attack {
		return Attack{group, name, []Finding{signature(r)}, func(s *Scene) bool {
			s.repackHeads(s.World.headsRecord(k(s.World.keys), s.World.rows(), nil))
			return true
		}}
	}
	lied := func(name string, all bool, lie func(*Scene, *World) []translog.TenantRow, r ...ledger.Reason) Attack {
		return Attack{group, name, []Finding{completeness(r...)}, func(s *Scene) bool {
			if all {
				s.all()
			} else {
				s.Scope = bundle.Scope{Type: bundle.ScopeGovernanceAgent, ID: "acme"}
			}
			s.repackHeads(s.World.headsRecord(s.World.keys.heads, lie(s, s.World), nil))
			return true
		}}
	}
	replaced := func(w *World, owner string, heads []translog.EntityHead) []translog.TenantRow {
		out := w.rows()
		at := slices.IndexFunc(out, func(r translog.TenantRow) bool { return r.Tenant == translog.TenantID(salt(owner), owner) })
		out[at] = translog.NewTenantRow(salt(owner), owner, heads)
		return out
	}
	return []Attack{
		edited("the time changed", func(_ *Scene, o object) { o.set("recorded_at", "2026-02-01T00:00:00.000000Z") }, invalid),
		edited("the root changed", func(s *Scene, o object) { o.set("root", s.otherHash()) }, invalid),
		edited("counts changed", func(s *Scene, o object) { o.set("entities", 1_000_000+s.IntN(1000)) }, invalid),
		edited("a tenth member", func(_ *Scene, o object) { o.set("note", 1) }, invalid),
		{group, "written with white space", []Finding{completeness(translog.ReasonHeadsNotCanonical)}, func(s *Scene) bool {
			s.json(headsFile, func(o object) { o.set("record", strings.Replace(o.text("record"), ",", ", ", 1)) })
			return true
		}},
		{group, "a bit of the signature flipped", []Finding{signature(ledger.ReasonSignatureInvalid)}, func(s *Scene) bool {
			s.json(headsFile, func(o object) {
				before := must(base64.StdEncoding.DecodeString(o.text("signature")))
				o.set("signature", base64.StdEncoding.EncodeToString(s.flip(before)))
			})
			return true
		}},
		by("signed by a key that is nobody's", func(k *Keys) *key { return k.rogue }, ledger.ReasonKeyUnknown),
		by("signed by an amendment key", func(k *Keys) *key { return k.amendment }, ledger.ReasonKeyMayNotSign),
		by("signed by a retired key", func(k *Keys) *key { return k.old }, ledger.ReasonKeyRetired),
		{group, "an older heads record as the newest", []Finding{completeness(bundle.ReasonHeadsNotLast)}, func(s *Scene) bool {
			h := s.World.headsRecord(s.World.keys.heads, s.World.rows(), nil)
			s.World.skills(s.World.keys.amendment, 1)
			s.repackHeads(h)
			return true
		}},
		{group, "a size that is not its own", []Finding{completeness(bundle.ReasonHeadsNotLast)}, func(s *Scene) bool {
			s.repackHeads(s.World.headsRecord(s.World.keys.heads, s.World.rows(), func(h *translog.Heads) { h.LogSize -= 1 + s.Int64N(5) }))
			return true
		}},
		rows("a row left out", func(s *Scene, l []jsontext.Value) []jsontext.Value {
			at := s.IntN(len(l))
			return slices.Delete(l, at, at+1)
		}, translog.ReasonTenantsCountMismatch),
		rows("rows in reverse", func(_ *Scene, l []jsontext.Value) []jsontext.Value { slices.Reverse(l); return l }, translog.ReasonTenantsUnsorted),
		rows("a row twice", func(s *Scene, l []jsontext.Value) []jsontext.Value {
			at := s.IntN(len(l))
			return slices.Insert(l, at, l[at])
		}, translog.ReasonTenantsUnsorted),
		rows("a count changed", func(s *Scene, l []jsontext.Value) []jsontext.Value {
			at := s.IntN(len(l))
			o := decode(l[at])
			o.set("count", 1000+s.IntN(1000))
			l[at] = encode(o)
			return l
		}, translog.ReasonEntitiesMismatch),
		rows("a root changed", func(s *Scene, l []jsontext.Value) []jsontext.Value {
			at := s.IntN(len(l))
			o := decode(l[at])
			o.set("root", s.otherHash())
			l[at] = encode(o)
			return l
		}, translog.ReasonHeadsRootMismatch),
		lied("an entity concealed, rightly signed", false, func(s *Scene, w *World) []translog.TenantRow {
			heads := w.headsOf("acme")
			at := s.IntN(len(heads))
			return replaced(w, "acme", slices.Delete(heads, at, at+1))
		}, bundle.ReasonTenantCountMismatch),
		lied("an older head, rightly signed", false, func(s *Scene, w *World) []translog.TenantRow {
			heads := w.headsOf("acme")
			heads[s.IntN(len(heads))].Hash = s.otherHash()
			return replaced(w, "acme", heads)
		}, bundle.ReasonTenantRootMismatch),
		lied("heads in another order, rightly signed", false, func(_ *Scene, w *World) []translog.TenantRow {
			heads := w.headsOf("acme")
			slices.Reverse(heads)
			return replaced(w, "acme", heads)
		}, bundle.ReasonTenantRootMismatch),
		lied("a revocation concealed, rightly signed", false, func(s *Scene, w *World) []translog.TenantRow {
			heads := w.headsOf(keyring)
			heads[s.IntN(len(heads))].Seq = 9
			return replaced(w, keyring, heads)
		}, bundle.ReasonTenantRootMismatch),
		lied("a tenant concealed, rightly signed", true, func(s *Scene, w *World) []translog.TenantRow {
			out := w.rows()
			at := s.IntN(len(out))
			return slices.Delete(out, at, at+1)
		}, bundle.ReasonTenantMissing),
		lied("a tenant made up, rightly signed", true, func(s *Scene, w *World) []translog.TenantRow {
			out := append(w.rows(), translog.TenantRow{Tenant: s.otherHash(), Count: 1, Root: s.otherHash()})
			translog.SortRows(out)
			return out
		}, bundle.ReasonTenantExtra),
		{group, "an older heads record concealed", []Finding{completeness(bundle.ReasonLogEntryMissing)}, func(s *Scene) bool {
			if s.Scope.Type != bundle.ScopeAll {
				return false
			}
			s.json(headsFile, func(o object) { delete(o, "earlier") })
			return true
		}},
		{group, "an older heads record exchanged", []Finding{completeness(bundle.ReasonLogRootMismatch)}, func(s *Scene) bool {
			if s.Scope.Type != bundle.ScopeAll {
				return false
			}
			s.json(headsFile, func(o object) {
				o.set("earlier", []map[string]any{{"log_index": s.World.heads[0].LogIndex, "hash": s.otherHash()}})
			})
			return true
		}},
		{group, "the place of an entity changed", []Finding{completeness(bundle.ReasonEntityHeadMismatch)}, func(s *Scene) bool {
			return s.Scope.Type == bundle.ScopeEntity && s.place(func(o object) { o.set("index", 100_000+s.IntN(1000)) })
		}},
		{group, "the path of an entity changed", []Finding{completeness(bundle.ReasonEntityHeadMismatch)}, func(s *Scene) bool {
			return s.Scope.Type == bundle.ScopeEntity && s.place(func(o object) { path("path", flipOne)(s, o) })
		}},
		{group, "the place of another owner", []Finding{completeness(bundle.ReasonEntityHeadMismatch)}, func(s *Scene) bool {
			return s.Scope.Type == bundle.ScopeEntity && s.place(func(o object) { o.set("owner", keyring) })
		}},
		{group, "a place of an agent's support left out", []Finding{completeness(bundle.ReasonEntityHeadMismatch)}, func(s *Scene) bool {
			if s.Scope.Type != bundle.ScopeAgent {
				return false
			}
			s.json(headsFile, func(o object) {
				var places []jsontext.Value
				_ = json.Unmarshal(o["entities"], &places) // of another form: none
				at := s.IntN(len(places))
				o.set("entities", slices.Delete(places, at, at+1))
			})
			return true
		}},
	}
}

// place changes the place of scope entity's head.
func (s *Scene) place(change func(object)) bool {
	s.json(headsFile, func(o object) { o.within("entity", change) })
	return true
}
