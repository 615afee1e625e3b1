package main

import (
	"bytes"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/pb33f/libopenapi"
	validator "github.com/pb33f/libopenapi-validator"
	"github.com/pb33f/libopenapi-validator/errors"
	v3 "github.com/pb33f/libopenapi/datamodel/high/v3"
	"github.com/stretchr/testify/require"

	"github.com/dlai-sd/plant/shared/domain"
	"github.com/dlai-sd/plant/shared/web"
	"github.com/dlai-sd/plant/shared/web/openapi"
)

// contract is openapi.yaml, read once.
type contract struct {
	model     *v3.Document
	validator validator.Validator
}

var theContract = sync.OnceValues(func() (contract, error) {
	document, err := libopenapi.NewDocument(openapi.Document())
	if err != nil {
		return contract{}, err
	}
	model, err := document.BuildV3Model()
	if err != nil {
		return contract{}, err
	}
	v, errs := validator.NewValidator(document)
	if len(errs) > 0 {
		return contract{}, errs[0]
	}
	return contract{&model.Model, v}, nil
})

// checkContract holds a response to openapi.yaml, and a request that was taken
// as well: whoever keeps to the contract is never surprised, and whoever does
// not is refused. What no operation describes is judged by checkAlways alone.
func checkContract(t *testing.T, c call, req *http.Request, a answer) {
	t.Helper()
	api, err := theContract()
	require.NoError(t, err)
	path, _, _ := strings.Cut(c.path, "?")
	item := api.itemOf(path)
	if item == nil {
		return
	}
	op := item.GetOperations().GetOrZero(strings.ToLower(c.method))
	if op == nil || a.status == http.StatusNotFound && op.Responses.Codes.GetOrZero("404") == nil {
		return // another function's path, or no such method
	}
	again := req.Clone(t.Context())
	again.Body = io.NopCloser(strings.NewReader(c.body))
	ok, faults := api.validator.ValidateHttpResponse(again, &http.Response{
		StatusCode: a.status, Header: a.header, Body: io.NopCloser(bytes.NewReader(a.body)), Request: again,
	})
	require.True(t, ok, "%s %s answers %d %s against the contract: %s", c.method, c.path, a.status, a.body, describe(faults))
	if a.status >= 300 || strings.Contains(path, "/batch") { // a batch may hold items that are refused
		return
	}
	again.Body = io.NopCloser(strings.NewReader(c.body))
	ok, faults = api.validator.ValidateHttpRequestSync(again)
	require.True(t, ok, "%s %s %s was taken against the contract: %s", c.method, c.path, c.body, describe(faults))
}

func describe(faults []*errors.ValidationError) string {
	var b strings.Builder
	for _, f := range faults {
		b.WriteString(f.Message + ": " + f.Reason)
		for _, s := range f.SchemaValidationErrors {
			b.WriteString("; " + s.FieldPath + ": " + s.Reason)
		}
		b.WriteString("\n")
	}
	return b.String()
}

func (c contract) itemOf(path string) *v3.PathItem {
	for pattern, item := range c.model.Paths.PathItems.FromOldest() {
		want, got := strings.Split(pattern, "/"), strings.Split(path, "/")
		same := func(want, got string) bool {
			return want == got || strings.HasPrefix(want, "{") && got != "" && got != "batch"
		}
		if slices.EqualFunc(want, got, same) {
			return item
		}
	}
	return nil
}

func TestContractIsAnOpenAPIDocument(t *testing.T) {
	t.Parallel()
	api, err := theContract()
	require.NoError(t, err)
	require.True(t, strings.HasPrefix(api.model.Version, "3.1"))
	ok, faults := api.validator.ValidateDocument()
	require.True(t, ok, describe(faults))
}

// TestRoutesAreTheContract: routes.go and openapi.yaml say the same, so that
// neither can change alone.
func TestRoutesAreTheContract(t *testing.T) {
	t.Parallel()
	api, err := theContract()
	require.NoError(t, err)
	described := map[string]Route{}
	for path, item := range api.model.Paths.PathItems.FromOldest() {
		for method, op := range item.GetOperations().FromOldest() {
			r := Route{Pattern: strings.ToUpper(method) + " " + path, Operation: op.OperationId}
			schemes := securityOf(t, api.model, op)
			r.Access = map[string]Access{"": Open, "bearer": Bearer, "service": Trusted, "bearer or service": Caller}[schemes]
			if node, ok := op.Extensions.Get("x-function"); ok {
				r.Function = node.Value
			}
			if node, ok := op.Extensions.Get("x-limit"); ok {
				require.NoError(t, node.Decode(&r.Limit))
			}
			described[r.Pattern] = r
		}
	}
	routed := map[string]Route{
		"GET /health": {Pattern: "GET /health", Access: Open, Operation: "health"},
		"GET /ready":  {Pattern: "GET /ready", Access: Open, Operation: "ready"},
	}
	for _, r := range Routes() {
		r.Pattern = strings.ReplaceAll(r.Pattern, "...}", "}") // OpenAPI has no name for what spans segments
		routed[r.Pattern] = r
	}
	require.Equal(t, routed, described)
}

// securityOf is the schemes that an operation takes, its own or the document's; ""
// means that it is open.
func securityOf(t *testing.T, d *v3.Document, op *v3.Operation) string {
	t.Helper()
	required := d.Security
	if op.Security != nil {
		required = op.Security
	}
	if len(required) == 0 {
		return ""
	}
	var all []string
	for _, one := range required {
		names := slices.Collect(one.Requirements.KeysFromOldest())
		require.LessOrEqual(t, len(names), 1)
		all = append(all, names...)
	}
	return strings.Join(all, " or ")
}

// TestContractKnowsEveryCode: the codes of the table in package web are those
// of the contract, each with its status.
func TestContractKnowsEveryCode(t *testing.T) {
	t.Parallel()
	api, err := theContract()
	require.NoError(t, err)
	code := api.model.Components.Schemas.GetOrZero("Code").Schema()
	var described []domain.Code
	for _, node := range code.Enum {
		described = append(described, domain.Code(node.Value))
	}
	var known []domain.Code
	for _, row := range web.Codes() {
		known = append(known, row.Code)
		require.Contains(t, code.Description, "`"+string(row.Code)+"`")
	}
	require.ElementsMatch(t, known, described)
}

// TestContractDescribesEverything: a field or parameter without a sentence is no
// contract.
func TestContractDescribesEverything(t *testing.T) {
	t.Parallel()
	api, err := theContract()
	require.NoError(t, err)
	for name, proxy := range api.model.Components.Schemas.FromOldest() {
		schema := proxy.Schema()
		require.NotNil(t, schema, name)
		if schema.Properties == nil || len(schema.AllOf) > 0 || name == "Written" {
			continue
		}
		for field, property := range schema.Properties.FromOldest() {
			described := property.IsReference() || property.Schema().Description != "" || property.Schema().Items != nil
			require.True(t, described, "%s.%s has no description", name, field)
		}
	}
	for name, p := range api.model.Components.Parameters.FromOldest() {
		require.NotEmpty(t, p.Description, name)
	}
	for _, item := range api.model.Paths.PathItems.FromOldest() {
		for _, op := range item.GetOperations().FromOldest() {
			require.NotEmpty(t, op.Summary, op.OperationId)
			require.NotEmpty(t, op.Description, op.OperationId)
		}
	}
}

// TestEveryOperationIsServed: each function has a handler for each of its
// routes, and the table printed for the gateway is the table.
func TestEveryOperationIsServed(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	for _, function := range Functions() {
		s := k.serve(t, function, nil)
		s.get(t, "", "/health")
		ready := as[struct {
			Checks map[string]string `json:"checks"`
		}](t, s.get(t, "", "/ready"))
		writes := []string{"constitution", "keys", "schema"}
		want := map[string][]string{
			createSkill: writes, createRole: writes, birthAgent: writes, certifier: writes, embedder: writes,
			auditRun: {"constitution", "schema"}, driftCheck: {"constitution", "keys", "schema"}, issueToken: {"schema"},
		}
		require.ElementsMatch(t, want[function], slices.Collect(maps.Keys(ready.Checks)))
		for _, r := range Routes() {
			method, path, _ := strings.Cut(r.Pattern, " ")
			a := s.do(t, call{method: method, path: strings.NewReplacer("{id}", "x", "{code}", "x", "{hash}", "x", "{path...}", "x").Replace(path)})
			if r.Function != function {
				require.Equal(t, 404, a.status, r.Pattern)
				continue
			}
			refused := 401
			switch {
			case strings.HasPrefix(path, "/log/"):
				require.Contains(t, []int{400, 404}, a.status, r.Pattern)
				require.NotContains(t, string(a.body), "no such path")
				continue
			case r.Operation == "getProblem":
				refused = 404 // there is no code x
			case r.Access == Open && method == http.MethodGet:
				refused = 200 // a document
			case r.Access == Open:
				refused = 415 // it is served, and takes no JSON
			}
			require.Equal(t, refused, a.status, "%s lets anybody in", r.Pattern)
		}
	}
	var b bytes.Buffer
	require.NoError(t, printRoutes(&b))
	require.Equal(t, Routes(), as[[]Route](t, answer{body: b.Bytes()}))
}
