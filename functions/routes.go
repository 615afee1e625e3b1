package main

import (
	"fmt"
	"io"
	"slices"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/dlai-sd/plant/shared/web"
)

// Access says who may call a route at all; what a caller may do with an entity
// is decided where the change is.
type Access string

// The three ways in.
const (
	Open    Access = "open"    // anybody: it reveals nothing
	Bearer  Access = "bearer"  // a principal with a token of issue-token
	Trusted Access = "trusted" // Pub/Sub or Scheduler, with an OpenID Connect token
)

// Route is one operation: where it is, which function serves it, who may call,
// and how large a body it takes (bytes; zero: none).
type Route struct {
	Pattern   string `json:"pattern"` // of net/http's ServeMux: "METHOD /path"
	Function  string `json:"function"`
	Access    Access `json:"access"`
	Operation string `json:"operation"`
	Limit     int64  `json:"limit,omitzero"`
}

// The functions that this binary can be, by FUNCTION_TARGET.
const (
	createSkill = "create-skill"
	auditRun    = "audit-run"
)

const skills = "/api/v1/genesis/skills"

// Routes is every route there is, once. The muxes, the local gateway and the
// OpenAPI test read it; each function also answers GET /health and GET /ready.
func Routes() []Route {
	return []Route{
		{"POST " + skills, createSkill, Bearer, "createSkill", web.LimitBody},
		{"GET " + skills, createSkill, Bearer, "listSkills", 0},
		{"POST " + skills + "/batch", createSkill, Bearer, "createSkills", web.LimitBatch},
		{"GET " + skills + "/{id}", createSkill, Bearer, "getSkill", 0},
		{"GET " + skills + "/{id}/amendments", createSkill, Bearer, "listSkillAmendments", 0},
		{"POST /events/sequence", auditRun, Trusted, "sequence", web.LimitBody},
	}
}

// Functions lists the functions that the table names.
func Functions() []string {
	var names []string
	for _, r := range Routes() {
		if !slices.Contains(names, r.Function) {
			names = append(names, r.Function)
		}
	}
	return names
}

// printRoutes writes the table as JSON, for whatever stands in front of the
// functions.
func printRoutes(w io.Writer) error {
	b, err := json.Marshal(Routes(), jsontext.WithIndent("  "))
	if err != nil {
		return fmt.Errorf("print routes: %w", err)
	}
	_, err = w.Write(append(b, '\n'))
	return err
}
