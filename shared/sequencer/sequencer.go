// Package sequencer keeps the log: it gives every amendment its one place, makes
// the heads records, and publishes signed checkpoints outside the database. Any
// number of sequencers may run, and each may die at any line: the database gives
// places in one transaction at a time, a checkpoint's number is given once, and
// the next run begins by comparing the two.
package sequencer

import (
	"context"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/dlai-sd/plant/shared/checkpoints"
	"github.com/dlai-sd/plant/shared/domain"
	"github.com/dlai-sd/plant/shared/keys"
	"github.com/dlai-sd/plant/shared/ledger"
	"github.com/dlai-sd/plant/shared/store"
	"github.com/dlai-sd/plant/shared/translog"
)

const (
	// Chunk is how many amendments one transaction places.
	Chunk = 4096
	// headsEvery is how old the newest heads record may become: a verifier takes 26
	// hours, and a run in between may fail.
	headsEvery = 23 * time.Hour
	// publishTime is what a run keeps of its deadline for what follows the placing
	// of amendments.
	publishTime = 10 * time.Second
	sealTries   = 3
)

// ErrBusy says that another sequencer got in between: the next run goes on.
var ErrBusy = errors.New("another sequencer is at work")

// Config is what a sequencer works with. The keys are those of uses checkpoint and
// heads; a log that is only looked at needs none.
type Config struct {
	DB         *store.DB // as plant_auditor
	Store      checkpoints.Store
	Origin     string
	Checkpoint *keys.Holder
	Heads      *keys.Holder
	Log        *slog.Logger
	Now        func() time.Time // nil: time.Now
}

// Sequencer is safe for concurrent use.
type Sequencer struct{ Config }

// New makes a sequencer.
func New(c Config) *Sequencer {
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return &Sequencer{c}
}

// Done is what one run did.
type Done struct {
	Placed    int          // amendments
	Sealed    bool         // a heads record was made
	Published *store.Noted // the checkpoint that was published or adopted; nil: none was due
	Size      int64        // entries of the log
}

// Run places what waits, makes a heads record if one is due, and publishes a
// checkpoint of what there is. Where nothing is to be done it only compares. An
// error that is a *Halt says that the log must not go on; after any other the next
// run does. It stops placing in time to publish before ctx ends.
func (s *Sequencer) Run(ctx context.Context) (Done, error) {
	done, err := s.run(ctx, false)
	if h := Halted(err); h != nil {
		s.Log.ErrorContext(ctx, "the log is stopped: what is published and the database do not agree",
			"reason", string(h.Reason), "published", h.Published, "published_size", h.Size, "own_size", h.Own)
	}
	return done, err
}

// Seal makes a heads record now and publishes the checkpoint whose last entry it
// is, as an export needs it.
func (s *Sequencer) Seal(ctx context.Context) (store.Noted, error) {
	for range sealTries {
		done, err := s.run(ctx, true)
		switch {
		case errors.Is(err, ErrBusy):
			continue
		case err != nil:
			return store.Noted{}, err
		case done.Published != nil:
			return *done.Published, nil
		}
	}
	return store.Noted{}, ErrBusy
}

func (s *Sequencer) run(ctx context.Context, seal bool) (done Done, err error) {
	state, err := s.DB.LogState(ctx)
	if err != nil {
		return done, fmt.Errorf("look at the log: %w", err)
	}
	done.Size = state.Size
	last, err := s.compare(ctx, state)
	if err != nil {
		return done, err
	}
	due := seal || state.HeadsAt.IsZero() || s.Now().Sub(state.HeadsAt) >= headsEvery
	if !state.Waiting && !due && last.Size == state.Size && !last.foreign() {
		return done, nil
	}
	if last.foreign() {
		if err = s.begin(ctx, *last.fork, &done); err != nil {
			return done, err
		}
	}
	placed, _, err := s.place(ctx, "")
	if done.Placed += placed; err != nil {
		return done, err
	}
	if state, err = s.DB.LogState(ctx); err != nil {
		return done, fmt.Errorf("look at the log: %w", err)
	}
	done.Size = state.Size
	if state.Size == 0 {
		return done, nil // no key is introduced yet: there is nobody to sign
	}
	at := state.Size
	if due || s.unsignable(ctx, at) {
		if at, err = s.sealHeads(ctx); err != nil {
			return done, err
		}
		done.Sealed, done.Size = true, at
	}
	if last.Size >= at && !last.foreign() {
		return done, nil
	}
	published, err := s.publish(ctx, last, at)
	done.Published = published
	return done, err
}

// begin ends the log of the origin before: what was recorded under it comes first, then
// the statement of the fork. Functions may have begun to record under the new one before
// this first run.
func (s *Sequencer) begin(ctx context.Context, fork store.Fork, done *Done) error {
	placed, more, err := s.place(ctx, s.Origin)
	done.Placed += placed
	switch {
	case err != nil:
		return err
	case more:
		return fmt.Errorf("more waits than one run places before a fork: %w", context.DeadlineExceeded)
	}
	if err := s.DB.LogFork(ctx, fork); err != nil {
		return fmt.Errorf("log the fork: %w", err)
	}
	return nil
}

// place gives out places until nothing waits, or more does and the time is needed for
// the rest; notOf narrows it as store.DB.Sequence says.
func (s *Sequencer) place(ctx context.Context, notOf string) (total int, more bool, err error) {
	for {
		n, err := s.DB.Sequence(ctx, Chunk, notOf)
		total += n
		if errors.Is(err, store.ErrLogBusy) {
			return total, true, ErrBusy
		}
		if err != nil {
			return total, true, fmt.Errorf("give places: %w", err)
		}
		if end, bounded := ctx.Deadline(); n < Chunk || bounded && time.Until(end) < publishTime {
			return total, n == Chunk, nil
		}
	}
}

// outside is the newest published checkpoint; number 0 is none.
type outside struct {
	number int64
	note   []byte
	translog.Checkpoint
	fork *store.Fork // it is of the log that this one was forked from
}

func (o outside) foreign() bool { return o.fork != nil }

// compare is step one, without which nothing is given a place or signed: see
// inspect. What is published and not noted here, because a process died in between,
// is noted.
func (s *Sequencer) compare(ctx context.Context, state store.LogState) (outside, error) {
	out, err := s.inspect(ctx, state)
	if err == nil && out.number > state.Newest.N && !out.foreign() {
		err = s.DB.NoteCheckpoint(ctx, store.Noted{N: out.number, Size: out.Size, Root: out.Root, Note: out.note})
	}
	return out, err
}

// inspect reads the newest published checkpoint and holds the database to it.
func (s *Sequencer) inspect(ctx context.Context, state store.LogState) (outside, error) {
	n, note, err := s.newest(ctx, state)
	if err != nil || n == 0 {
		return outside{}, err
	}
	out := outside{number: n, note: note}
	halt := func(r Reason, err error) error {
		return &Halt{Reason: r, Published: n, Size: out.Size, Own: state.Size, Err: err}
	}
	if out.Checkpoint, err = translog.ReadCheckpoint(note); err != nil {
		return out, halt(ReasonUntrusted, err)
	}
	if out.Origin != s.Origin {
		return s.acrossFork(ctx, out, state.Size, halt)
	}
	if err := s.signedByUs(ctx, note, s.Origin); err != nil {
		if isTransient(err) {
			return out, err
		}
		return out, halt(ReasonUntrusted, err)
	}
	return out, s.agrees(ctx, out.Checkpoint, state.Size, halt)
}

// agrees reports how the database's log is not one that continues a checkpoint.
func (s *Sequencer) agrees(ctx context.Context, c translog.Checkpoint, size int64, halt func(Reason, error) error) error {
	if size < c.Size { // the size was read before the checkpoint: another may have written both since
		state, err := s.DB.LogState(ctx)
		if err != nil {
			return fmt.Errorf("look at the log: %w", err)
		}
		size = state.Size
	}
	if size < c.Size {
		return halt(ReasonRolledBack, nil)
	}
	root, err := s.root(ctx, c.Size)
	if err != nil {
		if isTransient(err) {
			return err
		}
		return halt(ReasonDiverged, err)
	}
	if root != c.Root {
		return halt(ReasonDiverged, nil)
	}
	return nil
}

// root returns the root of the first size entries, from the tiles.
func (s *Sequencer) root(ctx context.Context, size int64) (ledger.Hash, error) {
	tiles, err := s.DB.Tiles(ctx, translog.EdgeTiles(size))
	if err != nil {
		return ledger.Hash{}, fmt.Errorf("read tiles: %w", err)
	}
	return translog.Nodes(tiles.Node).Root(size)
}

func isTransient(err error) bool {
	var away *store.Unavailable
	return errors.As(err, &away) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}

// signedByUs reports whether a checkpoint key of this ledger signed a checkpoint,
// whatever became of the key.
func (s *Sequencer) signedByUs(ctx context.Context, note []byte, origin string) error {
	list, err := s.DB.SigningKeys(ctx)
	if err != nil {
		return fmt.Errorf("read the keys: %w", err)
	}
	var public []ed25519.PublicKey
	for _, k := range list {
		if k.Use != domain.UseCheckpoint {
			continue
		}
		if key, ok := publicKey(k.SPKI).(ed25519.PublicKey); ok {
			public = append(public, key)
		}
	}
	_, _, err = translog.OpenCheckpoint(note, origin, public)
	return err
}

// publicKey reads a key as the ledger holds it; nil if it is none.
func publicKey(spki string) any {
	der, err := base64.StdEncoding.DecodeString(spki)
	if err != nil {
		return nil
	}
	key, err := x509.ParsePKIXPublicKey(der)
	if err != nil {
		return nil
	}
	return key
}

// rootKeys are the ledger's root keys that were not revoked, by id.
func (s *Sequencer) rootKeys(ctx context.Context) (map[string]*rsa.PublicKey, error) {
	list, err := s.DB.SigningKeys(ctx)
	if err != nil {
		return nil, fmt.Errorf("read the keys: %w", err)
	}
	roots := map[string]*rsa.PublicKey{}
	for _, k := range list {
		if key, ok := publicKey(k.SPKI).(*rsa.PublicKey); ok && k.Use == domain.UseRoot && k.Status != domain.KeyRevoked {
			roots[k.KeyID] = key
		}
	}
	return roots, nil
}
