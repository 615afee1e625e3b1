package drill

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"time"

	"github.com/dlai-sd/plant/shared/bundle"
	"github.com/dlai-sd/plant/shared/ledger"
	"github.com/dlai-sd/plant/shared/translog"
)

// freshnessAttacks show an auditor an old log, or another one than before.
func freshnessAttacks() []Attack {
	const group = "roll back and split view"
	fork := func(s *Scene, at int64) *World {
		w := s.World.clone(s.Rand)
		w.hashes[at] = s.otherHash()
		return w
	}
	attack := func(name string, r ledger.Reason, lay func(*Scene) bool) Attack {
		return Attack{group, name, []Finding{freshness(r)}, lay}
	}
	below := func(s *Scene) bool { return s.Scope.Type != bundle.ScopeAll }
	return []Attack{
		attack("a log smaller than the one seen", bundle.ReasonRollback, func(s *Scene) bool {
			s.World.skills(s.World.keys.amendment, 1+s.IntN(5))
			s.Options.Seen = s.World.checkpoint(s.World.next())
			return true
		}),
		attack("another log of the same size", bundle.ReasonSeenInconsistent, func(s *Scene) bool {
			size := s.World.next()
			s.Options.Seen = fork(s, s.Int64N(size)).checkpoint(size)
			return true
		}),
		attack("another log before", bundle.ReasonSeenInconsistent, func(s *Scene) bool {
			size := s.World.heads[0].LogIndex + 1
			s.Options.Seen = fork(s, s.Int64N(size)).checkpoint(size)
			return true
		}),
		attack("a size before that nothing is shown of", bundle.ReasonSeenInconsistent, func(s *Scene) bool {
			s.Options.Seen = s.World.checkpoint(s.World.heads[0].LogIndex)
			return below(s)
		}),
		attack("the consistency path left out", bundle.ReasonSeenInconsistent, func(s *Scene) bool {
			s.json(headsFile, func(o object) { delete(o, "consistency") })
			return below(s)
		}),
		attack("the consistency path changed", bundle.ReasonSeenInconsistent, func(s *Scene) bool {
			done := below(s)
			if done {
				s.json(headsFile, func(o object) {
					o.within("consistency", func(c object) { done = path(fmt.Sprint(s.World.heads[0].LogIndex+1), flipOne)(s, c) })
				})
			}
			return done
		}),
		attack("the consistency path made longer", bundle.ReasonSeenInconsistent, func(s *Scene) bool {
			done := below(s)
			if done {
				s.json(headsFile, func(o object) {
					o.within("consistency", func(c object) { done = path(fmt.Sprint(s.World.heads[0].LogIndex+1), longer)(s, c) })
				})
			}
			return done
		}),
		attack("a seen checkpoint that nobody signed", bundle.ReasonSeenInvalid, func(s *Scene) bool {
			size := s.World.heads[0].LogIndex + 1
			c := translog.Checkpoint{Origin: origin, Size: size, Root: must(s.World.grown().Root(size))}
			s.Options.Seen = must(c.Sign(s.World.keys.rogueCheckpoint))
			return true
		}),
		attack("an old bundle", bundle.ReasonStale, func(s *Scene) bool {
			s.Options.Now = s.Options.Now.Add(bundle.DefaultMaxAge + time.Duration(s.IntN(1000))*time.Hour)
			return true
		}),
		attack("a bundle from the future", bundle.ReasonFromTheFuture, func(s *Scene) bool {
			s.Options.Now = s.Options.Now.Add(-time.Hour - 20*time.Second - time.Duration(s.IntN(1000))*time.Hour)
			return true
		}),
	}
}

// proofAttacks change paths and the checkpoint that they lead to.
func proofAttacks() []Attack {
	const group = "proofs"
	inclusion := []Finding{completeness(bundle.ReasonInclusionInvalid)}
	line := func(name, file string, change func(*Scene, []string) []string) Attack {
		return Attack{group, name, inclusion, func(s *Scene) bool {
			return s.line(file, nil, func(t told) bool { return path("inclusion", change)(s, t.object) })
		}}
	}
	checkpoint := func(name string, finds []Finding, change func(*Scene, []byte) []byte) Attack {
		return Attack{group, name, finds, func(s *Scene) bool {
			before := s.Files[checkpointFile]
			s.Files[checkpointFile] = change(s, before)
			return !bytes.Equal(before, s.Files[checkpointFile])
		}}
	}
	signed := func(change func(*Scene, *translog.Checkpoint), rogue bool) func(*Scene, []byte) []byte {
		return func(s *Scene, b []byte) []byte {
			c := must(translog.ReadCheckpoint(b))
			change(s, &c)
			if rogue {
				return must(c.Sign(s.World.keys.rogueCheckpoint))
			}
			return must(c.Sign(s.World.keys.checkpoint))
		}
	}
	notSigned := []Finding{signature(translog.ReasonCheckpointSignatureInvalid)}
	return []Attack{
		line("a hash of an inclusion path changed", amendmentsFile, flipOne),
		line("an inclusion path made longer", amendmentsFile, longer),
		line("an inclusion path made shorter", amendmentsFile, shorter),
		line("a key's inclusion path changed", keysFile, flipOne),
		{group, "another record's inclusion path", inclusion, func(s *Scene) bool {
			other, ok := s.pick(amendmentsFile, nil)
			return ok && s.line(amendmentsFile, nil, func(t told) bool {
				t.object["inclusion"] = other.object["inclusion"]
				return t.number != other.number
			})
		}},
		{group, "the heads record's inclusion path changed", inclusion, func(s *Scene) bool {
			s.json(headsFile, func(o object) { path("inclusion", flipOne)(s, o) })
			return true
		}},
		checkpoint("the size changed", notSigned, func(s *Scene, b []byte) []byte {
			lines := bytes.SplitN(b, []byte("\n"), 3)
			return bytes.Join([][]byte{lines[0], fmt.Append(nil, 1+s.IntN(1000)), lines[2]}, []byte("\n"))
		}),
		checkpoint("the root changed", notSigned, func(s *Scene, b []byte) []byte {
			lines := bytes.SplitN(b, []byte("\n"), 4)
			h := s.otherHash()
			return bytes.Join([][]byte{lines[0], lines[1], []byte(base64.StdEncoding.EncodeToString(h[:])), lines[3]}, []byte("\n"))
		}),
		checkpoint("signed by a key that is nobody's", notSigned, signed(func(*Scene, *translog.Checkpoint) {}, true)),
		checkpoint("a signature left out", []Finding{signature(translog.ReasonCheckpointMalformed)}, func(_ *Scene, b []byte) []byte {
			return b[:bytes.Index(b, []byte("\n\n"))+2]
		}),
		checkpoint("an extension line", []Finding{signature(translog.ReasonCheckpointMalformed)}, func(_ *Scene, b []byte) []byte {
			return bytes.Replace(b, []byte("\n\n"), []byte("\nmore\n\n"), 1)
		}),
		checkpoint("of another log, rightly signed", []Finding{signature(ledger.ReasonOriginWrong)}, signed(func(_ *Scene, c *translog.Checkpoint) { c.Origin = "elsewhere" }, false)),
		checkpoint("another root, rightly signed", []Finding{completeness(bundle.ReasonLogRootMismatch, bundle.ReasonInclusionInvalid)}, signed(func(s *Scene, c *translog.Checkpoint) { c.Root = s.otherHash() }, false)),
		checkpoint("another size, rightly signed", []Finding{completeness(bundle.ReasonHeadsNotLast)}, signed(func(s *Scene, c *translog.Checkpoint) { c.Size += 1 + s.Int64N(9) }, false)),
		checkpoint("before the key was introduced", []Finding{signature(ledger.ReasonKeyNotInForce)}, signed(func(_ *Scene, c *translog.Checkpoint) { c.Size = 2 }, false)),
		checkpoint("cut short", []Finding{signature(translog.ReasonCheckpointMalformed, translog.ReasonCheckpointSignatureInvalid, ledger.ReasonOriginWrong)}, func(s *Scene, b []byte) []byte {
			return b[:s.IntN(len(b)-1)]
		}),
	}
}
