package rehearsal

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/stretchr/testify/require"

	"github.com/dlai-sd/plant/shared/testkit/testdata"
)

// version is the files of one image, unpacked.
type version struct {
	name, root string
	env        []string // of the image
}

func (v version) program(name string) string { return filepath.Join(v.root, "bin", name) }

// build makes the image of a module's source and unpacks its layers.
func build(t *testing.T, name, module string, env ...string) version {
	t.Helper()
	out := filepath.Join(t.TempDir(), "layout")
	cmd := exec.CommandContext(t.Context(), "go", "run", "./scripts/image", "-out", out)
	cmd.Dir, cmd.Env = module, append(os.Environ(), env...)
	said, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", said)
	path, err := layout.FromPath(out)
	require.NoError(t, err)
	index, err := path.ImageIndex()
	require.NoError(t, err)
	manifest, err := index.IndexManifest()
	require.NoError(t, err)
	img, err := path.Image(manifest.Manifests[0].Digest)
	require.NoError(t, err)
	file, err := img.ConfigFile()
	require.NoError(t, err)
	v := version{name: name, root: t.TempDir()}
	files := mutate.Extract(img)
	unpack(t, v.root, files)
	require.NoError(t, files.Close())
	for _, line := range file.Config.Env {
		key, value, _ := strings.Cut(line, "=")
		if strings.HasPrefix(value, "/") { // a place in the image
			value = filepath.Join(v.root, value)
		}
		v.env = append(v.env, key+"="+value)
	}
	return v
}

func unpack(t *testing.T, root string, files io.Reader) {
	t.Helper()
	for in := tar.NewReader(files); ; {
		h, err := in.Next()
		if errors.Is(err, io.EOF) {
			return
		}
		require.NoError(t, err)
		to := filepath.Join(root, filepath.Clean("/"+h.Name))
		if h.Typeflag == tar.TypeDir {
			require.NoError(t, os.MkdirAll(to, 0o755))
			continue
		}
		require.NoError(t, os.MkdirAll(filepath.Dir(to), 0o755))
		f, err := os.OpenFile(to, os.O_CREATE|os.O_WRONLY, h.FileInfo().Mode().Perm())
		require.NoError(t, err)
		_, err = io.Copy(f, in)
		require.NoError(t, errors.Join(err, f.Close()))
	}
}

// release is the migrations of the next version: what a migration may hold (see
// migrations/compatible_test.go), on the tables that every request touches.
var release = []string{
	"ALTER TABLE entity ADD COLUMN rehearsed text",
	"ALTER TABLE entity ADD CONSTRAINT entity_rehearsed CHECK (length(rehearsed) < 100) NOT VALID",
	"ALTER TABLE amendment ADD COLUMN rehearsed boolean NOT NULL DEFAULT false",
	"ALTER TABLE skill ADD COLUMN rehearsed int",
	"ALTER TABLE opening ADD COLUMN rehearsed text NOT NULL DEFAULT ''",
	"ALTER TABLE outbox ADD COLUMN rehearsed timestamptz NOT NULL DEFAULT now()",
	"ALTER TABLE idempotency_key ADD COLUMN rehearsed uuid",
	"ALTER TABLE principal ADD COLUMN rehearsed text",
	"CREATE TABLE rehearsed (id uuid PRIMARY KEY REFERENCES entity (id))",
	"ALTER TABLE entity VALIDATE CONSTRAINT entity_rehearsed",
}

// takenBack is what undoes the release, for the owner of the tables.
var takenBack = []string{
	"DROP TABLE rehearsed", "ALTER TABLE entity DROP COLUMN rehearsed", "ALTER TABLE amendment DROP COLUMN rehearsed",
	"ALTER TABLE skill DROP COLUMN rehearsed", "ALTER TABLE opening DROP COLUMN rehearsed", "ALTER TABLE outbox DROP COLUMN rehearsed",
	"ALTER TABLE idempotency_key DROP COLUMN rehearsed", "ALTER TABLE principal DROP COLUMN rehearsed",
	"DELETE FROM goose_db_version WHERE version_id >= 900",
}

// nextVersion is this source with a release's migrations more: what the deployment
// after this one will look like.
func nextVersion(t *testing.T) version {
	t.Helper()
	dir, replace := t.TempDir(), map[string]string{}
	for i, statement := range release {
		name := fmt.Sprintf("%d_rehearsed.sql", 900+i)
		added := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(added, []byte("-- +goose Up\n"+statement+";\n"), 0o600))
		replace[filepath.Join(testdata.Root(), "migrations", name)] = added
	}
	overlay, err := json.Marshal(map[string]map[string]string{"Replace": replace})
	require.NoError(t, err)
	file := filepath.Join(dir, "overlay.json")
	require.NoError(t, os.WriteFile(file, overlay, 0o600))
	return build(t, "next", testdata.Root(), "GOFLAGS=-overlay="+file)
}

// plan is what the rehearsal needs of the kept summary of Terraform's plan.
type plan struct {
	Services map[string]struct {
		Values   map[string]string `json:"values"`
		Settings []string          `json:"settings"`
	} `json:"services"`
	Subscriptions map[string]struct {
		Filter string `json:"filter"`
	} `json:"subscriptions"`
	DatabaseGrants string `json:"database_grants"`
}

func readPlan(t *testing.T) plan {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(testdata.Root(), "scripts/cloud/testdata/team.json"))
	require.NoError(t, err)
	var p plan
	require.NoError(t, json.Unmarshal(b, &p))
	require.NotEmpty(t, p.DatabaseGrants)
	return p
}
