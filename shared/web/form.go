package web

import (
	"net/http"
	"net/url"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
)

// The media type of HTML forms, which OAuth uses, and its limit in bytes.
const (
	MediaForm = "application/x-www-form-urlencoded"
	LimitForm = 8 << 10
)

// Form reads a body of form fields and returns the value of each name. Refused
// as Body does it: another Content-Type (415), more than limit bytes (413), and
// with 400 what is not form-encoded UTF-8 and a name that comes twice. Values
// never stand in a refusal.
func Form(r *http.Request, limit int64) (map[string]string, error) {
	if err := checkMediaType(r, []string{MediaForm}); err != nil {
		return nil, err
	}
	raw, err := readAll(r, limit)
	if err != nil {
		return nil, err
	}
	parsed, err := url.ParseQuery(string(raw))
	if err != nil {
		return nil, refuseBody("form", "", "the body is not form-encoded", "send name=value pairs, percent-encoded, joined by &")
	}
	fields := make(map[string]string, len(parsed))
	for name, values := range parsed {
		if !utf8.ValidString(name) {
			return nil, refuseBody("form", "", "the name of a field is not UTF-8", "encode names as UTF-8")
		}
		pointer := string(jsontext.Pointer("").AppendToken(name))
		switch {
		case len(values) != 1:
			return nil, refuseBody("duplicate", pointer, "the field comes more than once", "keep one of them")
		case !utf8.ValidString(values[0]):
			return nil, refuseBody("form", pointer, "the value is not UTF-8", "encode the value as UTF-8")
		}
		fields[name] = values[0]
	}
	return fields, nil
}
