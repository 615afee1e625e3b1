package drill

import (
	"archive/zip"
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"strings"

	"github.com/dlai-sd/plant/shared/bundle"
	"github.com/dlai-sd/plant/shared/ledger"
)

// fileAttacks change the files beside the lines.
func fileAttacks() []Attack {
	const group = "bundle files"
	rulesFile := "constitutions/" + ledger.HashOf([]byte(rules)).String() + ".json"
	listFile := "checklists/" + ledger.HashOf([]byte(checklist)).String() + ".json"
	put := func(name, file string, content func(*Scene) []byte, finds ...Finding) Attack {
		return Attack{group, name, finds, func(s *Scene) bool { s.Files[file] = content(s); return true }}
	}
	scope := func(name string, change func(*Scene) bundle.Scope, finds ...Finding) Attack {
		return Attack{group, name, finds, func(s *Scene) bool {
			to := change(s)
			s.json(manifestFile, func(o object) { o.set("scope", to) })
			return to != s.Scope
		}}
	}
	return []Attack{
		put("rules rewritten", rulesFile, func(s *Scene) []byte { return fmt.Appendf(nil, `{"rules":[%d]}`, s.IntN(1000)) },
			integrity(ledger.ReasonConstitutionUnknown)),
		put("a checklist rewritten", listFile, func(s *Scene) []byte { return fmt.Appendf(nil, `{"points":[%d]}`, s.IntN(1000)) },
			integrity(bundle.ReasonChecklistMalformed)),
		put("rules under another hash", "constitutions/"+strings.Repeat("0", 64)+".json", func(*Scene) []byte { return []byte(rules) },
			integrity(bundle.ReasonConstitutionMalformed)),
		{group, "rules left out", []Finding{integrity(ledger.ReasonConstitutionUnknown)}, func(s *Scene) bool {
			delete(s.Files, rulesFile)
			return true
		}},
		{group, "a key's PEM file exchanged", []Finding{signature(bundle.ReasonPEMMismatch)}, func(s *Scene) bool {
			der := must(x509.MarshalPKIXPublicKey(s.World.keys.rogue.private.Public()))
			s.Files["keys/"+s.World.keys.amendment.id+".pem"] = pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
			return true
		}},
		{group, "a PEM file of a key that is nobody's", []Finding{signature(bundle.ReasonPEMMismatch)}, func(s *Scene) bool {
			der := must(x509.MarshalPKIXPublicKey(s.World.keys.rogue.private.Public()))
			s.Files["keys/"+s.World.keys.rogue.id+".pem"] = pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
			return true
		}},
		put("the sample changed", "sample/record.json", func(s *Scene) []byte { return s.flip(s.Files["sample/record.json"]) }, signature(bundle.ReasonSampleInvalid)),
		put("the sample's signature changed", "sample/record.sig", func(s *Scene) []byte { return s.flip(s.Files["sample/record.sig"]) }, signature(bundle.ReasonSampleInvalid)),
		put("the sample by a key that is nobody's", "sample/record.sig", func(s *Scene) []byte {
			return must(ledger.Sign(s.World.keys.rogue.private, s.Files["sample/record.json"]))
		}, signature(bundle.ReasonSampleInvalid)),
		{group, "half a sample", []Finding{signature(bundle.ReasonSampleInvalid)}, func(s *Scene) bool {
			delete(s.Files, []string{"sample/record.json", "sample/record.sig"}[s.IntN(2)])
			return true
		}},
		{group, "the manifest of another log", []Finding{signature(ledger.ReasonOriginWrong)}, func(s *Scene) bool {
			s.json(manifestFile, func(o object) { o.set("origin", "elsewhere") })
			return true
		}},
		{group, "a bundle of another log", []Finding{signature(ledger.ReasonOriginWrong)}, func(s *Scene) bool {
			s.Options.Origin = "plant.example/other"
			return true
		}},
		scope("the scope made smaller", func(s *Scene) bundle.Scope {
			return bundle.Scope{Type: bundle.ScopeGovernanceAgent, ID: "nobody"}
		}, completeness(bundle.ReasonScopeMismatch), refused()),
		scope("the scope made larger", func(*Scene) bundle.Scope { return bundle.Scope{Type: bundle.ScopeAll} },
			completeness(bundle.ReasonScopeMismatch), refused()),
		{group, "the date of an agent moved", []Finding{completeness(bundle.ReasonScopeMismatch)}, func(s *Scene) bool {
			at := s.World.date.AddDate(0, 0, 1+s.IntN(100))
			s.json(manifestFile, func(o object) { o.set("scope", bundle.AgentAt(s.World.agent, at)) })
			return s.Scope.Type == bundle.ScopeAgent
		}},
		{group, "the date of an agent moved, and asked for", []Finding{completeness(bundle.ReasonAtBeyondHeads, bundle.ReasonOutOfScope)}, func(s *Scene) bool {
			at := s.World.date.AddDate(0, 0, s.IntN(200)-100)
			scope := bundle.AgentAt(s.World.agent, at)
			s.json(manifestFile, func(o object) { o.set("scope", scope) })
			s.Options.Scope = &scope
			return s.Scope.Type == bundle.ScopeAgent && !at.Equal(s.World.date)
		}},
		{group, "something that an agent rests on left out", []Finding{completeness(bundle.ReasonReferenceMissing)}, func(s *Scene) bool {
			if s.Scope.Type != bundle.ScopeAgent {
				return false
			}
			id := s.World.rests[s.IntN(len(s.World.rests))]
			s.without(amendmentsFile, s.told(amendmentsFile, func(t told) bool { return t.record.EntityID == id }))
			return true
		}},
	}
}

// readerAttacks are made to harm or to confuse whoever reads.
func readerAttacks() []Attack {
	const group = "hostile files"
	text := func(name string, change func(*Scene, []byte) []byte) Attack {
		return Attack{group, name, []Finding{refused()}, func(s *Scene) bool {
			file := []string{manifestFile, headsFile, amendmentsFile, keysFile}[s.IntN(4)]
			if len(s.Files[file]) == 0 {
				return false
			}
			s.Files[file] = change(s, s.Files[file])
			return true
		}}
	}
	member := func(value string) func(*Scene, []byte) []byte {
		return func(_ *Scene, b []byte) []byte { return bytes.Replace(b, []byte("{"), []byte(`{"`+value+","), 1) }
	}
	packed := func(name string, write func(*Scene, *zip.Writer)) Attack {
		return Attack{group, name, []Finding{refused()}, func(s *Scene) bool {
			var b bytes.Buffer
			w := zip.NewWriter(&b)
			for name, content := range s.Files {
				must(must(w.Create(name)).Write(content))
			}
			write(s, w)
			if err := w.Close(); err != nil {
				panic(err)
			}
			s.Zip = b.Bytes()
			return true
		}}
	}
	return []Attack{
		{group, "a file left out", []Finding{refused()}, func(s *Scene) bool {
			delete(s.Files, []string{manifestFile, headsFile, amendmentsFile, keysFile, checkpointFile}[s.IntN(5)])
			return true
		}},
		text("a member nobody knows", member(`x":1`)),
		text("a null", member(`x":null`)),
		text("a name twice", func(_ *Scene, b []byte) []byte { return bytes.Replace(b, []byte("{"), []byte(`{"a":1,"a":1,`), 1) }),
		text("a huge number", member(`log_index":1e999`)),
		text("nested without end", member(`x":`+strings.Repeat("[", 100_000))),
		text("no UTF-8", func(_ *Scene, b []byte) []byte { return bytes.Replace(b, []byte(`"`), []byte("\"\xff"), 1) }),
		text("half a surrogate", func(_ *Scene, b []byte) []byte { return bytes.Replace(b, []byte(`"`), []byte(`"\ud800`), 1) }),
		text("cut in the middle", func(_ *Scene, b []byte) []byte { return b[:len(b)/2+1] }),
		{group, "an endless line", []Finding{refused()}, func(s *Scene) bool {
			file := []string{manifestFile, amendmentsFile, keysFile}[s.IntN(3)]
			s.Files[file] = append(bytes.Clone(s.Files[file]), bytes.Repeat([]byte(" "), 3<<20)...)
			return true
		}},
		packed("a name that leads upwards", func(_ *Scene, w *zip.Writer) { must(w.Create("../evil")) }),
		packed("a name that is absolute", func(_ *Scene, w *zip.Writer) { must(w.Create("/etc/passwd")) }),
		packed("a name twice in the zip", func(_ *Scene, w *zip.Writer) { must(w.Create(manifestFile)) }),
		packed("names alike but for case", func(_ *Scene, w *zip.Writer) { must(w.Create("Manifest.JSON")) }),
		packed("a zip bomb", func(_ *Scene, w *zip.Writer) { must(must(w.Create("bomb")).Write(make([]byte, 2<<20))) }),
		packed("a link", func(_ *Scene, w *zip.Writer) {
			h := &zip.FileHeader{Name: "link"}
			h.SetMode(0o777 | 1<<27) // fs.ModeSymlink
			must(must(w.CreateHeader(h)).Write([]byte("/etc/passwd")))
		}),
		{group, "a zip cut short", []Finding{refused()}, func(s *Scene) bool {
			b := s.zipped()
			s.Zip = b[:s.IntN(len(b)-22)]
			return true
		}},
		{group, "no zip at all", []Finding{refused()}, func(s *Scene) bool {
			s.Zip = []byte(fmt.Sprintf("PK\x03\x04%x", s.Uint64()))
			return true
		}},
	}
}
