package restore_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/dlai-sd/plant/scripts/doctor"
	"github.com/dlai-sd/plant/scripts/localstack/postgres"
	"github.com/dlai-sd/plant/scripts/localstack/stacktest"
	"github.com/dlai-sd/plant/scripts/restore"
	"github.com/dlai-sd/plant/shared/audit"
	"github.com/dlai-sd/plant/shared/checkpoints"
	"github.com/dlai-sd/plant/shared/domain"
	"github.com/dlai-sd/plant/shared/keys"
	"github.com/dlai-sd/plant/shared/registry"
	"github.com/dlai-sd/plant/shared/sequencer"
	"github.com/dlai-sd/plant/shared/store"
	"github.com/dlai-sd/plant/shared/testkit/harness"
)

func TestMain(m *testing.M) { stacktest.Main(m) }

type deployment struct {
	*harness.Deployment
	log  *sequencer.Sequencer
	opts restore.Options
}

func newDeployment(t *testing.T) *deployment {
	t.Helper()
	h := harness.New(t)
	folder, err := checkpoints.NewFolder(t.TempDir())
	require.NoError(t, err)
	hold := func(use domain.KeyUse) *keys.Holder { return h.Secrets.Hold(keys.Pinned(h.Keys[use]), time.Now) }
	d := &deployment{h, sequencer.New(sequencer.Config{
		DB: h.Open(t, "plant_auditor", 1), Store: folder, Origin: harness.Origin,
		Checkpoint: hold(domain.UseCheckpoint), Heads: hold(domain.UseHeads),
	}), restore.Options{
		URL: h.As("plant_migrator"), Published: folder, Origin: harness.Origin, Now: time.Now,
		Fetcher: stacktest.Fetcher(t),
	}}
	d.write(t, "Welding")
	return d
}

// write creates a skill and publishes a checkpoint that covers it.
func (d *deployment) write(t *testing.T, name string) {
	t.Helper()
	who := d.Principal(t, "acme", domain.Author)
	_, err := d.Service(t, 1).Create(t.Context(), registry.Request{Who: who, Route: "restore", Key: uuid.NewString()},
		domain.Skill{Name: name, Description: "Joins metal.", Category: "technical"}, domain.Settable{})
	require.NoError(t, err)
	_, err = d.log.Seal(t.Context())
	require.NoError(t, err)
}

func (d *deployment) sql(t *testing.T, text string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), d.URL)
	require.NoError(t, err)
	defer func() { _ = conn.Close(context.WithoutCancel(t.Context())) }()
	_, err = conn.Exec(t.Context(), text)
	require.NoError(t, err)
}

func rows(r restore.Report, table string) int64 {
	for _, one := range r.Tables {
		if one.Name == table {
			return one.Rows
		}
	}
	return -1
}

// What was backed up comes back whole, guarded as it was, and continues the log.
func TestABackupIsOne(t *testing.T) {
	t.Parallel()
	d := newDeployment(t)
	r, err := restore.Test(t.Context(), d.opts)
	require.NoError(t, err)
	require.True(t, r.Passed(), "%+v %+v", r.Examined.Findings(), r.Findings)
	require.Len(t, r.Examined.Outcomes, 4)
	require.EqualValues(t, 1, rows(r, "skill"))
	require.EqualValues(t, r.Entries, rows(r, "log_entry"))
	require.Equal(t, r.Entries, r.Log.PublishedSize)
	require.Positive(t, r.Entities)
	require.Positive(t, r.Bytes)
}

// A backup from before the newest checkpoint is older than what others have seen, and
// the operator is told so.
func TestAnOldBackupIsNoticed(t *testing.T) {
	t.Parallel()
	d := newDeployment(t)
	install, err := postgres.Fetch(t.Context(), d.opts.Fetcher, 18)
	require.NoError(t, err)
	d.opts.Backup = filepath.Join(t.TempDir(), "old.dump")
	out, err := exec.CommandContext(t.Context(), filepath.Join(install, "bin", "pg_dump"), "--format=custom", "--file="+d.opts.Backup, d.URL).CombinedOutput()
	require.NoError(t, err, "%s", out)
	d.write(t, "Brazing")
	r, err := restore.Test(t.Context(), d.opts)
	require.NoError(t, err)
	require.True(t, r.Behind())
	require.False(t, r.Passed())
	require.Contains(t, r.Examined.Findings()[0].Fix, "plant log fork")
}

// What is wrong with the deployment is wrong with its backup, and is told.
func TestADamagedDeploymentHasADamagedBackup(t *testing.T) {
	t.Parallel()
	d := newDeployment(t)
	d.sql(t, `ALTER TABLE entity NO FORCE ROW LEVEL SECURITY;
		SET session_replication_role = replica; ALTER TABLE skill DISABLE TRIGGER USER;
		UPDATE skill SET category = 'soft_skill'`)
	r, err := restore.Test(t.Context(), d.opts)
	require.NoError(t, err)
	require.False(t, r.Passed())
	require.NotEmpty(t, r.Findings)
	require.NotEmpty(t, r.Examined.Findings())
}

// The heads records are judged too, not only the entries and the tiles.
func TestABackupWithOtherHeadsIsNone(t *testing.T) {
	t.Parallel()
	d := newDeployment(t)
	d.sql(t, `ALTER TABLE heads DISABLE TRIGGER USER;
		UPDATE heads SET signature = set_byte(signature, 0, get_byte(signature, 0) # 1);
		ALTER TABLE heads ENABLE TRIGGER USER`)
	r, err := restore.Test(t.Context(), d.opts)
	require.NoError(t, err)
	require.False(t, r.Passed())
	require.Len(t, r.Findings, 1)
	require.Equal(t, string(audit.ReasonHeadsDiffer), r.Findings[0].Reason)
}

// moving is where a deployment publishes that goes on while its backup is tried: what
// is done before the first looks, is done between the backup and them.
type moving struct {
	checkpoints.Store
	meanwhile []func()
}

func (m *moving) Newest(ctx context.Context, from int64) (int64, []byte, error) {
	if len(m.meanwhile) > 0 {
		m.meanwhile[0]()
		m.meanwhile = m.meanwhile[1:]
	}
	return m.Store.Newest(ctx, from)
}

// What was published after a backup was made does not say that it is old: it is made
// again. One that somebody brings stays what it is.
func TestABackupOfWhatGoesOn(t *testing.T) {
	t.Parallel()
	d := newDeployment(t)
	d.opts.Published = &moving{d.opts.Published, []func(){func() { d.write(t, "Brazing") }}}
	r, err := restore.Test(t.Context(), d.opts)
	require.NoError(t, err)
	require.True(t, r.Passed(), "%+v %+v", r.Examined.Findings(), r.Findings)
	require.EqualValues(t, 2, rows(r, "skill"), "the second backup holds it")
}

// TestPassed: either of the two looks is enough to say no.
func TestPassed(t *testing.T) {
	t.Parallel()
	found := doctor.Report{Outcomes: []doctor.Outcome{{Findings: []doctor.Finding{{}}}}}
	blind := doctor.Report{Outcomes: []doctor.Outcome{{Unknown: "no answer"}}}
	require.True(t, restore.Report{}.Passed())
	require.False(t, restore.Report{Findings: []store.Finding{{}}}.Passed(), "what the audit found alone")
	require.False(t, restore.Report{Examined: found}.Passed(), "what the examination found alone")
	require.False(t, restore.Report{Examined: blind}.Passed(), "what nobody could look at")
	for reason, behind := range map[sequencer.Reason]bool{sequencer.ReasonRolledBack: true, "": false, "x": false} {
		require.Equal(t, behind, restore.Report{Log: sequencer.Status{Halted: reason}}.Behind())
	}
}

func TestNoBackup(t *testing.T) {
	t.Parallel()
	d := newDeployment(t)
	d.opts.Backup = filepath.Join(t.TempDir(), "garbage.dump")
	for _, garbage := range []string{"", "PG", "-- SQL in plain text"} {
		require.NoError(t, os.WriteFile(d.opts.Backup, []byte(garbage), 0o600))
		_, err := restore.Test(t.Context(), d.opts)
		require.ErrorIs(t, err, restore.ErrNoBackup)
	}
	require.NoError(t, os.WriteFile(d.opts.Backup, []byte("PGDMP, and then it breaks off"), 0o600))
	_, err := restore.Test(t.Context(), d.opts)
	require.ErrorContains(t, err, "pg_restore")
	d.opts.Backup += ".absent"
	_, err = restore.Test(t.Context(), d.opts)
	require.ErrorIs(t, err, os.ErrNotExist)
}
