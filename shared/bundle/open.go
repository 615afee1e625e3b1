package bundle

import (
	"archive/zip"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"
)

// What a zip may hold. A file within a bundle has its own limit, see read.go.
const (
	maxFiles = 10_000
	maxTotal = 5 << 30 // bytes unpacked
	maxRatio = 100     // unpacked to packed, of a file over freeSize
	freeSize = 1 << 20
)

// Opened is a bundle on disk, ready to be read.
type Opened struct {
	fs.FS
	close func() error
}

// Close releases the file.
func (o *Opened) Close() error { return o.close() }

// Open opens a bundle: a zip, or the folder that one was unpacked to. Links that
// lead out of the folder are not followed. A zip that could harm its reader is a
// *NotBundleError, see NewZip. The caller closes what it gets.
func Open(name string) (*Opened, error) {
	info, err := os.Stat(name)
	if err != nil {
		return nil, fmt.Errorf("open bundle: %w", err)
	}
	if info.IsDir() {
		root, err := os.OpenRoot(name)
		if err != nil {
			return nil, fmt.Errorf("open bundle: %w", err)
		}
		return &Opened{root.FS(), root.Close}, nil
	}
	if !info.Mode().IsRegular() {
		return nil, &NotBundleError{File: path.Base(name), Detail: "neither a file nor a folder"}
	}
	file, err := os.Open(name) // #nosec G304 -- the bundle that the caller names
	if err != nil {
		return nil, fmt.Errorf("open bundle: %w", err)
	}
	fsys, err := NewZip(file, info.Size())
	if err != nil {
		return nil, closing(file, err)
	}
	return &Opened{fsys, file.Close}, nil
}

func closing(file io.Closer, err error) error {
	if closeErr := file.Close(); closeErr != nil {
		return fmt.Errorf("%w; %w", err, closeErr)
	}
	return err
}

// NewZip reads a zip's directory. It refuses, with a *NotBundleError, what could
// harm a reader or be read differently by another: more than 10,000 entries,
// more than 5 GiB unpacked, a file over 1 MiB packed more than a hundredfold,
// names that are absolute, lead upwards or are not in their one form, names that
// differ in nothing but case, links and devices, encryption, and methods other
// than store and deflate.
func NewZip(r io.ReaderAt, size int64) (fs.FS, error) {
	z, err := zip.NewReader(r, size)
	if err != nil {
		return nil, &NotBundleError{File: "zip", Detail: "it is no zip file, or not a whole one"}
	}
	if len(z.File) > maxFiles {
		return nil, &NotBundleError{File: "zip", Detail: "too many files"}
	}
	seen := make(map[string]struct{}, len(z.File))
	var total uint64
	for i, f := range z.File {
		if why := harm(f); why != "" {
			return nil, &NotBundleError{File: "zip", Line: i + 1, Detail: why}
		}
		name := strings.ToLower(strings.TrimSuffix(f.Name, "/"))
		if _, twice := seen[name]; twice {
			return nil, &NotBundleError{File: "zip", Line: i + 1, Detail: "a name twice"}
		}
		seen[name] = struct{}{}
		if total += f.UncompressedSize64; total > maxTotal {
			return nil, &NotBundleError{File: "zip", Detail: "too large unpacked"}
		}
	}
	return z, nil
}

// harm says why an entry of a zip is refused, "" for not at all.
func harm(f *zip.File) string {
	name := f.Name
	folder := strings.HasSuffix(name, "/")
	if folder {
		name = strings.TrimSuffix(name, "/")
	}
	mode := f.Mode()
	switch {
	case !fs.ValidPath(name) || name == "." || strings.ContainsAny(name, "\\:\x00"):
		return "a name that is absolute, leads upwards or is not plain"
	case folder != mode.IsDir() || (!folder && !mode.IsRegular()):
		return "neither a file nor a folder"
	case f.Flags&1 != 0:
		return "encrypted"
	case f.Method != zip.Store && f.Method != zip.Deflate:
		return "a method other than store and deflate"
	case f.UncompressedSize64 > maxTotal:
		return "too large unpacked"
	case f.UncompressedSize64 > freeSize && f.UncompressedSize64/maxRatio > f.CompressedSize64:
		return "unpacks to too much more than it is"
	}
	return ""
}
