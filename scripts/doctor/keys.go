package doctor

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	pb "cloud.google.com/go/secretmanager/apiv1/secretmanagerpb"
	"google.golang.org/api/iterator"

	"github.com/dlai-sd/plant/shared/domain"
	"github.com/dlai-sd/plant/shared/keys"
	"github.com/dlai-sd/plant/shared/registry"
	"github.com/dlai-sd/plant/shared/store"
)

const (
	rotateAfter  = 90 * 24 * time.Hour // as infra/secrets.tf says; the root stays
	mostVersions = 100
)

// secretOf is the secret of a use's keys.
func (d Deployment) secretOf(use domain.KeyUse) string {
	return fmt.Sprintf("projects/%s/secrets/plant-%s-key", d.Project, use)
}

var errNoSecrets = errors.New("the Secret Manager is not known: GOOGLE_CLOUD_PROJECT is not set")

// checkKeys compares the ledger's keys with what Secret Manager holds.
func checkKeys(ctx context.Context, d Deployment) ([]Finding, error) {
	if d.Secrets == nil {
		return nil, errNoSecrets
	}
	rows, err := d.DB.SigningKeys(ctx)
	if err != nil {
		return nil, err
	}
	var all []Finding
	for _, use := range registry.KeyUses() {
		inForce := slices.DeleteFunc(slices.Clone(rows), func(k store.KeyRow) bool { return k.Use != use || k.Status != domain.Active })
		switch len(inForce) {
		case 0:
			all = append(all, one(Critical, fmt.Sprintf("no %s key is in force", use), "plant keys init; or, where one was ended: plant keys rotate "+string(use))...)
			continue
		case 1:
		default:
			all = append(all, one(Warning, fmt.Sprintf("%d %s keys are in force: a rotation was not finished", len(inForce), use), "plant keys rotate "+string(use))...)
		}
		newest := inForce[len(inForce)-1]
		version, err := d.versionOf(ctx, use, newest.KeyID)
		if err != nil {
			return all, err
		}
		if version == "" {
			all = append(all, one(Critical, fmt.Sprintf("no version of %s holds the %s key in force, %.12s…", d.secretOf(use), use, newest.KeyID),
				"enable its version (gcloud secrets versions enable), or: plant keys rotate "+string(use))...)
		}
	}
	return all, nil
}

// versionOf finds the version of a use's secret that holds a key; "" if none does.
func (d Deployment) versionOf(ctx context.Context, use domain.KeyUse, keyID string) (string, error) {
	versions, err := d.versions(ctx, d.secretOf(use))
	if err != nil {
		return "", err
	}
	source := keys.NewSource(d.Secrets)
	for _, v := range versions {
		if v.GetState() != pb.SecretVersion_ENABLED {
			continue
		}
		if key, err := source.Key(ctx, v.GetName()); err == nil && key.ID() == keyID {
			return v.GetName(), nil
		}
	}
	return "", nil
}

// versions are a secret's, newest first; none where there is no such secret.
func (d Deployment) versions(ctx context.Context, secret string) ([]*pb.SecretVersion, error) {
	var list []*pb.SecretVersion
	for it := d.Secrets.ListSecretVersions(ctx, &pb.ListSecretVersionsRequest{Parent: secret}); len(list) < mostVersions; {
		v, err := it.Next()
		switch {
		case errors.Is(err, iterator.Done), isMissing(err):
			return list, nil
		case err != nil:
			return nil, fmt.Errorf("list the versions of %s: %w", secret, err)
		}
		list = append(list, v)
	}
	return list, nil
}

func checkRotation(ctx context.Context, d Deployment) ([]Finding, error) {
	if d.Secrets == nil {
		return nil, errNoSecrets
	}
	var all []Finding
	for _, use := range registry.KeyUses() {
		if use == domain.UseRoot {
			continue // auditors have pinned it
		}
		versions, err := d.versions(ctx, d.secretOf(use))
		if err != nil || len(versions) == 0 {
			return all, err
		}
		if age := d.Now().Sub(versions[0].GetCreateTime().AsTime()); age > rotateAfter {
			all = append(all, one(Warning, fmt.Sprintf("the %s key is %d days old", use, int(age.Hours()/24)), "plant keys rotate "+string(use)+"; "+runbookKeys)...)
		}
	}
	return all, nil
}

// checkSecrets reads what settings name, and forgets it.
func checkSecrets(ctx context.Context, d Deployment) ([]Finding, error) {
	if d.Secrets == nil {
		return nil, errNoSecrets
	}
	source := keys.NewSource(d.Secrets)
	var all []Finding
	for _, variable := range slices.Sorted(maps.Keys(d.Pinned)) {
		version := d.Pinned[variable]
		if version == "" {
			continue
		}
		if _, err := source.Payload(ctx, version); err != nil {
			secret, _, _ := strings.Cut(version, "/versions/")
			all = append(all, one(Critical, fmt.Sprintf("%s cannot be read: %v", variable, err), "gcloud secrets versions list "+secret[strings.LastIndex(secret, "/")+1:])...)
		}
	}
	return all, nil
}
