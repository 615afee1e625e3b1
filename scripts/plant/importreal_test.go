package main

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/dlai-sd/plant/scripts/localstack/proc"
	"github.com/dlai-sd/plant/shared/domain"
)

const (
	kills  = 5 // of an import, before one may end
	rounds = 3 // of a comparison
)

// TestImportReal imports O*NET and ESCO from files of the form in which they are
// published, written here of the test data. `make import-real` takes all of it;
// otherwise it is 1,500 skills of ESCO and 50 occupations of O*NET.
//
//	IMPORT_REAL  full: everything, and rates compared with the database's own
//	IMPORT_SEED  repeats the moments of the kills; the timing is the machine's
func TestImportReal(t *testing.T) {
	t.Parallel()
	full := os.Getenv("IMPORT_REAL") == "full"
	seed := rand.Uint64()
	if text := os.Getenv("IMPORT_SEED"); text != "" {
		var err error
		seed, err = strconv.ParseUint(text, 10, 64)
		require.NoError(t, err, "IMPORT_SEED")
	}
	t.Logf("IMPORT_SEED=%d repeats this run's kills", seed)
	few := 0
	if !full {
		few = 1500
	}
	esco, escoCount := writeESCO(t, few)
	onet, want := writeONET(t, few/30)
	s := start(t, filepath.Join(t.TempDir(), "data"), "NO_COLOR=1")
	r := &realImport{s, newBound(t, s), rand.New(rand.NewPCG(seed, seed)), full} // #nosec -- moments to be repeated, no secrets

	r.catalogue(t, "esco-import", "esco", esco, map[domain.Kind]tally{domain.KindSkill: all(escoCount)})
	done := r.catalogue(t, "onet-import", "onet", onet, map[domain.Kind]tally{
		domain.KindSkill: all(35), domain.KindJobRole: all(want.roles),
	})
	left := map[string]int{}
	for _, s := range done.Skipped {
		left[s.Reason] = s.Count
	}
	require.Equal(t, want.left, left)
	require.Equal(t, want.requirements, r.bound.number(t, "onet-import",
		`SELECT count(*) FROM public.job_role_skill s JOIN public.entity e ON e.id = s.job_role_id WHERE e.governance_agent_id = $1`),
		"as many requirements as ratings of 3.0 or more")
	r.killed(t, "esco", esco, escoCount)
	r.killed(t, "onet", onet, 35+want.roles)
}

// realImport is one run of it.
type realImport struct {
	*running
	bound *bound
	dice  *rand.Rand
	full  bool
}

// as is the environment of a tenant of its own.
func (r *realImport) as(t *testing.T, tenant string) []string {
	t.Helper()
	token := strings.TrimSpace(must(t, r.env(), "token", "--governance-agent", tenant, "--create").stdout)
	return r.env("PLANT_TOKEN=" + token)
}

// catalogue imports a folder into a tenant, verifies every entity of it, and
// imports it again, which changes nothing.
func (r *realImport) catalogue(t *testing.T, tenant, format, folder string, want map[domain.Kind]tally) imported {
	t.Helper()
	args := []string{"--json", "import", folder, "--format", format}
	n := 0
	for _, of := range want {
		n += of.Items
	}
	env := r.as(t, tenant)
	began := time.Now()
	done := counts(t, must(t, env, args...))
	took := time.Since(began)
	for kind, of := range want {
		of.Verified = 0
		require.Equal(t, of, done.Kinds[kind], "%s: %v", kind, done.Faults)
	}
	t.Logf("%s: %d entities created in %.2f s, %.0f a second, from the start of the command to its end",
		format, n, took.Seconds(), float64(n)/took.Seconds())
	if r.full {
		r.compare(t, tenant, args, n)
	}

	fingerprint := r.bound.fingerprint(t, tenant)
	began = time.Now()
	again := counts(t, must(t, env, append(args, "--verify", "--in-flight", "8")...))
	t.Logf("%s: the second run, which verified every record, took %.2f s", format, time.Since(began).Seconds())
	for kind, of := range want {
		require.Equal(t, there(of.Items), again.Kinds[kind], "%s: %v", kind, again.Faults)
	}
	require.Equal(t, fingerprint, r.bound.fingerprint(t, tenant), "the second run changed something")
	require.Zero(t, done.Renamed)
	r.bound.complete(t, tenant, n)
	return done
}

// compare imports the same for other tenants, in turns with raw inserts of the
// same rows: each round has its own ratio, so that a round in which the machine
// was slow counts like any other.
func (r *realImport) compare(t *testing.T, tenant string, args []string, n int) {
	t.Helper()
	var rates, ones, manies, toOne, toMany []float64
	for round := range rounds {
		name := func(what string) string { return fmt.Sprintf("%s-%s-%d", tenant, what, round) }
		one := r.bound.rate(t, name("one"), args[2:], 1)
		many := r.bound.rate(t, name("many"), args[2:], boundConns)
		env := r.as(t, name("import"))
		began := time.Now()
		require.Equal(t, n, counts(t, must(t, env, args...)).Created)
		rate := float64(n) / time.Since(began).Seconds()
		rates, ones, manies = append(rates, rate), append(ones, one), append(manies, many)
		toOne, toMany = append(toOne, rate/one), append(toMany, rate/many)
	}
	t.Logf("%s, medians of %d rounds: %.0f entities a second imported; raw inserts of %d at once: %.0f over one connection, ratio %.2f (goal ≥ 0.8, rounds %.2f); %.0f over %d, ratio %.2f (rounds %.2f)",
		args[4], rounds, median(rates), bulkRows, median(ones), median(toOne), toOne, median(manies), boundConns, median(toMany), toMany)
}

func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	return sorted[len(sorted)/2]
}

// killed kills imports at random moments, and lets the last one end.
func (r *realImport) killed(t *testing.T, format, folder string, n int) {
	t.Helper()
	tenant := format + "-killed"
	env := r.as(t, tenant)
	args := []string{"--json", "import", folder, "--format", format, "--tag", "killed"}
	if !r.full { // few batches: one after the other, so that there is something in between
		args = append(args, "--in-flight", "1")
	}
	// A run that is let be says how long one takes on this machine now.
	began := time.Now()
	require.Equal(t, n, counts(t, must(t, r.as(t, tenant+"-timed"), args...)).Created)
	whole := time.Since(began)

	var left []string
	for hit := 0; hit < kills; {
		p, err := proc.Start(proc.Spec{
			Name: "import", Path: filepath.Join(bin, "plant"), Args: args, Env: env, Dir: t.TempDir(),
		})
		require.NoError(t, err)
		moment := time.Duration(r.dice.Int64N(int64(whole)*9/10)) + whole/20
		select {
		case <-time.After(moment):
			require.NoError(t, p.Signal(syscall.SIGKILL))
			<-p.Done()
			hit++
			left = append(left, fmt.Sprintf("%d after %.2f s", r.bound.count(t, tenant), moment.Seconds()))
		case <-p.Done(): // it was done before its moment: what is left is little
			whole = whole * 3 / 4
			require.Greater(t, whole, 20*time.Millisecond, "no import was slow enough to be killed")
		}
	}
	done := counts(t, must(t, env, append(args, "--verify")...))
	require.Equal(t, []int{n, n, 0, 0}, []int{done.Created + done.Present, done.Verified, done.Refused, done.Differs}, done.Faults)
	r.bound.complete(t, tenant, n)
	t.Logf("%s killed %d times (there were %s), then completed: %d created by the last run, %d there already, all verified, none twice",
		format, kills, strings.Join(left, ", "), done.Created, done.Present)
}

// complete reports whether a tenant has n entities, each with one amendment, one
// opening and a name and id of its own.
func (b *bound) complete(t *testing.T, tenant string, n int) {
	t.Helper()
	for _, what := range []string{
		`count(*)`, `count(DISTINCT (entity_type, external_id))`, `count(DISTINCT (entity_type, name_key))`,
		`(SELECT count(*) FROM public.amendment a WHERE a.governance_agent_id = $1 AND change <> 'embedded')`,
		`(SELECT count(*) FROM public.opening o JOIN public.amendment a USING (entity_id, seq)
			WHERE a.governance_agent_id = $1 AND a.change <> 'embedded')`,
	} {
		require.Equal(t, n, b.number(t, tenant, `SELECT `+what+` FROM public.entity WHERE governance_agent_id = $1`), what)
	}
}

func (b *bound) count(t *testing.T, tenant string) int {
	t.Helper()
	return b.number(t, tenant, `SELECT count(*) FROM public.entity WHERE governance_agent_id = $1`)
}

func (b *bound) number(t *testing.T, tenant, sql string) int {
	t.Helper()
	var n int
	b.query(t, tenant, sql, &n)
	return n
}

// fingerprint changes with whatever an author changes in a tenant's entities; that they
// are embedded meanwhile is the platform's own work.
func (b *bound) fingerprint(t *testing.T, tenant string) string {
	t.Helper()
	var sum string
	b.query(t, tenant, `SELECT md5(string_agg(id::text || encode(etag_hash, 'hex'), '|' ORDER BY id)) FROM public.entity e WHERE governance_agent_id = $1`, &sum)
	return sum
}

// query asks as the tenant: row-level security holds for tests too.
func (b *bound) query(t *testing.T, tenant, sql string, into any) {
	t.Helper()
	tx, err := b.conns[0].Begin(t.Context())
	require.NoError(t, err)
	defer func() { require.NoError(t, tx.Rollback(t.Context())) }()
	_, err = tx.Exec(t.Context(), `SELECT set_config('app.governance_agent_id', $1, true)`, tenant)
	require.NoError(t, err)
	require.NoError(t, tx.QueryRow(t.Context(), sql, pgx.QueryExecModeExec, tenant).Scan(into))
}
