package domain

import (
	"bytes"
	"io"

	"github.com/go-json-experiment/json/jsontext"
)

// attributesFault finds what custom_attributes may not be: anything but an
// object, or a null at any depth. It returns the place as a JSON Pointer.
func attributesFault(v jsontext.Value) (field string, found bool) {
	const root = "/custom_attributes"
	if len(v) == 0 {
		return "", false
	}
	if v.Kind() != '{' {
		return root, true
	}
	dec := jsontext.NewDecoder(bytes.NewReader(v))
	for {
		token, err := dec.ReadToken()
		switch {
		case err == io.EOF:
			return "", false
		case err != nil, token.Kind() == 'n':
			return root + string(dec.StackPointer()), true
		}
	}
}
