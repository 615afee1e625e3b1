package parts_test

import (
	"archive/zip"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/dlai-sd/plant/scripts/localstack/parts"
)

// wheel returns the bytes of a wheel that pip accepts, with more files.
func wheel(t *testing.T, files map[string]string) []byte {
	t.Helper()
	var buf bytes.Buffer
	w := zip.NewWriter(&buf)
	all := map[string]string{
		"plant_test_part-1.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: plant-test-part\nVersion: 1.0\n",
		"plant_test_part-1.0.dist-info/WHEEL":    "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
		"plant_test_part-1.0.dist-info/RECORD":   "",
	}
	for name, body := range files {
		all[name] = body
	}
	for name, body := range all {
		f, err := w.Create(name)
		require.NoError(t, err)
		_, err = f.Write([]byte(body))
		require.NoError(t, err)
	}
	require.NoError(t, w.Close())
	return buf.Bytes()
}

func part(body []byte) parts.Part {
	sum := sha256.Sum256(body)
	return parts.Part{
		Name: "test part", Distribution: "plant-test-part", Version: "1.0",
		Keep:   func(path string) bool { return strings.HasPrefix(path, "pkg/") || strings.HasPrefix(path, "..") },
		Wheels: map[parts.Platform]parts.Wheel{parts.Any: {SHA256: hex.EncodeToString(sum[:]), Bytes: int64(len(body))}},
	}
}

// index puts the wheel into a folder that pip takes for an index.
func index(t *testing.T, body []byte) (pipArgs []string) {
	t.Helper()
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "plant_test_part-1.0-py3-none-any.whl"), body, 0o600))
	return []string{"--no-index", "--find-links", dir}
}

// python writes a program that stands in for the interpreter.
func python(t *testing.T, script string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "python3")
	require.NoError(t, os.WriteFile(path, []byte("#!/bin/sh\n"+script), 0o755)) // #nosec -- it is a program
	return path
}

func TestFetchUnpacksOnceAndWorksOfflineAfterwards(t *testing.T) {
	t.Parallel()
	body := wheel(t, map[string]string{"pkg/bin/server": "run me", "pkg/share/data": "read me", "other/file": "skip me"})
	f := parts.Fetcher{Dir: filepath.Join(t.TempDir(), "a", "cache"), PipArgs: index(t, body)}
	dir, err := f.Fetch(t.Context(), part(body))
	require.NoError(t, err)

	info, err := os.Stat(filepath.Join(dir, "pkg/bin/server"))
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o755), info.Mode().Perm())
	info, err = os.Stat(filepath.Join(dir, "pkg/share/data"))
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o644), info.Mode().Perm())
	require.NoFileExists(t, filepath.Join(dir, "other/file"))

	f.Python, f.PipArgs = "/does/not/exist", nil
	again, err := f.Fetch(t.Context(), part(body))
	require.NoError(t, err)
	require.Equal(t, dir, again)
}

func TestFetchBySeveralAtOnceDownloadsOnce(t *testing.T) {
	t.Parallel()
	body := wheel(t, map[string]string{"pkg/bin/server": "run me"})
	source := filepath.Join(t.TempDir(), "w.whl")
	require.NoError(t, os.WriteFile(source, body, 0o600))
	calls := filepath.Join(t.TempDir(), "calls")
	script := fmt.Sprintf("echo call >> %s\nwhile [ \"$1\" != -d ]; do shift; done\ncp %s \"$2/part.whl\"\n", calls, source)
	f := parts.Fetcher{Dir: t.TempDir(), Python: python(t, script)}

	var group sync.WaitGroup
	errs := make([]error, 4)
	for i := range errs {
		group.Go(func() { _, errs[i] = f.Fetch(t.Context(), part(body)) })
	}
	group.Wait()
	for _, err := range errs {
		require.NoError(t, err)
	}
	got, err := os.ReadFile(calls)
	require.NoError(t, err)
	require.Equal(t, "call\n", string(got))
}

func TestFetchRemovesWhatAKilledProcessLeft(t *testing.T) {
	t.Parallel()
	body := wheel(t, map[string]string{"pkg/bin/server": "run me"})
	f := parts.Fetcher{Dir: t.TempDir(), PipArgs: index(t, body)}
	stale := filepath.Join(f.Dir, ".plant-test-part.part", "out", "pkg", "bin")
	require.NoError(t, os.MkdirAll(stale, 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(stale, "server"), []byte("half"), 0o600))
	dir, err := f.Fetch(t.Context(), part(body))
	require.NoError(t, err)
	got, err := os.ReadFile(filepath.Join(dir, "pkg/bin/server"))
	require.NoError(t, err)
	require.Equal(t, "run me", string(got))
	require.NoDirExists(t, filepath.Join(f.Dir, ".plant-test-part.part"))
}

func TestFetchChecksTheHashItself(t *testing.T) {
	t.Parallel()
	body := wheel(t, map[string]string{"pkg/bin/server": "run me"})
	other := filepath.Join(t.TempDir(), "w.whl")
	require.NoError(t, os.WriteFile(other, wheel(t, map[string]string{"pkg/bin/server": "evil"}), 0o600))
	careless := python(t, fmt.Sprintf("while [ \"$1\" != -d ]; do shift; done\ncp %s \"$2/part.whl\"\n", other))
	f := parts.Fetcher{Dir: t.TempDir(), Python: careless}
	_, err := f.Fetch(t.Context(), part(body))
	require.ErrorIs(t, err, parts.ErrHashMismatch)
	entries, err := filepath.Glob(filepath.Join(f.Dir, "plant-test-part-*"))
	require.NoError(t, err)
	require.Empty(t, entries)
}

func TestFetchRefusesFilesOutsideItsFolder(t *testing.T) {
	t.Parallel()
	body := wheel(t, map[string]string{"../evil": "out"})
	source := filepath.Join(t.TempDir(), "w.whl")
	require.NoError(t, os.WriteFile(source, body, 0o600))
	f := parts.Fetcher{Dir: t.TempDir(), Python: python(t, fmt.Sprintf("while [ \"$1\" != -d ]; do shift; done\ncp %s \"$2/part.whl\"\n", source))}
	_, err := f.Fetch(t.Context(), part(body))
	require.Error(t, err)
	require.NoFileExists(t, filepath.Join(f.Dir, ".plant-test-part.part", "evil"))
}

func TestFetchSaysWhatToDo(t *testing.T) {
	t.Parallel()
	body := wheel(t, nil)
	wrong := part(body)
	wrong.Wheels = map[parts.Platform]parts.Wheel{parts.Any: {SHA256: strings.Repeat("0", 64)}}
	elsewhere := part(body)
	elsewhere.Wheels = map[parts.Platform]parts.Wheel{{OS: "linux", Arch: "amd64"}: {SHA256: strings.Repeat("0", 64)}}
	elsewhere.Instead = "set TEST_URL"
	tests := map[string]struct {
		fetcher parts.Fetcher
		part    parts.Part
		want    error
		says    string
	}{
		"hash":        {parts.Fetcher{PipArgs: index(t, body)}, wrong, parts.ErrHashMismatch, "run again"},
		"offline":     {parts.Fetcher{PipArgs: []string{"--index-url", "http://127.0.0.1:1/simple"}}, part(body), parts.ErrOffline, "check the network"},
		"not offered": {parts.Fetcher{PipArgs: []string{"--no-index", "--find-links", t.TempDir()}}, part(body), parts.ErrNotOffered, "pip config list"},
		"no pip":      {parts.Fetcher{Python: python(t, "echo 'python3: No module named pip' >&2; exit 1")}, part(body), parts.ErrNoPip, "apt install python3-pip"},
		"disk full":   {parts.Fetcher{Python: python(t, "echo 'OSError: [Errno 28] No space left on device' >&2; exit 2")}, part(body), parts.ErrDiskFull, "free about"},
		"platform":    {parts.Fetcher{Platform: parts.Platform{OS: "plan9", Arch: "mips"}}, elsewhere, parts.ErrUnsupported, "for plan9/mips: set TEST_URL"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := tt.fetcher
			f.Dir = t.TempDir()
			_, err := f.Fetch(t.Context(), tt.part)
			require.ErrorIs(t, err, tt.want)
			require.ErrorContains(t, err, tt.says)
		})
	}
}

func TestFetchWithoutPython(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	body := wheel(t, nil)
	_, err := parts.Fetcher{Dir: t.TempDir()}.Fetch(t.Context(), part(body))
	require.ErrorIs(t, err, parts.ErrNoPython)
	require.ErrorContains(t, err, "brew install python")
}

func TestEveryPartPinsAHash(t *testing.T) {
	t.Parallel()
	for _, p := range []parts.Part{parts.Postgres(), parts.Redis(), parts.Model()} {
		for platform, w := range p.Wheels {
			require.Len(t, w.SHA256, 64, "%s %v", p.Name, platform)
			require.Positive(t, w.Bytes)
			require.Equal(t, platform == parts.Any, len(w.Tags) == 0)
		}
	}
}

func TestLinesAreOnePerStep(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	report := parts.Lines(&out)
	for _, e := range []parts.Event{
		{Part: "Redis", Step: parts.Download, Total: 22_000_000},
		{Part: "Redis", Step: parts.Download, Bytes: 9, Total: 22_000_000},
		{Part: "Redis", Step: parts.Check},
		{Part: "Redis", Step: parts.Unpack},
		{Part: "Redis", Step: parts.Ready},
	} {
		report(e)
	}
	require.Equal(t, "Redis: download 22.0 MB\nRedis: check\nRedis: unpack\nRedis: ready\n", out.String())
}
