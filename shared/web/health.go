package web

import (
	"context"
	"net/http"
	"time"
)

// Check is one thing that must be right before a function can serve. Run must
// return when its context ends.
type Check struct {
	Name string
	Run  func(context.Context) error
}

// The outcomes of a check, and of all of them.
const (
	checkOK     = "ok"
	checkFailed = "failed"
)

type health struct {
	Status string `json:"status"`
}

type readiness struct {
	Status string            `json:"status"`
	Checks map[string]string `json:"checks"`
}

// StatusCode is 200, or 503 when a check failed.
func (r readiness) StatusCode() int {
	if r.Status == checkOK {
		return http.StatusOK
	}
	return http.StatusServiceUnavailable
}

// SetHeaders tells a caller of a 503 when to look again.
func (r readiness) SetHeaders(h http.Header) {
	if r.Status != checkOK {
		h.Set("Retry-After", "1")
	}
}

// Health says that the process is alive. It touches nothing.
func Health() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		WriteJSON(w, r, health{Status: checkOK})
	})
}

// Ready runs the checks one after the other, because they share a pool of one
// connection, each for at most timeout. It answers 200 or 503 with the name and
// outcome of each; why one failed stands in the log.
func Ready(timeout time.Duration, checks ...Check) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		result := readiness{Status: checkOK, Checks: map[string]string{}}
		for _, c := range checks {
			result.Checks[c.Name] = checkOK
			if err := c.run(r.Context(), timeout); err != nil {
				result.Status, result.Checks[c.Name] = checkFailed, checkFailed
				Logger(r.Context()).ErrorContext(r.Context(), "not ready: "+c.Name+": "+Describe(err))
			}
		}
		WriteJSON(w, r, result)
	})
}

func (c Check) run(ctx context.Context, timeout time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	return c.Run(ctx)
}
