package docs

import (
	"errors"
	"html/template"
	"slices"
	"strings"
)

// page is everything that the template shows.
type page struct {
	Style          template.CSS
	Title, Version string
	Summary        string
	Prose          [][]span
	Tags           []tag
	Access         []scheme
	Answers        []answer // that operations share
	Schemas        []schema
	Examples       []example
}

type tag struct {
	Name, Anchor string
	Prose        [][]span
	Operations   []operation
}

type scheme struct {
	Name, Anchor string
	Prose        [][]span
}

type operation struct {
	ID, Anchor, Method, Path string
	Summary                  string
	Prose                    [][]span
	Access                   []scheme // none: open
	Function                 string
	Parameters               []parameter
	Body                     *body
	Answers                  []answer
}

type parameter struct {
	Name, In string
	Required bool
	Type     []piece
	Prose    [][]span
	Example  string
}

type body struct {
	Prose [][]span
	Media []media
}

type media struct {
	Type     string
	Schema   []piece
	Examples []example
}

// example is shown where it stands, or, if it has a link, once for all.
type example struct {
	Name, Anchor, Link string
	Summary            string
	JSON               string
}

// answer is a response; one that is shared is shown once and linked.
type answer struct {
	Status, Name, Link, Anchor string
	Prose                      [][]span
	Headers                    []parameter
	Media                      []media
}

// read makes the page of a document.
func read(document []byte) (page, error) {
	root, err := parse(document)
	if err != nil {
		return page{}, err
	}
	r := &reader{root: root}
	info := root.at("info")
	p := page{
		Title: info.at("title").text(), Version: info.at("version").text(), Summary: info.at("summary").text(),
		Prose: paragraphs(info.at("description").text()), Access: r.schemes(), Tags: r.tags(), Schemas: r.schemas(),
	}
	for name, n := range root.at("components", "responses").members() {
		one := r.answer("", n)
		one.Name, one.Anchor = name, "response-"+name
		p.Answers = append(p.Answers, one)
	}
	for name, n := range root.at("components", "examples").members() {
		one := r.example(name, n)
		one.Anchor = "example-" + name
		p.Examples = append(p.Examples, one)
	}
	return p, errors.Join(r.errs...)
}

func (r *reader) schemes() (list []scheme) {
	for name, n := range r.root.at("components", "securitySchemes").members() {
		list = append(list, scheme{name, "access-" + name, paragraphs(n.at("description").text())})
	}
	return list
}

// tags are the groups of operations, in the order in which the document names
// them.
func (r *reader) tags() (list []tag) {
	for n := range r.root.at("tags").items() {
		name := n.at("name").text()
		list = append(list, tag{
			Name: name, Anchor: "tag-" + strings.ReplaceAll(name, " ", "-"), Prose: paragraphs(n.at("description").text()),
		})
	}
	for path, item := range r.root.at("paths").members() {
		for method, n := range item.members() {
			if n.at("operationId").text() == "" {
				continue
			}
			op := r.operation(strings.ToUpper(method), path, n)
			for name := range n.at("tags").items() {
				i := slices.IndexFunc(list, func(t tag) bool { return t.Name == name.text() })
				if i < 0 {
					r.errs = append(r.errs, errors.New(op.ID+" has a tag that the document does not describe: "+name.text()))
					continue
				}
				list[i].Operations = append(list[i].Operations, op)
			}
		}
	}
	return list
}

func (r *reader) operation(method, path string, n node) operation {
	id := n.at("operationId").text()
	op := operation{
		ID: id, Anchor: "operation-" + id, Method: method, Path: path, Summary: n.at("summary").text(),
		Prose: paragraphs(n.at("description").text()), Function: n.at("x-function").text(),
	}
	security := n.at("security")
	if !security.there() {
		security = r.root.at("security")
	}
	for one := range security.items() {
		for name := range one.members() {
			op.Access = append(op.Access, scheme{Name: name, Anchor: "access-" + name})
		}
	}
	for p := range n.at("parameters").items() {
		p, _ = r.follow(p)
		op.Parameters = append(op.Parameters, r.parameter(p.at("name").text(), p))
	}
	if b, _ := r.follow(n.at("requestBody")); b.there() {
		op.Body = &body{paragraphs(b.at("description").text()), r.media(b)}
	}
	for status, response := range n.at("responses").members() {
		op.Answers = append(op.Answers, r.answer(status, response))
	}
	return op
}

func (r *reader) parameter(name string, n node) parameter {
	return parameter{
		Name: name, In: n.at("in").text(), Required: n.at("required").isTrue(), Type: r.typeOf(n.at("schema")),
		Prose: paragraphs(n.at("description").text()), Example: n.at("example").text(),
	}
}

func (r *reader) answer(status string, n node) answer {
	target, name := r.follow(n)
	a := answer{Status: status, Name: name, Prose: paragraphs(target.at("description").text())}
	if name != "" {
		a.Link = "#response-" + name
		return a
	}
	for header, h := range n.at("headers").members() {
		h, _ = r.follow(h)
		a.Headers = append(a.Headers, r.parameter(header, h))
	}
	a.Media = r.media(n)
	return a
}

func (r *reader) media(n node) (list []media) {
	for kind, m := range n.at("content").members() {
		one := media{Type: kind, Schema: r.typeOf(m.at("schema"))}
		if e := m.at("example"); e.there() {
			one.Examples = append(one.Examples, r.shown("Example", e))
		}
		for name, e := range m.at("examples").members() {
			one.Examples = append(one.Examples, r.example(name, e))
		}
		list = append(list, one)
	}
	return list
}

// example reads an Example object, or links the one that it refers to.
func (r *reader) example(name string, n node) example {
	target, shared := r.follow(n)
	if shared != "" {
		return example{Name: shared, Link: "#example-" + shared, Summary: target.at("summary").text()}
	}
	e := r.shown(name, n.at("value"))
	e.Summary = n.at("summary").text()
	return e
}

func (r *reader) shown(name string, value node) example {
	text, err := asJSON(value)
	if err != nil {
		r.errs = append(r.errs, err)
	}
	return example{Name: name, JSON: text}
}
