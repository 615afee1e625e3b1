package embedding

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/dlai-sd/plant/scripts/localstack/redis"
	"github.com/dlai-sd/plant/scripts/localstack/stacktest"
	"github.com/dlai-sd/plant/shared/embedding/minilm"
)

func openModel(t testing.TB) *minilm.Model {
	t.Helper()
	m, err := minilm.Open(stacktest.ModelDir(t), minilm.Options{})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, m.Close()) })
	return m
}

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

var someTexts = []string{"Go", "Café déjà vu", "Go", strings.Repeat("long ", 300), "[SEP]"}

func TestEmbedderUsesTheCache(t *testing.T) {
	t.Parallel()
	m := openModel(t)
	cache, redis := openCache(t, stacktest.Redis(t))
	want, err := NewEmbedder(m, nil, quiet()).Embed(t.Context(), someTexts)
	require.NoError(t, err)
	require.True(t, want[3].Truncated)

	e := NewEmbedder(m, cache, quiet())
	eventually(t, func() error { // until all of it came from the cache
		before, _ := e.Counts()
		got, err := e.Embed(t.Context(), someTexts)
		require.NoError(t, err)
		requireSame(t, want, got)
		if after, _ := e.Counts(); after-before != int64(len(someTexts)) {
			return fmt.Errorf("%d hits", after-before)
		}
		return nil
	})
	require.NoError(t, redis.Set(t.Context(), cacheKey("Go"), Bytes(axis(5)), 0).Err())
	eventually(t, func() error { // what can be a vector is believed: this is the cache
		got, err := e.Embed(t.Context(), []string{"Go"})
		require.NoError(t, err)
		if got[0].Vector[5] != 1 {
			return fmt.Errorf("it was computed")
		}
		return nil
	})
	stored, err := e.Entities(t.Context(), Recipes()[0], []Entity{{Name: "Go"}})
	require.NoError(t, err)
	require.InDeltaSlice(t, want[0].Vector, stored[0].Vector, 1e-6, "but not for what is signed")
}

func requireSame(t testing.TB, want, got []Embedding) {
	t.Helper()
	require.Len(t, got, len(want))
	for i := range want {
		require.Equal(t, want[i].Truncated, got[i].Truncated)
		require.InDeltaSlice(t, want[i].Vector, got[i].Vector, 1e-6)
	}
}

// full is a server that refuses to store.
func full(t testing.TB) (url string) {
	t.Helper()
	binary, err := redis.Fetch(t.Context(), stacktest.Fetcher(t))
	require.NoError(t, err)
	server, err := redis.Start(t.Context(), redis.Options{Binary: binary})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, server.Stop(context.WithoutCancel(t.Context()))) })
	_, direct := openCache(t, server.URL())
	require.NoError(t, direct.ConfigSet(t.Context(), "maxmemory-policy", "noeviction").Err())
	require.NoError(t, direct.ConfigSet(t.Context(), "maxmemory", "1").Err())
	return server.URL()
}

func poisoned(t testing.TB) (url string) {
	t.Helper()
	url = stacktest.Redis(t)
	_, direct := openCache(t, url)
	values := poisons()
	for i, name := range []string{"zero", "not a number", "short", "text"} {
		require.NoError(t, direct.Set(t.Context(), cacheKey(someTexts[i]), values[name], 0).Err())
	}
	return url
}

func TestNoCacheChangesAnAnswer(t *testing.T) {
	t.Parallel()
	m := openModel(t)
	want, err := NewEmbedder(m, nil, quiet()).Embed(t.Context(), someTexts)
	require.NoError(t, err)
	for name, url := range map[string]string{
		"lost": lost(t), "silent": silent(t), "full": full(t), "poisoned": poisoned(t), "well": stacktest.Redis(t),
	} {
		cache, err := OpenCache(url)
		require.NoError(t, err)
		e := NewEmbedder(m, cache, quiet())
		for range 3 {
			got, err := e.Embed(t.Context(), someTexts)
			require.NoError(t, err, name)
			requireSame(t, want, got)
		}
		require.NoError(t, cache.Close())
	}
}

func TestEmbedderSaysOnceThatTheCacheIsAway(t *testing.T) {
	t.Parallel()
	cache, err := OpenCache(lost(t))
	require.NoError(t, err)
	defer func() { require.NoError(t, cache.Close()) }()
	var lines bytes.Buffer
	e := NewEmbedder(openModel(t), cache, slog.New(slog.NewTextHandler(&lines, nil)))
	for range 5 {
		_, err := e.Embed(t.Context(), []string{"private words"})
		require.NoError(t, err)
	}
	require.Equal(t, 1, strings.Count(lines.String(), "\n"), lines.String())
	require.NotContains(t, lines.String(), "private words")
	e.note(t.Context(), nil)
	require.Contains(t, lines.String(), "is back")
}

func TestEntities(t *testing.T) {
	t.Parallel()
	e := NewEmbedder(openModel(t), nil, quiet())
	entities := []Entity{{Name: "Go"}, {"Go", "A language."}, {"Long", strings.Repeat("long ", 300)}}
	stored, err := e.Entities(t.Context(), Recipes()[0], entities)
	require.NoError(t, err)
	require.Len(t, stored, 3)
	single, err := e.Embed(t.Context(), []string{"Go", "Go. A language."})
	require.NoError(t, err)
	require.InDeltaSlice(t, single[0].Vector, stored[0].Vector, 1e-6)
	require.InDeltaSlice(t, Mean(single[0].Vector, single[1].Vector), stored[1].Vector, 1e-6)
	for i, s := range stored {
		require.Equal(t, "all-MiniLM-L6-v2/mean-1", s.ModelID)
		require.Equal(t, EntityTextHash(entities[i].Name, entities[i].Description), s.TextHash)
		require.Equal(t, VectorHash(s.Vector), s.VectorHash)
		require.NoError(t, ValidEntity(s.Vector))
		require.Equal(t, i == 2, s.Truncated)
	}
	length, err := measure(stored[1].Vector)
	require.NoError(t, err)
	require.Less(t, length, 0.999, "not normalised again")

	text, err := e.Entities(t.Context(), Recipes()[1], entities)
	require.NoError(t, err)
	require.Equal(t, "all-MiniLM-L6-v2/text-1", text[1].ModelID)
	require.InDeltaSlice(t, single[1].Vector, text[1].Vector, 1e-6)
	require.Equal(t, stored[1].TextHash, text[1].TextHash, "the text is the same whatever is made of it")
}

func TestEmbedEndsWithItsContext(t *testing.T) {
	t.Parallel()
	cache, _ := openCache(t, stacktest.Redis(t))
	e := NewEmbedder(openModel(t), cache, quiet())
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := e.Embed(ctx, []string{"a"})
	require.ErrorIs(t, err, context.Canceled)
}
