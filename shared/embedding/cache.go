package embedding

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
)

const (
	cacheTimeout  = 50 * time.Millisecond
	cacheLifetime = 24 * time.Hour
)

// Cache keeps the vectors of texts in Redis for 24 hours, under
// emb:<ModelID>:<SHA-256 of the text in hex>, as Bytes. No call takes longer
// than 50 ms, and nothing is believed that Valid refuses. Whoever can write to
// the Redis can still plant the vector of another text: what is signed is
// computed, not looked up.
type Cache struct{ client *redis.Client }

// CheckCacheURL reports whether url is the address of a Redis. The error never has the
// address: it may hold a password.
func CheckCacheURL(url string) error {
	_, err := parseCacheURL(url)
	return err
}

func parseCacheURL(url string) (*redis.Options, error) {
	opts, err := redis.ParseURL(url)
	if err != nil {
		return nil, errors.New("open the embedding cache: its address is not a Redis URL")
	}
	return opts, nil
}

// OpenCache returns the cache in the Redis that a URL names. It does not
// connect: a Redis that is away is an error of the calls that need it.
func OpenCache(url string) (*Cache, error) {
	opts, err := parseCacheURL(url)
	if err != nil {
		return nil, err
	}
	opts.ContextTimeoutEnabled = true
	opts.DialTimeout, opts.ReadTimeout, opts.WriteTimeout, opts.PoolTimeout = cacheTimeout, cacheTimeout, cacheTimeout, cacheTimeout
	opts.MaxRetries, opts.DialerRetries = -1, 1
	opts.MaintNotificationsConfig = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
	return &Cache{client: redis.NewClient(opts)}, nil
}

// Close ends the connections.
func (c *Cache) Close() error { return c.client.Close() }

// Get looks texts up. The vector of one that is not there, or whose value is
// not a vector, is nil; an error says that Redis did not answer in time.
func (c *Cache) Get(ctx context.Context, texts []string) ([][]float32, error) {
	ctx, cancel := context.WithTimeout(ctx, cacheTimeout)
	defer cancel()
	keys := make([]string, len(texts))
	for i, text := range texts {
		keys[i] = cacheKey(text)
	}
	values, err := c.client.MGet(ctx, keys...).Result()
	if err != nil {
		return nil, fmt.Errorf("look up embeddings: %w", err)
	}
	vectors := make([][]float32, len(texts))
	for i, value := range values {
		bytes, ok := value.(string)
		if !ok || len(bytes) != 4*Dimensions {
			continue
		}
		if vector := parse([]byte(bytes)); Valid(vector) == nil {
			vectors[i] = vector
		}
	}
	return vectors, nil
}

// Put stores the vectors of texts, over whatever is there.
func (c *Cache) Put(ctx context.Context, texts []string, vectors [][]float32) error {
	ctx, cancel := context.WithTimeout(ctx, cacheTimeout)
	defer cancel()
	_, err := c.client.Pipelined(ctx, func(p redis.Pipeliner) error {
		for i, text := range texts {
			p.Set(ctx, cacheKey(text), Bytes(vectors[i]), cacheLifetime)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("store embeddings: %w", err)
	}
	return nil
}

func cacheKey(text string) string {
	hash := TextHash(text)
	return "emb:" + ModelID + ":" + hex.EncodeToString(hash[:])
}
