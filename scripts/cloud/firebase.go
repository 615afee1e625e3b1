package main

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// region is where the functions are; Terraform's default.
const region = "us-central1"

// route is a line of the functions' own table.
type route struct {
	Pattern  string `json:"pattern"`
	Function string `json:"function"`
	Access   string `json:"access"`
}

// rewrite sends the paths that a glob matches to one function.
type rewrite struct {
	Source string `json:"source"`
	Run    struct {
		ServiceID string `json:"serviceId"`
		Region    string `json:"region"`
	} `json:"run"`
}

var wildcard = regexp.MustCompile(`\{[a-zA-Z]+(\.\.\.)?\}`)

// source is a route's path as Firebase Hosting writes globs: * is one segment,
// ** the rest.
func (r route) source() string {
	_, path, _ := strings.Cut(r.Pattern, " ")
	return wildcard.ReplaceAllStringFunc(path, func(w string) string {
		if strings.HasSuffix(w, "...}") {
			return "**"
		}
		return "*"
	})
}

// rewrites lists every public path once, those with fewer wildcards first: the
// first match wins there, the most specific one here. What only Pub/Sub and
// Scheduler call has no way in from outside.
func rewrites(routes []route) ([]rewrite, error) {
	owner := map[string]string{}
	var sources []string
	for _, r := range routes {
		if r.Access == "trusted" {
			continue
		}
		source := r.source()
		if other, seen := owner[source]; seen && other != r.Function {
			return nil, fmt.Errorf("%s belongs to %s and to %s: Firebase Hosting does not look at methods", source, other, r.Function)
		} else if !seen {
			owner[source] = r.Function
			sources = append(sources, source)
		}
	}
	slices.SortStableFunc(sources, moreSpecific)
	all := make([]rewrite, len(sources))
	for i, source := range sources {
		all[i].Source = source
		all[i].Run.ServiceID, all[i].Run.Region = owner[source], region
	}
	return all, nil
}

// moreSpecific orders by segment: a name before *, * before **.
func moreSpecific(a, b string) int {
	rank := func(segment string) string {
		switch segment {
		case "*":
			return "\x7e"
		case "**":
			return "\x7f"
		}
		return segment
	}
	x, y := strings.Split(a, "/"), strings.Split(b, "/")
	return slices.CompareFunc(x, y, func(p, q string) int { return strings.Compare(rank(p), rank(q)) })
}

// firebase is the configuration of the front door: no files, only rewrites.
func firebase(routes []route) ([]byte, error) {
	all, err := rewrites(routes)
	if err != nil {
		return nil, err
	}
	type hosting struct {
		Public   string    `json:"public"`
		Ignore   []string  `json:"ignore"`
		Rewrites []rewrite `json:"rewrites"`
	}
	b, err := json.Marshal(struct {
		Hosting hosting `json:"hosting"`
	}{hosting{Public: "public", Ignore: []string{"**/.*"}, Rewrites: all}}, jsontext.WithIndent("  "))
	return append(b, '\n'), err
}
