package docs

import (
	"strings"
)

// piece is a part of how a type is written: a text, perhaps a link.
type piece struct{ Text, Link string }

// schema is a section about a named schema.
type schema struct {
	Name, Anchor string
	Prose        [][]span
	Type         []piece
	Fields       []field
}

// field is a member of an object.
type field struct {
	Name     string
	Required bool
	Type     []piece
	Prose    [][]span
}

func (r *reader) schemas() (list []schema) {
	for name, n := range r.root.at("components", "schemas").members() {
		list = append(list, schema{
			Name: name, Anchor: "schema-" + name, Prose: paragraphs(n.at("description").text()),
			Type: r.typeOf(n), Fields: r.fields(n),
		})
	}
	return list
}

// fields are an object's own and those that the parts of an allOf add here.
func (r *reader) fields(n node) (list []field) {
	required := map[string]bool{}
	for name := range n.at("required").items() {
		required[name.text()] = true
	}
	for name, property := range n.at("properties").members() {
		list = append(list, field{
			Name: name, Required: required[name], Type: r.typeOf(property), Prose: paragraphs(property.at("description").text()),
		})
		for _, inner := range append(r.fields(property), r.fields(property.at("items"))...) {
			inner.Name = name + "." + inner.Name
			list = append(list, inner)
		}
	}
	for part := range n.at("allOf").items() {
		if part.at("$ref").text() == "" {
			list = append(list, r.fields(part)...)
		}
	}
	return list
}

// typeOf says in a line what a value may be, with links to the named schemas.
func (r *reader) typeOf(n node) []piece {
	if ref := n.at("$ref").text(); ref != "" {
		_, name := r.follow(n)
		return []piece{{name, "#schema-" + name}}
	}
	var parts []piece
	say := func(text string) {
		if len(parts) > 0 {
			text = ", " + text
		}
		parts = append(parts, piece{Text: text})
	}
	if kind := kindOf(n); kind != "" {
		say(kind)
	}
	if items := n.at("items"); items.there() {
		parts = append(append(parts, piece{Text: " of "}), r.typeOf(items)...)
	}
	for _, choice := range []struct{ keyword, before, between string }{
		{"oneOf", "", " or "}, {"anyOf", "", " or "}, {"allOf", "", " and "},
	} {
		if n.at(choice.keyword).there() {
			parts = append(parts, r.joined(n.at(choice.keyword), choice.between)...)
		}
	}
	for _, limit := range limits(n) {
		say(limit)
	}
	return parts
}

func (r *reader) joined(list node, between string) (parts []piece) {
	for item := range list.items() {
		one := r.typeOf(item)
		if len(one) == 1 && one[0].Text == "object" && between == " and " {
			one = []piece{{Text: "what follows"}}
		}
		if len(one) == 0 {
			one = []piece{{Text: "what follows"}}
		}
		if len(parts) > 0 {
			parts = append(parts, piece{Text: between})
		}
		parts = append(parts, one...)
	}
	return parts
}

// kindOf is a schema's type; a list of types is joined.
func kindOf(n node) string {
	if n.at("maxLength").text() == "0" {
		return "an empty string"
	}
	if one := n.at("type").text(); one != "" {
		return one
	}
	var several []string
	for one := range n.at("type").items() {
		several = append(several, one.text())
	}
	return strings.Join(several, " or ")
}

// limits are a schema's restrictions, in words.
func limits(n node) (list []string) {
	if format := n.at("format").text(); format != "" {
		list = append(list, format)
	}
	if constant := n.at("const"); constant.there() {
		list = append(list, "always "+constant.text())
	}
	var values []string
	for v := range n.at("enum").items() {
		values = append(values, v.text())
	}
	if len(values) > 0 {
		list = append(list, "one of "+strings.Join(values, ", "))
	}
	for _, bounds := range []struct{ least, most, unit string }{
		{"minimum", "maximum", ""}, {"minLength", "maxLength", " characters"}, {"minItems", "maxItems", " items"},
	} {
		least, most := n.at(bounds.least).text(), n.at(bounds.most).text()
		switch {
		case least != "" && most != "":
			list = append(list, least+" to "+most+bounds.unit)
		case least != "":
			list = append(list, "at least "+least+bounds.unit)
		case most != "" && most != "0":
			list = append(list, "at most "+most+bounds.unit)
		}
	}
	if pattern := n.at("pattern").text(); pattern != "" {
		list = append(list, "matches "+pattern)
	}
	if byDefault := n.at("default"); byDefault.there() {
		list = append(list, "default "+byDefault.text())
	}
	if n.at("additionalProperties").text() == "false" || n.at("unevaluatedProperties").text() == "false" {
		list = append(list, "no other members")
	}
	return list
}
