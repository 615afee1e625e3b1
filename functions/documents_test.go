package main

import (
	"bytes"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/pb33f/libopenapi-validator/schema_validation"
	"github.com/pb33f/libopenapi/datamodel/high/base"
	v3 "github.com/pb33f/libopenapi/datamodel/high/v3"
	"github.com/pb33f/libopenapi/orderedmap"
	"github.com/stretchr/testify/require"
	"golang.org/x/net/html"

	"github.com/dlai-sd/plant/shared/web"
	"github.com/dlai-sd/plant/shared/web/openapi"
)

const contractPath = "/api/v1/openapi.yaml"

// TestContractIsServed: to anybody, byte for byte, and once to whoever keeps it.
func TestContractIsServed(t *testing.T) {
	t.Parallel()
	s := newKit(t).serve(t, issueToken, nil)
	first := s.get(t, "", contractPath)
	require.Equal(t, "application/yaml", first.header.Get("Content-Type"))
	require.Equal(t, "no-cache", first.header.Get("Cache-Control"))
	require.True(t, bytes.Equal(openapi.Document(), first.body))
	etag := first.header.Get("ETag")
	for _, known := range []string{etag, `"other", W/` + etag, "*"} {
		again := s.do(t, call{method: "GET", path: contractPath, header: map[string]string{"If-None-Match": known}})
		require.Equal(t, 304, again.status, known)
		require.Empty(t, again.body)
		require.Equal(t, etag, again.header.Get("ETag"))
	}
	changed := s.do(t, call{method: "GET", path: contractPath, header: map[string]string{"If-None-Match": `"other"`}})
	require.Equal(t, 200, changed.status)
	head := s.do(t, call{method: http.MethodHead, path: contractPath})
	require.Equal(t, 200, head.status)
	require.Empty(t, head.body)
	require.Equal(t, 400, s.do(t, call{method: "GET", path: contractPath + "?x=1"}).status)
}

// TestEveryCodeHasItsPage: the type of each problem leads to a page that says
// what it means, and there is no page beside.
func TestEveryCodeHasItsPage(t *testing.T) {
	t.Parallel()
	s := newKit(t).serve(t, issueToken, nil)
	index := s.get(t, "", "/problems")
	var linked []string
	for _, link := range links(t, index.body) {
		if code, ok := strings.CutPrefix(link, "/problems/"); ok {
			linked = append(linked, code)
		}
	}
	var codes []string
	for _, row := range web.Codes() {
		codes = append(codes, string(row.Code))
		a := s.get(t, "", "/problems/"+string(row.Code))
		require.Equal(t, "text/html; charset=utf-8", a.header.Get("Content-Type"))
		policy := a.header.Get("Content-Security-Policy")
		require.Contains(t, policy, "style-src 'sha256-")
		require.NotContains(t, policy, "unsafe")
		require.NotContains(t, policy, "script-src")
		text := textOf(t, a.body)
		for _, part := range []string{row.Title, string(row.Code), row.Detail, row.When, row.Remedy} {
			require.Contains(t, text, part, row.Code)
		}
		require.NotEmpty(t, row.When, row.Code)
		require.NotEmpty(t, row.Remedy, row.Code)
		require.Subset(t, []string{"/problems", contractPath}, links(t, a.body))
	}
	require.Equal(t, codes, linked, "the index names every code and no other")
	for _, unknown := range []string{"/problems/unheard_of", "/problems/GONE", "/problems/" + strings.Repeat("x", 2000)} {
		require.Equal(t, 404, s.do(t, call{method: "GET", path: unknown}).status)
	}
	require.Equal(t, 400, s.do(t, call{method: "GET", path: "/problems?x=1"}).status)
	require.Equal(t, 400, s.do(t, call{method: "GET", path: "/problems/gone?x=1"}).status)
	require.Equal(t, 405, s.do(t, call{method: "DELETE", path: "/problems/gone"}).status)
}

// links are the targets of a page's links, in order. A page that fetches or runs
// anything fails.
func links(t *testing.T, page []byte) (targets []string) {
	t.Helper()
	root, err := html.Parse(bytes.NewReader(page))
	require.NoError(t, err)
	for n := range root.Descendants() {
		if n.Type == html.ElementNode {
			require.NotContains(t, []string{"script", "link", "img", "iframe", "object", "form"}, n.Data)
		}
		for _, a := range n.Attr {
			require.NotContains(t, []string{"src", "style", "onclick"}, a.Key)
			if a.Key == "href" {
				targets = append(targets, a.Val)
			}
		}
	}
	return targets
}

// textOf is what a page says.
func textOf(t *testing.T, page []byte) string {
	t.Helper()
	root, err := html.Parse(bytes.NewReader(page))
	require.NoError(t, err)
	var text strings.Builder
	for n := range root.Descendants() {
		if n.Type == html.TextNode {
			text.WriteString(n.Data)
		}
	}
	return text.String()
}

// TestContractIsComplete: from what an operation takes follows what it can
// answer, and each of these answers is described.
func TestContractIsComplete(t *testing.T) {
	t.Parallel()
	api, err := theContract()
	require.NoError(t, err)
	for path, item := range api.model.Paths.PathItems.FromOldest() {
		for method, op := range item.GetOperations().FromOldest() {
			if op.OperationId == "health" || op.OperationId == "ready" {
				continue
			}
			described := slices.Collect(op.Responses.Codes.KeysFromOldest())
			for _, status := range statuses(method, path, op, securityOf(t, api.model, op)) {
				require.Contains(t, described, status, op.OperationId)
			}
			for status, response := range op.Responses.Codes.FromOldest() {
				require.NotEmpty(t, response.Description, "%s %s", op.OperationId, status)
				require.NotNil(t, response.Headers.GetOrZero("X-Request-ID"), "%s %s", op.OperationId, status)
			}
			names := namesOf(op)
			require.Contains(t, names, "X-Request-ID", op.OperationId)
			require.Contains(t, names, "traceparent", op.OperationId)
		}
	}
}

// statuses are those that an operation must describe, by its shape.
func statuses(method, path string, op *v3.Operation, scheme string) []string {
	all := []string{"431", "500", "503"}
	names := namesOf(op)
	add := func(when bool, more ...string) {
		if when {
			all = append(all, more...)
		}
	}
	add(scheme != "", "401")
	add(scheme != "service", "400")
	add(op.RequestBody != nil && scheme != "service", "413", "415")
	add(slices.Contains(names, "id"), "404")
	add(slices.Contains(names, "id") && !strings.Contains(path, "/audit/") && !strings.Contains(path, "/drift/") && !strings.Contains(path, "/constitution/") && !strings.HasSuffix(path, "/amendments") && !strings.HasSuffix(path, "/similar"), "410")
	add(slices.Contains(names, "Idempotency-Key"), "403", "422")
	add(slices.Contains(names, "Idempotency-Key") && op.OperationId != "certifyAll", "409") // there each item has its own
	add(slices.Contains(names, "If-Match"), "412")
	add(slices.Contains(names, "If-Match") && !strings.HasPrefix(op.OperationId, "certify"), "428") // a decision may name its version
	add(slices.Contains(names, "If-None-Match"), "304")
	add(op.OperationId == "issueToken", "422", "429")
	add(method == "get", "200")
	return all
}

func namesOf(op *v3.Operation) []string {
	var names []string
	for _, p := range op.Parameters {
		names = append(names, p.Name)
	}
	return names
}

// TestContractShowsExamples: every body has an example, and each one is what its
// schema asks for.
func TestContractShowsExamples(t *testing.T) {
	t.Parallel()
	api, err := theContract()
	require.NoError(t, err)
	judged := 0
	for _, item := range api.model.Paths.PathItems.FromOldest() {
		for _, op := range item.GetOperations().FromOldest() {
			if op.RequestBody != nil {
				judged += judge(t, op.OperationId+" request", op.RequestBody.Content)
			}
			for status, response := range op.Responses.Codes.FromOldest() {
				if op.OperationId == "generateEmbedding" && status == "200" {
					continue // 384 numbers show nobody anything
				}
				judged += judge(t, op.OperationId+" "+status, response.Content)
			}
		}
	}
	require.Greater(t, judged, 500)
}

// judge holds the examples of a body to its schema and counts them.
func judge(t *testing.T, where string, content *orderedmap.Map[string, *v3.MediaType]) (judged int) {
	t.Helper()
	for media, m := range content.FromOldest() {
		if strings.HasPrefix(media, "text/") || media == openapi.MediaType || media == "application/octet-stream" || media == "application/zip" {
			continue
		}
		examples := []interface{ Decode(any) error }{}
		if m.Example != nil {
			examples = append(examples, m.Example)
		}
		for _, e := range examplesOf(m) {
			examples = append(examples, e.Value)
		}
		require.NotEmpty(t, examples, "%s (%s) has no example", where, media)
		for _, node := range examples {
			var value any
			require.NoError(t, node.Decode(&value))
			ok, faults := schema_validation.NewSchemaValidator().ValidateSchemaObject(m.Schema.Schema(), value)
			require.True(t, ok, "an example of %s: %s", where, describe(faults))
			judged++
		}
	}
	return judged
}

func examplesOf(m *v3.MediaType) (examples []*base.Example) {
	if m.Examples == nil {
		return nil
	}
	return slices.Collect(m.Examples.ValuesFromOldest())
}
