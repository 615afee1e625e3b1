package sequencer_test

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/dlai-sd/plant/scripts/localstack/stacktest"
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

func TestMain(m *testing.M) { stacktest.Main(m) }

// kit is a deployment with a log.
type kit struct {
	*harness.Deployment
	dir      string
	db       *store.DB
	registry *registry.Service
	who      auth.Principal
}

func newKit(t *testing.T) *kit {
	t.Helper()
	d := harness.New(t)
	return &kit{d, t.TempDir(), d.Open(t, "plant_auditor", 2), d.Service(t, 2), d.Principal(t, "acme", domain.Author)}
}

func (k *kit) folder(t *testing.T) checkpoints.Store {
	t.Helper()
	f, err := checkpoints.NewFolder(k.dir)
	require.NoError(t, err)
	return f
}

func (k *kit) hold(use domain.KeyUse) *keys.Holder {
	return k.Secrets.Hold(registry.Successor(k.Secrets, k.db, k.Keys[use]), time.Now)
}

// sequencer is a process's own: with other settings where change says so.
func (k *kit) sequencer(t *testing.T, change func(*sequencer.Config)) *sequencer.Sequencer {
	t.Helper()
	c := sequencer.Config{
		DB: k.db, Store: k.folder(t), Origin: harness.Origin, Checkpoint: k.hold(domain.UseCheckpoint), Heads: k.hold(domain.UseHeads),
	}
	if change != nil {
		change(&c)
	}
	return sequencer.New(c)
}

func (k *kit) request() registry.Request {
	return registry.Request{Who: k.who, Route: "test", Key: uuid.NewString(), BodyHash: sha256.Sum256(nil)}
}

// write makes n skills.
func (k *kit) write(t *testing.T, n int) []domain.ID {
	t.Helper()
	var ids []domain.ID
	for range n {
		name := "Skill " + uuid.NewString()
		w, err := k.registry.Create(t.Context(), k.request(), domain.Skill{Name: name, Description: "Does it.", Category: "technical"}, domain.Settable{})
		require.NoError(t, err)
		ids = append(ids, w.Entity.ID)
	}
	return ids
}

// run is a run that must succeed.
func run(t *testing.T, s *sequencer.Sequencer) sequencer.Done {
	t.Helper()
	done, err := s.Run(t.Context())
	require.NoError(t, err)
	return done
}

func (k *kit) connect(t *testing.T) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), k.URL)
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close(context.WithoutCancel(t.Context())) })
	return conn
}

// admin runs statements as the database's administrator.
func (k *kit) admin(t *testing.T, statements ...string) {
	t.Helper()
	conn := k.connect(t)
	for _, sql := range statements {
		_, err := conn.Exec(t.Context(), sql)
		require.NoError(t, err, sql)
	}
}

func column(t *testing.T, conn *pgx.Conn, sql string, args ...any) []string {
	t.Helper()
	rows, err := conn.Query(t.Context(), sql, args...)
	require.NoError(t, err)
	list, err := pgx.CollectRows(rows, pgx.RowTo[string])
	require.NoError(t, err)
	return list
}

// published are all checkpoints in the folder, each verified.
func (k *kit) published(t *testing.T) []translog.Checkpoint {
	t.Helper()
	key, err := k.Secrets.Key(t.Context(), k.Keys[domain.UseCheckpoint])
	require.NoError(t, err)
	names, err := filepath.Glob(filepath.Join(k.dir, "checkpoints", "[0-9]*"))
	require.NoError(t, err)
	var list []translog.Checkpoint
	for i, name := range names {
		require.Equal(t, fmt.Sprintf("%012d", i+1), filepath.Base(name), "no number is left out")
		note, err := os.ReadFile(name)
		require.NoError(t, err)
		c, _, err := translog.OpenCheckpoint(note, harness.Origin, []ed25519.PublicKey{key.Public().(ed25519.PublicKey)})
		require.NoError(t, err)
		list = append(list, c)
	}
	return list
}

// sound holds the log to its promises: every amendment is in it or waits, once; its
// places have no gap; the tiles are its tree; what is published is consistent, one
// checkpoint with the next, and with the log.
func (k *kit) sound(t *testing.T) {
	t.Helper()
	conn := k.connect(t)
	require.Empty(t, column(t, conn, `SELECT encode(hash, 'hex') FROM (
			SELECT hash FROM log_entry WHERE entity_id IS NOT NULL UNION ALL SELECT hash FROM log_pending) l
		FULL JOIN amendment a USING (hash) GROUP BY hash HAVING count(*) <> 1 OR count(a.seq) <> 1`))
	require.Empty(t, column(t, conn, `SELECT log_index::text FROM log_entry l WHERE log_index > 0 AND NOT EXISTS (
		SELECT FROM log_entry b WHERE b.log_index = l.log_index - 1)`))
	require.Empty(t, column(t, conn, `SELECT l.log_index::text FROM log_entry l LEFT JOIN heads h ON h.hash = l.hash
		LEFT JOIN log_fork f ON f.hash = l.hash WHERE l.entity_id IS NULL AND h.hash IS NULL AND f.hash IS NULL`))
	require.Empty(t, column(t, conn, `SELECT a.log_index::text FROM log_entry a JOIN log_entry b ON b.entity_id = a.entity_id
		WHERE b.seq > a.seq AND b.log_index < a.log_index`))
	var tree translog.Tree
	entries, err := k.db.Entries(t.Context(), 0, 1<<30)
	require.NoError(t, err)
	tiles, want := translog.Tiles{}, []ledger.Hash{}
	for _, e := range entries {
		tree.Append(translog.EntryLeaf(e))
		want = append(want, translog.EntryLeaf(e))
	}
	ids := tiles.Grow(0, want)
	got, err := k.db.Tiles(t.Context(), ids)
	require.NoError(t, err)
	require.Equal(t, tiles, got)
	k.consistent(t, &tree)
}

func (k *kit) consistent(t *testing.T, tree *translog.Tree) {
	t.Helper()
	var before translog.Checkpoint
	for _, c := range k.published(t) {
		root, err := translog.Nodes(tree.Node).Root(c.Size)
		require.NoError(t, err)
		require.Equal(t, root, c.Root)
		require.Greater(t, c.Size, before.Size)
		if before.Size > 0 {
			path, err := translog.Nodes(tree.Node).Consistency(before.Size, c.Size)
			require.NoError(t, err)
			require.NoError(t, translog.CheckConsistency(path, c.Size, c.Root, before.Size, before.Root))
		}
		before = c
	}
}

// judged holds heads records and checkpoints to what a stranger would: the keys in
// force at their indexes, back to the root.
func (k *kit) judged(t *testing.T) *ledger.Keyring {
	t.Helper()
	conn := k.connect(t)
	ring := k.keyring(t)
	rows, err := conn.Query(t.Context(), `SELECT log_index, record, signature FROM heads ORDER BY log_index`)
	require.NoError(t, err)
	var index int64
	var record string
	var signature []byte
	_, err = pgx.ForEachRow(rows, []any{&index, &record, &signature}, func() error {
		return translog.JudgeHeads(ring, []byte(record), signature, index)
	})
	require.NoError(t, err)
	list, err := k.db.Checkpoints(t.Context(), 0, 1000)
	require.NoError(t, err)
	for _, c := range list {
		_, err := translog.JudgeCheckpoint(ring, c.Note)
		require.NoError(t, err)
	}
	return ring
}

// wrong signs with a key that no ledger knows.
func wrongKey(t *testing.T) ed25519.PrivateKey {
	t.Helper()
	_, private, err := ed25519.GenerateKey(rand.Reader)
	require.NoError(t, err)
	return private
}

// troubled is a store that fails as it is told: before, or after it has done its
// work.
type troubled struct {
	checkpoints.Store
	mu     sync.Mutex
	before func(call string) error
	after  func(call string) error

	looking func() // before the newest is read
}

var errTrouble = errors.New("trouble")

func (s *troubled) Create(ctx context.Context, n int64, note []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.before != nil {
		if err := s.before("create"); err != nil {
			return err
		}
	}
	err := s.Store.Create(ctx, n, note)
	if err == nil && s.after != nil {
		err = s.after("create")
	}
	return err
}

func (s *troubled) Newest(ctx context.Context, from int64) (int64, []byte, error) {
	if s.looking != nil {
		s.looking()
	}
	n, note, err := s.Store.Newest(ctx, from)
	if err == nil && s.after != nil {
		err = s.after("newest")
	}
	return n, note, err
}

var discard = slog.New(slog.DiscardHandler)
