// Package chaos holds the tests that kill, repeat and disorder, and then look
// whether anything is missing, doubled or half written. The numbers are small
// by default; `make chaos` sets the full ones:
//
//	CHAOS_KILLS   of create-skill, and as many of PostgreSQL
//	CHAOS_LOG_KILLS  of audit-run, and a tenth of them of PostgreSQL, while the log is written
//	CHAOS_AUDIT_KILLS  of audit-run, and a tenth of them of PostgreSQL, while audits and exports follow each other
//	CHAOS_WRITES  of each of the eight writers
//	CHAOS_EVENTS  that embed is pushed
//	CHAOS_SEED    repeats a run's decisions; the timing is the machine's
package chaos

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/dlai-sd/plant/scripts/localstack/stacktest"
)

func TestMain(m *testing.M) { stacktest.Main(m) }

const writers = 8

// setting reads a number from the environment.
func setting(t *testing.T, name string, standard uint64) uint64 {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return standard
	}
	n, err := strconv.ParseUint(text, 10, 64)
	require.NoError(t, err, name)
	return n
}

// dice gives every goroutine of a test its own source of decisions, all made
// from one seed, which is printed.
type dice struct{ seed uint64 }

func throw(t *testing.T) dice {
	t.Helper()
	d := dice{setting(t, "CHAOS_SEED", rand.Uint64())}
	t.Logf("CHAOS_SEED=%d repeats this run's decisions", d.seed)
	return d
}

func (d dice) of(who string, number int) *rand.Rand {
	mix := d.seed
	for _, b := range []byte(fmt.Sprint(who, number)) {
		mix = mix*0x100000001b3 ^ uint64(b)
	}
	return rand.New(rand.NewPCG(d.seed, mix)) // #nosec -- decisions to be repeated, no secrets
}
