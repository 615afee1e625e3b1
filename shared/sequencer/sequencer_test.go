package sequencer_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/dlai-sd/plant/shared/checkpoints"
	"github.com/dlai-sd/plant/shared/domain"
	"github.com/dlai-sd/plant/shared/ledger"
	"github.com/dlai-sd/plant/shared/sequencer"
	"github.com/dlai-sd/plant/shared/store"
	"github.com/dlai-sd/plant/shared/testkit/harness"
	"github.com/dlai-sd/plant/shared/translog"
)

// TestFirstRun: entry 0 is root 0's introduction, the other keys follow, a heads
// record is made at once, and the checkpoint of all that is published.
func TestFirstRun(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	k.write(t, 2)
	s := k.sequencer(t, nil)
	done := run(t, s)
	require.Equal(t, 7, done.Placed)
	require.True(t, done.Sealed)
	require.EqualValues(t, 8, done.Size)
	require.EqualValues(t, 1, done.Published.N)
	require.EqualValues(t, 8, done.Published.Size)
	require.Equal(t, []string{"root introduced", "amendment introduced", "certification introduced", "heads introduced", "checkpoint introduced", " created", " created"},
		column(t, k.connect(t), `SELECT coalesce(k.use, '') || ' ' || a.change FROM log_entry l JOIN amendment a USING (entity_id, seq)
			LEFT JOIN signing_key k ON k.id = l.entity_id ORDER BY log_index`))
	k.sound(t)
	k.judged(t)

	idle := run(t, s)
	require.Equal(t, sequencer.Done{Size: 8}, idle, "nothing to do")
	k.write(t, 1)
	again := run(t, s)
	require.False(t, again.Sealed, "a heads record is made daily")
	require.EqualValues(t, 9, again.Published.Size)
	k.sound(t)
}

// TestHeadsDaily: the newest heads record never becomes older than a day, whether
// anything changed or not.
func TestHeadsDaily(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	now := time.Now()
	s := k.sequencer(t, func(c *sequencer.Config) { c.Now = func() time.Time { return now } })
	run(t, s)
	now = now.Add(22 * time.Hour)
	require.False(t, run(t, s).Sealed)
	now = now.Add(2 * time.Hour)
	require.True(t, run(t, s).Sealed)
	require.False(t, run(t, s).Sealed)
	k.judged(t)
}

// TestSeal: an export's checkpoint ends with a heads record, and what that says of
// every tenant is what the database holds.
func TestSeal(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	run(t, k.sequencer(t, nil))
	ids := k.write(t, 5)
	k.who = k.Principal(t, "globex", domain.Author)
	k.write(t, 3)
	s := k.sequencer(t, nil)
	noted, err := s.Seal(t.Context())
	require.NoError(t, err)
	ring := k.judged(t)
	var record string
	require.NoError(t, k.connect(t).QueryRow(t.Context(), `SELECT record FROM heads WHERE log_index = $1`, noted.Size-1).Scan(&record))
	h, err := translog.ParseHeads([]byte(record))
	require.NoError(t, err)
	require.Equal(t, noted.Size-1, h.LogSize)
	require.EqualValues(t, 3, h.Tenants)
	require.EqualValues(t, 13, h.Entities)

	list, err := k.db.TopList(t.Context(), h.LogSize)
	require.NoError(t, err)
	rows := []translog.TenantRow{}
	names := []string{}
	for _, one := range list {
		require.Equal(t, translog.TenantID(one.Salt, one.GovernanceAgentID), one.Row.Tenant)
		rows, names = append(rows, one.Row), append(names, fmt.Sprint(one.GovernanceAgentID, one.Row.Count))
	}
	require.Equal(t, []string{"acme5", "globex3", "keyring5"}, names)
	translog.SortRows(rows)
	require.NoError(t, translog.CheckTop(h, rows))
	require.Equal(t, harness.Origin, ring.Origin())

	// An entity changes: its head moves, its place does not; the older cut stays.
	etag := ledger.Hash{}
	k.who = k.Principal(t, "acme", domain.Author)
	_, err = k.registry.Amend(t.Context(), k.request(), ids[0], etag, domain.MoveTo{To: domain.UnderReview})
	require.NoError(t, err)
	later, err := s.Seal(t.Context())
	require.NoError(t, err)
	require.Equal(t, noted.Size+2, later.Size)
	var heads []string
	require.NoError(t, k.db.EachHead(t.Context(), later.Size-1, func(owner string, e translog.EntityHead) error {
		if owner == "acme" {
			heads = append(heads, fmt.Sprint(e.EntityID, e.Seq))
		}
		return nil
	}))
	want := []string{}
	for i, id := range ids {
		want = append(want, fmt.Sprint(id, map[bool]int{true: 2, false: 1}[i == 0]))
	}
	require.Equal(t, want, heads)
	same, err := k.db.TopList(t.Context(), h.LogSize)
	require.NoError(t, err)
	require.Equal(t, list, same)
	k.sound(t)
}

// TestLateCommit: an amendment that was recorded earlier and commits after the log
// went on gets a later place, and whoever follows the changes misses nothing.
func TestLateCommit(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	s := k.sequencer(t, nil)
	parent := k.write(t, 1)[0]
	run(t, s)
	_, position, err := k.db.Changes(t.Context(), "acme", 0, 100)
	require.NoError(t, err)

	// A skill with a parent waits for this lock after its rows are written.
	lock := k.connect(t)
	tx, err := lock.Begin(t.Context())
	require.NoError(t, err)
	_, err = tx.Exec(t.Context(), `SELECT pg_advisory_xact_lock(hashtextextended('plant parent acme skill', 0))`)
	require.NoError(t, err)
	late := make(chan domain.ID, 1)
	go func() {
		w, err := k.registry.Create(context.WithoutCancel(t.Context()), k.request(),
			domain.Skill{Name: "Late", Description: "Does it.", Category: "technical"}, domain.Settable{ParentID: parent})
		if err != nil {
			t.Error(err)
		}
		late <- w.Entity.ID
	}()
	watch := k.connect(t)
	require.Eventually(t, func() bool {
		return len(column(t, watch, `SELECT 'waits' FROM pg_locks WHERE locktype = 'advisory' AND NOT granted
			AND database = (SELECT oid FROM pg_database WHERE datname = current_database())`)) == 1
	}, 10*time.Second, 5*time.Millisecond)
	early := k.write(t, 1)[0]
	run(t, s)
	first, next, err := k.db.Changes(t.Context(), "acme", position, 100)
	require.NoError(t, err)
	require.Len(t, first, 1)
	require.Equal(t, early, first[0].EntityID)

	require.NoError(t, tx.Rollback(t.Context()))
	id := <-late
	run(t, s)
	second, _, err := k.db.Changes(t.Context(), "acme", next, 100)
	require.NoError(t, err)
	require.Len(t, second, 1)
	require.Equal(t, id, second[0].EntityID)
	require.True(t, second[0].RecordedAt.Before(first[0].RecordedAt), "recorded before, logged behind")
	k.sound(t)
}

// TestOrder: introductions before everything else, then time, entity and seq, then
// what ends keys, however late or early they were written.
func TestOrder(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	ring := k.OwnSecrets(t)
	run(t, k.sequencer(t, nil))
	ids := k.write(t, 2)
	_, err := ring.Rotate(t.Context(), domain.UseAmendment) // introduced and retired before the next ones
	require.NoError(t, err)
	next := *k
	next.registry = next.service(t)
	next.write(t, 2)
	_, err = next.registry.Amend(t.Context(), k.request(), ids[0], ledger.Hash{}, domain.MoveTo{To: domain.UnderReview})
	require.NoError(t, err)
	for { // in the smallest steps: the order is that of all that waits
		n, err := k.db.Sequence(t.Context(), 1, "")
		require.NoError(t, err)
		if n == 0 {
			break
		}
	}
	run(t, k.sequencer(t, nil))
	require.Equal(t, []string{"introduced", "created", "created", "created", "created", "moved", "retired"},
		column(t, k.connect(t), `SELECT a.change FROM log_entry l JOIN amendment a USING (entity_id, seq) WHERE log_index > 5 ORDER BY log_index`))
	k.sound(t)
	k.judged(t)
}

// TestTwoAtOnce: sequencers at the same moment, while others write, make one log.
func TestTwoAtOnce(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	var all sync.WaitGroup
	stop := make(chan struct{})
	for range 3 {
		s := k.sequencer(t, func(c *sequencer.Config) { c.DB = k.Open(t, "plant_auditor", 2) })
		all.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if _, err := s.Run(t.Context()); err != nil && !errors.Is(err, sequencer.ErrBusy) {
					t.Errorf("whoever comes second waits for its next run: %v", err)
				}
			}
		})
	}
	for range 20 {
		k.write(t, 1)
	}
	close(stop)
	all.Wait()
	run(t, k.sequencer(t, nil))
	require.Greater(t, len(k.published(t)), 1)
	k.sound(t)
	k.judged(t)
}

// TestAnotherWhileWeLook: what another gave places and published between our look at
// the database and at what is published is no rollback.
func TestAnotherWhileWeLook(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	run(t, k.sequencer(t, nil))
	once := sync.OnceFunc(func() {
		k.write(t, 1)
		run(t, k.sequencer(t, nil))
	})
	s := k.sequencer(t, func(c *sequencer.Config) { c.Store = &troubled{Store: k.folder(t), looking: once} })
	run(t, s)
	require.Len(t, k.published(t), 2)
	k.sound(t)
}

// TestAdopts: whoever finds under its number what it was about to publish, because
// an answer was lost or another was as fast, goes on with it.
func TestAdopts(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	for _, call := range []string{"create", "newest"} {
		k.write(t, 1)
		lost := k.sequencer(t, func(c *sequencer.Config) {
			c.Store = &troubled{Store: k.folder(t), after: func(now string) error {
				if now == call {
					return errTrouble
				}
				return nil
			}}
		})
		_, err := lost.Run(t.Context())
		require.ErrorIs(t, err, errTrouble)
		require.Nil(t, sequencer.Halted(err))
		run(t, k.sequencer(t, nil))
		k.sound(t)
		noted, err := k.db.NewestCheckpoint(t.Context())
		require.NoError(t, err)
		require.Len(t, k.published(t), int(noted.N), "what was published and not noted is noted by the next run")
	}
	// Another publishes the same between our look and our try.
	k.write(t, 1)
	var twin store.Noted
	s := k.sequencer(t, func(c *sequencer.Config) {
		c.Store = &troubled{Store: k.folder(t), before: func(string) error {
			if twin.N == 0 {
				done, err := k.sequencer(t, nil).Run(t.Context())
				require.NoError(t, err)
				twin = *done.Published
			}
			return nil
		}}
	})
	done := run(t, s)
	require.Equal(t, &twin, done.Published)
	// Another publishes more.
	k.write(t, 1)
	twin = store.Noted{}
	s = k.sequencer(t, func(c *sequencer.Config) {
		c.Store = &troubled{Store: k.folder(t), before: func(string) error {
			if twin.N == 0 {
				k.write(t, 1)
				done, err := k.sequencer(t, nil).Run(t.Context())
				require.NoError(t, err)
				twin = *done.Published
			}
			return nil
		}}
	})
	_, err := s.Run(t.Context())
	require.ErrorIs(t, err, sequencer.ErrBusy)
	k.sound(t)
}

// TestNothingToSign: a database without keys has no log, and that is no error.
func TestNothingToSign(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	k.admin(t, `ALTER TABLE log_pending DISABLE ROW LEVEL SECURITY`, `DELETE FROM log_pending`, `ALTER TABLE log_pending ENABLE ROW LEVEL SECURITY`)
	require.Equal(t, sequencer.Done{}, run(t, k.sequencer(t, nil)))
	_, _, err := k.folder(t).Newest(t.Context(), 0)
	require.ErrorIs(t, err, checkpoints.ErrNone)
}
