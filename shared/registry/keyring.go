package registry

import (
	"context"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"strings"

	"github.com/dlai-sd/plant/shared/domain"
	"github.com/dlai-sd/plant/shared/keys"
	"github.com/dlai-sd/plant/shared/store"
)

// Keyring brings a deployment's signing keys into being: the private halves in
// Secret Manager, the public ones in the ledger.
type Keyring struct {
	DB      *store.DB // as plant_operator
	Secrets *keys.Source
	Project string
	Origin  string
	Log     *slog.Logger
}

// KeyUses are the keys that every deployment has, the root first: it introduces
// itself and then the others.
func KeyUses() []domain.KeyUse {
	return []domain.KeyUse{
		domain.UseRoot, domain.UseAmendment, domain.UseCertification, domain.UseHeads, domain.UseCheckpoint,
	}
}

// Ensure makes what is missing and leaves alone what is there: the constitution
// in force, and for each use a key in Secret Manager that the ledger knows. It
// may be interrupted anywhere and run again, also by two at once: the first
// version of a secret wins, and the ledger takes a key once. It returns the
// secret version of each use.
func (k Keyring) Ensure(ctx context.Context, progress func(domain.KeyUse)) (map[domain.KeyUse]string, error) {
	law := domain.Founding()
	if err := k.DB.Enact(ctx, law.Sum(), law.Document(), law.Version); err != nil {
		return nil, fmt.Errorf("enact the constitution: %w", err)
	}
	versions := map[domain.KeyUse]string{}
	var root keys.Key
	for _, use := range KeyUses() {
		version, key, err := k.secret(ctx, use)
		if err != nil {
			return nil, fmt.Errorf("%s key: %w", use, err)
		}
		versions[use] = version
		if use == domain.UseRoot {
			root = key
		}
		service, err := k.serviceOf(root)
		if err != nil {
			return nil, err
		}
		added, err := k.introduceAs(ctx, service, use, key)
		if err != nil {
			return nil, fmt.Errorf("introduce %s key: %w", use, err)
		}
		if added && progress != nil {
			progress(use)
		}
	}
	return versions, nil
}

// secret returns the first version of a use's key, made if there is none.
func (k Keyring) secret(ctx context.Context, use domain.KeyUse) (string, keys.Key, error) {
	name := fmt.Sprintf("projects/%s/secrets/plant-%s-key", k.Project, use)
	first := name + "/versions/1"
	if key, err := k.Secrets.Key(ctx, first); err == nil {
		return first, key, nil
	} else if isUnavailable(err) {
		return "", keys.Key{}, err
	}
	algorithm := keys.RSA4096
	if use == domain.UseCheckpoint {
		algorithm = keys.Ed25519
	}
	if _, _, err := k.Secrets.Create(ctx, name, algorithm); err != nil {
		return "", keys.Key{}, err
	}
	key, err := k.Secrets.Key(ctx, first)
	return first, key, err
}

func isUnavailable(err error) bool {
	var e *domain.Error
	return errors.As(err, &e) && e.Code == domain.CodeUnavailable
}

// introduceAs writes a key into the ledger, signed by the root; false if the
// ledger knows it already.
func (k Keyring) introduceAs(ctx context.Context, root *Service, use domain.KeyUse, key keys.Key) (bool, error) {
	known, err := k.DB.SigningKeys(ctx)
	if err != nil {
		return false, err
	}
	for _, one := range known {
		if strings.EqualFold(one.KeyID, key.ID()) {
			return false, nil
		}
	}
	der, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		return false, fmt.Errorf("encode public key: %w", err)
	}
	_, err = root.Introduce(ctx, domain.SigningKey{
		KeyID: key.ID(), SPKI: base64.StdEncoding.EncodeToString(der), Use: use, MaySign: domain.DefaultMaySign(use),
	})
	if errors.Is(err, store.ErrKeyKnown) {
		return false, nil
	}
	return err == nil, err
}
