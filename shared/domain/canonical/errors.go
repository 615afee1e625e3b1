package canonical

import (
	"bytes"
	"errors"
	"io"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
)

// Class says why a text was refused. The values are stable.
type Class string

// The classes. Those up to ClassDepth concern any JSON text; ClassForm only
// bytes that claim to be canonical; the others only values at the door (NUL,
// null) and states.
const (
	ClassSyntax    Class = "syntax"        // not JSON (RFC 8259), or data after the value
	ClassUTF8      Class = "utf8"          // not UTF-8
	ClassSurrogate Class = "surrogate"     // an escaped surrogate without its other half
	ClassDuplicate Class = "duplicate_key" // a name twice in one object
	ClassNumber    Class = "number"        // a number that canonical JSON would change
	ClassDepth     Class = "depth"         // nested deeper than MaxDepth
	ClassForm      Class = "not_canonical" // valid, but not in canonical form
	ClassNUL       Class = "nul"           // U+0000 in a string or name
	ClassNull      Class = "null"          // null where absence is meant
	ClassEmpty     Class = "empty"         // "", [] or {} where absence is meant
	ClassSet       Class = "set"           // a set that is not sorted, or holds something twice
	ClassType      Class = "type"          // not the type of value that belongs here
)

// Error is a refusal: its class, where in the text it happened, and a sentence
// that repeats nothing of the text.
type Error struct {
	Class   Class
	Pointer string // JSON Pointer (RFC 6901) of the value; "" is the whole text
	Detail  string
}

// Error describes the refusal. The pointer holds names from the text, so it is
// not part of the message: messages may be logged.
func (e *Error) Error() string { return "json: " + string(e.Class) + ": " + e.Detail }

// classify makes an *Error of what jsontext reports about src.
func classify(src []byte, err error) *Error {
	var refused *Error
	if errors.As(err, &refused) {
		return refused
	}
	out := &Error{Class: ClassSyntax, Detail: "not well-formed"}
	var bad *jsontext.SyntacticError
	at := len(src)
	if errors.As(err, &bad) {
		out.Pointer = string(bad.JSONPointer)
		at = int(min(bad.ByteOffset, int64(len(src))))
	}
	switch {
	case errors.Is(err, jsontext.ErrDuplicateName):
		out.Class, out.Detail = ClassDuplicate, "a name occurs twice in one object"
	case !utf8.Valid(src):
		out.Class, out.Detail = ClassUTF8, "not valid UTF-8"
	case isSurrogate(src[at:]):
		out.Class, out.Detail = ClassSurrogate, "a surrogate without its other half"
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		out.Detail = "ends too early"
	}
	return out
}

// asError is the error that e is; nil is none.
func asError(e *Error) error {
	if e == nil {
		return nil
	}
	return e
}

// isSurrogate reports whether b begins with the escape of a UTF-16 surrogate:
// \uD800 to \uDFFF.
func isSurrogate(b []byte) bool {
	return len(b) >= 6 && b[0] == '\\' && b[1] == 'u' &&
		(b[2] == 'd' || b[2] == 'D') && bytes.IndexByte([]byte("89abcdefABCDEF"), b[3]) >= 0
}
