package checkpoints

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// Folder is a Store in a folder of this machine.
type Folder struct{ dir string }

// NewFolder returns the store in a folder, which is made if it is not there.
func NewFolder(dir string) (Folder, error) {
	if err := os.MkdirAll(filepath.Join(dir, folder), 0o700); err != nil {
		return Folder{}, fmt.Errorf("checkpoints: %w", err)
	}
	return Folder{dir}, nil
}

// Create implements Store. The file is whole and on the disk before it gets its
// name, which a link gives to one alone; a crash leaves at most a nameless file.
func (f Folder) Create(_ context.Context, n int64, note []byte) (err error) {
	if err := check(n, note); err != nil {
		return err
	}
	nameless, err := os.CreateTemp(filepath.Join(f.dir, folder), ".new-*")
	if err != nil {
		return fmt.Errorf("create checkpoint %d: %w", n, err)
	}
	defer func() { err = errors.Join(err, os.Remove(nameless.Name())) }()
	_, written := nameless.Write(note)
	if err := errors.Join(written, nameless.Sync(), nameless.Close()); err != nil {
		return fmt.Errorf("create checkpoint %d: %w", n, err)
	}
	switch err := os.Link(nameless.Name(), filepath.Join(f.dir, name(n))); {
	case errors.Is(err, fs.ErrExist):
		return ErrExists
	case err != nil:
		return fmt.Errorf("create checkpoint %d: %w", n, err)
	}
	if err := syncFolder(filepath.Join(f.dir, folder)); err != nil {
		return fmt.Errorf("create checkpoint %d: %w", n, err)
	}
	return nil
}

func syncFolder(path string) error {
	dir, err := os.Open(path) // #nosec -- the store's own folder
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// Newest implements Store.
func (f Folder) Newest(_ context.Context, from int64) (int64, []byte, error) {
	entries, err := os.ReadDir(filepath.Join(f.dir, folder))
	if err != nil {
		return 0, nil, fmt.Errorf("list checkpoints: %w", err)
	}
	newest := int64(0)
	for _, e := range entries {
		if n, ok := number(folder + "/" + e.Name()); ok && n >= from {
			newest = max(newest, n)
		}
	}
	if newest == 0 {
		return 0, nil, ErrNone
	}
	note, err := os.ReadFile(filepath.Join(f.dir, name(newest)))
	if err != nil {
		return 0, nil, fmt.Errorf("read checkpoint %d: %w", newest, err)
	}
	return newest, note, nil
}
