package main

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/dlai-sd/plant/shared/domain"
	"github.com/dlai-sd/plant/shared/registry"
)

// keysTimeout bounds what is done with keys: making one takes seconds.
const keysTimeout = 5 * time.Minute

type keysRotateCmd struct {
	Use domain.KeyUse `arg:"" help:"Which key: amendment, certification, heads or checkpoint." enum:"amendment,certification,heads,checkpoint"`
}

// Run makes a new key, introduces it under the root and retires the one before.
func (c keysRotateCmd) Run(a *app) error {
	return a.withKeyring(func(ctx context.Context, ring registry.Keyring) error {
		version, err := ring.Rotate(ctx, c.Use)
		if err != nil {
			return advise(err, "run the same command again: it finishes what was begun")
		}
		return a.print(map[string]string{"use": string(c.Use), "secret_version": version}, func() {
			fmt.Fprintf(a.stdout, "The %s key in force is in %s.\nRunning functions find it by themselves; set it as their key before the next deployment.\n", c.Use, version)
		})
	})
}

type keysRetireCmd struct {
	KeyID  string `arg:"" help:"The key's id, of: plant keys list."`
	Reason string `help:"Why." required:""`
}

// Run retires a key: what it signed before holds, it signs nothing more.
func (c keysRetireCmd) Run(a *app) error {
	return a.endKey(c.KeyID, domain.EndKey{Reason: c.Reason}, "retired")
}

type keysRevokeCmd struct {
	KeyID       string `arg:"" help:"The key's id, of: plant keys list."`
	InvalidFrom int64  `help:"The log index from which on nothing that it signed counts." required:""`
	Reason      string `help:"Why." required:""`
}

// Run revokes a key from a log index on.
func (c keysRevokeCmd) Run(a *app) error {
	return a.endKey(c.KeyID, domain.EndKey{Revoked: true, InvalidFrom: c.InvalidFrom, Reason: c.Reason}, "revoked")
}

func (a *app) endKey(keyID string, how domain.EndKey, done string) error {
	return a.withKeyring(func(ctx context.Context, ring registry.Keyring) error {
		if err := ring.End(ctx, keyID, how); err != nil {
			return advise(err, "plant keys list")
		}
		return a.print(map[string]string{"key_id": keyID, "status": done}, func() {
			fmt.Fprintf(a.stdout, "%s is %s.\n", keyID, done)
		})
	})
}

type keysReattestCmd struct {
	KeyID string `arg:"" help:"The revoked key's id."`
}

// Run says again, under the amendment key in force, what a revoked key signed.
func (c keysReattestCmd) Run(a *app) error {
	ctx, cancel := context.WithTimeout(a.ctx, time.Hour)
	defer cancel()
	version, err := need(a.settings.AmendmentKey, "AMENDMENT_KEY")
	if err != nil {
		return err
	}
	db, err := a.openDB(a.settings.CertifierURL, "PLANT_CERTIFIER_DATABASE_URL")
	if err != nil {
		return err
	}
	defer db.Close()
	source, closeSource, err := a.openSecrets()
	if err != nil {
		return err
	}
	defer closeSource()
	s, err := registry.New(registry.Config{
		DB: db, Keys: source.Hold(registry.Successor(source, db, version), time.Now), Origin: a.settings.Origin,
		Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		return err
	}
	done, err := s.Reattest(ctx, c.KeyID, func(done int) { fmt.Fprintf(a.stderr, "%d entities\n", done) })
	if err != nil {
		return advise(err, "run the same command again: what was reattested is not found any more")
	}
	return a.print(map[string]int{"entities": done}, func() {
		fmt.Fprintf(a.stdout, "%d entities reattested.\n", done)
	})
}

// withKeyring opens what the root's holder works with.
func (a *app) withKeyring(f func(context.Context, registry.Keyring) error) error {
	ctx, cancel := context.WithTimeout(a.ctx, keysTimeout)
	defer cancel()
	db, err := a.openDB(a.settings.OperatorURL, "PLANT_OPERATOR_DATABASE_URL")
	if err != nil {
		return err
	}
	defer db.Close()
	project, err := need(a.settings.Project, "GOOGLE_CLOUD_PROJECT")
	if err != nil {
		return err
	}
	origin, err := need(a.settings.Origin, "PLANT_ORIGIN")
	if err != nil {
		return err
	}
	source, closeSource, err := a.openSecrets()
	if err != nil {
		return err
	}
	defer closeSource()
	return f(ctx, registry.Keyring{DB: db, Secrets: source, Project: project, Origin: origin, Log: slog.New(slog.DiscardHandler)})
}
