package web

import (
	"bytes"
	"crypto/sha256"
	_ "embed" // the pages
	"encoding/base64"
	"fmt"
	"html/template"
	"net/http"

	"github.com/dlai-sd/plant/shared/domain"
)

var (
	//go:embed problempage.html
	pageSource string
	//go:embed problempage.css
	pageStyle string
)

// PagePolicy is the Content-Security-Policy of a page that consists of markup
// and this one style: nothing is fetched, run, framed or sent from it.
func PagePolicy(style string) string {
	sum := sha256.Sum256([]byte(style))
	return "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) +
		"'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
}

// problemPages renders the pages of the table of codes.
type problemPages struct {
	pages *template.Template
	style template.CSS
}

type problemPage struct {
	Style template.CSS
	Codes []CodeInfo
	CodeInfo
}

func newProblemPages() problemPages {
	return problemPages{
		pages: template.Must(template.New("problems").Parse(pageSource)),
		style: template.CSS(pageStyle), // #nosec -- our own file
	}
}

// ProblemIndex serves the list of all problem codes, for people.
func ProblemIndex() http.Handler {
	p := newProblemPages()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, err := Query(r); err != nil {
			Fail(w, r, err)
			return
		}
		p.write(w, r, "index", problemPage{Style: p.style, Codes: Codes()})
	})
}

// ProblemPage serves the page that a problem's type leads to: what the code in
// the path means, when it happens and what to do. Another code is not found.
func ProblemPage() http.Handler {
	p := newProblemPages()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, err := Query(r); err != nil {
			Fail(w, r, err)
			return
		}
		row, known := lookup(domain.Code(r.PathValue("code")))
		if !known {
			Fail(w, r, Refuse(domain.CodeNotFound, "There is no such problem code; /problems lists them."))
			return
		}
		p.write(w, r, "page", problemPage{Style: p.style, CodeInfo: row})
	})
}

func (p problemPages) write(w http.ResponseWriter, r *http.Request, name string, page problemPage) {
	var body bytes.Buffer
	if err := p.pages.ExecuteTemplate(&body, name, page); err != nil {
		Fail(w, r, fmt.Errorf("render %s: %w", name, err))
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Security-Policy", PagePolicy(pageStyle))
	write(w, r, http.StatusOK, body.Bytes())
}
