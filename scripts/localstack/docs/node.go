package docs

import (
	"bytes"
	"errors"
	"fmt"
	"iter"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
	"go.yaml.in/yaml/v3"
)

// node is a place in the document. The zero node is one that is not there: it
// has no members, no items and an empty text.
type node struct{ *yaml.Node }

func parse(document []byte) (node, error) {
	var root yaml.Node
	if err := yaml.Unmarshal(document, &root); err != nil {
		return node{}, err
	}
	if len(root.Content) != 1 || root.Content[0].Kind != yaml.MappingNode {
		return node{}, errors.New("the document is not an object")
	}
	return node{root.Content[0]}, nil
}

func (n node) there() bool { return n.Node != nil }

// text is a scalar's value, "" for anything else.
func (n node) text() string {
	if n.there() && n.Kind == yaml.ScalarNode {
		return n.Value
	}
	return ""
}

func (n node) isTrue() bool { return n.text() == "true" }

// members are an object's, in the document's order.
func (n node) members() iter.Seq2[string, node] {
	return func(yield func(string, node) bool) {
		if !n.there() || n.Kind != yaml.MappingNode {
			return
		}
		for i := 0; i+1 < len(n.Content); i += 2 {
			if !yield(n.Content[i].Value, node{n.Content[i+1]}) {
				return
			}
		}
	}
}

// items are an array's.
func (n node) items() iter.Seq[node] {
	return func(yield func(node) bool) {
		if !n.there() || n.Kind != yaml.SequenceNode {
			return
		}
		for _, item := range n.Content {
			if !yield(node{item}) {
				return
			}
		}
	}
}

// at follows names into objects.
func (n node) at(names ...string) node {
	for _, name := range names {
		found := node{}
		for key, value := range n.members() {
			if key == name {
				found = value
			}
		}
		n = found
	}
	return n
}

// refSteps bounds a chain of references.
const refSteps = 8

// reader resolves references of one document.
type reader struct {
	root node
	errs []error
}

// follow returns what a node refers to, and the last name of the reference, ""
// if it is none.
func (r *reader) follow(n node) (node, string) {
	name := ""
	for range refSteps {
		ref := n.at("$ref").text()
		if ref == "" {
			return n, name
		}
		path, ours := strings.CutPrefix(ref, "#/")
		steps := strings.Split(path, "/")
		n, name = r.root.at(steps...), steps[len(steps)-1]
		if !ours || !n.there() {
			r.errs = append(r.errs, fmt.Errorf("%q refers to nothing in the document", ref))
			return node{}, name
		}
	}
	r.errs = append(r.errs, fmt.Errorf("a reference to %s goes in circles", name))
	return node{}, name
}

// asJSON writes a value as JSON, members in the document's order.
func asJSON(n node) (string, error) {
	var b bytes.Buffer
	enc := jsontext.NewEncoder(&b, jsontext.WithIndent("  "))
	if err := encode(enc, n); err != nil {
		return "", err
	}
	return strings.TrimSpace(b.String()), nil
}

func encode(enc *jsontext.Encoder, n node) error {
	switch n.Kind {
	case yaml.MappingNode:
		if err := enc.WriteToken(jsontext.BeginObject); err != nil {
			return err
		}
		for name, value := range n.members() {
			if err := errors.Join(enc.WriteToken(jsontext.String(name)), encode(enc, value)); err != nil {
				return err
			}
		}
		return enc.WriteToken(jsontext.EndObject)
	case yaml.SequenceNode:
		if err := enc.WriteToken(jsontext.BeginArray); err != nil {
			return err
		}
		for item := range n.items() {
			if err := encode(enc, item); err != nil {
				return err
			}
		}
		return enc.WriteToken(jsontext.EndArray)
	}
	switch n.ShortTag() {
	case "!!null":
		return enc.WriteToken(jsontext.Null)
	case "!!bool", "!!int", "!!float":
		return enc.WriteValue(jsontext.Value(n.Value))
	}
	return enc.WriteToken(jsontext.String(n.Value))
}
