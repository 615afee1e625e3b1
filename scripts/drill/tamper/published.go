package tamper

import (
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"

	"github.com/dlai-sd/plant/shared/checkpoints"
	"github.com/dlai-sd/plant/shared/ledger"
	"github.com/dlai-sd/plant/shared/sequencer"
	"github.com/dlai-sd/plant/shared/translog"
)

// ErrUnpublished says that there is no published checkpoint to hold a database to.
var ErrUnpublished = errors.New("no checkpoint of this log was published yet")

// Published is the newest published checkpoint; N is 0 where there is none.
type Published struct {
	N    int64
	Note []byte
}

func publishedIn(ctx context.Context, s checkpoints.Store) (Published, error) {
	n, note, err := s.Newest(ctx, 0)
	if errors.Is(err, checkpoints.ErrNone) {
		return Published{}, nil
	}
	return Published{n, note}, err
}

// foreign reports whether what is published is of another log than the copy's: of one
// that was just forked it is of the log before. What is none is for the sequencer to say.
func (g *ground) foreign() bool {
	c, err := translog.ReadCheckpoint(g.shelf.Note)
	return err == nil && c.Origin != g.auditor.Origin
}

// shelf is where one checkpoint is published.
type shelf struct{ Published }

// Create implements checkpoints.Store: a drill publishes nothing.
func (s *shelf) Create(context.Context, int64, []byte) error {
	return errors.New("a drill publishes no checkpoint")
}

// Newest implements checkpoints.Store.
func (s *shelf) Newest(_ context.Context, from int64) (int64, []byte, error) {
	if s.N == 0 || s.N < from {
		return 0, nil, checkpoints.ErrNone
	}
	return s.N, s.Note, nil
}

// forger signs what the platform never did.
func forger() ed25519.PrivateKey {
	return ed25519.NewKeyFromSeed([]byte("a key that no deployment ever had"[:ed25519.SeedSize]))
}

// forged is a checkpoint that the forger signs, as it follows the newest one.
func forged(r *rand.Rand, p Published, change func(*translog.Checkpoint)) []byte {
	c, err := translog.ReadCheckpoint(p.Note)
	if err != nil {
		return p.Note // it is none, which the drill finds before it begins
	}
	c.Size += r.Int64N(1000)
	for i := range c.Root {
		c.Root[i] = byte(r.Uint32())
	}
	change(&c)
	note, err := c.Sign(forger())
	if err != nil {
		return nil
	}
	return note
}

func onPublished() []Attack {
	published := func(name string, reason sequencer.Reason, publishes func(*rand.Rand, Published) Published) Attack {
		return Attack{Group: "published checkpoints", Name: name, By: BySequencer, Reasons: reasons(ledger.Reason(reason)), Publishes: publishes}
	}
	keep := func(*translog.Checkpoint) {}
	return []Attack{
		published("lost", sequencer.ReasonLost, func(*rand.Rand, Published) Published { return Published{} }),
		published("the newest lost", sequencer.ReasonLost, func(_ *rand.Rand, p Published) Published { return Published{p.N - 1, p.Note} }),
		{
			Group: "published checkpoints", Name: "another log's", By: BySequencer,
			Reasons: reasons(ledger.Reason(sequencer.ReasonOrigin), ledger.Reason(sequencer.ReasonFork)), // of a log that was forked once, not that fork
			Publishes: func(r *rand.Rand, p Published) Published {
				return Published{p.N + 1, forged(r, p, func(c *translog.Checkpoint) { c.Origin = fmt.Sprintf("mallory.example/%x", r.Uint32()) })}
			},
		},
		published("a following one, forged", sequencer.ReasonUntrusted, func(r *rand.Rand, p Published) Published {
			return Published{p.N + 1 + r.Int64N(9), forged(r, p, keep)}
		}),
		published("the newest, forged", sequencer.ReasonUntrusted, func(r *rand.Rand, p Published) Published { return Published{p.N, forged(r, p, keep)} }),
		published("the newest's words, a forger's signature", sequencer.ReasonUntrusted, func(r *rand.Rand, p Published) Published {
			return Published{p.N, forged(r, p, func(c *translog.Checkpoint) { *c, _ = translog.ReadCheckpoint(p.Note) })}
		}),
		published("other words, the newest's signature", sequencer.ReasonUntrusted, func(r *rand.Rand, p Published) Published {
			_, signature, _ := strings.Cut(string(p.Note), "\n\n")
			words, _, _ := strings.Cut(string(forged(r, p, keep)), "\n\n")
			return Published{p.N, []byte(words + "\n\n" + signature)}
		}),
		published("a bit of its signature", sequencer.ReasonUntrusted, func(r *rand.Rand, p Published) Published { return Published{p.N, flipped(r, p.Note)} }),
		published("its signature gone", sequencer.ReasonUntrusted, func(_ *rand.Rand, p Published) Published {
			words, _, _ := strings.Cut(string(p.Note), "\n\n")
			return Published{p.N, []byte(words + "\n")}
		}),
		published("cut short", sequencer.ReasonUntrusted, func(r *rand.Rand, p Published) Published {
			return Published{p.N, p.Note[:1+r.IntN(len(p.Note)-1)]}
		}),
		published("what is none", sequencer.ReasonUntrusted, func(r *rand.Rand, p Published) Published {
			return Published{p.N + 1, fmt.Appendf(nil, "%x\n", r.Uint64())}
		}),
	}
}

// flipped is a note with a bit of its last signature turned around.
func flipped(r *rand.Rand, note []byte) []byte {
	text := strings.TrimSuffix(string(note), "\n")
	at := strings.LastIndexByte(text, ' ') + 1
	raw, err := base64.StdEncoding.DecodeString(text[at:])
	if err != nil || len(raw) == 0 {
		return note
	}
	raw[r.IntN(len(raw))] ^= 1 << r.IntN(8)
	return []byte(text[:at] + base64.StdEncoding.EncodeToString(raw) + "\n")
}
