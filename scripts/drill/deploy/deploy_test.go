package deploy_test

import (
	"context"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/dlai-sd/plant/migrations"
	"github.com/dlai-sd/plant/scripts/drill/deploy"
	"github.com/dlai-sd/plant/scripts/localstack/stacktest"
	"github.com/dlai-sd/plant/shared/checkpoints"
	"github.com/dlai-sd/plant/shared/domain"
	"github.com/dlai-sd/plant/shared/testkit/harness"
)

func TestMain(m *testing.M) { stacktest.Main(m) }

func query[T any](t *testing.T, url, sql string) (v T) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	require.NoError(t, err)
	defer func() { _ = conn.Close(context.WithoutCancel(t.Context())) }()
	require.NoError(t, conn.QueryRow(t.Context(), sql).Scan(&v))
	return v
}

// content is a hash over everything that a table of the audit holds, in order.
func content(table string) string {
	return `SELECT coalesce(md5(string_agg(md5(t::text), '' ORDER BY t::text)), '') FROM ` + table + ` t`
}

func TestCopyIsWhatTheAuditorReads(t *testing.T) {
	t.Parallel()
	from, to := harness.New(t), harness.New(t)
	published, err := checkpoints.NewFolder(t.TempDir())
	require.NoError(t, err)
	place := deploy.Place{As: from.As, Secrets: from.Secrets, Keys: from.Keys, Origin: harness.Origin, Published: published}
	require.NoError(t, deploy.Populate(t.Context(), place, 44))
	copied, err := checkpoints.NewFolder(t.TempDir())
	require.NoError(t, err)

	config, err := pgx.ParseConfig(from.As("plant_auditor"))
	require.NoError(t, err)
	done, err := deploy.Copy(t.Context(), config, published, deploy.Database{URL: to.URL}, copied)
	require.NoError(t, err)
	require.Greater(t, done.Tables, int64(20))
	require.Greater(t, done.Rows, int64(100))
	for _, table := range []string{
		"entity", "skill", "job_role", "job_role_skill", "team", "agent", "industry", "signing_key", "amendment", "opening", "signature_batch",
		"embedding", "constitution", "log_entry", "log_tile", "heads", "checkpoint", "tenant_salt", "log_pending",
	} {
		want := query[string](t, from.URL, content(table))
		require.Equal(t, want, query[string](t, to.URL, content(table)), table)
	}
	require.Zero(t, query[int](t, to.URL, `SELECT count(*) FROM principal`), "who may call is nobody's business")
	n, note, err := published.Newest(t.Context(), 0)
	require.NoError(t, err)
	m, same, err := copied.Newest(t.Context(), 0)
	require.NoError(t, err)
	require.Equal(t, n, m)
	require.Equal(t, note, same)
}

// TestPopulationHasLived: what a drill attacks has what a registry of years has.
func TestPopulationHasLived(t *testing.T) {
	t.Parallel()
	d := harness.New(t)
	published, err := checkpoints.NewFolder(t.TempDir())
	require.NoError(t, err)
	place := deploy.Place{As: d.As, Secrets: d.Secrets, Keys: d.Keys, Origin: harness.Origin, Published: published}
	require.NoError(t, deploy.Populate(t.Context(), place, 44))
	require.Equal(t, "active aligned, archived aligned, certified aligned, certified requires_review, deprecated aligned, draft aligned, "+
		"draft requires_review, retired aligned, under_review aligned, under_review drifted",
		query[string](t, d.URL, `SELECT string_agg(DISTINCT status || ' ' || amendment_alignment, ', ') FROM entity`))
	require.Equal(t, "assigned certified created decertified drifted embedded enacted evolved introduced judged moved proposed reaffirmed rejected",
		query[string](t, d.URL, `SELECT string_agg(DISTINCT change, ' ' ORDER BY change) FROM amendment`))
	require.Equal(t, 3, query[int](t, d.URL, `SELECT count(*) FROM enactment`))
	require.Positive(t, query[int](t, d.URL, `SELECT count(*) FROM log_entry WHERE log_index > (SELECT max(log_index) FROM heads)`), "not counted yet")
	require.Zero(t, query[int](t, d.URL, `SELECT count(*) FROM log_pending`))
}

func TestCopyRefusesAnotherSchema(t *testing.T) {
	t.Parallel()
	from, to := harness.New(t), harness.New(t)
	published, err := checkpoints.NewFolder(t.TempDir())
	require.NoError(t, err)
	require.Equal(t, migrations.Latest(), query[int64](t, from.URL,
		`INSERT INTO goose_db_version (version_id, is_applied) VALUES (9999, true) RETURNING (SELECT max(version_id) FROM goose_db_version)`))
	config, err := pgx.ParseConfig(from.As("plant_auditor"))
	require.NoError(t, err)
	_, err = deploy.Copy(t.Context(), config, published, deploy.Database{URL: to.URL}, published)
	var schema *deploy.SchemaError
	require.ErrorAs(t, err, &schema)
	require.Equal(t, deploy.SchemaError{Has: 9999, Want: migrations.Latest()}, *schema)
}

// TestCopyReadsAsTheAuditorAlone: a login that is more than the auditor is the auditor
// while it copies, and writes nothing; one that may not become it is refused.
func TestCopyReadsAsTheAuditorAlone(t *testing.T) {
	t.Parallel()
	from, to := harness.New(t), harness.New(t)
	published, err := checkpoints.NewFolder(t.TempDir())
	require.NoError(t, err)
	from.Principal(t, "acme", domain.Author)
	admin, err := pgx.ParseConfig(from.URL)
	require.NoError(t, err)
	_, err = deploy.Copy(t.Context(), admin, published, deploy.Database{URL: to.URL}, published)
	require.NoError(t, err)
	require.Zero(t, query[int](t, to.URL, `SELECT count(*) FROM principal`))
	writer, err := pgx.ParseConfig(from.As("plant_writer"))
	require.NoError(t, err)
	_, err = deploy.Copy(t.Context(), writer, published, deploy.Database{URL: to.URL}, published)
	require.ErrorContains(t, err, "become plant_auditor")
}
