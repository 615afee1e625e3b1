package sequencer

import (
	"context"
	"errors"
	"fmt"

	"github.com/dlai-sd/plant/shared/checkpoints"
	"github.com/dlai-sd/plant/shared/keys"
	"github.com/dlai-sd/plant/shared/ledger"
	"github.com/dlai-sd/plant/shared/store"
	"github.com/dlai-sd/plant/shared/translog"
)

// sealHeads appends a heads record, signed by a key that is in force at its own
// index, and returns the log's size with it.
func (s *Sequencer) sealHeads(ctx context.Context) (size int64, err error) {
	key, err := s.Heads.Key(ctx)
	if err != nil {
		return 0, fmt.Errorf("heads key: %w", err)
	}
	at, err := s.DB.Seal(ctx, key.ID(), s.headsBy(key))
	if errors.Is(err, store.ErrKeyOutOfForce) {
		if key, err = s.Heads.Reload(ctx, key.ID()); err != nil {
			return 0, fmt.Errorf("heads key: %w", err)
		}
		at, err = s.DB.Seal(ctx, key.ID(), s.headsBy(key))
	}
	if errors.Is(err, store.ErrLogBusy) {
		return 0, ErrBusy
	}
	if err != nil {
		return 0, fmt.Errorf("make a heads record: %w", err)
	}
	return at + 1, nil
}

func (s *Sequencer) headsBy(key keys.Key) func(int64, []translog.TenantRow) (store.SealedHeads, error) {
	return func(size int64, rows []translog.TenantRow) (store.SealedHeads, error) {
		h, err := translog.NewHeads(s.Origin, key.ID(), size, s.Now(), rows)
		if err != nil {
			return store.SealedHeads{}, err
		}
		record := h.Bytes()
		signature, err := ledger.Sign(key, record)
		return store.SealedHeads{Record: record, Signature: signature, KeyID: key.ID(), At: h.RecordedAt}, err
	}
}

// unsignable reports whether the checkpoint key is introduced by the very last of
// size entries, so that it is in force from the next one on only.
func (s *Sequencer) unsignable(ctx context.Context, size int64) bool {
	key, err := s.Checkpoint.Key(ctx)
	if err != nil {
		return false
	}
	place, err := s.DB.KeyPlace(ctx, key.ID())
	return err == nil && place.Introduced == size-1
}

// checkpointKey returns a checkpoint key that is in force at the last of size
// entries.
func (s *Sequencer) checkpointKey(ctx context.Context, size int64) (keys.Key, error) {
	key, err := s.Checkpoint.Key(ctx)
	if err != nil {
		return key, err
	}
	place, err := s.DB.KeyPlace(ctx, key.ID())
	if err == nil && place.Signs(size-1) {
		return key, nil
	}
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return key, err
	}
	if key, err = s.Checkpoint.Reload(ctx, key.ID()); err != nil {
		return key, err
	}
	if place, err = s.DB.KeyPlace(ctx, key.ID()); err != nil {
		return key, err
	}
	if !place.Signs(size - 1) {
		return key, store.ErrKeyOutOfForce
	}
	return key, nil
}

// publish signs the checkpoint of the first size entries and publishes it under
// the next number: the line that signs what the world sees.
func (s *Sequencer) publish(ctx context.Context, last outside, size int64) (*store.Noted, error) {
	key, err := s.checkpointKey(ctx, size)
	if err != nil {
		return nil, fmt.Errorf("checkpoint key: %w", err)
	}
	root, err := s.root(ctx, size)
	if err != nil {
		return nil, fmt.Errorf("root of %d entries: %w", size, err)
	}
	note, err := translog.Checkpoint{Origin: s.Origin, Size: size, Root: root}.Sign(key)
	if err != nil {
		return nil, err
	}
	mine := store.Noted{N: last.number + 1, Size: size, Root: root, Note: note}
	switch err := s.Store.Create(ctx, mine.N, note); {
	case errors.Is(err, checkpoints.ErrExists):
		if mine, err = s.adopt(ctx, mine); err != nil {
			return nil, err
		}
	case err != nil:
		return nil, fmt.Errorf("publish checkpoint %d: %w", mine.N, err)
	}
	return &mine, s.DB.NoteCheckpoint(ctx, mine)
}

// adopt takes what is published under the number that was meant for mine, if it
// says the same. Another sequencer's, of another size of the same log, leaves the
// rest to the next run; anything else stops the log.
func (s *Sequencer) adopt(ctx context.Context, mine store.Noted) (store.Noted, error) {
	n, note, err := s.Store.Newest(ctx, mine.N)
	if err != nil {
		return mine, fmt.Errorf("read what is published under number %d: %w", mine.N, err)
	}
	if n != mine.N {
		return mine, ErrBusy
	}
	halt := func(_ Reason, err error) error {
		return &Halt{Reason: ReasonContested, Published: n, Own: mine.Size, Err: err}
	}
	theirs, err := translog.ReadCheckpoint(note)
	if err != nil || theirs.Origin != s.Origin {
		return mine, halt("", err)
	}
	if err := s.signedByUs(ctx, note, s.Origin); err != nil {
		if isTransient(err) {
			return mine, err
		}
		return mine, halt("", err)
	}
	if theirs.Size == mine.Size && theirs.Root == mine.Root {
		mine.Note = note
		return mine, nil
	}
	state, err := s.DB.LogState(ctx)
	if err != nil {
		return mine, fmt.Errorf("look at the log: %w", err)
	}
	if err := s.agrees(ctx, theirs, state.Size, halt); err != nil {
		return mine, err
	}
	return mine, ErrBusy
}
