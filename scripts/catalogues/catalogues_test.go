package catalogues

import (
	"os"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/stretchr/testify/require"

	"github.com/dlai-sd/plant/shared/domain"
)

// fields are an item's, each as JSON text.
func fields(i Item) map[string]string {
	list := map[string]string{}
	for name, value := range i.Fields {
		list[name] = string(value)
	}
	return list
}

func TestONET(t *testing.T) {
	t.Parallel()
	c, err := ONET(os.DirFS("testdata/onet"), Options{Category: "soft_skill", Seniority: "senior", Tag: "onet", MinImportance: 3})
	require.NoError(t, err)
	require.Len(t, c.Sections, 2)
	require.Equal(t, 5, c.Items())
	require.Empty(t, c.Renamed)

	skills := c.Sections[0]
	require.Equal(t, domain.KindSkill, skills.Kind)
	require.Len(t, skills.Items, 3, "only what somebody is rated for is a skill")
	require.Equal(t, map[string]string{
		"external_id": `"9.A.1.b"`, "name": `"Grafting \"by Hand\""`, "category": `"soft_skill"`, "tags": `["onet"]`,
		"description": `"Joining two plants so that they grow as one, with a knife and without a machine."`,
	}, fields(skills.Items[1]))

	roles := c.Sections[1]
	require.Equal(t, domain.KindJobRole, roles.Kind)
	require.Len(t, roles.Items, 2)
	require.Equal(t, map[string]string{
		"external_id": `"91-1001.00"`, "name": `"Orchard Whisperers"`, "seniority_level": `"senior"`, "tags": `["onet"]`,
		"description":     `"Talk to old trees until they bear again. May also \"sing\" to them."`,
		"required_skills": `["9.A.1.a","9.A.1.b"]`,
	}, fields(roles.Items[0]), "importance, not level, and 3.00 counts")
	require.Equal(t, `["9.A.1.a","9.B.2.c"]`, fields(roles.Items[1])["required_skills"])
	require.Equal(t, []Skip{
		{"no skill has an importance of 3 or more, and a job role requires at least one", []string{"91-1002.00"}},
		{"the occupation has no skill ratings", []string{"91-1003.02"}},
	}, c.Skipped)

	stricter, err := ONET(os.DirFS("testdata/onet"), Options{MinImportance: 4.5, Limit: 1})
	require.NoError(t, err)
	require.Len(t, stricter.Sections[0].Items, 3)
	require.Len(t, stricter.Sections[1].Items, 1)
	require.Equal(t, "91-1003.01", stricter.Sections[1].Items[0].ExternalID)
}

func TestONETRefuses(t *testing.T) {
	t.Parallel()
	const skills = "O*NET-SOC Code\tElement ID\tElement Name\tScale ID\tData Value\n"
	for name, test := range map[string]struct{ skills, occupations, says string }{
		"a column is missing":  {"O*NET-SOC Code\tElement ID\n", "", `Skills.txt has no column "Element Name"`},
		"no number":            {skills + "1\t2\tx\tIM\tmuch\n", "", "Skills.txt, row 2: Data Value is no number"},
		"no code":              {skills + "\t2\tx\tIM\t3\n", "", "Skills.txt, row 2: no Element ID or no O*NET-SOC Code"},
		"no ratings":           {skills, "", "no ratings in Skills.txt"},
		"empty":                {"", "", "Skills.txt: read the header"},
		"a file is missing":    {skills + "1\t2\tx\tIM\t3\n", "", "Occupation Data.txt"},
		"occupations' columns": {skills + "1\t2\tx\tIM\t3\n", "Code\n", `Occupation Data.txt has no column "O*NET-SOC Code"`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			folder := fstest.MapFS{
				"Skills.txt":                  {Data: []byte(test.skills)},
				"Content Model Reference.txt": {Data: []byte("Element ID\tElement Name\tDescription\n")},
			}
			if test.occupations != "" {
				folder["Occupation Data.txt"] = &fstest.MapFile{Data: []byte(test.occupations)}
			}
			_, err := ONET(folder, Options{})
			require.ErrorContains(t, err, test.says)
		})
	}
}

func TestESCO(t *testing.T) {
	t.Parallel()
	folder := os.DirFS("testdata/esco")
	names, err := ESCOFiles(folder)
	require.NoError(t, err)
	require.Equal(t, []string{"skills_en.csv", "occupations_en.csv", "occupationSkillRelations_en.csv"}, names)
	c, err := ESCO(folder, names, Options{Category: "domain_expertise", Seniority: "mid"})
	require.NoError(t, err)
	require.Len(t, c.Sections, 2)

	const skill, occupation = "http://data.europa.eu/esco/skill/", "http://data.europa.eu/esco/occupation/"
	skills := c.Sections[0].Items
	require.Len(t, skills, 4)
	require.Equal(t, map[string]string{
		"external_id": `"` + skill + `00000000-0000-4000-8000-00000000000a"`, "name": `"prune fruit trees"`,
		"description": `"Cut back fruit trees, young and old,\n so that they bear \"well\" next year."`,
		"category":    `"domain_expertise"`, "custom_attributes": `{"reuse_level":"cross-sector","skill_type":"skill/competence"}`,
	}, fields(skills[0]))
	require.Equal(t, `"What is known of winds."`, fields(skills[3])["description"], "the definition where there is no description")
	require.Equal(t, []string{"Straße sweeping [00000000-0000-4000-8000-00000000000c]"}, c.Renamed)
	require.Equal(t, `"Straße sweeping [00000000-0000-4000-8000-00000000000c]"`, fields(skills[1])["name"])
	require.Empty(t, skills[1].Other)
	require.Equal(t, "STRASSE SWEEPING [00000000-0000-4000-8000-00000000000b]", skills[2].Other, "for a registry where the name is taken")
	require.Equal(t, "STRASSE SWEEPING", skills[2].Name, "the lowest id keeps the name, whatever the order")

	roles := c.Sections[1].Items
	require.Len(t, roles, 2)
	require.Equal(t, map[string]string{
		"external_id": `"` + occupation + `10000000-0000-4000-8000-000000000001"`, "name": `"orchard keeper"`,
		"description": `"Keeps an orchard.\nAnd its bees."`, "seniority_level": `"mid"`,
		"required_skills":   `["` + skill + `00000000-0000-4000-8000-00000000000a","` + skill + `00000000-0000-4000-8000-00000000000d"]`,
		"custom_attributes": `{"code":"6112.9","isco_group":"6112"}`,
	}, fields(roles[0]), "essential skills only, each once")

	reasons := map[string]int{}
	for _, s := range c.Skipped {
		reasons[s.Reason] = len(s.Entries)
	}
	require.Equal(t, map[string]int{
		"it has no description, definition or scope note, and a skill needs one": 1,
		"its status is obsolete":                                             1,
		"its conceptType is SkillGroup":                                      1,
		"its id stands in the catalogue before":                              1,
		"no skill is essential for it, and a job role requires at least one": 1,
	}, reasons)
}

func TestESCORefuses(t *testing.T) {
	t.Parallel()
	folder := os.DirFS("testdata/esco")
	_, err := ESCO(folder, []string{"skills_en.csv", "occupations_en.csv"}, Options{})
	require.ErrorIs(t, err, ErrNoRelations)
	alone, err := ESCO(folder, []string{"skills_en.csv"}, Options{Limit: 2})
	require.NoError(t, err)
	require.Equal(t, 2, alone.Items())
	require.Len(t, alone.Renamed, 1, "a limit does not change what a name becomes")

	quoted, err := ESCO(fstest.MapFS{"x.csv": {Data: []byte(byteOrderMark + "\"conceptUri\",skillType,preferredLabel,description\nu,k,n,d\n")}}, []string{"x.csv"}, Options{})
	require.NoError(t, err, "a byte order mark before a quote")
	require.Equal(t, 1, quoted.Items())

	for name, test := range map[string]struct {
		folder fstest.MapFS
		says   string
	}{
		"another file": {fstest.MapFS{"skills_en.csv": {Data: []byte("a,b\n1,2\n")}}, "the columns of no ESCO file"},
		"a quote":      {fstest.MapFS{"skills_en.csv": {Data: []byte("conceptUri,skillType,preferredLabel,description\nu,\"x,y\n")}}, "skills_en.csv, row 2"},
		"empty":        {fstest.MapFS{"skills_en.csv": {}}, "read the header"},
		"languages":    {fstest.MapFS{"skills_en.csv": {}, "skills_de.csv": {}}, "one language"},
		"nothing":      {fstest.MapFS{}, "no skills_*.csv"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			names, err := ESCOFiles(test.folder)
			if err == nil {
				_, err = ESCO(test.folder, names, Options{})
			}
			require.ErrorContains(t, err, test.says)
		})
	}
}

func TestJSONLines(t *testing.T) {
	t.Parallel()
	c, err := JSONLines(strings.NewReader(`{"id":"a","title":"Sowing","description":"Puts seeds.","source":"ours"}

{"external_id":"b","name":"Mowing","description":"Cuts.","category":"technical","tags":["x"],"custom_attributes":{"n":1}}
{"external_id":"a","name":"Twice"}
`), Options{Kind: domain.KindSkill, Category: "soft_skill", Tag: "t"})
	require.NoError(t, err)
	require.Equal(t, []Item{
		{"line 1", "a", "Sowing", "", map[string]jsontext.Value{
			"external_id": []byte(`"a"`), "name": []byte(`"Sowing"`), "description": []byte(`"Puts seeds."`),
			"category": []byte(`"soft_skill"`), "tags": []byte(`["t"]`),
		}},
		{"line 3", "b", "Mowing", "", map[string]jsontext.Value{
			"external_id": []byte(`"b"`), "name": []byte(`"Mowing"`), "description": []byte(`"Cuts."`),
			"category": []byte(`"technical"`), "tags": []byte(`["x","t"]`), "custom_attributes": []byte(`{"n":1}`),
		}},
	}, c.Sections[0].Items)
	require.Equal(t, []Skip{{"its id stands in the catalogue before", []string{"line 4"}}}, c.Skipped)

	for text, line := range map[string]int{
		`{"title":"x","description":"y"}`:          1,
		"\n" + `{"name":"x"}`:                      2,
		`{"external_id":7,"name":"x"}`:             1,
		`{"id":"a","title":"b"}` + "\n" + `{"id":`: 2,
		`[]`:                              1,
		`{"id":"a","id":"b","title":"c"}`: 1,
	} {
		_, err := JSONLines(strings.NewReader(text), Options{Kind: domain.KindSkill})
		var at *LineError
		require.ErrorAs(t, err, &at, text)
		require.Equal(t, line, at.Line, text)
	}
	_, err = JSONLines(strings.NewReader(`{"id":"`+strings.Repeat("x", maxLine)+`"}`), Options{Kind: domain.KindSkill})
	require.ErrorContains(t, err, "token too long")
}

func FuzzESCO(f *testing.F) {
	for _, name := range []string{"skills_en.csv", "occupations_en.csv", "occupationSkillRelations_en.csv"} {
		b, err := os.ReadFile("testdata/esco/" + name)
		require.NoError(f, err)
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := ESCO(fstest.MapFS{"x.csv": {Data: b}}, []string{"x.csv"}, Options{Category: "technical"})
		if err != nil {
			return
		}
		names := map[string]bool{}
		for _, s := range c.Sections {
			for _, item := range s.Items {
				require.NotEmpty(t, item.ExternalID)
				for name, value := range item.Fields {
					require.True(t, value.IsValid(), name)
				}
				names[item.ExternalID] = true
			}
		}
		require.Len(t, names, c.Items(), "no id twice")
	})
}
