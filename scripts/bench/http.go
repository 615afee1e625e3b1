package bench

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/google/uuid"

	"github.com/dlai-sd/plant/shared/auth"
	"github.com/dlai-sd/plant/shared/domain"
	"github.com/dlai-sd/plant/shared/registry"
	"github.com/dlai-sd/plant/shared/registry/api"
	"github.com/dlai-sd/plant/shared/web"
)

const skillsPath = "/api/v1/genesis/skills"

// around puts around a handler what a function puts around each of its routes.
func (w *world) around(pattern string, h http.Handler) (http.Handler, error) {
	verifier, err := auth.NewVerifier(w.tokens, issuer, audience, time.Now)
	if err != nil {
		return nil, err
	}
	var mux web.Mux
	mux.Handle(pattern, auth.Bearer(verifier, h))
	return web.Wrap(&mux, web.Options{Logger: web.NewLogger(io.Discard, "bench"), Project: project}), nil
}

// serveHere serves creates from this process, without a topic, and returns the
// server's address.
func (w *world) serveHere(service *registry.Service) (string, error) {
	h, err := w.around("POST "+skillsPath, api.New[domain.Skill](service, skillsPath).Create("createSkill"))
	if err != nil {
		return "", err
	}
	server := httptest.NewServer(h)
	w.closing(func() error { server.Close(); return nil })
	return server.URL, nil
}

// posts creates over HTTP.
func (w *world) posts(url string, writers, n int) arm {
	client := &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: writers}}
	return func(ctx context.Context) (time.Duration, error) {
		requests := make([]*http.Request, n)
		for i := range requests {
			var err error
			if requests[i], err = w.post(ctx, url, ""); err != nil {
				return 0, err
			}
		}
		return spread(ctx, writers, n, func(_ context.Context, _, i int) error {
			return expect(client, requests[i], http.StatusCreated)
		})
	}
}

// post is a request that creates a typical skill; a category may replace its own.
func (w *world) post(ctx context.Context, url, category string) (*http.Request, error) {
	skill, set := w.skill(typical)
	if category != "" {
		skill.Category = category
	}
	body, err := json.Marshal(domain.Input[domain.Skill]{Facts: skill, Settable: set})
	if err != nil {
		return nil, err
	}
	token, err := w.token()
	if err != nil {
		return nil, err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, url+skillsPath, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	r.Header.Set("Authorization", "Bearer "+token)
	r.Header.Set("Content-Type", web.MediaJSON)
	r.Header.Set("Idempotency-Key", uuid.NewString())
	return r, nil
}

// expect sends a request and reads the answer to its end.
func expect(client *http.Client, r *http.Request, status int) error {
	answer, err := client.Do(r)
	if err != nil {
		return err
	}
	body, err := io.ReadAll(io.LimitReader(answer.Body, 1<<20))
	if err = errors.Join(err, answer.Body.Close()); err != nil {
		return err
	}
	if answer.StatusCode != status {
		return fmt.Errorf("%s %s: %d, not %d: %s", r.Method, r.URL.Path, answer.StatusCode, status, body)
	}
	return nil
}
