package bundle

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/dlai-sd/plant/shared/ledger"
	"github.com/dlai-sd/plant/shared/testkit/testdata"
	"github.com/go-json-experiment/json"
	"github.com/stretchr/testify/require"
)

// python returns the interpreter; without one a test says loudly that verify.py
// was not tested.
func python(t *testing.T) string {
	t.Helper()
	path, err := exec.LookPath("python3")
	if err != nil {
		t.Skip("NO PYTHON3: verify.py WAS NOT TESTED")
	}
	return path
}

// scriptCase is a bundle for verify.py, and what our verifier says of it.
type scriptCase struct {
	Bundle string `json:"bundle"`
	Trust  string `json:"trust"`
	Origin string `json:"origin"`
	Now    string `json:"now"`
	Seen   string `json:"seen,omitzero"`
	Scope  string `json:"scope,omitzero"`

	name string
	want string
}

// scriptCases collects bundles in a folder.
type scriptCases struct {
	t     *testing.T
	dir   string
	cases []scriptCase
}

func (s *scriptCases) file(name string, b []byte) string {
	path := filepath.Join(s.dir, name)
	require.NoError(s.t, os.WriteFile(path, b, 0o600))
	return path
}

func (s *scriptCases) add(name string, fsys fstest.MapFS, o Options) {
	s.t.Helper()
	i := len(s.cases)
	spki := must(x509.MarshalPKIXPublicKey(o.Trust))
	c := scriptCase{
		name: name, Origin: o.Origin, Now: o.Now.UTC().Format(time.RFC3339Nano),
		Bundle: s.file(fmt.Sprintf("%d.zip", i), zipped(fsys)),
		Trust:  s.file(fmt.Sprintf("%d.pem", i), pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: spki})),
		want:   verdicts(Verify(fsys, o)),
	}
	if o.Seen != nil {
		c.Seen = s.file(fmt.Sprintf("%d.seen", i), o.Seen)
	}
	if o.Scope != nil {
		c.Scope = o.Scope.String()
	}
	s.cases = append(s.cases, c)
}

// verdicts is what verify.py would print.
func verdicts(r Report, err error) string {
	if err != nil {
		return "not a bundle"
	}
	out := map[string]*Offender{}
	for _, v := range r.Verdicts() {
		out[v.Name] = v.Offender
		if v.Offender != nil {
			short := *v.Offender
			short.Detail = ""
			out[v.Name] = &short
		}
	}
	return string(encode(out))
}

// run lets one process judge all, and compares.
func (s *scriptCases) run() {
	s.t.Helper()
	var list []byte
	for _, c := range s.cases {
		list = append(append(list, encode(c)...), '\n')
	}
	ctx, cancel := context.WithTimeout(s.t.Context(), 5*time.Minute)
	defer cancel()
	out, err := exec.CommandContext(ctx, python(s.t), "verify.py", "--many", s.file("list", list)).Output()
	require.NoError(s.t, err)
	lines := bytes.Split(bytes.TrimSpace(out), []byte("\n"))
	require.Len(s.t, lines, len(s.cases))
	for i, c := range s.cases {
		var answer struct {
			Verdicts  map[string]*Offender `json:"verdicts"`
			NotBundle string               `json:"not_bundle"`
		}
		require.NoError(s.t, json.Unmarshal(lines[i], &answer))
		got := string(encode(answer.Verdicts))
		if answer.NotBundle != "" {
			got = "not a bundle"
		}
		require.Equal(s.t, c.want, got, "%s: %s", c.name, answer.NotBundle)
	}
}

// TestScriptAgreesOnVectors: the second verifier gives every verdict that the
// first one does, with the same first offender.
func TestScriptAgreesOnVectors(t *testing.T) {
	t.Parallel()
	python(t)
	s := scriptCases{t: t, dir: t.TempDir()}
	for _, v := range append(vectors(t, "positive.jsonl"), vectors(t, "negative.jsonl")...) {
		s.add(v.Name, v.fsys(t), v.options(t))
	}
	require.Len(t, s.cases, 134)
	s.run()
}

// TestScriptAgreesOnOurs: the same of what our writer writes, in every scope.
func TestScriptAgreesOnOurs(t *testing.T) {
	t.Parallel()
	python(t)
	s := scriptCases{t: t, dir: t.TempDir()}
	for _, b := range sampleBundles() {
		o := b.options
		for _, seen := range [][]byte{nil, b.seen, b.same} {
			o.Seen, o.Scope = seen, &b.scope
			s.add(b.scope.String(), b.fsys, o)
		}
	}
	h := newAgentHistory()
	for name, at := range map[string]time.Time{"before": testStart, "early": h.date.Add(-2 * time.Second), "future": h.date.Add(24 * time.Hour)} {
		s.add(name, h.pack(AgentAt(entityID(50), at)), h.options())
	}
	hidden := newAgentHistory()
	hidden.reshare(`{"name":"Secret plan","status":"draft"}`)
	hidden.withhold(t, 53, 3)
	hidden.withhold(t, 52, 1)
	s.add("withheld", hidden.pack(AgentAt(entityID(50), hidden.date)), hidden.options())
	hidden.restsOn = slices.DeleteFunc(hidden.restsOn, func(id string) bool { return id == entityID(53) })
	s.add("withheld, and a skill of a role unseen", hidden.pack(AgentAt(entityID(50), hidden.date)), hidden.options())
	for _, file := range []string{manifestFile, checkpointFile, headsFile, amendmentsFile, keysFile} {
		fsys := clone(sampleBundles()[0].fsys)
		delete(fsys, file)
		s.add("no "+file, fsys, sampleBundles()[0].options)
	}
	s.run()
}

// TestScriptSaysWhatFails in a sentence, as the first verifier does.
func TestScriptSaysWhatFails(t *testing.T) {
	t.Parallel()
	s := scriptCases{t: t, dir: t.TempDir()}
	b := sampleBundles()[0]
	s.add("elsewhere", b.fsys, b.options)
	out, err := exec.CommandContext(t.Context(), python(t), "verify.py", s.cases[0].Bundle, "--trust", s.cases[0].Trust, "--origin", "elsewhere").Output()
	var exit *exec.ExitError
	require.ErrorAs(t, err, &exit)
	require.Equal(t, 1, exit.ExitCode())
	require.Contains(t, string(out), "FAILED: origin_wrong in manifest.json")
	require.NotContains(t, string(out), "{")
}

// TestScriptReadsJSONAlike: canonical form and refusals are those of the vectors.
func TestScriptReadsJSONAlike(t *testing.T) {
	t.Parallel()
	rows := string(testdata.Read(t, "ledger", "canonical.jsonl"))
	const code = `
import json, sys
sys.path.insert(0, ".")
import verify
for line in sys.stdin:
    row = json.loads(line)
    data = bytes.fromhex(row["input_hex"]) if "input_hex" in row else (row["input_repeat"][0] * row["input_repeat"][1]).encode() if "input_repeat" in row else row["input"].encode("utf-8", "surrogatepass")
    try:
        got = verify.canonical(verify.parse(data)).encode().hex()
    except verify.Refused:
        got = None
    assert got == row.get("canonical_hex"), (row, got)
print("alike")
`
	cmd := exec.CommandContext(t.Context(), python(t), "-B", "-c", code)
	cmd.Stdin = strings.NewReader(rows)
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
	require.Equal(t, "alike\n", string(out))
}

// TestGuideRuns: the commands of VERIFY.md run as pasted, in the folder that the
// bundle unpacks to, and say what the page says.
func TestGuideRuns(t *testing.T) {
	t.Parallel()
	for _, tool := range []string{"bash", "openssl"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skip("NO " + strings.ToUpper(tool) + ": VERIFY.md WAS NOT TESTED")
		}
	}
	python(t)
	for _, b := range sampleBundles() {
		t.Run(b.scope.String(), func(t *testing.T) {
			t.Parallel()
			out, err := runGuide(t, b.fsys)
			require.NoError(t, err, out)
			require.Contains(t, out, "Verified OK")
			require.Contains(t, out, "the record is in the log")
			require.Contains(t, out, "Signature Verified Successfully")
			r := must(ledger.ReadRecord(b.fsys[sampleRecord].Data))
			require.Contains(t, out, r.KeyID)
			if !strings.Contains(string(b.fsys[guideFile].Data), "### What it says") {
				return // erased since
			}
			require.Contains(t, out, r.StateHash.String())
		})
	}
	bad := clone(sampleBundles()[0].fsys)
	bad[sampleRecord].Data[20] ^= 1
	out, _ := runGuide(t, bad)
	require.NotContains(t, out, "Verified OK")
	require.NotContains(t, out, "the record is in the log")
}

// runGuide unpacks a bundle and runs the code blocks of its VERIFY.md.
func runGuide(t *testing.T, fsys fs.FS) (string, error) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "bundle")
	require.NoError(t, os.CopyFS(dir, fsys))
	guide := must(fs.ReadFile(fsys, guideFile))
	var script strings.Builder
	for i, part := range strings.Split(string(guide), "```") {
		if code, ok := strings.CutPrefix(part, "bash\n"); ok && i%2 == 1 {
			script.WriteString(code)
		}
	}
	require.Greater(t, strings.Count(script.String(), "\n"), 10)
	cmd := exec.CommandContext(t.Context(), "bash", "-c", script.String()) // #nosec -- the page of our own bundle
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	return string(out), err
}
