// Package lockfile lets one process at a time hold a folder. A lock dies with
// its process, however that ends: the file stays, the lock does not.
package lockfile

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// poll is how often Wait looks whether the lock has become free.
const poll = 25 * time.Millisecond

// Lock is a lock that this process holds until Release or its end.
type Lock struct{ file *os.File }

// HeldError says that another process holds the lock.
type HeldError struct {
	Path string
	PID  int // 0 if the holder has not written it yet
}

// Error names the holder.
func (e *HeldError) Error() string {
	if e.PID == 0 {
		return e.Path + " is held by another process"
	}
	return fmt.Sprintf("%s is held by process %d", e.Path, e.PID)
}

// Try takes the lock at path, creating the file, or fails at once with a
// *HeldError.
func Try(path string) (*Lock, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, fmt.Errorf("open lock: %w", err)
	}
	err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		held := &HeldError{Path: path, PID: holder(f)}
		return nil, errors.Join(held, f.Close())
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("lock %s: %w", path, err), f.Close())
	}
	if err := sign(f); err != nil {
		return nil, errors.Join(fmt.Errorf("write lock %s: %w", path, err), f.Close())
	}
	return &Lock{file: f}, nil
}

// Wait takes the lock at path as soon as it is free, or fails when ctx ends.
func Wait(ctx context.Context, path string) (*Lock, error) {
	tick := time.NewTicker(poll)
	defer tick.Stop()
	for {
		lock, err := Try(path)
		var held *HeldError
		if !errors.As(err, &held) {
			return lock, err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil, fmt.Errorf("wait for lock: %w: %w", held, ctx.Err())
		}
	}
}

// Folder creates dir if it is missing and takes its lock, so that two stacks
// never work in one data folder. Held, the error is a sentence that names the
// other process and wraps a *HeldError.
func Folder(dir string) (*Lock, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("create data folder: %w", err)
	}
	lock, err := Try(filepath.Join(dir, "lock"))
	var held *HeldError
	if errors.As(err, &held) {
		return nil, fmt.Errorf("the data folder %s is in use (%w): stop that process first, or choose another folder", dir, held)
	}
	return lock, err
}

// Release gives the lock back. The file stays: removing it would let two
// processes each lock a file of that name.
func (l *Lock) Release() error { return l.file.Close() }

func sign(f *os.File) error {
	if err := f.Truncate(0); err != nil {
		return err
	}
	_, err := f.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
	return err
}

func holder(f *os.File) int {
	b, err := io.ReadAll(io.LimitReader(f, 32))
	if err != nil {
		return 0
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil {
		return 0
	}
	return pid
}
