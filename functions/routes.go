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

// The ways in.
const (
	Open    Access = "open"    // anybody: it reveals nothing, or asks for a secret itself
	Bearer  Access = "bearer"  // a principal with a token of issue-token
	Trusted Access = "trusted" // Pub/Sub or Scheduler, with an OpenID Connect token
	Caller  Access = "caller"  // either of the two: a principal, or one of our own functions
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
	createRole  = "create-role"
	birthAgent  = "birth-agent"
	certifier   = "certify"
	embedder    = "embed"
	issueToken  = "issue-token"
	auditRun    = "audit-run"
	driftCheck  = "drift-check"
)

// The collections' paths.
const (
	skills     = "/api/v1/genesis/skills"
	jobRoles   = "/api/v1/genesis/job-roles"
	industries = "/api/v1/genesis/industries"
	teams      = "/api/v1/teams"
	agents     = "/api/v1/agents"
)

const proposals = "/api/v1/constitution/proposals"

// Routes is every route there is, once. The muxes, the local gateway and the
// OpenAPI test read it; each function also answers GET /health and GET /ready.
func Routes() []Route {
	return slices.Concat(
		collection(skills, createSkill, "Skill", "Skills"),
		collection(jobRoles, createRole, "JobRole", "JobRoles"),
		collection(industries, createRole, "Industry", "Industries"),
		collection(teams, birthAgent, "Team", "Teams"),
		collection(agents, birthAgent, "Agent", "Agents"),
		decisions(skills, "Skill"), decisions(jobRoles, "JobRole"), decisions(industries, "Industry"),
		decisions(teams, "Team"), decisions(agents, "Agent"),
		[]Route{
			{"POST /api/v1/certify/batch", certifier, Bearer, "certifyAll", web.LimitBatch},
			{"GET /api/v1/certify/queue", certifier, Bearer, "listCertifyQueue", 0},
			{"GET /api/v1/certify/refusals", certifier, Bearer, "listRefusals", 0},
			{"GET /api/v1/certify/checklist", certifier, Bearer, "readChecklist", 0},
			{"POST /api/v1/constitution/replay", certifier, Bearer, "replayConstitution", web.LimitBody},
			{"GET /api/v1/constitution", certifier, Bearer, "getConstitution", 0},
			{"GET " + proposals, certifier, Bearer, "listProposals", 0},
			{"POST " + proposals, certifier, Bearer, "proposeConstitution", web.LimitBody},
			{"GET " + proposals + "/{id}", certifier, Bearer, "getProposal", 0},
			{"POST " + proposals + "/{id}/decisions", certifier, Bearer, "judgeConstitution", web.LimitBody},
			{"POST " + proposals + "/{id}/enact", certifier, Bearer, "enactConstitution", web.LimitBody},
			{"POST " + proposals + "/{id}/rollback", certifier, Bearer, "rollbackConstitution", web.LimitBody},
			{"GET " + agents + "/{id}/manufacture", birthAgent, Bearer, "getAgentManufacture", 0},
			{"POST /api/v1/simulation/team", birthAgent, Bearer, "simulateTeam", web.LimitBody},
			{"POST /api/v1/simulation/skill-gap", birthAgent, Bearer, "simulateSkillGap", web.LimitBody},
			{"POST /api/v1/simulation/run", birthAgent, Bearer, "runSimulation", web.LimitBody},
			{"POST /events/manufacture", birthAgent, Trusted, "manufactureEvent", web.LimitBody},
			{"POST /events/certify", certifier, Trusted, "certifyEvent", web.LimitBody},
			{"POST " + agents + "/{id}/assign-team", birthAgent, Bearer, "assignTeam", web.LimitBody},
			{"POST /api/v1/auth/token", issueToken, Open, "issueToken", web.LimitForm},
			// The documents belong to issue-token: every caller begins there, so it is the
			// one that is awake, and a reader of documents wakes no process that can sign.
			{"GET /api/v1/openapi.yaml", issueToken, Open, "getContract", 0},
			{"GET /problems", issueToken, Open, "listProblems", 0},
			{"GET /problems/{code}", issueToken, Open, "getProblem", 0},
			{"POST /generate-embedding", embedder, Caller, "generateEmbedding", web.LimitBatch},
			{"GET /api/v1/search", embedder, Bearer, "search", 0},
			{"POST /api/v1/similar", embedder, Bearer, "similarToText", web.LimitBody},
			{"GET " + skills + "/{id}/similar", embedder, Bearer, "listSimilarSkills", 0},
			{"GET " + jobRoles + "/{id}/similar", embedder, Bearer, "listSimilarJobRoles", 0},
			{"GET " + industries + "/{id}/similar", embedder, Bearer, "listSimilarIndustries", 0},
			{"POST /events/embed", embedder, Trusted, "embedEvent", web.LimitBody},
			{"POST /events/sequence", auditRun, Trusted, "sequence", web.LimitBody},
			{"GET /api/v1/changes", auditRun, Bearer, "listChanges", 0},
			{"POST /api/v1/audit/run", auditRun, Bearer, "runAudit", web.LimitBody},
			{"GET /api/v1/audit/runs/{id}", auditRun, Bearer, "getAuditRun", 0},
			{"GET /api/v1/audit/tampering/{id}", auditRun, Bearer, "getTampering", 0},
			{"POST /events/audit", auditRun, Trusted, "auditEvent", web.LimitBody},
			{"POST /events/budget", auditRun, Trusted, "budgetEvent", web.LimitBody},
			{"GET /api/v1/audit/export", auditRun, Bearer, "exportBundle", 0},
			{"POST /api/v1/audit/exports", auditRun, Bearer, "createExport", web.LimitBody},
			{"GET /api/v1/audit/exports/{id}", auditRun, Bearer, "getExport", 0},
			{"GET /api/v1/audit/exports/{id}/bundle", auditRun, Bearer, "getExportBundle", 0},
			{"POST /api/v1/drift/run", driftCheck, Bearer, "runDrift", web.LimitBody},
			{"GET /api/v1/drift/reports", driftCheck, Bearer, "listDriftReports", 0},
			{"GET /api/v1/drift/reports/{id}", driftCheck, Bearer, "getDriftReport", 0},
			{"POST /events/drift", driftCheck, Trusted, "driftEvent", web.LimitBody},
			{"GET /log/checkpoint", auditRun, Open, "getCheckpoint", 0},
			{"GET /log/tile/{path...}", auditRun, Open, "getTile", 0},
			{"GET /log/proof/{hash}", auditRun, Open, "getProof", 0},
		},
	)
}

// collection is the routes that every kind has; package api names their
// operations alike.
func collection(path, function, one, many string) []Route {
	return []Route{
		{"POST " + path, function, Bearer, "create" + one, web.LimitBody},
		{"GET " + path, function, Bearer, "list" + many, 0},
		{"POST " + path + "/batch", function, Bearer, "create" + many, web.LimitBatch},
		{"GET " + path + "/{id}", function, Bearer, "get" + one, 0},
		{"PATCH " + path + "/{id}", function, Bearer, "evolve" + one, web.LimitBody},
		{"DELETE " + path + "/{id}", function, Bearer, "archive" + one, 0},
		{"POST " + path + "/{id}/transitions", function, Bearer, "move" + one, web.LimitBody},
		{"GET " + path + "/{id}/amendments", function, Bearer, "list" + one + "Amendments", 0},
		{"GET " + path + "/{id}/diff", function, Bearer, "diff" + one, 0},
		{"GET " + path + "/{id}/dependents", function, Bearer, "list" + one + "Dependents", 0},
	}
}

// decisions is what certification adds to a kind's routes.
func decisions(path, one string) []Route {
	return []Route{
		{"POST " + path + "/{id}/certify", certifier, Bearer, "certify" + one, web.LimitBody},
		{"GET " + path + "/{id}/certification", certifier, Bearer, "get" + one + "Certification", 0},
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
