package main

import (
	"context"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"
	"golang.org/x/sync/errgroup"

	"github.com/dlai-sd/plant/shared/ledger"
	"github.com/dlai-sd/plant/shared/registry/api"
)

// verifyChain checks an entity's amendments as the API gave them: every
// signature, every opening, every link. It says nothing about the keys but that
// each is the one its record names: whom to trust is the auditor's to decide.
func verifyChain(chain []api.Amendment) error {
	read := make([]ledger.Amendment, len(chain))
	for i, m := range chain {
		a, err := readAmendment(m)
		if err != nil {
			return fmt.Errorf("amendment %d: %w", m.Seq, err)
		}
		read[i] = a
	}
	if breaks := ledger.VerifyChain(read); len(breaks) > 0 {
		return breaks[0]
	}
	return nil
}

func readAmendment(m api.Amendment) (ledger.Amendment, error) {
	opening, err := readOpening(m.Opening)
	if err != nil {
		return ledger.Amendment{}, err
	}
	batch, err := readBatch(m.Batch)
	if err != nil {
		return ledger.Amendment{}, err
	}
	a, err := ledger.ReadAmendment([]byte(m.Record), opening, m.Signature, batch)
	if err != nil {
		return a, err
	}
	key, err := readKey(m.SPKI, a.Record.KeyID)
	if err != nil {
		return a, err
	}
	return a, ledger.VerifySignature(key, a)
}

func readOpening(o *api.Opening) (*ledger.Opening, error) {
	if o == nil {
		return nil, nil // an erased opening is absent, and the chain judges that
	}
	salt, err := hex.DecodeString(o.Salt)
	if err != nil || len(salt) != 32 {
		return nil, errors.New("the salt is not 64 hex digits")
	}
	return &ledger.Opening{Salt: [32]byte(salt), State: []byte(o.State)}, nil
}

func readBatch(b *api.Batched) (*ledger.Batch, error) {
	if b == nil {
		return nil, nil // a direct signature has no batch
	}
	batch := ledger.Batch{Statement: []byte(b.Statement), Index: b.Index}
	for _, step := range b.Path {
		h, err := ledger.ParseHash(step)
		if err != nil {
			return nil, fmt.Errorf("batch path: %w", err)
		}
		batch.Path = append(batch.Path, h)
	}
	return &batch, nil
}

func readKey(spki, keyID string) (*rsa.PublicKey, error) {
	der, err := base64.StdEncoding.DecodeString(spki)
	if err != nil {
		return nil, fmt.Errorf("public key: %w", err)
	}
	public, err := x509.ParsePKIXPublicKey(der)
	if err != nil {
		return nil, fmt.Errorf("public key: %w", err)
	}
	id, err := ledger.KeyID(public)
	if err != nil {
		return nil, err
	}
	key, ok := public.(*rsa.PublicKey)
	if !ok || id != keyID {
		return nil, errors.New("the public key is not the one that the record names")
	}
	return key, nil
}

// verify reads back every entity that was not refused and checks its chain, and
// that its newest signed state says what the catalogue says.
func (m *importer) verify() error {
	bar := m.a.bar(len(m.entries), "verifying")
	defer func() { _ = bar.Finish() }() // a bar that cannot be drawn stops nothing
	group, ctx := errgroup.WithContext(m.a.ctx)
	group.SetLimit(m.InFlight)
	for _, e := range m.entries {
		if e.refused {
			continue
		}
		group.Go(func() error {
			if err := m.verifyOne(ctx, e); err != nil {
				return fmt.Errorf("%s (%s): %w", e.Where, url.QueryEscape(e.ExternalID), err)
			}
			m.mu.Lock()
			defer m.mu.Unlock()
			m.tallies[e.kind].Verified++
			_ = bar.Add(1)
			return nil
		})
	}
	return group.Wait()
}

func (m *importer) verifyOne(ctx context.Context, e *entry) error {
	chain, err := readChain(ctx, m.to, collectionOf(e.kind)+"/"+string(e.id))
	if err != nil {
		return err
	}
	if err := verifyChain(chain); err != nil {
		return err
	}
	if len(chain) == 0 || chain[len(chain)-1].Opening == nil {
		return errors.New("its newest state cannot be opened")
	}
	var state entity
	if err := json.Unmarshal([]byte(chain[len(chain)-1].Opening.State), &state); err != nil {
		return fmt.Errorf("signed state: %w", err)
	}
	changed, err := e.changes(state)
	if err == nil && len(changed) > 0 {
		err = fmt.Errorf("the signed state is not that of the file: %s", strings.Join(slices.Sorted(maps.Keys(changed)), ", "))
	}
	return err
}
