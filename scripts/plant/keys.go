package main

import (
	"context"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"time"

	"github.com/dlai-sd/plant/shared/domain"
	"github.com/dlai-sd/plant/shared/registry"
)

type keysCmd struct {
	Init keysInitCmd `cmd:"" help:"Make the keys that are missing and introduce them into the ledger."`
	List keysListCmd `cmd:"" help:"List the keys; the root's id is what an auditor pins."`
	PEM  keysPEMCmd  `cmd:"" name:"pem" help:"Print a public key, as plant verify takes it for --trust and openssl for -inkey."`

	Rotate   keysRotateCmd   `cmd:"" help:"Make a new key of a use and retire the one before."`
	Retire   keysRetireCmd   `cmd:"" help:"Retire a key: what it signed before holds."`
	Revoke   keysRevokeCmd   `cmd:"" help:"Revoke a key from a log index on: what it signed since does not count."`
	Reattest keysReattestCmd `cmd:"" help:"Say again, under the key in force, what a revoked key signed."`
}

type keysInitCmd struct{}

// Run makes what is missing; a second run changes nothing.
func (keysInitCmd) Run(a *app) error {
	return a.withKeyring(func(ctx context.Context, ring registry.Keyring) error {
		versions, err := ring.Ensure(ctx, func(use domain.KeyUse) { fmt.Fprintf(a.stderr, "introduced the %s key\n", use) })
		if err != nil {
			return err
		}
		return a.print(versions, func() {
			for _, use := range registry.KeyUses() {
				fmt.Fprintf(a.stdout, "%-14s %s\n", use, versions[use])
			}
		})
	})
}

type keysListCmd struct{}

type listedKey struct {
	Use     domain.KeyUse `json:"use"`
	Status  domain.Status `json:"status"`
	KeyID   string        `json:"key_id"`
	MaySign []string      `json:"may_sign"`
}

// Run lists the keys in the order of their introduction.
func (keysListCmd) Run(a *app) error {
	ctx, cancel := context.WithTimeout(a.ctx, 20*time.Second)
	defer cancel()
	db, err := a.openDB(a.settings.OperatorURL, "PLANT_OPERATOR_DATABASE_URL")
	if err != nil {
		return err
	}
	defer db.Close()
	rows, err := db.SigningKeys(ctx)
	if err != nil {
		return err
	}
	list := make([]listedKey, len(rows))
	for i, r := range rows {
		list[i] = listedKey{r.Use, r.Status, r.KeyID, r.MaySign}
	}
	return a.print(list, func() {
		for _, k := range list {
			fmt.Fprintf(a.stdout, "%-14s %-8s %s\n", k.Use, k.Status, k.KeyID)
		}
	})
}

type keysPEMCmd struct {
	Key string `arg:"" help:"A key's id, or a use: the newest of it." default:"root"`
}

// Run prints the key.
func (c keysPEMCmd) Run(a *app) error {
	ctx, cancel := context.WithTimeout(a.ctx, 20*time.Second)
	defer cancel()
	db, err := a.openDB(a.settings.OperatorURL, "PLANT_OPERATOR_DATABASE_URL")
	if err != nil {
		return err
	}
	defer db.Close()
	rows, err := db.SigningKeys(ctx)
	if err != nil {
		return err
	}
	var spki string
	for _, r := range rows {
		if r.KeyID == c.Key || string(r.Use) == c.Key {
			spki = r.SPKI
		}
	}
	der, err := base64.StdEncoding.DecodeString(spki)
	if err != nil || spki == "" {
		return advise(errors.New("there is no such key"), "plant keys list")
	}
	_, err = a.stdout.Write(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
	return err
}
