package api

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/sony/gobreaker/v2"

	"github.com/dlai-sd/plant/shared/domain"
	"github.com/dlai-sd/plant/shared/web"
)

const (
	nearTimeout   = 500 * time.Millisecond // what a create waits at most for its warning
	nearDuplicate = 0.9                    // cosine from which two entities look like one
	nearAnswer    = 64 << 10               // bytes
)

// Neighbours asks the embedding function what comes nearest to an entity that is
// being created, in the caller's own name. It only warns: while embed is slow or
// down, creates go on without it, and after a few failures it is left in peace for
// a while.
type Neighbours struct {
	url     string
	client  *http.Client
	circuit *gobreaker.CircuitBreaker[[]Hit]
}

// NewNeighbours makes Neighbours; base is embed's address. A nil Neighbours knows
// none.
func NewNeighbours(base string) *Neighbours {
	return &Neighbours{
		url: base + "/api/v1/similar", client: &http.Client{Timeout: nearTimeout},
		circuit: gobreaker.NewCircuitBreaker[[]Hit](gobreaker.Settings{
			Name: "embed", Timeout: 10 * time.Second,
			ReadyToTrip: func(c gobreaker.Counts) bool { return c.ConsecutiveFailures >= 3 },
		}),
	}
}

// of returns the near-duplicates of an entity that is not written yet, nil where
// that could not be found out.
func (n *Neighbours) of(ctx context.Context, authorization string, f domain.Facts) []Hit {
	if n == nil || f == nil || f.Text() == "" {
		return nil
	}
	hits, err := n.circuit.Execute(func() ([]Hit, error) { return n.ask(ctx, authorization, f) })
	if err != nil {
		web.Logger(ctx).WarnContext(ctx, "near-duplicates are not known: "+web.Describe(err))
		return nil
	}
	return hits
}

func (n *Neighbours) ask(ctx context.Context, authorization string, f domain.Facts) ([]Hit, error) {
	body, err := json.Marshal(Likeness{EntityType: f.Kind(), Name: f.Label(), Description: describe(f)})
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, n.url, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Authorization", authorization)
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("X-Request-ID", web.RequestID(ctx))
	resp, err := n.client.Do(req) // #nosec -- the operator names the address
	if err != nil {
		return nil, errors.New("embed does not answer in time")
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("embed answers %d", resp.StatusCode)
	}
	var found Hits
	if err := json.UnmarshalRead(io.LimitReader(resp.Body, nearAnswer), &found); err != nil {
		return nil, errors.New("embed's answer cannot be read")
	}
	near := []Hit{}
	for _, h := range found.Items {
		if h.Score >= nearDuplicate {
			near = append(near, h)
		}
	}
	return near, nil
}

func describe(f domain.Facts) string {
	switch f := f.(type) {
	case domain.Skill:
		return f.Description
	case domain.JobRole:
		return f.Description
	case domain.Industry:
		return f.Description
	}
	return ""
}
