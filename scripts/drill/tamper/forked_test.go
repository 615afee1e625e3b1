package tamper_test

import (
	"net/url"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/dlai-sd/plant/migrations"
	"github.com/dlai-sd/plant/scripts/drill/deploy"
	"github.com/dlai-sd/plant/scripts/drill/tamper"
	"github.com/dlai-sd/plant/shared/checkpoints"
	"github.com/dlai-sd/plant/shared/domain"
	"github.com/dlai-sd/plant/shared/keys"
	"github.com/dlai-sd/plant/shared/sequencer"
	"github.com/dlai-sd/plant/shared/testkit/harness"
)

// log is the sequencer of a deployment's role and origin.
func logOf(t *testing.T, d *harness.Deployment, published checkpoints.Store, role, origin string) *sequencer.Sequencer {
	t.Helper()
	hold := func(use domain.KeyUse) *keys.Holder { return d.Secrets.Hold(keys.Pinned(d.Keys[use]), time.Now) }
	return sequencer.New(sequencer.Config{
		DB: d.Open(t, role, 1), Store: published, Origin: origin, Checkpoint: hold(domain.UseCheckpoint), Heads: hold(domain.UseHeads),
	})
}

// copied is a deployment on a copy of its database as it is now.
func copied(t *testing.T, d *harness.Deployment) *harness.Deployment {
	t.Helper()
	u, err := url.Parse(d.URL)
	require.NoError(t, err)
	name := u.Path[1:]
	alone(t, d)
	u.Path = "/postgres"
	execute(t, u.String(), "CREATE DATABASE "+name+"_backup TEMPLATE "+name)
	u.Path = "/" + name + "_backup"
	backup := *d
	backup.URL = u.String()
	execute(t, backup.URL, migrations.Bootstrap)
	return &backup
}

// alone ends every connection to a deployment's database, which can be copied then.
func alone(t *testing.T, d *harness.Deployment) {
	t.Helper()
	u, err := url.Parse(d.URL)
	require.NoError(t, err)
	name := u.Path[1:]
	u.Path = "/postgres"
	execute(t, u.String(), `SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE datname = '`+name+`'`)
}

func execute(t *testing.T, url, sql string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	require.NoError(t, err)
	_, err = conn.Exec(t.Context(), sql)
	require.NoError(t, err)
	require.NoError(t, conn.Close(t.Context()))
}

// TestForkedLog: a drill passes on a database whose keys were rotated, that was restored
// from a backup and whose log goes on under another origin.
func TestForkedLog(t *testing.T) {
	t.Parallel()
	d := harness.New(t)
	ring := d.OwnSecrets(t)
	for _, use := range []domain.KeyUse{domain.UseAmendment, domain.UseCertification, domain.UseHeads, domain.UseCheckpoint} {
		version, err := ring.Rotate(t.Context(), use)
		require.NoError(t, err)
		d.Keys[use] = version
	}
	published, err := checkpoints.NewFolder(t.TempDir())
	require.NoError(t, err)
	place := deploy.Place{As: d.As, Secrets: d.Secrets, Keys: d.Keys, Origin: harness.Origin, Published: published}
	require.NoError(t, deploy.Populate(t.Context(), place, 120))
	restored := copied(t, d)
	_, err = logOf(t, d, published, "plant_auditor", harness.Origin).Seal(t.Context()) // this much is lost
	require.NoError(t, err)

	const forked = "test.example/plant-2"
	root, err := d.Secrets.Key(t.Context(), d.Keys[domain.UseRoot])
	require.NoError(t, err)
	_, err = logOf(t, restored, published, "plant_operator", harness.Origin).Fork(t.Context(), root, forked)
	require.NoError(t, err)
	place.As, place.Origin = restored.As, forked
	captured, err := place.Sealer(t.Context())
	require.NoError(t, err)
	source := tamper.Source{AdminURL: restored.URL, As: restored.As, Published: published, Origin: forked, Captured: &captured}
	alone(t, restored)
	_, err = tamper.Run(t.Context(), source, tamper.Options{Count: 1, Seed: 1})
	require.ErrorIs(t, err, tamper.ErrUnpublished, "what is published is the log's before")

	_, err = logOf(t, restored, published, "plant_auditor", forked).Run(t.Context())
	require.NoError(t, err)
	alone(t, restored)
	for seed := uint64(30); seed < 32; seed++ {
		passes(t, source, tamper.Options{Count: 1, Seed: seed})
	}
}
