package bundle

import (
	"archive/zip"
	"bytes"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"
)

// zipped packs a bundle into a zip.
func zipped(fsys fstest.MapFS) []byte {
	var out bytes.Buffer
	z := zip.NewWriter(&out)
	for _, name := range slices.Sorted(maps.Keys(fsys)) {
		w := must(z.Create(name))
		must(w.Write(fsys[name].Data))
	}
	must(0, z.Close())
	return out.Bytes()
}

func TestOpen(t *testing.T) {
	t.Parallel()
	b := sampleBundles()[0]
	dir := t.TempDir()
	name := filepath.Join(dir, "bundle.zip")
	require.NoError(t, os.WriteFile(name, zipped(b.fsys), 0o600))
	unpacked := filepath.Join(dir, "unpacked")
	for file, f := range b.fsys {
		path := filepath.Join(unpacked, filepath.FromSlash(file))
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o700))
		require.NoError(t, os.WriteFile(path, f.Data, 0o600))
	}
	want, _ := judge(t, b.fsys, b.options)
	require.True(t, want.Passed())
	for _, path := range []string{name, unpacked} {
		opened, err := Open(path)
		require.NoError(t, err)
		got, reasons := judgeFS(t, opened, b.options)
		require.Empty(t, reasons)
		require.Equal(t, want, got)
		require.NoError(t, opened.Close())
	}
}

func judgeFS(t *testing.T, fsys fs.FS, o Options) (Report, reasonMap) {
	t.Helper()
	report, err := Verify(fsys, o)
	require.NoError(t, err)
	return report, reasonsOf(report)
}

func TestOpenRefuses(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	_, err := Open(filepath.Join(dir, "absent"))
	require.ErrorIs(t, err, fs.ErrNotExist)
	text := filepath.Join(dir, "text")
	require.NoError(t, os.WriteFile(text, []byte("no zip"), 0o600))
	_, err = Open(text)
	var not *NotBundleError
	require.ErrorAs(t, err, &not)
	_, err = Open(os.DevNull)
	require.ErrorAs(t, err, &not)
}

// TestOpenFollowsNoLinkOut: a folder cannot make its reader read another.
func TestOpenFollowsNoLinkOut(t *testing.T) {
	t.Parallel()
	b := sampleBundles()[0]
	dir := t.TempDir()
	outside := filepath.Join(dir, "outside.json")
	require.NoError(t, os.WriteFile(outside, b.fsys[manifestFile].Data, 0o600))
	inside := filepath.Join(dir, "bundle")
	require.NoError(t, os.Mkdir(inside, 0o700))
	require.NoError(t, os.Symlink(outside, filepath.Join(inside, manifestFile)))
	opened, err := Open(inside)
	require.NoError(t, err)
	defer func() { require.NoError(t, opened.Close()) }()
	_, err = Verify(opened, b.options)
	var not *NotBundleError
	require.ErrorAs(t, err, &not)
	require.Equal(t, manifestFile, not.File)
}

func TestNewZipRefuses(t *testing.T) {
	t.Parallel()
	header := func(name string, change func(*zip.FileHeader)) func(*testing.T, *zip.Writer) {
		return func(t *testing.T, z *zip.Writer) {
			h := &zip.FileHeader{Name: name, Method: zip.Deflate}
			if change != nil {
				change(h)
			}
			w, err := z.CreateHeader(h)
			require.NoError(t, err)
			_, err = w.Write(nil)
			require.NoError(t, err)
		}
	}
	raw := func(packed, unpacked uint64) func(*testing.T, *zip.Writer) {
		return func(t *testing.T, z *zip.Writer) {
			w, err := z.CreateRaw(&zip.FileHeader{Name: amendmentsFile, Method: zip.Deflate, CompressedSize64: packed, UncompressedSize64: unpacked})
			require.NoError(t, err)
			_, err = w.Write(make([]byte, packed))
			require.NoError(t, err)
		}
	}
	for name, write := range map[string]func(*testing.T, *zip.Writer){
		"absolute":    header("/etc/passwd", nil),
		"upwards":     header("a/../../b", nil),
		"dot":         header("./a", nil),
		"empty part":  header("a//b", nil),
		"backslash":   header(`..\a`, nil),
		"drive":       header("c:a", nil),
		"not UTF-8":   header("a\xff", nil),
		"a link":      header("a", func(h *zip.FileHeader) { h.SetMode(fs.ModeSymlink | 0o777) }),
		"a pipe":      header("a", func(h *zip.FileHeader) { h.SetMode(fs.ModeNamedPipe | 0o777) }),
		"a false dir": header("a", func(h *zip.FileHeader) { h.SetMode(fs.ModeDir | 0o777) }),
		"encrypted":   header("a", func(h *zip.FileHeader) { h.Flags |= 1 }),
		"twice": func(t *testing.T, z *zip.Writer) {
			header("a", nil)(t, z)
			header("a", nil)(t, z)
		},
		"twice but for case": func(t *testing.T, z *zip.Writer) {
			header("keys.jsonl", nil)(t, z)
			header("Keys.jsonl", nil)(t, z)
		},
		"a file and a folder": func(t *testing.T, z *zip.Writer) {
			header("a", nil)(t, z)
			_, err := z.Create("a/")
			require.NoError(t, err)
		},
		"another method": func(t *testing.T, z *zip.Writer) {
			_, err := z.CreateRaw(&zip.FileHeader{Name: "a", Method: 12})
			require.NoError(t, err)
		},
		"too much more":  raw(100, 2<<20),
		"too large":      raw(100, 6<<30),
		"too large ever": raw(100, 1<<62),
		"too large together": func(t *testing.T, z *zip.Writer) {
			for i := range 6 {
				w, err := z.CreateRaw(&zip.FileHeader{Name: string(rune('a' + i)), Method: zip.Store, CompressedSize64: 1 << 30, UncompressedSize64: 1 << 30})
				require.NoError(t, err)
				_, err = w.Write(nil)
				require.NoError(t, err)
			}
		},
		"too many": func(t *testing.T, z *zip.Writer) {
			for i := range maxFiles + 1 {
				_, err := z.Create(strings.Repeat("a", i%100+1) + string(rune('A'+i/100%26)) + string(rune(0x4e00+i)))
				require.NoError(t, err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var out bytes.Buffer
			z := zip.NewWriter(&out)
			write(t, z)
			require.NoError(t, z.Close())
			_, err := NewZip(bytes.NewReader(out.Bytes()), int64(out.Len()))
			var not *NotBundleError
			require.ErrorAs(t, err, &not)
			require.Contains(t, err.Error(), "not a bundle: zip")
		})
	}
}

// TestZipThatLies: a file that unpacks to other bytes than its directory says is
// no bundle.
func TestZipThatLies(t *testing.T) {
	t.Parallel()
	b := sampleBundles()[0]
	for _, file := range []string{amendmentsFile, manifestFile} {
		packed := zipped(b.fsys)
		z, err := zip.NewReader(bytes.NewReader(packed), int64(len(packed)))
		require.NoError(t, err)
		at := slices.IndexFunc(z.File, func(f *zip.File) bool { return f.Name == file })
		start, err := z.File[at].DataOffset()
		require.NoError(t, err)
		packed[start+int64(z.File[at].CompressedSize64)/2] ^= 0xff
		fsys, err := NewZip(bytes.NewReader(packed), int64(len(packed)))
		require.NoError(t, err)
		_, err = Verify(fsys, b.options)
		var not *NotBundleError
		require.ErrorAs(t, err, &not, file)
	}
}

func TestVerifyRefuses(t *testing.T) {
	t.Parallel()
	text := func(file, content string) func(fstest.MapFS) {
		return func(fsys fstest.MapFS) { fsys[file] = &fstest.MapFile{Data: []byte(content), Mode: 0o644} }
	}
	set := func(file, name string, value any) func(fstest.MapFS) {
		return func(fsys fstest.MapFS) { member(t, fsys, file, 0, name, value) }
	}
	gone := func(file string) func(fstest.MapFS) { return func(fsys fstest.MapFS) { delete(fsys, file) } }
	huge := strings.Repeat(" ", maxLine+1)
	cases := map[string]func(fstest.MapFS){
		"a folder where a file should be": func(fsys fstest.MapFS) {
			fsys[checkpointFile] = &fstest.MapFile{Mode: fs.ModeDir | 0o755}
		},
		"a pipe": func(fsys fstest.MapFS) { fsys[checkpointFile].Mode = fs.ModeNamedPipe | 0o644 },
		"too many files": func(fsys fstest.MapFS) {
			for i := range maxFiles {
				fsys["more/"+string(rune(0x4e00+i))] = &fstest.MapFile{Mode: 0o644}
			}
		},
		"too deep":          text("a/b/c/d/e/f/g/h/i/j", ""),
		"manifest, null":    set(manifestFile, "origin", jsonNull),
		"manifest, format":  set(manifestFile, "format", "plant/bundle/v2"),
		"manifest, time":    set(manifestFile, "created_at", "2026-02-30T00:00:00.000000Z"),
		"manifest, scope":   set(manifestFile, "scope", Scope{Type: "some"}),
		"manifest, member":  set(manifestFile, "extra", 1),
		"manifest, missing": set(manifestFile, "scope", nil),
		"manifest, comma":   set(manifestFile, "created_at", "2026-01-31T12:00:00,000000Z"),
		"manifest, empty":   text(manifestFile, ""),
		"manifest, twice":   text(manifestFile, `{"format":"a","format":"a"}`),
		"manifest, deep":    text(manifestFile, strings.Repeat("[", 1<<15)),
		"manifest, large":   text(manifestFile, strings.Repeat(" ", maxManifest+1)),
		"checkpoint, large": text(checkpointFile, strings.Repeat(" ", maxCheckpoint+1)),
		"heads, member":     set(headsFile, "extra", 1),
		"heads, no record":  set(headsFile, "record", nil),
		"heads, index":      set(headsFile, "log_index", -1),
		"heads, number":     set(headsFile, "log_index", jsonNumber("1e3")),
		"heads, null":       set(headsFile, "tenants", []object{{"tenant": jsonNull, "count": 1, "root": jsonNull}}),
		"heads, minus zero": set(headsFile, "log_index", jsonNumber("-0")),
		"heads, huge":       set(headsFile, "log_index", jsonNumber("9007199254740992")),
		"heads, salt":       set(headsFile, "salts", object{"acme": "AB"}),
		"heads, base64":     set(headsFile, "signature", "QQ"),
		"heads, earlier":    set(headsFile, "earlier", []object{{"log_index": 1}}),
		"heads, sizes":      set(headsFile, "consistency", object{"01": []string{}}),
		"heads, no size":    set(headsFile, "consistency", object{"0": []string{}}),
		"heads, entity":     set(headsFile, "entity", object{"owner": "acme", "index": 0, "path": []string{}}),
		"a line too long":   text(amendmentsFile, huge),
		"a line of nothing": text(amendmentsFile, "\n"),
		"a line, member":    set(amendmentsFile, "extra", 1),
		"a line, record":    set(amendmentsFile, "record", nil),
		"a line, index":     set(amendmentsFile, "log_index", -1),
		"a line, salt":      set(amendmentsFile, "opening", object{"state": "{}"}),
		"a line, batch":     set(amendmentsFile, "batch", object{"statement": "{}", "path": []string{}}),
		"a line, a place":   set(amendmentsFile, "batch", object{"statement": "{}", "index": -1, "path": []string{}}),
		"a line, spare bits": func(fsys fstest.MapFS) {
			member(t, fsys, amendmentsFile, 0, "signature", "QR==")
		},
		"a line, line feed in base64": func(fsys fstest.MapFS) {
			member(t, fsys, amendmentsFile, 0, "signature", "QQ\n==")
		},
		"keys, a line":     text(keysFile, "{}"),
		"a large PEM":      text("keys/x.pem", strings.Repeat("x", maxPEM+1)),
		"a large rule set": text("constitutions/x.json", strings.Repeat("x", maxConstitution+1)),
		"a large sample":   text(sampleRecord, strings.Repeat("x", maxSample+1)),
	}
	for _, file := range []string{manifestFile, checkpointFile, headsFile, amendmentsFile, keysFile} {
		cases["no "+file] = gone(file)
	}
	for name, change := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := sampleBundles()[0]
			fsys := clone(b.fsys)
			change(fsys)
			_, err := Verify(fsys, b.options)
			var not *NotBundleError
			require.ErrorAs(t, err, &not)
			require.Contains(t, err.Error(), "not a bundle: ")
		})
	}
}

// fickle is a bundle whose amendments are other ones when they are read again.
type fickle struct {
	fs.FS
	opened *int
	second fs.FS
}

func (f fickle) Open(name string) (fs.File, error) {
	if name == amendmentsFile {
		if *f.opened++; *f.opened > 1 {
			return f.second.Open(name)
		}
	}
	return f.FS.Open(name)
}

func (f fickle) Stat(name string) (fs.FileInfo, error) { return fs.Stat(f.FS, name) }

func TestVerifyReadsOneBundle(t *testing.T) {
	t.Parallel()
	b := sampleBundles()[0]
	other := clone(b.fsys)
	without(other, amendmentsFile, 9)
	_, err := Verify(fickle{b.fsys, new(int), other}, b.options)
	var not *NotBundleError
	require.ErrorAs(t, err, &not)
	require.Equal(t, amendmentsFile, not.File)
	report, err := Verify(fickle{b.fsys, new(int), b.fsys}, b.options)
	require.NoError(t, err)
	require.True(t, report.Passed())
}

// endless is a reader that never ends; it counts what it gave.
type endless struct{ given int64 }

func (e *endless) Read(b []byte) (int, error) {
	for i := range b {
		b[i] = byte("{}\n"[(e.given+int64(i))%3])
	}
	e.given += int64(len(b))
	return len(b), nil
}

func TestScanLinesIsBounded(t *testing.T) {
	t.Parallel()
	source := &endless{}
	lines := 0
	err := scanLines(source, "f", 1<<20, func(int, []byte) error { lines++; return nil })
	var not *NotBundleError
	require.ErrorAs(t, err, &not)
	require.Less(t, source.given, int64(1<<20+1<<17))
	require.InDelta(t, (1<<20)/3, lines, 2)
	require.ErrorIs(t, scanLines(failing{}, "f", 10, nil), io.ErrClosedPipe)
}

type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, io.ErrClosedPipe }

func TestParseTrust(t *testing.T) {
	t.Parallel()
	b := sampleBundles()[0]
	k := keysOnce()
	good := b.fsys["keys/"+k.root.id+".pem"].Data
	key, err := ParseTrust(append(slices.Clone(good), '\n'))
	require.NoError(t, err)
	require.True(t, key.Equal(k.root.private.Public()))
	for name, text := range map[string][]byte{
		"nothing":     nil,
		"two":         slices.Concat(good, good),
		"another key": b.fsys["keys/"+k.checkpointID+".pem"].Data,
		"a block":     []byte("-----BEGIN PUBLIC KEY-----\nQUFB\n-----END PUBLIC KEY-----\n"),
		"a type":      bytes.ReplaceAll(good, []byte("PUBLIC"), []byte("SECRET")),
	} {
		_, err := ParseTrust(text)
		require.Error(t, err, name)
	}
}
