package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/dlai-sd/plant/shared/domain"
)

const (
	callTimeout = 60 * time.Second // a batch of 500 on a busy machine
	callTries   = 4
	maxAnswer   = 32 << 20
	maxInFlight = 8 // requests of one command at the same time
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
	transport := http.DefaultTransport.(*http.Transport).Clone() // the standard library's own
	transport.MaxIdleConnsPerHost = maxInFlight
	return &client{base: base, token: token, http: &http.Client{Timeout: callTimeout, Transport: transport}}, nil
}

// request is one call: a write has a key and a body, a change also the ETag that
// it was made from.
type request struct {
	method, path string
	key, match   string
	body         []byte
}

// get reads a path into out.
func (c *client) get(ctx context.Context, path string, query url.Values, out any) error {
	if len(query) > 0 {
		path += "?" + query.Encode()
	}
	_, err := c.call(ctx, request{method: http.MethodGet, path: path}, out)
	return err
}

// post sends a body under an idempotency key and reads the answer into out.
func (c *client) post(ctx context.Context, path, key string, body []byte, out any) error {
	_, err := c.call(ctx, request{method: http.MethodPost, path: path, key: key, body: body}, out)
	return err
}

// call tries a few times where trying again may help: a write repeats its
// idempotency key, so nothing is written twice. It returns the answer's headers.
func (c *client) call(ctx context.Context, r request, out any) (http.Header, error) {
	var err error
	for try := range callTries {
		if try > 0 {
			select {
			case <-ctx.Done():
				return nil, ctx.Err()
			case <-time.After(time.Duration(try*try) * 500 * time.Millisecond):
			}
		}
		var again bool
		var headers http.Header
		if headers, again, err = c.once(ctx, r, out); !again {
			return headers, err
		}
	}
	return nil, err
}

func (c *client) once(ctx context.Context, r request, out any) (headers http.Header, again bool, err error) {
	req, err := http.NewRequestWithContext(ctx, r.method, c.base+r.path, bytes.NewReader(r.body))
	if err != nil {
		return nil, false, err
	}
	req.Header.Set("Authorization", "Bearer "+c.token)
	if r.body != nil {
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set("Idempotency-Key", r.key)
	}
	if r.match != "" {
		req.Header.Set("Content-Type", "application/merge-patch+json")
		req.Header.Set("If-Match", r.match)
	}
	answer, err := c.http.Do(req)
	if err != nil {
		return nil, ctx.Err() == nil, advise(fmt.Errorf("call %s: %w", r.path, errors.Unwrap(err)), startStack+", or set PLANT_URL")
	}
	defer func() { _ = answer.Body.Close() }()
	text, err := io.ReadAll(io.LimitReader(answer.Body, maxAnswer))
	if err != nil {
		return nil, true, fmt.Errorf("read the answer of %s: %w", r.path, err)
	}
	if answer.StatusCode < http.StatusBadRequest {
		return answer.Header, false, json.Unmarshal(text, out)
	}
	p := &problem{Status: answer.StatusCode, Title: answer.Status}
	if json.Unmarshal(text, p) != nil {
		p.Detail = "the answer is not a problem document"
	}
	return nil, p.Status == http.StatusServiceUnavailable || p.Status == http.StatusTooManyRequests, p.advised()
}

// owner is the governance agent that the client's token speaks for, as the
// token says; the functions verify it, this does not.
func (c *client) owner() (string, error) {
	var claims struct {
		GovernanceAgent string `json:"governance_agent_id"`
	}
	parts := strings.Split(c.token, ".")
	if len(parts) != 3 {
		return "", advise(errors.New("the token is no JSON Web Token"), "export PLANT_TOKEN=$(plant token)")
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err == nil {
		err = json.Unmarshal(payload, &claims)
	}
	if err != nil {
		return "", advise(fmt.Errorf("read the token: %w", err), "export PLANT_TOKEN=$(plant token)")
	}
	return claims.GovernanceAgent, nil
}
