package embedding

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/sony/gobreaker/v2"
)

const (
	attempts       = 3
	firstDelay     = 100 * time.Millisecond // doubled from one attempt to the next
	attemptTimeout = 10 * time.Second
	maxAnswer      = 4 << 20

	tripAfter = 5                // failed attempts in a row open the circuit
	openFor   = 10 * time.Second // then one attempt may try again
)

// Errors of a Client that a caller may want to tell apart, beside StatusError.
var (
	ErrCircuitOpen = errors.New("the embedding service failed often enough not to be asked")
	ErrAnswer      = errors.New("the embedding service gave another answer than it should")
)

// StatusError is an answer that is not a success.
type StatusError struct{ Status int }

func (e *StatusError) Error() string {
	return fmt.Sprintf("the embedding service answered %d %s", e.Status, http.StatusText(e.Status))
}

// refused says that asking again would not help, and that the service is well.
func (e *StatusError) refused() bool { return e.Status >= 400 && e.Status < 500 }

// Client asks an embedding service over HTTP. What fails for want of an answer,
// by a status of 5xx or by a wrong answer is tried three times in all, after
// 100 ms and 200 ms, each more or less by half; a 4xx is not. An attempt takes
// at most ten seconds. Five failed attempts in a row open the circuit: for ten
// seconds calls fail at once with ErrCircuitOpen, then a single one tries. A
// Client may be used by many goroutines.
type Client struct {
	address string
	http    *http.Client
	token   func(context.Context) (string, error)
	circuit *gobreaker.CircuitBreaker[[]byte]
}

// ClientOptions say how a Client reaches the service.
type ClientOptions struct {
	// HTTP sends the requests; nil is a client of its own. What authorises
	// requests may be its transport.
	HTTP *http.Client
	// Token returns the bearer token of an attempt; nil sends none.
	Token func(context.Context) (string, error)
}

// NewClient returns a client of the service at base, an absolute URL below
// which Path is.
func NewClient(base string, opts ClientOptions) (*Client, error) {
	u, err := url.Parse(base)
	if err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") {
		return nil, fmt.Errorf("embedding client: %q is not an http or https URL", base)
	}
	c := &Client{address: u.JoinPath(Path).String(), http: opts.HTTP, token: opts.Token}
	if c.http == nil {
		c.http = &http.Client{}
	}
	c.circuit = gobreaker.NewCircuitBreaker[[]byte](gobreaker.Settings{
		Timeout:      openFor,
		ReadyToTrip:  func(counts gobreaker.Counts) bool { return counts.ConsecutiveFailures >= tripAfter },
		IsSuccessful: func(err error) bool { return err == nil || isRefusal(err) },
		IsExcluded:   func(err error) bool { var own *ownError; return errors.As(err, &own) },
	})
	return c, nil
}

// Embed returns the embedding of a text.
func (c *Client) Embed(ctx context.Context, text string) (Embedding, error) {
	var answer Response
	err := c.call(ctx, Request{Text: &text}, func(body []byte) error {
		answer = Response{}
		if err := json.Unmarshal(body, &answer); err != nil {
			return err
		}
		return checkAnswer(answer.Model, answer.Dimensions, 1, []Embedding{answer.Embedding})
	})
	return answer.Embedding, err
}

// EmbedAll returns the embeddings of texts, in their order, asking for MaxTexts
// at a time.
func (c *Client) EmbedAll(ctx context.Context, texts []string) ([]Embedding, error) {
	all := make([]Embedding, 0, len(texts))
	for begin := 0; begin < len(texts); begin += MaxTexts {
		some := texts[begin:min(len(texts), begin+MaxTexts)]
		var answer BatchResponse
		err := c.call(ctx, Request{Texts: some}, func(body []byte) error {
			answer = BatchResponse{}
			if err := json.Unmarshal(body, &answer); err != nil {
				return err
			}
			return checkAnswer(answer.Model, answer.Dimensions, len(some), answer.Embeddings)
		})
		if err != nil {
			return nil, err
		}
		all = append(all, answer.Embeddings...)
	}
	return all, nil
}

func checkAnswer(model string, dimensions, count int, embeddings []Embedding) error {
	if model != ModelID || dimensions != Dimensions || len(embeddings) != count {
		return fmt.Errorf("%d vectors of %d values by %q, not %d of %d by %q",
			len(embeddings), dimensions, model, count, Dimensions, ModelID)
	}
	for _, e := range embeddings {
		if err := Valid(e.Vector); err != nil {
			return err
		}
	}
	return nil
}

// call makes the attempts; accept takes the answer or says what is wrong with
// it.
func (c *Client) call(ctx context.Context, request Request, accept func([]byte) error) error {
	body, err := json.Marshal(request)
	if err != nil {
		return fmt.Errorf("ask for an embedding: %w", err)
	}
	for attempt := 0; ; attempt++ {
		_, err := c.circuit.Execute(func() ([]byte, error) {
			answer, err := c.attempt(ctx, body)
			if err != nil {
				return nil, err
			}
			if err := accept(answer); err != nil {
				return nil, fmt.Errorf("%w: %w", ErrAnswer, err)
			}
			return nil, nil
		})
		if err == nil {
			return nil
		}
		if errors.Is(err, gobreaker.ErrOpenState) || errors.Is(err, gobreaker.ErrTooManyRequests) {
			return fmt.Errorf("ask for an embedding: %w", ErrCircuitOpen)
		}
		var own *ownError
		if isRefusal(err) || errors.As(err, &own) || attempt+1 == attempts {
			return fmt.Errorf("ask for an embedding, attempt %d: %w", attempt+1, err)
		}
		if err := pause(ctx, attempt); err != nil {
			return fmt.Errorf("ask for an embedding: %w", err)
		}
	}
}

// attempt sends a request once. An error on the caller's side is an ownError.
func (c *Client) attempt(ctx context.Context, body []byte) (_ []byte, failed error) {
	caller := ctx
	ctx, cancel := context.WithTimeout(ctx, attemptTimeout)
	defer cancel()
	defer func() {
		if failed != nil && caller.Err() != nil {
			failed = &ownError{context.Cause(caller)}
		}
	}()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, c.address, bytes.NewReader(body))
	if err != nil {
		return nil, &ownError{err}
	}
	request.Header.Set("Content-Type", "application/json")
	if c.token != nil {
		token, err := c.token(ctx)
		if err != nil {
			return nil, &ownError{fmt.Errorf("get a token: %w", err)}
		}
		request.Header.Set("Authorization", "Bearer "+token)
	}
	response, err := c.http.Do(request)
	if err != nil {
		return nil, err
	}
	defer func() { failed = errors.Join(failed, response.Body.Close()) }()
	answer, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	if err != nil {
		return nil, fmt.Errorf("read the answer: %w", err)
	}
	if response.StatusCode != http.StatusOK {
		return nil, &StatusError{Status: response.StatusCode}
	}
	return answer, nil
}

// ownError is one that says nothing about the service.
type ownError struct{ err error }

func (e *ownError) Error() string { return e.err.Error() }
func (e *ownError) Unwrap() error { return e.err }

func isRefusal(err error) bool {
	var status *StatusError
	return errors.As(err, &status) && status.refused()
}

// pause waits before the next attempt: between half and one and a half of the
// delay, so that callers who failed together do not come back together.
func pause(ctx context.Context, attempt int) error {
	delay := firstDelay << attempt
	timer := time.NewTimer(delay/2 + rand.N(delay)) // #nosec -- nothing depends on it being unknown
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
