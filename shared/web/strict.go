package web

import (
	"bytes"
	"errors"
	"fmt"
	"unicode/utf8"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/dlai-sd/plant/shared/domain"
	"github.com/dlai-sd/plant/shared/domain/canonical"
)

// maxQuote bounds what a problem repeats of a request, in bytes: names in a
// body may be as long as the body.
const maxQuote = 256

// The rules of bodies that are not a canonical.Class.
const (
	ruleObject  = "object"
	ruleUnknown = "unknown_field"
)

// checkObject refuses what is not one strict JSON object. It comes before
// decoding, so that what a Go type makes of a value never decides whether a
// body is well formed.
func checkObject(raw []byte) error {
	_, err := canonical.Form(raw)
	if err == nil && bytes.Contains(raw, []byte(`\u0000`)) {
		err = canonical.CheckNoNUL(raw)
	}
	var refused *canonical.Error
	switch {
	case errors.As(err, &refused):
		return refuseBody(string(refused.Class), refused.Pointer, refused.Detail, remedy(refused.Class))
	case err != nil:
		return &Problem{Code: domain.CodeMalformed, Err: err}
	case jsontext.Value(raw).Kind() != jsontext.KindBeginObject:
		return refuseBody(ruleObject, "", "the body is not a JSON object", "send one object, in braces")
	}
	return nil
}

func remedy(c canonical.Class) string {
	switch c {
	case canonical.ClassUTF8, canonical.ClassSurrogate:
		return "encode the text as UTF-8; escape characters beyond U+FFFF as a pair, or not at all"
	case canonical.ClassDuplicate:
		return "keep one of the two"
	case canonical.ClassNumber:
		return "use integers within ±(2^53-1), decimals of at most 15 significant digits, or a string"
	case canonical.ClassDepth:
		return fmt.Sprintf("nest at most %d objects and arrays", canonical.MaxDepth)
	case canonical.ClassNUL:
		return "remove the character"
	}
	return "send one JSON object as RFC 8259 defines it, and nothing after it"
}

// decodeProblem makes a 400 of what json.Unmarshal says of a sound text. The
// sentences are ours: the library's may change, and quote the input.
func decodeProblem(err error) error {
	var semantic *json.SemanticError
	if !errors.As(err, &semantic) {
		return &Problem{Code: domain.CodeMalformed, Err: err}
	}
	place := semantic.JSONPointer
	if errors.Is(err, json.ErrUnknownName) {
		return refuseBody(ruleUnknown, string(place),
			fmt.Sprintf("there is no field %q here that a caller may set", clip(place.LastToken())),
			"remove it, or check its spelling: names are case-sensitive")
	}
	return refuseBody(string(canonical.ClassType), string(place),
		"the value is not of this field's type", "see the field's type in the API's description")
}

// refuseBody is a 400 with one violation.
func refuseBody(rule, pointer, message, remediation string) error {
	field := clip(pointer)
	where := "The body is refused"
	if field != "" {
		where += " at " + field
	}
	return &Problem{
		Code: domain.CodeMalformed, Detail: where + ": " + message + ".",
		Violations: []domain.Violation{{Rule: "body." + rule, Field: field, Message: message, Remediation: remediation}},
	}
}

// clip shortens a text to maxQuote bytes without breaking a character.
func clip(s string) string {
	if len(s) <= maxQuote {
		return s
	}
	end := maxQuote
	for end > 0 && !utf8.RuneStart(s[end]) {
		end--
	}
	return s[:end] + "…"
}
