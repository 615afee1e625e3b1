package web

import (
	"errors"
	"io"
	"mime"
	"net/http"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"

	"github.com/dlai-sd/plant/shared/domain"
)

// The media types that bodies have, and their usual limits in bytes.
const (
	MediaJSON       = "application/json"
	MediaMergePatch = "application/merge-patch+json" // RFC 7396

	LimitBody  = 256 << 10
	LimitBatch = 4 << 20
)

// Body reads and decodes a JSON object strictly, and returns it with the bytes
// that were sent. mediaTypes are those it accepts; none means MediaJSON.
//
// Refused with 415: another or no Content-Type, a charset that is not utf-8,
// any Content-Encoding. With 413: more than limit bytes. With 400 and one
// violation that points at the place: what RFC 8259 refuses, invalid UTF-8,
// lone surrogates, duplicate, unknown and wrong-case names, trailing data, a
// top level that is not an object, nesting deeper than 32, NUL in a string or
// name, numbers that canonical JSON (RFC 8785) would change, and values of
// another type than T's. A null decodes to the zero value: it means absent. The bytes
// are returned also where they are refused, if they could be read.
func Body[T any](r *http.Request, limit int64, mediaTypes ...string) (T, []byte, error) {
	var v T
	raw, err := Raw(r, limit, mediaTypes...)
	if err != nil {
		return v, nil, err
	}
	if err := Decode(raw, &v); err != nil {
		var zero T
		return zero, raw, err
	}
	return v, raw, nil
}

// Raw is what Body does before it decodes: media type, encoding and size are
// checked, and the bytes are returned as they were sent.
func Raw(r *http.Request, limit int64, mediaTypes ...string) ([]byte, error) {
	if err := checkMediaType(r, mediaTypes); err != nil {
		return nil, err
	}
	return readAll(r, limit)
}

// Decode is what Body does once it has the bytes: v is a pointer.
func Decode(raw []byte, v any) error {
	if err := checkObject(raw); err != nil {
		return err
	}
	if err := json.Unmarshal(raw, v, json.RejectUnknownMembers(true)); err != nil {
		return decodeProblem(err)
	}
	return nil
}

func checkMediaType(r *http.Request, accepted []string) error {
	if len(accepted) == 0 {
		accepted = []string{MediaJSON}
	}
	refuse := func(detail string) error {
		p := Refuse(CodeUnsupportedMediaType, "%s", detail)
		p.Header = http.Header{"Accept": {strings.Join(accepted, ", ")}}
		return p
	}
	if r.Header.Get("Content-Encoding") != "" {
		return refuse("The body must be sent without a Content-Encoding.")
	}
	given := r.Header.Values("Content-Type")
	if len(given) != 1 {
		return refuse("Send exactly one Content-Type: " + strings.Join(accepted, " or ") + ".")
	}
	mediaType, params, err := mime.ParseMediaType(given[0])
	if err != nil || !slices.Contains(accepted, mediaType) {
		return refuse("The Content-Type must be " + strings.Join(accepted, " or ") + ".")
	}
	for name, value := range params {
		if name != "charset" || !strings.EqualFold(value, "utf-8") {
			return refuse("The only parameter a Content-Type may have here is charset=utf-8.")
		}
	}
	return nil
}

func readAll(r *http.Request, limit int64) ([]byte, error) {
	tooLarge := Refuse(domain.CodeTooLarge, "The body is larger than %d bytes, which is what this route takes.", limit)
	if r.ContentLength > limit {
		return nil, tooLarge
	}
	raw, err := io.ReadAll(http.MaxBytesReader(nil, r.Body, limit))
	var over *http.MaxBytesError
	switch {
	case errors.As(err, &over):
		return nil, tooLarge
	case err != nil:
		return nil, &Problem{Code: domain.CodeMalformed, Detail: "The body could not be read to its end.", Err: err}
	}
	return raw, nil
}
