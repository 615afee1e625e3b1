// Package canonical reads JSON strictly and writes it in the one form that is
// hashed and signed: RFC 8785 (JCS), over I-JSON (RFC 7493), with limits on
// numbers and depth that leave nothing for two implementations to differ about.
package canonical

import (
	"bytes"
	"errors"
	"io"

	"github.com/go-json-experiment/json/jsontext"
)

// MaxDepth is how many arrays and objects may contain one another, the
// outermost counted.
const MaxDepth = 32

// Form returns the canonical form of one JSON text. What it returns it accepts
// again, unchanged. It refuses, with an *Error: malformed JSON and data after
// the value, invalid UTF-8, lone surrogates, duplicate names, depth over
// MaxDepth, and numbers that canonical JSON would silently change (see
// ClassNumber). src is not modified and may be anything.
func Form(src []byte) ([]byte, error) {
	if refused := scan(src, nil); refused != nil {
		return nil, refused
	}
	form, err := jsontext.AppendFormat(make([]byte, 0, len(src)), src,
		jsontext.CanonicalizeRawInts(true),
		jsontext.CanonicalizeRawFloats(true),
		jsontext.ReorderRawObjects(true))
	if err != nil {
		return nil, classify(src, err)
	}
	return form, nil
}

// Check reports whether b is its own canonical form: an *Error of Form, or one
// of ClassForm where the text is sound but would be written differently.
func Check(b []byte) error {
	form, err := Form(b)
	if err != nil {
		return err
	}
	if !bytes.Equal(form, b) {
		return &Error{Class: ClassForm, Detail: "valid JSON, but not in canonical form"}
	}
	return nil
}

// CheckNoNUL refuses (ClassNUL) a text with U+0000 in a string or a name: it is
// valid JSON, but PostgreSQL can store it in neither text nor jsonb.
func CheckNoNUL(src []byte) error {
	if !bytes.Contains(src, []byte(`\u0000`)) { // a raw NUL is no JSON, and no other escape yields one
		return asError(scan(src, nil))
	}
	return asError(scan(src, func(v jsontext.Value) *Error {
		if v.Kind() != jsontext.KindString {
			return nil
		}
		s, err := jsontext.AppendUnquote(nil, v)
		if err == nil && bytes.IndexByte(s, 0) < 0 {
			return nil
		}
		return &Error{Class: ClassNUL, Detail: "U+0000 cannot be stored"}
	}))
}

// CheckNoNull refuses (ClassNull) a text that holds null at any depth.
func CheckNoNull(src []byte) error { return asError(scan(src, refuseNull)) }

func refuseNull(v jsontext.Value) *Error {
	if v.Kind() != jsontext.KindNull {
		return nil
	}
	return &Error{Class: ClassNull, Detail: "null is not a value here"}
}

// scan reads one JSON text from end to end by the rules of Form. judge, if
// there is one, sees every name, string, number and literal.
func scan(src []byte, judge func(jsontext.Value) *Error) *Error {
	d := jsontext.NewDecoder(bytes.NewBuffer(src))
	for {
		if err := step(d, judge); err != nil {
			return classify(src, err)
		}
		if d.StackDepth() == 0 {
			break
		}
	}
	if _, err := d.ReadToken(); !errors.Is(err, io.EOF) {
		return &Error{Class: ClassSyntax, Detail: "data after the value"}
	}
	return nil
}

// step reads one token.
func step(d *jsontext.Decoder, judge func(jsontext.Value) *Error) error {
	kind := d.PeekKind()
	switch kind {
	case jsontext.KindBeginObject, jsontext.KindBeginArray, jsontext.KindEndObject, jsontext.KindEndArray:
		if _, err := d.ReadToken(); err != nil {
			return err
		}
		if d.StackDepth() > MaxDepth {
			return &Error{Class: ClassDepth, Pointer: string(d.StackPointer()), Detail: "nested deeper than 32"}
		}
		return nil
	}
	v, err := d.ReadValue()
	if err != nil {
		return err
	}
	var refused *Error
	if kind == jsontext.KindNumber {
		refused = checkNumber(v)
	}
	if refused == nil && judge != nil {
		refused = judge(v)
	}
	if refused != nil {
		refused.Pointer = string(d.StackPointer())
		return refused
	}
	return nil
}
