package registry

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/dlai-sd/plant/shared/domain"
	"github.com/dlai-sd/plant/shared/keys"
	"github.com/dlai-sd/plant/shared/ledger"
	"github.com/dlai-sd/plant/shared/store"
)

const (
	keyWork       = "keys"
	reattestPage  = 100
	maxSuccessors = 50 // versions of a secret that are tried
)

// Successor finds the key in force behind a pinned version: that one while the
// ledger says it is in force, else the next version of its secret that is. Only
// a root can have introduced it, so a version that somebody merely added to the
// secret is never used.
func Successor(source *keys.Source, db *store.DB, pinned string) keys.Locate {
	return func(ctx context.Context) (string, error) {
		secret, number, ok := strings.Cut(pinned, "/versions/")
		first, err := strconv.Atoi(number)
		if !ok || err != nil {
			return pinned, nil // the source refuses it, and says how a version is named
		}
		for n := first; n < first+maxSuccessors; n++ {
			version := secret + "/versions/" + strconv.Itoa(n)
			key, err := source.Key(ctx, version)
			if err != nil {
				if n > first && !isUnavailable(err) {
					return pinned, nil // there are no more: the pinned one is refused where it is used
				}
				return version, err
			}
			switch err := db.KeyInForce(ctx, key.ID()); {
			case err == nil:
				return version, nil
			case !errors.Is(err, store.ErrKeyOutOfForce):
				return "", err
			}
		}
		return pinned, nil
	}
}

// Rotate makes a new key of a use, introduces it under the root, and retires the
// one before it. Functions that sign with the old one find the new one when the
// database refuses them. Interrupted, it is finished by running it again: what
// was introduced stays, and the older keys of the use are retired.
func (k Keyring) Rotate(ctx context.Context, use domain.KeyUse) (version string, err error) {
	root, err := k.rootService(ctx)
	if err != nil {
		return "", err
	}
	algorithm := keys.RSA4096
	if use == domain.UseCheckpoint {
		algorithm = keys.Ed25519
	}
	version, _, err = k.Secrets.Create(ctx, fmt.Sprintf("projects/%s/secrets/plant-%s-key", k.Project, use), algorithm)
	if err != nil {
		return "", err
	}
	key, err := k.Secrets.Key(ctx, version)
	if err != nil {
		return version, err
	}
	if _, err := k.introduceAs(ctx, root, use, key); err != nil {
		return version, fmt.Errorf("introduce %s key: %w", use, err)
	}
	known, err := k.DB.SigningKeys(ctx)
	if err != nil {
		return version, err
	}
	for _, old := range known {
		if old.Use == use && old.Status == domain.Active && old.KeyID != key.ID() {
			if err := k.end(ctx, root, old, domain.EndKey{Reason: "rotated"}); err != nil {
				return version, fmt.Errorf("retire the %s key before: %w", use, err)
			}
		}
	}
	return version, nil
}

// End retires a key, or revokes it from a log index on, by a record that the
// root signs.
func (k Keyring) End(ctx context.Context, keyID string, how domain.EndKey) error {
	root, err := k.rootService(ctx)
	if err != nil {
		return err
	}
	known, err := k.DB.SigningKeys(ctx)
	if err != nil {
		return err
	}
	for _, one := range known {
		if one.KeyID == keyID {
			return k.end(ctx, root, one, how)
		}
	}
	return domain.Refuse(domain.CodeNotFound, "the ledger knows no key %s", keyID)
}

func (k Keyring) end(ctx context.Context, root *Service, key store.KeyRow, how domain.EndKey) error {
	if key.Use == domain.UseRoot {
		return domain.Refuse(domain.CodeForbidden, "a root is not ended by a record: auditors pin another one")
	}
	req := Request{Who: System(keyWork), Tenant: domain.KeyringAgent}
	_, err := root.Amend(ctx, req, key.EntityID, ledger.Hash{}, how)
	return err
}

func (k Keyring) rootService(ctx context.Context) (*Service, error) {
	_, key, err := k.secret(ctx, domain.UseRoot)
	if err != nil {
		return nil, fmt.Errorf("root key: %w", err)
	}
	return k.serviceOf(key)
}

func (k Keyring) serviceOf(key keys.Key) (*Service, error) {
	return New(Config{
		DB: k.DB, Keys: k.Secrets.Hold(keys.Pinned(key.Version()), time.Now), Origin: k.Origin, Log: k.Log,
	})
}

// Reattest says again, under the service's own key, what a revoked key signed of
// every entity that still stands on it. The service works as plant_certifier
// with an amendment key. It may be interrupted and run again: what was said
// again is not found any more. It returns how many entities it amended.
func (s *Service) Reattest(ctx context.Context, keyID string, progress func(done int)) (int, error) {
	done, after := 0, domain.ID("")
	for {
		page, err := s.db.SignedWith(ctx, keyID, after, reattestPage)
		if err != nil || len(page) == 0 {
			return done, err
		}
		for _, one := range page {
			req := Request{Who: System(keyWork), Tenant: one.GovernanceAgentID}
			if _, err := s.Amend(ctx, req, one.EntityID, ledger.Hash{}, domain.Reattest{Hashes: one.Hashes}); err != nil {
				return done, fmt.Errorf("reattest %s: %w", one.EntityID, err)
			}
			done, after = done+1, one.EntityID
		}
		if progress != nil {
			progress(done)
		}
	}
}
