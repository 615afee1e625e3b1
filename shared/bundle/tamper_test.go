package bundle

import (
	"bytes"
	"maps"
	"slices"
	"testing"
	"testing/fstest"

	"github.com/dlai-sd/plant/shared/domain/canonical"
	"github.com/dlai-sd/plant/shared/ledger"
	"github.com/dlai-sd/plant/shared/translog"
	"github.com/go-json-experiment/json"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// meansTheSame reports whether another content of a file says nothing else, but
// for what no verdict sees: FORMAT.md, section 7, whose list this holds to be all.
func meansTheSame(t require.TestingT, scope Scope, file string, before, after []byte) bool {
	if !judged(file) || bytes.Equal(before, after) {
		return true
	}
	in := func(b []byte) fstest.MapFS { return fstest.MapFS{file: {Data: b, Mode: 0o644}} }
	switch file {
	case manifestFile:
		a, err := readManifest(in(before))
		require.NoError(t, err)
		b, err := readManifest(in(after))
		require.NoError(t, err)
		return *a.Origin == *b.Origin && a.Scope.Type == b.Scope.Type && a.Scope.ID == b.Scope.ID
	case checkpointFile:
		a, err := translog.ReadCheckpoint(before)
		require.NoError(t, err)
		b, err := translog.ReadCheckpoint(after)
		require.NoError(t, err)
		return a == b
	case headsFile:
		a, err := readHeads(in(before), scope)
		require.NoError(t, err)
		b, err := readHeads(in(after), scope)
		require.NoError(t, err)
		return bytes.Equal(used(a, scope), used(b, scope))
	case complianceFile:
		a, err := canonical.Form(before)
		require.NoError(t, err)
		b, err := canonical.Form(after)
		return err == nil && bytes.Equal(a, b)
	case amendmentsFile, keysFile:
		return slices.EqualFunc(jsonLines(before), jsonLines(after), func(a, b []byte) bool {
			x, xErr := canonical.Form(seen(scope, a, b))
			y, yErr := canonical.Form(b)
			return xErr == nil && yErr == nil && bytes.Equal(x, y)
		})
	}
	return false
}

// seen is a line as it was, without the opening of another tenant's record that
// the line as it is does not show any more: in scope agent it need not.
func seen(scope Scope, was, is []byte) []byte {
	if scope.Type != ScopeAgent {
		return was
	}
	before, err := readLine(amendmentsFile, 1, was)
	after, afterErr := readLine(amendmentsFile, 1, is)
	if err != nil || afterErr != nil || after.entry.Opening != nil || before.entry.Record.GovernanceAgentID == "acme" {
		return was
	}
	before.entry.Opening = nil
	return must(json.Marshal(textOfLine(Line{before.entry, before.inclusion})))
}

// used is heads.json without what its scope has no use for.
func used(h headsText, scope Scope) []byte {
	h.Consistency = nil
	if scope.Type != ScopeAll {
		h.Earlier = nil
	}
	known := map[string]ledger.Hash{}
	for owner, s := range *h.Salts {
		if s == salt(owner) {
			known[owner] = s
		}
	}
	h.Salts = &known
	return encode(h)
}

func jsonLines(b []byte) [][]byte {
	return bytes.Split(bytes.TrimRight(b, "\n"), []byte("\n"))
}

// TestEveryByteCounts: whichever byte of a bundle is changed, a verdict fails or
// it is no bundle, unless the file still means the same.
func TestEveryByteCounts(t *testing.T) {
	t.Parallel()
	for _, b := range sampleBundles() {
		var files []string
		for _, file := range slices.Sorted(maps.Keys(b.fsys)) {
			if len(b.fsys[file].Data) > 0 {
				files = append(files, file)
			}
		}
		o := b.options
		o.Seen = b.seen
		t.Run(b.scope.String(), func(t *testing.T) {
			t.Parallel()
			rapid.Check(t, func(t *rapid.T) {
				file := rapid.SampledFrom(files).Draw(t, "file")
				before := b.fsys[file].Data
				at := rapid.IntRange(0, len(before)-1).Draw(t, "at")
				changed := slices.Clone(before)
				switch rapid.IntRange(0, 2).Draw(t, "how") {
				case 0:
					changed[at] ^= rapid.ByteRange(1, 255).Draw(t, "flip")
				case 1:
					changed = slices.Delete(changed, at, at+1)
				case 2:
					changed = slices.Insert(changed, at, rapid.Byte().Draw(t, "byte"))
				}
				fsys := clone(b.fsys)
				fsys[file].Data = changed
				report, err := Verify(fsys, o)
				if err == nil && report.Passed() {
					require.True(t, meansTheSame(t, b.scope, file, before, changed), "%s at %d passed", file, at)
				}
			})
		})
	}
}

// FuzzBundle splices bytes into one file of a bundle, or into the zip of one.
// Its inputs hold no bytes of a bundle, because every process has its own keys.
func FuzzBundle(f *testing.F) {
	bundles := sampleBundles()
	zips := make([][]byte, len(bundles))
	files := make([][]string, len(bundles))
	for i, b := range bundles {
		zips[i], files[i] = zipped(b.fsys), slices.Sorted(maps.Keys(b.fsys))
		for file := range files[i] {
			f.Add(uint8(i), uint8(file), uint32(0), uint32(0), []byte(nil))
			f.Add(uint8(i), uint8(file), uint32(0), uint32(1<<20), []byte(`{"record":"{}","signature":"QQ==","log_index":0,"inclusion":[]}`))
		}
		f.Add(uint8(i), uint8(255), uint32(100), uint32(1), []byte("x"))
	}
	for at, text := range []string{"\n", " ", `"`, `\u0041`, "null", "1e3", "[[[[", `{"a":1,"a":2}`, "\xff", "/../", "-0"} {
		f.Add(uint8(0), uint8(at), uint32(at*37), uint32(1), []byte(text))
	}
	f.Fuzz(func(t *testing.T, which, file uint8, at, remove uint32, insert []byte) {
		i := int(which) % len(bundles)
		b := bundles[i]
		o := b.options
		o.Seen = b.seen
		if int(file) >= len(files[i]) {
			packed := splice(zips[i], at, remove, insert)
			fsys, err := NewZip(bytes.NewReader(packed), int64(len(packed)))
			if err == nil {
				_, err = Verify(fsys, o)
			}
			requireNotBundle(t, err)
			return
		}
		name := files[i][file]
		fsys := clone(b.fsys)
		before := fsys[name].Data
		fsys[name].Data = splice(before, at, remove, insert)
		report, err := Verify(fsys, o)
		requireNotBundle(t, err)
		if err == nil && report.Passed() {
			require.True(t, meansTheSame(t, b.scope, name, before, fsys[name].Data), name)
		}
	})
}

// splice puts insert in the place of some bytes of b.
func splice(b []byte, at, remove uint32, insert []byte) []byte {
	from := int(at) % (len(b) + 1)
	to := min(from+int(remove), len(b))
	return slices.Concat(b[:from], insert, b[to:])
}

func requireNotBundle(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		var not *NotBundleError
		require.ErrorAs(t, err, &not)
	}
}
