package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/dlai-sd/plant/shared/domain"
)

const (
	callTimeout = 60 * time.Second // a batch of 500 on a busy machine
	callTries   = 4
	maxAnswer   = 32 << 20
)

// client speaks to the functions over HTTP.
type client struct {
	base  string
	token string
	http  *http.Client
}

// problem is what the functions say of a refusal (RFC 9457).
type problem struct {
	Status     int                `json:"status"`
	Code       domain.Code        `json:"code"`
	Title      string             `json:"title"`
	Detail     string             `json:"detail"`
	RequestID  string             `json:"request_id"`
	Violations []domain.Violation `json:"violations"`
}

func (p *problem) Error() string {
	text := fmt.Sprintf("%d %s: %s", p.Status, p.Title, p.Detail)
	for _, v := range p.Violations {
		text += fmt.Sprintf("\n  %s %s: %s (%s)", v.Rule, v.Field, v.Message, v.Remediation)
	}
	return text
}

// advised adds what to try to a refusal.
func (p *problem) advised() error {
	switch p.Status {
	case http.StatusUnauthorized:
		return advise(p, "export PLANT_TOKEN=$(plant token): a token is good for 30 minutes")
	case http.StatusForbidden:
		return advise(p, "plant token for a principal that may")
	case http.StatusNotFound:
		return advise(p, "an id that your token may see")
	case http.StatusServiceUnavailable, http.StatusTooManyRequests:
		return advise(p, "the same command again in a moment")
	}
	if p.Status >= http.StatusInternalServerError {
		return advise(p, "the functions' logs, for the request "+p.RequestID)
	}
	return advise(p, "mend what the answer names")
}

// connect makes a client. Without PLANT_TOKEN it speaks for the local stack's
// demo principal, if that stack runs here.
func (a *app) connect() (*client, error) {
	base, err := need(a.settings.URL, "PLANT_URL")
	if err != nil {
		return nil, err
	}
	token := a.settings.Token
	if token == "" {
		if token, _, err = a.mint(demoAgent, demoName, false); err != nil {
			return nil, advise(err, startStack+", or export PLANT_TOKEN=…")
		}
	}
	return &client{base: base, token: token, http: &http.Client{Timeout: callTimeout}}, nil
}

// get reads a path into out.
func (c *client) get(ctx context.Context, path string, query url.Values, out any) error {
	if len(query) > 0 {
		path += "?" + query.Encode()
	}
	return c.call(ctx, http.MethodGet, path, "", nil, out)
}

// post sends a body under an idempotency key and reads the answer into out.
func (c *client) post(ctx context.Context, path, key string, body []byte, out any) error {
	return c.call(ctx, http.MethodPost, path, key, body, out)
}

// call tries a few times where trying again may help: a write repeats its
// idempotency key, so nothing is written twice.
func (c *client) call(ctx context.Context, method, path, key string, body []byte, out any) error {
	var err error
	for try := range callTries {
		if try > 0 {
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-time.After(time.Duration(try*try) * 500 * time.Millisecond):
			}
		}
		var again bool
		if again, err = c.once(ctx, method, path, key, body, out); !again {
			return err
		}
	}
	return err
}

func (c *client) once(ctx context.Context, method, path, key string, body []byte, out any) (again bool, err error) {
	r, err := http.NewRequestWithContext(ctx, method, c.base+path, bytes.NewReader(body))
	if err != nil {
		return false, err
	}
	r.Header.Set("Authorization", "Bearer "+c.token)
	if body != nil {
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("Idempotency-Key", key)
	}
	answer, err := c.http.Do(r)
	if err != nil {
		return ctx.Err() == nil, advise(fmt.Errorf("call %s: %w", path, errors.Unwrap(err)), startStack+", or set PLANT_URL")
	}
	defer func() { _ = answer.Body.Close() }()
	text, err := io.ReadAll(io.LimitReader(answer.Body, maxAnswer))
	if err != nil {
		return true, fmt.Errorf("read the answer of %s: %w", path, err)
	}
	if answer.StatusCode < http.StatusBadRequest {
		return false, json.Unmarshal(text, out)
	}
	p := &problem{Status: answer.StatusCode, Title: answer.Status}
	if json.Unmarshal(text, p) != nil {
		p.Detail = "the answer is not a problem document"
	}
	return p.Status == http.StatusServiceUnavailable || p.Status == http.StatusTooManyRequests, p.advised()
}
