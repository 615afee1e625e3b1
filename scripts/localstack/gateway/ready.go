package gateway

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/go-json-experiment/json"
)

// readyMost is how long one target may take to say whether it is ready.
const readyMost = 3 * time.Second

// Readiness is the answer of GET /ready.
type Readiness struct {
	Status    string            `json:"status"`    // ready or unready
	Functions map[string]Target `json:"functions"` // by name
}

// Target is one target's answer to GET /ready.
type Target struct {
	Ready  bool   `json:"ready"`
	Status int    `json:"status,omitzero"` // HTTP; 0 if it did not answer
	Reason string `json:"reason,omitzero"`
}

func health(w http.ResponseWriter, _ *http.Request) {
	answer(w, http.StatusOK, map[string]string{"status": "ok"})
}

// readiness asks every target at once: 200 if all are ready, else 503.
func readiness(targets map[string]string) http.Handler {
	client := &http.Client{Timeout: readyMost}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var (
			mu    sync.Mutex
			group sync.WaitGroup
			all   = Readiness{Status: "ready", Functions: map[string]Target{}}
		)
		for name, base := range targets {
			group.Go(func() {
				got := ask(r.Context(), client, base+"/ready")
				mu.Lock()
				defer mu.Unlock()
				all.Functions[name] = got
				if !got.Ready {
					all.Status = "unready"
				}
			})
		}
		group.Wait()
		status := http.StatusOK
		if all.Status != "ready" {
			status = http.StatusServiceUnavailable
		}
		answer(w, status, all)
	})
}

func ask(ctx context.Context, client *http.Client, url string) Target {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return Target{Reason: err.Error()}
	}
	resp, err := client.Do(req)
	if err != nil {
		return Target{Reason: "it does not answer"}
	}
	defer resp.Body.Close()
	if resp.StatusCode == http.StatusOK {
		return Target{Ready: true, Status: resp.StatusCode}
	}
	var problem struct {
		Detail string `json:"detail"`
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, 16<<10))
	if err != nil || json.Unmarshal(body, &problem) != nil || problem.Detail == "" {
		problem.Detail = fmt.Sprintf("it answers %d", resp.StatusCode)
	}
	return Target{Status: resp.StatusCode, Reason: problem.Detail}
}

func answer(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_ = json.MarshalWrite(w, body, json.Deterministic(true)) // the reader is gone, or it works
}
