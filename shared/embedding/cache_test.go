package embedding

import (
	"context"
	"math"
	"net"
	"testing"
	"time"

	client "github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/dlai-sd/plant/scripts/localstack/stacktest"
)

func openCache(t testing.TB, url string) (*Cache, *client.Client) {
	t.Helper()
	cache, err := OpenCache(url)
	require.NoError(t, err)
	opts, err := client.ParseURL(url)
	require.NoError(t, err)
	direct := client.NewClient(opts)
	t.Cleanup(func() {
		require.NoError(t, cache.Close())
		require.NoError(t, direct.Close())
	})
	return cache, direct
}

// eventually repeats what a busy machine may not do in 50 ms.
func eventually(t testing.TB, do func() error) {
	t.Helper()
	require.Eventually(t, func() bool { return do() == nil }, 20*time.Second, time.Millisecond)
}

func lookUp(t testing.TB, c *Cache, texts ...string) (vectors [][]float32) {
	t.Helper()
	eventually(t, func() (err error) {
		vectors, err = c.Get(t.Context(), texts)
		return err
	})
	return vectors
}

func TestCacheKeepsVectorsAsDesigned(t *testing.T) {
	t.Parallel()
	cache, redis := openCache(t, stacktest.Redis(t))
	require.Equal(t, [][]float32{nil, nil}, lookUp(t, cache, "abc", "b"))
	eventually(t, func() error { return cache.Put(t.Context(), []string{"abc", "b"}, [][]float32{axis(1), axis(2)}) })
	require.Equal(t, [][]float32{axis(2), nil, axis(1)}, lookUp(t, cache, "b", "c", "abc"))

	const key = "emb:all-MiniLM-L6-v2:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
	bytes, err := redis.Get(t.Context(), key).Bytes()
	require.NoError(t, err)
	require.Equal(t, Bytes(axis(1)), bytes)
	lifetime, err := redis.TTL(t.Context(), key).Result()
	require.NoError(t, err)
	require.InDelta(t, 24, lifetime.Hours(), 0.1)
}

// poisons are values that nobody may believe.
func poisons() map[string][]byte {
	nan, infinite := axis(0), axis(0)
	nan[7], infinite[7] = float32(math.NaN()), float32(math.Inf(-1))
	return map[string][]byte{
		"nothing": {}, "text": []byte("poison"), "short": Bytes(axis(0))[:4*Dimensions-1],
		"long": append(Bytes(axis(0)), 0), "zero": make([]byte, 4*Dimensions), "not a number": Bytes(nan),
		"infinite": Bytes(infinite), "too long a vector": Bytes(scaled(axis(0), 1.01)), "an entity's": Bytes(scaled(axis(0), 0.9)),
	}
}

func TestCacheBelievesOnlyVectors(t *testing.T) {
	t.Parallel()
	cache, redis := openCache(t, stacktest.Redis(t))
	for name, value := range poisons() {
		require.NoError(t, redis.Set(t.Context(), cacheKey(name), value, 0).Err())
		require.Nil(t, lookUp(t, cache, name)[0], name)
		eventually(t, func() error { return cache.Put(t.Context(), []string{name}, [][]float32{axis(3)}) })
		require.Equal(t, axis(3), lookUp(t, cache, name)[0], "%s is overwritten", name)
	}
	require.NoError(t, redis.RPush(t.Context(), cacheKey("list"), "a").Err())
	require.Nil(t, lookUp(t, cache, "list")[0])
	eventually(t, func() error { return cache.Put(t.Context(), []string{"list"}, [][]float32{axis(3)}) })
	require.Equal(t, axis(3), lookUp(t, cache, "list")[0])
}

// silent is a server that takes connections and never answers.
func silent(t testing.TB) (url string) {
	t.Helper()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	var open []net.Conn
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			open = append(open, conn)
		}
	}()
	t.Cleanup(func() {
		require.NoError(t, listener.Close())
		<-ended
		for _, conn := range open {
			require.NoError(t, conn.Close())
		}
	})
	return "redis://" + listener.Addr().String()
}

// lost is a server that is not there.
func lost(t testing.TB) (url string) {
	t.Helper()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, listener.Close())
	return "redis://" + listener.Addr().String()
}

func TestCacheGivesUpSoon(t *testing.T) {
	t.Parallel()
	for name, url := range map[string]string{"silent": silent(t), "lost": lost(t)} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cache, err := OpenCache(url)
			require.NoError(t, err)
			defer func() { require.NoError(t, cache.Close()) }()
			// The client's own timeouts, with its retries, are above 9 s.
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
			defer cancel()
			_, err = cache.Get(ctx, []string{"a"})
			require.Error(t, err)
			require.Error(t, cache.Put(ctx, []string{"a"}, [][]float32{axis(0)}))
			require.NoError(t, ctx.Err(), "it waited longer than it may")
		})
	}
}

func TestOpenCacheKeepsThePasswordToItself(t *testing.T) {
	t.Parallel()
	_, err := OpenCache("http://user:hunter2@host")
	require.Error(t, err)
	require.NotContains(t, err.Error(), "hunter2")
}
