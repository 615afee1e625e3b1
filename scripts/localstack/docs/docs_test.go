package docs_test

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/net/html"

	"github.com/dlai-sd/plant/scripts/localstack/docs"
)

// contract is the product's own document: what the page is for.
func contract(t *testing.T) []byte {
	t.Helper()
	b, err := os.ReadFile("../../../shared/web/openapi/openapi.yaml")
	require.NoError(t, err)
	return b
}

func get(t *testing.T, document []byte, method string) *httptest.ResponseRecorder {
	t.Helper()
	h, err := docs.New(document)
	require.NoError(t, err)
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), method, "/docs", nil))
	return w
}

// TestPageHoldsTheDocument: every operation, schema, shared answer and example
// has its place, every link within the page leads to one, and nothing is fetched
// or run.
func TestPageHoldsTheDocument(t *testing.T) {
	t.Parallel()
	document := contract(t)
	w := get(t, document, http.MethodGet)
	require.Equal(t, "text/html; charset=utf-8", w.Header().Get("Content-Type"))
	root, err := html.Parse(bytes.NewReader(w.Body.Bytes()))
	require.NoError(t, err)
	ids, links := map[string]int{}, []string{}
	var text strings.Builder
	for n := range root.Descendants() {
		if n.Type == html.TextNode {
			text.WriteString(n.Data)
			continue
		}
		require.NotContains(t, []string{"script", "link", "img", "iframe", "object", "embed", "form", "base"}, n.Data)
		for _, a := range n.Attr {
			require.NotContains(t, []string{"src", "srcset", "style"}, a.Key)
			require.False(t, strings.HasPrefix(a.Key, "on"), a.Key)
			switch a.Key {
			case "id":
				ids[a.Val]++
			case "href":
				links = append(links, a.Val)
			}
		}
	}
	operations := regexp.MustCompile(`operationId: (\w+)`).FindAllSubmatch(document, -1)
	require.Greater(t, len(operations), 50)
	for _, op := range operations {
		require.Equal(t, 1, ids["operation-"+string(op[1])], "%s", op[1])
		require.Contains(t, text.String(), string(op[1]))
	}
	for _, one := range []string{"schema-SkillInput", "schema-Problem", "response-Stale", "example-Skill", "access-bearer", "tag-job-roles"} {
		require.Equal(t, 1, ids[one], one)
	}
	for id, times := range ids {
		require.Equal(t, 1, times, "the id %s is not one place's alone", id)
	}
	for _, link := range links {
		if anchor, within := strings.CutPrefix(link, "#"); within {
			require.Contains(t, ids, anchor)
			continue
		}
		require.Contains(t, []string{"/api/v1/openapi.yaml", "/problems"}, link)
	}
	require.NotContains(t, text.String(), "ZgotmplZ")
}

func TestPageIsStrict(t *testing.T) {
	t.Parallel()
	w := get(t, contract(t), http.MethodHead)
	require.Empty(t, w.Body.Bytes())
	policy := w.Header().Get("Content-Security-Policy")
	require.True(t, strings.HasPrefix(policy, "default-src 'none'; style-src 'sha256-"), policy)
	require.NotContains(t, policy, "unsafe")
	require.Equal(t, "nosniff", w.Header().Get("X-Content-Type-Options"))
	refused := get(t, contract(t), http.MethodPost)
	require.Equal(t, http.StatusMethodNotAllowed, refused.Code)
	require.Equal(t, "GET, HEAD", refused.Header().Get("Allow"))
}

const small = `openapi: 3.1.0
info: {title: "A <b>", version: "1", summary: s, description: "One *two* **three** ` + "`four`" + `.\n\nFive <script>."}
tags: [{name: things}]
security: [{key: []}]
paths:
  /things:
    get:
      tags: [things]
      operationId: listThings
      summary: List
      responses:
        '200':
          description: Them.
          content:
            application/json:
              schema: {type: array, maxItems: 3, items: {$ref: '#/components/schemas/Thing'}}
              example: [{b: 1, a: [true, null, 1.5, "on"]}]
components:
  securitySchemes: {key: {type: http, scheme: bearer, description: A key.}}
  schemas:
    Thing: {type: object, required: [b], properties: {b: {type: integer, minimum: 1}, a: {type: [array, 'null']}}}
`

func TestSmallDocument(t *testing.T) {
	t.Parallel()
	page := get(t, []byte(small), http.MethodGet).Body.String()
	for _, part := range []string{
		"A &lt;b&gt;", "One <em>two</em> <strong>three</strong> <code>four</code>.", "Five &lt;script&gt;.",
		`array of <a href="#schema-Thing">Thing</a>, at most 3 items`, `<a href="#access-key">key</a> token`, "integer, at least 1",
		"array or null", `<code>b</code> <b title="required">*</b>`,
		html.EscapeString("[\n  {\n    \"b\": 1,\n    \"a\": [\n      true,\n      null,\n      1.5,\n      \"on\"\n    ]\n  }\n]"),
	} {
		require.Contains(t, page, part)
	}
}

func TestBrokenDocuments(t *testing.T) {
	t.Parallel()
	for name, change := range map[string][2]string{
		"dangling reference": {"#/components/schemas/Thing'", "#/components/schemas/Other'"},
		"foreign reference":  {"'#/components/schemas/Thing'", "'https://elsewhere.example/x'"},
		"circle":             {"Thing: {type: object", "Thing: {$ref: '#/components/schemas/Thing', type: object"},
		"unknown tag":        {"tags: [things]", "tags: [others]"},
		"not YAML":           {"openapi:", "\t{"},
	} {
		require.Contains(t, small, change[0], name)
		_, err := docs.New([]byte(strings.Replace(small, change[0], change[1], 1)))
		require.Error(t, err, name)
	}
	_, err := docs.New([]byte("[]"))
	require.ErrorContains(t, err, "not an object")
}
