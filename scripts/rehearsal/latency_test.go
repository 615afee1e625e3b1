package rehearsal

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/dlai-sd/plant/migrations"
	"github.com/dlai-sd/plant/shared/testkit/testdata"
)

// What a release's migrations cost those who call meanwhile. Windows of equal length
// under the same load come in pairs: in one of the two the next version's plant migrate
// up runs, in the other nothing does, and which is first alternates. Requests come at
// fixed times, whether or not those before are answered, and each counts from the time
// it was due: who stands behind a lock is counted with all who come after.
//
// After each pair the release is taken back, so that every pair measures the same.
// Times are printed, not judged; a request that fails is.
func TestUpgradeLatency(t *testing.T) {
	pairs := number(t, "UPGRADE_PAIRS", 0)
	if pairs == 0 {
		t.Skip("measured by make upgrade-latency: UPGRADE_PAIRS says how many pairs")
	}
	window, err := time.ParseDuration(given("UPGRADE_WINDOW", "10s"))
	require.NoError(t, err)
	seed := uint64(number(t, "UPGRADE_SEED", int(time.Now().UnixNano()&0x7fffffff))) // #nosec -- a seed
	rate := number(t, "UPGRADE_RATE", 50)

	old, next := build(t, "now", testdata.Root()), nextVersion(t)
	d := setUp(t, old)
	d.serve(old)
	p := newPace(d, d.principal(old, "founder", "author"), rate, seed)

	m := measured{rng: rand.New(rand.NewPCG(seed, 1))} // #nosec -- repeatable
	for n := range pairs {
		p.window(window/4, func() {}) // every connection has planned its statements again
		d.settle()
		var began, ended time.Time
		migrate := func() {
			time.Sleep(window / 2) // vectors of what it created are made meanwhile, as before it
			began = time.Now()
			d.plant(next, "migrate", "up")
			ended = time.Now()
		}
		var with, without run
		if n%2 == 0 {
			with = p.window(window, migrate)
			d.settle()
			without = p.window(window, func() {})
		} else {
			without = p.window(window, func() {})
			d.settle()
			with = p.window(window, migrate)
		}
		d.settle()
		d.takeBack()
		require.Empty(t, p.failed)
		m.add(with, without, began.Sub(with.began), ended.Sub(with.began))
		t.Logf("pair %2d of %d: %s", n+1, pairs, m.last())
	}
	t.Logf("seed %d, %d pairs, windows of %s, %d requests a second; no request failed\n%s", seed, pairs, window, rate, m.table())
}

func given(name, standard string) string {
	if v := os.Getenv(name); v != "" {
		return v
	}
	return standard
}

func number(t *testing.T, name string, standard int) int {
	t.Helper()
	n, err := strconv.Atoi(given(name, strconv.Itoa(standard)))
	require.NoError(t, err, name)
	return n
}

// owner runs statements, each by itself, as the owner of the tables, and then asks.
func (d *deployment) owner(statements []string, question string, answer any) {
	ctx := d.t.Context()
	conn, err := pgx.Connect(ctx, d.logins["plant-migrate@"+d.setting("GOOGLE_CLOUD_PROJECT")+".iam"])
	require.NoError(d.t, err)
	defer func() { require.NoError(d.t, conn.Close(ctx)) }()
	for _, s := range append([]string{"SET ROLE " + migrations.Owner}, statements...) {
		_, err = conn.Exec(ctx, s)
		require.NoError(d.t, err, s)
	}
	require.NoError(d.t, conn.QueryRow(ctx, question).Scan(answer))
}

// settle waits until the vectors of what was created are made: the next window begins
// with nothing left over from the one before.
func (d *deployment) settle() {
	d.t.Helper()
	var waiting int
	require.Eventually(d.t, func() bool {
		d.owner(nil, "SELECT count(*) FROM entity WHERE embedding IS NULL AND entity_type = 'skill'", &waiting)
		return waiting == 0
	}, time.Minute, 100*time.Millisecond)
}

// takeBack undoes the release and checks that its version is gone.
func (d *deployment) takeBack() {
	d.t.Helper()
	var version int64
	d.owner(takenBack, "SELECT max(version_id) FROM goose_db_version", &version)
	require.Equal(d.t, migrations.Latest(), version, fmt.Sprint(takenBack))
}
