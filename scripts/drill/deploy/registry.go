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

// Origin is that of the registries that NewRegistry writes.
const Origin = "plant.example/drill"

// NewRegistry writes a registry of so many skills in a database, under keys that
// were never used before and of which only the amendment key is left when it returns:
// in what it returns, to sign what the registry would refuse.
func NewRegistry(ctx context.Context, d Database, published checkpoints.Store, skills int) (captured *ledger.Sealer, failed error) {
	folder, err := os.MkdirTemp("", "plant-drill-keys-")
	if err != nil {
		return nil, err
	}
	defer func() { failed = errors.Join(failed, os.RemoveAll(folder)) }()
	server, err := secrets.Start(filepath.Join(folder, "secrets"), 0)
	if err != nil {
		return nil, err
	}
	defer func() { failed = errors.Join(failed, server.Stop()) }()
	client, err := secretmanager.NewClient(ctx, secrets.ClientOptions(server.Addr())...)
	if err != nil {
		return nil, fmt.Errorf("open the keys: %w", err)
	}
	defer func() { failed = errors.Join(failed, client.Close()) }()
	p := Place{As: d.As, Secrets: keys.NewSource(client), Origin: Origin, Published: published}
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
