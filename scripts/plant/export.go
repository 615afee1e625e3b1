package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/dlai-sd/plant/shared/bundle"
	"github.com/dlai-sd/plant/shared/translog"
	"github.com/go-json-experiment/json"
)

// exportTimeout is how long a whole bundle may take.
const exportTimeout = time.Hour

type exportCmd struct {
	Scope string `arg:"" optional:"" help:"all, governance_agent:ID, entity:ID or agent:ID@DATE."`
	Agent string `help:"An agent, with everything that it rested on." placeholder:"ID"`
	At    string `help:"The agent's date (RFC 3339, or a day's first instant); without it, now." placeholder:"DATE"`
	Seen  string `help:"The checkpoint that you kept from an earlier bundle: the new one shows that it continues it." placeholder:"FILE"`
	Out   string `help:"The file to write." default:"bundle.zip" short:"o" placeholder:"FILE"`
}

// Help is what kong prints below the flags.
func (exportCmd) Help() string {
	return `The evidence of a scope in one file, cut now. Check it offline: plant verify bundle.zip --trust ROOT.PEM --origin ORIGIN.`
}

// exportedBundle is what plant export prints as JSON.
type exportedBundle struct {
	File    string `json:"file"`
	Bytes   int64  `json:"bytes"`
	Scope   string `json:"scope"`
	Records int64  `json:"records"`
	LogSize int64  `json:"log_size"`
}

// ordered is how the functions answer an order.
type ordered struct {
	Records int64  `json:"records"`
	LogSize int64  `json:"log_size"`
	Bundle  string `json:"bundle"`
}

// Run orders a bundle, and writes it to a file that is there whole or not at all.
func (c exportCmd) Run(a *app) error {
	scope, err := c.scope(time.Now())
	if err != nil {
		return advise(err, "plant export all, or plant export --agent ID --at 2026-01-31")
	}
	seen, err := c.seen()
	if err != nil {
		return advise(err, "give --seen the file checkpoint of an earlier bundle")
	}
	to, err := a.connect()
	if err != nil {
		return err
	}
	body, err := json.Marshal(map[string]any{"scope": scope.Type, "id": scope.ID, "at": scope.At, "seen": seen})
	if err != nil {
		return err
	}
	var o ordered
	if err := to.post(a.ctx, "/api/v1/audit/exports", "export", body, &o); err != nil {
		return c.early(err)
	}
	n, err := to.download(a.ctx, o.Bundle, c.Out)
	if err != nil {
		return err
	}
	done := exportedBundle{File: c.Out, Bytes: n, Scope: scope.String(), Records: o.Records, LogSize: o.LogSize}
	return a.print(done, func() {
		fmt.Fprintf(a.stdout, "%s: %s, %d records under a log of %d entries, %d bytes\n", done.File, done.Scope, done.Records, done.LogSize, done.Bytes)
		fmt.Fprintf(a.stderr, "Check it: plant verify %s --trust ROOT.PEM --origin ORIGIN\n", done.File)
	})
}

func (c exportCmd) scope(now time.Time) (bundle.Scope, error) {
	switch {
	case (c.Scope == "") == (c.Agent == ""):
		return bundle.Scope{}, errors.New("name either a scope or an agent")
	case c.Agent == "" && c.At != "":
		return bundle.Scope{}, errors.New("--at belongs to --agent")
	case c.Agent == "":
		return bundle.ParseScope(c.Scope)
	case c.At == "":
		return bundle.AgentAt(c.Agent, now), nil
	}
	return bundle.ParseScope(bundle.ScopeAgent + ":" + c.Agent + "@" + c.At)
}

// early says what to do about a date before the agent's birth.
func (c exportCmd) early(err error) error {
	var p *problem
	if c.At != "" && errors.As(err, &p) && strings.Contains(p.Detail, "was not born yet") {
		return advise(p, "a later --at; plant show "+c.Agent+" --history says since when it is there")
	}
	return err
}

func (c exportCmd) seen() (int64, error) {
	if c.Seen == "" {
		return 0, nil
	}
	note, err := os.ReadFile(c.Seen)
	if err != nil {
		return 0, fmt.Errorf("read the checkpoint: %w", err)
	}
	checkpoint, err := translog.ReadCheckpoint(note)
	return checkpoint.Size, err
}

// download writes what a path answers to a file, and returns its size. The file
// appears when it is whole.
func (c *client) download(ctx context.Context, path, file string) (int64, error) {
	ctx, cancel := context.WithTimeout(ctx, exportTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.base+path, nil)
	if err != nil {
		return 0, err
	}
	req.Header.Set("Authorization", "Bearer "+c.token)
	patient := &http.Client{Transport: c.http.Transport} // the context bounds it
	answer, err := patient.Do(req)
	if err != nil {
		var failed *url.Error
		if errors.As(err, &failed) {
			err = failed.Err
		}
		return 0, advise(fmt.Errorf("fetch the bundle: %w", err), startStack+", or set PLANT_URL")
	}
	defer func() { _ = answer.Body.Close() }()
	if answer.StatusCode != http.StatusOK {
		p := &problem{Status: answer.StatusCode, Title: answer.Status}
		if text, err := io.ReadAll(io.LimitReader(answer.Body, maxAnswer)); err != nil || json.Unmarshal(text, p) != nil {
			p.Detail = "the answer is not a problem document"
		}
		return 0, p.advised()
	}
	return save(answer.Body, file)
}

// save writes a file by its side and puts it in its place at the end.
func save(from io.Reader, file string) (n int64, err error) {
	part, err := os.CreateTemp(filepath.Dir(file), ".plant-export-*")
	if err != nil {
		return 0, advise(fmt.Errorf("write the bundle: %w", err), "--out in a folder that you may write to")
	}
	defer func() { _ = os.Remove(part.Name()) }() // gone once it was renamed
	n, err = io.Copy(part, from)
	if closed := part.Close(); err == nil {
		err = closed
	}
	if err != nil {
		return 0, advise(fmt.Errorf("the bundle broke off after %s bytes: %w", strconv.FormatInt(n, 10), err), "the same command again")
	}
	if err := os.Chmod(part.Name(), 0o644); err != nil {
		return 0, err
	}
	return n, os.Rename(part.Name(), file)
}
