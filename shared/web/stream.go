package web

import (
	"context"
	"io"
	"net/http"
	"time"
)

const (
	streamTimeout = 55 * time.Minute // of a whole download: a request may last an hour
	streamStall   = 30 * time.Second // for the client to take what was written
)

// Stream sends what f writes as a file to keep. It may take longer than other
// answers: what is bounded is how long the client lets it wait. An error of f
// breaks the connection off, so that nobody takes half a file for a whole one.
func Stream(w http.ResponseWriter, r *http.Request, mediaType, name string, f func(context.Context, io.Writer) error) {
	w.Header().Set("Content-Type", mediaType)
	w.Header().Set("Content-Disposition", `attachment; filename="`+name+`"`)
	w.WriteHeader(http.StatusOK)
	if r.Method == http.MethodHead {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), streamTimeout)
	defer cancel()
	if err := f(ctx, &patient{w, http.NewResponseController(w)}); err != nil {
		if n := noteFrom(r.Context()); n != nil {
			n.fail(internal(err))
		}
		panic(http.ErrAbortHandler)
	}
}

// patient gives every write a deadline of its own.
type patient struct {
	io.Writer
	rc *http.ResponseController
}

func (p *patient) Write(b []byte) (int, error) {
	_ = p.rc.SetWriteDeadline(time.Now().Add(streamStall)) // a test's recorder has none
	return p.Writer.Write(b)
}
