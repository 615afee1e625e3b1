package main

import (
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"net/url"

	"github.com/dlai-sd/plant/shared/domain"
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

// verifyImported reads back the entity of every line that was not refused and
// checks its chain. It returns how many there were.
func (a *app) verifyImported(to *client, lines []source, refused map[int]bool) (int, error) {
	bar := a.bar(len(lines), "verifying")
	checked := 0
	for i, line := range lines {
		if refused[i+1] {
			continue
		}
		path, found, err := (showCmd{ID: line.ID}).look(a, to, skillsPath)
		if err == nil && !found {
			err = nothingThere()
		}
		if err != nil {
			return checked, fmt.Errorf("line %d: %w", i+1, err)
		}
		chain, err := readChain(a, to, path)
		if err == nil {
			err = verifyChain(chain)
		}
		if err == nil && !saysSo(chain, line) {
			err = errors.New("the signed state is not that of the line")
		}
		if err != nil {
			return checked, fmt.Errorf("line %d (%s): %w", i+1, url.QueryEscape(line.ID), err)
		}
		checked++
		_ = bar.Add(1)
	}
	_ = bar.Finish()
	return checked, nil
}

// saysSo reports whether the first signed state holds what the line says.
func saysSo(chain []api.Amendment, line source) bool {
	if len(chain) == 0 || chain[0].Opening == nil {
		return false
	}
	e, err := domain.ReadState(domain.KindSkill, "", "", []byte(chain[0].Opening.State))
	if err != nil {
		return false
	}
	s, ok := e.Facts.(domain.Skill)
	return ok && s.Name == line.Title && s.Description == line.Description && e.Governed.ExternalID == line.ID
}
