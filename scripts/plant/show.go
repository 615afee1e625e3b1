package main

import (
	"context"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/dlai-sd/plant/shared/domain"
	"github.com/dlai-sd/plant/shared/registry/api"
	"github.com/dlai-sd/plant/shared/web"
)

type showCmd struct {
	ID      string `arg:"" help:"The entity's id, or its external_id."`
	History bool   `help:"Its amendments, oldest first."`
	Record  bool   `help:"Write record.json, signature and key.pem of an amendment, for openssl."`
	Seq     int64  `help:"Which amendment --record writes; by default the newest that is not the platform's own embedding." default:"0"`
	Out     string `help:"Folder for --record." default:"." type:"path"`
}

// maxPages bounds how much of a chain is read.
const maxPages = 1000

// Run shows an entity.
func (c showCmd) Run(a *app) error {
	to, err := a.connect()
	if err != nil {
		return err
	}
	path, err := c.resolve(a, to)
	if err != nil {
		return err
	}
	if c.History || c.Record {
		chain, err := readChain(a.ctx, to, path)
		if err != nil {
			return err
		}
		if c.Record {
			return c.writeRecord(a, chain)
		}
		if err := a.print(chain, func() { printHistory(a, chain) }); err != nil {
			return err
		}
		if err := verifyChain(chain); err != nil {
			return advise(fmt.Errorf("NOT VERIFIED: %w", err), "treat the entity as tampered with and tell the operator")
		}
		fmt.Fprintf(a.stderr, "Verified here: signature, opening and link of %d amendments.\n", len(chain))
		return nil
	}
	var entity jsontext.Value
	if err := to.get(a.ctx, path, nil, &entity); err != nil {
		return err
	}
	if err := entity.Indent(jsontext.WithIndent("  ")); err != nil {
		return err
	}
	_, err = fmt.Fprintf(a.stdout, "%s\n", entity)
	return err
}

// collections are where entities are, by the API's paths.
func collections() []string {
	return []string{
		skillsPath, "/api/v1/genesis/job-roles", "/api/v1/genesis/industries", "/api/v1/teams", "/api/v1/agents",
	}
}

// resolve finds an entity of any kind by its id or its external_id, and returns
// its path. An archived one is found by its amendments.
func (c showCmd) resolve(a *app, to *client) (string, error) {
	for _, collection := range collections() {
		path, found, err := c.look(a, to, collection)
		if err != nil || found {
			return path, err
		}
	}
	return "", nothingThere()
}

func (c showCmd) look(a *app, to *client, collection string) (path string, found bool, err error) {
	if domain.ID(c.ID).Valid() {
		path = collection + "/" + c.ID
		var page web.List[api.Amendment]
		err := to.get(a.ctx, path+"/amendments", url.Values{"limit": {"1"}}, &page)
		var p *problem
		if errors.As(err, &p) && p.Status == http.StatusNotFound {
			return "", false, nil
		}
		return path, err == nil, err
	}
	var list struct {
		Items []struct {
			ID string `json:"id"`
		} `json:"items"`
	}
	if err := to.get(a.ctx, collection, url.Values{"external_id": {c.ID}, "include_archived": {"true"}}, &list); err != nil {
		return "", false, err
	}
	if len(list.Items) == 0 {
		return "", false, nil
	}
	return collection + "/" + list.Items[0].ID, true, nil
}

func readChain(ctx context.Context, to *client, path string) ([]api.Amendment, error) {
	var chain []api.Amendment
	query := url.Values{}
	for range maxPages {
		var page web.List[api.Amendment]
		err := to.get(ctx, path+"/amendments", query, &page)
		var p *problem
		if errors.As(err, &p) && p.Status == http.StatusNotFound {
			return nil, nothingThere()
		}
		if err != nil {
			return nil, err
		}
		chain = append(chain, page.Items...)
		if page.NextCursor == nil {
			return chain, nil
		}
		query.Set("cursor", *page.NextCursor)
	}
	return chain, nil
}

func printHistory(a *app, chain []api.Amendment) {
	for _, m := range chain {
		breaking := ""
		if m.Breaking {
			breaking = "  breaking"
		}
		fmt.Fprintf(a.stdout, "%4d  %s  %-12s %s%s\n      %s\n", m.Seq, time.Time(m.RecordedAt).UTC().Format(time.RFC3339),
			m.Change, m.Author, breaking, m.Hash)
	}
}

// proof is what --record says it wrote.
type proof struct {
	Seq       int64  `json:"seq"`
	Record    string `json:"record"`
	Signature string `json:"signature"`
	Key       string `json:"key"`
	Signed    string `json:"signed"` // the file that the signature is over
	Command   string `json:"command"`
}

// writeRecord writes the files that openssl needs. Of a batch-signed amendment
// the signature is over the batch's statement, which is written beside it.
func (c showCmd) writeRecord(a *app, chain []api.Amendment) error {
	m, err := c.pick(chain)
	if err != nil {
		return err
	}
	der, err := base64.StdEncoding.DecodeString(m.SPKI)
	if err != nil {
		return fmt.Errorf("public key: %w", err)
	}
	p := proof{
		Seq: m.Seq, Record: filepath.Join(c.Out, "record.json"), Signature: filepath.Join(c.Out, "signature"),
		Key: filepath.Join(c.Out, "key.pem"),
	}
	p.Signed = p.Record
	files := map[string][]byte{
		p.Record: []byte(m.Record), p.Signature: m.Signature,
		p.Key: pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}),
	}
	if m.Batch != nil {
		p.Signed = filepath.Join(c.Out, "statement.json")
		files[p.Signed] = []byte(m.Batch.Statement)
		path, err := json.Marshal(m.Batch, jsontext.WithIndent("  "))
		if err != nil {
			return err
		}
		files[filepath.Join(c.Out, "batch.json")] = path
	}
	if err := os.MkdirAll(c.Out, 0o750); err != nil {
		return fmt.Errorf("folder for the record: %w", err)
	}
	for name, content := range files {
		if err := os.WriteFile(name, content, 0o600); err != nil {
			return fmt.Errorf("write the record: %w", err)
		}
	}
	p.Command = fmt.Sprintf("openssl dgst -sha256 -sigopt rsa_padding_mode:pss -sigopt rsa_pss_saltlen:32 -verify %s -signature %s %s",
		p.Key, p.Signature, p.Signed)
	return a.print(p, func() {
		fmt.Fprintf(a.stdout, "Amendment %d is in %s. Check it without Plant:\n\n  %s\n", p.Seq, p.Record, p.Command)
		if m.Batch != nil {
			fmt.Fprintf(a.stdout, "\nIt was signed in a batch: the signature is over %s, whose root the record's hash\nreaches by the path in batch.json (shared/ledger/FORMAT.md says how).\n", p.Signed)
		}
	})
}

func (c showCmd) pick(chain []api.Amendment) (api.Amendment, error) {
	if len(chain) == 0 {
		return api.Amendment{}, nothingThere()
	}
	for _, m := range slices.Backward(chain) {
		if c.Seq == 0 && m.Change != domain.ChangeEmbedded {
			return m, nil
		}
	}
	for _, m := range chain {
		if m.Seq == c.Seq {
			return m, nil
		}
	}
	return api.Amendment{}, advise(fmt.Errorf("there is no amendment %d: the chain has %d", c.Seq, len(chain)), "plant show --history")
}
