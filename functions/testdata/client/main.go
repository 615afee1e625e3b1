// The program that TestGeneratedClient compiles with a client that a public
// generator made of openapi.yaml: it creates, changes, lists, finds, reads and
// archives an entity of each kind, with nothing but that client.
//
//	PLANT_TOKEN=… go run . http://127.0.0.1:8080
package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"os"
	"slices"
	"time"

	"generated/client"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: PLANT_TOKEN=… go run . URL")
		os.Exit(2)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	err := run(ctx, os.Args[1], os.Getenv("PLANT_TOKEN"))
	cancel()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// life is what the program does with an entity of one kind. Each answer is the
// entity's id or name, and its ETag.
type life struct {
	kind    string
	create  func(context.Context) (id, etag string, err error)
	rename  func(ctx context.Context, id, etag, name string) (seen, newer string, err error)
	list    func(ctx context.Context, prefix string) (ids []string, err error)
	archive func(ctx context.Context, id string) error
}

func run(ctx context.Context, url, token string) error {
	api, err := client.NewClientWithResponses(url, client.WithRequestEditorFn(func(_ context.Context, r *http.Request) error {
		r.Header.Set("Authorization", "Bearer "+token)
		return nil
	}))
	if err != nil {
		return err
	}
	w := &world{api: api, run: rand.Text()[:8]}
	lives := []life{w.industries(), w.skills(), w.jobRoles(), w.agents(), w.teams()}
	ids := make([]string, len(lives))
	for i, l := range lives {
		if ids[i], err = w.born(ctx, l); err != nil {
			return fmt.Errorf("%s: %w", l.kind, err)
		}
	}
	for i, l := range slices.Backward(lives) {
		if err := l.archive(ctx, ids[i]); err != nil {
			return fmt.Errorf("%s: archive: %w", l.kind, err)
		}
		fmt.Println(l.kind, "created, changed, listed, found, read, archived")
	}
	return nil
}

// born creates, changes, lists and finds.
func (w *world) born(ctx context.Context, l life) (id string, err error) {
	id, etag, err := l.create(ctx)
	if err != nil {
		return "", fmt.Errorf("create: %w", err)
	}
	name := "Renamed " + l.kind + " " + w.run
	seen, newer, err := l.rename(ctx, id, etag, name)
	if err != nil {
		return "", fmt.Errorf("change: %w", err)
	}
	if seen != name || newer == etag {
		return "", fmt.Errorf("change: the answer is %q with the ETag %s", seen, newer)
	}
	if _, _, err := l.rename(ctx, id, etag, name+"!"); err == nil {
		return "", errors.New("change: an old ETag was taken")
	}
	found, err := l.list(ctx, name)
	if err != nil {
		return "", fmt.Errorf("find: %w", err)
	}
	if len(found) != 1 || found[0] != id {
		return "", fmt.Errorf("find: %v, not %s", found, id)
	}
	all, err := l.list(ctx, "")
	if err != nil || !slices.Contains(all, id) {
		return "", fmt.Errorf("list: %d entities, without %s: %w", len(all), id, err)
	}
	return id, nil
}

// world is one run: the client, and what was made so far.
type world struct {
	api *client.ClientWithResponses
	run string // part of every name, so that a run can be repeated

	industry, skill, jobRole, agent string
}

func (w *world) name(kind string) string { return kind + " " + w.run }

// key is a fresh Idempotency-Key.
func key() string { return rand.Text() }

// optional is a query parameter that is sent only where it says something.
func optional(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

// done is an error unless the answer is the one expected.
func done(got *http.Response, body []byte, want int) error {
	if got.StatusCode != want {
		return fmt.Errorf("%s: %s", got.Status, body)
	}
	return nil
}
