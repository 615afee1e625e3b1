package issuetoken

import (
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/dlai-sd/plant/shared/domain"
	"github.com/dlai-sd/plant/shared/store"
	"github.com/dlai-sd/plant/shared/web"
)

// from is the header of a request that came from an address.
func from(address string) http.Header { return http.Header{"X-Forwarded-For": {address}} }

// exhaust asks for a principal's token until it is told to wait, and returns
// how many attempts were judged.
func (k *kit) exhaust(t *testing.T, id, secret, address string) (judged int, refused answer) {
	t.Helper()
	for judged < 1000 {
		a := k.send(t, credentialsOf(id, secret), from(address))
		if a.status == http.StatusTooManyRequests {
			return judged, a
		}
		judged++
	}
	t.Fatal("nothing was throttled")
	return 0, answer{}
}

func TestThrottledByPrincipal(t *testing.T) {
	t.Parallel()
	k := newKit(t, nil)
	k.add(t, "ci")
	k.add(t, "cd")
	judged, refused := k.exhaust(t, "acme/ci", "cici", "192.0.2.1")
	require.Equal(t, perPrincipal().burst, judged)
	require.Equal(t, "3", refused.header.Get("Retry-After"))
	require.Equal(t, web.CodeTooManyRequests, refused.problem(t).Code)
	require.Len(t, k.counter.taken(), judged, "a throttled attempt costs no comparison")

	require.Equal(t, 429, k.send(t, credentialsOf("acme/ci", "cici"), from("192.0.2.2")).status, "wherever it comes from")
	require.Equal(t, 429, k.send(t, form(), basicOf("acme/ci", "cici")).status, "however it is asked")
	require.Equal(t, 200, k.send(t, credentialsOf("acme/cd", "cdcd"), from("192.0.2.2")).status, "another principal is free")
	k.clock.pass(2 * time.Second)
	again := k.send(t, credentialsOf("acme/ci", "cici"), from("192.0.2.2"))
	require.Equal(t, "1", again.header.Get("Retry-After"))
	k.clock.pass(time.Second)
	require.Equal(t, 200, k.send(t, credentialsOf("acme/ci", "cici"), from("192.0.2.2")).status)
	require.Equal(t, 429, k.send(t, credentialsOf("acme/ci", "cici"), from("192.0.2.2")).status)

	unknown, answered := k.exhaust(t, "acme/nobody", "x", "192.0.2.3")
	require.Equal(t, judged, unknown, "as many as a known one has")
	require.Equal(t, refused.alike(t), answered.alike(t))
}

func TestThrottledByAddress(t *testing.T) {
	t.Parallel()
	k := newKit(t, nil)
	k.add(t, "ci")
	guess := func(i int, address string) answer {
		return k.send(t, credentialsOf("acme/guess-"+strconv.Itoa(i), "x"), from(address))
	}
	for i := range perAddress().burst {
		require.Equal(t, 401, guess(i, "192.0.2.1").status)
	}
	refused := guess(60, "192.0.2.1")
	require.Equal(t, 429, refused.status)
	require.Equal(t, "1", refused.header.Get("Retry-After"))
	require.Equal(t, 429, guess(61, "198.51.100.7, 192.0.2.1").status, "what the caller wrote before does not help")
	for range 2 * perPrincipal().burst {
		require.Equal(t, 429, k.send(t, credentialsOf("acme/ci", "cici"), from("192.0.2.1")).status)
	}
	require.Equal(t, 200, k.send(t, credentialsOf("acme/ci", "cici"), from("192.0.2.2")).status,
		"an attempt that its address is refused for does not count against the principal")
	k.clock.pass(time.Second)
	require.Equal(t, 401, guess(62, "192.0.2.1").status)
	require.Equal(t, 429, guess(63, "192.0.2.1").status)
}

func TestAddressOf(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, peer string
		forwarded  []string
		want       string
	}{
		{"the peer", "192.0.2.9:4711", nil, "192.0.2.9/32"},
		{"the front end's word", "169.254.1.1:1", []string{"192.0.2.1"}, "192.0.2.1/32"},
		{"the last hop", "169.254.1.1:1", []string{"203.0.113.5,10.0.0.1, 192.0.2.1"}, "192.0.2.1/32"},
		{"the last line", "169.254.1.1:1", []string{"203.0.113.5", "192.0.2.1"}, "192.0.2.1/32"},
		{"IPv6 by /64", "169.254.1.1:1", []string{"2001:db8:1:2:3:4:5:6"}, "2001:db8:1:2::/64"},
		{"IPv4 within IPv6", "169.254.1.1:1", []string{"::ffff:192.0.2.1"}, "192.0.2.1/32"},
		{"a zone", "169.254.1.1:1", []string{"fe80::1%eth0"}, "fe80::/64"},
		{"no address", "192.0.2.9:4711", []string{"192.0.2.1, unknown"}, "192.0.2.9/32"},
		{"empty", "[2001:db8::1]:4711", []string{""}, "2001:db8::/64"},
	} {
		r := httptest.NewRequest(http.MethodPost, path, http.NoBody)
		r.RemoteAddr = c.peer
		r.Header["X-Forwarded-For"] = c.forwarded
		require.Equal(t, c.want, addressOf(r).String(), c.name)
	}
	r := httptest.NewRequest(http.MethodPost, path, http.NoBody)
	r.RemoteAddr = "@"
	require.Equal(t, netip.Prefix{}, addressOf(r))
}

// TestThrottleIsBounded: the table never grows beyond its size, and forgets what
// was not seen for longest.
func TestThrottleIsBounded(t *testing.T) {
	t.Parallel()
	table := newThrottle[int](limit{burst: 1, every: time.Second, keys: 3})
	now := time.Now()
	for key := range 3 {
		require.Zero(t, table.take(key, now))
	}
	require.Equal(t, time.Second, table.take(0, now), "seen again: not the oldest any more")
	require.Zero(t, table.take(3, now), "takes the place of 1")
	require.Len(t, table.entries, 3)
	require.Equal(t, 3, table.recent.Len())
	require.NotZero(t, table.take(0, now))
	require.NotZero(t, table.take(2, now))
	require.NotZero(t, table.take(3, now))
	require.Zero(t, table.take(1, now), "forgotten")
}

// TestThrottleKeepsItsPromise: in any window no key gets more than its burst and
// one for each interval, whoever is refused has to wait exactly as long as it is
// told, and waiting that long is enough.
func TestThrottleKeepsItsPromise(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		l := limit{burst: rapid.IntRange(1, 5).Draw(t, "burst"), every: time.Second, keys: 100}
		table := newThrottle[int](l)
		began := time.Unix(1_800_000_000, 0)
		now, given := began, map[int]int{}
		for range rapid.IntRange(1, 60).Draw(t, "attempts") {
			now = now.Add(time.Duration(rapid.IntRange(0, 1500).Draw(t, "pause")) * time.Millisecond)
			key := rapid.IntRange(0, 2).Draw(t, "key")
			wait := table.take(key, now)
			if wait == 0 {
				given[key]++
				require.LessOrEqual(t, given[key], l.burst+int(now.Sub(began)/l.every))
				continue
			}
			require.LessOrEqual(t, wait, l.every)
			if rapid.Bool().Draw(t, "patient") {
				now = now.Add(wait + time.Microsecond) // what floating point may lose
				require.Zero(t, table.take(key, now))
				given[key]++
			}
		}
	})
}

// TestDatabaseAway: no database is a 503 that says when to come back, not a
// wrong secret.
func TestDatabaseAway(t *testing.T) {
	t.Parallel()
	k := newKit(t, nil)
	away, err := store.Open(t.Context(), store.Config{URL: "postgres://nobody@127.0.0.1:1/none", Pool: 1})
	require.NoError(t, err)
	t.Cleanup(away.Close)
	address := k.serve(t, Config{DB: away, Issuer: k.issuer(k.Tokens), Compare: k.counter.compare, Now: k.clock.Now})
	a := k.sendTo(t, address+path, credentialsOf("acme/ci", "cici"), nil)
	require.Equal(t, 503, a.status)
	require.Equal(t, domain.CodeUnavailable, a.problem(t).Code)
	require.NotEmpty(t, a.header.Get("Retry-After"))
}

// TestLogsNameNobody: a line says that an attempt was made and how it ended.
func TestLogsNameNobody(t *testing.T) {
	t.Parallel()
	k := newKit(t, nil)
	p := k.add(t, "jane.doe")
	token := k.send(t, credentialsOf("acme/jane.doe", "jane.doejane.doe"), from("203.0.113.77")).token(t).AccessToken
	for _, body := range []string{
		credentialsOf("acme/jane.doe", "s3cret"), credentialsOf("acme/jane.doe", strings.Repeat("s3cret", 20)),
		form("client_id", "acme/jane.doe"), "grant_type=s3cret", credentialsOf("jane.doe", "s3cret"),
	} {
		require.GreaterOrEqual(t, k.send(t, body, from("203.0.113.77")).status, 400)
	}
	k.exhaust(t, "acme/jane.doe", "s3cret", "203.0.113.77")
	log := k.log.String()
	require.Contains(t, log, `"unauthenticated"`)
	require.Contains(t, log, `"too_many_requests"`)
	for _, private := range []string{"jane", "acme", "s3cret", "203.0.113", token, p.ID, fakeHash("")} {
		require.NotContains(t, log, private)
	}
}

func TestNewRefusesHalfAConfiguration(t *testing.T) {
	t.Parallel()
	_, err := New(Config{})
	require.Error(t, err)
}
