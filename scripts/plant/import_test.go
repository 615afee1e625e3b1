package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/stretchr/testify/require"

	"github.com/dlai-sd/plant/scripts/catalogues"
	"github.com/dlai-sd/plant/shared/domain"
	"github.com/dlai-sd/plant/shared/registry/api"
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

// all is a tally of which everything was created.
func all(n int) tally { return tally{Items: n, Created: n, Verified: n} }

// there is a tally of which everything was there already.
func there(n int) tally { return tally{Items: n, Present: n, Verified: n} }

func testImport(t *testing.T, s *running) {
	file := jsonl(t,
		`{"id":"hand-1","title":"Grafting","description":"Joins two plants into one."}`,
		``,
		`{"id":"hand-2","title":"Pruning","description":"Cuts so that it grows.","source":"ours"}`,
		`{"id":"hand-3","title":"Coppicing ÄÖÜ 枝","description":"Cuts to the stool and waits."}`)
	args := []string{"import", file, "--category", "technical", "--tag", "garden", "--verify"}
	first := must(t, s.env(), args...)
	require.Equal(t, "skill: 3 in the file, 3 created, 0 already there, 0 refused.\n"+
		"skill: 3 verified: signature, opening, chain.\n", first.stdout)
	require.Empty(t, first.stderr, "no bar but on a terminal")
	again := counts(t, must(t, s.env(), append([]string{"--json"}, args...)...))
	require.Equal(t, tally{Items: 3, Present: 3, Verified: 3}, again.tally)
	require.Contains(t, must(t, s.env(), "show", "hand-3").stdout, `"garden"`)

	changed := jsonl(t, `{"id":"hand-1","title":"Grafting","description":"Something else by now."}`)
	differs := plant(t, s.env(), "import", changed, "--category", "technical", "--verify")
	require.Equal(t, 1, differs.code)
	require.Contains(t, differs.stderr, "the signed state is not that of the file: description")
	left := must(t, s.env(), "import", changed, "--category", "technical")
	require.Contains(t, left.stdout, "1 are not as the file says and were left so; --update changes them.")
	require.Contains(t, left.stdout, "line 1 (hand-1) differs in description")
	require.NotContains(t, must(t, s.env(), "show", "hand-1").stdout, "Something else")

	update := []string{"--json", "import", changed, "--category", "technical", "--update", "--verify"}
	require.Equal(t, tally{Items: 1, Present: 1, Updated: 1, Verified: 1}, counts(t, must(t, s.env(), update...)).tally)
	now := must(t, s.env(), "show", "hand-1").stdout
	require.Contains(t, now, "Something else by now.")
	require.Contains(t, now, `"garden"`, "what the file does not speak of stays")
	require.Equal(t, 1, strings.Count(must(t, s.env(), "show", "hand-1", "--history").stdout, " evolved "))
	require.Equal(t, tally{Items: 1, Present: 1, Verified: 1}, counts(t, must(t, s.env(), update...)).tally, "nothing is left to change")
}

// testImportKinds brings in one of each kind, each naming the others by their
// external ids, a child before its parent.
func testImportKinds(t *testing.T, s *running) {
	run := func(kind string, want tally, lines ...string) imported {
		done := counts(t, plant(t, s.env(), "--json", "import", jsonl(t, lines...), "--kind", kind, "--verify"))
		require.Equal(t, want, done.tally, "%s: %v", kind, done.Faults)
		return done
	}
	industry := `{"external_id":"kinds-industry","name":"Kinds of orchards"}`
	role := `{"external_id":"kinds-role","name":"Kinds of keeper","required_skills":["kinds-child","kinds-skill"],` +
		`"industry_id":"kinds-industry","seniority_level":"junior"}`
	agent := `{"external_id":"kinds-agent","name":"Kinds of bot","skill_id":"kinds-skill","job_role_id":"kinds-role","industry_id":"kinds-industry"}`
	team := `{"external_id":"kinds-team","name":"Kinds of team","job_role_id":"kinds-role","agents":["kinds-agent"]}`
	for _, of := range []func(int) tally{all, there} { // the second time everything is there
		run("industry", of(1), industry)
		run("skill", of(2),
			`{"external_id":"kinds-child","name":"Kinds of pear","description":"Knows pears.","category":"technical","parent_id":"kinds-skill"}`,
			`{"external_id":"kinds-skill","name":"Kinds of fruit","description":"Knows fruit.","category":"technical"}`)
		run("job-role", of(1), role)
		run("agent", of(1), agent)
		run("team", of(1), team)
	}

	absent := run("job-role", tally{Items: 1, Refused: 1}, `{"external_id":"kinds-none","name":"None","required_skills":["kinds-nothing"],"seniority_level":"mid"}`)
	require.Contains(t, absent.Faults[0], `line 1 (kinds-none): /required_skills: there is no skill with the external_id "kinds-nothing"`)
	circle := run("skill", tally{Items: 2, Refused: 2},
		`{"external_id":"kinds-1","name":"One","description":"x","category":"technical","parent_id":"kinds-2"}`,
		`{"external_id":"kinds-2","name":"Two","description":"x","category":"technical","parent_id":"kinds-1"}`)
	require.Contains(t, circle.Faults[0], "its parents form a circle")
	other := run("skill", tally{Items: 1, Refused: 1}, `{"external_id":"kinds-team","name":"A skill","description":"x","category":"technical"}`)
	require.Contains(t, other.Faults[0], "an entity of another kind has this external_id")
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
	require.Equal(t, tally{Items: 3, Created: 1, Refused: 2}, done.tally)
	require.Len(t, done.Faults, 2)
	require.Contains(t, done.Faults[0], "line 2 (fault-2): ")
	require.Contains(t, done.Faults[0], "L1-SKILL-02 /description")
	require.Contains(t, done.Faults[1], "line 3 (fault-3): ")
	require.Contains(t, r.stderr, "2 were refused")
	require.Contains(t, r.stderr, "Try: mend these")

	text := plant(t, s.env(), "import", jsonl(t, lines...), "--category", "technical")
	require.Equal(t, 1, text.code)
	require.Contains(t, text.stdout, "skill: 3 in the file, 0 created, 1 already there, 2 refused.")
	require.Contains(t, text.stdout, "L1-SKILL-02")

	for name, args := range map[string][]string{
		"line 1: no id":        {jsonl(t, `{"title":"x","description":"y"}`)},
		"line 2":               {jsonl(t, lines[0], `{"id":`)},
		"no such file":         {filepath.Join(t.TempDir(), "absent.jsonl")},
		"Skills.txt":           {t.TempDir(), "--format", "onet"},
		"no skills_*.csv":      {t.TempDir(), "--format", "esco"},
		"takes one file":       {"a.jsonl", "b.jsonl"},
		"occupationSkillRel":   {"../catalogues/testdata/esco/occupations_en.csv", "--format", "esco"},
		"at the same time":     {jsonl(t, lines[0]), "--in-flight", "9"},
		"is not in the folder": {"../catalogues/testdata/esco/skills_en.csv", "../catalogues/testdata/x.csv", "--format", "esco"},
	} {
		for i, arg := range args {
			if strings.HasPrefix(arg, "../") {
				absolute, err := filepath.Abs(arg)
				require.NoError(t, err)
				args[i] = absolute
			}
		}
		bad := plant(t, s.env(), append([]string{"import"}, args...)...)
		require.Equal(t, 1, bad.code, name)
		require.Contains(t, bad.stderr, name)
		require.Contains(t, bad.stderr, "Try: ", name)
	}
}

// testDownloads imports small files of the form that O*NET and ESCO publish:
// first asked about, then written, then recognised.
func testDownloads(t *testing.T, s *running) {
	for _, c := range []struct {
		format        string
		skills, roles int
		renamed, left int
	}{{"onet", 3, 2, 0, 2}, {"esco", 4, 2, 1, 5}} {
		folder, err := filepath.Abs("../catalogues/testdata/" + c.format)
		require.NoError(t, err)
		token := strings.TrimSpace(must(t, s.env(), "token", "--governance-agent", "download-"+c.format, "--create").stdout)
		env := s.env("PLANT_TOKEN=" + token)
		args := []string{"--json", "import", folder, "--format", c.format}
		check := func(of func(int) tally, extra ...string) {
			t.Helper()
			done := counts(t, must(t, env, append(args, extra...)...))
			require.Equal(t, map[domain.Kind]tally{"skill": of(c.skills), "job_role": of(c.roles)}, done.Kinds)
			require.Equal(t, c.renamed, done.Renamed)
			left := 0
			for _, s := range done.Skipped {
				left += s.Count
			}
			require.Equal(t, c.left, left)
		}
		for range 2 { // the second time nothing is there yet, for the first wrote nothing
			check(func(n int) tally { return tally{Items: n, Created: n} }, "--dry-run")
		}
		check(all, "--verify")
		check(there, "--verify")
		check(func(n int) tally { return tally{Items: n, Present: n} }, "--dry-run")
		check(func(n int) tally { return tally{Items: n, Present: n, Differs: n} }, "--tag", "another")
	}
	testTakenName(t, s)
}

// testTakenName: a name that somebody else in the registry has is no reason to
// leave an entry of a catalogue out, and the second run knows it again.
func testTakenName(t *testing.T, s *running) {
	token := strings.TrimSpace(must(t, s.env(), "token", "--governance-agent", "download-both", "--create").stdout)
	env := s.env("PLANT_TOKEN=" + token)
	must(t, env, "import", jsonl(t, `{"id":"ours","title":"WEATHER sense","description":"Ours."}`), "--category", "technical")
	folder, err := filepath.Abs("../catalogues/testdata/onet")
	require.NoError(t, err)
	args := []string{"--json", "import", folder, "--format", "onet", "--verify"}
	dry := counts(t, must(t, env, append(args, "--dry-run")...))
	require.Equal(t, []int{1, 5, 0}, []int{dry.Renamed, dry.Created, dry.Refused})
	first := counts(t, must(t, env, args...))
	require.Equal(t, []int{1, 5, 5}, []int{first.Renamed, first.Created, first.Verified})
	require.Contains(t, must(t, env, "show", "9.B.2.c").stdout, `"name": "Weather Sense [9.B.2.c]"`)
	require.Equal(t, there(5), counts(t, must(t, env, append(args, "--update")...)).tally)
}

// TestWave: of two with one name the second waits for the first, whatever
// request it would be in, and a child waits for its parent.
func TestWave(t *testing.T) {
	t.Parallel()
	of := func(id, name string, parent string) *entry {
		e := &entry{Item: catalogues.Item{ExternalID: id, Name: name, Fields: map[string]jsontext.Value{}}}
		if parent != "" {
			e.Fields["parent_id"] = jsontext.Value(`"` + parent + `"`)
		}
		return e
	}
	first, second, child, elsewhere := of("1", "Straße", ""), of("2", "STRASSE", ""), of("3", "c", "2"), of("4", "d", "not-here")
	ready, waiting := wave(domain.KindSkill, []*entry{first, second, child, elsewhere})
	require.Equal(t, []*entry{first, elsewhere}, ready)
	require.Equal(t, []*entry{second, child}, waiting)
	ready, waiting = wave(domain.KindSkill, waiting)
	require.Equal(t, []*entry{second}, ready)
	require.Equal(t, []*entry{child}, waiting)
}

// TestBatches: what one request may hold is counted in amendments and in bytes.
func TestBatches(t *testing.T) {
	t.Parallel()
	of := func(weight, size int) *entry { return &entry{weight: weight, body: make([]byte, size)} }
	for _, c := range []struct {
		entries []*entry
		want    []int
	}{
		{nil, nil},
		{slices.Repeat([]*entry{of(1, 10)}, 1001), []int{500, 500, 1}},
		{[]*entry{of(300, 1), of(200, 1), of(1, 1)}, []int{2, 1}},
		{[]*entry{of(600, 1), of(1, maxRequest), of(1, 1)}, []int{1, 1, 1}},
	} {
		var sizes []int
		for _, b := range batches(c.entries) {
			sizes = append(sizes, len(b))
		}
		require.Equal(t, c.want, sizes)
	}
}

// TestARefusalIsSaidOnce: what a detail says already is not said again.
func TestARefusalIsSaidOnce(t *testing.T) {
	t.Parallel()
	detail := `The body is refused at /nme: there is no field "nme" here that a caller may set.`
	unknown := domain.Violation{Rule: "body.unknown_field", Field: "/nme", Message: `there is no field "nme" here that a caller may set`}
	tags := domain.Violation{Rule: "FORM-TAGS", Field: "/tags/0", Message: "it is blank"}
	require.Equal(t, detail, describe(api.Item{Detail: &detail, Violations: []domain.Violation{unknown}}))
	require.Equal(t, detail+"; FORM-TAGS /tags/0: it is blank", describe(api.Item{Detail: &detail, Violations: []domain.Violation{unknown, tags}}))
}
