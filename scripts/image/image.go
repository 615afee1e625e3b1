package main

import (
	"archive/tar"
	"bytes"
	"context"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/google"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// epoch is the time of everything in the image.
var epoch = time.Unix(0, 0).UTC() // a constant, which Go has no word for

// assemble makes the image: its layers in order, then how it starts.
func assemble(layers []layer, arch string) (v1.Image, error) {
	img := mutate.MediaType(empty.Image, types.OCIManifestSchema1)
	img = mutate.ConfigMediaType(img, types.OCIConfigJSON)
	for _, l := range layers {
		packed, err := l.pack()
		if err != nil {
			return nil, err
		}
		img, err = mutate.Append(img, mutate.Addendum{
			Layer: packed, MediaType: types.OCILayer,
			History: v1.History{Created: v1.Time{Time: epoch}, CreatedBy: "plant " + l.name},
		})
		if err != nil {
			return nil, fmt.Errorf("layer %s: %w", l.name, err)
		}
	}
	file, err := img.ConfigFile()
	if err != nil {
		return nil, fmt.Errorf("configuration: %w", err)
	}
	return mutate.ConfigFile(img, configure(file.DeepCopy(), arch))
}

// configure says how the image starts: as the functions' binary, as nobody.
func configure(file *v1.ConfigFile, arch string) *v1.ConfigFile {
	file.OS, file.Architecture, file.Created = "linux", arch, v1.Time{Time: epoch}
	file.Config = v1.Config{
		Entrypoint: []string{"/bin/functions"}, User: user, WorkingDir: "/tmp",
		Env:          []string{"PATH=/bin", "SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt", modelEnv},
		ExposedPorts: map[string]struct{}{"8080/tcp": {}},
		Labels: map[string]string{
			"org.opencontainers.image.title":    "plant",
			"org.opencontainers.image.licenses": "Apache-2.0",
		},
	}
	return file
}

// pack writes the files in their order, owned by root, at the epoch.
func (l layer) pack() (v1.Layer, error) {
	var buf bytes.Buffer
	out := tar.NewWriter(&buf)
	for _, f := range l.files {
		content, err := f.read()
		if err != nil {
			return nil, fmt.Errorf("layer %s: %w", l.name, err)
		}
		if err := out.WriteHeader(f.header(len(content))); err != nil {
			return nil, fmt.Errorf("layer %s: %s: %w", l.name, f.path, err)
		}
		if _, err := out.Write(content); err != nil {
			return nil, fmt.Errorf("layer %s: %s: %w", l.name, f.path, err)
		}
	}
	if err := out.Close(); err != nil {
		return nil, fmt.Errorf("layer %s: %w", l.name, err)
	}
	opener := func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(buf.Bytes())), nil }
	return tarball.LayerFromOpener(opener, tarball.WithMediaType(types.OCILayer))
}

func (f file) header(size int) *tar.Header {
	h := &tar.Header{Name: f.path, Mode: int64(f.mode.Perm()), Size: int64(size), ModTime: epoch, Typeflag: tar.TypeReg, Format: tar.FormatUSTAR}
	if strings.HasSuffix(f.path, "/") {
		h.Typeflag = tar.TypeDir
	}
	if f.mode&fs.ModeSticky != 0 {
		h.Mode |= 0o1000
	}
	return h
}

// writeLayout writes an OCI layout with this one image.
func writeLayout(dir string, img v1.Image, arch string) error {
	if err := os.RemoveAll(dir); err != nil {
		return fmt.Errorf("empty the folder of the layout: %w", err)
	}
	path, err := layout.Write(dir, empty.Index)
	if err != nil {
		return fmt.Errorf("write the layout: %w", err)
	}
	if err := path.AppendImage(img, layout.WithPlatform(v1.Platform{OS: "linux", Architecture: arch})); err != nil {
		return fmt.Errorf("write the layout: %w", err)
	}
	return nil
}

// writeRoot writes the plain files.
func writeRoot(dir string, layers []layer) error {
	for _, l := range layers {
		for _, f := range l.files {
			to := filepath.Join(dir, filepath.FromSlash(f.path))
			if strings.HasSuffix(f.path, "/") {
				if err := os.MkdirAll(to, 0o755); err != nil {
					return err
				}
				if err := os.Chmod(to, f.mode); err != nil {
					return err
				}
				continue
			}
			content, err := f.read()
			if err != nil {
				return err
			}
			if err := os.WriteFile(to, content, f.mode.Perm()); err != nil {
				return err
			}
		}
	}
	return nil
}

// push uploads the image by its digest, without a tag, and returns the
// reference that a deployment names.
func push(ctx context.Context, repository string, img v1.Image) (string, error) {
	digest, err := img.Digest()
	if err != nil {
		return "", fmt.Errorf("digest: %w", err)
	}
	ref, err := name.NewDigest(repository+"@"+digest.String(), name.StrictValidation)
	if err != nil {
		return "", fmt.Errorf("repository %s: %w", repository, err)
	}
	keychain := authn.NewMultiKeychain(authn.DefaultKeychain, google.Keychain)
	if err := remote.Write(ref, img, remote.WithContext(ctx), remote.WithAuthFromKeychain(keychain)); err != nil {
		return "", fmt.Errorf("push to %s: %w", repository, err)
	}
	return ref.String(), nil
}

// describe prints what is in the image and how large it is.
func describe(out io.Writer, img v1.Image, layers []layer) error {
	packed, err := img.Layers()
	if err != nil {
		return fmt.Errorf("layers: %w", err)
	}
	var plain, compressed int64
	for i, l := range layers {
		size, err := packed[i].Size()
		if err != nil {
			return fmt.Errorf("layer %s: %w", l.name, err)
		}
		var sum int64
		for _, f := range l.files {
			content, err := f.read()
			if err != nil {
				return err
			}
			sum += int64(len(content))
			if !strings.HasSuffix(f.path, "/") {
				fmt.Fprintf(out, "%9.2f MB  /%s\n", megabytes(int64(len(content))), f.path)
			}
		}
		fmt.Fprintf(out, "%9.2f MB  layer %s, %.2f MB compressed\n", megabytes(sum), l.name, megabytes(size))
		plain, compressed = plain+sum, compressed+size
	}
	fmt.Fprintf(out, "%9.2f MB  image, %.2f MB compressed\n", megabytes(plain), megabytes(compressed))
	return nil
}

func megabytes(n int64) float64 { return float64(n) / 1e6 }
