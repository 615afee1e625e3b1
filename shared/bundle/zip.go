package bundle

import (
	"archive/zip"
	"compress/flate"
	"fmt"
	"io"
	"time"
)

// zipEpoch is the time of every file in a bundle: the earliest that a zip knows,
// so that the same contents are the same bytes.
var zipEpoch = time.Date(1980, 1, 1, 0, 0, 0, 0, time.UTC)

// zipWriter writes the files of a bundle.
type zipWriter struct{ zip *zip.Writer }

func newZipWriter(w io.Writer) *zipWriter {
	z := zip.NewWriter(w)
	z.RegisterCompressor(zip.Deflate, newDeflater)
	return &zipWriter{z}
}

// create begins a file; closing it only ends its turn.
func (z *zipWriter) create(name string) (io.WriteCloser, error) {
	header := &zip.FileHeader{Name: name, Method: zip.Deflate, Modified: zipEpoch}
	header.SetMode(0o644)
	f, err := z.zip.CreateHeader(header)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return zipFile{f}, nil
}

type zipFile struct{ io.Writer }

func (zipFile) Close() error { return nil }

// file writes a whole file of at most limit bytes.
func (z *zipWriter) file(name string, limit int, b []byte) error {
	if len(b) > limit {
		return fmt.Errorf("%s: %w", name, errTooLarge)
	}
	f, err := z.create(name)
	if err != nil {
		return err
	}
	if _, err := f.Write(b); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return f.Close()
}

func (z *zipWriter) close() error { return z.zip.Close() }

// What a reader takes for a zip bomb is a file packed more than maxRatio: a
// writer stops looking for repetitions at half of that. Somebody may have filled
// honest records with the same letter.
const writeRatio = maxRatio / 2

// deflater is a deflate stream that never packs much more than writeRatio.
type deflater struct {
	out     counting
	flate   *flate.Writer
	in      int64
	careful bool
}

type counting struct {
	w io.Writer
	n int64
}

func (c *counting) Write(b []byte) (int, error) {
	n, err := c.w.Write(b)
	c.n += int64(n)
	return n, err
}

func newDeflater(w io.Writer) (io.WriteCloser, error) {
	d := &deflater{out: counting{w: w}}
	var err error
	d.flate, err = flate.NewWriter(&d.out, flate.DefaultCompression)
	return d, err
}

// Write is io.Writer's. The ratio is looked at after every freeSize bytes, before
// which no reader minds it.
func (d *deflater) Write(b []byte) (int, error) {
	const step = freeSize / 2
	written := 0
	for len(b) > 0 {
		part := b[:min(len(b), step-int(d.in%step))]
		n, err := d.flate.Write(part)
		written += n
		if err != nil {
			return written, err
		}
		b = b[n:]
		if d.in += int64(n); d.in%step == 0 && !d.careful {
			if err := d.look(); err != nil {
				return written, err
			}
		}
	}
	return written, nil
}

// look goes over to codes without repetitions, which pack eightfold at most, once
// the ratio is too good. A deflate stream may change its encoder at a flush.
func (d *deflater) look() error {
	if err := d.flate.Flush(); err != nil {
		return err
	}
	if d.in/writeRatio <= d.out.n {
		return nil
	}
	d.careful = true
	var err error
	d.flate, err = flate.NewWriter(&d.out, flate.HuffmanOnly)
	return err
}

// Close ends the stream.
func (d *deflater) Close() error { return d.flate.Close() }
