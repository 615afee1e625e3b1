// Package layers holds the test of the one rule about imports: downward only.
package layers

import (
	"bytes"
	"os/exec"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/stretchr/testify/require"

	"github.com/dlai-sd/plant/shared/testkit/testdata"
)

const module = "github.com/dlai-sd/plant/"

// ranks are the layers of shared: a package imports only packages of a lower
// rank. A package that is missing here fails the test.
var ranks = map[string]int{
	"shared/domain/canonical": 0,
	"shared/domain":           1,
	"shared/ledger":           2,
	"shared/translog":         3,
	"shared/compliance":       3,
	"shared/bundle":           4,
	"shared/web":              4,
	"shared/web/openapi":      5,
	"shared/keys":             5,
	"shared/store":            5,
	"shared/embedding/minilm": 5,
	"shared/checkpoints":      5,
	"shared/auth":             6,
	"shared/event":            6,
	"shared/embedding":        6,
	"shared/sequencer":        6,
	"shared/export":           7,
	"shared/job":              7,
	"shared/hold":             7,
	"shared/audit":            8,
	"shared/registry":         7,
	"shared/registry/api":     8,
	"shared/registry/vectors": 8,
	"shared/drift":            9,
}

// forTests are packages that only tests import.
var forTests = []string{"shared/testkit/harness", "shared/testkit/testdata", "shared/testkit/layers"}

type pkg struct {
	ImportPath string
	Imports    []string
}

func list(t *testing.T, args ...string) []pkg {
	t.Helper()
	cmd := exec.Command("go", append([]string{"list", "-json=ImportPath,Imports"}, args...)...)
	cmd.Dir = testdata.Root()
	out, err := cmd.Output()
	require.NoError(t, err)
	var pkgs []pkg
	dec := jsontext.NewDecoder(bytes.NewReader(out))
	for dec.PeekKind() == '{' {
		var p pkg
		require.NoError(t, json.UnmarshalDecode(dec, &p))
		pkgs = append(pkgs, p)
	}
	return pkgs
}

func TestImportsRunDownward(t *testing.T) {
	t.Parallel()
	pkgs := list(t, "./...")
	require.Greater(t, len(pkgs), 10)
	for _, p := range pkgs {
		from := strings.TrimPrefix(p.ImportPath, module)
		for _, path := range p.Imports {
			if to, ours := strings.CutPrefix(path, module); ours {
				require.Empty(t, broken(from, to), "%s imports %s", from, to)
			}
		}
	}
}

// broken says which rule an import breaks, "" for none.
func broken(from, to string) string {
	inTests := func(p string) bool {
		for _, one := range forTests {
			if p == one {
				return true
			}
		}
		return false
	}
	toRank, ranked := ranks[to]
	fromRank, fromRanked := ranks[from]
	switch {
	case inTests(from):
		return ""
	case inTests(to) || strings.HasPrefix(to, "scripts/localstack/stacktest"):
		return "only tests import it"
	case strings.HasPrefix(to, "functions") && from != "functions":
		return "no function imports another, and nothing imports a function"
	case strings.HasPrefix(to, "scripts/") && !strings.HasPrefix(from, "scripts/"):
		return "the product does not rest on its tools"
	case strings.HasPrefix(from, "scripts/localstack") && strings.HasPrefix(to, "shared/"):
		return "the local stack knows nothing of the product"
	case strings.HasPrefix(from, "shared/") && !fromRanked:
		return "the importing package has no rank"
	case strings.HasPrefix(from, "shared/") && strings.HasPrefix(to, "shared/") && (!ranked || toRank >= fromRank):
		return "imports run downward only"
	}
	return ""
}

func TestTheRuleRefuses(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		from, to string
		ok       bool
	}{
		{"shared/ledger", "shared/domain", true},
		{"shared/domain", "shared/ledger", false},
		{"shared/store", "shared/registry", false},
		{"shared/registry", "shared/store", true},
		{"functions/createskill", "functions/auditrun", false},
		{"functions", "functions/auditrun", true},
		{"shared/web", "functions", false},
		{"shared/store", "scripts/localstack/postgres", false},
		{"scripts/plant", "shared/registry", true},
		{"scripts/localstack/gateway", "shared/web", false},
		{"shared/nowhere", "shared/domain", false},
		{"shared/registry", "shared/testkit/harness", false},
	} {
		require.Equal(t, c.ok, broken(c.from, c.to) == "", "%s imports %s", c.from, c.to)
	}
}

// TestPureLedger: what an offline verifier rests on links neither a database
// nor a network.
func TestPureLedger(t *testing.T) {
	t.Parallel()
	for _, p := range list(t, "-deps", "./scripts/plant-verify", "./scripts/verifycmd", "./shared/bundle", "./shared/translog", "./shared/ledger", "./shared/domain") {
		for _, banned := range []string{"github.com/jackc/pgx", "google.golang.org/grpc", "net/http"} {
			require.False(t, p.ImportPath == banned || strings.HasPrefix(p.ImportPath, banned+"/"), p.ImportPath)
		}
	}
}
