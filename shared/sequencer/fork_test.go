package sequencer_test

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rsa"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/dlai-sd/plant/migrations"
	"github.com/dlai-sd/plant/shared/audit"
	"github.com/dlai-sd/plant/shared/bundle"
	"github.com/dlai-sd/plant/shared/domain"
	"github.com/dlai-sd/plant/shared/export"
	"github.com/dlai-sd/plant/shared/keys"
	"github.com/dlai-sd/plant/shared/ledger"
	"github.com/dlai-sd/plant/shared/registry"
	"github.com/dlai-sd/plant/shared/sequencer"
	"github.com/dlai-sd/plant/shared/store"
	"github.com/dlai-sd/plant/shared/testkit/harness"
	"github.com/dlai-sd/plant/shared/translog"
)

const newOrigin = "test.example/plant-2"

// backup copies the database as it is now; restored is the kit on such a copy, with
// the checkpoints that were published since.
func (k *kit) backup(t *testing.T) (restored func() *kit) {
	t.Helper()
	u, err := url.Parse(k.URL)
	require.NoError(t, err)
	copyOf := func(from, to string) {
		admin := *u
		admin.Path = "/postgres"
		conn, err := pgx.Connect(t.Context(), admin.String())
		require.NoError(t, err)
		defer func() { require.NoError(t, conn.Close(t.Context())) }()
		_, err = conn.Exec(t.Context(), `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1`, from)
		require.NoError(t, err)
		_, err = conn.Exec(t.Context(), "CREATE DATABASE "+to+" TEMPLATE "+from)
		require.NoError(t, err)
	}
	name := u.Path[1:]
	copyOf(name, name+"_backup")
	return func() *kit {
		old := *k
		deployment := *k.Deployment
		at := *u
		at.Path = "/" + name + "_backup"
		deployment.URL = at.String()
		old.Deployment = &deployment
		old.admin(t, migrations.Bootstrap)
		old.db, old.registry = deployment.Open(t, "plant_auditor", 2), deployment.Service(t, 2)
		return &old
	}
}

func (k *kit) rootKey(t *testing.T) keys.Key {
	t.Helper()
	key, err := k.Secrets.Key(t.Context(), k.Keys[domain.UseRoot])
	require.NoError(t, err)
	return key
}

// operator is the command line's sequencer: it looks, and signs nothing.
func (k *kit) operator(t *testing.T) *sequencer.Sequencer {
	t.Helper()
	return k.sequencer(t, func(c *sequencer.Config) { c.DB, c.Checkpoint, c.Heads = k.Open(t, "plant_operator", 1), nil, nil })
}

func (k *kit) origin(t *testing.T, origin string) *sequencer.Sequencer {
	t.Helper()
	return k.sequencer(t, func(c *sequencer.Config) { c.Origin = origin })
}

// TestRestoredBackup: a database that is older than what was published is noticed at
// once, also when more is written to it than was lost; nothing is signed. A fork
// under a new origin goes on from the last checkpoint that both know.
func TestRestoredBackup(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	k.write(t, 3)
	run(t, k.sequencer(t, nil))
	k.write(t, 1)
	run(t, k.sequencer(t, nil))
	good := k.published(t)[1]
	restore := k.backup(t)
	k.db, k.registry = k.Open(t, "plant_auditor", 2), k.Service(t, 2)
	k.write(t, 2)
	run(t, k.sequencer(t, nil))
	lost := k.published(t)[2]

	old := restore()
	s := old.sequencer(t, nil)
	_, err := s.Run(t.Context())
	require.Equal(t, sequencer.ReasonRolledBack, sequencer.Halted(err).Reason)
	old.write(t, 5)
	_, err = s.Run(t.Context())
	require.Equal(t, sequencer.ReasonRolledBack, sequencer.Halted(err).Reason, "what waits gets no place")
	require.Len(t, old.published(t), 3)
	status, err := old.operator(t).Status(t.Context())
	require.NoError(t, err)
	require.Equal(t, sequencer.Status{
		Origin: k.operator(t).Origin, Size: good.Size, Waiting: 5, HeadsAt: status.HeadsAt, Published: 3, PublishedSize: lost.Size,
		Halted: sequencer.ReasonRolledBack,
	}, status)

	fork, err := old.operator(t).Fork(t.Context(), old.rootKey(t), newOrigin)
	require.NoError(t, err)
	require.Equal(t, good, fork.Good)
	require.Equal(t, lost, fork.Lost)
	require.EqualValues(t, 3, fork.Number)

	status, err = old.operator(t).Status(t.Context())
	require.NoError(t, err)
	require.Equal(t, newOrigin, status.ForkedTo, "where it goes on")
	require.Equal(t, sequencer.ReasonRolledBack, status.Halted)

	// The old origin stays stopped; the new one goes on, once.
	_, err = s.Run(t.Context())
	require.NotNil(t, sequencer.Halted(err))
	n := old.origin(t, newOrigin)
	done := run(t, n)
	require.EqualValues(t, 4, done.Published.N)
	require.EqualValues(t, good.Size+5+1, done.Published.Size, "what waited, and the statement")
	statement, err := fork.Bytes()
	require.NoError(t, err)
	require.Equal(t, []string{string(statement)}, column(t, old.connect(t), `SELECT statement FROM log_fork JOIN log_entry USING (hash) WHERE log_index = $1`, good.Size+5))
	require.Equal(t, sequencer.Done{Size: done.Size}, run(t, n))
	_, err = s.Run(t.Context())
	require.Equal(t, sequencer.ReasonOrigin, sequencer.Halted(err).Reason, "what is published now is the new log's")

	// It continues the last good checkpoint, and the checkpoint says so itself.
	_, note, err := old.folder(t).Newest(t.Context(), 0)
	require.NoError(t, err)
	held, err := old.Secrets.Key(t.Context(), old.Keys[domain.UseCheckpoint])
	require.NoError(t, err)
	c, _, err := translog.OpenCheckpoint(note, newOrigin, []ed25519.PublicKey{held.Public().(ed25519.PublicKey)})
	require.NoError(t, err)
	tiles, err := old.db.Tiles(t.Context(), translog.ConsistencyTiles(good.Size, c.Size))
	require.NoError(t, err)
	path, err := translog.Nodes(tiles.Node).Consistency(good.Size, c.Size)
	require.NoError(t, err)
	require.NoError(t, translog.CheckConsistency(path, c.Size, c.Root, good.Size, good.Root))

	old.bundles(t, n, good)

	// The database from before the restore, should it come back, is stopped too.
	_, err = k.sequencer(t, nil).Run(t.Context())
	require.NotNil(t, sequencer.Halted(err))
}

// TestForkIsNoWayAround: only a log that lost what was published is forked, only
// under a root, and only from the very checkpoint that was given up.
func TestForkIsNoWayAround(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	run(t, k.sequencer(t, nil))
	_, err := k.operator(t).Fork(t.Context(), k.rootKey(t), newOrigin)
	require.ErrorContains(t, err, "can go on")
	_, err = k.origin(t, newOrigin).Run(t.Context())
	require.Equal(t, sequencer.ReasonOrigin, sequencer.Halted(err).Reason, "another origin alone is no fork")

	restore := k.backup(t)
	k.db, k.registry = k.Open(t, "plant_auditor", 2), k.Service(t, 2)
	k.write(t, 1)
	run(t, k.sequencer(t, nil))
	old := restore()
	amendmentKey, err := old.Secrets.Key(t.Context(), old.Keys[domain.UseAmendment])
	require.NoError(t, err)
	_, err = old.operator(t).Fork(t.Context(), amendmentKey, "test.example/by-no-root")
	require.NoError(t, err)
	_, err = old.origin(t, "test.example/by-no-root").Run(t.Context())
	require.Equal(t, sequencer.ReasonFork, sequencer.Halted(err).Reason)
	status, err := old.operator(t).Status(t.Context())
	require.NoError(t, err)
	require.Empty(t, status.ForkedTo, "a fork by no root leads nowhere")
	for origin, says := range map[string]string{
		"Not An Origin": "", harness.Origin: "is the present origin", "test.example/by-no-root": "forked to test.example/by-no-root already",
	} {
		_, err = old.operator(t).Fork(t.Context(), old.rootKey(t), origin)
		require.ErrorIs(t, err, sequencer.ErrOrigin)
		require.ErrorContains(t, err, says)
	}

	_, err = old.operator(t).Fork(t.Context(), old.rootKey(t), newOrigin)
	require.NoError(t, err)
	k.write(t, 1)
	run(t, k.sequencer(t, nil)) // the other database lives, and published once more
	_, err = old.origin(t, newOrigin).Run(t.Context())
	require.Equal(t, sequencer.ReasonFork, sequencer.Halted(err).Reason)
	require.NoError(t, os.Remove(filepath.Join(k.dir, "checkpoints", "000000000003")))
	run(t, old.origin(t, newOrigin))
}

// under is the kit's functions, started with another origin.
func (k *kit) under(t *testing.T, origin string) *kit {
	t.Helper()
	service, err := registry.New(registry.Config{
		DB: k.Open(t, "plant_writer", 2), Keys: k.Secrets.Hold(keys.Pinned(k.Keys[domain.UseAmendment]), time.Now),
		Origin: origin, Log: slog.New(slog.DiscardHandler),
	})
	require.NoError(t, err)
	later := *k
	later.registry = service
	return &later
}

// audited is what an audit of everything finds of the entities, by an auditor of the
// log of an origin.
func (k *kit) audited(t *testing.T, origin string) (reasons []string) {
	t.Helper()
	auditor := &audit.Auditor{DB: k.db, Log: k.origin(t, origin), Origin: origin}
	done, err := auditor.Everything(t.Context(), store.RunFilter{})
	require.NoError(t, err)
	require.Positive(t, done.Entities)
	for _, f := range done.Findings {
		reasons = append(reasons, f.Reason)
	}
	return reasons
}

// TestForkBeforeItsFirstRun: from the fork on, and not only once the sequencer has begun
// the log anew, what was recorded before it is sound to an audit under the new origin,
// and so is what the functions record since. Each then stands on its side of the
// statement. A fork that no root signed changes nothing.
func TestForkBeforeItsFirstRun(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	k.write(t, 2)
	run(t, k.sequencer(t, nil))
	restore := k.backup(t)
	k.db, k.registry = k.Open(t, "plant_auditor", 2), k.Service(t, 2)
	k.write(t, 1)
	run(t, k.sequencer(t, nil))
	old := restore()
	before := old.write(t, 1)[0]
	require.Contains(t, old.audited(t, newOrigin), string(ledger.ReasonOriginWrong), "it is another log's until a root says so")

	amendmentKey, err := old.Secrets.Key(t.Context(), old.Keys[domain.UseAmendment])
	require.NoError(t, err)
	_, err = old.operator(t).Fork(t.Context(), amendmentKey, "test.example/by-no-root")
	require.NoError(t, err)
	require.Contains(t, old.audited(t, "test.example/by-no-root"), string(ledger.ReasonOriginWrong))

	_, err = old.operator(t).Fork(t.Context(), old.rootKey(t), newOrigin)
	require.NoError(t, err)
	require.Empty(t, old.audited(t, newOrigin))
	since := old.under(t, newOrigin).write(t, 1)[0]
	require.Empty(t, old.audited(t, newOrigin))
	require.Contains(t, old.audited(t, harness.Origin), string(ledger.ReasonOriginWrong), "the old log has ended")
	status, err := old.origin(t, newOrigin).Status(t.Context())
	require.NoError(t, err)
	require.Empty(t, status.Halted)

	run(t, old.origin(t, newOrigin))
	require.Empty(t, old.audited(t, newOrigin))
	require.Equal(t, []string{string(before), newOrigin, string(since)}, column(t, old.connect(t),
		`SELECT coalesce(l.entity_id::text, f.origin) FROM log_entry l LEFT JOIN log_fork f USING (hash)
		WHERE l.entity_id = ANY ($1::uuid[]) OR f.origin IS NOT NULL ORDER BY l.log_index`, []string{string(before), string(since)}))
}

// bundles exports from a forked log, and has both verifiers judge: who expects the
// new origin and holds a checkpoint of the old one is satisfied; who does not know of
// the fork is told.
func (k *kit) bundles(t *testing.T, s *sequencer.Sequencer, good translog.Checkpoint) {
	t.Helper()
	id := k.under(t, newOrigin).write(t, 1)[0]
	cut, err := s.Seal(t.Context())
	require.NoError(t, err)
	kept, err := k.db.Checkpoints(t.Context(), 0, 100)
	require.NoError(t, err)
	var seen []byte
	for _, c := range kept {
		if c.Size == good.Size {
			seen = c.Note
		}
	}
	require.NotEmpty(t, seen)
	x := &export.Exporter{DB: k.db, Log: s, Origin: newOrigin, Now: time.Now}
	root := k.rootKey(t).Public().(*rsa.PublicKey)
	for _, scope := range []bundle.Scope{{Type: bundle.ScopeAll}, {Type: bundle.ScopeGovernanceAgent, ID: "acme"}, {Type: bundle.ScopeEntity, ID: string(id)}} {
		plan, err := x.Prepare(t.Context(), export.Order{Scope: scope, At: time.Now()}, cut)
		require.NoError(t, err)
		var b bytes.Buffer
		require.NoError(t, plan.Write(t.Context(), &b))
		fsys, err := bundle.NewZip(bytes.NewReader(b.Bytes()), int64(b.Len()))
		require.NoError(t, err)
		o := bundle.Options{Trust: root, Origin: newOrigin, Now: time.Now(), Seen: seen, Scope: &scope}
		report, err := bundle.Verify(fsys, o)
		require.NoError(t, err)
		for _, v := range report.Verdicts() {
			require.True(t, v.Passed, "%s: %s: %+v", scope, v.Name, v.Offender)
		}
		require.Positive(t, report.Rules.Judged)
		o.Origin = harness.Origin
		report, err = bundle.Verify(fsys, o)
		require.NoError(t, err)
		require.Equal(t, ledger.ReasonOriginWrong, report.Signature.Offender.Reason)
	}
	require.Empty(t, k.audited(t, newOrigin), "what was written before the fork is as sound as it was")
}
