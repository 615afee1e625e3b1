package parts

import (
	"archive/zip"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"strings"
)

// unpack writes the files of a wheel that keep wants below dir. Whatever the
// umask, everybody may read them: the user PostgreSQL runs as is not always
// the one who unpacked it.
func unpack(ctx context.Context, wheel, dir string, keep func(string) bool) error {
	archive, err := zip.OpenReader(wheel)
	if err != nil {
		return fmt.Errorf("open the wheel: %w", err)
	}
	defer archive.Close()
	for _, entry := range archive.File {
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("unpack: %w", err)
		}
		if strings.HasSuffix(entry.Name, "/") || !keep(entry.Name) {
			continue
		}
		if !filepath.IsLocal(entry.Name) {
			return fmt.Errorf("%w: it holds a file outside its folder, %q", ErrHashMismatch, entry.Name)
		}
		if err := unpackFile(entry, filepath.Join(dir, filepath.FromSlash(entry.Name))); err != nil {
			return fmt.Errorf("unpack %s: %w", entry.Name, err)
		}
	}
	return nil
}

func unpackFile(entry *zip.File, to string) (failed error) {
	if err := makeReadable(filepath.Dir(to)); err != nil {
		return err
	}
	mode := os.FileMode(0o644)
	if path.Base(path.Dir(entry.Name)) == "bin" {
		mode = 0o755
	}
	in, err := entry.Open()
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, mode)
	if err != nil {
		return err
	}
	defer func() { failed = errors.Join(failed, out.Close()) }()
	if _, err := io.CopyN(out, in, int64(entry.UncompressedSize64)); err != nil {
		return err
	}
	return out.Chmod(mode)
}

// makeReadable creates dir and the missing folders above it, each readable by
// everybody. Folders that exist keep their mode.
func makeReadable(dir string) error {
	if isDir(dir) {
		return nil
	}
	if err := makeReadable(filepath.Dir(dir)); err != nil {
		return err
	}
	if err := os.Mkdir(dir, 0o755); err != nil {
		if isDir(dir) { // another process was first
			return nil
		}
		return err // also where a file is in the way: its mode is not ours to change
	}
	return os.Chmod(dir, 0o755)
}
