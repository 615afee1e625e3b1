package bench

import (
	"context"
	"fmt"
	"net/http"
	"os/exec"
	"strings"
	"time"

	"github.com/dlai-sd/plant/shared/web"
)

// Limits of a function's process.
const (
	limitStart  = 100 // ms
	limitMemory = 32  // MiB
	loadedBy    = 1000

	limitStartEmbed  = 500 // with the model
	limitMemoryEmbed = 160
)

func limitsOf(name string) (start, memory float64) {
	if name == "embed" {
		return limitStartEmbed, limitMemoryEmbed
	}
	return limitStart, limitMemory
}

// measureProcess measures how long a function takes to start, and its memory.
func measureProcess(ctx context.Context, w *world) ([]Row, error) {
	// What was created without a topic waits to be announced: not these functions' load.
	if err := w.admin(ctx, mainDatabase, "DELETE FROM public.outbox"); err != nil {
		return nil, err
	}
	var rows []Row
	for _, name := range []string{"audit-run", "create-skill", "embed"} {
		more, err := w.startRows(ctx, name)
		rows = append(rows, more...)
		if err != nil {
			return rows, err
		}
		more, err = w.memoryRows(ctx, name)
		rows = append(rows, more...)
		if err != nil {
			return rows, err
		}
	}
	return rows, nil
}

// startRows starts a function again and again, in turns with a process of the
// same binary that opens nothing.
func (w *world) startRows(ctx context.Context, name string) ([]Row, error) {
	var ready []float64
	times, err := interleave(ctx, max(10, w.rounds(20)),
		func(ctx context.Context) (time.Duration, error) {
			began := time.Now()
			err := exec.CommandContext(ctx, w.opts.Functions, "routes").Run() // #nosec -- the binary we were told to measure
			return time.Since(began), err
		},
		func(ctx context.Context) (time.Duration, error) {
			f, err := w.startFunction(ctx, name, 1)
			if err != nil {
				return 0, err
			}
			f.stop()
			ready = append(ready, f.ready.Seconds())
			return f.listening, nil
		})
	if err != nil {
		return nil, err
	}
	limitStart, _ := limitsOf(name)
	return []Row{
		told("process: the binary alone, beside "+name, "ms", scaled(times[0], 1e3)),
		limited("process: "+name+", exec to listening", "ms", scaled(times[1], 1e3), limitStart),
		limited("process: "+name+", exec to ready", "ms", scaled(ready[1:], 1e3), limitStart),
	}, nil
}

// memoryRows reads a function's memory after its start and under load.
func (w *world) memoryRows(ctx context.Context, name string) ([]Row, error) {
	f, err := w.startFunction(ctx, name, 1)
	if err != nil {
		return nil, err
	}
	defer f.stop()
	fresh, err := f.resident()
	if err != nil {
		return nil, err
	}
	client := &http.Client{Timeout: 30 * time.Second}
	for range loadedBy {
		request, status, err := w.usual(ctx, name, f.url)
		if err != nil {
			return nil, err
		}
		if err := expect(client, request, status); err != nil {
			return nil, err
		}
	}
	used, err := f.resident()
	if err != nil {
		return nil, err
	}
	_, limitMemory := limitsOf(name)
	return []Row{
		limited("memory: "+name+", started", "MiB", []float64{fresh}, limitMemory),
		limited("memory: "+name+", after 1,000 requests", "MiB", []float64{used}, limitMemory),
	}, nil
}

// usual is a request that a function usually gets, and how it answers.
func (w *world) usual(ctx context.Context, name, url string) (*http.Request, int, error) {
	if name == "create-skill" {
		r, err := w.post(ctx, url, "")
		return r, http.StatusCreated, err
	}
	token, err := w.oidc.Token(audience, pusher)
	if err != nil {
		return nil, 0, err
	}
	path, body := "/events/sequence", ""
	if name == "embed" {
		skill, _ := w.skill(typical)
		path, body = "/generate-embedding", fmt.Sprintf(`{"text":%q}`, skill.Name)
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, url+path, strings.NewReader(body))
	if err != nil {
		return nil, 0, err
	}
	r.Header.Set("Authorization", "Bearer "+token)
	r.Header.Set("Content-Type", web.MediaJSON)
	return r, http.StatusOK, nil
}
