package main

import (
	"bufio"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/stretchr/testify/require"

	"github.com/dlai-sd/plant/shared/domain"
	"github.com/dlai-sd/plant/shared/registry/api"
	"github.com/dlai-sd/plant/shared/testkit/testdata"
)

// qualitySet is a catalogue with queries of which each has one relevant entry. The
// floors are what the default must reach on the whole development split.
type qualitySet struct {
	name, folder, corpus, queries string
	kind                          domain.Kind
	recall, hit                   float64
}

func qualitySets() []qualitySet {
	return []qualitySet{
		{"O*NET roles", "onet", "roles.corpus.jsonl", "roles.queries.jsonl", domain.KindJobRole, .368, .706},
		{"ESCO roles", "esco", "roles.corpus.jsonl", "roles.queries.jsonl", domain.KindJobRole, .618, .875},
		{"ESCO skills", "esco", "skills.corpus.jsonl", "skills.queries.jsonl", domain.KindSkill, .735, .909},
	}
}

type document struct{ ID, Title, Description string }

type question struct {
	Query    string `json:"query"`
	Relevant string `json:"relevant_id"`
}

// measured is how well a mode finds.
type measured struct {
	recall1, hit10, mrr10 float64
	p50, p95              time.Duration
}

// TestQuality searches over the API: by default at least as well as by meaning
// alone. QUALITY=full takes the catalogues whole and holds the default to the
// figures that were measured when the way of searching was chosen.
func TestQuality(t *testing.T) {
	dir := testdata.Dir(t)
	full := os.Getenv("QUALITY") == "full"
	for _, set := range qualitySets() {
		t.Run(set.name, func(t *testing.T) {
			if !full {
				t.Parallel()
			}
			docs := readLines[document](t, filepath.Join(dir, set.folder, set.corpus))
			questions := readLines[question](t, filepath.Join(dir, set.folder, set.queries))
			if !full {
				docs, questions = part(docs, questions, 40, 120)
			}
			got := set.measure(t, docs, questions)
			t.Logf("%s, %d entries, %d queries", set.name, len(docs), len(questions))
			for _, mode := range []string{"lexical", "semantic", "default"} {
				m := got[mode]
				t.Logf("  %-9s Recall@1 %.3f  Hit@10 %.3f  MRR@10 %.3f  p50 %v  p95 %v", mode, m.recall1, m.hit10, m.mrr10, m.p50, m.p95)
			}
			require.Greater(t, got["semantic"].hit10, 0.5, "it finds at all")
			if full {
				require.GreaterOrEqual(t, got["default"].recall1, got["semantic"].recall1)
				require.GreaterOrEqual(t, got["default"].hit10, got["semantic"].hit10)
				require.GreaterOrEqual(t, got["default"].recall1, set.recall)
				require.GreaterOrEqual(t, got["default"].hit10, set.hit)
			}
		})
	}
}

// part takes the first questions, their answers and some other entries.
func part(docs []document, questions []question, asked, most int) ([]document, []question) {
	questions = questions[:min(asked, len(questions))]
	relevant := map[string]bool{}
	for _, q := range questions {
		relevant[q.Relevant] = true
	}
	var kept, rest []document
	for _, d := range docs {
		if relevant[d.ID] {
			kept = append(kept, d)
		} else {
			rest = append(rest, d)
		}
	}
	return append(kept, rest[:max(0, most-len(kept))]...), questions
}

func readLines[T any](t *testing.T, name string) (list []T) {
	t.Helper()
	file, err := os.Open(name)
	require.NoError(t, err)
	defer func() { _ = file.Close() }()
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var one T
		require.NoError(t, json.Unmarshal(lines.Bytes(), &one, json.MatchCaseInsensitiveNames(true)))
		list = append(list, one)
	}
	require.NoError(t, lines.Err())
	return list
}

// measure creates the entries, has them embedded by their events, and asks every
// question in every mode.
func (set qualitySet) measure(t *testing.T, docs []document, questions []question) map[string]measured {
	t.Helper()
	k := newKit(t)
	_, token := k.author(t, "acme")
	e := k.serve(t, embedder, nil)
	began := time.Now()
	set.create(t, k, token, docs)
	created := time.Since(began)
	began = time.Now()
	k.deliver(t, e, "/events/embed", ".created")
	t.Logf("created in %v, embedded in %v", created.Round(time.Millisecond), time.Since(began).Round(time.Millisecond))
	require.Equal(t, 0, k.count(t, "entity WHERE embedding IS NULL AND entity_type IN ('skill', 'job_role')"))
	k.admin(t, "ANALYZE")
	got := map[string]measured{}
	for _, mode := range []string{"lexical", "semantic", "default"} {
		got[mode] = set.ask(t, e, token, mode, questions)
	}
	return got
}

func (set qualitySet) create(t *testing.T, k *kit, token string, docs []document) {
	t.Helper()
	s, path, more := k.serve(t, createSkill, nil), skills, `"category":"domain_expertise"`
	if set.kind == domain.KindJobRole {
		skill := s.create(t, token, plain("Whatever it takes"))
		s, path, more = k.serve(t, createRole, nil), jobRoles, fmt.Sprintf(`"seniority_level":"mid","required_skills":[%q]`, skill.ID)
	}
	taken := map[string]bool{}
	for chunk := range slices.Chunk(docs, 250) {
		var items []string
		for _, d := range chunk {
			name := d.Title
			if taken[domain.NameKey(name)] {
				name += " (" + d.ID + ")"
			}
			taken[domain.NameKey(name)] = true
			fields, err := json.Marshal(map[string]string{"name": name, "description": d.Description, "external_id": d.ID}, json.Deterministic(true))
			require.NoError(t, err)
			items = append(items, strings.TrimSuffix(string(fields), "}")+","+more+"}")
		}
		a := s.post(t, token, path+"/batch", `{"items":[`+strings.Join(items, ",")+`]}`)
		require.Equal(t, http.StatusOK, a.status)
		require.Zero(t, as[api.Batch](t, a).Refused, "%s", a.body)
	}
}

// ask puts the questions, two at a time.
func (set qualitySet) ask(t *testing.T, e *server, token, mode string, questions []question) (m measured) {
	t.Helper()
	places, times := make([]int, len(questions)), make([]time.Duration, len(questions))
	var workers sync.WaitGroup
	for w := range 2 {
		workers.Go(func() {
			for i := w; i < len(questions); i += 2 {
				path := "/api/v1/search?limit=10&kind=" + string(set.kind) + "&mode=" + mode + "&q=" + url.QueryEscape(questions[i].Query)
				began := time.Now()
				hits := as[api.Hits](t, e.get(t, token, path)).Items
				times[i] = time.Since(began)
				places[i] = slices.IndexFunc(hits, func(h api.Hit) bool { return h.ExternalID != nil && *h.ExternalID == questions[i].Relevant })
			}
		})
	}
	workers.Wait()
	n := float64(len(questions))
	for _, place := range places {
		if place == 0 {
			m.recall1 += 1 / n
		}
		if place >= 0 {
			m.hit10 += 1 / n
			m.mrr10 += 1 / n / float64(place+1)
		}
	}
	slices.Sort(times)
	m.p50, m.p95 = times[len(times)/2].Round(100*time.Microsecond), times[len(times)*95/100].Round(100*time.Microsecond)
	return m
}
