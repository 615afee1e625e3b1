// Package docs renders an OpenAPI 3.1 document as one readable page: no scripts,
// nothing fetched from anywhere, every reference a link within the page.
package docs

import (
	"bytes"
	"crypto/sha256"
	_ "embed" // the page
	"encoding/base64"
	"fmt"
	"html/template"
	"net/http"
	"strconv"
)

var (
	//go:embed page.html
	source string
	//go:embed page.css
	style string
)

// New renders a document, once, and returns what serves the page. It fails where
// the document is not YAML or refers to something that it does not hold.
func New(document []byte) (http.Handler, error) {
	page, err := read(document)
	if err != nil {
		return nil, fmt.Errorf("render the API's documentation: %w", err)
	}
	page.Style = template.CSS(style) // #nosec -- our own file
	tmpl, err := template.New("page").Parse(source)
	if err != nil {
		return nil, fmt.Errorf("render the API's documentation: %w", err)
	}
	var body bytes.Buffer
	if err := tmpl.Execute(&body, page); err != nil {
		return nil, fmt.Errorf("render the API's documentation: %w", err)
	}
	return serve(body.Bytes()), nil
}

// serve sends a page that may contain markup and its own style, nothing else.
func serve(body []byte) http.Handler {
	sum := sha256.Sum256([]byte(style))
	policy := "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) +
		"'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			h.Set("Allow", "GET, HEAD")
			http.Error(w, http.StatusText(http.StatusMethodNotAllowed), http.StatusMethodNotAllowed)
			return
		}
		h.Set("Content-Type", "text/html; charset=utf-8")
		h.Set("Content-Length", strconv.Itoa(len(body)))
		h.Set("Content-Security-Policy", policy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		if r.Method == http.MethodGet {
			_, _ = w.Write(body) // a reader that has gone needs no answer
		}
	})
}
