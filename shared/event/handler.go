package event

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/dlai-sd/plant/shared/domain"
	"github.com/dlai-sd/plant/shared/web"
)

// DeadLetter takes a message that will never succeed; (*Publisher).DeadLetter
// is one.
type DeadLetter func(ctx context.Context, consumer string, push Push, cause error) error

type permanent struct{ cause error }

// Permanent marks an error as one that no further delivery can cure. Permanent
// of nil is nil.
func Permanent(err error) error {
	if err == nil {
		return nil
	}
	return permanent{err}
}

func (p permanent) Error() string { return p.cause.Error() }
func (p permanent) Unwrap() error { return p.cause }

// IsPermanent reports whether an error was marked with Permanent.
func IsPermanent(err error) bool {
	var p permanent
	return errors.As(err, &p)
}

// Handler answers the pushes of one consumer. What f does must be safe to
// repeat: delivery is at least once. It answers 204 when f succeeds, and when it
// fails for good and the message has gone to the dead letters; anything else is
// a 503, after which Pub/Sub delivers again. A message that is not an event
// fails for good. Who calls is checked before: see auth.OIDC.
func Handler(consumer string, f func(context.Context, Event) error, dead DeadLetter) http.Handler {
	return Pushed(consumer, func(ctx context.Context, push Push) error {
		e, err := Parse(push.Message.Data, push.Message.Attributes)
		if err != nil {
			return Permanent(err)
		}
		web.Adopt(ctx, e.RequestID, e.Traceparent)
		return f(ctx, e)
	}, dead)
}

// Pushed is Handler for messages that are not events of ours, but somebody else's.
func Pushed(consumer string, f func(context.Context, Push) error, dead DeadLetter) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		push, err := readPush(r)
		if err == nil {
			err = f(r.Context(), push)
		}
		if IsPermanent(err) {
			web.Logger(r.Context()).ErrorContext(r.Context(), consumer+" gives up on a message: "+web.Describe(err))
			err = dead(r.Context(), consumer, push, err)
		}
		if err != nil {
			web.Fail(w, r, &web.Problem{Code: domain.CodeUnavailable, Detail: "The event could not be handled now.", Err: err})
			return
		}
		web.WriteJSON(w, r, web.NoContent{})
	})
}

// OrClock answers the clock's call, which has no body, by beginning what is due, and
// leaves whatever has one to pushed.
func OrClock(begin func(context.Context) error, pushed http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ContentLength != 0 {
			pushed.ServeHTTP(w, r)
			return
		}
		if err := begin(r.Context()); err != nil {
			web.Fail(w, r, &domain.Error{Code: domain.CodeUnavailable, Detail: "The run could not be begun now.", Err: err})
			return
		}
		web.WriteJSON(w, r, web.NoContent{})
	})
}

// readPush reads and parses a push. What does not parse is returned as a push
// whose message holds the body as it came, so that it can be looked at.
func readPush(r *http.Request) (Push, error) {
	body, err := io.ReadAll(io.LimitReader(r.Body, maxPush+1))
	if err != nil {
		return Push{}, fmt.Errorf("push: read the body: %w", err)
	}
	push, err := ParsePush(r.Header.Get("Content-Type"), body)
	if err != nil {
		return Push{Message: Message{Data: body}}, Permanent(err)
	}
	return push, nil
}
