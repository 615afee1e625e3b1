package chaos

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/dlai-sd/plant/shared/domain"
)

const (
	wholeRun = 30 * time.Minute
	lookEach = time.Millisecond
)

// TestKills: eight writers create skills over HTTP while create-skill,
// PostgreSQL and audit-run are killed with signal 9, requests are doubled and
// deliveries fail. In the end every acknowledged skill is there once and whole,
// nothing is there by half, and the consumer was told of each exactly once.
func TestKills(t *testing.T) {
	t.Parallel()
	d := throw(t)
	kills, writes := int(setting(t, "CHAOS_KILLS", 3)), int(setting(t, "CHAOS_WRITES", 20)) // #nosec -- small
	c := listen(t, d.of("consumer", 0))
	s := begin(t, c)
	ctx, cancel := context.WithTimeout(t.Context(), wholeRun)
	defer cancel()

	y := &tally{answers: map[int]int{}}
	made := s.storm(ctx, t, d, y, kills, writes)
	require.Empty(t, y.wrong)
	sent := s.quiet(t)
	s.isWhole(t, made)
	heardOf(t, s, c)

	t.Logf("answers by status (0: none came): %v; %d replays, %d requests sent several times at once", y.answers, y.replays, y.doubled)
	t.Logf("%d events sent by sweeps after the storm; %d deliveries, %d refused at random, %d recognised as known",
		sent, c.deliveries, c.refused, c.known)
}

// storm runs writers, killers and the scheduler, and returns what was written.
func (s *stack) storm(ctx context.Context, t *testing.T, d dice, y *tally, kills, writes int) []*write {
	t.Helper()
	began := time.Now()
	client := &http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: 64}}
	defer client.CloseIdleConnections()
	over, end := context.WithCancel(ctx)
	defer end()
	var made [writers][]*write
	var writing sync.WaitGroup
	for n := range writers {
		who := s.Principal(t, []string{"north", "south"}[n%2], domain.Author)
		w := &writer{number: n, token: s.Token(t, who), doors: s.doors, decide: d.of("writer", n), tally: y, client: client}
		writing.Go(func() { made[n] = w.run(ctx, writes) })
	}
	total := int64(writers * writes)
	var killing errgroup.Group
	killing.Go(func() error { return s.killFunctions(over, y, d.of("function", 0), kills, total) })
	killing.Go(func() error { return s.killPostgres(over, y, d.of("postgres", 0), kills, total) })
	var sweeping sync.WaitGroup
	swept := 0
	sweeping.Go(func() { swept = s.sweepUntil(over) })
	writing.Wait()
	wrote := time.Since(began)
	killed := killing.Wait()
	end()
	sweeping.Wait()
	require.NoError(t, killed, "all kills must strike while the writers write")
	require.NoError(t, ctx.Err())
	t.Logf("%d writers × %d creates in %s, %d acknowledged; %d kills of create-skill (%d and %d restarts), %d of PostgreSQL, %d restarts of audit-run; sweeps sent %d events",
		writers, writes, wrote.Round(time.Millisecond), y.acknowledged.Load(), kills, s.create[0].Restarts(), s.create[1].Restarts(),
		kills, s.audit.Restarts(), swept)
	return slices.Concat(made[:]...)
}

// killFunctions kills a process of create-skill at a random point of each of
// kills equal stretches of the run, and audit-run at every fifth.
func (s *stack) killFunctions(ctx context.Context, y *tally, decide *rand.Rand, kills int, total int64) error {
	for k := range kills {
		if err := y.reach(ctx, decide, k, kills, total); err != nil {
			return err
		}
		victim := s.create[decide.IntN(len(s.create))]
		if err := victim.Kill(); err != nil {
			return err
		}
		if k%5 == 0 {
			if err := s.audit.Kill(); err != nil {
				return err
			}
		}
		if err := victim.Ready(ctx); err != nil {
			return err
		}
	}
	return nil
}

// killPostgres does the same to the database and starts it again.
func (s *stack) killPostgres(ctx context.Context, y *tally, decide *rand.Rand, kills int, total int64) error {
	for k := range kills {
		if err := y.reach(ctx, decide, k, kills, total); err != nil {
			return err
		}
		if err := s.server.Kill(); err != nil {
			return err
		}
		pause(ctx, time.Duration(decide.Int64N(int64(100*time.Millisecond))))
		if err := s.server.Restart(context.WithoutCancel(ctx)); err != nil {
			return err
		}
	}
	return nil
}

// reach waits until the writers have come to a random place in stretch k, and
// then a moment more, so that it is not always the same line that is struck.
func (y *tally) reach(ctx context.Context, decide *rand.Rand, k, kills int, total int64) error {
	usable := total * 9 / 10 // some requests are never acknowledged
	stretch := usable / int64(kills)
	place := stretch*int64(k) + decide.Int64N(max(stretch, 1))
	for y.acknowledged.Load() < place {
		if pause(ctx, lookEach); ctx.Err() != nil {
			return fmt.Errorf("kill %d of %d: %w", k+1, kills, ctx.Err())
		}
	}
	pause(ctx, time.Duration(decide.Int64N(int64(20*time.Millisecond))))
	return nil
}

// sweepUntil is the scheduler, only more often; it returns how many events were
// sent. PostgreSQL and audit-run may be
// away: then this call fails, and the next one does not.
func (s *stack) sweepUntil(ctx context.Context) (sent int) {
	for ctx.Err() == nil {
		_ = s.age(ctx)
		n, _ := s.sweep(ctx)
		sent += n
		pause(ctx, 250*time.Millisecond)
	}
	return sent
}

// age lets the 30 s pass during which an event is its writer's own to send:
// nobody waits for them here; the administrator sets the rows' clocks back.
func (s *stack) age(ctx context.Context) error {
	conn, err := pgx.Connect(ctx, s.URL)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	_, err = conn.Exec(ctx, "UPDATE outbox SET available_at = clock_timestamp() WHERE available_at > clock_timestamp()")
	return err
}

// sweep calls audit-run as the scheduler does.
func (s *stack) sweep(ctx context.Context) (sent int, err error) {
	token, err := s.issuer.Token(pushAudience, pusher)
	if err != nil {
		return 0, err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, s.sequence, http.NoBody)
	if err != nil {
		return 0, err
	}
	r.Header.Set("Authorization", "Bearer "+token)
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		return 0, err
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusOK {
		return 0, fmt.Errorf("sequence answers %d", response.StatusCode)
	}
	var swept struct {
		EventsSent int   `json:"events_sent"`
		Resumed    int64 `json:"runs_asked_for"`
	}
	err = json.UnmarshalRead(response.Body, &swept)
	s.resumed.Add(swept.Resumed)
	return swept.EventsSent, err
}

// quiet sweeps until the outbox is empty.
func (s *stack) quiet(t *testing.T) (sent int) {
	t.Helper()
	for _, f := range append(s.create[:], s.audit) {
		require.NoError(t, f.Ready(t.Context()))
	}
	for range 100 {
		require.NoError(t, s.age(t.Context()))
		n, err := s.sweep(t.Context())
		require.NoError(t, err, "with everything up a sweep succeeds")
		sent += n
		if s.count(t, "SELECT count(*) FROM outbox") == 0 {
			return sent
		}
	}
	require.Fail(t, "the outbox does not become empty")
	return sent
}

// heardOf: every entity of the database was announced once, and nothing else was.
func heardOf(t *testing.T, s *stack, c *consumer) {
	t.Helper()
	hashes := s.heads(t)
	require.Eventually(t, func() bool { return c.heard() >= len(hashes) }, startMost, lookEach, "deliveries are missing")
	c.mu.Lock()
	defer c.mu.Unlock()
	require.Empty(t, c.dead, "no dead letters")
	require.ElementsMatch(t, slices.Collect(maps.Keys(hashes)), slices.Collect(maps.Keys(c.effects)))
	for id, events := range c.effects {
		require.Len(t, events, 1, "entity %s was announced under %d ids", id, len(events))
		e := events[0]
		require.Equal(t, "plant.skill.created", e.Type)
		require.Equal(t, int64(1), e.Data.Seq)
		require.Equal(t, hashes[id].hash, e.Data.Hash)
		require.Equal(t, hashes[id].tenant, e.Data.GovernanceAgentID)
	}
}
