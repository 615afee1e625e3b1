package canonical

import (
	"bytes"
	"slices"

	"github.com/go-json-experiment/json/jsontext"
)

// attributes is the one member of a state whose content is its author's own.
const attributes = "custom_attributes"

// CheckState reports whether b can be an entity's state as it is hashed: an
// object in canonical form; no member null, "", [] or {}, which mean absence;
// custom_attributes an object without null at any depth; tags, required_skills
// and may_sign lists of strings, each once, sorted by their UTF-8 bytes. Errors
// are of type *Error.
func CheckState(b []byte) error {
	if err := Check(b); err != nil {
		return err
	}
	if b[0] != '{' {
		return &Error{Class: ClassType, Detail: "a state is an object"}
	}
	d := jsontext.NewDecoder(bytes.NewBuffer(b))
	if _, err := d.ReadToken(); err != nil {
		return classify(b, err)
	}
	for d.PeekKind() != jsontext.KindEndObject {
		name, err := d.ReadToken()
		if err != nil {
			return classify(b, err)
		}
		member := name.String()
		value, err := d.ReadValue()
		if err != nil {
			return classify(b, err)
		}
		if refused := checkMember(member, value); refused != nil {
			refused.Pointer = string(jsontext.Pointer("").AppendToken(member)) + refused.Pointer
			return refused
		}
	}
	return nil
}

// checkMember judges one member of a canonical state; the error's pointer is
// relative to the value.
func checkMember(name string, v jsontext.Value) *Error {
	switch string(v) {
	case "null":
		return &Error{Class: ClassNull, Detail: "an absent field is left out"}
	case `""`, `[]`, `{}`:
		return &Error{Class: ClassEmpty, Detail: "an absent field is left out"}
	}
	switch name {
	case attributes:
		return checkAttributes(v)
	case "tags", "required_skills", "may_sign":
		return checkSet(v)
	}
	return nil
}

func checkAttributes(v jsontext.Value) *Error {
	if v.Kind() != jsontext.KindBeginObject {
		return &Error{Class: ClassType, Detail: "custom_attributes is an object"}
	}
	if !bytes.Contains(v, []byte("null")) {
		return nil
	}
	return scan(v, refuseNull)
}

func checkSet(v jsontext.Value) *Error {
	if v.Kind() != jsontext.KindBeginArray {
		return &Error{Class: ClassType, Detail: "a set is a list"}
	}
	d := jsontext.NewDecoder(bytes.NewBuffer(v))
	if _, err := d.ReadToken(); err != nil {
		return classify(v, err)
	}
	var last []byte
	for first := true; d.PeekKind() != jsontext.KindEndArray; first = false {
		if d.PeekKind() != jsontext.KindString {
			return &Error{Class: ClassType, Detail: "a set holds strings"}
		}
		value, err := d.ReadValue()
		if err != nil {
			return classify(v, err)
		}
		item, err := jsontext.AppendUnquote(nil, value)
		if err != nil {
			return classify(v, err)
		}
		if !first && slices.Compare(last, item) >= 0 {
			return &Error{Class: ClassSet, Detail: "a set is sorted, each member once"}
		}
		last = item
	}
	return nil
}
