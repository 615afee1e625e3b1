package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/crypto/x509roots/fallback/bundle"
)

// file is one entry of the image: a folder where from and content are empty and
// path ends in a slash.
type file struct {
	path    string // in the image, without the leading slash
	mode    fs.FileMode
	content []byte
	from    string // or a file of this machine
}

// layer is a part of the image that changes as one.
type layer struct {
	name  string
	files []file
}

// user is who the processes are; nothing in the image belongs to it.
const user = "65532:65532"

// modelEnv is where the embed function finds the model.
const modelEnv = "MODEL_DIR=/model"

// baseFiles are what a static binary expects of a system: root certificates
// (Mozilla's, by the version of go.mod, not this machine's), a user and /tmp.
func baseFiles(licence string) ([]file, error) {
	text, err := os.ReadFile(licence)
	if err != nil {
		return nil, fmt.Errorf("read the licence: %w", err)
	}
	certificates, err := rootCertificates()
	if err != nil {
		return nil, err
	}
	return sorted([]file{
		{path: "etc/", mode: 0o755},
		{path: "etc/group", mode: 0o644, content: []byte("nonroot:x:65532:\n")},
		{path: "etc/passwd", mode: 0o644, content: []byte("nonroot:x:65532:65532:nonroot:/tmp:/sbin/nologin\n")},
		{path: "etc/ssl/", mode: 0o755},
		{path: "etc/ssl/certs/", mode: 0o755},
		{path: "etc/ssl/certs/ca-certificates.crt", mode: 0o644, content: certificates},
		{path: "licenses/", mode: 0o755},
		{path: "licenses/LICENSE", mode: 0o644, content: text},
		{path: "tmp/", mode: 0o777 | fs.ModeSticky},
	}), nil
}

// rootCertificates are those that are trusted without a condition: a file
// cannot say "only if issued before".
func rootCertificates() ([]byte, error) {
	var out bytes.Buffer
	for root := range bundle.Roots() {
		if root.Constraint != nil {
			continue
		}
		if err := pem.Encode(&out, &pem.Block{Type: "CERTIFICATE", Bytes: root.Certificate}); err != nil {
			return nil, fmt.Errorf("encode a root certificate: %w", err)
		}
	}
	if out.Len() == 0 {
		return nil, errors.New("there is no root certificate")
	}
	return out.Bytes(), nil
}

// modelFiles are the model's files with the licence and the card that came with
// it, flat in /model.
func modelFiles(folder string) ([]file, error) {
	files := []file{{path: "model/", mode: 0o755}}
	for _, name := range []string{"model.safetensors", "vocab.txt", "config.json", "README.md", "LICENSE"} {
		from, err := find(folder, name)
		if err != nil {
			return nil, err
		}
		files = append(files, file{path: "model/" + name, mode: 0o644, from: from})
	}
	return sorted(files), nil
}

// find is the file of that name nearest to the top of a folder.
func find(folder, name string) (string, error) {
	var found []string
	err := filepath.WalkDir(folder, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Name() == name && d.Type().IsRegular() {
			found = append(found, path)
		}
		return err
	})
	if err != nil {
		return "", fmt.Errorf("look into the model's folder: %w", err)
	}
	if len(found) == 0 {
		return "", fmt.Errorf("the model's folder %s lacks %s", folder, name)
	}
	depth := func(p string) int { return strings.Count(p, string(filepath.Separator)) }
	return slices.MinFunc(found, func(a, b string) int { return cmp.Compare(depth(a), depth(b)) }), nil
}

// compile builds both binaries so that nothing of this machine, of the time or
// of the repository's state gets into them.
func compile(ctx context.Context, module, work, arch string) ([]file, error) {
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-buildvcs=false", "-ldflags=-s -w -buildid=",
		"-o", work+string(filepath.Separator), "./functions", "./scripts/plant")
	cmd.Dir = module
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH="+arch, "GOEXPERIMENT=", "GOAMD64=v1", "GOARM64=v8.0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("go build: %w: %s", err, bytes.TrimSpace(out))
	}
	return sorted([]file{
		{path: "bin/", mode: 0o755},
		{path: "bin/functions", mode: 0o755, from: filepath.Join(work, "functions")},
		{path: "bin/plant", mode: 0o755, from: filepath.Join(work, "plant")},
	}), nil
}

func sorted(files []file) []file {
	slices.SortFunc(files, func(a, b file) int { return cmp.Compare(a.path, b.path) })
	return files
}

func (f file) read() ([]byte, error) {
	if f.from == "" {
		return f.content, nil
	}
	return os.ReadFile(f.from)
}
