package deploy

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"

	secretmanager "cloud.google.com/go/secretmanager/apiv1"

	"github.com/dlai-sd/plant/scripts/localstack/secrets"
	"github.com/dlai-sd/plant/shared/checkpoints"
	"github.com/dlai-sd/plant/shared/keys"
	"github.com/dlai-sd/plant/shared/ledger"
	"github.com/dlai-sd/plant/shared/registry"
)

// Origin is that of the registries that Keys.Registry writes.
const Origin = "plant.example/drill"

// Keys are a Secret Manager that lives as long as a drill, for registries whose keys
// were never used before.
type Keys struct {
	folder string
	server *secrets.Server
	client *secretmanager.Client
}

// NewKeys starts it; Close ends it and removes every key.
func NewKeys(ctx context.Context) (k *Keys, failed error) {
	folder, err := os.MkdirTemp("", "plant-drill-keys-")
	if err != nil {
		return nil, err
	}
	k = &Keys{folder: folder}
	defer func() {
		if failed != nil {
			failed = errors.Join(failed, k.Close())
		}
	}()
	if k.server, err = secrets.Start(filepath.Join(folder, "secrets"), 0); err != nil {
		return nil, err
	}
	if k.client, err = secretmanager.NewClient(ctx, secrets.ClientOptions(k.server.Addr())...); err != nil {
		return nil, fmt.Errorf("open the keys: %w", err)
	}
	return k, nil
}

// Close ends the Secret Manager and removes what it kept.
func (k *Keys) Close() error {
	var errs []error
	if k.client != nil {
		errs = append(errs, k.client.Close())
	}
	if k.server != nil {
		errs = append(errs, k.server.Stop())
	}
	return errors.Join(append(errs, os.RemoveAll(k.folder))...)
}

// Registry writes a registry of so many skills in a database. It returns the amendment
// key in the hands of somebody who signs what the registry would refuse.
func (k *Keys) Registry(ctx context.Context, d Database, published checkpoints.Store, skills int) (captured *ledger.Sealer, err error) {
	p := Place{As: d.As, Secrets: keys.NewSource(k.client), Origin: Origin, Published: published}
	operator, err := p.open(ctx, "plant_operator")
	if err != nil {
		return nil, err
	}
	defer operator.Close()
	ring := registry.Keyring{DB: operator, Secrets: p.Secrets, Project: "plant-drill", Origin: Origin, Log: slog.New(slog.DiscardHandler)}
	if p.Keys, err = ring.Ensure(ctx, nil); err != nil {
		return nil, fmt.Errorf("make the keys: %w", err)
	}
	if err := Populate(ctx, p, skills); err != nil {
		return nil, err
	}
	sealer, err := p.Sealer(ctx)
	return &sealer, err
}
