package main

import (
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/stretchr/testify/require"

	"github.com/dlai-sd/plant/shared/testkit/testdata"
)

func TestGeneratedFilesAreThoseOfTheCode(t *testing.T) {
	t.Parallel()
	files, err := generate(t.Context(), testdata.Root())
	require.NoError(t, err)
	require.ElementsMatch(t, []string{"infra/PRICES.md", "infra/firebase.json", "infra/deliveries.json", "infra/CONFIGURATION.md", ".env.example"}, slices.Collect(maps.Keys(files)))
	for name, want := range files {
		require.Equal(t, string(want), file(t, name), "%s is stale: go run ./scripts/cloud generate", name)
	}
}

// Every public route reaches its function through the front door as committed,
// and what Pub/Sub and Scheduler call has no way in.
func TestTheFrontDoorLeadsToTheFunctions(t *testing.T) {
	t.Parallel()
	var door struct {
		Hosting struct {
			Rewrites []rewrite `json:"rewrites"`
		} `json:"hosting"`
	}
	require.NoError(t, json.Unmarshal([]byte(file(t, "infra/firebase.json")), &door))
	first := func(path string) string {
		for _, r := range door.Hosting.Rewrites {
			if matches(r.Source, path) {
				return r.Run.ServiceID
			}
		}
		return ""
	}
	for _, r := range routesOf(t) {
		if r.Access == "trusted" {
			require.Empty(t, first(r.sample()), r.Pattern)
			continue
		}
		require.Equal(t, r.Function, first(r.sample()), r.Pattern)
	}
	require.Empty(t, first("/"))
	require.Empty(t, first("/events/embed"))
}

func TestMoreSpecificPathsComeFirst(t *testing.T) {
	t.Parallel()
	all, err := rewrites([]route{
		{"GET /log/tile/{path...}", "audit-run", "open"},
		{"GET /api/v1/agents/{id}", "birth-agent", "bearer"},
		{"POST /api/v1/agents/{id}/certify", "certify", "bearer"},
		{"GET /api/v1/agents/{id}/{what}", "birth-agent", "bearer"},
		{"POST /api/v1/agents/batch", "birth-agent", "bearer"},
		{"PATCH /api/v1/agents/{id}", "birth-agent", "bearer"},
		{"POST /events/embed", "embed", "trusted"},
	})
	require.NoError(t, err)
	var sources []string
	for _, r := range all {
		sources = append(sources, r.Source+" "+r.Run.ServiceID)
	}
	require.Equal(t, []string{
		"/api/v1/agents/batch birth-agent", "/api/v1/agents/* birth-agent", "/api/v1/agents/*/certify certify",
		"/api/v1/agents/*/* birth-agent", "/log/tile/** audit-run",
	}, sources)
	_, err = rewrites([]route{{"GET /x/{id}", "embed", "open"}, {"POST /x/{name}", "certify", "open"}})
	require.ErrorContains(t, err, "does not look at methods")
}

// The table of the command line's variables is that of its source.
func TestTheCommandLinesVariablesAreListed(t *testing.T) {
	t.Parallel()
	tag := regexp.MustCompile(`env:"([A-Z_]+)`)
	sources, err := filepath.Glob(filepath.Join(testdata.Root(), "scripts/plant/*.go"))
	require.NoError(t, err)
	read := map[string]bool{}
	for _, path := range sources {
		source, err := os.ReadFile(path)
		require.NoError(t, err)
		for _, m := range tag.FindAllStringSubmatch(string(source), -1) {
			read[m[1]] = true
		}
	}
	page := file(t, "infra/CONFIGURATION.md")
	for name := range read {
		require.Contains(t, page, "`"+name+"`", "the command line reads it")
	}
	for _, one := range tools() {
		require.True(t, read[one.name], "%s is listed, but nothing reads it", one.name)
	}
	for _, line := range strings.Split(file(t, ".env.example"), "\n") {
		require.True(t, line == "" || strings.HasPrefix(line, "#"), "an example sets nothing: %s", line)
	}
}
