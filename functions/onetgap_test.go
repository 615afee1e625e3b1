package main

import (
	"compress/gzip"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/stretchr/testify/require"

	"github.com/dlai-sd/plant/functions/birthagent"
	"github.com/dlai-sd/plant/shared/registry"
	"github.com/dlai-sd/plant/shared/testkit/testdata"
)

const (
	gapOccupations = 20
	important      = 3 // O*NET's importance, 1 to 5, from which a skill is required
	gapSeed        = 7
)

// occupation is how O*NET's analysts rated the skills of an occupation.
type occupation struct {
	ID      string                `json:"id"`
	Ratings map[string][2]float64 `json:"im_lv"` // importance and level, by skill
}

func (o occupation) required() (skills []string) {
	for skill, r := range o.Ratings {
		if r[0] >= important {
			skills = append(skills, skill)
		}
	}
	slices.Sort(skills)
	return skills
}

func occupationsOf(t *testing.T, name string) (list []occupation) {
	t.Helper()
	file, err := os.Open(name)
	require.NoError(t, err)
	defer func() { _ = file.Close() }()
	plain, err := gzip.NewReader(file)
	require.NoError(t, err)
	lines := jsontext.NewDecoder(plain)
	for lines.PeekKind() == '{' {
		var o occupation
		require.NoError(t, json.UnmarshalDecode(lines, &o))
		list = append(list, o)
	}
	require.NotEmpty(t, list)
	return list
}

// trade is a platform with O*NET's skills and some of its occupations.
type trade struct {
	*platform
	ids   map[string]string // of O*NET's ids
	names map[string]string // and back
}

func newTrade(t *testing.T, skillFile string, occupations []occupation) *trade {
	t.Helper()
	tr := &trade{newPlatform(t), map[string]string{}, map[string]string{}}
	var names, items []string
	for _, d := range readLines[document](t, skillFile) {
		names = append(names, d.ID)
		items = append(items, fmt.Sprintf(`{"name":%q,"description":%q,"category":"soft_skill"}`, d.Title, d.Description))
	}
	tr.batch(t, skills, names, items)
	names, items = []string{"everything"}, []string{tr.role("everything", names)}
	for _, o := range occupations {
		names, items = append(names, o.ID), append(items, tr.role(o.ID, o.required()))
	}
	tr.batch(t, jobRoles, names, items)
	return tr
}

func (tr *trade) role(name string, required []string) string {
	return fmt.Sprintf(`{"name":%q,"seniority_level":"mid","required_skills":[%s]}`, name, tr.quoted(required))
}

// batch creates entities, which O*NET calls so.
func (tr *trade) batch(t *testing.T, collection string, onet, items []string) {
	t.Helper()
	a := tr.at[collection].post(t, tr.token, collection+"/batch", `{"items":[`+strings.Join(items, ",")+`]}`)
	type item struct {
		Status int    `json:"status"`
		ID     string `json:"id"`
	}
	for i, made := range as[page[item]](t, a).Items {
		require.Equal(t, 201, made.Status, "%d of %s", i, a.body)
		tr.ids[onet[i]], tr.names[made.ID] = made.ID, onet[i]
	}
}

func (tr *trade) quoted(onet []string) string {
	var list []string
	for _, id := range onet {
		list = append(list, fmt.Sprintf("%q", tr.ids[id]))
	}
	return strings.Join(list, ",")
}

func (tr *trade) gap(t *testing.T, role, subject string) birthagent.SkillGap {
	t.Helper()
	a := tr.at[agents].post(t, tr.token, simulations+"skill-gap", fmt.Sprintf(`{"job_role_id":%q,%s,"limit":%d}`, tr.ids[role], subject, registry.MaxGapNearest))
	return as[birthagent.SkillGap](t, a)
}

// missing are O*NET's ids of what is missing, sorted.
func (tr *trade) missing(gap birthagent.SkillGap) []string {
	list := []string{}
	for _, m := range gap.Missing {
		list = append(list, tr.names[string(m.ID)])
	}
	slices.Sort(list)
	return list
}

func lacking(all, some []string) []string {
	return slices.DeleteFunc(slices.Clone(all), func(s string) bool { return slices.Contains(some, s) })
}

// TestGapsOfONET: for 20 occupations that require two skills or more, what is missing is exactly the difference of the
// sets that the analysts' ratings make. What comes near by meaning is measured against
// the same ratings, which know nothing of our vectors.
func TestGapsOfONET(t *testing.T) {
	dir := filepath.Join(testdata.Dir(t), "onet")
	all := slices.DeleteFunc(occupationsOf(t, filepath.Join(dir, "role_skill_ratings.jsonl.gz")), func(o occupation) bool { return len(o.required()) < 2 })
	var some []occupation
	for i := range gapOccupations {
		some = append(some, all[i*len(all)/gapOccupations])
	}
	tr := newTrade(t, filepath.Join(dir, "skills35.jsonl"), some)
	tr.exactly(t, some)
	tr.deliver(t, tr.serve(t, embedder, nil), "/events/embed", "skill.created")

	alike := tr.similarities(t, slices.Sorted(maps.Keys(some[0].Ratings)))
	report(t, fmt.Sprintf("%d occupations", len(some)), alike, some)
	m := report(t, fmt.Sprintf("all %d occupations", len(all)), alike, all)
	require.Greater(t, m.hit, m.chance, "meaning knows more than chance")
	require.Greater(t, m.rho, math.Abs(m.shuffled))
}

// exactly asks for each occupation what lacks who could do the next one, an agent with
// one of its skills, and a team.
func (tr *trade) exactly(t *testing.T, occupations []occupation) {
	t.Helper()
	industry := tr.create(t, industries, `{"name":"All"}`).ID
	for i, o := range occupations {
		next := occupations[(i+1)%len(occupations)]
		held := next.required()
		want := lacking(o.required(), held)
		gap := tr.gap(t, o.ID, `"skill_ids":[`+tr.quoted(held)+`]`)
		require.Equal(t, want, tr.missing(gap), o.ID)
		require.Len(t, gap.Covered, len(o.required())-len(want))
		require.Len(t, gap.Beyond, len(lacking(held, o.required())))

		var members []string
		for _, skill := range held[:2] {
			members = append(members, tr.create(t, agents, fmt.Sprintf(`{"name":"%s %s","skill_id":%q,"job_role_id":%q,"industry_id":%q}`,
				next.ID, skill, tr.ids[skill], tr.ids[next.ID], industry)).ID)
		}
		require.Equal(t, lacking(o.required(), held[:1]), tr.missing(tr.gap(t, o.ID, fmt.Sprintf(`"agent_id":%q`, members[0]))), o.ID)
		team := tr.create(t, teams, fmt.Sprintf(`{"name":%q,"job_role_id":%q,"agents":[%q,%q]}`, next.ID, tr.ids[next.ID], members[0], members[1])).ID
		require.Equal(t, lacking(o.required(), held[:2]), tr.missing(tr.gap(t, o.ID, fmt.Sprintf(`"team_id":%q`, team))), o.ID)
	}
	t.Logf("gaps of %d occupations, each for skills, an agent and a team: all exact", len(occupations))
}

// similarities are the cosines of all skills, from the vectors that the API gives; the
// simulation must put the others in the same order.
func (tr *trade) similarities(t *testing.T, skillIDs []string) map[string]map[string]float64 {
	t.Helper()
	vectors := map[string][]float32{}
	for _, id := range skillIDs {
		vectors[id] = as[embedded](t, tr.get(t, skills, "/"+tr.ids[id]+"?include=embedding_384")).Vector
		require.Len(t, vectors[id], 384, id)
	}
	alike := map[string]map[string]float64{}
	for _, held := range skillIDs {
		alike[held] = map[string]float64{}
		others := lacking(skillIDs, []string{held})
		for _, id := range others {
			alike[held][id] = cosineOf(vectors[held], vectors[id])
		}
		slices.SortFunc(others, func(a, b string) int {
			return map[bool]int{true: -1, false: 1}[alike[held][a] > alike[held][b]]
		})
		gap := tr.gap(t, "everything", `"skill_ids":[`+tr.quoted(others)+`]`)
		require.Equal(t, []string{held}, tr.missing(gap))
		var near []string
		for i, n := range gap.Missing[0].Held {
			near = append(near, tr.names[string(n.ID)])
			require.InDelta(t, alike[held][others[i]], n.Similarity, 1e-5)
		}
		require.Equal(t, others[:registry.MaxGapNearest], near)
	}
	return alike
}

func cosineOf(a, b []float32) float64 {
	var dot, aa, bb float64
	for i := range a {
		dot += float64(a[i]) * float64(b[i])
		aa += float64(a[i]) * float64(a[i])
		bb += float64(b[i]) * float64(b[i])
	}
	return dot / math.Sqrt(aa*bb)
}

// rated is how meaning agrees with the analysts.
type rated struct{ hit, chance, rho, shuffled float64 }

// report holds out each required skill of each occupation in turn. A hit is where the
// nearest of the others is required too; chance is the share of the others that are.
// rho is the rank correlation (Spearman) of similarity and importance over the others.
func report(t *testing.T, what string, alike map[string]map[string]float64, occupations []occupation) rated {
	t.Helper()
	random := rand.New(rand.NewPCG(gapSeed, gapSeed))
	var m rated
	n := 0.0
	for _, o := range occupations {
		for _, held := range o.required() {
			others := slices.Sorted(maps.Keys(alike[held]))
			var similarity, importance []float64
			required, nearest := 0.0, 0
			for i, id := range others {
				similarity, importance = append(similarity, alike[held][id]), append(importance, o.Ratings[id][0])
				if o.Ratings[id][0] >= important {
					required++
				}
				if similarity[i] > similarity[nearest] {
					nearest = i
				}
			}
			if importance[nearest] >= important {
				m.hit++
			}
			m.chance += required / float64(len(others))
			m.rho += spearman(similarity, importance)
			random.Shuffle(len(importance), func(i, j int) { importance[i], importance[j] = importance[j], importance[i] })
			m.shuffled += spearman(similarity, importance)
			n++
		}
	}
	m = rated{m.hit / n, m.chance / n, m.rho / n, m.shuffled / n}
	t.Logf("%s, %.0f skills held out: nearest is required %.3f, by chance %.3f; Spearman of similarity and importance %.3f, shuffled %.3f (seed %d)",
		what, n, m.hit, m.chance, m.rho, m.shuffled, gapSeed)
	return m
}

// spearman is the correlation of two lists' ranks; equal values share theirs.
func spearman(a, b []float64) float64 {
	ra, rb := ranks(a), ranks(b)
	mean := float64(len(a)-1) / 2
	var dot, aa, bb float64
	for i := range ra {
		x, y := ra[i]-mean, rb[i]-mean
		dot, aa, bb = dot+x*y, aa+x*x, bb+y*y
	}
	if aa == 0 || bb == 0 {
		return 0
	}
	return dot / math.Sqrt(aa*bb)
}

func ranks(values []float64) []float64 {
	list := make([]float64, len(values))
	for i, v := range values {
		for j, w := range values {
			switch {
			case w < v:
				list[i]++
			case w == v && i != j:
				list[i] += .5
			}
		}
	}
	return list
}

// TestSpearman: known answers, with ties.
func TestSpearman(t *testing.T) {
	t.Parallel()
	require.InDelta(t, 1, spearman([]float64{1, 2, 3, 4}, []float64{10, 20, 30, 400}), 1e-12)
	require.InDelta(t, -1, spearman([]float64{1, 2, 3}, []float64{3, 2, 1}), 1e-12)
	require.InDelta(t, 0.9486832980505138, spearman([]float64{1, 2, 3, 4}, []float64{1, 2, 2, 3}), 1e-12)
	require.Zero(t, spearman([]float64{1, 2}, []float64{5, 5}))
}
