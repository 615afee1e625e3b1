package chaos

import (
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/dlai-sd/plant/shared/auth"
	"github.com/dlai-sd/plant/shared/checkpoints"
	"github.com/dlai-sd/plant/shared/domain"
	"github.com/dlai-sd/plant/shared/keys"
	"github.com/dlai-sd/plant/shared/ledger"
	"github.com/dlai-sd/plant/shared/registry"
	"github.com/dlai-sd/plant/shared/sequencer"
	"github.com/dlai-sd/plant/shared/store"
	"github.com/dlai-sd/plant/shared/testkit/harness"
	"github.com/dlai-sd/plant/shared/translog"
)

// pulse writes skills, some at once and some alone, until told to stop.
func pulse(ctx context.Context, t *testing.T, d *harness.Deployment, decide *rand.Rand) (written *atomic.Int64, wait func()) {
	t.Helper()
	service, who := d.Service(t, 2), d.Principal(t, "north", domain.Author)
	written = new(atomic.Int64)
	var writing sync.WaitGroup
	writing.Go(func() {
		for ctx.Err() == nil {
			n := 1 + decide.IntN(8)
			if writeSkills(ctx, service, who, n) == nil {
				written.Add(int64(n))
			}
			pause(ctx, time.Duration(decide.Int64N(int64(10*time.Millisecond))))
		}
	})
	return written, writing.Wait
}

func writeSkills(ctx context.Context, service *registry.Service, who auth.Principal, n int) error {
	items := make([]registry.Candidate, n)
	for i := range items {
		items[i].Facts = domain.Skill{Name: "Skill " + uuid.NewString(), Description: "Does it.", Category: "technical"}
	}
	r := registry.Request{Who: who, Route: "chaos", Key: uuid.NewString(), BodyHash: sha256.Sum256(nil)}
	_, err := service.CreateAll(ctx, r, domain.KindSkill, items)
	return err
}

// fragile is a store whose calls fail before or after they did their work, as a
// process that dies there would leave them.
type fragile struct {
	checkpoints.Store
	fail func(place string) error
}

func (f fragile) Create(ctx context.Context, n int64, note []byte) error {
	if err := f.fail("before create"); err != nil {
		return err
	}
	if err := f.Store.Create(ctx, n, note); err != nil {
		return err
	}
	return f.fail("after create")
}

func (f fragile) Newest(ctx context.Context, from int64) (int64, []byte, error) {
	n, note, err := f.Store.Newest(ctx, from)
	if err != nil {
		return 0, nil, err
	}
	return n, note, f.fail("after newest")
}

var errKilled = errors.New("killed here")

// TestLogDeaths: sequencers, two at a time, die at every boundary between their
// steps and at random moments inside of them, while others write. The log never
// forks and never skips, and every checkpoint continues the one before.
func TestLogDeaths(t *testing.T) {
	t.Parallel()
	d := throw(t)
	deaths := int64(10 * setting(t, "CHAOS_KILLS", 3)) // #nosec -- small
	deployment := harness.New(t)
	dir := t.TempDir()
	ctx, end := context.WithTimeout(t.Context(), wholeRun)
	defer end()
	writing, stop := context.WithCancel(ctx)
	written, wait := pulse(writing, t, deployment, d.of("log writer", 0))
	var died atomic.Int64
	var running sync.WaitGroup
	for n := range 2 {
		decide := d.of("sequencer", n)
		s := sequencerOf(t, deployment, dir, func(place string) error {
			if decide.IntN(6) == 0 {
				return fmt.Errorf("%w: %s", errKilled, place)
			}
			return nil
		})
		running.Go(func() {
			for died.Load() < deaths && ctx.Err() == nil {
				one, cancel := context.WithCancel(ctx)
				within := time.Duration(decide.Int64N(int64(100 * time.Millisecond)))
				if decide.IntN(2) == 0 {
					within = time.Minute // it dies at a boundary, or not
				}
				timer := time.AfterFunc(within, cancel)
				_, err := s.Run(one)
				if err != nil && !errors.Is(err, sequencer.ErrBusy) {
					died.Add(1)
				}
				if sequencer.Halted(err) != nil {
					t.Errorf("a log that is sound was stopped: %v", err)
					died.Store(deaths)
				}
				timer.Stop()
				cancel()
			}
		})
	}
	running.Wait()
	stop()
	wait()
	require.NoError(t, ctx.Err())
	_, err := sequencerOf(t, deployment, dir, func(string) error { return nil }).Run(ctx)
	require.NoError(t, err)
	n := logIsWhole(t, deployment, dir)
	t.Logf("%d deaths while %d amendments were written: %d checkpoints, each consistent with the one before", died.Load(), written.Load(), n)
}

func sequencerOf(t *testing.T, d *harness.Deployment, dir string, fail func(string) error) *sequencer.Sequencer {
	t.Helper()
	folder, err := checkpoints.NewFolder(dir)
	require.NoError(t, err)
	hold := func(use domain.KeyUse) *keys.Holder { return d.Secrets.Hold(keys.Pinned(d.Keys[use]), time.Now) }
	return sequencer.New(sequencer.Config{
		DB: d.Open(t, "plant_auditor", 2), Store: fragile{folder, fail}, Origin: harness.Origin,
		Checkpoint: hold(domain.UseCheckpoint), Heads: hold(domain.UseHeads),
	})
}

// TestLogKills: the process of audit-run and PostgreSQL are killed with signal 9
// while the log is written without a pause.
func TestLogKills(t *testing.T) {
	t.Parallel()
	d := throw(t)
	kills := int(setting(t, "CHAOS_LOG_KILLS", 4)) // #nosec -- small
	c := listen(t, d.of("log consumer", 0))
	s := begin(t, c)
	ctx, end := context.WithTimeout(t.Context(), wholeRun)
	defer end()
	work, stop := context.WithCancel(ctx)
	written, wait := pulse(work, t, s.Deployment, d.of("log writer", 1))
	var calling sync.WaitGroup
	for range 2 {
		calling.Go(func() {
			for work.Err() == nil {
				_, _ = s.sweep(work)
				pause(work, time.Millisecond)
			}
		})
	}
	decide, published := d.of("log killer", 0), 0
	for k := range kills {
		s.awaitCheckpoint(ctx, published)
		published = len(s.checkpointFiles())
		pause(ctx, time.Duration(decide.Int64N(int64(60*time.Millisecond))))
		if k%10 == 9 {
			require.NoError(t, s.server.Kill())
			require.NoError(t, s.server.Restart(ctx))
			continue
		}
		require.NoError(t, s.audit.Kill())
		require.NoError(t, s.audit.Ready(ctx))
	}
	stop()
	calling.Wait()
	wait()
	require.NoError(t, ctx.Err())
	require.NoError(t, s.audit.Ready(ctx))
	s.quiet(t)
	n := logIsWhole(t, s.Deployment, s.checkpoints)
	t.Logf("%d kills while %d amendments were written: %d checkpoints, each consistent with the one before", kills, written.Load(), n)
}

func (s *stack) checkpointFiles() []string {
	files, _ := filepath.Glob(filepath.Join(s.checkpoints, "checkpoints", "[0-9]*")) // the pattern is sound
	return files
}

// awaitCheckpoint waits until more are published than were, so that kills strike a
// log that is at work and not a process that starts; a slow machine's is struck
// after two seconds all the same.
func (s *stack) awaitCheckpoint(ctx context.Context, were int) {
	for end := time.Now().Add(2 * time.Second); len(s.checkpointFiles()) <= were && time.Now().Before(end) && ctx.Err() == nil; {
		pause(ctx, lookEach)
	}
}

// logIsWhole: every amendment has one place or waits, there is no gap, the tiles
// are the tree of the entries, and every published checkpoint is of that tree, with
// a proof that it continues the one before. It returns how many there are.
func logIsWhole(t *testing.T, d *harness.Deployment, dir string) int {
	t.Helper()
	db := d.Open(t, "plant_auditor", 2)
	entries, tree := loggedEntries(t, db)
	require.Equal(t, int64(len(entries)), tree.Size())
	key, err := d.Secrets.Key(t.Context(), d.Keys[domain.UseCheckpoint])
	require.NoError(t, err)
	var before translog.Checkpoint
	files, err := filepath.Glob(filepath.Join(dir, "checkpoints", "[0-9]*"))
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for i, file := range files {
		require.Equal(t, fmt.Sprintf("%012d", i+1), filepath.Base(file), "no number is left out")
		note, err := os.ReadFile(file)
		require.NoError(t, err)
		c, _, err := translog.OpenCheckpoint(note, harness.Origin, []ed25519.PublicKey{key.Public().(ed25519.PublicKey)})
		require.NoError(t, err)
		root, err := translog.Nodes(tree.Node).Root(c.Size)
		require.NoError(t, err)
		require.Equal(t, root, c.Root)
		require.Greater(t, c.Size, before.Size)
		if before.Size > 0 {
			tiles, err := db.Tiles(t.Context(), translog.ConsistencyTiles(before.Size, c.Size))
			require.NoError(t, err)
			path, err := translog.Nodes(tiles.Node).Consistency(before.Size, c.Size)
			require.NoError(t, err)
			require.NoError(t, translog.CheckConsistency(path, c.Size, c.Root, before.Size, before.Root))
		}
		before = c
	}
	for what, query := range map[string]string{
		"amendments without one place": `SELECT count(*) FROM (SELECT a.hash FROM amendment a LEFT JOIN (
			SELECT hash FROM log_entry UNION ALL SELECT hash FROM log_pending) l USING (hash) GROUP BY a.hash HAVING count(l.hash) <> 1) x`,
		"gaps":                    `SELECT coalesce(max(log_index) + 1, 0) - count(*) FROM log_entry`,
		"amendments out of order": `SELECT count(*) FROM log_entry a JOIN log_entry b USING (entity_id) WHERE a.seq < b.seq AND a.log_index > b.log_index`,
		"checkpoints of the database that are not published": fmt.Sprintf(`SELECT greatest(count(*) - %d, 0) FROM checkpoint`, len(files)),
	} {
		require.Zero(t, countOn(t, d, query), what)
	}
	return len(files)
}

// loggedEntries are the log's entries and the tree over them, which its tiles must
// be.
func loggedEntries(t *testing.T, db *store.DB) ([]ledger.Hash, *translog.Tree) {
	t.Helper()
	entries, err := db.Entries(t.Context(), 0, 1<<30)
	require.NoError(t, err)
	var tree translog.Tree
	leaves := make([]ledger.Hash, len(entries))
	for i, e := range entries {
		leaves[i] = translog.EntryLeaf(e)
		tree.Append(leaves[i])
	}
	want := translog.Tiles{}
	got, err := db.Tiles(t.Context(), want.Grow(0, leaves))
	require.NoError(t, err)
	require.Equal(t, want, got)
	return entries, &tree
}
