package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/stretchr/testify/require"

	"github.com/dlai-sd/plant/shared/testkit/testdata"
)

// jsonl writes a file of JSON Lines.
func jsonl(t *testing.T, lines ...string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "skills.jsonl")
	require.NoError(t, os.WriteFile(file, []byte(strings.Join(lines, "\n")+"\n"), 0o600))
	return file
}

func counts(t *testing.T, r result) imported {
	t.Helper()
	var done imported
	require.NoError(t, json.Unmarshal([]byte(r.stdout), &done), r.stdout+r.stderr)
	return done
}

func testImport(t *testing.T, s *running) {
	file := jsonl(t,
		`{"id":"hand-1","title":"Grafting","description":"Joins two plants into one."}`,
		``,
		`{"id":"hand-2","title":"Pruning","description":"Cuts so that it grows.","source":"ours"}`,
		`{"id":"hand-3","title":"Coppicing ÄÖÜ 枝","description":"Cuts to the stool and waits."}`)
	args := []string{"import", file, "--category", "technical", "--tag", "garden", "--verify"}
	first := must(t, s.env(), args...)
	require.Equal(t, "3 lines: 3 created, 0 already there, 0 refused.\n3 verified: signature, opening, chain.\n", first.stdout)
	require.Empty(t, first.stderr, "no bar but on a terminal")
	again := counts(t, must(t, s.env(), append([]string{"--json"}, args...)...))
	require.Equal(t, imported{Lines: 3, Present: 3, Checked: 3, Faults: []string{}}, again)
	require.Contains(t, must(t, s.env(), "show", "hand-3").stdout, `"garden"`)

	changed := jsonl(t, `{"id":"hand-1","title":"Grafting","description":"Something else by now."}`)
	differs := plant(t, s.env(), "import", changed, "--category", "technical", "--verify")
	require.Equal(t, 1, differs.code)
	require.Contains(t, differs.stderr, "the signed state is not that of the line")
}

func testRefusedLine(t *testing.T, s *running) {
	lines := []string{
		`{"id":"fault-1","title":"Sowing","description":"Puts seeds into the ground."}`,
		`{"id":"fault-2","title":"Silence","description":""}`,
		`{"id":"fault-3","title":"SOWING","description":"The same name in another case."}`,
	}
	r := plant(t, s.env(), "--json", "import", jsonl(t, lines...), "--category", "technical")
	require.Equal(t, 1, r.code)
	done := counts(t, r)
	require.Equal(t, []int{3, 1, 2}, []int{done.Lines, done.Created, done.Refused})
	require.Len(t, done.Faults, 2)
	require.Contains(t, done.Faults[0], "line 2: ")
	require.Contains(t, done.Faults[0], "L1-SKILL-02 /description")
	require.Contains(t, done.Faults[1], "line 3: ")
	require.Contains(t, r.stderr, "2 lines were refused")
	require.Contains(t, r.stderr, "Try: mend these lines")

	text := plant(t, s.env(), "import", jsonl(t, lines...), "--category", "technical")
	require.Equal(t, 1, text.code)
	require.Contains(t, text.stdout, "3 lines: 0 created, 1 already there, 2 refused.")
	require.Contains(t, text.stdout, "L1-SKILL-02")

	for name, file := range map[string]string{
		"line 1 has no id": jsonl(t, `{"title":"x","description":"y"}`),
		"line 2":           jsonl(t, lines[0], `{"id":`),
		"no such file":     filepath.Join(t.TempDir(), "absent.jsonl"),
	} {
		bad := plant(t, s.env(), "import", file, "--category", "technical")
		require.Equal(t, 1, bad.code, name)
		require.Contains(t, bad.stderr, name)
		require.Contains(t, bad.stderr, "Try: ", name)
	}
}

// testCatalogues imports real catalogues, each line read back and verified, and
// a second time nothing is new.
func testCatalogues(t *testing.T, s *running) {
	folder := testdata.Dir(t)
	for _, c := range []struct {
		file, category, limit string
		lines                 int
	}{
		{"onet/skills35.jsonl", "soft_skill", "0", 35},
		{"esco/skills.corpus.jsonl", "domain_expertise", "2000", 2000},
	} {
		args := []string{
			"--json", "import", filepath.Join(folder, filepath.FromSlash(c.file)), "--category", c.category,
			"--limit", c.limit, "--verify",
		}
		require.Equal(t, imported{Lines: c.lines, Created: c.lines, Checked: c.lines, Faults: []string{}},
			counts(t, must(t, s.env(), args...)), c.file)
		again := counts(t, must(t, s.env(), args[:len(args)-1]...))
		require.Equal(t, imported{Lines: c.lines, Present: c.lines, Faults: []string{}}, again, c.file)
	}
}
