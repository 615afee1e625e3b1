package web

import (
	"context"
	"fmt"
	"net/http"
	"strconv"

	"github.com/go-json-experiment/json"
)

// NoContent is the answer of a function that has nothing to say: 204.
type NoContent struct{}

// StatusCode is 204.
func (NoContent) StatusCode() int { return http.StatusNoContent }

type statusCoder interface{ StatusCode() int }

type headerSetter interface{ SetHeaders(http.Header) }

// Endpoint adapts f to HTTP: decode, call, encode. The answer is JSON with
// status 200, unless Out has StatusCode() int; Out may add headers with
// SetHeaders(http.Header). With status 204 or 304 no body is sent. An error of
// either function becomes a problem document, and nothing has been sent then.
func Endpoint[In, Out any](decode func(*http.Request) (In, error), f func(context.Context, In) (Out, error)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		in, err := decode(r)
		if err != nil {
			Fail(w, r, err)
			return
		}
		out, err := f(r.Context(), in)
		if err != nil {
			Fail(w, r, err)
			return
		}
		WriteJSON(w, r, out)
	})
}

// WriteJSON sends out as Endpoint does.
func WriteJSON(w http.ResponseWriter, r *http.Request, out any) {
	status := http.StatusOK
	if s, ok := out.(statusCoder); ok {
		status = s.StatusCode()
	}
	var body []byte
	if hasBody(status) {
		var err error
		if body, err = json.Marshal(out, json.Deterministic(true)); err != nil {
			Fail(w, r, fmt.Errorf("encode response: %w", err))
			return
		}
		w.Header().Set("Content-Type", "application/json")
	}
	if s, ok := out.(headerSetter); ok {
		s.SetHeaders(w.Header())
	}
	write(w, r, status, body)
}

// write sends a complete response. A failing write means that the client is
// gone; there is nobody left to tell.
func write(w http.ResponseWriter, r *http.Request, status int, body []byte) {
	if hasBody(status) {
		w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	}
	w.WriteHeader(status)
	if r.Method != http.MethodHead && hasBody(status) {
		_, _ = w.Write(body) // #nosec -- JSON, or a page of html/template
	}
}

func hasBody(status int) bool {
	return status != http.StatusNoContent && status != http.StatusNotModified
}
