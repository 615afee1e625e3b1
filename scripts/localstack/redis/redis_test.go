package redis_test

import (
	"context"
	"net"
	"testing"
	"time"

	client "github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/dlai-sd/plant/scripts/localstack/redis"
	"github.com/dlai-sd/plant/scripts/localstack/stacktest"
)

func binary(t testing.TB) string {
	t.Helper()
	got, err := redis.Fetch(t.Context(), stacktest.Fetcher(t))
	require.NoError(t, err)
	return got
}

func connect(t testing.TB, url string) *client.Client {
	t.Helper()
	opts, err := client.ParseURL(url)
	require.NoError(t, err)
	opts.MaxRetries = -1
	c := client.NewClient(opts)
	t.Cleanup(func() { require.NoError(t, c.Close()) })
	return c
}

func TestStartKillRestartStop(t *testing.T) {
	t.Parallel()
	s, err := redis.Start(t.Context(), redis.Options{Binary: binary(t), Databases: 40})
	require.NoError(t, err)
	c := connect(t, s.URL())
	require.NoError(t, c.Set(t.Context(), "k", "v", 0).Err())
	require.Equal(t, "", c.ConfigGet(t.Context(), "save").Val()["save"])
	require.Equal(t, "40", c.ConfigGet(t.Context(), "databases").Val()["databases"])

	require.NoError(t, s.Kill())
	require.Error(t, c.Ping(t.Context()).Err())
	require.NoError(t, s.Restart(t.Context()))
	again := connect(t, s.URL())
	require.ErrorIs(t, again.Get(t.Context(), "k").Err(), client.Nil, "it keeps nothing")
	require.Error(t, s.Restart(t.Context()), "it is running")
	require.NoError(t, s.Stop(t.Context()))
	<-s.Done()
}

func TestItWantsThePassword(t *testing.T) {
	t.Parallel()
	s, err := redis.Start(t.Context(), redis.Options{Binary: binary(t)})
	require.NoError(t, err)
	defer func() { require.NoError(t, s.Stop(context.Background())) }()
	opts, err := client.ParseURL(s.URL())
	require.NoError(t, err)
	c := connect(t, "redis://"+opts.Addr)
	require.ErrorContains(t, c.Ping(t.Context()).Err(), "NOAUTH")
}

func TestPortInUseIsASentence(t *testing.T) {
	t.Parallel()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer ln.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	_, err = redis.Start(ctx, redis.Options{Binary: binary(t), Port: ln.Addr().(*net.TCPAddr).Port})
	require.ErrorContains(t, err, "choose another port")
}
