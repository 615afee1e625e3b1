package rehearsal

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// pair is what requests took with migrations and without: in the whole windows, and
// those that were due while the command ran, against the same requests of the other
// window.
type pair struct {
	with, without         []time.Duration
	withThen, withoutThen []time.Duration
	ran                   time.Duration
}

// measured is all pairs.
type measured struct {
	rng   *rand.Rand
	pairs []pair
}

// add takes a pair; the migrations ran between two times since its window began.
func (m *measured) add(with, without run, from, to time.Duration) {
	m.pairs = append(m.pairs, pair{
		with: with.between(0, 1<<62), without: without.between(0, 1<<62),
		withThen: with.between(from, to), withoutThen: without.between(from, to), ran: to - from,
	})
}

// between is what the requests took that were due from one moment of the window to
// another.
func (r run) between(from, to time.Duration) []time.Duration {
	var all []time.Duration
	for _, s := range r.took {
		if due := s.at.Sub(r.began); from <= due && due <= to {
			all = append(all, s.took)
		}
	}
	return all
}

func (m *measured) last() string {
	p := m.pairs[len(m.pairs)-1]
	return fmt.Sprintf("migrations ran %s; median %s with, %s without, ratio %.3f; longest %s, %s", ms(p.ran),
		ms(quantile(p.with, 0.5)), ms(quantile(p.without, 0.5)), ratio(p.with, p.without, 0.5), ms(slices.Max(p.with)), ms(slices.Max(p.without)))
}

// table has a line for each figure: both values over all pairs, their ratio, and where
// 95 % of the ratios lie when the pairs are drawn anew with replacement.
func (m *measured) table() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%-34s %9s %11s %11s %7s   %s\n", "", "requests", "with", "without", "ratio", "95 % of resampled pairs")
	whole := func(p pair) (with, without []time.Duration) { return p.with, p.without }
	then := func(p pair) (with, without []time.Duration) { return p.withThen, p.withoutThen }
	for _, f := range []struct {
		name string
		q    float64
		of   func(pair) (with, without []time.Duration)
	}{
		{"median, whole windows", 0.5, whole},
		{"p95, whole windows", 0.95, whole},
		{"median, while migrations ran", 0.5, then},
		{"p95, while migrations ran", 0.95, then},
	} {
		with, without := pool(m.pairs, f.of)
		low, high := m.interval(f.q, f.of)
		fmt.Fprintf(&b, "%-34s %9d %11s %11s %7.3f   %.3f to %.3f\n", f.name, len(with),
			ms(quantile(with, f.q)), ms(quantile(without, f.q)), ratio(with, without, f.q), low, high)
	}
	var ratios []float64
	var ran []time.Duration
	for _, p := range m.pairs {
		ratios, ran = append(ratios, ratio(p.with, p.without, 0.5)), append(ran, p.ran)
	}
	fmt.Fprintf(&b, "ratios of the pairs' medians, whole windows: %.3f to %.3f, half of them %.3f to %.3f\n", slices.Min(ratios), slices.Max(ratios), quantile(ratios, 0.25), quantile(ratios, 0.75))
	fmt.Fprintf(&b, "%d migrations a pair ran for %s (median), %s at most", len(release), ms(quantile(ran, 0.5)), ms(slices.Max(ran)))
	return b.String()
}

const resamples = 2_000

// interval is where 95 % of the ratios lie when as many pairs are drawn with
// replacement: pairs, not requests, since those of one window share its fortune.
func (m *measured) interval(q float64, of func(pair) (with, without []time.Duration)) (low, high float64) {
	var ratios []float64
	for range resamples {
		drawn := make([]pair, len(m.pairs))
		for i := range drawn {
			drawn[i] = m.pairs[m.rng.IntN(len(m.pairs))]
		}
		with, without := pool(drawn, of)
		ratios = append(ratios, ratio(with, without, q))
	}
	return quantile(ratios, 0.025), quantile(ratios, 0.975)
}

func pool(pairs []pair, of func(pair) (with, without []time.Duration)) (with, without []time.Duration) {
	for _, p := range pairs {
		a, b := of(p)
		with, without = append(with, a...), append(without, b...)
	}
	return with, without
}

func ratio(with, without []time.Duration, q float64) float64 {
	return float64(quantile(with, q)) / float64(quantile(without, q))
}

// quantile is the least value that a share q of the values do not exceed, 0 of none.
func quantile[T time.Duration | float64](all []T, q float64) T {
	if len(all) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(all))
	return sorted[min(int(q*float64(len(sorted))), len(sorted)-1)]
}

func ms(d time.Duration) string { return fmt.Sprintf("%.1f ms", float64(d)/float64(time.Millisecond)) }

// The ratio is found again, and what is known for sure has no width.
func TestPairsAreComparedAsTheyWere(t *testing.T) {
	t.Parallel()
	m := measured{rng: rand.New(rand.NewPCG(1, 2))} // #nosec -- repeatable
	window := func(took func(i int) time.Duration) run {
		r := run{began: time.Unix(0, 0)}
		for i := range 100 {
			r.took = append(r.took, sample{r.began.Add(time.Duration(i) * 10 * time.Millisecond), took(i)})
		}
		return r
	}
	slow := func(i int) time.Duration {
		if i >= 20 && i < 30 {
			return 9 * time.Millisecond
		}
		return 3 * time.Millisecond
	}
	for range 8 {
		m.add(window(slow), window(func(int) time.Duration { return 3 * time.Millisecond }), 200*time.Millisecond, 295*time.Millisecond)
	}
	then := func(p pair) (with, without []time.Duration) { return p.withThen, p.withoutThen }
	with, without := pool(m.pairs, then)
	require.Len(t, with, 80)
	require.Len(t, without, 80)
	require.InDelta(t, 3, ratio(with, without, 0.5), 1e-9)
	low, high := m.interval(0.5, then)
	require.InDelta(t, 3, low, 1e-9)
	require.InDelta(t, 3, high, 1e-9)
	whole := func(p pair) (with, without []time.Duration) { return p.with, p.without }
	with, without = pool(m.pairs, whole)
	require.InDelta(t, 1, ratio(with, without, 0.5), 1e-9)
	require.InDelta(t, 3, ratio(with, without, 0.95), 1e-9)
	require.Contains(t, m.table(), "median, while migrations ran              80      9.0 ms      3.0 ms   3.000   3.000 to 3.000")
}
