package main

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/csv"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/stretchr/testify/require"

	"github.com/dlai-sd/plant/shared/testkit/testdata"
)

// The test data are JSON Lines; here they become files of the form in which
// O*NET and ESCO are published, so that an import reads what an operator has.

// said is a line of the corpora.
type said struct {
	ID          string `json:"id"`
	Title       string `json:"title"`
	Description string `json:"description"`
}

// rated is a line of the ratings: importance and level of each skill.
type rated struct {
	ID   string                `json:"id"`
	IMLV map[string][2]float64 `json:"im_lv"`
}

func readLines[T any](t *testing.T, r io.Reader, most int) []T {
	t.Helper()
	scanner := bufio.NewScanner(r)
	scanner.Buffer(nil, 1<<20)
	var list []T
	for scanner.Scan() && (most == 0 || len(list) < most) {
		var line T
		require.NoError(t, json.Unmarshal(scanner.Bytes(), &line))
		list = append(list, line)
	}
	require.NoError(t, scanner.Err())
	return list
}

func corpus(t *testing.T, most int, path ...string) []said {
	t.Helper()
	return readLines[said](t, bytes.NewReader(testdata.Read(t, path...)), most)
}

// writeESCO writes skills_en.csv with most skills, 0 for all, and returns its
// folder and how many there are.
func writeESCO(t *testing.T, most int) (folder string, n int) {
	t.Helper()
	skills := corpus(t, most, "esco", "skills.corpus.jsonl")
	folder = t.TempDir()
	file, err := os.Create(filepath.Join(folder, "skills_en.csv"))
	require.NoError(t, err)
	_, err = file.WriteString("\uFEFF")
	require.NoError(t, err)
	w := csv.NewWriter(file)
	require.NoError(t, w.Write(strings.Fields("conceptType conceptUri skillType reuseLevel preferredLabel altLabels hiddenLabels status modifiedDate scopeNote definition inScheme description")))
	for _, s := range skills {
		require.NoError(t, w.Write([]string{
			"KnowledgeSkillCompetence", "http://data.europa.eu/esco/skill/" + s.ID, "skill/competence", "cross-sector", s.Title,
			"another label\nand one more", "", "released", "2024-05-01T00:00:00.000Z", "", "", "", s.Description,
		}))
	}
	w.Flush()
	require.NoError(t, w.Error())
	require.NoError(t, file.Close())
	return folder, len(skills)
}

// expected is what is to become of O*NET's occupations.
type expected struct {
	roles, requirements int
	left                map[string]int // by reason
}

// writeONET writes the three text files with most rated occupations, 0 for all,
// and says what is to become of them.
func writeONET(t *testing.T, most int) (string, expected) {
	t.Helper()
	want := expected{left: map[string]int{}}
	unpacked, err := gzip.NewReader(bytes.NewReader(testdata.Read(t, "onet", "role_skill_ratings.jsonl.gz")))
	require.NoError(t, err)
	ratings := readLines[rated](t, unpacked, most)
	skills := corpus(t, 0, "onet", "skills35.jsonl")
	occupations := corpus(t, 2*most, "onet", "roles.corpus.jsonl")

	rows := []string{"O*NET-SOC Code\tElement ID\tElement Name\tScale ID\tData Value\tN\tStandard Error\tLower CI Bound\tUpper CI Bound\tRecommend Suppress\tNot Relevant\tDate\tDomain Source"}
	given := map[string]bool{}
	for _, r := range ratings {
		given[r.ID] = true
		required := 0
		for _, s := range skills {
			value, ok := r.IMLV[s.ID]
			require.True(t, ok, "%s is not rated for %s", s.ID, r.ID)
			rest := "8\t0.1250\t0.0000\t7.0000\tN\tn/a\t08/2023\tAnalyst"
			rows = append(rows, fmt.Sprintf("%s\t%s\t%s\tIM\t%.2f\t%s", r.ID, s.ID, s.Title, value[0], rest),
				fmt.Sprintf("%s\t%s\t%s\tLV\t%.2f\t%s", r.ID, s.ID, s.Title, value[1], rest))
			if value[0] >= 3 {
				required++
			}
		}
		if required == 0 {
			want.left["no skill has an importance of 3 or more, and a job role requires at least one"]++
			continue
		}
		want.requirements += required
		want.roles++
	}
	folder := t.TempDir()
	write := func(name string, lines []string) {
		require.NoError(t, os.WriteFile(filepath.Join(folder, name), []byte(strings.Join(lines, "\r\n")+"\r\n"), 0o600))
	}
	write("Skills.txt", rows)
	list := []string{"O*NET-SOC Code\tTitle\tDescription"}
	for _, o := range occupations {
		list = append(list, o.ID+"\t"+o.Title+"\t"+o.Description)
		if !given[o.ID] {
			want.left["the occupation has no skill ratings"]++
		}
	}
	write("Occupation Data.txt", list)
	require.True(t, slices.ContainsFunc(occupations, func(o said) bool { return o.ID == ratings[len(ratings)-1].ID }),
		"every rated occupation is described")
	list = []string{"Element ID\tElement Name\tDescription", "2.A\tBasic Skills\tA heading."}
	for _, s := range skills {
		list = append(list, s.ID+"\t"+s.Title+"\t"+s.Description)
	}
	write("Content Model Reference.txt", list)
	return folder, want
}
