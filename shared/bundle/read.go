package bundle

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"io"
	"io/fs"

	"github.com/dlai-sd/plant/shared/domain/canonical"
	"github.com/dlai-sd/plant/shared/ledger"
	"github.com/go-json-experiment/json"
)

// How many bytes of each file are read.
const (
	maxManifest      = 64 << 10
	maxCheckpoint    = 64 << 10
	maxHeads         = 64 << 20
	maxKeys          = 64 << 20 // and of all records of signing keys
	maxPEM           = 16 << 10
	maxConstitution  = 1 << 20
	maxConstitutions = 64 << 20 // together
	maxSample        = 64 << 10
	maxAmendments    = 4 << 30
	maxCompliance    = 1 << 30
	maxResult        = 64 << 10 // one rule result
	maxLine          = 2 << 20
)

// read reads a whole file of at most limit bytes.
func read(fsys fs.FS, name string, limit int64) ([]byte, error) {
	f, err := openFile(fsys, name)
	if err != nil {
		return nil, err
	}
	b, err := io.ReadAll(io.LimitReader(f, limit+1))
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return nil, &NotBundleError{File: name, Detail: "cannot be read", Err: err}
	}
	if int64(len(b)) > limit {
		return nil, &NotBundleError{File: name, Detail: "too large"}
	}
	return b, nil
}

// readIfThere is read, but nil where there is no such file.
func readIfThere(fsys fs.FS, name string, limit int64) ([]byte, error) {
	b, err := read(fsys, name, limit)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return b, err
}

// openFile opens a regular file.
func openFile(fsys fs.FS, name string) (fs.File, error) {
	info, err := fs.Stat(fsys, name) // before it is opened: opening a pipe would wait for ever
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, &NotBundleError{File: name, Detail: "missing", Err: err}
	case err != nil:
		return nil, &NotBundleError{File: name, Detail: "cannot be read", Err: err}
	case !info.Mode().IsRegular():
		return nil, &NotBundleError{File: name, Detail: "not a file"}
	}
	f, err := fsys.Open(name)
	if err != nil {
		return nil, &NotBundleError{File: name, Detail: "cannot be read", Err: err}
	}
	return f, nil
}

// limitOf is how many bytes of a file of lines are read.
func limitOf(file string) int64 {
	if file == keysFile {
		return maxKeys
	}
	return maxAmendments
}

// eachLine gives every line of a file of at most limit bytes to take, and returns
// the file's SHA-256. What take gets is valid until it returns.
func eachLine(fsys fs.FS, name string, limit int64, take func(number int, b []byte) error) (ledger.Hash, error) {
	f, err := openFile(fsys, name)
	if err != nil {
		return ledger.Hash{}, err
	}
	digest := sha256.New()
	err = scanLines(io.TeeReader(f, digest), name, limit, take)
	if closeErr := f.Close(); err == nil && closeErr != nil {
		err = &NotBundleError{File: name, Detail: "cannot be read", Err: closeErr}
	}
	return ledger.Hash(digest.Sum(nil)), err
}

func scanLines(r io.Reader, name string, limit int64, take func(number int, b []byte) error) error {
	limited := &io.LimitedReader{R: r, N: limit + 1}
	scanner := bufio.NewScanner(limited)
	scanner.Buffer(make([]byte, 0, 64<<10), maxLine)
	number := 0
	for scanner.Scan() {
		number++
		if err := take(number, scanner.Bytes()); err != nil {
			return err
		}
	}
	switch {
	case errors.Is(scanner.Err(), bufio.ErrTooLong):
		return &NotBundleError{File: name, Line: number + 1, Detail: "the line is too long"}
	case scanner.Err() != nil:
		return &NotBundleError{File: name, Line: number + 1, Detail: "cannot be read", Err: scanner.Err()}
	case limited.N <= 0:
		return &NotBundleError{File: name, Detail: "too large"}
	}
	return nil
}

// decode reads one JSON text strictly: by the rules of package canonical, without
// null, unknown members or names in another case.
func decode(b []byte, to any) error {
	if err := canonical.CheckNoNull(b); err != nil {
		return err
	}
	if json.Unmarshal(bytes.TrimSpace(b), to, json.RejectUnknownMembers(true)) != nil {
		return errMembers
	}
	return nil
}

// errMembers repeats nothing of the text, as the decoder's own error would.
var errMembers = errors.New("a member is missing, unknown or not of its form")

// encoded is bytes that travel as base64: the standard alphabet with padding, in
// the one spelling that an encoder writes.
type encoded []byte

// MarshalText writes base64.
func (e encoded) MarshalText() ([]byte, error) {
	return base64.StdEncoding.AppendEncode(nil, e), nil
}

// UnmarshalText reads base64.
func (e *encoded) UnmarshalText(text []byte) error {
	b := make([]byte, base64.StdEncoding.DecodedLen(len(text)))
	n, err := base64.StdEncoding.Strict().Decode(b, text)
	if err != nil || base64.StdEncoding.EncodedLen(n) != len(text) {
		return errMembers
	}
	*e = b[:n]
	return nil
}
