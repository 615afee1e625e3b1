package verifycmd

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/dlai-sd/plant/shared/bundle"
	"github.com/dlai-sd/plant/shared/testkit/testdata"
	"github.com/go-json-experiment/json"
	"github.com/stretchr/testify/require"
)

// golden is the command for a bundle that passes; its tests skip without data.
func golden(t *testing.T, scope string) Command {
	t.Helper()
	dir := filepath.Join(testdata.Dir(t), "ledger")
	return Command{
		Bundle: filepath.Join(dir, "bundles", scope), Trust: filepath.Join(dir, "keys", "root0.public.pem"),
		Origin: "plant.example/ledger-a", MaxAge: 26 * time.Hour, Now: "2026-01-31T13:50:50Z",
	}
}

// run returns the exit code and what was written.
func run(c Command, asJSON bool) (code int, stdout, stderr string) {
	var out, err bytes.Buffer
	code = c.Run(Streams{Stdout: &out, Stderr: &err, JSON: asJSON, Clock: func() time.Time { return time.Unix(0, 0) }})
	return code, out.String(), err.String()
}

func TestPasses(t *testing.T) {
	t.Parallel()
	for _, scope := range []string{"all", "tenant", "entity"} {
		code, out, stderr := run(golden(t, scope), false)
		require.Equal(t, Passed, code)
		require.Empty(t, stderr)
		for _, want := range []string{
			"origin        plant.example/ledger-a\n", "log           50 entries, heads of 2026-01-31T12:50:50Z",
			"signature     passed\n", "integrity     passed\n", "completeness  passed\n", "freshness     passed\n",
			"rules         of no entity here", "All four verdicts pass.",
		} {
			require.Contains(t, out, want)
		}
		require.Equal(t, scope != "all", bytes.Contains([]byte(out), []byte("Below scope all")))
		require.NotContains(t, out, "Try:")
	}
}

func TestFails(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change    func(*Command)
		want, try string
	}{
		"stale":          {func(c *Command) { c.Now = "2026-02-03T00:00:00Z" }, "freshness     FAILED: stale in heads.json", "Try: ask for a new bundle"},
		"younger":        {func(c *Command) { c.MaxAge = time.Minute }, "freshness     FAILED: stale", "Try: ask for a new bundle"},
		"the clock":      {func(c *Command) { c.Now = "" }, "freshness     FAILED: from_the_future", "Try: check this machine's clock"},
		"another log":    {func(c *Command) { c.Origin = "elsewhere" }, "signature     FAILED: origin_wrong in manifest.json", "Try: compare --origin"},
		"another scope":  {func(c *Command) { c.Scope = "entity:x" }, "completeness  FAILED: scope_mismatch in manifest.json", "Try: ask for a bundle of the scope"},
		"another root":   {func(c *Command) { c.Trust = filepath.Join(filepath.Dir(c.Trust), "rogue.public.pem") }, "signature     FAILED: root_untrusted", "Try: compare the fingerprint"},
		"no checkpoint":  {func(c *Command) { c.Seen = c.Trust }, "freshness     FAILED: seen_invalid in seen", "Try: check that --seen"},
		"several things": {func(c *Command) { c.Scope, c.Now = "entity:x", "" }, "from_the_future", "Try: check this machine's clock"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			command := golden(t, "all")
			c.change(&command)
			code, out, stderr := run(command, false)
			require.Equal(t, Failed, code)
			require.Empty(t, stderr)
			require.Contains(t, out, c.want)
			require.Contains(t, out, c.try)
			require.NotContains(t, out, "All four")
		})
	}
}

func TestNotJudged(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change    func(*Command)
		want, try string
	}{
		"no such bundle":  {func(c *Command) { c.Bundle = "nowhere" }, "nowhere", "the path of a bundle"},
		"not a bundle":    {func(c *Command) { c.Bundle = c.Trust }, "not a bundle: zip", "ask for the bundle again"},
		"an empty folder": {func(c *Command) { c.Bundle = t.TempDir() }, "manifest.json: missing", "ask for the bundle again"},
		"no such key":     {func(c *Command) { c.Trust = "nowhere" }, "--trust", "a PEM file"},
		"no key":          {func(c *Command) { c.Trust = filepath.Join(c.Bundle, "checkpoint") }, "trust: not one PEM block", "openssl pkey"},
		"a small key":     {func(c *Command) { c.Trust = filepath.Join(filepath.Dir(c.Trust), "note.public.pem") }, "not an RSA key", "4096 bits"},
		"an origin":       {func(c *Command) { c.Origin = "a b" }, "--origin", "plant.example/ledger"},
		"a scope":         {func(c *Command) { c.Scope = "some" }, "--scope", "governance_agent:acme"},
		"a time":          {func(c *Command) { c.Now = "noon" }, "--now", "2026-01-31T12:00:00Z"},
		"an age":          {func(c *Command) { c.MaxAge = 0 }, "--max-age", "26h"},
		"nothing seen":    {func(c *Command) { c.Seen = "nowhere" }, "--seen", "named checkpoint"},
		"a large file":    {func(c *Command) { c.Seen = large(t) }, "larger than", "named checkpoint"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			command := golden(t, "all")
			c.change(&command)
			code, out, stderr := run(command, false)
			require.Equal(t, NotJudged, code)
			require.Empty(t, out)
			require.Contains(t, stderr, c.want)
			require.Contains(t, stderr, "\nTry: ")
			require.Contains(t, stderr, c.try)

			code, out, stderr = run(command, true)
			require.Equal(t, NotJudged, code)
			require.Empty(t, stderr)
			var r result
			require.NoError(t, json.Unmarshal([]byte(out), &r))
			require.False(t, r.Passed)
			require.Contains(t, r.Error, c.want)
			require.Len(t, r.Try, 1)
		})
	}
}

func large(t *testing.T) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "large")
	require.NoError(t, os.WriteFile(name, make([]byte, maxSmall+1), 0o600))
	return name
}

func TestJSON(t *testing.T) {
	t.Parallel()
	command := golden(t, "tenant")
	command.Now = "2026-02-03T00:00:00Z"
	code, out, _ := run(command, true)
	require.Equal(t, Failed, code)
	var r result
	require.NoError(t, json.Unmarshal([]byte(out), &r))
	require.False(t, r.Passed)
	require.Equal(t, bundle.ReasonStale, r.Freshness.Offender.Reason)
	require.True(t, r.Signature.Passed)
	require.Len(t, r.Try, 1)
	require.EqualValues(t, 50, r.LogSize)
}

// TestProgress: a terminal sees how far it is, and nothing is left of that.
func TestProgress(t *testing.T) {
	t.Parallel()
	var out, stderr bytes.Buffer
	code := golden(t, "all").Run(Streams{Stdout: &out, Stderr: &stderr, Terminal: true, Clock: time.Now})
	require.Equal(t, Passed, code)
	require.Contains(t, stderr.String(), "checking 100 %")
	require.True(t, bytes.HasSuffix(stderr.Bytes(), []byte("\r               \r")))
	require.NotContains(t, out.String(), "checking")
}

type full struct{}

func (full) Write([]byte) (int, error) { return 0, errors.New("no room") }

func TestResultCannotBeWritten(t *testing.T) {
	t.Parallel()
	require.Equal(t, NotJudged, golden(t, "all").Run(Streams{Stdout: full{}, Stderr: io.Discard, Clock: time.Now}))
}

// TestAgentText: the sentence, what is withheld, and nothing that a terminal obeys.
func TestAgentText(t *testing.T) {
	t.Parallel()
	r := bundle.Report{Scope: bundle.AgentAt("x", time.Unix(0, 0)), Agent: &bundle.AgentReport{
		Sentence:      "On a day, agent \"\x1b[31m\u202e\" was active.",
		Certification: &bundle.CertificationReport{},
		RestsOn:       []bundle.ThingReport{{ID: "y", EntityType: "skill", Owner: "genesis", Withheld: 2}},
	}}
	for _, v := range []*bundle.Verdict{&r.Signature, &r.Integrity, &r.Completeness, &r.Freshness} {
		v.Passed = true
	}
	out := text("b", r)
	require.Contains(t, out, "On a day, agent \"\uFFFD[31m\uFFFD\" was active.\n")
	require.Contains(t, out, "2 states of skill y of genesis are not in the bundle")
	require.Contains(t, out, "The checklist of the certification is not in the bundle.")
	require.Contains(t, out, "rules         of no entity here")
	r.Rules = bundle.RulesReport{Judged: 7, Violating: 2}
	require.Contains(t, text("b", r), "rules         7 entities judged as they are now, 2 break a rule")
	r.Agent.Sentence = ""
	require.Contains(t, text("b", r), "not proved")
}
