package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/stretchr/testify/require"

	"github.com/dlai-sd/plant/shared/testkit/testdata"
)

// plan is the kept summary of a size's plan.
func plan(t *testing.T, size string) summary {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", size+".json"))
	require.NoError(t, err)
	var s summary
	require.NoError(t, json.Unmarshal(b, &s))
	return s
}

// routesOf asks the functions for their routes.
func routesOf(t *testing.T) []route {
	t.Helper()
	var routes []route
	require.NoError(t, ask(t.Context(), testdata.Root(), "routes", &routes))
	return routes
}

func settingsOf(t *testing.T) []setting {
	t.Helper()
	var settings []setting
	require.NoError(t, ask(t.Context(), testdata.Root(), "config", &settings))
	return settings
}

func file(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(testdata.Root(), name))
	require.NoError(t, err)
	return string(b)
}

// functionsOf are the functions that a table of routes names.
func functionsOf(routes []route) []string {
	var names []string
	for _, r := range routes {
		if !slices.Contains(names, r.Function) {
			names = append(names, r.Function)
		}
	}
	return names
}

// sample is a path that a route matches: ids in place of its wildcards.
func (r route) sample() string {
	_, path, _ := strings.Cut(r.Pattern, " ")
	return wildcard.ReplaceAllStringFunc(path, func(w string) string {
		if strings.HasSuffix(w, "...}") {
			return "0/x001/234"
		}
		return "01a2069a-2be8-7e63-a552-96d0e5eb703f"
	})
}

// matches says whether Firebase Hosting's glob matches a path.
func matches(glob, path string) bool {
	g, p := strings.Split(glob, "/"), strings.Split(path, "/")
	for i, segment := range g {
		if segment == "**" {
			return len(p) > i
		}
		if i >= len(p) || segment != "*" && segment != p[i] {
			return false
		}
	}
	return len(g) == len(p)
}
