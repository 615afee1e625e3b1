package sequencer

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/dlai-sd/plant/shared/checkpoints"
	"github.com/dlai-sd/plant/shared/keys"
	"github.com/dlai-sd/plant/shared/ledger"
	"github.com/dlai-sd/plant/shared/store"
	"github.com/dlai-sd/plant/shared/translog"
)

// acrossFork judges a newest checkpoint of another origin: it must be the very one
// that a root gave up in this log's favour.
func (s *Sequencer) acrossFork(ctx context.Context, out outside, own int64, halt func(Reason, error) error) (outside, error) {
	f, err := s.DB.ForkTo(ctx, s.Origin)
	if errors.Is(err, store.ErrNotFound) {
		return out, halt(ReasonOrigin, nil)
	}
	if err != nil {
		return out, fmt.Errorf("read the fork: %w", err)
	}
	roots, err := s.rootKeys(ctx)
	if err != nil {
		return out, err
	}
	said, err := translog.ParseFork(f.Statement)
	if err == nil && roots[said.KeyID] != nil {
		said, err = translog.OpenFork(f.Statement, f.Signature, roots[said.KeyID])
	}
	switch {
	case err != nil || roots[said.KeyID] == nil:
		return out, halt(ReasonFork, err)
	case said.Origin != s.Origin || said.Number != out.number || said.Lost != out.Checkpoint:
		return out, halt(ReasonFork, errors.New("another checkpoint was published than the one that was given up"))
	}
	if err := s.agrees(ctx, said.Good, own, halt); err != nil {
		return out, err
	}
	out.fork = &f
	return out, nil
}

// Fork states, under a root key, that the log of this sequencer's origin goes on
// under another one, from the last published checkpoint that the database agrees
// with, and records it for the sequencer of the new origin, whose first run begins
// with it. The log must be stopped because the database was rolled back or differs:
// a log that can go on is not forked. The functions are stopped meanwhile. An origin
// that cannot be a new one is refused with ErrOrigin.
func (s *Sequencer) Fork(ctx context.Context, root keys.Key, origin string) (translog.Fork, error) {
	if err := s.isNew(ctx, origin); err != nil {
		return translog.Fork{}, err
	}
	state, err := s.DB.LogState(ctx)
	if err != nil {
		return translog.Fork{}, fmt.Errorf("look at the log: %w", err)
	}
	out, err := s.inspect(ctx, state)
	h := Halted(err)
	switch {
	case err == nil:
		return translog.Fork{}, errors.New("the log can go on: there is no reason to fork it")
	case h == nil:
		return translog.Fork{}, err
	case h.Reason != ReasonRolledBack && h.Reason != ReasonDiverged:
		return translog.Fork{}, fmt.Errorf("a fork does not mend this: %w", err)
	}
	good, err := s.lastGood(ctx, state.Size)
	if err != nil {
		return translog.Fork{}, err
	}
	said := translog.Fork{
		Origin: origin, FromOrigin: s.Origin, Number: out.number, Lost: out.Checkpoint, Good: good,
		KeyID: root.ID(), RecordedAt: s.Now().UTC().Truncate(time.Microsecond),
	}
	statement, err := said.Bytes()
	if err != nil {
		return said, err
	}
	signature, err := ledger.Sign(root, statement)
	if err != nil {
		return said, fmt.Errorf("sign the fork: %w", err)
	}
	return said, s.DB.AddFork(ctx, store.Fork{Origin: origin, Statement: statement, Signature: signature})
}

// ErrOrigin says that a log cannot begin anew under an origin.
var ErrOrigin = errors.New("no origin to begin anew under")

// isNew reports whether an origin can be that of a log which begins anew.
func (s *Sequencer) isNew(ctx context.Context, origin string) error {
	if origin == s.Origin {
		return fmt.Errorf("%w: %s is the present origin of this log", ErrOrigin, origin)
	}
	if err := ledger.CheckOrigin(origin); err != nil {
		return fmt.Errorf("%w: %w", ErrOrigin, err)
	}
	_, err := s.DB.ForkTo(ctx, origin)
	switch {
	case err == nil:
		return fmt.Errorf("%w: a log was forked to %s already", ErrOrigin, origin)
	case errors.Is(err, store.ErrNotFound):
		return nil
	default:
		return fmt.Errorf("read the fork: %w", err)
	}
}

// lastGood is the newest published checkpoint that the database knows and agrees
// with; that of no entries if there is none.
func (s *Sequencer) lastGood(ctx context.Context, size int64) (translog.Checkpoint, error) {
	const page = 100
	for below := int64(0); ; {
		list, err := s.DB.Checkpoints(ctx, below, page)
		if err != nil {
			return translog.Checkpoint{}, fmt.Errorf("read the checkpoints: %w", err)
		}
		for _, c := range list {
			below = c.N
			good, err := translog.ReadCheckpoint(c.Note)
			if err != nil || good.Origin != s.Origin || good.Size > size {
				continue
			}
			if root, err := s.root(ctx, good.Size); err == nil && root == good.Root {
				return good, nil
			}
		}
		if len(list) < page {
			return translog.Checkpoint{Origin: s.Origin, Root: translog.RootOf(nil)}, nil
		}
	}
}

// Status is how the log stands.
type Status struct {
	Origin        string    `json:"origin"`
	Size          int64     `json:"size"`    // entries
	Waiting       int64     `json:"waiting"` // amendments without a place
	HeadsAt       time.Time `json:"heads_at,omitzero"`
	Published     int64     `json:"published"`      // number of the newest published checkpoint
	PublishedSize int64     `json:"published_size"` // entries that it covers
	Halted        Reason    `json:"halted,omitzero"`
	// ForkedTo is the origin under which a stopped log goes on: a root said so, and
	// functions that are started with it are not stopped.
	ForkedTo string `json:"forked_to,omitzero"`
}

// Status compares the database with what is published, and changes nothing.
func (s *Sequencer) Status(ctx context.Context) (Status, error) {
	state, err := s.DB.LogState(ctx)
	if err != nil {
		return Status{}, fmt.Errorf("look at the log: %w", err)
	}
	status := Status{Origin: s.Origin, Size: state.Size, HeadsAt: state.HeadsAt}
	if status.Waiting, err = s.DB.Waiting(ctx); err != nil {
		return status, fmt.Errorf("count what waits: %w", err)
	}
	out, err := s.inspect(ctx, state)
	status.Published, status.PublishedSize = out.number, out.Size
	if h := Halted(err); h != nil {
		status.Halted = h.Reason
		status.ForkedTo, err = s.goesOn(ctx, state)
	}
	return status, err
}

// goesOn returns the origin to which this log was forked, if it can go on there.
func (s *Sequencer) goesOn(ctx context.Context, state store.LogState) (string, error) {
	f, err := s.DB.ForkFrom(ctx, s.Origin)
	if errors.Is(err, store.ErrNotFound) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("read the fork: %w", err)
	}
	next := s.Config
	next.Origin = f.Origin
	_, err = New(next).inspect(ctx, state)
	if Halted(err) != nil {
		return "", nil
	}
	return f.Origin, err
}

// newest reads the newest published checkpoint; number 0 if there is none and the
// database knows of none either.
func (s *Sequencer) newest(ctx context.Context, state store.LogState) (n int64, note []byte, err error) {
	n, note, err = s.Store.Newest(ctx, state.Newest.N)
	switch {
	case errors.Is(err, checkpoints.ErrNone) && state.Newest.N > 0:
		return 0, nil, &Halt{Reason: ReasonLost, Published: state.Newest.N, Size: state.Newest.Size, Own: state.Size}
	case errors.Is(err, checkpoints.ErrNone):
		return 0, nil, nil
	case err != nil:
		return 0, nil, fmt.Errorf("read the newest checkpoint: %w", err)
	}
	return n, note, nil
}
